"""A million records, decided four ways: by the pure rule, by a store's SQL, over a lake's columns, and by an oracle in NumPy that
was written from the words of the law and the page alone. It knows nothing of periods, branches or zones as the house has them.

The instants lie where mistakes are: around the ends of periods, local midnights, both changes of the clocks, and leap days.
"""

import io
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise, product
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
import pytest_asyncio

from ops.postgres import Postgres
from services.anonymizer.connectors.postgresql.sweep import Part
from services.anonymizer.datamap import Store, Table
from services.anonymizer.house import LONG_AGO
from services.anonymizer.rules import columns, pushdown
from services.anonymizer.rules.facts import Invoices, OpenInvoice, Terms, facts_of
from services.anonymizer.rules.pushdown import Params, literal
from services.anonymizer.rules.retention import decide
from services.anonymizer.text.vocabularies import Cleaners
from services.registry.contract import Period, TenantEnding, TenantPeriod
from tests.anonymizer.test_retention import BOOK, MAP

US, SWEDEN = timedelta(microseconds=1), ZoneInfo("Europe/Stockholm")
NOWS = [
    datetime(2027, 3, 27, 23, 0, tzinfo=UTC),  # the first instant, there, of the day that has 23 hours
    datetime(2027, 3, 28, 22, 0, tzinfo=UTC) - US,  # the last of the same
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # half past two, for the first time
    datetime(2026, 10, 25, 1, 30, tzinfo=UTC),  # half past two, once more
    datetime(2028, 2, 29, 22, 59, 59, tzinfo=UTC),  # a leap day
    datetime(2026, 12, 31, 23, 0, tzinfo=UTC),  # there it is the new year
]
RECORDS = 170_000  # at each of them: 1,020,000
OWN, OTHER, THIRD, LEFT = UUID(int=7), UUID(int=8), UUID(int=9), UUID(int=10)
KINDS = ["mobile_call", "sms", "fixed_call", "data"]
PAID, UNPAID, CLAIMED, LAPSED, SETTLED = 1, 2, 3, 4, 5  # 6: an invoice that billing says nothing of; 0: none


# --- the oracle: days as numbers, months counted by hand -----------------------------------------------------------------


def swedish_days(at: np.ndarray) -> np.ndarray:
    """Central European time: one hour ahead, two from the last Sunday of March to the last of October, changed at 01:00 UTC."""
    years = at.astype("datetime64[Y]").astype(int) + 1970
    begin, end = (np.array([last_sunday(year, month) for year in range(2019, 2031)]) for month in (3, 10))
    summer = (at >= begin[years - 2019]) & (at < end[years - 2019])
    return (at + np.where(summer, 2, 1) * np.timedelta64(3_600_000_000, "us")).astype("datetime64[D]")


def last_sunday(year: int, month: int) -> np.datetime64:
    day = max(date(year, month, n) for n in range(25, 32) if date(year, month, n).weekday() == 6)
    return np.datetime64(f"{day}T01:00", "us")


def months_on(day: np.ndarray, months: np.ndarray | int) -> np.ndarray:
    """The same date so many months later, or the last of the month where it has no such date."""
    month = day.astype("datetime64[M]")
    last = (month + months + 1).astype("datetime64[D]") - 1
    return np.minimum((month + months).astype("datetime64[D]") + (day - month.astype("datetime64[D]")), last)


def traffic(now: np.datetime64, rows: dict[str, np.ndarray]) -> np.ndarray:
    """'Until the invoice is paid', at the most 24 months unless there is a claim; a claim keeps always."""
    today, day = swedish_days(np.array([now]))[0], swedish_days(rows["started_at"])
    claimed, unbilled = rows["invoice"] == CLAIMED, np.isin(rows["invoice"], [0, UNPAID, LAPSED, CLAIMED])
    too_old = today > months_on(day, 24)
    return np.select([claimed, too_old, unbilled], ["keep", "anonymise", "keep"], "anonymise")


def kept_by_law(now: np.datetime64, rows: dict[str, np.ndarray]) -> np.ndarray:
    """Mobile telephony six months, internet access ten, fixed telephony not at all."""
    today, day = swedish_days(np.array([now]))[0], swedish_days(rows["started_at"])
    mobile, data = np.isin(rows["kind"], ["mobile_call", "sms"]), rows["kind"] == "data"
    ends = np.where(mobile, months_on(day, 6), months_on(day, 10))
    return np.where((mobile | data) & (today <= ends), "keep", "delete")


