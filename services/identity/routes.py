"""The issuer over HTTP: discovery, the token endpoint, the login page, and accounts.

Everything here but `/v1/accounts` is for people and programs that have no token yet, and says so in its signature.
"""

import hmac
import secrets
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from chassis import telemetry
from chassis.auth import Anyone, Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.errors import PROBLEM_JSON, TooMany
from chassis.idempotency import Once
from chassis.pages import origin
from services.identity import commands, contract, eid, grants, pages, passwords, queries, rules
from services.identity.commands import Wish
from services.identity.contract import CreateAccount, GiveEid, InvalidRequest, InvalidScope, OAuthRefusal
from services.identity.rules import Client
from services.identity.tokens import EID, ID, LOGIN

router = APIRouter()
AccountWriter = Annotated[Caller, Requires("accounts.write")]

_LONGEST_FORM = 64 * 1024
_BROWSER_KNOWN = 180 * 86_400
_LONGEST_COOKIE = 4000  # browsers drop one of more than 4096 bytes with its name

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
        "acr_values_supported": sorted(_offered(request)),
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
        if not rules.enough(wish.acr_values, _offered(request)):
            raise contract.UnmetAuthentication
    except OAuthRefusal as refusal:
        return _back(request, back_to, error=refusal.error, error_description=refusal.detail, state=asked.get("state"))
    return await _page(request, language, wish)


@router.post("/login", status_code=303, responses={303: _BACK, 400: _EITHER, 401: _PAGE, 429: _SLOWLY})
async def login(_: Anyone, request: Request) -> Response:
    """The form of the login page. Its note proves that we made the page, the cookie that it was made for this browser."""
    form = await _form(request)
    language = pages.language_of(form.get("language"))
    wish = _noted(request, form.get("note", ""))
    if wish is None or rules.PASSWORD not in rules.enough(wish.acr_values, _offered(request)):
        return pages.notice(language, "cannot", 400)
    state = request.app.state
    hashed = passwords.login_hash(state.login_key, form.get("username", ""))
    try:
        account = await commands.log_in(state.database, hashed, form.get("password", ""), _place(request, hashed))
    except TooMany:
        return await _page(request, language, wish, "too_many", 429, form["note"])
    if account is None:
        return await _page(request, language, wish, "wrong", 401, form["note"])
    code = await commands.begin_session(state.database, account, wish)
    answer = _back(request, wish.redirect_uri, code=code, state=wish.state)
    _set(request, answer, "browser", passwords.browser_mark(state.login_key, hashed), _BROWSER_KNOWN)
    _unset(request, answer, "login")
    return answer


