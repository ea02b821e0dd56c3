"""What is read: one request as its caller may see it, its preview, its answer, its certificate."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar
from uuid import UUID, uuid5

import asyncpg
import sqlalchemy as sa
from joserfc.jwk import ECKey, OKPKey
from sqlalchemy.orm import Mapper, Session, class_mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import col, select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Database, Transaction
from chassis.errors import Forbidden
from chassis.ledger import queries as ledger
from chassis.ledger.contract import NotInLedger
from chassis.sealing import Shredded, SubjectKey
from services.anonymizer.contract import Action, Outcome, Scope
from services.registry.contract import Text
from services.requests.rights.contract import (
    Answer,
    ByHand,
    Certificate,
    Clock,
    Controller,
    Letter,
    Letters,
    Mandate,
    Mandates,
    NoController,
    NotAnswered,
    NotNow,
    NotYours,
    Package,
    Portability,
    Posted,
    Preview,
    ProofPending,
    PublicKey,
    Request,
    Requests,
    RequestUnknown,
    State,
    Step,
    Task,
    Tasks,
    TaskUnknown,
)
from services.requests.rights.office import Office
from services.requests.rights.package.build import PORTABLE
from services.requests.rights.rules import answers, kinds, proof
from services.requests.rights.rules import clock as counting
from services.requests.rights.rules.answers import Told
from services.requests.rights.tables import ClockRow, ControllerRow, LetterRow, MandateRow, RequestRow, StepRow, TaskRow

Row = TypeVar("Row", RequestRow, StepRow, ClockRow)
# By whose data it is about, and who asks for her.
Open = defaultdict[tuple[UUID | None, UUID | None], list[UUID]]

_DECIDES_ITSELF = "SELECT EXISTS (SELECT FROM controller WHERE tenant = $1)"
_PARTED = "SELECT EXISTS (SELECT FROM request WHERE part_of = $1)"
_OPEN_BY_LOGIN = """
SELECT principal, agent, id FROM request
WHERE tenant = $1 AND principal = ANY ($2) AND state = ANY ($3)
    AND channel = 'portal' AND evidence_method IS NULL AND part_of IS NULL
ORDER BY id"""
# What `kinds.asked_already` and `kinds.is_in_force` look at.
_STANDING = f"""
state IN ({", ".join(f"'{state}'" for state in sorted(kinds.OPEN))}) OR (kind = 'restriction' AND state = 'answered')"""
_FORGOTTEN = """
SELECT EXISTS (SELECT FROM request r JOIN request_step s ON s.request = r.id
WHERE r.principal = $1 AND s.verb = 'forget' AND s.state = 'done')"""

HANDLING = "rights.handle"
DECIDES = {"operator": "privacy_officer", "tenant": "privacy_contact"}


def shelf_of(request: UUID) -> UUID:
    """Whose key seals what is written about a request: it outlives the key of what the person told us to find her data."""
    return uuid5(request, "correspondence")


def may_see(caller: Caller, row: RequestRow) -> bool:
    """A person sees her own requests and those she made for somebody, staff who handle requests see the tenant's, the
    helpdesk's system those of its tickets."""
    if caller.principal is not None:
        return caller.principal in (row.principal, row.agent)
    return HANDLING in caller.scopes or row.ticket is not None


async def find(tx: Transaction, office: Office, caller: Caller, request: UUID, *, lock: bool = False) -> RequestRow:
    """Raises RequestUnknown for what is not there, and for what this caller may not know to be there."""
    row = await tx.session.get(RequestRow, request, with_for_update=True if lock else None)
    if row is None or not may_see(caller, row):
        raise RequestUnknown
    if caller.principal not in (None, row.principal):
        await _must_still_act(tx, office, row)
    return row


