"""The rows of one MariaDB or MySQL table: a piece is a window of keys, a mark is a row's key.

A row comes with who owns the row it hangs on (`link.column`) and with events that are dated elsewhere (`@anchor`). What leaves is
deleted in a transaction that commits only after the last question about holds, and that the server ends when it stays idle.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import orjson

from services.anonymizer.connectors.files.formats import OWN, Edits, Folder, Leave, Marks, Row, replace, typed
from services.anonymizer.connectors.guard import COMMIT_WITHIN
from services.anonymizer.contract import StoreDrifted, StoreUnavailable
from services.anonymizer.datamap import DataMapFault, Store, Table, anchors_in
from services.anonymizer.rules.drift import SAMPLES
from services.anonymizer.settings import Settings

_WINDOW = 5000
_AT_ONCE = 500
_COLUMNS = "SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY 1, ORDINAL_POSITION"
_REFUSED = {1044, 1045, 1142, 1227, 1698}
_DRIFTED = {1049, 1054, 1146}


class Database:
    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings

    @contextmanager
    def open(self, role: Literal["wardline", "verifier"]) -> Iterator[Any]:
        """A connection, rolled back unless its user commits. Raises OSError and StoreDrifted."""
        # Imported by the first look into such a store: no other process needs it.
        import pymysql
        from pymysql.cursors import SSDictCursor

        place = self.store.location
        with _understood():
            connection = pymysql.connect(
                host=place.host,
                port=place.port or 3306,
                database=place.database,
                user=f"{self.store.store}_{role}",
                password=self.settings.password(f"stores/{self.store.store}.{role}"),
                charset="utf8mb4",
                init_command="SET time_zone = '+00:00'",
                connect_timeout=5,
                read_timeout=60,
                cursorclass=SSDictCursor,
            )
            with connection:
                yield connection

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """A connection whose transaction is committed in the end."""
        with self.open("wardline") as connection:
            yield connection
            connection.commit()

    def discover(self) -> dict[str, dict[str, list[str]]]:
        """Raises StoreUnavailable and StoreDrifted."""
        seen: dict[str, dict[str, list[str]]] = {}
        try:
            with self.open("verifier") as connection, connection.cursor() as cursor:
                cursor.execute(_COLUMNS, [self.store.location.database])
                for row in list(cursor):
                    table, column = row["t"], row["c"]
                    cursor.execute(
                        f"SELECT LEFT(CAST(`{column}` AS CHAR), 200) AS v FROM `{table}` WHERE `{column}` IS NOT NULL "
                        f"LIMIT {SAMPLES}"
                    )
                    seen.setdefault(table, {})[column] = [each["v"] for each in cursor]
        except OSError:
            raise StoreUnavailable(f"{self.store.store} does not answer.") from None
        return seen


class Within(Database):
    """The same, where all that is changed is part of one transaction that somebody else commits."""

    def __init__(self, database: Database, connection: Any) -> None:
        super().__init__(database.store, database.settings)
        self.connection = connection

    @contextmanager
    def changing(self) -> Iterator[Any]:
        with _understood():
            yield self.connection


@contextmanager
def _understood() -> Iterator[None]:
    """Raises OSError and StoreDrifted for what the client raises."""
    import pymysql

    try:
        yield
    except (pymysql.err.OperationalError, pymysql.err.ProgrammingError) as fault:
        code = fault.args[0]
        if code in _DRIFTED:
            raise StoreDrifted from None
        raise OSError(errno.EACCES if code in _REFUSED else errno.EIO, "refused") from None
    except (pymysql.err.IntegrityError, pymysql.err.DataError):
        raise StoreDrifted from None  # a rule of the store's own that the map does not know
    except (pymysql.err.InterfaceError, pymysql.err.InternalError):
        raise ConnectionError("the connection was lost") from None


class Rows(Folder):
    ending = ".jsonl"

    def __init__(self, database: Database, store: Store, name: str) -> None:
        self.database, self.store, self.name, self.table = database, store, name, store.tables[name]
        if any(place.table and place.by and "." in place.by for places in self._places().values() for place in places):
            raise DataMapFault(f"{store.store}.{name}: events are dated in the row, or in the row it links to")

    def pieces(self, root: Path, values: set[str] | None = None) -> Iterator[Path]:
        if OWN in root.parts:
            yield from sorted(root.rglob(f"*{self.ending}"))
            return
        where, params = self._where(values)
        select = f"SELECT DISTINCT t.{self.table.key[0]} DIV {_WINDOW} AS number FROM {self._source()} WHERE {where}"
        with self.database.open(_role(values)) as connection, connection.cursor() as cursor:
            cursor.execute(select, params)
            numbers = sorted(row["number"] for row in cursor)
        yield from (root / str(number) for number in numbers)

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> list[tuple[str, Row]]:
        if OWN in path.parts:
            rows = [_instants(typed(orjson.loads(line), table)) for line in path.read_bytes().splitlines()]
            return [(self._mark(row), row) for row in rows]
        where, params = self._where(values)
        first = int(path.name) * _WINDOW
        select = (
            f"SELECT {self._columns()} FROM {self._source()} "
            f"WHERE t.{self.table.key[0]} BETWEEN %s AND %s AND {where} ORDER BY t.{self.table.key[0]}"
        )
        with self.database.open(_role(values)) as connection, connection.cursor() as cursor:
            cursor.execute(select, [first, first + _WINDOW - 1, *params])
            return [(self._mark(row), row) for row in map(_plain, cursor)]

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        with self.database.changing() as connection, connection.cursor() as cursor:
            named = " AND ".join(f"{column} = %s" for column in table.key)
            marks = sorted(gone)
            for at in range(0, len(marks), _AT_ONCE):
                cursor.executemany(
                    f"DELETE FROM {self.name} WHERE {named}", [_key(mark) for mark in marks[at : at + _AT_ONCE]]
                )
            for mark, columns in edits.items():
                assigned = ", ".join(f"{column} = %s" for column in columns)
                values = [edit.value for edit in columns.values()]
                cursor.execute(f"UPDATE {self.name} SET {assigned} WHERE {named}", [*values, *_key(mark)])
            # Whoever freezes after the last question finds the connection closed by the server, and the transaction gone.
            cursor.execute(f"SET SESSION wait_timeout = {int(COMMIT_WITHIN)}")
            leave()

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        held = [orjson.dumps(row) for mark, row in self.read(path, table) if mark in marks]
        kept = target / f"{path.name}{self.ending}"
        if held and not kept.exists():
            replace(kept, lambda fresh: fresh.write_bytes(b"\n".join(held)))

    # --- SQL -------------------------------------------------------------------------------------------------------------

    def _source(self) -> str:
        links = [
            f"LEFT JOIN {link.table} l{n} ON l{n}.{link.key} = t.{link.column}"
            for n, link in enumerate(self.table.links)
        ]
        return " ".join([f"{self.name} t", *links])

    def _columns(self) -> str:
        own = [f"t.{column} AS `{column}`" for column in self.table.columns]
        linked = [
            f"l{n}.{column} AS `{link.column}.{column}`"
            for n, link in enumerate(self.table.links)
            for column in self.store.tables[link.table].identifying
        ]
        dated = [
            f"(SELECT CASE WHEN SUM(o.{place.column} IS NULL) THEN NULL ELSE MAX(o.{place.column}) END "
            f"FROM {place.table} o WHERE o.{place.key} = t.{place.by}) AS `@{anchor}`"
            for anchor, places in self._places().items()
            for place in places
            if place.table
        ]
        return ", ".join([*own, *linked, *dated])

    def _where(self, values: set[str] | None) -> tuple[str, list[str]]:
        if values is None:
            return "TRUE", []
        places = [f"t.{column}" for column in self.table.identifying]
        places += [
            f"l{n}.{column}"
            for n, link in enumerate(self.table.links)
            for column in self.store.tables[link.table].identifying
        ]
        if not places or not values:
            return "FALSE", []
        wanted = ", ".join(["%s"] * len(values))
        found = " OR ".join(f"{place} IN ({wanted})" for place in places)
        return f"({found})", [*sorted(values)] * len(places)

    def _places(self) -> dict[str, list[Any]]:
        return {anchor: anchors_in(self.table, anchor) for anchor in self.table.anchors}

    def _mark(self, row: Row) -> str:
        return "|".join(str(row[column]) for column in self.table.key)


def _role(values: set[str] | None) -> Literal["wardline", "verifier"]:
    """Whoever looks through everything, to verify or to sweep, may only read."""
    return "verifier" if values is None else "wardline"


def _key(mark: str) -> list[str]:
    return mark.split("|")


def _plain(row: dict[str, Any]) -> Row:
    """Instants with their zone, and nothing that JSON does not know."""
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return str(value) if isinstance(value, Decimal) else value


def _instants(row: Row) -> Row:
    """A kept row's times elsewhere, as they were."""
    return {
        name: datetime.fromisoformat(value) if name.startswith("@") and value else value for name, value in row.items()
    }