@router.post("/login/eid", status_code=303, responses={303: _BACK, 400: _EITHER, 503: _PAGE})
async def login_by_eid(_: Anyone, request: Request) -> Response:
    """The other form of the login page: off to the provider of electronic identities."""
    form = await _form(request)
    language = pages.language_of(form.get("language"))
    wish, party = _noted(request, form.get("note", "")), request.app.state.eid
    if wish is None or party is None:
        return pages.notice(language, "cannot", 400)
    attempt = eid.Attempt.new()
    try:
        way = await party.way(attempt, rules.enough(wish.acr_values, party.provider.acr), language)
    except eid.Away:
        return await _page(request, language, wish, "eid_away", 503, form["note"])
    note = request.app.state.signer.note(EID, wish=asdict(wish), attempt=asdict(attempt), language=language)
    if len(note) > _LONGEST_COOKIE:
        return pages.notice(language, "cannot", 400)
    answer = RedirectResponse(way, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    # Lax: the way back begins at the provider, and `strict` would leave the cookie at home.
    _set(request, answer, "eid", note, rules.LOGIN_SECONDS, "lax")
    return answer


@router.get(
    eid.CALLBACK,
    status_code=303,
    response_class=HTMLResponse,
    responses={303: _BACK, 400: _PAGE, 403: _PAGE, 503: _PAGE},
)
async def back_from_eid(_: Anyone, request: Request) -> Response:
    """Where the provider sends people back to. Only the browser that left comes back, and only once: its cookie is taken."""
    state = request.app.state
    said = state.signer.read(request.cookies.get(_cookie_name(request, "eid"), ""), EID)
    if said is None or state.eid is None:
        return pages.notice(pages.language_of(request.headers.get("accept-language")), "cannot", 400)
    wish, language = Wish(**said["wish"]), said["language"]
    enough = rules.enough(wish.acr_values, state.eid.provider.acr)
    try:
        told = _once_each(request.query_params.multi_items())
        proven = await state.eid.proven(eid.Attempt(**said["attempt"]), enough, told)
        known = eid.person_hash(state.login_key, state.eid.provider.issuer, proven.person)
        account = await queries.account_by_eid(state.database, known)
    except (eid.NotProven, OAuthRefusal) as refused:
        telemetry.log().warning("eID login refused", reason=getattr(refused, "why", "form"))
        answer = await _page(request, language, wish, "eid_refused", 403)
    except eid.Away:
        answer = await _page(request, language, wish, "eid_away", 503)
    else:
        if account is None:
            answer = await _page(request, language, wish, "eid_unknown", 403)
        else:
            code = await commands.begin_session(state.database, account, wish, proven.acr)
            answer = _back(request, wish.redirect_uri, code=code, state=wish.state)
            _unset(request, answer, "login")
    _unset(request, answer, "eid", "lax")
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
    return await once(commands.create_account, tx, login, _person(request, wish.eid), wish)


@router.post("/v1/accounts/{account}/eid", response_model=contract.Account)
async def give_eid(
    caller: AccountWriter, account: UUID, wish: Body[GiveEid], request: Request, tx: Tx, once: Once
) -> Response:
    return await once(commands.give_eid, tx, account, _person(request, wish.eid))


def _person(request: Request, said: str | None) -> bytes | None:
    """By what an electronic identity is found. Raises NoEidProvider, since one means nothing without who vouches for it."""
    if said is None:
        return None
    state = request.app.state
    if state.eid is None:
        raise contract.NoEidProvider
    return eid.person_hash(state.login_key, state.eid.provider.issuer, said)


def _offered(request: Request) -> list[str]:
    """What the ways to log in here are called in `acr`."""
    party = request.app.state.eid
    return [rules.PASSWORD, *(party.provider.acr if party else ())]


async def _page(
    request: Request, language: str, wish: Wish, fault: str | None = None, status: int = 200, note: str | None = None
) -> HTMLResponse:
    """The login page with the ways that are enough for this request; a new one, bound to this browser, unless its note is brought."""
    enough, party = rules.enough(wish.acr_values, _offered(request)), request.app.state.eid
    by_eid = bool(enough - {rules.PASSWORD})
    ways = pages.Ways(rules.PASSWORD in enough, await party.door() if by_eid else None)
    if by_eid and ways.eid is None:
        fault = fault or "eid_away"
    browser = secrets.token_urlsafe(32)
    fresh = note or request.app.state.signer.note(LOGIN, wish=asdict(wish) | {"browser": browser})
    page = pages.login(language, wish.client, fresh, wish.redirect_uri, ways, fault, status)
    if note is None:
        _set(request, page, "login", browser, rules.LOGIN_SECONDS)
    return page


def _set(
    request: Request, answer: Response, of: str, value: str, seconds: int, samesite: Literal["strict", "lax"] = "strict"
) -> None:
    secure = request.app.state.settings.secure_cookies
    name = _cookie_name(request, of)
    answer.set_cookie(name, value, max_age=seconds, path="/", httponly=True, samesite=samesite, secure=secure)


def _unset(request: Request, answer: Response, of: str, samesite: Literal["strict", "lax"] = "strict") -> None:
    secure = request.app.state.settings.secure_cookies
    answer.delete_cookie(_cookie_name(request, of), path="/", httponly=True, samesite=samesite, secure=secure)


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
        acr_values=asked.get("acr_values"),
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
