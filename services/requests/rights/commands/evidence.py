"""Files that prove something: taken in by what they are, sealed, shown to whoever decides, and gone with the request."""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Unavailable
from chassis.ids import new_id
from services.requests.rights import inside, queries
from services.requests.rights.commands import clocks
from services.requests.rights.contract import (
    AddEvidence,
    EvidenceAdded,
    EvidenceFiles,
    EvidenceRead,
    EvidenceRefused,
    NotNow,
    RequestUnknown,
)
from services.requests.rights.office import Office
from services.requests.rights.rules.evidence import has_packed, kind_of, must_be_still, streams_of_objects
from services.requests.rights.tables import EvidenceRow

LARGEST, MOST = 700_000, 10
_MOST = f"At most {MOST} files of {LARGEST} bytes are taken."


@dataclass(frozen=True)
class Paper:
    kind: str
    content: bytes


async def opened(wish: AddEvidence) -> Paper:
    """Before any transaction: to look into a hostile file takes a while. Raises EvidenceRefused for what nobody may open, and
    Unavailable."""
    try:
        content = base64.b64decode(wish.content, validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceRefused("The content is not base64.") from None
    if len(content) > LARGEST:
        raise EvidenceRefused(_MOST)
    kind = kind_of(content)
    if kind == "pdf" and has_packed(content):
        try:
            must_be_still(await inside.unpacked(content, streams_of_objects(content)))
        except inside.Unreadable:
            raise EvidenceRefused(
                "Nobody can see what is in this PDF; send it printed to PDF, or as a picture."
            ) from None
        except TimeoutError:
            raise Unavailable("Nobody could look into this PDF yet; send it again.") from None
    return Paper(kind, content)


async def add(tx: Transaction, office: Office, caller: Caller, request: UUID, paper: Paper) -> EvidenceAdded:
    """Raises EvidenceRefused for one too many."""
    row = await queries.find(tx, office, caller, request, lock=True)
    if row.answered_at is not None or row.closed_at is not None:
        raise NotNow("The request is answered.", state=row.state)
    if len(await _files(tx, row.id)) >= MOST:
        raise EvidenceRefused(_MOST)
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, row.id)
    file = EvidenceRow(
        id=new_id(),
        tenant=tx.tenant,
        request=row.id,
        kind=paper.kind,
        bytes=len(paper.content),
        content=key.seal("evidence_file", "content", paper.content),
        added_at=clock.now(),
    )
    tx.session.add(file)
    clocks.heard(row)
    return _view(file)


async def listed(tx: Transaction, office: Office, caller: Caller, request: UUID) -> EvidenceFiles:
    row = await queries.find(tx, office, caller, request)
    return EvidenceFiles(items=[_view(file) for file in await _files(tx, row.id)])


async def read(tx: Transaction, office: Office, caller: Caller, request: UUID, file: UUID) -> bytes:
    """The very bytes that were sent; who of the staff had them stands in the ledger. Raises RequestUnknown for anything that is not this
    request's."""
    row = await queries.find(tx, office, caller, request)
    found = await tx.session.get(EvidenceRow, file)
    if found is None or found.request != row.id:
        raise RequestUnknown
    key = await office.sealer.key(tx.connection, tx.tenant, row.id)
    told = EvidenceRead(request=row.id, file=found.id, by=caller.subject)
    await tx.emit("evidence.read", told.model_dump(mode="json"), row.principal)
    return key.open("evidence_file", "content", found.content)


async def _files(tx: Transaction, request: UUID) -> list[EvidenceRow]:
    wanted = select(EvidenceRow).where(EvidenceRow.request == request).order_by(col(EvidenceRow.id))
    return list((await tx.session.scalars(wanted)).all())


def _view(file: EvidenceRow) -> EvidenceAdded:
    return EvidenceAdded(file=file.id, kind=file.kind, bytes=file.bytes, added_at=file.added_at)
