"""Access over HTTP: everything that was collected, in one file that only the passphrase opens, and nothing left behind."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.requests.rights import jobs
from services.requests.rights.contract import (
    DownloadsUsed,
    Kind,
    NotAnswered,
    NotNow,
    OpenRequest,
    PackageGone,
    RequestUnknown,
    SetPassphrase,
    State,
)
from services.requests.rights.package.build import build
from services.requests.rights.package.unlock import DoesNotOpen, unlock
from tests.patience import PATIENCE
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_deletion import certified

PASSPHRASE = "fyra gröna hästar"
SECRET = "Det här stod bara i ärendet"


def somebody(house: House) -> UUID:
    return house.operator.person(
        ("billing", Row("customer", "1", "Anna Testlind")),
        ("billing", Row("invoice", "2", '=HYPERLINK("https://evil.example")')),
        ("billing", Row("invoice", "3", '199,00; "kr"\nrad två')),
        ("helpdesk", Row("ticket", "4", f"<script>alert(1)</script> {SECRET}")),
    )


async def fetched(house: House, client, request: UUID, into: Path) -> Path:
    path = into / f"{uuid4().hex}.html"
    async with client.package(request) as stream:
        path.write_bytes(await _all(stream))
    return path


async def _all(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def test_whoever_takes_over_after_the_last_step_builds_the_package_and_collects_nothing_again(
    house: House, tenant: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As a worker leaves it that dies between the two: everything is recorded, and nobody else knows of the package."""
    died = []

    def dying_once(*told: Any) -> Any:
        if not died:
            died.append(told)
            raise OSError("No space left on device")
        return build(*told)

    monkeypatch.setattr(jobs, "build", dying_once)
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    assert died and [step.tries for step in done.steps] == [1, 1, 1]
    assert unlock(await fetched(house, client, asked.request, tmp_path), PASSPHRASE).archive


async def test_who_waits_for_a_request_hears_when_it_goes_on_and_nobody_else_waits_for_it(house: House, tenant: UUID):
    anna, erik = house.person(somebody(house), tenant), house.person(somebody(house), tenant)
    house.operator.down.add("billing")
    asked = await anna.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    stuck = await house.until_state(anna, asked.request, "identified")
    began = time.monotonic()
    assert (await anna.moved(asked.request, stuck.state, 0.3)).state == "identified", "nothing happened"
    assert time.monotonic() - began >= 0.3
    with pytest.raises(RequestUnknown):
        await asyncio.wait_for(erik.moved(asked.request, stuck.state, 20), PATIENCE)
    assert (await asyncio.wait_for(anna.moved(asked.request, State.received, 20), PATIENCE)).state == "identified"
    waiting = asyncio.create_task(anna.moved(asked.request, stuck.state, 20))
    house.operator.down.clear()
    seen = await waiting
    assert seen.state != "identified"
    while seen.state != "answered":
        seen = await anna.moved(asked.request, seen.state, 20)


async def test_a_person_gets_everything_in_a_file_that_only_her_passphrase_opens(
    house: House, tenant: UUID, tmp_path: Path
):
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    answer = await client.answer(asked.request)
    assert {found.store: found.counts for found in answer.found} == {
        "billing": {"customer": 1, "invoice": 2},
        "helpdesk": {"ticket": 1},
        "recordings": {},
    }

    path = await fetched(house, client, asked.request, tmp_path)
    assert path.stat().st_size == done.package.bytes
    assert b"Anna" not in path.read_bytes() and SECRET.encode() not in path.read_bytes()
    unlocked = unlock(path, PASSPHRASE)
    archive = zipfile.ZipFile(io.BytesIO(unlocked.archive))
    assert archive.testzip() is None
    invoices = json.loads(archive.read("json/billing/invoice.json"))
    assert invoices["rows"] == [["2", '=HYPERLINK("https://evil.example")'], ["3", '199,00; "kr"\nrad två']]
    assert [column["name"] for column in invoices["columns"]] == ["id", "text"]
    rows = list(csv.reader(io.StringIO(archive.read("csv/billing/invoice.csv").decode("utf-8-sig"))))
    assert rows == [["id", "text"], ["2", '\'=HYPERLINK("https://evil.example")'], ["3", '199,00; "kr"\nrad två']]
    about = json.loads(archive.read("about.json"))
    assert all(about[part] for part in ("purposes", "categories", "kept", "recipients", "rights", "authorities"))
    assert archive.read("report.html").decode() == unlocked.report
    assert "Anna Testlind" in unlocked.report and "Dina rättigheter" in unlocked.report
    assert "&lt;script&gt;" in unlocked.report and "<script" not in unlocked.report

    said = await certified(house, client, asked.request)
    assert said["package_sha256"] == done.package.sha256 and "found" not in said


