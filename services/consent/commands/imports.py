"""An operator's existing consents, taken over in chunks: each is one transaction, so a cut import goes on where it stood.

Every row goes the way of every statement: ledger, sequence, and what was said later counts. Its receipt is made when somebody asks
for it. A row that is refused is kept with its number and the reason, never with its values; its neighbours stand.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlmodel import select

from chassis import clock, telemetry
from chassis.db import Transaction
from chassis.errors import Problem
from chassis.ids import new_id
from services.consent import rules
from services.consent.commands import notices
from services.consent.commands.desk import Desk
from services.consent.commands.recording import AT_A_STRETCH, Entered, Spoken, record_all
from services.consent.contract import (
    ChunkOutOfTurn,
    Import,
    ImportChunk,
    ImportEnded,
    ImportRow,
    ImportSaid,
    ImportTerms,
    Kind,
    LanguageMissing,
    StartImport,
    State,
    UnknownImport,
    UnknownPerson,
)
from services.consent.rules import Matter
from services.consent.tables import ConsentImport, ImportRefusal, NoticeVersion

_REFUSED = """
INSERT INTO import_refusal (tenant, name, row, code, reason) SELECT $1, $2, * FROM unnest($3::int[], $4::text[], $5::text[])"""


# A type, a value, and the instant at which it was hers.
Named = tuple[str, str, datetime]
People = Mapping[Named, UUID]

_GROUP = 500  # rows that are written by one statement
_TERMS, _SAID = tuple(ImportTerms.model_fields), tuple(ImportSaid.model_fields)
_Model = TypeVar("_Model", bound=BaseModel)


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
        event=None,
    )
    tx.session.add(row)
    row.event = (await tx.emit("import.started", {"import": str(row.id), "client": desk.caller.original_client})).id
    return _as_reply(row)


async def take(tx: Transaction, desk: Desk, name: UUID, number: int, chunk: ImportChunk, people: People) -> Import:
    """The next chunk. One that was taken before changes nothing. What it says counts everywhere when the import's end is answered."""
    row = await _locked(tx, name)
    if number < row.chunks:
        return _as_reply(row)
    if row.state != "open":
        raise ImportEnded("Begin a new import.")
    if number > row.chunks:
        raise ChunkOutOfTurn("Send the chunks in their order.", next_chunk=row.chunks)
    reader = _Reader(tx, desk, name, chunk.columns, people)
    first = row.taken + row.refused + 1
    refused: list[tuple[int, str, str]] = []
    for at in range(0, len(chunk.rows), _GROUP):
        outcomes = await _recorded(tx, reader, chunk.rows[at : at + _GROUP])
        refused += [
            (first + at + place, outcome.code, outcome.detail or outcome.title)
            for place, outcome in enumerate(outcomes)
            if isinstance(outcome, Problem)
        ]
        row.event = next((each.event for each in reversed(outcomes) if isinstance(each, Entered)), row.event)
    if refused:
        await tx.connection.execute(_REFUSED, tx.tenant, name, *zip(*refused, strict=True))
    row.chunks, row.refused = number + 1, row.refused + len(refused)
    row.taken += len(chunk.rows) - len(refused)
    return _as_reply(row)


async def end(tx: Transaction, _desk: Desk, name: UUID) -> Import:
    row = await _locked(tx, name)
    if row.state == "open" or row.event is None:
        told = {"import": str(name), "taken": row.taken, "refused": row.refused}
        row.state, row.event = "ended", (await tx.emit("import.ended", told)).id
    return _as_reply(row)


async def read(tx: Transaction, name: UUID) -> Import:
    return _as_reply(await _known(tx, name))


async def refusals(tx: Transaction, name: UUID, after: int, limit: int) -> list[ImportRefusal]:
    await _known(tx, name)
    found = select(ImportRefusal).where(ImportRefusal.name == name, ImportRefusal.row > after)
    return list((await tx.session.execute(found.order_by(ImportRefusal.row).limit(limit))).scalars())


def named(chunk: ImportChunk) -> list[Named]:
    """Whom the rows of a chunk name by an identifier, each once; a row that cannot be read names nobody."""
    if "identifier" not in chunk.columns:
        return []
    found: dict[Named, None] = {}
    for cells in chunk.rows:
        row = dict(zip(chunk.columns, cells, strict=False))
        try:
            said = ImportSaid.model_validate_strings({each: row[each] for each in _SAID if row.get(each)})
        except ValidationError:
            continue
        if said.identifier_type and said.identifier:
            found[said.identifier_type, said.identifier, said.occurred_at] = None
    return list(found)


