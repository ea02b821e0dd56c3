"""A signed copy of one tenant's standing, for caches beside its call servers: JSON lines, read page by page as they are taken.

The first line says what may be processed on which basis, the last one bears the signature over everything before it. A reader goes
on from `position` in `GET /v1/changes`: whatever was said after it is told again there, and telling twice changes nothing. So no page
need be as old as another, and who reads slowly holds no transaction meanwhile.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from joserfc import jws
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.db import Database
from chassis.ledger import queries as ledger
from chassis.ledger.canonical import canonical
from services.consent import receipts, rules
from services.consent.contract import Reason
from services.consent.spoken import explained
from services.registry.contract import PolicyBook

MEDIA_TYPE = "application/x-ndjson"
TYPE = "wardline-snapshot+jws"
_AT_ONCE = 1_000  # rows: while they are put into words nobody else is answered
_BEFORE_ALL = UUID(int=0)

# Whole people: the last one's rows all come.
_STANDING = """
SELECT principal, kind, regulation, purpose, state, occurred_at, valid_until, notice, notice_version
FROM standing WHERE statement IS NOT NULL AND principal > $1 ORDER BY principal FETCH FIRST $2 ROWS WITH TIES"""
_NOTICES = "SELECT notice, version, purposes FROM notice_version ORDER BY notice, version"
_DUTIES = "SELECT purpose FROM tenant_duty WHERE state = 'recorded'"


async def stream(database: Database, tenant: UUID, book: PolicyBook, key: OKPKey) -> AsyncIterator[bytes]:
    """The whole document. A stream that was cut has no last line, and proves nothing."""
    async with database.system() as connection:
        position = await ledger.head(connection, database.service)  # before reading: nothing up to here is missed
        (leaf,) = await ledger.leaves(connection, database.service, position)
    digest, people = sha256(), 0
    async with database.transaction(tenant) as tx:
        notices = await tx.connection.fetch(_NOTICES)
        duties = {row["purpose"] for row in await tx.connection.fetch(_DUTIES)}
    made_at = clock.now().isoformat()
    about = {"tenant": str(tenant), "position": position, "leaf": leaf and leaf.hex(), "made_at": made_at}
    first = about | {
        "policy_version": book.version,
        "policy_rows": rules.rows_of(book),
        "max_staleness_ms": book.period("consent_max_staleness").elapsed // timedelta(milliseconds=1),
        "notices": [[row["notice"], row["version"]] for row in notices],
        "grounds": list(_grounds(book, duties, notices)),
    }
    line = orjson.dumps(first) + b"\n"
    digest.update(line)
    yield line
    numbers = {(row["notice"], row["version"]): number for number, row in enumerate(notices, start=1)}
    async for rows in _pages(database, tenant):
        chunk, count = _lines(rows, numbers)
        people += count
        digest.update(chunk)
        yield chunk
    signed = about | {"people": people, "sha256": digest.hexdigest()}
    header = {"alg": receipts.ALGORITHM, "kid": key.kid, "typ": TYPE}
    signature = jws.serialize_compact(header, canonical(signed), key, algorithms=[receipts.ALGORITHM])
    yield orjson.dumps({"end": True, "signature": signature}) + b"\n"


def _grounds(book: PolicyBook, duties: set[str], notices: list[asyncpg.Record]) -> Iterator[list[Any]]:
    """[purpose, category, basis, objection, content, by duty, numbers of the notices that explain it] for all that has a basis."""
    covered = [each.key for row in book.categories for each in (row, *row.elements)]
    for purpose in book.purposes:
        for category in covered:
            ground = rules.ground(book, purpose.key, category, purpose.key in duties)
            if not isinstance(ground, Reason):
                wanted = set(book.elements_of(category))
                covering = [
                    number
                    for number, row in enumerate(notices, start=1)
                    if wanted <= explained(book, row["purposes"], purpose.key)
                ]
                yield [purpose.key, category, ground.basis, ground.objection, ground.content, ground.by_duty, covering]


async def _pages(database: Database, tenant: UUID) -> AsyncIterator[list[asyncpg.Record]]:
    """Some thousand rows at once, each page in a transaction that is over before the page is taken."""
    last = _BEFORE_ALL
    while True:
        async with database.transaction(tenant) as tx:
            rows = await tx.connection.fetch(_STANDING, last, _AT_ONCE)
        if rows:
            yield rows
        if len(rows) < _AT_ONCE:
            return
        last = rows[-1]["principal"]


def _lines(rows: list[asyncpg.Record], numbers: dict[tuple[str, int], int]) -> tuple[bytes, int]:
    """A line [principal, [[kind, regulation, purpose, state, occurred at, valid until, notice]…]] for each person, and how many."""
    people = [
        orjson.dumps([str(principal), [_said(row, numbers) for row in theirs]])
        for principal, theirs in groupby(rows, key=lambda row: row["principal"])
    ]
    return b"\n".join(people) + b"\n", len(people)


def _said(row: asyncpg.Record, numbers: dict[tuple[str, int], int]) -> list[Any]:
    valid_until = rules.microseconds(row["valid_until"]) if row["valid_until"] else 0
    notice = numbers.get((row["notice"], row["notice_version"]), 0)
    return [
        row["kind"], row["regulation"], row["purpose"], row["state"], rules.microseconds(row["occurred_at"]), valid_until, notice,
    ]  # fmt: skip
