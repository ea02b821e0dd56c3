"""CAMARA ConsentInfo, and the page behind its captureUrl: the person logs in, reads, answers, and is sent back."""

import base64
import hmac
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import httpx2
from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from chassis.auth import Anyone, Caller, Requires
from chassis.bodies import Body, refuse_ambiguous
from chassis.db import Tx
from chassis.errors import PROBLEM_JSON, Malformed, Problem, Unavailable
from chassis.idempotency import Once
from chassis.identifiers import BadIdentifier
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import FindPrincipal, Identifier, IdentifiersConflict, IdentifierType
from services.consent import pages
from services.consent.camara import Refusal
from services.consent.commands import captures
from services.consent.commands.captures import Opened
from services.consent.contract import (
    CONSENT_INFO,
    Callbacks,
    CamaraError,
    NotAGuardian,
    NoticeNotInForce,
    NotYetEverywhere,
    ParentalNeeded,
    RetrievedStatus,
    RetrieveStatus,
    SetCallbacks,
    camara_answer,
)
from services.consent.routes import terms
from services.consent.tables import Capture, NoticeVersion

router = APIRouter()

ApiConsumer = Annotated[Caller, Requires("consent-info:retrieve")]
Token = Annotated[str, Path(max_length=1000)]  # whatever is left of the address: a person is answered by a page
ClientId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Word = Annotated[str | None, Query(max_length=2000)]

CLIENT = "capture"
RETURN = "/v1/captures/return"
_LONGEST_FORM = 4096

