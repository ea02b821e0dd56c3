"""Reads: what tenants set, how their contracts end, and what was deleted for their people."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg

from chassis.db import Transaction
from services.registry.contract import TenantPeriod, TenantPeriods
from services.registry.contract.pack import DeletedRecords, Ending, EndingUnknown, Given
from services.registry.contract.signed import stored_payload

_LAST = "SELECT DISTINCT ON (tenant) jws FROM tenant_periods ORDER BY tenant, known_from DESC"
_ENDING = """
SELECT wish, ends_on, deadline, state, chosen_by, chosen_at, remaining, counted_at, handed_over_at, overdue_at, certificate
FROM tenant_ending"""
_GIVEN = """
SELECT DISTINCT ON (store) store, given_at, sha256, length, records FROM tenant_return ORDER BY store, given_at DESC"""
_DELETED = """
SELECT to_char(at AT TIME ZONE $1, 'YYYY-MM') AS month, store, rule, action, sum(count)::int AS count FROM tenant_deletion
GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 2, 3, 4 LIMIT 5000"""


async def own_periods(tx: Transaction) -> list[TenantPeriod]:
    """What the transaction's tenant set, past and future days included."""
    return await every_tenant_s(tx.connection)


async def every_tenant_s(connection: asyncpg.Connection) -> list[TenantPeriod]:
    """What every tenant set whose rows the connection may see: of each the last document, which says everything."""
    return list(_periods(row["jws"] for row in await connection.fetch(_LAST)))


def _periods(signed: Iterable[str]) -> Iterable[TenantPeriod]:
    for document in signed:
        yield from TenantPeriods.model_validate_json(stored_payload(document)).periods


async def ending(tx: Transaction, lock: bool = False) -> Ending:
    """Raises EndingUnknown."""
    row = await tx.connection.fetchrow(_ENDING + (" FOR UPDATE" if lock else ""))
    if row is None:
        raise EndingUnknown
    return Ending(**row)


async def given_back(tx: Transaction) -> dict[str, Given]:
    """Of each store the last time that all of the tenant's records were sent."""
    rows = await tx.connection.fetch(_GIVEN)
    return {
        row["store"]: Given(
            given_at=row["given_at"], sha256=row["sha256"], length=row["length"], records=row["records"]
        )
        for row in rows
    }


async def unfinished(connection: asyncpg.Connection) -> list[UUID]:
    """The tenants whose contracts are ending; for the system role."""
    rows: list[Any] = await connection.fetch("SELECT tenant FROM tenant_ending WHERE state <> 'done'")
    return [UUID(int=row["tenant"].int) for row in rows]


async def deletions(tx: Transaction, zone: str) -> list[DeletedRecords]:
    return [DeletedRecords(**row) for row in await tx.connection.fetch(_DELETED, zone)]