def tenants_own(now: np.datetime64, rows: dict[str, np.ndarray]) -> np.ndarray:
    """Twelve months; one customer said 45 days, another 24 months; of one that left us nothing remains. What is under a claim stands
    elsewhere."""
    today, day = swedish_days(np.array([now]))[0], swedish_days(rows["created_at"])
    mine, others = rows["tenant"] == str(OWN), rows["tenant"] == str(OTHER)
    ends = np.select([mine, others], [day + 45, months_on(day, 24)], months_on(day, 12))
    return np.where(rows["tenant"] == str(LEFT), "delete", np.where(today <= ends, "keep", "anonymise"))


# --- the records ---------------------------------------------------------------------------------------------------------


def instants(now: datetime, drawn: np.random.Generator, size: int) -> np.ndarray:
    """A pool of moments: a period before now, give or take hours, or a quarter of an hour around a change of the clocks."""
    today = np.datetime64(now.replace(tzinfo=None), "us")
    hour, quarter = np.timedelta64(3_600_000_000, "us"), np.timedelta64(900_000_000, "us")
    back = np.array([months_on(np.array([today.astype("datetime64[D]")]), -n)[0] for n in (2, 6, 10, 12, 24)])
    back = np.append(back, today.astype("datetime64[D]") - 45).astype("datetime64[us]")
    edges = back[drawn.integers(len(back), size=size // 2)] + drawn.integers(-60, 60, size // 2) * hour
    edges[::3] = edges[::3].astype("datetime64[D]") - drawn.integers(0, 3, len(edges[::3])) * hour
    edges[::7] -= np.timedelta64(1, "us")
    changes = np.array([last_sunday(year, month) for year, month in product(range(2024, 2027), (3, 10))])
    near = changes[drawn.integers(len(changes), size=size // 4)] + drawn.integers(-100, 100, size // 4) * quarter
    rest = size - len(edges) - len(near)
    anywhere = today - drawn.integers(0, 900 * 86_400, rest) * np.timedelta64(1_000_000, "us")
    return np.minimum(np.concatenate([edges, near, anywhere]), today)


def drawn_rows(now: datetime, seed: int, name: str) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed)
    at = instants(now, drawn, 600)[drawn.integers(600, size=RECORDS // 3)]
    rows = {
        "id": np.arange(len(at)),
        "tenant": np.array([str(OWN), str(OTHER), str(THIRD), str(LEFT)])[drawn.integers(4, size=len(at))],
    }
    if name == "recorded":
        return rows | {"created_at": at}
    rows |= {"started_at": at, "kind": np.array(KINDS)[drawn.integers(4, size=len(at))]}
    return rows | ({"invoice": drawn.integers(0, 7, len(at))} if name == "call_record" else {})


def invoices(now: datetime) -> Invoices:
    told = {
        PAID: OpenInvoice(now - timedelta(days=1), None),
        UNPAID: OpenInvoice(None, None),
        CLAIMED: OpenInvoice(None, now + timedelta(days=1)),
        LAPSED: OpenInvoice(None, now),
        SETTLED: OpenInvoice(now - timedelta(days=400), now + timedelta(days=1)),
    }
    return Invoices(told, LONG_AGO)


RECORDED = Table(
    label={"sv": "Inspelade samtal", "en": "Recorded calls"},
    element="recorded_call",
    store_class="business",
    at="created_at",
    anchors={"created_at": {"column": "created_at"}},
    key=["id"],
    columns={
        "id": {"element": "technical"},
        "tenant": {"element": "technical"},
        "created_at": {"element": "recorded_call"},
    },
)
CALLS: Store = MAP.stores["calls"]
PLACES = {
    "call_record": (CALLS, CALLS.tables["call_record"], traffic),
    "retained_call_record": (CALLS, CALLS.tables["retained_call_record"], kept_by_law),
    "recorded": (CALLS.model_copy(update={"tables": {"recorded": RECORDED}}), RECORDED, tenants_own),
}
TENANTS = tuple(
    TenantPeriod(
        tenant=tenant, rule="service_objects", keep=Period.model_validate(keep), source="house: the customer's own"
    )
    for tenant, keep in ((OWN, "45 days"), (OTHER, "24 months"))
)


ENDING = TenantEnding(tenant=LEFT, source="GDPR Art. 28(3)(g)")


def edges() -> list[datetime]:
    """Where the stores' partitions begin: on no day that matters, and exactly where a period turns at one of those moments."""
    found = {datetime(year, month, 1, tzinfo=UTC) for year in range(2024, 2029) for month in (2, 6, 10)}
    for now in NOWS:
        today = np.datetime64(now.astimezone(SWEDEN).date())
        days = [months_on(np.array([today]), -months)[0] for months in (2, 6, 10, 12, 24)] + [today - 45]
        found |= {datetime.combine(day.item(), time(), SWEDEN).astimezone(UTC) for day in days}
    return sorted(found)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(server: Postgres) -> AsyncIterator[asyncpg.Connection]:
    name, admin = f"oracle_{uuid4().hex[:12]}", await server.connect()
    await admin.execute(f"CREATE DATABASE {name}")
    connection = await server.connect(name)
    await connection.execute("SET timezone = 'UTC'; SET synchronous_commit = off")
    at = "id int, tenant uuid, started_at timestamptz, kind text"
    await connection.execute(f"CREATE TABLE call_record ({at}, invoice bigint) PARTITION BY RANGE (started_at)")
    await connection.execute(f"CREATE TABLE retained_call_record ({at}) PARTITION BY RANGE (started_at)")
    recorded = "id int, tenant uuid, created_at timestamptz"
    await connection.execute(f"CREATE TABLE recorded ({recorded}) PARTITION BY RANGE (created_at)")
    for place, (n, (begin, end)) in product(PLACES, enumerate(pairwise(edges()))):
        within = f"FOR VALUES FROM ('{begin:%F %T}Z') TO ('{end:%F %T}Z')"
        await connection.execute(f"CREATE UNLOGGED TABLE {place}_{n} PARTITION OF {place} {within}")
    yield connection
    await connection.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.mark.parametrize("name", PLACES)
async def test_a_million_records_are_decided_alike_in_every_way(store: asyncpg.Connection, name: str):
    its, table, oracle = PLACES[name]
    for seed, now in enumerate(NOWS):
        tenants = {"tenant_periods": TENANTS, "tenant_endings": (ENDING,)}
        terms = Terms(BOOK.on(now.date()).model_copy(update=tenants), now, invoices(now))
        rows = drawn_rows(now, seed, name)
        expected = oracle(np.datetime64(now.replace(tzinfo=None), "us"), rows)
        frame = arrow(rows)
        assert {"keep"} < set(expected)
        for way, said in {
            "columns": by_columns(table, terms, frame),
            "SQL": await by_sql(store, its, name, terms, frame),
            "decide": by_decide(table, terms, frame),
        }.items():
            wrong = np.flatnonzero(said != expected)
            assert not len(wrong), (
                way,
                now,
                frame.slice(int(wrong[0]), 1).to_pylist(),
                said[wrong[0]],
                expected[wrong[0]],
            )


async def test_a_partition_is_counted_by_its_bounds_and_kinds_as_row_by_row(store: asyncpg.Connection):
    """Where a partition begins at the very instant at which a period turns, in the midst of one that turns, and where none does."""
    by_kind = 0
    for (name, (its, table, oracle)), now in product(PLACES.items(), NOWS[1:3]):
        tenants = {"tenant_periods": TENANTS, "tenant_endings": (ENDING,)}
        terms = Terms(BOOK.on(now.date()).model_copy(update=tenants), now, invoices(now))
        rows = drawn_rows(now, 1, name)
        expected = oracle(np.datetime64(now.replace(tzinfo=None), "us"), rows)
        await by_sql(store, its, name, terms, arrow(rows))
        for n, (begin, end) in enumerate(pairwise(edges())):
            part = Part(its, name, f"{name}_{n}", uuid4(), terms, Cleaners({}))
            part.span = await part._bounds(store)
            assert part.span == (begin, end)
            at = rows[table.at].astype("datetime64[us]")
            here = (at >= np.datetime64(begin.replace(tzinfo=None))) & (at < np.datetime64(end.replace(tzinfo=None)))
            decided = part._verdicts(Params())
            counted = [await part._by_row(store, None), await part._by_kind(store)]
            by_kind += counted[1] is not None
            for each in counted[: 1 + (counted[1] is not None)]:
                said = Counter[str]()
                for one in each:
                    said[decided.branches[one.v].decision.action] += one.number
                assert said == Counter(expected[here].tolist()), (name, now, begin, end)
    assert by_kind > len(NOWS)


@pytest.mark.parametrize("conforming", ["on", "off"])
async def test_a_value_that_is_written_into_a_statement_is_that_value_and_nothing_more(
    store: asyncpg.Connection, conforming: str
):
    """Whatever it spells, and however the server was told to read backslashes."""
    texts = [
        "",
        "anna",
        "o'neill",
        "'; DROP TABLE call_record; --",
        "\\",
        "\\'",
        "a\\\\'b",
        "$1",
        "å\n\t",
        "{}",
        "NULL",
        None,
    ]
    uuids, times, flags = [OWN, OTHER], [NOWS[0], None], [True, False]
    params = Params()
    asked = ", ".join(params(text, "text") for text in texts)
    arrays = [
        (texts, "text[]"),
        ([], "text[]"),
        (uuids, "uuid[]"),
        (times, "timestamptz[]"),
        (flags, "bool[]"),
        ([1, -2], "bigint[]"),
    ]
    asked += "".join(f", {params(value, type)}" for value, type in arrays)
    asked += (
        f", {params(OWN, 'uuid')}, {params(NOWS[1], 'timestamptz')}, {params(-7, 'bigint')}, {params(True, 'bool')}"
    )
    async with store.transaction():
        await store.execute(
            f"SET LOCAL standard_conforming_strings = {conforming}; SET LOCAL escape_string_warning = off"
        )
        row = await store.fetchrow(f"SELECT {params.inlined(asked)}")
    assert list(row) == list(params)
    with pytest.raises(ValueError, match="NUL"):
        literal("a\0b")


def arrow(rows: dict[str, np.ndarray]) -> pa.Table:
    types = {"started_at": pa.timestamp("us", "UTC"), "created_at": pa.timestamp("us", "UTC")}
    made = {
        name: pa.array(values).cast(types[name]) if name in types else pa.array(values) for name, values in rows.items()
    }
    if "invoice" in rows:
        made["invoice"] = pa.array(rows["invoice"], mask=rows["invoice"] == 0)
    return pa.table(made)


def by_columns(table: Table, terms: Terms, frame: pa.Table) -> np.ndarray:
    decided = columns.verdicts(table, terms, "sweep")
    return actions(decided, pl.from_arrow(frame).select(decided.number.alias("v"))["v"].to_numpy())


async def by_sql(store: asyncpg.Connection, its: Store, name: str, terms: Terms, frame: pa.Table) -> np.ndarray:
    text, params = io.BytesIO(), Params()
    pa.csv.write_csv(frame, text, pa.csv.WriteOptions(include_header=False))
    text.seek(0)
    await store.execute(f"TRUNCATE {name}")
    await store.copy_to_table(name, source=text, columns=frame.column_names, format="csv")
    decided = pushdown.verdicts(its, its.tables[name], terms, "sweep", params)
    inner = f"SELECT t.id, {decided.number} AS v FROM {name} t"
    [packed] = await store.fetchrow(f"SELECT array_agg(v ORDER BY id) FROM ({inner}) d", *params)
    return actions(decided, np.array(packed))


def by_decide(table: Table, terms: Terms, frame: pa.Table) -> np.ndarray:
    """Asked once for each different set of facts; records with the same facts have the same answer."""
    told = [name for name in frame.column_names if name != "id"]
    different = pl.from_arrow(frame).with_columns(pl.struct(told).rank("dense").alias("facts"))
    answers: dict[int, str] = {}
    for row in different.unique("facts").to_dicts():
        answers[row["facts"]] = decide(
            facts_of(table, row, anchors(row), frozenset(), terms), terms.book, terms.now
        ).action
    return np.array([answers[facts] for facts in different["facts"].to_list()])


def anchors(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("started_at", "created_at") if name in row}


def actions(decided: Any, numbers: np.ndarray) -> np.ndarray:
    return np.array([branch.decision.action for branch in decided.branches])[numbers]
