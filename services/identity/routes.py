"""The issuer over HTTP: discovery, the token endpoint, the login page, and accounts.

Everything here but `/v1/accounts` is for people and programs that have no token yet, and says so in its signature.
"""

import hmac
import secrets
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from chassis.auth import Anyone, Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.errors import PROBLEM_JSON, TooMany
from chassis.idempotency import Once
from chassis.pages import origin
from services.identity import commands, contract, grants, pages, passwords, queries, rules
from services.identity.commands import Wish
from services.identity.contract import CreateAccount, InvalidRequest, InvalidScope, OAuthRefusal
from services.identity.rules import Client
from services.identity.tokens import ID, LOGIN

router = APIRouter()
AccountWriter = Annotated[Caller, Requires("accounts.write")]

_LONGEST_FORM = 64 * 1024
_BROWSER_KNOWN = 180 * 86_400

# What the document says of answers in OAuth's own shape and of pages, which FastAPI cannot know.
_REFUSED = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_OAUTH: dict[str, Any] = {"description": "RFC 6749 §5.2", "content": {"application/json": {"schema": _REFUSED}}}
_PAGE: dict[str, Any] = {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
_BACK: dict[str, Any] = {"description": "Back to the client"}
_SLOWLY: dict[str, Any] = {
    "description": "A page, or the edge's refusal",
    "content": _PAGE["content"] | {PROBLEM_JSON: {}},
}
_EITHER: dict[str, Any] = {"description": "A page, or OAuth's refusal", "content": _PAGE["content"] | _OAUTH["content"]}


@router.get("/.well-known/openid-configuration")
@router.get("/.well-known/oauth-authorization-server")
async def discovery(_: Anyone, request: Request) -> dict[str, Any]:
    """RFC 8414, and what OpenID Connect Discovery wants besides."""
    issuer = request.app.state.settings.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "end_session_endpoint": f"{issuer}/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", grants.EXCHANGE],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "Ed25519", "PS256"],
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": ["openid", *sorted(request.app.state.shelf.current().audiences["public"])],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "sid", "nonce"],
        "ui_locales_supported": ["sv", "en"],
    }


@router.get("/jwks")
async def jwks(_: Anyone, request: Request) -> JSONResponse:
    return JSONResponse(request.app.state.signer.jwks(), headers={"Cache-Control": "public, max-age=60"})


@router.post("/token", responses={400: _OAUTH, 401: _OAUTH})
async def token(_: Anyone, request: Request) -> JSONResponse:
    answer = await grants.token(_issuer(request), await _form(request))
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.get("/authorize", response_class=HTMLResponse, responses={200: _PAGE, 303: _BACK, 400: _PAGE})
async def authorize(_: Anyone, request: Request) -> Response:
    """The login page. Nobody is sent back to an address that is not the client's, whatever else is wrong."""
    language = pages.language_of(request.query_params.get("ui_locales"), request.headers.get("accept-language"))
    try:
        asked = _once_each(request.query_params.multi_items())
        client = _issuer(request).table.client(asked.get("client_id", ""))
        back_to = rules.redirect_of(client, asked.get("redirect_uri"))
    except OAuthRefusal:
        return pages.notice(language, "cannot", 400)
    try:
        wish = _wish(client, back_to, asked)
    except OAuthRefusal as refusal:
        return _back(request, back_to, error=refusal.error, error_description=refusal.detail, state=asked.get("state"))
    browser = secrets.token_urlsafe(32)
    note = request.app.state.signer.login_note(asdict(wish) | {"browser": browser})
    page = pages.login(language, client.id, note, back_to)
    page.set_cookie(
        _cookie_name(request),
        browser,
        max_age=rules.LOGIN_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.app.state.settings.secure_cookies,
    )
    return page


@router.post("/login", status_code=303, responses={303: _BACK, 400: _EITHER, 401: _PAGE, 429: _SLOWLY})
async def login(_: Anyone, request: Request) -> Response:
    """The form of the login page. Its note proves that we made the page, the cookie that it was made for this browser."""
    form = await _form(request)
    language = pages.language_of(form.get("language"))
    wish = _noted(request, form.get("note", ""))
    if wish is None:
        return pages.notice(language, "cannot", 400)
    state = request.app.state
    hashed = passwords.login_hash(state.login_key, form.get("username", ""))
    try:
        account = await commands.log_in(state.database, hashed, form.get("password", ""), _place(request, hashed))
    except TooMany:
        return pages.login(language, wish.client, form["note"], wish.redirect_uri, "too_many", 429)
    if account is None:
        return pages.login(language, wish.client, form["note"], wish.redirect_uri, "wrong", 401)
    code = await commands.begin_session(state.database, account, wish)
    answer = _back(request, wish.redirect_uri, code=code, state=wish.state)
    answer.set_cookie(
        _cookie_name(request, "browser"),
        passwords.browser_mark(state.login_key, hashed),
        max_age=_BROWSER_KNOWN,
        path="/",
        httponly=True,
        samesite="strict",
        secure=state.settings.secure_cookies,
    )
    answer.delete_cookie(_cookie_name(request), path="/", secure=state.settings.secure_cookies, httponly=True)
    return answer