async def find_own(tx: Transaction, office: Office, caller: Caller, request: UUID, *, lock: bool = False) -> RequestRow:
    """The same for what is the person's alone, her package and the words that lock it: neither staff nor the system that
    passed her ticket on may have them. Raises Forbidden for those."""
    row = await find(tx, office, caller, request, lock=lock)
    if caller.principal is None:
        raise Forbidden("The package is for the person alone.")
    return row


async def _must_still_act(tx: Transaction, office: Office, row: RequestRow) -> None:
    """An agent whose mandate ended sees no more of what she asked."""
    if (row.principal, row.kind) not in await mandated(tx, office, row.agent):
        raise RequestUnknown


async def mandated(tx: Transaction, office: Office, agent: UUID) -> set[tuple[UUID, str]]:
    """For whom somebody may act today, and in which rights. A child for nobody."""
    today = counting.day_of(clock.now(), office.book.tz)
    of_both = select(MandateRow).where(sa.or_(MandateRow.agent == agent, MandateRow.principal == agent))
    mandates = (await tx.session.scalars(of_both)).all()
    if any(each.principal == agent and proof.says_of_a_child(each, today) for each in mandates):
        return set()
    return {(each.principal, kind) for each in mandates for kind in each.kinds if proof.is_live(each, kind, today)}


async def steps_of(tx: Transaction, request: UUID) -> Sequence[StepRow]:
    """In the order in which they were planned."""
    wanted = select(StepRow).where(StepRow.request == request).order_by(col(StepRow.id))
    return (await tx.session.scalars(wanted)).all()


async def steps_of_all(tx: Transaction, requests: Sequence[UUID], lock: bool = False) -> dict[UUID, list[StepRow]]:
    """The steps of each, in the order in which they were planned."""
    return await _of_all(tx, StepRow, "request", requests, lock)


