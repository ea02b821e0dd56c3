"""The clocks of a request: started with it, paused by a question asked in time, extended with a reason, ended by its answer."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlmodel import select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.ids import new_id
from chassis.rows import new_row
from services.registry.contract import NotInBook, Period, PolicyBook
from services.requests.rights import queries
from services.requests.rights.commands import letters
from services.requests.rights.contract import (
    Ask,
    CannotExtend,
    ClockTold,
    Extend,
    NotNow,
    ReasonUnknown,
    Replied,
    Request,
    State,
)
from services.requests.rights.moves import emit_moved
from services.requests.rights.office import Office
from services.requests.rights.rules import clock as counting
from services.requests.rights.rules.clock import NoticeKind, Pause, Term
from services.requests.rights.rules.way import ASKABLE, must_stand_in
from services.requests.rights.tables import ClockRow, RequestRow

ANSWER, INVESTIGATION = "answer", "investigation"

# Whose clocks have a notice to give: only rows that are due are read, by their index.
DUE = "SELECT DISTINCT tenant FROM request_clock WHERE ended_at IS NULL AND next_at <= $1"
AT_ONCE = 10_000
_STANDS = "SELECT DISTINCT due_on, told FROM request_clock WHERE ended_at IS NULL AND next_at <= $1"
# Clocks that end on one day and were told the same go on alike, so what follows is worked out once for all of them.
_TOLD = """
WITH due AS (
    SELECT c.id, c.request, n.told, n.next_at FROM request_clock c
    JOIN unnest($2::date[], $3::text[], $4::text[], $5::timestamptz[]) n(due_on, before, told, next_at)
      ON n.due_on = c.due_on AND n.before IS NOT DISTINCT FROM c.told
    WHERE c.ended_at IS NULL AND c.next_at <= $1 LIMIT $6 FOR UPDATE OF c SKIP LOCKED
)
UPDATE request_clock c SET told = coalesce(due.told, c.told), next_at = due.next_at
FROM due JOIN request r ON r.id = due.request WHERE c.id = due.id
RETURNING c.request, c.clock, c.party, c.due_on, due.told, r.principal"""


def begun(
    tx: Transaction,
    office: Office,
    row: RequestRow,
    period: Period,
    which: str = ANSWER,
    since: datetime | None = None,
) -> ClockRow:
    """The clock's row, which the caller writes. `since`: from when it is counted, where that is not the request's receipt."""
    book = office.book
    received_on = counting.day_of(since or row.received_at, book.tz)
    due = counting.due_after(Term(received_on, period), (), office.holidays)
    started = new_row(
        ClockRow,
        id=new_id(),
        tenant=tx.tenant,
        request=row.id,
        clock=which,
        party=row.party,
        received_on=received_on,
        period=str(period),
        pauses=[],
        due_on=due,
    )
    _wind(started, book)
    return started


async def hand_over(tx: Transaction, row: RequestRow) -> None:
    """Another party owes the answer."""
    for each in await queries.clocks_of(tx, row.id):
        each.party = row.party


async def end(
    tx: Transaction, row: RequestRow, which: str | None = None, running: Sequence[ClockRow] | None = None
) -> None:
    """One clock, or all of them, at the moment their answer is given. `running`: the request's, by whom they are known already."""
    for each in await queries.clocks_of(tx, row.id) if running is None else running:
        if each.ended_at is None and which in (None, each.clock):
            each.ended_at, each.next_at = clock.now(), None


async def answered(tx: Transaction, office: Office, row: RequestRow, running: Sequence[ClockRow] | None = None) -> None:
    """The answer ends its clock, which stood still until today if the person was still asked for something."""
    running = await queries.clocks_of(tx, row.id) if running is None else running
    for each in running:
        if each.clock == ANSWER and each.ended_at is None:
            _go_on(each, row, office, None)
    await end(tx, row, ANSWER, running)


async def count_from(tx: Transaction, office: Office, row: RequestRow, received_at: datetime) -> None:
    """The same had been asked before this request came: its clock runs from there."""
    await tx.session.refresh(row, with_for_update=True)
    running = await _clock(tx, row, ANSWER)
    if received_at < row.received_at and running.ended_at is None:
        row.received_at, running.received_on = received_at, counting.day_of(received_at, office.book.tz)
        _recount(running, row, office)


async def ask(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Ask) -> Request:
    """The person is asked; whether that stops the clock is counted from the day of receipt."""
    row = await queries.find(tx, office, caller, request, lock=True)
    must_stand_in(State(row.state), ASKABLE[wish.about])
    await pause(tx, office, row, wish.about)
    template, said = f"question_{wish.about}", {"text": wish.text.in_(row.language)}
    if wish.about == "identity" and (last := _waits_until(office.book)):
        row.awaiting_since, said["day"] = clock.now(), last.isoformat()
    elif wish.about == "identity":
        template = "question_identity_undated"
    await letters.write(tx, office, row, template, **said)
    await emit_moved(tx, "request.paused", row)
    return await queries.view(tx, row)


def _waits_until(book: PolicyBook) -> date | None:
    """The last day for whom is asked now who she is; a book from before it says none, and she is waited for until staff refuse."""
    with suppress(NotInBook):
        return book.period("identity_awaited").last_day(counting.day_of(clock.now(), book.tz))
    return None


async def pause(tx: Transaction, office: Office, row: RequestRow, about: str) -> None:
    """The person is to do something first. Raises NotNow while she is asked for something else."""
    running = await _clock(tx, row, ANSWER)
    if any(each["answered_on"] is None for each in running.pauses):
        raise NotNow("The person was asked already and has not answered yet.", state=row.state)
    book, today = office.book, counting.day_of(clock.now(), office.book.tz)
    within = book.period("asked_without_delay")
    counts = counting.was_asked_in_time(running.received_on, today, within, office.holidays)
    begun = {"about": about, "asked_on": today.isoformat(), "answered_on": None, "counts": counts}
    running.pauses = [*running.pauses, begun]
    if counts:
        running.next_at = None


