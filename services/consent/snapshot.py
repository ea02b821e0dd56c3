"""A signed copy of one tenant's standing, for caches beside its call servers: JSON lines, streamed from one reading of the database.

The first line says what may be processed on which basis, the last one bears the signature over everything before it. A reader goes
on from `position` in `GET /v1/changes`: whatever was said after it is told again there, and telling twice changes nothing.
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

_STANDING = """
SELECT principal, kind, regulation, purpose, state, occurred_at, valid_until, notice, notice_version
FROM standing WHERE statement IS NOT NULL ORDER BY principal"""
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
        async for chunk, count in _people(tx.connection, numbers):
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


async def _people(
    connection: asyncpg.Connection, numbers: dict[tuple[str, int], int]
) -> AsyncIterator[tuple[bytes, int]]:
    """Lines [principal, [[kind, regulation, purpose, state, occurred at, valid until, notice]…]], some thousands at once."""
    cursor = await connection.cursor(_STANDING)
    held: list[asyncpg.Record] = []
    while rows := await cursor.fetch(_AT_ONCE):
        held += rows
        # The last person may go on in the next rows.
        whole = [row for row in held if row["principal"] != held[-1]["principal"]]
        held = held[len(whole) :]
        if whole:
            yield _lines(whole, numbers)
    if held:
        yield _lines(held, numbers)


def _lines(rows: list[asyncpg.Record], numbers: dict[tuple[str, int], int]) -> tuple[bytes, int]:
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
