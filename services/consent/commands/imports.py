"""An operator's existing consents, taken over in chunks: each is one transaction, so a cut import goes on where it stood.

Every row goes the way of every statement: receipt, ledger, sequence, and what was said later counts. A row that is refused is kept
with its number and the reason, never with its values; its neighbours stand.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlmodel import select

from chassis import clock
from chassis.contract import Moment
from chassis.db import Transaction
from chassis.errors import Problem
from chassis.ids import new_id
from services.consent import rules
from services.consent.commands import notices
from services.consent.commands.desk import Desk
from services.consent.commands.recording import Spoken, record_all
from services.consent.contract import (
    ChunkOutOfTurn,
    Import,
    ImportChunk,
    ImportEnded,
    ImportRow,
    Kind,
    LanguageMissing,
    Recorded,
    StartImport,
    State,
    UnknownImport,
)
from services.consent.rules import Matter
from services.consent.tables import ConsentImport, ImportRefusal

_GROUP = 500
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


class RowRefused(Problem):
    code, status, title = "consent.row_malformed", 422, "This row cannot be read"


async def start(tx: Transaction, desk: Desk, wish: StartImport) -> Import:
    row = ConsentImport(
        tenant=tx.tenant,
        id=new_id(),
        source=wish.source,
        state="open",
        chunks=0,
        taken=0,
        refused=0,
        started_at=clock.now(),
    )
    tx.session.add(row)
    fact = await tx.emit("import.started", {"import": str(row.id), "client": desk.caller.original_client})
    return _as_reply(row, fact.id)


async def take(tx: Transaction, desk: Desk, name: UUID, number: int, chunk: ImportChunk) -> Import:
    """The next chunk. One that was taken before changes nothing."""
    row = await _locked(tx, name)
    if number < row.chunks:
        return _as_reply(row, name)
    if row.state != "open":
        raise ImportEnded("Begin a new import.")
    if number > row.chunks:
        raise ChunkOutOfTurn("Send the chunks in their order.", next_chunk=row.chunks)
    first, refused, spoken = row.taken + row.refused + 1, [], []
    for place, cells in enumerate(chunk.rows):
        try:
            spoken.append((first + place, await _spoken(tx, desk, name, cells)))
        except Problem as reason:
            refused.append((first + place, reason))
    event = name
    for at in range(0, len(spoken), _GROUP):
        group = spoken[at : at + _GROUP]
        outcomes = await record_all(tx, [each for _, each in group])
        for (place, _), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Recorded):
                event = outcome.event
            else:
                refused.append((place, outcome))
    tx.session.add_all(
        ImportRefusal(tenant=tx.tenant, name=name, row=place, code=reason.code, reason=reason.detail or reason.title)
        for place, reason in refused
    )
    row.chunks, row.refused = number + 1, row.refused + len(refused)
    row.taken += len(chunk.rows) - len(refused)
    return _as_reply(row, event)


async def end(tx: Transaction, _desk: Desk, name: UUID) -> Import:
    row = await _locked(tx, name)
    if row.state == "open":
        row.state = "ended"
        told = {"import": str(name), "taken": row.taken, "refused": row.refused}
        await tx.emit("import.ended", told)
    return _as_reply(row, name)


async def read(tx: Transaction, name: UUID) -> Import:
    return _as_reply(await _known(tx, name), name)


async def refusals(tx: Transaction, name: UUID, after: int, limit: int) -> list[ImportRefusal]:
    await _known(tx, name)
    found = select(ImportRefusal).where(ImportRefusal.name == name, ImportRefusal.row > after)
    return list((await tx.session.execute(found.order_by(ImportRefusal.row).limit(limit))).scalars())


async def _spoken(tx: Transaction, desk: Desk, name: UUID, cells: Mapping[str, str | None]) -> Spoken:
    """What a row says, checked like a statement made today would be. Raises Problem."""
    said = _read(cells)
    at, until = _moment(said.occurred_at, "occurred_at"), None
    if said.valid_until:
        until = _moment(said.valid_until, "valid_until")
    state = State(said.state)
    rules.must_be_in_book(desk.book, said.purpose, [])
    notice = None
    if said.notice is not None:
        notice = await notices.in_force(tx, said.notice, said.notice_version or 0, at)
        if said.language not in notice.texts:
            raise LanguageMissing("This notice was not published in that language.")
        explained = [each for row in notice.purposes if row["purpose"] == said.purpose for each in row["categories"]]
        rules.must_rest_on_consent(desk.book, said.purpose, explained)
    elif state is State.given:
        raise RowRefused("A consent names the notice and its version.")
    details = {"language": said.language, "collection_method": said.method, "type": "expressed", "import": str(name)}
    details |= {"evidence_ref": said.evidence_ref} if said.evidence_ref else {}
    return Spoken(
        desk,
        said.principal,
        Matter(Kind.consent, said.regulation, said.purpose),
        state,
        at,
        details,
        notice,
        until=until,
    )


def _read(cells: Mapping[str, str | None]) -> ImportRow:
    try:
        return ImportRow.model_validate_strings({name: cell for name, cell in cells.items() if cell})
    except ValidationError as faults:
        named = {str(fault["loc"][0]) for fault in faults.errors(include_input=False)}
        # A column's name is the sender's own word, which has no place in a report that a spreadsheet opens.
        columns = sorted(each if each in ImportRow.model_fields else "an unknown column" for each in named)
        raise RowRefused(f"Missing, unknown or unreadable: {', '.join(columns)}.") from None


def _moment(written: str, column: str) -> datetime:
    try:
        return _MOMENT.validate_strings(written, strict=False)
    except ValidationError:
        raise RowRefused(f"Missing, unknown or unreadable: {column}.") from None


async def _locked(tx: Transaction, name: UUID) -> ConsentImport:
    row = await tx.session.get(ConsentImport, (tx.tenant, name), with_for_update=True)
    if row is None:
        raise UnknownImport("No import of this organisation has that name.")
    return row


async def _known(tx: Transaction, name: UUID) -> ConsentImport:
    row = await tx.session.get(ConsentImport, (tx.tenant, name))
    if row is None:
        raise UnknownImport("No import of this organisation has that name.")
    return row


def _as_reply(row: ConsentImport, event: UUID) -> Import:
    return Import(**row.model_dump(), name=row.id, next_chunk=row.chunks, event=event)
