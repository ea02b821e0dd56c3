"""Looking into the operator's stores with other eyes: the verifier's credential and plain reads of files, for every known value.

Nothing here knows the data map or the erasure's predicates. Whatever a row, a line or a file says is compared with every literal
that the sample's manifest knows of a person.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow.parquet

from ops.stack import Stack
from sample.manifest import Manifest

DATABASES = ("billing", "calls", "helpdesk")
Row = dict[str, Any]

_TABLES = "SELECT c.relname FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"


@dataclass(frozen=True)
class Sighting:
    """One value of a person in one field. `where`: the table, or the file inside the store's folder; `row`: all of the record."""

    person: str
    store: str
    where: str
    field: str
    value: str
    row: Row

    def __str__(self) -> str:
        return f"{self.store}/{self.where}.{self.field}"


class Eyes:
    def __init__(self, stack: Stack, manifest: Manifest) -> None:
        self.stack, self.home = stack, stack.home.path
        self.owner = {value: key for key, person in manifest.people.items() for value in person.values}
        self._pattern = re.compile(_any_of(self.owner))

    async def see(self) -> list[Sighting]:
        """Every planted value wherever it stands now, in the stores' ordinary view."""
        seen = [sighting async for sighting in self._databases()]
        return seen + list(self._files())

    async def see_journals(self) -> list[Sighting]:
        """The same in what Wardline itself keeps inside the stores; only the database's owner can look there."""
        found = []
        for store in DATABASES:
            connection = await self.stack.postgres.connect(f"sample_{store}")
            try:
                async for where, row in self._rows(connection, "wardline"):
                    found += self._in(store, f"wardline.{where}", row)
            finally:
                await connection.close()
        for path in self.home.glob("sample/stores/**/.wardline/**/*"):
            if path.is_file():
                found += self._in(path.parts[-3], path.name, {"text": path.read_bytes().decode("utf-8", "replace")})
        return found

    async def rows(self, store: str, query: str, *values: Any) -> list[Row]:
        """What the verifier reads in one of the databases."""
        connection = await self._connect(store)
        try:
            return [dict(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    def values_in(self, text: str) -> list[str]:
        """The planted values that stand in a text."""
        return self._pattern.findall(text)

    def lake(self) -> Iterator[tuple[str, Row]]:
        folder = self.home / "sample" / "stores" / "calls" / "lake"
        for path in sorted(folder.rglob("*.parquet")):
            for row in pyarrow.parquet.ParquetFile(path).read().to_pylist():
                yield str(path.relative_to(folder)), row

    def recordings(self) -> set[str]:
        """Every file of a recording, sound or sidecar, versions included."""
        folder = self.home / "sample" / "stores" / "recordings"
        return {str(path.relative_to(folder)) for path in self._of(folder)}

    def logs(self) -> Iterator[tuple[str, Row]]:
        folder = self.home / "sample" / "stores" / "authlog"
        for path in self._of(folder):
            for line in path.read_text().splitlines():
                yield path.name, json.loads(line)

    async def _connect(self, store: str) -> asyncpg.Connection:
        postgres = self.stack.postgres
        password = self.home / "secrets" / "anonymizer" / "stores" / f"{store}.verifier.password"
        return await asyncpg.connect(
            host=str(postgres.socket_dir), port=5432, database=f"sample_{store}", user=f"{store}_verifier",
            password=password.read_text().strip(),
        )  # fmt: skip

    async def _databases(self) -> Any:
        for store in DATABASES:
            connection = await self._connect(store)
            try:
                async for where, row in self._rows(connection, "public"):
                    for sighting in self._in(store, where, row):
                        yield sighting
            finally:
                await connection.close()

    async def _rows(self, connection: asyncpg.Connection, schema: str) -> Any:
        """Each row of each table, whatever its columns are."""
        for (table,) in await connection.fetch(_TABLES, schema):
            for row in await connection.fetch(f"SELECT * FROM {schema}.{table}"):
                yield table, dict(row)

    def _files(self) -> Iterator[Sighting]:
        for where, row in self.lake():
            yield from self._in("lake", where, row)
        for where, row in self.logs():
            yield from self._in("authlog", where, row)
        folder = self.home / "sample" / "stores" / "recordings"
        for path in self._of(folder):
            if path.suffix == ".json":
                yield from self._in("recordings", str(path.relative_to(folder)), json.loads(path.read_text()))

    def _of(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.rglob("*") if path.is_file() and ".wardline" not in path.parts)

    def _in(self, store: str, where: str, row: Row) -> Iterable[Sighting]:
        written = {field: content for field, content in row.items() if isinstance(content, str)}
        if not self._pattern.search("\n".join(written.values())):
            return
        for field, content in written.items():
            for value in dict.fromkeys(self._pattern.findall(content)):
                yield Sighting(self.owner[value], store, where, field, value, row)


def _any_of(words: Iterable[str]) -> str:
    """An expression for any of some words, the longest where one begins another. By common beginnings: ten times as fast as a list."""
    following: dict[str, list[str]] = {}
    for word in words:
        if word:
            following.setdefault(word[0], []).append(word[1:])
    branches = [re.escape(first) + (_any_of(rest) if any(rest) else "") for first, rest in following.items()]
    return f"(?:{'|'.join(branches)})" + ("?" if "" in words else "")
