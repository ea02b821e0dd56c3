"""Reads of changes of sub-processors: how each stands, whom it was told to, and what they said."""

from uuid import UUID

import asyncpg

from chassis.db import Database
from services.registry.contract.register import (
    ChangeRecord,
    ChangeTold,
    ChangeUnknown,
    NoticeTold,
    ObjectionTold,
    Sent,
)
from services.registry.queries import register

_NOTICES = """
SELECT id, tenant, change, contract, "window", told_at, objections_until, mail_state, mail_at, mail_proof
FROM change_notice WHERE change = $1 AND ($2::uuid IS NULL OR tenant = $2) ORDER BY id"""
_DELIVERIES = "SELECT delivery, delivered_at FROM notice_delivery WHERE notice = $1 ORDER BY delivered_at"
_OBJECTIONS = """
SELECT id, tenant, grounds, statement, raised_at, outcome, resolution, resolved_at
FROM objection WHERE change = $1 AND ($2::uuid IS NULL OR tenant = $2) ORDER BY id"""
_TOLD_OF = "SELECT DISTINCT change FROM change_notice WHERE tenant = $1"
_UNDECIDED = """
SELECT newest.key::uuid AS change FROM (
    SELECT DISTINCT ON (key) key, body FROM register_entry WHERE kind = 'change' ORDER BY key, known_from DESC
) newest WHERE newest.body::jsonb ->> 'status' = 'objection_open' ORDER BY newest.key"""


async def change_record(connection: asyncpg.Connection, change: UUID) -> ChangeRecord:
    """As it stands now. Raises ChangeUnknown."""
    found = await register.latest(connection, "change", str(change))
    if found is None:
        raise ChangeUnknown
    return ChangeRecord.model_validate_json(found)


async def told(database: Database, change: UUID, customer: UUID | None, whole: bool) -> ChangeTold:
    """`customer`: only what concerns it, and nothing of a change it was not told of. `whole`: with whom said what."""
    async with database.system() as connection:
        record = await change_record(connection, change)
        own = await notices(connection, change, customer)
        if customer is not None and not own:
            raise ChangeUnknown
        said = await objections(connection, change, customer)
    shown = whole or customer is not None
    return ChangeTold(
        **dict(record) | ({"told": len(own), "objections": len(said)} if customer is not None else {}),
        notices=own if shown else [],
        objections_raised=said if shown else [],
    )


async def undecided(database: Database) -> list[UUID]:
    """The changes that customers may object to now, or whose windows are over and nothing was decided."""
    async with database.system() as connection:
        return [row["change"] for row in await connection.fetch(_UNDECIDED)]


async def told_of(database: Database, customer: UUID) -> set[UUID]:
    """The changes a customer organisation was told of."""
    async with database.system() as connection:
        return {row["change"] for row in await connection.fetch(_TOLD_OF, customer)}


async def notices(connection: asyncpg.Connection, change: UUID, customer: UUID | None = None) -> list[NoticeTold]:
    return [
        NoticeTold(
            notice=row["id"],
            customer=row["tenant"],
            contract=row["contract"],
            window=row["window"],
            told_at=row["told_at"],
            objections_until=row["objections_until"],
            sent=await sent(connection, row),
        )
        for row in await connection.fetch(_NOTICES, change, customer)
    ]


async def objections(connection: asyncpg.Connection, change: UUID, customer: UUID | None = None) -> list[ObjectionTold]:
    return [
        ObjectionTold(
            objection=row["id"],
            customer=row["tenant"],
            **{name: row[name] for name in ObjectionTold.model_fields if name not in ("objection", "customer")},
        )
        for row in await connection.fetch(_OBJECTIONS, change, customer)
    ]


async def sent(connection: asyncpg.Connection, row: asyncpg.Record) -> list[Sent]:
    """The ways in which a notice, or another letter of ours, went out, each with its proof."""
    mail = []
    if row["mail_state"] is not None:
        mail.append(Sent(by="email", state=row["mail_state"], at=row["mail_at"], proof=row["mail_proof"]))
    hooks = [
        Sent(by="webhook", state="delivered", at=each["delivered_at"], proof=str(each["delivery"]))
        for each in await connection.fetch(_DELIVERIES, row["id"])
    ]
    return mail + hooks