async def test_who_asks_at_the_same_moment_as_others_gets_her_own_and_nothing_of_theirs(
    house: House, tenant: UUID, tmp_path: Path
):
    rows = [Row("customer", str(n), f"Kund nummer {n}.") for n in range(12)]
    more = {n: [("billing", Row("invoice", f"F{n}", "199,00"))] if n % 2 else [] for n in range(12)}
    clients = [house.person(house.operator.person(("billing", rows[n]), *more[n]), tenant) for n in range(12)]
    before = len(house.operator.together)
    wish = OpenRequest(kind=Kind.access, passphrase=PASSPHRASE)
    asked = await asyncio.gather(*(client.open(wish, key=str(uuid4())) for client in clients))
    for client, one in zip(clients, asked, strict=True):
        await house.until_state(client, one.request, "answered")
    assert max(house.operator.together[before:]) > 1, "each was collected alone"
    for n, (client, one) in enumerate(zip(clients, asked, strict=True)):
        said = {each.store: each.counts for each in (await client.answer(one.request)).found}
        assert said["billing"] == {"customer": 1} | ({"invoice": 1} if n % 2 else {})
        report = unlock(await fetched(house, client, one.request, tmp_path), PASSPHRASE).report
        assert [other for other in range(12) if f"Kund nummer {other}." in report] == [n]


async def test_a_wrong_passphrase_and_a_changed_file_do_not_open(house: House, tenant: UUID, tmp_path: Path):
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")
    path = await fetched(house, client, asked.request, tmp_path)
    with pytest.raises(DoesNotOpen):
        unlock(path, PASSPHRASE + "!")
    lines = path.read_text().splitlines(keepends=True)
    first = next(place for place, line in enumerate(lines) if 'data-part="1"' in line)
    for changed in (lines[:first] + lines[first + 1 :], lines[: first + 1] + lines[first:]):
        path.write_text("".join(changed))
        with pytest.raises(DoesNotOpen):
            unlock(path, PASSPHRASE)
    path.write_text("".join(lines).replace('"iterations":600000', '"iterations":600001'))
    with pytest.raises(DoesNotOpen):
        unlock(path, PASSPHRASE)


async def test_the_terminal_opens_a_package_too(house: House, tenant: UUID, tmp_path: Path):
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")
    path = await fetched(house, client, asked.request, tmp_path)
    program = [sys.executable, "-m", "services.requests.rights.open_package"]
    command = [*program, str(path), "--into", str(tmp_path / "out")]
    opened = subprocess.run(command, input=f"{PASSPHRASE}\n", text=True, capture_output=True, timeout=60)
    assert opened.returncode == 0, opened.stderr
    assert "csv/billing/invoice.csv" in opened.stdout
    assert (tmp_path / "out" / "report.html").exists()
    refused = subprocess.run(command, input="nonsense\n", text=True, capture_output=True, timeout=60)
    assert refused.returncode == 1 and "passphrase" in refused.stderr


