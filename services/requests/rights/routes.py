"""HTTP of rights. Who may see which request is decided by `queries.find`; whatever is not theirs does not exist."""

import os
from collections.abc import Iterator
from datetime import date
from typing import Annotated, BinaryIO, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from chassis import auth, telemetry
from chassis.auth import Caller
from chassis.bodies import Body
from chassis.db import Tx
from chassis.idempotency import Once, Sent
from services.requests.rights import contract, queries, reports, worklist
from services.requests.rights.commands import (
    asking,
    clocks,
    deciding,
    evidence,
    letters,
    posting,
    proving,
    receiving,
    tickets,
)
from services.requests.rights.contract import (
    AddEvidence,
    Ask,
    AskCode,
    Charge,
    CheckCode,
    Confirm,
    ConfirmMandate,
    Extend,
    HandOver,
    HandPart,
    NameController,
    OpenReception,
    OpenRequest,
    Paid,
    Post,
    PostTicket,
    Propose,
    ProtectPerson,
    ProveIdentity,
    PutOperator,
    RecordMandate,
    Refuse,
    Replied,
    Review,
    SetKey,
    SetPassphrase,
    State,
    ZendeskPost,
)
from services.requests.rights.office import TheOffice
from services.requests.rights.package import page, passphrase
from services.requests.rights.package.parts import MOST_PARTS
from services.requests.rights.rules import helpdesk
from services.requests.rights.waiting import LONGEST

router = APIRouter(prefix="/v1", tags=["rights"])

KEY = r"^[a-z][a-z0-9_]{0,63}$"
_PIECE = 256 * 1024
MONTH = r"^(20|21)[0-9]{2}-(0[1-9]|1[0-2])$"

Asker = Annotated[Caller, auth.Requires("rights.request", "rights.handle")]
Handler = Annotated[Caller, auth.Requires("rights.handle")]
TicketPoster = Annotated[Caller, auth.Requires("ticket.post")]


async def _moved(
    caller: Asker,
    request: Request,
    request_id: UUID,
    wait: Annotated[float, Query(ge=0, le=LONGEST, description="seconds to wait for another state than `known`")] = 0,
    known: State | None = None,
) -> None:
    if wait and known:
        await request.app.state.waiting.until_moved(caller, request_id, known, wait)


Moved = Annotated[None, Depends(_moved)]

Sheet = Body[AddEvidence]


async def _opened(caller: Asker, wish: Sheet) -> evidence.Paper:
    return await evidence.opened(wish)


Opened = Annotated[evidence.Paper, Depends(_opened)]


@router.post("/requests", status_code=201, response_model=contract.Request)
async def open_request(caller: Asker, wish: Body[OpenRequest], sent: Sent, request: Request):
    asked = asking.Asked(caller, wish, telemetry.traceparent())
    return (await request.app.state.intake(caller.tenant, sent, asked)).response()


@router.post("/tickets", status_code=201, response_model=contract.TicketTaken)
async def post_ticket(caller: TicketPoster, ticket: Body[PostTicket], tx: Tx, office: TheOffice, once: Once):
    return await once(tickets.take, tx, office, caller, ticket)


@router.post("/zendesk/tickets", status_code=201, response_model=contract.TicketTaken)
async def post_zendesk_ticket(caller: TicketPoster, post: Body[ZendeskPost], tx: Tx, office: TheOffice, once: Once):
    return await once(tickets.take, tx, office, caller, helpdesk.read(post))


@router.get("/passphrase", response_model=contract.DrawnPassphrase)
async def draw_passphrase(_: Asker):
    return contract.DrawnPassphrase(passphrase=passphrase.draw())


@router.get("/requests", response_model=contract.Requests)
async def list_requests(
    caller: Asker,
    tx: Tx,
    office: TheOffice,
    principal: UUID | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
):
    return await queries.list_requests(tx, office, caller, principal, after, limit)


@router.get("/requests/{request_id}", response_model=contract.Request)
async def read_request(caller: Asker, request_id: UUID, _: Moved, tx: Tx, office: TheOffice):
    """At once; with `wait` and `known`, as soon as it stands elsewhere than the caller knows."""
    return await queries.read_request(tx, office, caller, request_id)


