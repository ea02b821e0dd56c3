"""A store is restored from an old backup, and the service started: whom it had erased is gone before it says that it is ready."""

import asyncio
import shutil
from uuid import uuid4

from sample.cases import PEOPLE, PRIVATE
from services.anonymizer.app import create_app
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import StepState, Verb
from tests.anonymizer.conftest import House, Speaking
from tests.patience import PATIENCE
from tests.serving import serve

NADIA = PEOPLE["nadia"]


async def backed_up(house: House) -> None:
    shutil.copytree(house.stores / "authlog", house.server.home.path / "backup")
    await administered(house, "CREATE DATABASE backup TEMPLATE sample_helpdesk OWNER helpdesk_owner")


async def restored(house: House) -> None:
    shutil.rmtree(house.stores / "authlog")
    shutil.copytree(house.server.home.path / "backup", house.stores / "authlog")
    await administered(house, "DROP DATABASE sample_helpdesk WITH (FORCE)")
    await administered(house, "ALTER DATABASE backup RENAME TO sample_helpdesk")
    await administered(house, "GRANT CONNECT ON DATABASE sample_helpdesk TO helpdesk_wardline, helpdesk_verifier")


async def administered(house: House, statement: str) -> None:
    connection = await house.server.connect("postgres")
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('sample_helpdesk', 'backup')"
        )
        await connection.execute(statement)
    finally:
        await connection.close()


async def seen(house: House) -> tuple[int, int]:
    """In how many tickets and lines of the log she stands."""
    rows = await house.rows(
        "helpdesk", "SELECT count(*) AS n FROM ticket WHERE customer_number = $1", NADIA.customer_number
    )
    lines = [line for path in (house.stores / "authlog").glob("*.jsonl") for line in path.read_text().splitlines()]
    return rows[0]["n"], sum(NADIA.email in line for line in lines)


async def test_whom_a_backup_brings_back_is_erased_before_the_service_is_ready(fresh_house: House):
    house = fresh_house
    nadia = await house.principal("nadia")
    await backed_up(house)
    at_first = await seen(house)
    erased = {store: await house.step(Verb.erase, store, nadia) for store in ("helpdesk", "authlog")}
    gone = await seen(house)
    assert gone < at_first
    await house.client.forget(nadia, uuid4(), tenant=PRIVATE.id)

    await restored(house)
    assert await seen(house) == at_first, "the backup brought her back"
    house.orders.silent = True  # an order may hold her: without an answer nobody is erased, and nothing opens
    asked = len(house.orders.asked)
    async with serve(create_app(house.settings)) as url:
        client = AnonymizerClient(house.http, url, Speaking(house.issuer))
        async with asyncio.timeout(PATIENCE):
            while len(house.orders.asked) == asked or await seen(house) != at_first:
                await asyncio.sleep(0.05)  # until somebody has asked, and what lay aside meanwhile is back
        assert (await house.http.get(url + "/health/ready")).status_code == 503
        house.orders.silent = False
        async with asyncio.timeout(PATIENCE):
            while (await house.http.get(url + "/health/ready")).status_code != 200:
                await asyncio.sleep(0.05)
        assert await seen(house) == gone
        replayed = await house.events("erasure.replayed")
        assert {one["data"]["step"] for one in replayed} == {str(one.step) for one in erased.values()}
        house.client = client
        again = await house.principal("nadia")
        assert again != nadia
        assert (await house.step(Verb.verify, "helpdesk", again)).state == StepState.done
    marks = await house.rows("wardline", "SELECT marks::text FROM anonymizer.replay")
    assert marks and not any(NADIA.email in row["marks"] or NADIA.msisdn in row["marks"] for row in marks)
