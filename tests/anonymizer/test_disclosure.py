"""What an approved task gets: one identifier, its categories, its period, preserved rows included; and no trace of it here."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sample.cases import CASES, PEOPLE, PRIVATE
from services.anonymizer.contract import DisclosureRequest, Identifier, IdentifierType, Period, Scope, Verb
from tests.anonymizer.conftest import House, read

CILLA = PEOPLE["cilla"].msisdn


async def disclosed(
    house: House,
    store: str,
    categories: list[str],
    copies=("business", "retention"),
    days=400,
    type=IdentifierType.msisdn,
    value=CILLA,
    holds=(),
):
    now = datetime.now(UTC)
    wish = DisclosureRequest(
        step=uuid4(),
        store=store,
        identifiers=[Identifier(type=type, value=value)],
        categories=categories,
        period=Period(from_=now - timedelta(days=days), to=now),
        copies=list(copies),
        holds=list(holds),
    )
    async with house.client.disclose(wish, tenant=PRIVATE.id) as stream:
        return read(b"".join([chunk async for chunk in stream]))


async def test_an_order_gets_its_categories_its_period_and_its_copies_only(house: House):
    rows = await disclosed(house, "calls", ["traffic"])
    assert set(rows) == {"call_record", "retained_call_record"}
    assert all(CILLA in (row["caller"], row["callee"]) for table in rows.values() for row in table)
    assert set(await disclosed(house, "calls", ["location"])) == {"location_record"}
    assert set(await disclosed(house, "calls", ["traffic"], copies=["business"])) == {"call_record"}
    short = await disclosed(house, "calls", ["traffic"], days=40)
    assert 0 < len(short["call_record"]) < len(rows["call_record"])


async def test_a_subscriber_is_found_by_a_number(house: House):
    rows = await disclosed(house, "billing", ["subscriber"])
    assert [row["name"] for row in rows["customer"]] == [PEOPLE["cilla"].name]
    assert len(rows["agreement"]) == 1


async def test_only_the_law_s_copy_knows_an_address_of_the_network(house: House):
    ip = str(CASES[11].facts["retention_only_ip"])
    found = await disclosed(house, "calls", ["traffic"], type=IdentifierType.ip, value=ip)
    assert len(found["retained_call_record"]) == 1
    assert (await disclosed(house, "calls", ["traffic"], ["business"], type=IdentifierType.ip, value=ip))[
        "call_record"
    ] == []


async def test_what_was_preserved_is_disclosed_as_before_to_whom_it_was_kept_for_and_leaves_no_event(house: House):
    before = await disclosed(house, "calls", ["traffic"])
    now = datetime.now(UTC)
    hold, others = (house.orders.hold(CILLA, ["traffic"], now - timedelta(days=400), now) for _ in range(2))
    await house.step(Verb.erase, "calls", await house.principal("cilla"))
    events = await house.rows("wardline", "SELECT count(*) FROM anonymizer.event")
    after = await disclosed(house, "calls", ["traffic"], holds=[hold])
    assert await disclosed(house, "calls", ["traffic"], holds=[others]) == after, "each keeps a copy for its own order"
    for table, rows in before.items():

        def key(row):
            return row["started_at"], row["kind"], row["duration_ms"], row["caller"]

        assert sorted(map(key, after[table])) == sorted(map(key, rows))
    assert await house.rows("wardline", "SELECT count(*) FROM anonymizer.event") == events
    left = await disclosed(house, "calls", ["traffic"], holds=[uuid4()])
    assert len(left["call_record"]) < len(before["call_record"]), "what was kept for others is not there for this order"
    shown = (await house.collected("calls", await house.principal("cilla")))["call_record"]
    assert len(shown) < len(before["call_record"])


async def test_a_recording_kept_for_one_order_is_not_there_for_another(house: House):
    hers = "4805"
    now = datetime.now(UTC)
    hold = house.orders.hold(CILLA, ["helpdesk_recording"], now - timedelta(days=400), now)
    await house.step(Verb.erase, "recordings", await house.principal("cilla"), scope=Scope(recording=hers))

    async def seen(*holds) -> list[str]:
        found = await disclosed(house, "recordings", ["helpdesk_recording"], holds=holds)
        return [row["recording"] for row in found["recording"]]

    assert hers in await seen(hold)
    assert hers not in await seen() and hers not in await seen(uuid4())
