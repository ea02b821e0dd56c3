"""What the issuer says of itself, read by somebody else's code."""

from uuid import UUID

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.identity.parties import Issuer


async def test_both_documents_are_the_same_and_name_this_issuers_doors(issuer: Issuer):
    openid = (await issuer.http.get("/.well-known/openid-configuration")).json()
    oauth = (await issuer.http.get("/.well-known/oauth-authorization-server")).json()
    assert openid == oauth
    assert all(openid[name].startswith(issuer.name + "/") for name in openid if name.endswith(("_endpoint", "_uri")))
    assert openid["code_challenge_methods_supported"] == ["S256"]
    assert "client_secret_basic" not in openid["token_endpoint_auth_methods_supported"]


async def test_the_document_passes_another_librarys_validation(issuer: Issuer):
    said = (await issuer.http.get("/.well-known/oauth-authorization-server")).json()
    secure = {
        name: value.replace("http://", "https://") if isinstance(value, str) else value for name, value in said.items()
    }
    AuthorizationServerMetadata(secure).validate()


async def test_a_token_verifies_by_the_published_keys_and_no_private_half_is_among_them(issuer: Issuer, tenant: UUID):
    said = (await issuer.http.get("/jwks")).json()
    assert said["keys"] and not any("d" in key for key in said["keys"])
    token = await issuer.token("rights", "anonymizer", tenant)
    assert jwt.decode(token, KeySet.import_key_set(said), algorithms=["ES256"]).claims["client_id"] == "rights"
