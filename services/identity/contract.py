"""What others may rely on: accounts, the events of a session, the OAuth refusals, and the file of an installation's clients.

The token endpoint itself speaks OAuth 2.0 (RFC 6749, 7523, 7636, 8693, 9068, 9207), so its client is chassis.client.TokenSource.
"""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator
from starlette.responses import JSONResponse

from chassis.contract import Contract
from chassis.errors import Conflict, Problem

# {sid}: tokens of this session are no longer to be honoured, wherever they were remembered.
SESSION_REVOKED = "session.revoked"
# {account, kind}: somebody can log in from now on.
ACCOUNT_CREATED = "account.created"

Kind = Literal["customer", "staff"]
Role = Literal[
    "access_manager",
    "helpdesk",
    "privacy_contact",
    "privacy_officer",
    "intake",
    "approver",
    "collector",
    "releaser",
    "auditor",
    "counsel",
    "operations",
]


# Who somebody is at the eID provider: the value of the claim that the installation names. Kept as a keyed hash only.
Eid = Annotated[str, Field(min_length=1, max_length=200)]


class CreateAccount(Contract):
    """POST /v1/accounts (scope accounts.write). The tenant is the token's; `principal` is who a customer is to all services.

    It has a password, an electronic identity at the installation's provider, or both. An account says who somebody is. What staff may do, the registry's access register says, anew at every login.
    """

    username: Annotated[str, Field(min_length=1, max_length=200)]
    password: Annotated[str | None, Field(min_length=12, max_length=200, repr=False)] = None
    kind: Kind
    principal: UUID | None = None
    eid: Annotated[Eid | None, Field(repr=False)] = None

    @model_validator(mode="after")
    def a_customer_is_a_principal(self) -> Self:
        if (self.kind == "customer") == (self.principal is None):
            raise ValueError("a customer's account names its principal, and one of staff names none")
        return self

    @model_validator(mode="after")
    def somebody_can_log_in(self) -> Self:
        if self.password is None and self.eid is None:
            raise ValueError("an account has a password, an electronic identity or both")
        return self


class GiveEid(Contract):
    """POST /v1/accounts/{account}/eid (scope accounts.write): from now on she may log in with her electronic identity too."""

    eid: Annotated[Eid, Field(repr=False)]


class Account(Contract):
    """`subject` is the `sub` of every token of this account: the principal of a customer, the account itself of staff."""

    id: UUID
    subject: UUID
    kind: Kind


class InstalledClient(Contract):
    """One entry of SECRETS_DIR/clients.json: {"<client id>": {…}}. What a client may do is in clients.yaml, not here.

    jwk: its public key (clients with private_key_jwt) · redirect_uris: compared character by character (clients people log in by) ·
    tenant: the one it speaks for, unless clients.yaml lets it name any.
    """

    jwk: dict[str, Any] | None = None
    redirect_uris: list[str] = []
    tenant: UUID | None = None


class NameTaken(Conflict):
    code, title = "identity.name_taken", "That user name is in use"


class NoEidProvider(Conflict):
    code, title = "identity.no_eid_provider", "This installation has no provider of electronic identities"


class OtherEid(Conflict):
    code, title = "identity.other_eid", "The account has another electronic identity already"


class OAuthRefusal(Problem):
    """A refusal in OAuth's own shape (RFC 6749 §5.2): {"error", "error_description"}."""

    code, status, title = "identity.refused", 400, "Refused"
    error = "invalid_request"

    def body(self) -> dict[str, Any]:
        return {"error": self.error, "error_description": self.detail or self.title}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, {"Cache-Control": "no-store", **self.headers})


class InvalidRequest(OAuthRefusal):
    code, title = "identity.invalid_request", "The request is malformed"
    error = "invalid_request"


class InvalidClient(OAuthRefusal):
    code, status, title = "identity.invalid_client", 401, "The client did not prove who it is"
    error = "invalid_client"


class InvalidGrant(OAuthRefusal):
    code, title = "identity.invalid_grant", "The grant is not valid, or no longer"
    error = "invalid_grant"


class InvalidScope(OAuthRefusal):
    code, title = "identity.invalid_scope", "This client may not have that scope"
    error = "invalid_scope"


class InvalidTarget(OAuthRefusal):
    code, title = "identity.invalid_target", "This client gets no token for that audience or tenant"
    error = "invalid_target"


class UnauthorizedClient(OAuthRefusal):
    code, title = "identity.unauthorized_client", "This client may not use that grant"
    error = "unauthorized_client"


class UnsupportedGrantType(OAuthRefusal):
    code, title = "identity.unsupported_grant_type", "That grant type is not served"
    error = "unsupported_grant_type"


class LoginRequired(OAuthRefusal):
    """`prompt=none`: every login shows the page here, nobody stays logged in with the issuer."""

    code, title = "identity.login_required", "The login page has to be shown"
    error = "login_required"


class UnmetAuthentication(OAuthRefusal):
    """OpenID Connect Core Unmet Authentication Requirements 1.0: none of the named `acr_values` can be reached here."""

    code, title = "identity.unmet_authentication_requirements", "No way to log in here is as sure as that"
    error = "unmet_authentication_requirements"
