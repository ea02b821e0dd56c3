"""Programs at the token endpoint: private_key_jwt, and who gets which token."""

import time
from uuid import UUID, uuid4

import pytest

from tests.identity.parties import Issuer, claims, header


async def test_a_client_proves_its_key_and_gets_an_rfc_9068_token_for_one_audience(issuer: Issuer, tenant: UUID):
    token = await issuer.token("rights", "anonymizer", tenant)
    said = claims(token)
    assert header(token)["typ"] == "at+jwt" and header(token)["alg"] == "ES256"
    assert (said["iss"], said["aud"], said["sub"], said["client_id"]) == (issuer.name, "anonymizer", "rights", "rights")
    assert said["tenant"] == str(tenant) and said["kind"] == "client"
    assert said["exp"] - said["iat"] <= 300 and said["jti"]
    assert set(said["scope"].split()) == {"data.resolve", "data.work", "data.read", "events.read"}