async def test_nothing_stays_here_but_the_locked_file_and_that_goes_on_time(house: House, tenant: UUID, tmp_path: Path):
    client = house.person(somebody(house), tenant)
    wish = OpenRequest(kind=Kind.access, passphrase=PASSPHRASE, text=SECRET)
    asked = await client.open(wish, key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    folder = house.settings.packages / str(asked.request)
    await _until(lambda: [path.name for path in folder.iterdir()] == ["package.html"])
    sealed = await house.rows(
        "SELECT said, passphrase, spool_key, identifiers, evidence FROM rights.request WHERE id = $1", asked.request
    )
    assert set(sealed[0].values()) == {None}
    assert await house.rows("SELECT 1 FROM rights.subject_key WHERE subject = $1", asked.request) == []

    house.later(seconds=(done.package.expires_at - done.answered_at).total_seconds() + 1)
    with pytest.raises(PackageGone):
        await fetched(house, client, asked.request, tmp_path)
    await house.until_state(client, asked.request, "closed")
    assert not folder.exists()


async def test_a_package_is_fetched_as_often_as_the_book_says(house: House, tenant: UUID, tmp_path: Path):
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    for _ in range(done.package.downloads_left):
        await fetched(house, client, asked.request, tmp_path)
    with pytest.raises(DownloadsUsed):
        await fetched(house, client, asked.request, tmp_path)


async def test_nothing_of_a_person_is_readable_in_any_table(house: House, tenant: UUID):
    client = house.person(somebody(house), tenant)
    house.operator.down.add("billing")
    try:
        wish = OpenRequest(kind=Kind.access, passphrase=PASSPHRASE, text=SECRET)
        asked = await client.open(wish, key=str(uuid4()))
        await house.until(client, asked.request, lambda seen: {"done", "pending"} == {one.state for one in seen.steps})
        assert await house.rows("SELECT 1 FROM rights.spool WHERE request = $1", asked.request), "nothing is kept yet"
        tables = await house.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'rights'")
        for (table,) in tables:
            found = await house.rows(
                f'SELECT 1 FROM rights."{table}" t WHERE t::text LIKE ANY ($1)',
                [
                    f"%{text}%"
                    for secret in (PASSPHRASE, SECRET, "Anna Testlind")
                    for text in (secret, secret.encode().hex())
                ],
            )
            assert found == [], f"rights.{table} holds it in the clear"
        assert not (house.settings.packages / str(asked.request)).exists()
    finally:
        house.operator.down.clear()
    await house.until_state(client, asked.request, "answered")
    assert await house.rows("SELECT 1 FROM rights.spool WHERE request = $1", asked.request) == []


async def test_a_stream_cut_before_its_last_line_is_no_collection(house: House, tenant: UUID):
    client = house.person(somebody(house), tenant)
    house.operator.cut.add("helpdesk")
    try:
        asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
        seen = await house.until(client, asked.request, lambda seen: any(step.problem for step in seen.steps))
        assert [step.store for step in seen.steps if step.problem] == ["helpdesk"]
        with pytest.raises(NotAnswered):
            await client.answer(asked.request)
    finally:
        house.operator.cut.clear()
    await house.until_state(client, asked.request, "answered")


async def test_a_package_waits_for_its_passphrase(house: House, tenant: UUID, tmp_path: Path):
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access), key=str(uuid4()))
    await house.until_state(client, asked.request, "awaiting_passphrase")
    with pytest.raises(NotNow):
        await fetched(house, client, asked.request, tmp_path)
    await client.set_passphrase(asked.request, SetPassphrase(passphrase=PASSPHRASE), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")
    assert unlock(await fetched(house, client, asked.request, tmp_path), PASSPHRASE).archive


async def test_spools_that_were_lost_are_collected_again(house: House, tenant: UUID):
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access), key=str(uuid4()))
    await house.until_state(client, asked.request, "awaiting_passphrase")
    await house.rows("DELETE FROM rights.spool WHERE request = $1", asked.request)
    await client.set_passphrase(asked.request, SetPassphrase(passphrase=PASSPHRASE), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")


async def test_somebody_unknown_gets_the_same_kind_of_answer(house: House, tenant: UUID, tmp_path: Path):
    client = house.person(house.operator.person(), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, language="en", passphrase=PASSPHRASE), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")
    report = unlock(await fetched(house, client, asked.request, tmp_path), PASSPHRASE).report
    assert 'lang="en"' in report and report.count("There is nothing about you here.") == 3


async def _until(holds) -> None:
    import asyncio

    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_drawn_passphrase_needs_no_second_and_a_persons_own_words_do(
    house: House, tenant: UUID, tmp_path: Path
):
    client = house.person(somebody(house), tenant)
    drawn = await client.drawn_passphrase()
    rounds = {}
    for passphrase in (drawn, PASSPHRASE, drawn[:-1] + ("0" if drawn[-1] != "0" else "1")):
        asked = await client.open(OpenRequest(kind=Kind.access, passphrase=passphrase), key=str(uuid4()))
        await house.until_state(client, asked.request, "answered")
        package = await fetched(house, client, asked.request, tmp_path)
        assert "Anna Testlind" in unlock(package, passphrase).report
        rounds[passphrase] = int(re.search(r'"iterations":(\d+)', package.read_text())[1])
    assert list(rounds.values()) == [1_000, 600_000, 600_000], "one letter off, it is somebody's own words"
    assert drawn != await client.drawn_passphrase()
