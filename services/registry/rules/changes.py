"""How a change of sub-processors goes on: proposed → notified → objection_open → active | rejected, or retired."""

from collections.abc import Collection, Iterable
from datetime import date, datetime

from services.registry.contract import PolicyBook
from services.registry.contract.faults import circular
from services.registry.contract.policy import SubProcessor, SubProcessorStatus
from services.registry.contract.register import (
    ChainCircular,
    ChangeRecord,
    NoticeTold,
    ObjectionTold,
    ProposeChange,
    TransferUnstated,
    UnknownReference,
)

OPEN: tuple[SubProcessorStatus, ...] = ("proposed", "notified", "objection_open")


def check(book: PolicyBook, wish: ProposeChange) -> None:
    """Raises UnknownReference, ChainCircular or TransferUnstated; `book` has the register's own word in it."""
    known = {row.key for row in book.subprocessors}
    expected = (
        wish.subprocessor not in known if wish.kind in ("addition", "replacement") else wish.subprocessor in known
    )
    if not expected:
        raise UnknownReference(f"{wish.subprocessor} is {'already' if wish.subprocessor in known else 'not'} engaged.")
    if (wish.row is None) != (wish.kind == "retirement") or (wish.replaces is None) != (wish.kind != "replacement"):
        raise UnknownReference("A retirement has no row, a replacement says whom it replaces, and nothing else does.")
    if wish.replaces is not None and wish.replaces not in known:
        raise UnknownReference(f"{wish.replaces} is not engaged.")
    if wish.row is not None:
        _check_row(book, wish, wish.row, known)


def _check_row(book: PolicyBook, wish: ProposeChange, row: SubProcessor, known: Collection[str]) -> None:
    data = {each.key for each in book.categories} | {one.key for each in book.categories for one in each.elements}
    places = {each.key: each for each in book.places}
    named = [
        (row.key, {wish.subprocessor}),
        *((key, places) for key in (*row.places, *row.support_from)),
        *((key, {each.key for each in book.services}) for key in row.services),
        *((key, data) for key in row.covers),
        *((key, {*known, row.key}) for key in [row.parent] if key is not None),
    ]
    if strange := [key for key, allowed in named if key not in allowed]:
        raise UnknownReference(f"Not known here: {', '.join(strange)}.")
    parents = {each.key: each.parent for each in book.subprocessors} | {row.key: row.parent}
    if round_and_round := circular(parents):
        raise ChainCircular(f"It would lead from {' to '.join(round_and_round)} and back.")
    lawful = {each.identity for each in (*book.transfers, *wish.transfers)}
    for key in row.places:
        if places[key].third_country and f"{row.key}/{key}" not in lawful:
            raise TransferUnstated(f"It works in {places[key].label.en}; say what makes the transfer lawful.")


def verdict(
    change: ChangeRecord,
    notices: Iterable[NoticeTold],
    objections: Collection[ObjectionTold],
    now: datetime,
    today: date,
) -> SubProcessorStatus | None:
    """What becomes of a change whose objections are open; None: it waits.

    One upheld objection rejects it. It takes effect when every customer's window is over, every objection is resolved, and its
    day has come.
    """
    if any(each.outcome == "upheld" for each in objections):
        return "rejected"
    waits = (
        any(now < notice.objections_until for notice in notices)
        or any(each.outcome is None for each in objections)
        or today < change.effective_on
    )
    if waits:
        return None
    return "retired" if change.kind == "retirement" else "active"