@router.post("/requests/{request_id}/identity", response_model=contract.Request)
async def prove_identity(
    caller: Handler, request_id: UUID, proof: Body[ProveIdentity], tx: Tx, office: TheOffice, once: Once
):
    return await once(asking.prove_identity, tx, office, caller, request_id, proof)


@router.post("/requests/{request_id}/key", response_model=contract.Request)
async def set_key(caller: Asker, request_id: UUID, wish: Body[SetKey], tx: Tx, office: TheOffice, once: Once):
    return await once(asking.set_key, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/passphrase", response_model=contract.Request)
async def set_passphrase(
    caller: Asker, request_id: UUID, wish: Body[SetPassphrase], tx: Tx, office: TheOffice, once: Once
):
    return await once(asking.set_passphrase, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/paper", response_model=contract.Request)
async def on_paper(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice, once: Once):
    return await once(posting.want_instead, tx, office, caller, request_id)


@router.post("/requests/{request_id}/questions", response_model=contract.Request)
async def ask_person(caller: Handler, request_id: UUID, wish: Body[Ask], tx: Tx, office: TheOffice, once: Once):
    return await once(clocks.ask, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/replies", response_model=contract.Request)
async def reply(caller: Asker, request_id: UUID, wish: Body[Replied], tx: Tx, office: TheOffice, once: Once):
    return await once(clocks.take_reply, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/extension", response_model=contract.Request)
async def extend(caller: Handler, request_id: UUID, wish: Body[Extend], tx: Tx, office: TheOffice, once: Once):
    return await once(clocks.extend, tx, office, caller, request_id, wish)


@router.get("/requests/{request_id}/letters", response_model=contract.Letters)
async def read_letters(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice):
    return await letters.read(tx, office, caller, request_id)


@router.get("/requests/{request_id}/preview", response_model=contract.Preview)
async def read_preview(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice):
    return await queries.read_preview(tx, office, caller, request_id)


@router.post("/requests/{request_id}/confirm", response_model=contract.Request)
async def confirm(caller: Asker, request_id: UUID, wish: Body[Confirm], tx: Tx, office: TheOffice, once: Once):
    return await once(asking.confirm, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/withdraw", response_model=contract.Request)
async def withdraw(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice, once: Once):
    return await once(asking.withdraw, tx, office, caller, request_id)


@router.get("/requests/{request_id}/answer", response_model=contract.Answer)
async def read_answer(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice):
    return await queries.read_answer(tx, office, caller, request_id)


@router.get("/requests/{request_id}/answer/page", response_class=HTMLResponse)
async def read_answer_page(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice):
    """The same answer to read, to print and to post, in the request's language; to save, like everything that is about somebody."""
    told = await queries.read_answer(tx, office, caller, request_id)
    headers = {"content-disposition": 'attachment; filename="answer.html"'}
    return HTMLResponse(page.answer(told, office.book), headers=headers)


@router.get("/requests/{request_id}/certificate", response_model=contract.Certificate)
async def read_certificate(caller: Asker, request_id: UUID, request: Request, office: TheOffice):
    return await queries.read_certificate(request.app.state.database, office, caller, request_id)


@router.get("/requests/{request_id}/package", response_class=StreamingResponse)
async def fetch_package(caller: Asker, request_id: UUID, tx: Tx, office: TheOffice):
    """An attachment: the locked page must never run with this edge's own origin. Never a part of it, whoever asks for one: each answer
    counts as a download, also to a browser that looks at the first bytes before it takes the rest."""
    package = await asking.download(tx, office, caller, request_id)
    headers = {
        "content-disposition": 'attachment; filename="wardline-package.html"',
        "content-length": str(os.fstat(package.fileno()).st_size),
        "accept-ranges": "none",
    }
    return StreamingResponse(_pieces(package), media_type="text/html", headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


@router.post("/requests/{request_id}/refusal", response_model=contract.Request)
async def refuse(caller: Handler, request_id: UUID, wish: Body[Refuse], tx: Tx, office: TheOffice, once: Once):
    return await once(deciding.refuse, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/fee", response_model=contract.Request)
async def charge(caller: Handler, request_id: UUID, wish: Body[Charge], tx: Tx, office: TheOffice, once: Once):
    return await once(deciding.charge, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/payment", response_model=contract.Request)
async def paid(caller: Handler, request_id: UUID, wish: Body[Paid], tx: Tx, office: TheOffice, once: Once):
    return await once(deciding.paid, tx, office, caller, request_id, wish)


@router.get("/requests/{request_id}/print", response_class=Response)
async def print_report(caller: Handler, request_id: UUID, tx: Tx, office: TheOffice):
    """A page to save and print; it must never run in this edge's own origin."""
    page = await posting.printed(tx, office, caller, request_id)
    headers = {"content-disposition": "attachment", "content-security-policy": "sandbox; default-src 'none'"}
    return Response(page, media_type="application/octet-stream", headers=headers)


@router.post("/requests/{request_id}/posting", response_model=contract.Request)
async def posted(caller: Handler, request_id: UUID, wish: Body[Post], tx: Tx, office: TheOffice, once: Once):
    return await once(posting.posted, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/letters/{letter}/posting", response_model=contract.Letter)
async def letter_posted(
    caller: Handler, request_id: UUID, letter: UUID, wish: Body[Post], tx: Tx, office: TheOffice, once: Once
):
    return await once(posting.letter_posted, tx, office, caller, request_id, letter, wish)


@router.get("/portability", response_model=contract.Portability)
async def read_portability(_: auth.Anyone, office: TheOffice):
    return queries.portability(office)


@router.put("/operators/{operator}", response_model=contract.OtherOperator)
async def put_operator(
    caller: Handler,
    operator: Annotated[str, Path(pattern=KEY)],
    wish: Body[PutOperator],
    tx: Tx,
    office: TheOffice,
    once: Once,
):
    return await once(receiving.put_operator, tx, office, caller, operator, wish)


@router.get("/operators", response_model=contract.OtherOperators)
async def list_operators(_: Asker, tx: Tx):
    return await receiving.list_operators(tx)


@router.post("/receptions", status_code=201, response_model=contract.ReceptionOpened)
async def open_reception(caller: Asker, wish: Body[OpenReception], tx: Tx, office: TheOffice, once: Once):
    return await once(receiving.open_reception, tx, office, caller, wish)


@router.get("/receptions/{reception}", response_model=contract.Reception)
async def read_reception(caller: Asker, reception: UUID, tx: Tx):
    return await receiving.read_reception(tx, caller, reception)


@router.get("/receptions/{reception}/content", response_class=StreamingResponse)
async def read_content(caller: Asker, reception: UUID, tx: Tx, office: TheOffice):
    # Whose it is comes first: a stranger is not even told that there is something to log in for.
    found = await receiving.content(tx, office, caller, reception)
    asking.must_be_fresh(office, caller)
    headers = {"content-disposition": 'attachment; filename="portability.zip"'}
    return StreamingResponse(found, media_type="application/zip", headers=headers)


# Another operator has no account here: its signature on each statement is what it is known by.
@router.put("/receptions/{reception}/parts/{part}", status_code=204)
async def hand_part(
    _: auth.Anyone,
    request: Request,
    reception: UUID,
    part: Annotated[int, Path(ge=0, lt=MOST_PARTS)],
    wish: Body[HandPart],
    office: TheOffice,
):
    await receiving.take_part(request.app.state.database, office, reception, part, wish)
    return Response(status_code=204)


@router.post("/receptions/{reception}/end", response_model=contract.Received)
async def hand_over(_: auth.Anyone, request: Request, reception: UUID, wish: Body[HandOver], office: TheOffice):
    return await receiving.take_all(request.app.state.database, office, reception, wish)


@router.get("/tasks", response_model=contract.Tasks)
async def list_tasks(
    caller: Handler,
    tx: Tx,
    office: TheOffice,
    state: Literal["open", "proposed", "decided", "void"] | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
):
    return await queries.list_tasks(tx, office, caller, state, after, limit)


@router.post("/tasks/{task_id}/proposal", response_model=contract.Task)
async def propose(caller: Handler, task_id: UUID, wish: Body[Propose], tx: Tx, office: TheOffice, once: Once):
    return await once(deciding.propose, tx, office, caller, task_id, wish)


@router.post("/tasks/{task_id}/review", response_model=contract.Task)
async def review(caller: Handler, task_id: UUID, wish: Body[Review], tx: Tx, office: TheOffice, once: Once):
    return await once(deciding.review, tx, office, caller, task_id, wish)


@router.put("/controller", response_model=contract.Controller)
async def name_controller(caller: Handler, wish: Body[NameController], tx: Tx, once: Once):
    return await once(deciding.name_controller, tx, caller, wish)


@router.get("/controller", response_model=contract.Controller)
async def read_controller(_: Handler, tx: Tx):
    return await queries.read_controller(tx)


@router.post("/requests/{request_id}/code", response_model=contract.CodeAsked, status_code=202)
async def ask_code(caller: Asker, request_id: UUID, wish: Body[AskCode], tx: Tx, office: TheOffice, once: Once):
    return await once(proving.ask_code, tx, office, caller, request_id, wish)


@router.post("/requests/{request_id}/code/check", response_model=contract.CodeChecked)
async def check_code(caller: Asker, request_id: UUID, wish: Body[CheckCode], tx: Tx, office: TheOffice, once: Once):
    return await once(proving.check_code, tx, office, caller, request_id, wish)


@router.post("/mandates", status_code=201, response_model=contract.Mandate)
async def record_mandate(caller: Handler, wish: Body[RecordMandate], tx: Tx, office: TheOffice, once: Once):
    return await once(proving.record_mandate, tx, office, caller, wish)


@router.get("/mandates", response_model=contract.Mandates)
async def list_mandates(_: Handler, principal: UUID, tx: Tx):
    return await queries.list_mandates(tx, principal)


@router.get("/mandates/waiting", response_model=contract.Mandates)
async def list_waiting_mandates(
    _: Handler, tx: Tx, office: TheOffice, after: UUID | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50
):
    return await queries.list_waiting_mandates(tx, office, after, limit)


@router.post("/mandates/{mandate_id}/confirmation", response_model=contract.Mandate)
async def confirm_mandate(
    caller: Handler, mandate_id: UUID, wish: Body[ConfirmMandate], tx: Tx, office: TheOffice, once: Once
):
    return await once(proving.confirm_mandate, tx, office, caller, mandate_id, wish)


@router.post("/mandates/{mandate_id}/revocation", response_model=contract.Mandate)
async def revoke_mandate(caller: Handler, mandate_id: UUID, tx: Tx, office: TheOffice, once: Once):
    return await once(proving.revoke_mandate, tx, office, caller, mandate_id)


@router.put("/people/{principal}/protection", response_model=contract.Protection)
async def protect(caller: Handler, principal: UUID, wish: Body[ProtectPerson], tx: Tx, once: Once):
    return await once(proving.protect, tx, caller, principal, wish)


@router.get("/worklist", response_model=contract.Worklist)
async def read_worklist(
    _: Handler,
    tx: Tx,
    office: TheOffice,
    waits_for: contract.WaitsFor | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
):
    return await worklist.read(tx, office, waits_for, after, limit)


@router.get("/reports/{month}", response_model=contract.MonthReport)
async def read_report(_: Handler, month: Annotated[str, Path(pattern=MONTH)], tx: Tx, office: TheOffice):
    return await reports.month(tx, office, date.fromisoformat(f"{month}-01"))


@router.post("/requests/{request_id}/evidence", status_code=201, response_model=contract.EvidenceAdded)
async def add_evidence(
    caller: Asker, request_id: UUID, wish: Sheet, paper: Opened, tx: Tx, office: TheOffice, once: Once
):
    return await once(evidence.add, tx, office, caller, request_id, paper)


@router.get("/requests/{request_id}/evidence", response_model=contract.EvidenceFiles)
async def list_evidence(caller: Handler, request_id: UUID, tx: Tx, office: TheOffice):
    return await evidence.listed(tx, office, caller, request_id)


@router.get("/requests/{request_id}/evidence/{file}", response_class=Response)
async def read_evidence(caller: Handler, request_id: UUID, file: UUID, tx: Tx, office: TheOffice):
    """As bytes to save: whatever it is, no browser shows or runs it in this edge's name."""
    content = await evidence.read(tx, office, caller, request_id, file)
    headers = {"content-disposition": "attachment", "content-security-policy": "sandbox; default-src 'none'"}
    return Response(content, media_type="application/octet-stream", headers=headers)
