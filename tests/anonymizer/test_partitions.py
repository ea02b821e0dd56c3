"""A month is dropped whole only when everything in it may go, and what is said of it is what was in it: whoever wrote into it or
restricted something of it while it was looked at came before or after, never in between."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import asyncpg
import orjson
import pytest
import pytest_asyncio

from ops.postgres import Postgres
from sample.cases import PRIVATE
from services.anonymizer.connectors.postgresql import PostgreSQL
from services.anonymizer.contract import StoreUnavailable, Swept
from tests.anonymizer.directly import NOW, TERMS, Guard, store_of
from tests.patience import PATIENCE

# By its name, for its package has a function that is called like it.
sweeping = import_module("services.anonymizer.connectors.postgresql.sweep")
ROOT = Path(__file__).parents[2]
STORE = """
store: {store}
label: {{sv: Trafik, en: Traffic}}
kind: postgresql
controller: operator
location: {{database: {store}, host: "{host}"}}
tables:
  call:
    label: {{sv: Samtal, en: Calls}}
    element: participants
    store_class: retention
    kind_column: kind
    of_kinds: [mobile_call, fixed_call]
    at: started_at
    anchors: {{started_at: started_at}}
    months: true
    key: [id]
    columns:
      id: technical
      tenant: technical
      kind: time_and_length
      started_at: time_and_length
      caller: {{element: participants, identifies: {{type: msisdn, party: caller}}}}
"""
OLD, NEW = "2026-03-14T12:00Z", "2027-01-14T12:00Z"  # a time that is over for everything; one for fixed telephony only
INSERT = "INSERT INTO call VALUES ($1, $2, $3, $4::text::timestamptz, '46701740605')"

_WAITING = """
SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE NOT l.granted AND d.datname = current_database())"""


class Traffic:
    """The operator's own connection to the store, and the connector."""

    def __init__(self, operator: asyncpg.Connection, connector: PostgreSQL) -> None:
        self.operator, self.connector = operator, connector

    async def writes(self, id: int, at: str, kind: str | None = "mobile_call") -> None:
        await self.operator.execute(INSERT, id, PRIVATE.id, kind, at)

    async def there(self) -> list[int]:
        return [row["id"] for row in await self.operator.fetch("SELECT id FROM call ORDER BY id")]

    async def months(self) -> list[str]:
        select = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1"
        return [row["relname"] for row in await self.operator.fetch(select)]

    async def freezes(self, id: int) -> None:
        key = orjson.dumps([id]).decode()
        await self.operator.execute("INSERT INTO wardline.frozen VALUES ($1, 'call', $2, $3)", uuid4(), key, NOW)

    async def swept(self) -> list[Swept]:
        pieces = self.connector.sweep(uuid4(), TERMS, Guard(), _nobody)
        return [one async for piece in pieces for one in piece.swept]


@pytest_asyncio.fixture(loop_scope="session")
async def traffic(server: Postgres, tmp_path: Path) -> AsyncIterator[Traffic]:
    name, admin = f"traffic_{uuid4().hex[:12]}", await server.connect()
    store, settings = store_of(tmp_path, STORE.format(store=name, host=server.socket_dir))
    await admin.execute(f"CREATE ROLE {name}_wardline LOGIN PASSWORD 'wonderland'")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}_wardline")
    operator = await server.connect(name)
    await operator.execute(f"CREATE SCHEMA wardline AUTHORIZATION {name}_wardline; SET ROLE {name}_wardline")
    await operator.execute((ROOT / "services/anonymizer/store_schema.sql").read_text())
    await operator.execute(f"""
        RESET ROLE; GRANT CREATE ON SCHEMA public TO {name}_wardline; SET ROLE {name}_wardline;
        CREATE TABLE call (id bigint, tenant uuid, kind text, started_at timestamptz, caller text) PARTITION BY RANGE (started_at);
        CREATE TABLE call_old PARTITION OF call FOR VALUES FROM ('2026-03-01Z') TO ('2026-04-01Z');
        CREATE TABLE call_new PARTITION OF call FOR VALUES FROM ('2027-01-01Z') TO ('2027-02-01Z');
        RESET ROLE""")
    connector = PostgreSQL(store, settings)
    try:
        yield Traffic(operator, connector)
    finally:
        await connector.close()
        await operator.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"DROP ROLE {name}_wardline")
        await admin.close()


async def test_a_row_that_is_written_while_its_month_is_swept_is_counted(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweeping, "_YIELD", "SET LOCAL lock_timeout = '60s'")
    await traffic.writes(1, OLD)
    writing = traffic.operator.transaction()
    await writing.start()
    await traffic.writes(2, OLD, "fixed_call")
    sweep = asyncio.create_task(traffic.swept())
    await _waits(traffic.operator)
    await writing.commit()
    swept = await sweep
    assert {one.rule: (one.how, one.month, one.count) for one in swept} == {
        "retained_mobile_telephony": ("partition", "2026-03", 1),
        "retained_fixed_telephony": ("partition", "2026-03", 1),
    }
    assert await traffic.months() == ["call_new"]


async def test_a_row_that_is_restricted_while_its_month_is_swept_stays(traffic: Traffic):
    for id in (1, 2, 3):
        await traffic.writes(id, OLD)
    restricting = traffic.operator.transaction()
    await restricting.start()
    await traffic.freezes(2)
    sweep = asyncio.create_task(traffic.swept())
    await _waits(traffic.operator)
    await restricting.commit()
    [one] = await sweep
    assert (one.how, one.count) == ("delete", 2) and await traffic.there() == [2]


@pytest.mark.parametrize("kind", ["satellite", None])
async def test_a_row_of_a_kind_that_the_book_has_no_rule_for_keeps_its_month_and_stays(
    traffic: Traffic, kind: str | None
):
    for id in (1, 2):
        await traffic.writes(id, OLD)
    await traffic.writes(3, OLD, kind)
    [one] = await traffic.swept()
    assert (one.how, one.count) == ("delete", 2) and await traffic.there() == [3]


async def test_a_month_that_is_not_over_stays_for_what_is_written_next(traffic: Traffic):
    await traffic.writes(1, NEW, "fixed_call")
    [one] = await traffic.swept()
    assert (one.how, one.count) == ("delete", 1)
    await traffic.writes(2, NEW, "fixed_call")
    assert await traffic.there() == [2]


async def test_a_sweep_lets_whoever_works_in_the_store_go_first_and_comes_again(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweeping, "_YIELD", "SET LOCAL lock_timeout = '20ms'")
    await traffic.writes(1, OLD)
    reading = traffic.operator.transaction()
    await reading.start()
    assert await traffic.there() == [1]
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StoreUnavailable):
            await traffic.swept()
    assert await traffic.there() == [1]
    await reading.commit()
    assert [one.how for one in await traffic.swept()] == ["partition"]


async def _waits(operator: asyncpg.Connection) -> None:
    """Until the sweep waits for what `operator` has begun."""
    async with asyncio.timeout(PATIENCE):
        while not await operator.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        ):
            await asyncio.sleep(0.01)


async def _nobody() -> dict:
    return {}
