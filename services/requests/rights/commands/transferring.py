"""A portability package goes directly to another operator: sealed for it, in parts, and its receipt is part of the answer.

Before the last word has gone out nobody there can read anything, since the key goes with it. A person may change her mind until its
receipt is written down, and is told whether the key had gone.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chassis import clock
from chassis.db import Transaction
from services.requests.rights import queries
from services.requests.rights.commands import answering
from services.requests.rights.contract import (
    OperatorUnknown,
    RequestHandedOver,
    RequestTransferred,
    State,
    Transfer,
    Transferred,
)
from services.requests.rights.moves import moved
from services.requests.rights.office import Office
from services.requests.rights.package.build import Contents
from services.requests.rights.package.parts import Written
from services.requests.rights.statements import HANDING, RECEIPT, StatementDoubtful, read, seal_key, sign
from services.requests.rights.tables import OtherOperatorRow, RequestRow

# Before the sealed receipt, in the place of where to.
_TAKEN = b"taken:"


@dataclass(frozen=True)
class Sending:
    """What goes where, and by whose keys it is sealed and acknowledged. since: it could have been taken."""

    contents: Contents
    transfer: Transfer
    name: str
    url: str
    signing: dict[str, Any]
    sealing: dict[str, Any]
    since: datetime


async def want(tx: Transaction, row: RequestRow, wish: Transfer) -> None:
    """She names the operator, and what it told her, which is sealed. Raises OperatorUnknown."""
    if await tx.session.get(OtherOperatorRow, (tx.tenant, wish.operator)) is None:
        raise OperatorUnknown
    row.transfer_to = wish.operator


def is_wanted(office: Office, row: RequestRow) -> bool:
    """Called with the row locked. Of a request that ended while parts were written none of them is left."""
    answering.remove_what_is_left(office, row)
    return row.state == State.transferring


async def is_taken(tx: Transaction, office: Office, row: RequestRow) -> bool:
    """Whether its receipt was written down: that her data are there is told in her answer, and not lost with what she asked."""
    return (await answering.open_sealed(tx, office, row, "transfer")).startswith(_TAKEN)


async def to_send(tx: Transaction, office: Office, row: RequestRow) -> Sending | Transferred | None:
    """None when it is not wanted (any more)."""
    if not is_wanted(office, row):
        return None
    opened = await answering.open_sealed(tx, office, row, "transfer")
    if opened.startswith(_TAKEN):
        return Transferred.model_validate_json(opened.removeprefix(_TAKEN))
    transfer = Transfer.model_validate_json(opened)
    known = await tx.session.get(OtherOperatorRow, (tx.tenant, transfer.operator))
    key, steps = await office.sealer.key(tx.connection, tx.tenant, row.id), await queries.steps_of(tx, row.id)
    contents = await answering.contents_of(tx, office, [row], {row.id: key}, {row.id: steps}, {})
    since = row.awaiting_since or row.recorded_at  # what waits from before this was counted
    return Sending(contents[row.id], transfer, known.name, known.url, known.signing, known.sealing, since)


def handing_of_part(office: Office, sending: Sending, place: int, content: bytes) -> str:
    said = {"reception": str(sending.transfer.reception), "part": place, "sha256": hashlib.sha256(content).hexdigest()}
    return sign(office.signing, HANDING, said)


def last_word(office: Office, sending: Sending, written: Written) -> str:
    said = {
        "reception": str(sending.transfer.reception),
        "code": sending.transfer.code,
        "parts": written.parts,
        "bytes": written.bytes,
        "sha256": written.sha256,
        "key": seal_key(written.key, sending.sealing),
    }
    return sign(office.signing, HANDING, said)


def acknowledged(sending: Sending, written: Written, receipt: str) -> bool:
    """Whether the other operator says of exactly this that it came."""
    try:
        said = read(receipt, RECEIPT, sending.signing)
    except StatementDoubtful:
        return False
    mine = {"reception": str(sending.transfer.reception), "sha256": written.sha256, "bytes": written.bytes}
    return all(said.get(name) == value for name, value in mine.items())


async def handing_over(tx: Transaction, row: RequestRow, sending: Sending, written: Written) -> None:
    """What goes stands in the ledger before its key does: of an operator that never answers, nobody would know what it has."""
    if row.handed_over_at is not None:
        return
    row.handed_over_at = clock.now()
    said = RequestHandedOver(
        **moved(row), operator=sending.transfer.operator, bytes=written.bytes, sha256=written.sha256
    )
    await tx.emit("request.handed_over", said.model_dump(mode="json", exclude_none=True), row.principal)


async def taken(
    tx: Transaction, office: Office, row: RequestRow, sending: Sending, written: Written, receipt: str
) -> Transferred:
    """The receipt is written down before anything here is removed: what was handed over is never told as refused."""
    to = Transferred(
        operator=sending.transfer.operator,
        name=sending.name,
        bytes=written.bytes,
        sha256=written.sha256,
        receipt=receipt,
    )
    key = await office.sealer.key(tx.connection, tx.tenant, row.id)
    row.transfer = key.seal("request", "transfer", _TAKEN + to.model_dump_json().encode())
    return to


async def done(tx: Transaction, office: Office, row: RequestRow, to: Transferred) -> None:
    """Answered and closed in one move: the package is the other operator's now, and nothing of it is left here."""
    said = RequestTransferred(
        **moved(row),
        operator=to.operator,
        sha256=to.sha256,
        receipt_sha256=hashlib.sha256(to.receipt.encode()).hexdigest(),
    )
    await tx.emit("request.transferred", said.model_dump(mode="json", exclude_none=True), row.principal)
    await answering.answer_transferred(tx, office, row, to)


async def not_taken(tx: Transaction, office: Office, row: RequestRow, name: str) -> None:
    """The other operator refused for good, did not answer for as long as a package waits for anybody, or, when it had the key already,
    said nothing that proves that it took anything. The person hears which, and may have the package herself."""
    row.transfer = None
    letter = "not_acknowledged" if row.handed_over_at else "not_transferred"
    await answering.await_passphrase(tx, office, row, letter, operator=name)