async def locked(tx: Transaction, table: type[Row], ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Rows by id, locked in one order for everybody."""
    return {row.id: row for row in await _those(tx, table, "id", ids, lock=True)}


async def requests_by_id(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, RequestRow]:
    return {row.id: row for row in await _those(tx, RequestRow, "id", ids)}


async def standing_of_all(tx: Transaction, principals: Sequence[UUID]) -> dict[UUID, list[RequestRow]]:
    """What each of these people asked for and is open, or a restriction that holds, oldest first: however much was answered before."""
    return await _of_all(tx, RequestRow, "principal", principals, also=_STANDING)


async def decides_itself(tx: Transaction) -> bool:
    """Whether the organisation is controller of some of its data."""
    return await tx.connection.fetchval(_DECIDES_ITSELF, tx.tenant)


async def is_parted(tx: Transaction, row: RequestRow) -> bool:
    """Whether the other controller's part was asked for."""
    parted: bool = await tx.connection.fetchval(_PARTED, row.id)
    return parted


async def _of_all(
    tx: Transaction, table: type[Row], column: str, named: Sequence[UUID], lock: bool = False, also: str = ""
) -> dict[UUID, list[Row]]:
    """The rows of each that a column names, oldest first. also: what else is true of them, in SQL."""
    found: dict[UUID, list[Row]] = {each: [] for each in named}
    for row in await _those(tx, table, column, found, lock, also):
        found[getattr(row, column)].append(row)
    return found


async def _those(
    tx: Transaction, table: type[Row], column: str, named: Iterable[UUID], lock: bool = False, also: str = ""
) -> list[Row]:
    values = list(set(named))
    if not values:
        return []
    session = tx.session.sync_session
    if session.new or session.dirty or session.deleted:
        await tx.flush()
    records = await tx.connection.fetch(_selecting(table, column, lock, also), values)
    mapper = class_mapper(table)
    return [_known(session, mapper, record, anew=lock) for record in records]


def _known(session: Session, mapper: Mapper[Row], record: asyncpg.Record, anew: bool) -> Row:
    """The session's row, as if the session had read it, which takes it five times as long. anew: what stands in the database counts for
    one that it has read before."""
    row = session.identity_map.get(mapper.identity_key_from_primary_key((record["id"],)))
    if row is None:
        row = mapper.class_manager.new_instance()
        vars(row).update(record)
        make_transient_to_detached(row)
        session.add(row)
    elif anew:
        for name, value in record.items():
            set_committed_value(row, name, value)
    return row


@cache
def _selecting(table: type[Row], column: str, lock: bool, also: str) -> str:
    """However many values there are, it is one statement, which the server has planned already."""
    mapper = class_mapper(table)
    columns = ", ".join(each.key for each in mapper.column_attrs)
    those = f"{column} = ANY ($1) AND ({also})" if also else f"{column} = ANY ($1)"
    wanted = f"SELECT {columns} FROM {mapper.local_table.name} WHERE {those} ORDER BY id"
    return f"{wanted} FOR UPDATE" if lock else wanted


async def open_by_login(tx: Transaction, principals: Sequence[UUID]) -> Open:
    """What is open of these people that they asked for with a login, or who acts for them did; another controller's part is no request
    of theirs."""
    found: Open = defaultdict(list)
    if principals:
        for principal, agent, id in await tx.connection.fetch(
            _OPEN_BY_LOGIN, tx.tenant, principals, sorted(kinds.OPEN)
        ):
            found[principal, agent].append(id)
    return found


async def was_forgotten(tx: Transaction, principal: UUID) -> bool:
    """Whether the data plane was told to forget her, and did."""
    forgotten: bool = await tx.connection.fetchval(_FORGOTTEN, principal)
    return forgotten


async def others_of(tx: Transaction, row: RequestRow) -> Sequence[RequestRow]:
    """The same person's other requests."""
    wanted = select(RequestRow).where(RequestRow.principal == row.principal, RequestRow.id != row.id)
    return (await tx.session.scalars(wanted.order_by(col(RequestRow.id)))).all()


def must_decide(caller: Caller, party: str) -> None:
    """An organisation's privacy contact decides about its data, the operator's privacy officers about the operator's."""
    if DECIDES[party] not in caller.roles:
        raise NotYours


async def find_of_task(tx: Transaction, office: Office, caller: Caller, task: UUID) -> RequestRow:
    """The request of a task, locked. Raises TaskUnknown and NotYours."""
    found = await tx.session.get(TaskRow, task)
    if found is None:
        raise TaskUnknown
    must_decide(caller, found.party)
    return await find(tx, office, caller, found.request, lock=True)


async def list_tasks(
    tx: Transaction, office: Office, caller: Caller, state: str | None, after: UUID | None, limit: int
) -> Tasks:
    """What this caller may decide, the oldest first."""
    parties = [party for party, role in DECIDES.items() if role in caller.roles]
    wanted = select(TaskRow, RequestRow).join(RequestRow, col(RequestRow.id) == TaskRow.request)
    wanted = wanted.where(col(TaskRow.party).in_(parties)).order_by(col(TaskRow.id)).limit(limit)
    if state is not None:
        wanted = wanted.where(TaskRow.state == state)
    if after is not None:
        wanted = wanted.where(TaskRow.id > after)
    rows = (await tx.session.execute(wanted)).all()
    items = [await task_view(tx, office, task, row) for task, row in rows]
    return Tasks(items=items, next=str(rows[-1][0].id) if len(rows) == limit else None)


async def task_view(tx: Transaction, office: Office, task: TaskRow, row: RequestRow) -> Task:
    return Task(
        task=task.id,
        request=row.id,
        kind=row.kind,
        matter=task.matter,
        party=task.party,
        eyes=task.eyes,
        state=task.state,
        due_on=task.due_on,
        verdict=task.verdict,
        reason=task.reason,
        text=await _text_if_kept(tx, office, task),
        fee_ore=task.fee_ore,
        digest=task.digest,
        proposed_by=task.proposed_by,
        decided_by=task.decided_by,
        decided_at=task.decided_at,
    )


async def _text_if_kept(tx: Transaction, office: Office, task: TaskRow) -> Text | None:
    """A request may end while its task is listed, and what was written about it goes: of all others the list is still to be had."""
    try:
        return await task_text(tx, office, task) if task.text else None
    except Shredded:
        return None


async def task_text(tx: Transaction, office: Office, task: TaskRow) -> Text:
    shelf = shelf_of(task.request)
    return Text.model_validate_json(
        await office.sealer.open(tx.connection, tx.tenant, shelf, "request_task", "text", task.text)
    )


async def list_mandates(tx: Transaction, principal: UUID) -> Mandates:
    """Who may act for a person, and who may no more; newest first."""
    wanted = select(MandateRow).where(MandateRow.principal == principal).order_by(col(MandateRow.id).desc())
    return Mandates(items=[mandate_view(row) for row in (await tx.session.scalars(wanted)).all()])


async def list_waiting_mandates(tx: Transaction, office: Office, after: UUID | None, limit: int) -> Mandates:
    """Those by which nobody acts before another of the staff has looked at their papers; the oldest first."""
    today = counting.day_of(clock.now(), office.book.tz)
    lives = col(MandateRow.revoked_at).is_(None), sa.func.coalesce(MandateRow.valid_to, today) >= today
    wanted = select(MandateRow).where(MandateRow.waiting, *lives).order_by(col(MandateRow.id)).limit(limit)
    if after is not None:
        wanted = wanted.where(MandateRow.id > after)
    rows = (await tx.session.scalars(wanted)).all()
    return Mandates(items=[mandate_view(row) for row in rows], next=str(rows[-1].id) if len(rows) == limit else None)


def mandate_view(row: MandateRow) -> Mandate:
    return Mandate(
        mandate=row.id,
        principal=row.principal,
        agent=row.agent,
        basis=row.basis,
        kinds=row.kinds,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        recorded_by=row.recorded_by,
        recorded_at=row.recorded_at,
        waiting=row.waiting,
        vouched_by=row.vouched_by,
        confirmed_by=row.confirmed_by,
        revoked_at=row.revoked_at,
    )


async def read_controller(tx: Transaction) -> Controller:
    row = await tx.session.get(ControllerRow, tx.tenant)
    if row is None:
        raise NoController
    return Controller(name=row.name, contact=row.contact, named_at=row.named_at)


def portability(office: Office) -> Portability:
    """What another operator registers of us, so that packages may go both ways."""
    signing = PublicKey.model_validate_json(json.dumps(_public(office.signing)))
    sealing = PublicKey.model_validate_json(json.dumps(_public(office.sealing)))
    return Portability(format=PORTABLE, name=office.book.controller.name, signing=signing, sealing=sealing)


def _public(key: OKPKey | ECKey) -> dict[str, Any]:
    return {name: value for name, value in key.as_dict(private=False).items() if name in PublicKey.model_fields}


async def clocks_of(tx: Transaction, request: UUID) -> Sequence[ClockRow]:
    wanted = select(ClockRow).where(ClockRow.request == request).order_by(col(ClockRow.id))
    return (await tx.session.scalars(wanted)).all()


async def clocks_of_all(tx: Transaction, requests: Sequence[UUID]) -> dict[UUID, list[ClockRow]]:
    return await _of_all(tx, ClockRow, "request", requests)


async def read_request(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Request:
    return await view(tx, await find(tx, office, caller, request))


async def list_requests(
    tx: Transaction, office: Office, caller: Caller, principal: UUID | None, after: UUID | None, limit: int
) -> Requests:
    """Newest first."""
    wanted = select(RequestRow).order_by(col(RequestRow.id).desc()).limit(limit)
    if caller.principal is not None and principal is None:
        mine = caller.principal
        for_others = sa.tuple_(col(RequestRow.principal), col(RequestRow.kind)).in_(await mandated(tx, office, mine))
        theirs = sa.and_(col(RequestRow.agent) == mine, for_others)
        wanted = wanted.where(sa.or_(col(RequestRow.principal) == mine, theirs))
    elif principal is not None:
        wanted = wanted.where(RequestRow.principal == caller.own(principal))
    if caller.principal is None and HANDLING not in caller.scopes:
        wanted = wanted.where(col(RequestRow.ticket).is_not(None))
    if after is not None:
        wanted = wanted.where(RequestRow.id < after)
    rows = (await tx.session.scalars(wanted)).all()
    named = [row.id for row in rows]
    steps = await steps_of_all(tx, named)
    clocks = await clocks_of_all(tx, named)
    items = [_request(row, steps[row.id], clocks[row.id]) for row in rows]
    return Requests(items=items, next=str(rows[-1].id) if len(rows) == limit else None)


async def read_preview(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Preview:
    row = await find(tx, office, caller, request)
    if row.state in (State.received, State.clarification, State.identified):
        raise NotNow("The stores have not all said yet what would be erased.", state=row.state)
    return await preview_of(tx, request)


async def preview_of(tx: Transaction, request: UUID) -> Preview:
    """One recording that waits to be confirmed has no lines: it is what the request names."""
    planned = await steps_of(tx, request)
    previewed = [step for step in planned if step.verb == "preview"]
    if not previewed and not any(step.state == "deferred" and step.due_at is None for step in planned):
        raise NotNow("This request has no preview.")
    return answers.preview(request, [told(step) for step in previewed])


async def read_answer(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Answer:
    """What was decided in words is sealed, and gone with the request."""
    row = await find(tx, office, caller, request)
    if row.answer is None:
        raise NotAnswered
    answer = Answer.model_validate(row.answer)
    if row.reason is None or (caller.principal is None and HANDLING not in caller.scopes):
        return answer
    opened = await office.sealer.open(tx.connection, tx.tenant, shelf_of(row.id), "request", "reason", row.reason)
    return answer.model_copy(update={"text": Text.model_validate_json(opened).in_(row.language)})


async def read_certificate(database: Database, office: Office, caller: Caller, request: UUID) -> Certificate:
    """Signature and ledger proof. Raises ProofPending for a moment after the answer."""
    async with database.transaction(caller.tenant) as tx:
        row = await find(tx, office, caller, request)
    if row.certificate is None or row.answer_event is None:
        raise NotAnswered
    async with database.system() as connection:
        try:
            inclusion = await ledger.inclusion(connection, database.service, row.answer_event, row.tenant)
        except NotInLedger:
            raise ProofPending from None
    return Certificate(jws=row.certificate, inclusion=inclusion)


async def read_letters(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Letters:
    """The correspondence of a request, oldest first; nothing once it is over and our copies are gone. It is between the
    person and staff: a system that brought the ticket reads none of it."""
    row = await find(tx, office, caller, request)
    if caller.principal is None and HANDLING not in caller.scopes:
        raise RequestUnknown
    wanted = select(LetterRow).where(LetterRow.request == row.id, col(LetterRow.body).is_not(None))
    rows = (await tx.session.scalars(wanted.order_by(col(LetterRow.id)))).all()
    if not rows:
        return Letters(items=[])
    key = await office.sealer.key(tx.connection, tx.tenant, shelf_of(row.id))
    return Letters(items=[_letter(each, key) for each in rows])


async def letter_view(tx: Transaction, office: Office, row: LetterRow) -> Letter:
    return _letter(row, await office.sealer.key(tx.connection, tx.tenant, shelf_of(row.request)))


def _letter(row: LetterRow, key: SubjectKey) -> Letter:
    return Letter(
        letter=row.id,
        direction=row.direction,
        template=row.template,
        language=row.language,
        made_at=row.made_at,
        subject=key.open("letter", "subject", row.subject).decode(),
        body=key.open("letter", "body", row.body).decode(),
        state=row.state,
        problem=row.problem,
        sent_at=row.sent_at,
        posted=Posted.model_validate(row.posted) if row.posted else None,
    )


def told(step: StepRow) -> Told:
    return Told(step.store, label(step), outcomes(step))


def told_after_erasing(steps: Iterable[StepRow]) -> list[Told]:
    """What all rounds erased, and what the last round of each store still keeps."""
    erasures = [step for step in steps if step.verb == "erase" and step.state == "done"]
    last = {step.store: step.round for step in sorted(erasures, key=lambda step: step.round)}
    return [
        Told(step.store, label(step), [o for o in outcomes(step) if o.action is not Action.keep or is_last])
        for step in erasures
        for is_last in [step.round == last[step.store]]
    ]


def outcomes(step: StepRow) -> list[Outcome]:
    said = (step.result or {}).get("outcomes", [])
    return [Outcome.model_validate(each) for each in said]


def attested(steps: Iterable[StepRow]) -> list[ByHand]:
    return [
        ByHand(store=step.store, label=label(step), attested=step.result["attested"])
        for step in steps
        if step.result and step.result.get("attested")
    ]


def label(step: StepRow) -> Text:
    return Text.model_validate(step.label)


async def view(tx: Transaction, row: RequestRow) -> Request:
    await tx.session.flush()
    return _request(row, await steps_of(tx, row.id), await clocks_of(tx, row.id))


def view_of_new(row: RequestRow, clock: ClockRow) -> Request:
    """Of one that was just received, and of which nothing is done yet."""
    return _request(row, (), [clock])


def _request(row: RequestRow, steps: Iterable[StepRow], clocks: Iterable[ClockRow]) -> Request:
    return Request(
        request=row.id,
        kind=row.kind,
        channel=row.channel,
        language=row.language,
        state=row.state,
        received_at=row.received_at,
        recorded_at=row.recorded_at,
        due_on=row.due_on,
        principal=row.principal,
        party=row.party,
        part_of=row.part_of,
        duplicate_of=row.duplicate_of,
        purpose=row.purpose,
        ground=row.ground,
        outcome=row.outcome,
        agent=row.agent,
        ticket=row.ticket,
        fee_ore=row.fee_ore,
        by_post=row.by_post,
        scope=Scope(recording=row.recording, elements=row.elements or []) if row.recording or row.elements else None,
        handed_over_at=row.handed_over_at,
        executes_at=row.executes_at,
        answered_at=row.answered_at,
        closed_at=row.closed_at,
        package=_package(row),
        steps=[_step(step) for step in steps],
        clocks=[_clock(each) for each in clocks],
    )


def _clock(row: ClockRow) -> Clock:
    return Clock(
        clock=row.clock,
        party=row.party,
        received_on=row.received_on,
        due_on=row.due_on,
        running=row.ended_at is None and not any(p["counts"] and p["answered_on"] is None for p in row.pauses),
        pauses=row.pauses,
        extended=row.extension is not None,
        extension_reason=row.extension_reason,
        ended_at=row.ended_at,
    )


def _package(row: RequestRow) -> Package | None:
    if row.package_sha256 is None or row.state != State.answered:
        return None
    return Package(
        bytes=row.package_bytes,
        sha256=row.package_sha256,
        expires_at=row.package_expires_at,
        deleted_at=row.package_deleted_at,
        downloads_left=row.downloads_left,
    )


def _step(row: StepRow) -> Step:
    return Step(
        step=row.id,
        store=row.store,
        label=label(row),
        verb=row.verb,
        state=row.state,
        round=row.round,
        tries=row.tries,
        problem=row.problem,
        next_at=row.next_at,
        due_on=row.due_on,
        waiting=row.result["waiting"] if row.state == "waiting" and row.result else None,
    )
