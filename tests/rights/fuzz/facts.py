"""What is there once nothing moves any more, and what of it speaks against the invariants."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import asyncpg
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.requests.rights.package import parts
from services.requests.rights.statements import open_key
from tests.rights.conftest import House

HERE = Path(__file__).parent
_RECEIVED = "SELECT * FROM rights.reception WHERE state = 'received'"


class Violation(NamedTuple):
    """whose: the id of a request, a reception or a person."""

    whose: str
    expected: str
    seen: Any


async def violations(house: House, said_ended: Mapping[UUID, str]) -> list[Violation]:
    """said_ended: how requests ended, by what callers were answered."""
    connection = await house.server.connect(house.settings.database_name)
    try:
        await connection.execute((HERE / "facts.sql").read_text())
        for table, rows in (await _facts(house, connection) | {"said_ended": list(said_ended.items())}).items():
            await connection.copy_records_to_table(table, records=rows, schema_name="pg_temp")
        return [violation async for violation in _asked(connection)]
    finally:
        await connection.close()


async def _asked(connection: asyncpg.Connection) -> AsyncIterator[Violation]:
    for invariant in (HERE / "invariants.sql").read_text().split("-- ")[1:]:
        expected, question = invariant.split("\n", 1)
        for whose, seen in await connection.fetch(question):
            yield Violation(str(whose), expected, seen)


async def _facts(house: House, connection: asyncpg.Connection) -> dict[str, Sequence[tuple[Any, ...]]]:
    """The rows of each table of facts.sql."""
    operator, folders = house.operator, list(house.settings.packages.glob("*"))
    heard = {UUID(said["case"]): said["state"] for _, _, said in operator.stood if "case" in said}
    received = await connection.fetch(_RECEIVED)
    faults = [(row["id"], _fault(house, row)) for row in received]
    requests = [row["id"] for row in await connection.fetch("SELECT id FROM rights.request")]
    return {
        "did": operator.journal,
        "heard": list(heard.items()),
        "frozen": list(operator.frozen),
        "unkept": [whose for whose, rows in operator.rows.items() if any(row.keep is None for row in rows)],
        "lying": [(folder.name, _files(folder), _package(folder)) for folder in folders],
        "unopened": [(reception, fault) for reception, fault in faults if fault],
        "letters_key": [(request, uuid5(request, "correspondence")) for request in requests],
    }


def _files(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "an empty folder"


def _package(folder: Path) -> str | None:
    package = folder / "package.html"
    return hashlib.sha256(package.read_bytes()).hexdigest() if package.exists() else None


def _fault(house: House, reception: Mapping[str, Any]) -> str | None:
    """Why what came does not open."""
    folder, ours = house.settings.packages / str(reception["id"]), ECKey.import_key(house.settings.jwk("portability"))
    try:
        key = open_key(reception["content_key"], ours)
        pieces = parts.opened(folder, reception["parts"], key, reception["id"])
        return zipfile.ZipFile(io.BytesIO(b"".join(pieces))).testzip()
    except (ValueError, TypeError, JoseError, zipfile.BadZipFile) as fault:
        return repr(fault)