async def _recorded(tx: Transaction, reader: "_Reader", rows: Sequence[Sequence[str]]) -> list[Entered | Problem]:
    """What became of each row, in their order."""
    outcomes: list[Spoken | Entered | Problem] = []
    for place, cells in enumerate(rows, 1):
        if place % AT_A_STRETCH == 0:
            await asyncio.sleep(0)
        try:
            outcomes.append(await reader.spoken(cells))
        except Problem as refused:
            outcomes.append(_bare(refused))
    spoken = [each for each in outcomes if isinstance(each, Spoken)]
    recorded = iter(await record_all(tx, spoken))
    return [next(recorded) if isinstance(each, Spoken) else each for each in outcomes]


@dataclass(frozen=True, slots=True)
class _Alike:
    """What rows have in common that differ only in who spoke and when, checked once."""

    matter: Matter
    state: State
    notice: NoticeVersion | None
    details: Mapping[str, Any]


class _Reader:
    """Makes of a row what it says, checked like a statement made today would be."""

    def __init__(self, tx: Transaction, desk: Desk, name: UUID, columns: Sequence[str], people: People) -> None:
        self._tx, self._desk, self._name, self._people = tx, desk, name, people
        self._columns, self._traceparent = columns, telemetry.traceparent()
        self._strange = [each for each in columns if each not in ImportRow.model_fields]
        self._alike: dict[tuple[str, ...], _Alike | Problem] = {}

    async def spoken(self, cells: Sequence[str]) -> Spoken:
        """Raises Problem."""
        if len(cells) > len(self._columns):
            raise RowRefused("It has more cells than the head line.")
        row = dict(zip(self._columns, cells, strict=False))
        if any(row.get(each) for each in self._strange):
            # A column's name is the sender's own word, which has no place in a report that a spreadsheet opens.
            raise RowRefused("Unknown: a column.")
        alike = await self._terms(row)
        if len(cells) < len(self._columns) and alike.state is State.given:
            raise RowRefused("It has fewer cells than the head line, so whether its consent ends is not known.")
        said = _read(ImportSaid, row, _SAID)
        return Spoken(
            self._desk,
            self._person(said),
            alike.matter,
            alike.state,
            said.occurred_at,
            alike.details,
            alike.notice,
            self._traceparent,
            until=said.valid_until,
            evidence_ref=said.evidence_ref,
        )

    def _person(self, said: ImportSaid) -> UUID:
        named = None
        if said.identifier_type and said.identifier:
            named = self._people.get((said.identifier_type, said.identifier, said.occurred_at))
        elif said.principal is None:
            raise RowRefused("It names nobody: a principal, or an identifier with its type.")
        found = said.principal or named
        if found is None:
            raise UnknownPerson("Nobody was known by that identifier then, or it is not written as its type is.")
        if named not in (None, found):
            raise RowRefused("It names two people: the identifier was somebody else's then.")
        return found

    async def _terms(self, row: Mapping[str, str]) -> _Alike:
        key = tuple(row.get(each, "") for each in _TERMS)
        alike = self._alike.get(key)
        if alike is None:
            try:
                alike = await self._checked(_read(ImportTerms, row, _TERMS))
            except Problem as refused:
                alike = _bare(refused)
            self._alike[key] = alike
        if isinstance(alike, Problem):
            raise alike
        return alike

    async def _checked(self, terms: ImportTerms) -> _Alike:
        desk, matter, state = self._desk, Matter(Kind.consent, terms.regulation, terms.purpose), State(terms.state)
        rules.must_be_in_book(desk.book, terms.purpose, [])
        notice = None
        if terms.notice is not None:
            notice = await notices.published(self._tx, terms.notice, terms.notice_version or 0)
            if terms.language not in notice.texts:
                raise LanguageMissing("This notice was not published in that language.")
            explained = [
                each for row in notice.purposes if row["purpose"] == terms.purpose for each in row["categories"]
            ]
            rules.must_rest_on_consent(desk.book, terms.purpose, explained)
        elif state is State.given:
            raise RowRefused("A consent names the notice and its version.")
        details = {"language": terms.language, "collection_method": terms.method, "type": "expressed"}
        details["import"] = str(self._name)
        return _Alike(matter, state, notice, details)


def _bare(refused: Problem) -> Problem:
    """With what it came from it would keep all of its chunk, and the chunk keeps it: memory until the collector comes by."""
    refused.__context__ = None
    return refused.with_traceback(None)


def _read(model: type[_Model], row: Mapping[str, str], columns: Sequence[str]) -> _Model:
    """Raises RowRefused, which names the columns."""
    try:
        return model.model_validate_strings({each: row[each] for each in columns if row.get(each)})
    except ValidationError as faults:
        named = sorted({str(fault["loc"][0]) for fault in faults.errors(include_input=False)})
        raise RowRefused(f"Missing or unreadable: {', '.join(named)}.") from None


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


def _as_reply(row: ConsentImport) -> Import:
    return Import(**row.model_dump(), name=row.id, next_chunk=row.chunks)
