"""Everything whose time is over goes: simulated first, then swept, round whatever is held."""

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pyarrow as pa
import pytest
import yaml

from sample.cases import CASES, PEOPLE, PRIVATE
from services.anonymizer import datamap
from services.anonymizer.connectors.postgresql.remains import Going, leave
from services.anonymizer.contract import BookMisfits, SimulationRequest, StoreUnknown, Sweep, SweepRequest, SweepUnknown
from services.anonymizer.text.vocabularies import Cleaners
from services.anonymizer.transforms.counts import Groups, anonymous, coarse
from services.registry.contract import PolicyBook, Retention
from tests.anonymizer.conftest import House
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]


async def swept(house: House, sweep: UUID, state: str = "done") -> Sweep:
    async with asyncio.timeout(PATIENCE):
        while (seen := await house.client.swept(sweep, tenant=PRIVATE.id)).state != state:
            await asyncio.sleep(0.1)
    return seen


async def ids(house: House, store: str, table: str) -> set[int]:
    return {row["id"] for row in await house.rows(store, f"SELECT id FROM {table}")}


async def test_a_simulation_says_what_a_sweep_then_takes_and_writes_nothing(fresh_house: House):
    house = fresh_house
    calls, helpdesk = CASES[4].facts, CASES[9].facts
    numbers = "SELECT count(*) AS n FROM call_record"
    before = (await house.rows("calls", numbers))[0]["n"]
    simulation = await house.client.simulate(SimulationRequest(), tenant=PRIVATE.id)
    assert (await house.rows("calls", numbers))[0]["n"] == before
    expected = Counter({(one.store, one.table, one.rule): 0 for one in simulation.items})
    for one in simulation.items:
        expected[one.store, one.table, one.rule] += one.count

    hold = house.orders.hold(
        PEOPLE["saga"].msisdn, ["traffic"], datetime.now(UTC) - timedelta(days=900), datetime.now(UTC)
    )
    held = "SELECT count(*) AS n FROM call_record WHERE (caller = $1 OR callee = $1) AND started_at >= $2"
    of_saga = await house.rows("calls", held, PEOPLE["saga"].msisdn, datetime.now(UTC) - timedelta(days=900))

    house.orders.silent = True
    asked = await house.client.sweep(SweepRequest(), key=str(uuid4()), tenant=PRIVATE.id)
    await swept(house, asked.sweep, "paused")
    assert (await house.rows("calls", numbers))[0]["n"] == before, "it swept although the holds could not be read"
    house.orders.silent = False
    done = await swept(house, asked.sweep)

    taken = Counter()
    for one in done.items:
        taken[one.store, one.table, one.rule] += one.count
    assert taken == expected
    assert {"partition", "delete", "files"} <= {one.how for one in done.items}

    await _nobody_is_left_in_what_remains(house, done)

    # case 3: the disputed invoice keeps what it bills under its claim, the unpaid one its fourteen months old traffic
    assert len(await house.rows("calls", "SELECT FROM call_record WHERE caller = $1", PEOPLE["doris"].msisdn)) > 0
    assert len(await house.rows("calls", "SELECT FROM call_record WHERE caller = $1", PEOPLE["ulf"].msisdn)) > 0
    # case 4
    assert int(calls["location_call"]) not in await ids(house, "calls", "location_record")
    assert int(calls["kept_location_call"]) in await ids(house, "calls", "location_record")
    assert int(calls["mobile_call"]) not in await ids(house, "calls", "retained_call_record")
    assert int(calls["fixed_call"]) not in await ids(house, "calls", "call_record")
    # case 9
    assert int(helpdesk["chat"]) not in await ids(house, "helpdesk", "chat")
    assert int(helpdesk["kept_chat"]) in await ids(house, "helpdesk", "chat")
    # case 12: the agreement that ended is gone, its accounting stays
    assert PEOPLE["olle"].id not in await ids(house, "billing", "agreement")
    assert len(await house.rows("billing", "SELECT FROM invoice WHERE customer = $1", PEOPLE["olle"].id)) > 0
    oldest = min(path.stem for path in (house.stores / "authlog").glob("*.jsonl"))
    assert oldest == (house.today - timedelta(days=7)).isoformat()
    # what is held left the ordinary tables like everything else, and is preserved
    left = await house.rows("calls", held, PEOPLE["saga"].msisdn, datetime.now(UTC) - timedelta(days=900))
    assert house.orders.preserved(hold) >= of_saga[0]["n"] - left[0]["n"] > 0

    again = await house.client.sweep(SweepRequest(), key=str(uuid4()), tenant=PRIVATE.id)
    assert (await swept(house, again.sweep)).items == [], "a second sweep found something left"
    events = [one for one in await house.events("sweep.done") if one["data"]["sweep"] == str(asked.sweep)]
    assert len(events) == 1