@router.post("/logout", response_class=HTMLResponse, responses={200: _PAGE, 303: _BACK, 400: _OAUTH})
async def logout(_: Anyone, request: Request) -> Response:
    """OpenID's RP-initiated logout by form, so that no token stands in an address. An expired hint still says whose session."""
    form = await _form(request)
    said = request.app.state.signer.read(form.get("id_token_hint", ""), ID, expired_too=True)
    if said is None:
        raise InvalidRequest("id_token_hint is none of ours")
    try:
        session, _account = await queries.open_session(request.app.state.database, UUID(said["sid"]))
    except contract.InvalidGrant:
        session = None
    if session:
        await commands.end_session(request.app.state.database, session, "logout")
    if wanted := form.get("post_logout_redirect_uri"):
        client = _issuer(request).table.client(said["aud"])
        return _back(request, rules.redirect_of(client, wanted), state=form.get("state"))
    return pages.notice(pages.language_of(form.get("ui_locales"), request.headers.get("accept-language")), "logged_out")


@router.post("/v1/accounts", status_code=201, response_model=contract.Account)
async def create_account(
    caller: AccountWriter, wish: Body[CreateAccount], request: Request, tx: Tx, once: Once
) -> Response:
    login = passwords.login_hash(request.app.state.login_key, wish.username)
    return await once(commands.create_account, tx, login, wish)


def _wish(client: Client, back_to: str, asked: dict[str, str]) -> Wish:
    client.may("code")
    if asked.get("response_type") != "code" or asked.get("response_mode", "query") != "query":
        raise InvalidRequest("response_type is code, response_mode is query")
    if "request" in asked or "request_uri" in asked:
        raise InvalidRequest("request objects are not served")
    if "none" in asked.get("prompt", "").split():
        raise contract.LoginRequired
    (audience,) = client.audiences
    if asked.get("resource", audience) != audience:
        raise contract.InvalidTarget
    most = client.audiences[audience] | {"openid"}
    if not frozenset(asked.get("scope", "").split()) <= most:
        raise InvalidScope
    return Wish(
        client=client.id,
        redirect_uri=back_to,
        challenge=rules.check_challenge(asked.get("code_challenge"), asked.get("code_challenge_method")),
        scope=asked.get("scope"),
        state=asked.get("state"),
        nonce=asked.get("nonce"),
    )


def _noted(request: Request, note: str) -> Wish | None:
    """The authorization request a login form carries; None unless this browser got that form from us."""
    said = request.app.state.signer.read(note, LOGIN)
    browser = request.cookies.get(_cookie_name(request), "")
    ours = origin(request.app.state.settings.issuer)
    if said is None or request.headers.get("origin", ours) != ours:
        return None
    fields = dict(said["wish"])
    if not hmac.compare_digest(fields.pop("browser").encode(), browser.encode()):
        return None
    return Wish(**fields)


def _back(request: Request, address: str, **told: str | None) -> RedirectResponse:
    """303: the browser comes back by GET and its form does not travel on. `iss` tells the client which issuer answered."""
    query = {name: value for name, value in told.items() if value} | {"iss": request.app.state.settings.issuer}
    joint = "&" if "?" in address else "?"
    return RedirectResponse(f"{address}{joint}{urlencode(query)}", 303, {"Cache-Control": "no-store"})


async def _form(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InvalidRequest("send application/x-www-form-urlencoded")
    raw = await request.body()
    if len(raw) > _LONGEST_FORM:
        raise InvalidRequest("the form is too long")
    try:
        return _once_each(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise InvalidRequest("the form cannot be read") from None


def _once_each(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """A parameter said twice is read differently by different readers (RFC 6749 §3.1)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("a parameter came twice")
    if any("\0" in part for pair in pairs for part in pair):
        raise InvalidRequest("a parameter holds the character NUL")
    return found


def _issuer(request: Request) -> grants.Issuer:
    state = request.app.state
    return grants.Issuer(state.database, state.shelf.current(), state.signer, state.register)


def _place(request: Request, login: bytes) -> bytes:
    """The edge alone writes the address; whoever reaches this service past it is only known by her own."""
    address = request.headers.get("x-client-address") or (request.client.host if request.client else "")
    mark = request.cookies.get(_cookie_name(request, "browser"), "")
    return passwords.place_of(request.app.state.login_key, login, mark, address)


def _cookie_name(request: Request, of: str = "login") -> str:
    return f"__Host-wardline-{of}" if request.app.state.settings.secure_cookies else f"wardline-{of}"
