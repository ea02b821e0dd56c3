"""Connections that do not ask the server again what is the same everywhere.

asyncpg has to learn the type of each array it meets, on each new connection: a question to the catalogue of 10 to 20 milliseconds,
most of them the server's, where a connection itself takes 7. What PostgreSQL brings has the same numbers and the same shape in every
database of every version (`src/include/catalog/pg_type.dat`), so this process asks once (decision 0033).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import asyncpg

# PostgreSQL's `FirstGenbkiObjectId`: below it numbers are given by hand and stay; what is made in a database begins at 16,384.
_GIVEN_BY_HAND = 10_000


class _NothingWasPrepared(NamedTuple):
    """Where asyncpg looks whether the question took the place of the caller's own statement."""

    name: str = "known"


class Connection(asyncpg.Connection):
    """`connection_class` of whatever connects."""

    __slots__ = ()

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[list[Any], Any]:
        wanted = list(typeoids)
        if all(oid in _known for oid in wanted):
            return [row for oid in wanted for row in _known[oid]], _NothingWasPrepared()
        told = await super()._introspect_types(wanted, timeout)
        _known.update(_arrays(told[0]))
        return told


_known: dict[int, list[Any]] = {}


def _arrays(told: Iterable[Any]) -> dict[int, list[Any]]:
    """By each array's number the rows that asyncpg needs to know it: its element's, and its own."""
    rows = {row["oid"]: row for row in told if row["oid"] < _GIVEN_BY_HAND}
    return {oid: [rows[row["elemtype"]], row] for oid, row in rows.items() if row["elemtype"] in rows}
