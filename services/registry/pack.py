"""A tenant's Art. 28 pack: who processes its data, how it is protected and audited, what was deleted, as signed files in one zip."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import BytesIO
from uuid import UUID

from joserfc.jwk import OKPKey
from pydantic import BaseModel

from chassis.db import Transaction
from chassis.ledger.canonical import canonical
from services.registry.commands.book import signature
from services.registry.commands.tenants import told
from services.registry.contract import PolicyBook, SubProcessors
from services.registry.contract.breaches import BreachLetter
from services.registry.contract.pack import Audit, EndingUnknown, PackManifest
from services.registry.contract.replies import BundleFile
from services.registry.contract.signed import PACK
from services.registry.export import bundle
from services.registry.queries import tenants
from services.registry.rules.book import digest


@dataclass(frozen=True)
class Told:
    """What lies outside the tenant's own rows, read before its transaction: of other customers nothing is in it."""

    processors: SubProcessors
    audits: list[Audit]
    breaches: list[BreachLetter]


async def packed(tx: Transaction, book: PolicyBook, about: Told, tenant: UUID, as_of: datetime, key: OKPKey) -> bytes:
    """The zip. Its parts are the tenant's own; of other customers nothing stands in it."""
    own = await tenants.own_periods(tx)
    files = {
        "sub-processors.json": _json(about.processors),
        "audits.json": _list(about.audits),
        "breaches.json": _list(about.breaches),
        "measures.json": _list(book.measures),
        "anonymisation-times.json": _json(told(book, tenant, own)),
        "deletions.json": _list(await tenants.deletions(tx, book.zone)),
    }
    try:
        files["ending.json"] = _json(await tenants.ending(tx))
    except EndingUnknown:
        pass
    manifest = PackManifest(
        tenant=tenant,
        as_of=as_of,
        policy_version=book.version,
        measures=list(book.measures),
        files=[
            BundleFile(path=path, sha256=digest(content), length=len(content), type="application/json")
            for path, content in sorted(files.items())
        ],
    )
    body = _json(manifest)
    return _zipped(files | {bundle.MANIFEST: body, bundle.SIGNATURE: signature(body, key, PACK).encode()})


def _json(model: BaseModel) -> bytes:
    return canonical(model.model_dump(mode="json"))


def _list(rows: Iterable[BaseModel]) -> bytes:
    return canonical([row.model_dump(mode="json") for row in rows])


def _zipped(files: dict[str, bytes]) -> bytes:
    written = BytesIO()
    bundle.pack({path: partial(BytesIO, content) for path, content in files.items()}, written)
    return written.getvalue()