async def _nobody_is_left_in_what_remains(house: House, done: Sweep) -> None:
    """Counts of groups that hide everybody, texts without their people; and each says what it is."""
    calls = [one for one in done.items if (one.store, one.table) == ("calls", "call_record")]
    assert {one.result for one in calls} == {"anonymous"}
    counts = await house.rows("calls", "SELECT * FROM wardline.anonymous_count")
    assert sum(one.remains for one in calls) == len(counts)
    assert sum(row["count"] for row in counts) == sum(one.count - one.lost for one in calls)
    texts = [one for one in done.items if one.result == "delinked"]
    assert {(one.store, one.how) for one in texts} == {("helpdesk", "redact")}
    cleaned = await house.rows("helpdesk", "SELECT text FROM wardline.cleaned_text")
    assert len(cleaned) == sum(one.remains for one in texts) > 0
    known = {row["name"] for row in await house.rows("billing", "SELECT name FROM customer")}
    known |= {row["msisdn"] for row in await house.rows("billing", "SELECT msisdn FROM number_period")}
    assert not [row["text"] for row in cleaned if any(each in row["text"] for each in known)]
    assert any("[name]" in row["text"] for row in cleaned)
    assert {one.result for one in done.items if one.store in ("billing", "authlog", "recordings")} <= {"deleted"}


async def test_the_store_groups_calls_as_the_kernel_does(house: House):
    """Day, prefix and the counting itself: the SQL that months are anonymised by, and the kernel that a lake is."""
    book = house_book()
    few = tuple(row.model_copy(update={"number": 2}) if row.key == "k_anonymity" else row for row in book.limits)
    book, table = (
        book.model_copy(update={"limits": few}),
        datamap.load(ROOT / "policy" / "stores").stores["calls"].tables["call_record"],
    )
    odd = [
        "112",
        "sip:x@y",
        "+46701234567",
        "0701234567",
        "12025550123",
        "358401234567",
        "46 70",
        None,
        "1234567890123456",
    ]
    rows = await house.rows("calls", "SELECT * FROM call_record")
    everything = Going("call_record", table, "call_record", "traffic", uuid4(), lambda params: "true")
    connection = await house.server.connect("sample_calls")
    transaction = connection.transaction()
    await transaction.start()
    try:
        for n, callee in enumerate(odd):
            values = [*rows[0].values()]
            values[0], values[[*rows[0].keys()].index("callee")] = n, callee
            await connection.copy_records_to_table("call_record", records=[values])
        left = await leave(connection, everything, book, Cleaners({}))
        made = await connection.fetch(
            "SELECT day, prefix, area, type, count FROM wardline.anonymous_count WHERE step = $1", everything.step
        )
        all_rows = [
            dict(row)
            for row in await connection.fetch("SELECT started_at, caller, callee, area, kind FROM call_record")
        ]
    finally:
        await transaction.rollback()
        await connection.close()
    counts = table.remains.counts
    groups = Groups(table.at, counts.prefix, counts.area, counts.type, tuple(counts.people), book.tz)
    kernel = anonymous([coarse(pa.RecordBatch.from_pylist(all_rows), groups)], groups, book.number("k_anonymity"))
    told = sorted(tuple(row.values()) for row in kernel.released.to_pylist())
    assert sorted(tuple(row) for row in made) == told and len(told) == left.remains > 0
    assert left.lost == kernel.suppressed_rows > 0