async def take_reply(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Replied) -> Request:
    """The person answered: her words are kept with the others, and a question for clarification is over."""
    row = await queries.find(tx, office, caller, request, lock=True)
    if row.closed_at is not None:
        raise NotNow("The request is over.", state=row.state)
    await letters.take(tx, office, row, wish.text)
    heard(row)
    await resume(tx, office, row, "clarification")
    return await queries.view(tx, row)


def heard(row: RequestRow) -> None:
    """Who was asked who she is says or shows something: whether it proves that, staff see, and no rule refuses it any more."""
    if row.state in (State.received, State.clarification):
        row.awaiting_since = None


async def resume(tx: Transaction, office: Office, row: RequestRow, about: str) -> None:
    """What was asked about is known now: the clock goes on, later by the days it stood still."""
    if _go_on(await _clock(tx, row, ANSWER), row, office, about):
        await emit_moved(tx, "request.resumed", row)


async def extend(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Extend) -> Request:
    """Art. 12(3): once, by the book's period, with one of its reasons, said to the person inside the first period."""
    row = await queries.find(tx, office, caller, request, lock=True)
    running = await _clock(tx, row, ANSWER)
    book, today = office.book, counting.day_of(clock.now(), office.book.tz)
    reasons = {reason.key: reason for reason in book.extensions}
    if wish.reason not in reasons:
        raise ReasonUnknown(reasons=sorted(reasons))
    period = book.right(row.kind).extension
    term, pauses = term_of(running), pauses_of(running)
    if running.ended_at or period is None or not counting.may_extend(term, pauses, today, office.holidays):
        raise CannotExtend
    running.extension, running.extension_reason, running.told = str(period), wish.reason, None
    _recount(running, row, office)
    reason = reasons[wish.reason].label.in_(row.language)
    await letters.write(tx, office, row, "extension", reason=reason, text=wish.text.in_(row.language))
    await emit_moved(tx, "request.extended", row)
    return await queries.view(tx, row)


async def tell(tx: Transaction, office: Office) -> int:
    """Reminders, escalations and overdue answers of one tenant, in a few statements; how many clocks were looked at, which is
    AT_ONCE when there may be more."""
    now, book = clock.now(), office.book
    stands = [
        (due_on, told, *_latest_due(counting.notices(due_on, book, book.tz), told, now))
        for due_on, told in await tx.connection.fetch(_STANDS, now)
    ]
    columns = map(list, zip(*stands, strict=True)) if stands else ([], [], [], [])
    moved = await tx.connection.fetch(_TOLD, now, *columns, AT_ONCE)
    await tx.emit_many((f"request.{each['told']}", each["principal"], _said(each)) for each in moved if each["told"])
    return len(moved)


def _said(told: Mapping[str, Any]) -> dict[str, Any]:
    said = ClockTold(request=told["request"], clock=told["clock"], party=told["party"], due_on=told["due_on"])
    return said.model_dump(mode="json")


def term_of(row: ClockRow) -> Term:
    extension = Period.model_validate(row.extension) if row.extension else None
    return Term(row.received_on, Period.model_validate(row.period), extension)


def pauses_of(row: ClockRow) -> list[Pause]:
    return [
        Pause(
            about=pause["about"],
            asked_on=date.fromisoformat(pause["asked_on"]),
            answered_on=date.fromisoformat(pause["answered_on"]) if pause["answered_on"] else None,
            counts=pause["counts"],
        )
        for pause in row.pauses
    ]


def _latest_due(
    plan: Sequence[tuple[NoticeKind, datetime]], told: str | None, now: datetime
) -> tuple[NoticeKind | None, datetime | None]:
    """Of several notices whose time has come (after an outage, or for a letter typed in late) only the last is given; none where
    the book has come to give it later than it said when the clock was wound."""
    kinds = [kind for kind, _ in plan]
    left = plan[kinds.index(told) + 1 if told else 0 :]
    come = [kind for kind, at in left if at <= now]
    following = next((at for _, at in left if at > now), None)
    return come[-1] if come else None, following


def _wind(row: ClockRow, book: PolicyBook) -> None:
    following = counting.next_notice(row.due_on, row.told, book, book.tz)
    row.next_at = following[1] if following else None


def _go_on(running: ClockRow, row: RequestRow, office: Office, about: str | None) -> bool:
    """Whether it stood still for this (None: for anything)."""
    asked = [pause for pause in running.pauses if pause["answered_on"] is None and about in (None, pause["about"])]
    if not asked:
        return False
    today = counting.day_of(clock.now(), office.book.tz).isoformat()
    running.pauses = [pause | {"answered_on": today} if pause in asked else pause for pause in running.pauses]
    _recount(running, row, office)
    return True


def _recount(running: ClockRow, row: RequestRow, office: Office) -> None:
    pauses = pauses_of(running)
    running.due_on = counting.due_after(term_of(running), pauses, office.holidays)
    running.told = None if running.due_on != row.due_on else running.told
    row.due_on = running.due_on
    if counting.is_paused(pauses):
        running.next_at = None
    else:
        _wind(running, office.book)


async def _clock(tx: Transaction, row: RequestRow, which: str) -> ClockRow:
    wanted = select(ClockRow).where(ClockRow.request == row.id, ClockRow.clock == which).with_for_update()
    return (await tx.session.scalars(wanted)).one()
