"""What stays of rows that are anonymised: written beside the store's own tables, in the transaction in which the rows go."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import asyncpg

from services.anonymizer.datamap import Counted, Table
from services.anonymizer.rules.pushdown import Params
from services.anonymizer.text.vocabularies import Cleaners
from services.anonymizer.transforms import numbers
from services.anonymizer.transforms.counts import NOBODY, NotAnonymous
from services.registry.contract import PolicyBook

Where = Callable[[Params], str]
_TEXTS_AT_ONCE = 500


@dataclass(frozen=True)
class Left:
    """`remains`: counts or texts · `lost`: rows of suppressed groups, or texts that could not be cleaned."""

    result: Literal["deleted", "delinked", "anonymous"] = "deleted"
    remains: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Going:
    """The rows of `source` (a table or one month of it) under `where` that one rule anonymises, in one step."""

    name: str
    table: Table
    source: str
    rule: str
    step: UUID
    where: Where


async def leave(connection: asyncpg.Connection, rows: Going, book: PolicyBook, cleaners: Cleaners) -> Left:
    remains = rows.table.remains
    if remains and remains.counts:
        return await _count(connection, rows, remains.counts, book)
    if remains and remains.texts:
        return await _clean(connection, rows, cleaners)
    return Left()


async def _count(connection: asyncpg.Connection, rows: Going, counts: Counted, book: PolicyBook) -> Left:
    """Groups with k different people on every side that has any. Raises NotAnonymous."""
    k, params = book.number("k_anonymity"), Params()
    grouped = _grouped(rows, counts, book, params)
    hidden = " AND ".join(_enough(side, params(k, "int")) for side in range(len(counts.people)))
    told = [params(rows.step, "uuid"), params(rows.name, "text"), params(rows.rule, "text")]
    status = await connection.execute(
        "INSERT INTO wardline.anonymous_count (step, store_table, rule, day, prefix, area, type, count) "
        f"SELECT {', '.join(told)}, day, prefix, area, type, count(*) FROM ({grouped}) g GROUP BY day, prefix, area, type HAVING {hidden}",
        *params,
    )
    await _check(connection, rows, counts, book, k)
    params = Params()
    lost = await connection.fetchval(
        f"SELECT (SELECT count(*) FROM {rows.source} t WHERE {rows.where(params)}) - "
        f"(SELECT coalesce(sum(count), 0) FROM wardline.anonymous_count WHERE step = {params(rows.step, 'uuid')} "
        f"AND rule = {params(rows.rule, 'text')})",
        *params,
    )
    return Left("anonymous", int(status.rpartition(" ")[2]), int(lost))


async def _check(connection: asyncpg.Connection, rows: Going, counts: Counted, book: PolicyBook, k: int) -> None:
    """Before they are called anonymous the released groups are looked at again, by another way: the different people of each side are
    listed, and the lists counted. Raises NotAnonymous."""
    params = Params()
    grouped = _grouped(rows, counts, book, params)
    released = f"SELECT * FROM wardline.anonymous_count WHERE step = {params(rows.step, 'uuid')} AND rule = {params(rows.rule, 'text')}"
    lists = [
        f"s{side} AS (SELECT {_BY}, count(*) AS n FROM (SELECT DISTINCT {_BY}, p{side} FROM g WHERE p{side} IS NOT NULL) d GROUP BY {_BY})"
        for side in range(len(counts.people))
    ]
    joined = " ".join(f"LEFT JOIN s{side} USING ({_BY})" for side in range(len(counts.people)))
    small = " OR ".join(
        f"coalesce(s{side}.n, 0) BETWEEN {int(side > 0)} AND {params(k, 'int')} - 1"
        for side in range(len(counts.people))
    )
    wrong = await connection.fetchval(
        f"WITH g AS MATERIALIZED ({grouped}), r AS ({released}), {', '.join(lists)}, "
        f"whole AS (SELECT {_BY}, count(*) AS n FROM g GROUP BY {_BY}) "
        f"SELECT count(*) FROM r LEFT JOIN whole USING ({_BY}) {joined} WHERE r.count IS DISTINCT FROM whole.n OR {small}",
        *params,
    )
    if wrong:
        raise NotAnonymous(f"{wrong} group(s) with fewer than {k} different people")


_BY = "day, prefix, area, type"


def _grouped(rows: Going, counts: Counted, book: PolicyBook, params: Params) -> str:
    table = rows.table
    people = ", ".join(f"t.{column} AS p{side}" for side, column in enumerate(counts.people))
    return (
        f"SELECT (t.{table.at} AT TIME ZONE {params(book.zone, 'text')})::date AS day, "
        f"coalesce({prefix_sql(f't.{counts.prefix}')}, '{NOBODY}') AS prefix, coalesce(t.{counts.area}, '{NOBODY}') AS area, "
        f"coalesce(t.{counts.type}, '{NOBODY}') AS type, {people} FROM {rows.source} t WHERE {rows.where(params)}"
    )


def _enough(side: int, k: str) -> str:
    enough = f"count(DISTINCT p{side}) >= {k}"
    return f"(count(p{side}) = 0 OR {enough})" if side else enough


def prefix_sql(column: str) -> str:
    """As `transforms.numbers` tells the prefix of a number."""
    number = f"ltrim({column}, '+')"
    one = ", ".join(f"'{code}'" for code in sorted(numbers.ONE))
    two = ", ".join(f"'{code}'" for code in sorted(numbers.TWO))
    parts = {1: f"left({number}, 1) IN ({one})", 2: f"left({number}, 2) IN ({two})", 3: "true"}
    whens = " ".join(
        f"WHEN {holds} THEN left({number}, {size}) || '-' || substr({number}, {size + 1}, 2)"
        for size, holds in parts.items()
    )
    strict = f"^[+]?[1-9][0-9]{{{numbers.SHORTEST - 1},{numbers.LONGEST - 1}}}$"
    return f"CASE WHEN {column} IS NULL THEN NULL WHEN {column} !~ '{strict}' THEN '{numbers.NOT_E164}' {whens} END"


async def _clean(connection: asyncpg.Connection, rows: Going, cleaners: Cleaners) -> Left:
    """Each text for itself, in an order that says nothing of the one they came in."""
    params, remains, lost = Params(), 0, 0
    texts = f"unnest(ARRAY[{', '.join(f't.{column}' for column in rows.table.texts)}])"
    cursor = connection.cursor(
        f"SELECT t.{rows.table.tenant} AS tenant, to_char(t.{rows.table.at}, 'YYYY-MM') AS month, x.text FROM {rows.source} t, "
        f"{texts} x(text) WHERE {rows.where(params)} AND x.text <> '' ORDER BY md5(x.text)",
        *params,
        prefetch=_TEXTS_AT_ONCE,
    )
    found = [(row["tenant"], row["month"], row["text"]) async for row in cursor]
    for first in range(0, len(found), _TEXTS_AT_ONCE):
        some = found[first : first + _TEXTS_AT_ONCE]
        cleaned = await asyncio.to_thread(
            lambda some=some: [cleaners(tenant).clean(text).text for tenant, _, text in some]
        )
        kept = [(*which[:2], text) for which, text in zip(some, cleaned, strict=True) if text is not None]
        await connection.copy_records_to_table(
            "cleaned_text",
            schema_name="wardline",
            records=[(rows.step, rows.name, rows.rule, *one) for one in kept],
            columns=["step", "store_table", "rule", "tenant", "month", "text"],
        )
        remains, lost = remains + len(kept), lost + len(some) - len(kept)
    return Left("delinked", remains, lost)