def house_book() -> PolicyBook:
    return PolicyBook.model_validate_json(
        json.dumps(yaml.safe_load((ROOT / "policy" / "book.yaml").read_text()), default=str)
    )


async def test_a_store_nobody_has_and_a_sweep_nobody_asked_are_refused(house: House):
    with pytest.raises(StoreUnknown):
        await house.client.sweep(SweepRequest(stores=["mainframe"]), key=str(uuid4()), tenant=PRIVATE.id)
    with pytest.raises(SweepUnknown):
        await house.client.swept(uuid4(), tenant=PRIVATE.id)


async def test_a_proposed_book_is_told_what_it_would_change_before_anybody_signs_it(house: House):
    book = house_book()
    wish = SimulationRequest(stores=["recordings", "helpdesk"], proposed=book)
    assert (await house.client.simulate(wish, tenant=PRIVATE.id)).changes == []

    shorter = changed(book, "helpdesk_recordings", keep="1 day", valid_from=None)
    proposed = shorter.model_copy(update={"version": "proposed"})
    seen = await house.client.simulate(wish.model_copy(update={"proposed": proposed}), tenant=PRIVATE.id)
    assert (seen.proposed_version, {one.store for one in seen.changes}) == ("proposed", {"recordings"})
    [change] = seen.changes
    assert (change.before.action, change.after.action, change.element) == ("keep", "delete", "helpdesk_recording")
    recordings = (house.stores / "recordings").glob("[!.]*/*/*.json")  # beside them lies our own journal
    young = [path for path in recordings if _age(house, path) in range(2, 31)]
    assert change.count >= len(young) > 0

    left_out = book.model_copy(
        update={"retention": tuple(row for row in book.retention if row.key != "helpdesk_recordings")}
    )
    with pytest.raises(BookMisfits) as refused:
        await house.client.simulate(wish.model_copy(update={"proposed": left_out}), tenant=PRIVATE.id)
    assert any("recording" in one["problem"] for one in refused.value.extra["errors"])


async def test_what_a_proposed_book_would_change_is_seen_as_a_picture(house: House):
    proposed = changed(house_book(), "helpdesk_recordings", keep="1 day", valid_from=None)
    wish = SimulationRequest(stores=["recordings"], proposed=proposed.model_copy(update={"version": "proposed"}))
    counted = await house.client.simulate(wish, tenant=PRIVATE.id)
    loaded = sys.modules.keys() & {"matplotlib"}
    token = house.issuer.token("anonymizer", "data.sweep", PRIVATE.id, client_id="internal", sub="internal")
    answer = await house.http.post(
        f"{house.url}/v1/simulations/picture",
        content=wish.model_dump_json(),
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        timeout=PATIENCE,
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    words = {text.text for text in ElementTree.fromstring(answer.content).iter("{http://www.w3.org/2000/svg}text")}
    [change] = counted.changes
    assert {"recordings.recording: keep → delete, by helpdesk_recordings", f"{change.count:,}"} <= words
    assert {"What policy book proposed would change of it"} <= words
    assert {item.month for item in counted.items} <= words
    assert sys.modules.keys() & {"matplotlib"} == loaded, "what draws stays in the service's memory"


def changed(book: PolicyBook, key: str, **fields: Any) -> PolicyBook:
    """The book with other values in one retention row."""
    rows = [row.model_dump(mode="json") | fields if row.key == key else row for row in book.retention]
    read = [row if isinstance(row, Retention) else Retention.model_validate_json(json.dumps(row)) for row in rows]
    return book.model_copy(update={"retention": tuple(read)})


def _age(house: House, recording: Path) -> int:
    return (house.today - date.fromisoformat(recording.parent.name)).days
