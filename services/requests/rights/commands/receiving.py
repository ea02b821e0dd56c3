"""What another operator brings for a person: waited for because she said so, taken from whom she named, and kept for a while.

On the disk lie the parts as they came, under a key that only our own private one opens.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlmodel import col, select

from chassis import addresses, clock
from chassis.auth import Caller
from chassis.db import Database, Transaction
from chassis.errors import Forbidden, Invalid
from chassis.ids import new_id
from services.requests.rights import queries
from services.requests.rights.commands import answering
from services.requests.rights.contract import (
    HandingRefused,
    HandOver,
    HandPart,
    OpenReception,
    OperatorRegistered,
    OperatorUnknown,
    OtherOperator,
    OtherOperators,
    PutOperator,
    Received,
    Reception,
    ReceptionMoved,
    ReceptionOpened,
    ReceptionRead,
    ReceptionUnknown,
)
from services.requests.rights.office import Office
from services.requests.rights.package import parts
from services.requests.rights.package.files import private
from services.requests.rights.statements import HANDING, RECEIPT, StatementDoubtful, open_key, read, sign
from services.requests.rights.tables import OtherOperatorRow, ReceptionRow

_TENANT = "SELECT tenant FROM reception WHERE id = $1"
ENDED = "SELECT id, tenant FROM reception WHERE state <> 'closed' AND ends_at <= $1"
_AWAITED = ("open", "receiving")


async def put_operator(tx: Transaction, office: Office, caller: Caller, key: str, wish: PutOperator) -> OtherOperator:
    """Known from now on, by these keys and no others."""
    queries.must_decide(caller, "operator")
    try:
        addresses.check_shape(wish.url, loopback=not office.https_only)
    except addresses.NotPublic:
        raise Invalid("Another operator is reached by https, on port 443.") from None
    row = await tx.session.get(OtherOperatorRow, (tx.tenant, key), with_for_update=True)
    if row is None:
        row = OtherOperatorRow(
            tenant=tx.tenant,
            key=key,
            name="",
            url="",
            signing={},
            sealing={},
            registered_by="",
            registered_at=clock.now(),
        )
        tx.session.add(row)
    row.name, row.url = wish.name, wish.url
    row.signing = wish.signing.model_dump(exclude_none=True)
    row.sealing = wish.sealing.model_dump(exclude_none=True)
    row.registered_by, row.registered_at = caller.subject, clock.now()
    said = OperatorRegistered(operator=key, kids=[wish.signing.kid, wish.sealing.kid], by=caller.subject)
    await tx.emit("operator.registered", said.model_dump(mode="json"))
    return _operator(row)


async def list_operators(tx: Transaction) -> OtherOperators:
    rows = (await tx.session.scalars(select(OtherOperatorRow).order_by(col(OtherOperatorRow.key)))).all()
    return OtherOperators(items=[_operator(row) for row in rows])


async def open_reception(tx: Transaction, office: Office, caller: Caller, wish: OpenReception) -> ReceptionOpened:
    """A person for herself only: from now on this one operator may bring what it has of hers."""
    if caller.principal is None:
        raise Forbidden("A person opens this for herself.")
    if await tx.session.get(OtherOperatorRow, (tx.tenant, wish.operator)) is None:
        raise OperatorUnknown
    now, book, code = clock.now(), office.book, secrets.token_urlsafe(24)
    row = ReceptionRow(
        id=new_id(),
        tenant=tx.tenant,
        principal=caller.principal,
        operator=wish.operator,
        code=_digest(code),
        opened_at=now,
        ends_at=book.period("package_link_expiry").after(now, book.tz),
    )
    tx.session.add(row)
    await _emit(tx, "reception.opened", row)
    return ReceptionOpened(reception=row.id, code=code, expires_at=row.ends_at)


async def read_reception(tx: Transaction, caller: Caller, reception: UUID) -> Reception:
    row = await _find(tx, caller, reception)
    return Reception(
        reception=row.id,
        operator=row.operator,
        state=row.state,
        opened_at=row.opened_at,
        ends_at=row.ends_at,
        received_at=row.received_at,
        bytes=row.bytes,
        sha256=row.sha256,
    )


async def content(tx: Transaction, office: Office, caller: Caller, reception: UUID) -> Iterator[bytes]:
    """The ZIP that came, opened; who of the staff had it stands in the ledger. Raises ReceptionUnknown when there is none (any more)."""
    row = await _find(tx, caller, reception)
    if row.state != "received" or row.content_key is None or row.parts is None or row.ends_at <= clock.now():
        raise ReceptionUnknown
    if caller.principal is None:
        told = ReceptionRead(reception=row.id, by=caller.subject)
        await tx.emit("reception.read", told.model_dump(mode="json"), row.principal)
    return parts.opened(office.folder(row.id), row.parts, open_key(row.content_key, office.sealing), row.id)


async def take_part(database: Database, office: Office, reception: UUID, place: int, wish: HandPart) -> None:
    """The same part again replaces itself. Raises ReceptionUnknown for whoever is not awaited here."""
    async with database.transaction(await _tenant_of(database, reception)) as tx:
        row, said = await _handed(tx, reception, wish.handing)
        try:
            sealed = base64.b64decode(wish.content, validate=True)
        except (binascii.Error, ValueError):
            raise HandingRefused("The content is not base64.") from None
        wanted = (place, hashlib.sha256(sealed).hexdigest())
        if (said.get("part"), said.get("sha256")) != wanted or len(sealed) > parts.PART + parts.OVERHEAD:
            raise HandingRefused("The part is not what was said of it.")
        folder = office.folder(row.id)
        if row.state == "received" and _has(folder, place, sealed):
            return
        if row.state not in _AWAITED:
            raise ReceptionUnknown
        row.state = "receiving"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with private(parts.place_of(folder, place)) as file:
            file.write(sealed)


def _has(folder: Path, place: int, sealed: bytes) -> bool:
    """Whether this very part came already: whoever brings it again has not heard of our receipt."""
    path = parts.place_of(folder, place)
    return path.exists() and path.read_bytes() == sealed


async def take_all(database: Database, office: Office, reception: UUID, wish: HandOver) -> Received:
    """All of it came, and it opens: the receipt. The same word again gets the same receipt."""
    tenant = await _tenant_of(database, reception)
    async with database.transaction(tenant) as tx:
        row, said = await _handed(tx, reception, wish.handing)
        if not hmac.compare_digest(_digest(str(said.get("code"))), row.code or bytes(32)):
            raise ReceptionUnknown
        if row.state == "received" and row.sha256 == said.get("sha256"):
            return _receipt(office, row)
        if row.state != "receiving":
            raise ReceptionUnknown
    looked_at = await asyncio.to_thread(_must_open, office, reception, said)
    async with database.transaction(tenant) as tx:
        row, _ = await _handed(tx, reception, wish.handing)
        if row.state == "receiving":
            if _lying(office.folder(reception), said["parts"]) != looked_at:
                raise HandingRefused("A part was replaced while all were looked at.")
            now, book = clock.now(), office.book
            row.state, row.received_at = "received", now
            row.parts, row.bytes, row.sha256, row.content_key = (
                said["parts"],
                said["bytes"],
                said["sha256"],
                said["key"],
            )
            row.ends_at = book.period("package_kept").after(now, book.tz)
            await _emit(tx, "reception.received", row)
        return _receipt(office, row)


async def close_ended(tx: Transaction, office: Office, reception: UUID) -> None:
    """Nobody brought it in time, or what came was here long enough."""
    row = await tx.session.get(ReceptionRow, reception, with_for_update=True)
    if row.state == "closed" or row.ends_at > clock.now():
        return
    answering.remove(office.folder(row.id))
    row.state, row.code, row.content_key = "closed", None, None
    await _emit(tx, "reception.closed", row)


async def _handed(tx: Transaction, reception: UUID, handing: str) -> tuple[ReceptionRow, dict[str, Any]]:
    """The reception, locked, and what the operator it waits for signed about it. Raises ReceptionUnknown."""
    row = await tx.session.get(ReceptionRow, reception, with_for_update=True)
    if row is None or row.state == "closed" or row.ends_at <= clock.now():
        raise ReceptionUnknown
    operator = await tx.session.get(OtherOperatorRow, (tx.tenant, row.operator))
    try:
        said = read(handing, HANDING, operator.signing)
    except StatementDoubtful:
        raise ReceptionUnknown from None
    if said.get("reception") != str(reception):
        raise ReceptionUnknown
    return row, said


def _must_open(office: Office, reception: UUID, said: dict[str, Any]) -> list[tuple[int, int]]:
    """What lay there while it was looked at: whoever brings a part waits for no lock meanwhile. Raises HandingRefused."""
    folder, count = office.folder(reception), said.get("parts")
    # Numbers that are none are equal to some (1.0, true), and no column takes them.
    if not all(type(said.get(name)) is int for name in ("parts", "bytes")) or not 0 < count <= parts.MOST_PARTS:
        raise HandingRefused("So many parts are not taken.")
    looked_at = _lying(folder, count)
    try:
        if parts.digest(folder, count) != (said.get("bytes"), said.get("sha256")):
            raise HandingRefused("What came is not what was said of it.")
        for _ in parts.opened(folder, count, open_key(str(said.get("key")), office.sealing), reception):
            """Each part says by itself whether it is whole."""
    except (parts.DoesNotOpen, StatementDoubtful, ValueError) as doubt:
        raise HandingRefused(f"It does not open: {doubt}.") from None
    return looked_at


def _lying(folder: Path, count: int) -> list[tuple[int, int]]:
    """Which files these are: a part that was replaced is another, or a later one."""
    found = [path.stat() for path in (parts.place_of(folder, place) for place in range(count)) if path.exists()]
    return [(each.st_ino, each.st_mtime_ns) for each in found]


async def _tenant_of(database: Database, reception: UUID) -> UUID:
    """Another operator knows the reception and nothing else of us."""
    async with database.system() as connection:
        tenant = await connection.fetchval(_TENANT, reception)
    if tenant is None:
        raise ReceptionUnknown
    return tenant


async def _find(tx: Transaction, caller: Caller, reception: UUID) -> ReceptionRow:
    row = await tx.session.get(ReceptionRow, reception)
    if row is None or caller.principal not in (None, row.principal):
        raise ReceptionUnknown
    return row


async def _emit(tx: Transaction, type: str, row: ReceptionRow) -> None:
    said = ReceptionMoved(reception=row.id, operator=row.operator, sha256=row.sha256)
    await tx.emit(type, said.model_dump(mode="json", exclude_none=True), row.principal)


def _receipt(office: Office, row: ReceptionRow) -> Received:
    said = {
        "reception": str(row.id),
        "parts": row.parts,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "received_at": row.received_at.isoformat() if row.received_at else None,
    }
    return Received(receipt=sign(office.signing, RECEIPT, said))


def _operator(row: OtherOperatorRow) -> OtherOperator:
    return OtherOperator(operator=row.key, name=row.name, url=row.url, registered_at=row.registered_at)


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
