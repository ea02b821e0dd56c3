"""Everything that changes the living register: one more dated row, with its event. No row is ever changed or taken away."""

from collections.abc import Collection, Iterable
from datetime import date

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.ids import new_id
from services.registry.contract import PolicyBook
from services.registry.contract.dpv import terms
from services.registry.contract.policy import Transfer
from services.registry.contract.register import (
    EntryKind,
    FiguresTooSmall,
    KeepActivity,
    KeepContract,
    KeepTransfer,
    Kept,
    NotKnownYet,
    NoWindow,
    RegisterChanged,
    Transparency,
    UnknownReference,
    UnknownTerm,
    ValidityOverlaps,
)
from services.registry.rules import completeness

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('register', 0))"
_LATER = """
SELECT max(valid_from) FROM register_entry WHERE kind = $1 AND key = $2 AND valid_from >= $3"""
_STORE = """
INSERT INTO register_entry (tenant, id, kind, key, valid_from, valid_to, known_from, body, recorded_by, event)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"""


async def keep_activity(tx: Transaction, caller: Caller, book: PolicyBook, wish: KeepActivity) -> Kept:
    """Raises UnknownReference, UnknownTerm or ValidityOverlaps."""
    _refuse_unknown(
        ("purpose", [wish.purpose], {row.key for row in book.purposes}),
        ("covers", wish.covers, all_data(book)),
        ("statements", wish.statements, completeness.keys()),
    )
    if strange := [term for term in wish.dpv if term not in terms()]:
        raise UnknownTerm(f"There is no {', '.join(strange)}.")
    return await _keep_wish(tx, caller, book, "activity", wish.key, wish)


async def keep_contract(tx: Transaction, caller: Caller, book: PolicyBook, wish: KeepContract) -> Kept:
    """Raises NoWindow, UnknownReference or ValidityOverlaps."""
    if not wish.objection_window.in_days:
        raise NoWindow(f"{wish.objection_window} is too short.")
    _refuse_unknown(("services", wish.services, {row.key for row in book.services}))
    return await _keep_wish(tx, caller, book, "contract", wish.reference, wish)


async def keep_transfer(tx: Transaction, caller: Caller, book: PolicyBook, wish: KeepTransfer) -> Kept:
    """`book` with the register's own sub-processors in it. Raises UnknownReference or ValidityOverlaps."""
    refuse_unknown_transfer(book, wish, {row.key for row in book.subprocessors})
    return await _keep_wish(tx, caller, book, "transfer", wish.identity, wish)


async def keep_report(tx: Transaction, caller: Caller, book: PolicyBook, year: int, wish: Transparency) -> Kept:
    """A year's report on orders of authorities; one that is filed again corrects it. Raises UnknownReference, NotKnownYet, FiguresTooSmall."""
    _refuse_unknown(
        ("year", [str(wish.year)], {str(year)}),
        ("rows", [row.instrument for row in wish.rows], {"total", *(row.key for row in book.instruments)}),
    )
    if year >= today(book).year:
        raise NotKnownYet("That year is not over.")
    least = max(wish.least, book.number("small_cells"))
    figures = [row.model_dump(exclude={"instrument", "median_days"}) for row in wish.rows]
    if any(count is not None and count < least for row in figures for count in row.values()):
        raise FiguresTooSmall(f"Numbers below {least} are hidden.")
    body = wish.model_dump_json()
    return await keep(tx, caller.subject, "transparency", str(year), body, date(year + 1, 1, 1))


def refuse_unknown_transfer(book: PolicyBook, row: Transfer, subprocessors: Collection[str]) -> None:
    _refuse_unknown(
        ("subprocessor", [row.subprocessor], subprocessors),
        ("place", [row.place], {each.key for each in book.places if each.third_country}),
        ("decision", [row.decision] if row.decision else [], {each.key for each in book.adequacy}),
        ("covers", row.covers, all_data(book)),
    )


async def keep(
    tx: Transaction,
    recorded_by: str,
    kind: EntryKind,
    key: str,
    body: str,
    valid_from: date,
    valid_to: date | None = None,
    corrects: bool = True,
) -> Kept:
    """One more row, behind the lock that makes `known_from` an order. Raises ValidityOverlaps unless it means to correct."""
    connection = tx.connection
    await connection.execute(_LOCK)
    later = await connection.fetchval(_LATER, kind, key, valid_from)
    if later is not None and not corrects:
        raise ValidityOverlaps(
            f"A row of {key} begins on {later}. To say something else of days the register speaks of already, say `corrects`: "
            "what was exported before stays what it was."
        )
    told = Kept(entry=new_id(), kind=kind, key=key, valid_from=valid_from, valid_to=valid_to, known_from=clock.now())
    fact = RegisterChanged(entry=told.entry, kind=kind, valid_from=valid_from)
    event = await tx.emit("register.changed", fact.model_dump(mode="json"))
    await connection.execute(
        _STORE, tx.tenant, told.entry, kind, key, valid_from, valid_to, told.known_from, body, recorded_by, event.id
    )
    return told


async def _keep_wish(
    tx: Transaction,
    caller: Caller,
    book: PolicyBook,
    kind: EntryKind,
    key: str,
    wish: KeepActivity | KeepContract | KeepTransfer,
) -> Kept:
    begins = wish.valid_from or today(book)
    if wish.valid_to is not None and wish.valid_to < begins:
        raise ValidityOverlaps("It would end before it begins.")
    said = wish.model_copy(update={"valid_from": begins}).model_dump_json(exclude={"corrects"})
    return await keep(tx, caller.subject, kind, key, said, begins, wish.valid_to, wish.corrects)


def today(book: PolicyBook) -> date:
    return clock.now().astimezone(book.tz).date()


def all_data(book: PolicyBook) -> set[str]:
    return {row.key for row in book.categories} | {element.key for row in book.categories for element in row.elements}


def _refuse_unknown(*named: tuple[str, Iterable[str], Collection[str]]) -> None:
    """All at once, so that nobody finds them one by one."""
    strange = [f"{field}: {key}" for field, keys, allowed in named for key in keys if key not in allowed]
    if strange:
        raise UnknownReference(f"Not known here: {'; '.join(strange)}.")
