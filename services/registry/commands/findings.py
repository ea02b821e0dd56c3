"""The registry looks for differences by itself: what it finds is opened with an owner and a day, what is gone is closed.

Each change is a row of its own, so that an export for any moment says what was known then.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import orjson

from chassis import clock
from chassis.db import Database, Transaction
from services.anonymizer.client import AnonymizerClient
from services.registry.contract import HOUSE, PolicyBook
from services.registry.contract.findings import AssignFinding, FindingChanged, Findings, FindingUnknown
from services.registry.queries import findings
from services.registry.queries.book import book_of_today
from services.registry.rules.findings import DRIFT, Field, Observed, drifted, observed

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('finding', 0))"
_SAY = "INSERT INTO finding_entry (tenant, key, known_from, body) VALUES ($1, $2, $3, $4)"


async def look(database: Database, anonymizer: AnonymizerClient) -> None:
    """The tick. Raises Unavailable while the anonymizer does not answer; nothing is closed because nobody could look."""
    book = await book_of_today(database)
    fields = [Field(one.store, one.table, one.column, one.element) for one in (await anonymizer.data_map()).items]
    await _settle(database, book, observed(book, fields), lambda open_one: open_one["kind"] not in DRIFT)


async def look_into_stores(database: Database, anonymizer: AnonymizerClient) -> None:
    """The seldom tick: stores are sampled. What was found in one that does not answer now stays open."""
    book = await book_of_today(database)
    told = await anonymizer.drift()

    def looked_at(open_one: dict[str, Any]) -> bool:
        store = open_one["key"].partition("/")[2].partition(".")[0]
        return open_one["kind"] in DRIFT and store not in told.unread

    await _settle(database, book, drifted(told.items), looked_at)


async def _settle(
    database: Database, book: PolicyBook, found: list[Observed], looked_at: Callable[[dict[str, Any]], bool]
) -> None:
    """What is new is opened; what is open, was looked at, and is there no more is closed."""
    seen = {one.key: one for one in found}
    async with database.transaction(HOUSE) as tx:
        await tx.connection.execute(_LOCK)
        now = clock.now()
        known = await findings.known(tx.connection, now)
        open_now = {key: body for key, body in known.items() if body["state"] == "open"}
        for key in sorted(seen.keys() - open_now):
            await _say(tx, now, _opened(seen[key], book, now))
            await _tell(tx, "finding.opened", seen[key].kind, key)
        for key in sorted(key for key, body in open_now.items() if key not in seen and looked_at(body)):
            await _say(tx, now, known[key] | {"state": "gone"})
            await _tell(tx, "finding.closed", known[key]["kind"], key)


async def assign(tx: Transaction, key: str, wish: AssignFinding, book: PolicyBook) -> Findings:
    """Raises FindingUnknown."""
    await tx.connection.execute(_LOCK)
    now = clock.now()
    body = (await findings.known(tx.connection, now)).get(key)
    if body is None or body["state"] != "open":
        raise FindingUnknown
    await _say(tx, now, body | {"owner": wish.owner, "due_on": wish.due_on.isoformat()})
    return await told(tx, book, now)


async def told(tx: Transaction, book: PolicyBook, known_at: datetime) -> Findings:
    day = known_at.astimezone(book.tz).date()
    return Findings(policy_version=book.version, items=await findings.told(tx.connection, book, day, known_at))


def _opened(one: Observed, book: PolicyBook, now: datetime) -> dict[str, Any]:
    today: date = now.astimezone(book.tz).date()
    return {
        "key": one.key,
        "kind": one.kind,
        "statement": one.statement.model_dump(),
        "rows": list(one.rows),
        "owner": book.controller.data_protection_officer,
        "due_on": book.period("finding_due").last_day(today).isoformat(),
        "found_at": now.isoformat(),
        "state": "open",
    }


async def _say(tx: Transaction, known_from: datetime, body: dict[str, Any]) -> None:
    await tx.connection.execute(_SAY, HOUSE, body["key"], known_from, orjson.dumps(body).decode())


async def _tell(tx: Transaction, type: str, kind: str, key: str) -> None:
    await tx.emit(type, FindingChanged(key=key, kind=kind).model_dump(mode="json"))