_CAMARA: dict[str, Any] = {"description": "CAMARA's shape of a refusal", "model": CamaraError}
_PAGE: dict[str, Any] = {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
# What is refused before it gets here is a page only for who asked for one.
_UNREAD: dict[str, Any] = {
    "description": "A page, or a problem",
    "content": _PAGE["content"] | {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_BACK: dict[str, Any] = {"description": "Back to the consumer, or to log in"}


@router.post(
    CONSENT_INFO,
    response_model=RetrievedStatus,
    response_model_exclude_none=True,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": RetrieveStatus.model_json_schema()}},
        }
    },
    responses={"4XX": _CAMARA, "5XX": _CAMARA},
)
async def retrieve_status(caller: ApiConsumer, request: Request):
    """May these scopes be used for this purpose? With a token of her own she is the subject; else `phoneNumber` names her."""
    try:
        found = await _retrieved(request, caller)
        return camara_answer(request, found.model_dump(mode="json", exclude_none=True))
    except Refusal as refusal:
        told = {"status": refusal.status, "code": refusal.code, "message": refusal.message}
        return camara_answer(request, told, refusal.status)


async def _retrieved(request: Request, caller: Caller) -> RetrievedStatus:
    asked = await _asked(request)
    principal = await _subject(request, caller, asked)
    state = request.app.state
    address = f"{state.settings.issuer.rstrip('/')}/v1/captures"
    async with state.database.transaction(caller.tenant) as tx:
        return await captures.retrieve(tx, terms.desk(request, caller), principal, asked, address)


async def _asked(request: Request) -> RetrieveStatus:
    raw = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _invalid("Send application/json.")
    try:
        refuse_ambiguous(raw)
        return RetrieveStatus.model_validate_json(raw)
    except (Malformed, ValidationError):
        raise _invalid("Client specified an invalid argument, request body or query param.") from None


async def _subject(request: Request, caller: Caller, asked: RetrieveStatus) -> UUID:
    if caller.principal is not None:
        if asked.phoneNumber is not None:
            raise Refusal(422, "UNNECESSARY_IDENTIFIER", "The phone number is already identified by the access token.")
        return caller.principal
    if asked.phoneNumber is None:
        raise Refusal(422, "MISSING_IDENTIFIER", "The phone number cannot be identified.")
    state = request.app.state
    anonymizer = AnonymizerClient(state.http, state.settings.peers["anonymizer"], state.tokens)
    wish = FindPrincipal(identifiers=[Identifier(type=IdentifierType.msisdn, value=asked.phoneNumber)])
    try:
        found = await anonymizer.lookup(wish, tenant=caller.tenant)
    except (IdentifiersConflict, BadIdentifier):
        found = None
    if found is None:
        raise Refusal(404, "IDENTIFIER_NOT_FOUND", "Phone number not found.")
    return found


def _invalid(message: str) -> Refusal:
    return Refusal(400, "INVALID_ARGUMENT", message)


@router.put("/v1/callbacks/{client}", response_model=Callbacks)
async def set_callbacks(caller: terms.NoticePublisher, client: ClientId, wish: Body[SetCallbacks], tx: Tx, once: Once):
    return await once(captures.set_callbacks, tx, client, wish)


# --- the page ------------------------------------------------------------------------------------------------------------


@router.get(RETURN, response_class=Response, responses={200: _PAGE, 303: _BACK, 400: _UNREAD, 403: _PAGE})
async def returned(_: Anyone, request: Request, code: Word = None, state: Word = None, iss: Word = None):
    """From the login: whoever logged in must be the person who is asked."""
    language = pages.language_of(request.headers.get("accept-language"))
    found = await _find(request, state)
    if found is None or iss != request.app.state.settings.issuer:
        return pages.told(language, "over", 400)
    if code is None:
        return await _sent_back(request, found, "error", language)
    try:
        person = await _logged_in(request, code, found.token)
    except Problem:
        return await _sent_back(request, found, "error", language)
    async with request.app.state.database.transaction(found.tenant) as tx:
        row, notice = await captures.read(tx, found.token)
        if person.principal not in await captures.speakers(tx, row) or person.tenant != found.tenant:
            return pages.told(language, "other", 403)
        if captures.over(row, notice, request.app.state.policy.current()):
            return pages.told(language, "over", 400)
        form = await captures.show(row, person.principal)
        return _question(request, row, notice, found.token, form, language, person.principal != row.principal)


@router.get("/v1/captures/{capture}", response_class=Response, responses={303: _BACK, 400: _UNREAD})
async def open_capture(_: Anyone, request: Request, capture: Token, state: Word = None):
    """What `captureUrl` leads to. `state`: the consumer's, kept and given back unchanged."""
    language = pages.language_of(request.headers.get("accept-language"))
    found = await _find(request, capture)
    if found is None:
        return pages.told(language, "over", 400)
    async with request.app.state.database.transaction(found.tenant) as tx:
        row, notice = await captures.read(tx, capture)
        over = captures.over(row, notice, request.app.state.policy.current())
        if not over and state is not None:
            row.consumer_state = state
    if over:
        return await _sent_back(request, found, "timeout", language)
    issuer = request.app.state.settings.issuer
    challenge = _urlsafe(sha256(_verifier(request, capture).encode()).digest())
    asked = {
        "client_id": CLIENT,
        "response_type": "code",
        "redirect_uri": issuer + RETURN,
        "scope": "consent.write",
        "state": capture,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "ui_locales": language,
    }
    return pages.back(f"{issuer}/authorize?{urlencode(asked)}")


@router.post(
    "/v1/captures/{capture}/answer",
    status_code=303,
    response_class=Response,
    responses={200: _PAGE, 303: _BACK, 400: _UNREAD, 403: _PAGE, 503: _PAGE},
)
async def answer_capture(_: Anyone, request: Request, capture: Token):
    """The page's form. Answered when every decision point knows it, like a withdrawal."""
    said = await _form(request)
    language = pages.language_of(said.get("language"))
    found = await _find(request, capture)
    if found is None or said.get("answer") not in ("yes", "no"):
        return pages.told(language, "over", 400)
    state = request.app.state
    try:
        async with state.database.transaction(found.tenant) as tx:
            desk = state.own_desk()
            row, event = await captures.answer(
                tx, desk, capture, said.get("form", ""), said["answer"] == "yes", language
            )
            address = await captures.back_to(tx, row, row.outcome)
    except (Refusal, NoticeNotInForce):
        return pages.told(language, "over", 400)
    except captures.EarlierPage:
        return pages.told(language, "earlier", 400, again=f"/v1/captures/{capture}")
    except ParentalNeeded:
        return pages.told(language, "guardian", 403, again=f"/v1/captures/{capture}")
    except NotAGuardian:
        return pages.told(language, "other", 403)
    try:
        await state.barrier.passed(event)
    except NotYetEverywhere:
        return pages.told(language, "soon", 503)
    return pages.back(address) if address else pages.told(language, "thanks")


async def _find(request: Request, token: str | None) -> Opened | None:
    return await captures.find(request.app.state.database, token) if token else None


async def _sent_back(request: Request, found: Opened, outcome: str, language: str) -> Response:
    async with request.app.state.database.transaction(found.tenant) as tx:
        row, _ = await captures.read(tx, found.token)
        address = await captures.back_to(tx, row, outcome) if row.outcome is None else None
    return pages.back(address) if address else pages.told(language, "over", 400)


async def _logged_in(request: Request, code: str, token: str) -> Caller:
    """Whoever logged in, by the code that came back. Raises Problem."""
    state = request.app.state
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "code": code,
        "redirect_uri": state.settings.issuer + RETURN,
        "code_verifier": _verifier(request, token),
    }
    try:
        answer = await state.http.post(f"{state.settings.peers['identity']}/token", data=form)
    except httpx2.HTTPError:
        raise Unavailable("The token issuer does not answer.") from None
    if answer.status_code != 200:
        raise Unavailable("The login was not completed.")
    return await state.people.caller(answer.json()["access_token"])


def _question(
    request: Request, row: Capture, notice: NoticeVersion, token: str, form: str, language: str, for_a_child: bool
) -> Response:
    book = request.app.state.policy.current()
    # Of the notice, a language it was published in.
    spoken = language if language in notice.texts else next(iter(notice.texts))
    covers = [each.covers for each in book.api_scopes if each.scope in row.scopes]
    return pages.question(
        spoken,
        row.callback,
        notice=notice.texts[spoken],
        controller=notice.controller,
        client=row.client,
        for_a_child=for_a_child,
        purpose=book.purpose(row.purpose).label.in_(spoken),
        labels=sorted({book.element(each).label.in_(spoken) for cover in covers for each in book.elements_of(cover)}),
        withdrawal_url=notice.withdrawal_url,
        token=token,
        form=form,
    )


async def _form(request: Request) -> dict[str, str]:
    raw = await request.body()
    if len(raw) > _LONGEST_FORM:
        return {}
    try:
        return dict(parse_qsl(raw.decode(), max_num_fields=10))
    except ValueError:
        return {}


def _verifier(request: Request, token: str) -> str:
    """PKCE's secret of this capture: known here alone, and the same in every process."""
    key = (request.app.state.settings.secrets_dir / "index.key").read_bytes()
    return _urlsafe(hmac.digest(key, f"capture {token}".encode(), "sha256"))


def _urlsafe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
