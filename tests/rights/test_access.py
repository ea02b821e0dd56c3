"""Access over HTTP: everything that was collected, in one file that only the passphrase opens, and nothing left behind."""

import asyncio
import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from pydantic import ValidationError

from chassis import durable
from services.anonymizer.contract import TableLine
from services.registry.books import read_book
from services.registry.contract import Text
from services.requests.rights import jobs
from services.requests.rights.commands import answering, asking
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
from services.requests.rights.package import build as building
from services.requests.rights.package import builders, passphrase, spool
from services.requests.rights.package.build import Contents, Source, build
from services.requests.rights.package.unlock import DoesNotOpen, unlock
from services.requests.rights.rules.about import about
from tests.patience import PATIENCE, until
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


def builds(monkeypatch: pytest.MonkeyPatch, build: Callable[..., Any]) -> None:
    """However a package comes to be built, it is so."""
    for module in (jobs, builders):
        monkeypatch.setattr(module, "build", build)


@pytest.mark.parametrize("words", [PASSPHRASE, passphrase.draw()], ids=["own", "drawn"])
async def test_whoever_takes_over_after_the_last_step_builds_the_package_and_collects_nothing_again(
    house: House, tenant: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
):
    """As a worker leaves it that dies between the two: everything is recorded, and nobody else knows of the package. So does a disk that
    refuses what would have been built at once."""
    died = []

    def dying_twice(*told: Any) -> Any:
        if len(died) < 2:
            died.append(told)
            raise OSError("No space left on device")
        return build(*told)

    builds(monkeypatch, dying_twice)
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=words), key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    assert len(died) == 2 and [step.tries for step in done.steps] == [1, 1, 1]
    assert unlock(await fetched(house, client, asked.request, tmp_path), words).archive


async def test_the_words_for_a_package_that_nobody_builds_go_with_its_request(house: House, tenant: UUID):
    client = house.person(somebody(house), tenant)
    wish = OpenRequest(kind=Kind.access, passphrase=PASSPHRASE)
    house.operator.down.add("billing")
    first = await client.open(wish, key=str(uuid4()))
    again = await client.open(wish, key=str(uuid4()))
    await house.until_state(client, again.request, "duplicate")
    house.operator.down.clear()
    await house.until_state(client, first.request, "answered")
    words = "SELECT 1 FROM rights.request WHERE id = ANY ($1) AND passphrase IS NOT NULL"
    assert await house.rows(words, [first.request, again.request]) == []


async def test_what_the_disk_loses_after_it_was_written_is_no_answer(
    house: House, tenant: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The disk works while the answer is written to the database, which must not be committed before."""
    words, lost, fsync = passphrase.draw(), [], os.fsync

    def losing_once(file: int) -> None:
        if not lost:
            time.sleep(0.5)
            lost.append(file)
            raise OSError("Input/output error")
        fsync(file)

    monkeypatch.setattr(os, "fsync", losing_once)
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=words), key=str(uuid4()))
    while not lost:
        assert (await client.request(asked.request)).state != "answered" or lost
        await asyncio.sleep(0.02)
    await house.until_state(client, asked.request, "answered")
    assert unlock(await fetched(house, client, asked.request, tmp_path), words).archive


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("0191-åäö (2).wav", "0191-åäö (2).wav"),
        ("../../x.wav", "x.wav"),
        ("..", "_"),
        ("..\\..\\x.lnk", "_.._x.lnk"),
        ("C:x.wav", "C_x.wav"),
        ("a\u202egpj.exe", "a_gpj.exe"),
        (".bashrc", "bashrc"),
        ("a\nb\0c", "a_b_c"),
    ],
)
def test_a_file_s_name_in_an_archive_leads_nowhere_and_shows_what_it_is(file: str, named: str):
    assert building._named(file) == named


def test_of_two_files_that_are_called_alike_neither_takes_the_other_s_place(tmp_path: Path):
    """Also where A and a are one letter to whoever unpacks it."""
    names = ["0001.wav", "0001.WAV", "0001.wav", "0001 (2).wav"]
    lines = [{"table": "call", "columns": []}, ["1"]]
    for n, name in enumerate(names):
        lines += [{"table": "call", "columns": [], "file": name}, [base64.b64encode(b"%d" % n).decode()]]
    content = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    secret, step = os.urandom(32), uuid4()
    writer = spool._Writer(spool.Spool(tmp_path / "spool", secret, step))
    writer.write(content)
    writer.close()
    kept = Source("recordings", Text(sv="Samtal", en="Calls"), step, writer.little, {"call": 1})
    told = about(read_book(Path(__file__).parents[2] / "policy" / "book.yaml"))
    building.portable(archive := io.BytesIO(), Contents(uuid4(), "sv", told, [kept], secret, portable=True))
    with zipfile.ZipFile(archive) as found:
        files = {name: found.read(name) for name in found.namelist() if name.startswith("files/")}
    assert sorted(files.values()) == [b"0", b"1", b"2", b"3"] and files["files/recordings/0001.wav"] == b"0"
    assert len({name.lower() for name in files}) == len(names)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "\t=1",
        "pris; 199;=1+1;",
        "hej\n=1+1\n",
        "hej\r\n@SUM(1)",
        "a\t+1",
        '";=1',
        '",=1',
        "＝1+1",
        "a;＠SUM(1)",
        'hej\n"=1+1"',
        'a;"=1";b',
        '"=1',
        '""＝1',
    ],
)
def test_no_spreadsheet_finds_a_formula_whatever_it_takes_for_the_end_of_a_cell(text: str):
    """What separates cells is the reader's own setting: in Swedish it is the semicolon."""
    column = {"name": "text", "element": "name", "category": "customer_invoice", "label": {"sv": "T", "en": "T"}}
    table = TableLine.model_validate({"table": "chat", "label": {"sv": "T", "en": "T"}, "columns": [column]})
    written = b"".join(building._as_csv(table, iter([orjson.dumps(["x", text, 7, None]) + b"\n"]))).decode("utf-8-sig")
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(written), delimiter=delimiter):
            assert not [cell for cell in row if cell.lstrip('"').startswith(tuple("=+-@＝＋－＠"))], (delimiter, row)


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


NO_INSTANTS = [
    "9999-12-31T23:59:59Z",  # for ever, as many systems say it
    "0001-01-01T00:00:00+14:00",
    "0000-00-00T00:00:00Z",
    "2026-02-30T12:00:00Z",
    "2026-07-01T12:00:60Z",
    "2026-07-01T12:00:00+99:99",
    "２０２６-07-01T12:00:00Z",
]


async def test_what_looks_like_an_instant_and_is_none_stands_as_it_is(house: House, tenant: UUID, tmp_path: Path):
    rows = [("billing", Row("contract", str(n), text)) for n, text in enumerate([*NO_INSTANTS, "2026-07-01T22:30:00Z"])]
    client, words = house.person(house.operator.person(*rows), tenant), passphrase.draw()
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=words), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")
    report = unlock(await fetched(house, client, asked.request, tmp_path), words).report
    assert [text for text in NO_INSTANTS if f"<td>{text}</td>" not in report] == []
    assert "<td><time>2026-07-02 00:30:00</time></td>" in report


# Two of a dozen thought up their own; to stretch each of these for a second time to look inside takes longer than all the rest.
WORDS = [PASSPHRASE if n in (0, 7) else passphrase.draw() for n in range(12)]


def a_dozen(house: House, tenant: UUID) -> list[tuple[UUID, Any]]:
    """Each a customer, every second with invoices in an order of their own, every third with a ticket."""
    found = []
    for n in range(12):
        rows = [("billing", Row("customer", str(n), f"Kund nummer {n}."))]
        rows += [("billing", Row("invoice", f"F{n}-{each}", f"Kund nummer {n}.")) for each in (3, 1, 2) if n % 2]
        rows += [("helpdesk", Row("ticket", f"T{n}", f"Kund nummer {n}."))] if n % 3 == 0 else []
        principal = house.operator.person(*rows)
        found.append((principal, house.person(principal, tenant)))
    return found


async def hers(house: House, client: Any, request: UUID, n: int, into: Path) -> None:
    """The answer counts what is hers, and the package has it in its order, and nothing of anybody else."""
    said = {each.store: each.counts for each in (await client.answer(request)).found}
    assert said["billing"] == {"customer": 1} | ({"invoice": 3} if n % 2 else {})
    assert said["helpdesk"] == ({} if n % 3 else {"ticket": 1}) and said["recordings"] == {}
    unlocked = unlock(await fetched(house, client, request, into), WORDS[n])
    archive = zipfile.ZipFile(io.BytesIO(unlocked.archive))
    tables = {
        name: json.loads(archive.read(name))["rows"]
        for name in archive.namelist()
        if name.count("/") == 2 and name.endswith(".json")
    }
    expected = {"json/billing/customer.json": [[str(n), f"Kund nummer {n}."]]}
    if n % 2:
        expected["json/billing/invoice.json"] = [[f"F{n}-{each}", f"Kund nummer {n}."] for each in (3, 1, 2)]
    if n % 3 == 0:
        expected["json/helpdesk/ticket.json"] = [[f"T{n}", f"Kund nummer {n}."]]
    assert tables == expected
    assert [other for other in range(12) if f"Kund nummer {other}." in unlocked.report] == [n]


async def test_who_asks_at_the_same_moment_as_others_gets_her_own_and_nothing_of_theirs(
    house: House, tenant: UUID, tmp_path: Path
):
    """Some to see it, some to take along what they gave."""
    people, before = a_dozen(house, tenant), len(house.operator.together)
    kinds = [Kind.portability if n in (2, 5, 9) else Kind.access for n in range(12)]
    asked = await asyncio.gather(
        *(
            client.open(OpenRequest(kind=kind, passphrase=words), key=str(uuid4()))
            for (_, client), kind, words in zip(people, kinds, WORDS, strict=True)
        )
    )
    for (_, client), one in zip(people, asked, strict=True):
        await house.until_state(client, one.request, "answered")
    assert max(house.operator.together[before:]) > 1, "each was collected alone"
    for n, ((principal, client), one) in enumerate(zip(people, asked, strict=True)):
        await hers(house, client, one.request, n, tmp_path)
        assert (principal in house.operator.portable) == (kinds[n] is Kind.portability)


@pytest.mark.parametrize("stopped", ["nobody knows her any more", "a record of hers cannot be read"])
async def test_one_whom_nobody_knows_or_whose_record_cannot_be_read_stops_none_of_those_who_ask_with_her(
    house: House, tenant: UUID, tmp_path: Path, stopped: str
):
    people, wishes = a_dozen(house, tenant), [OpenRequest(kind=Kind.access, passphrase=words) for words in WORDS]
    principal, before, hers_done = people[7][0], len(house.operator.together), set[str]()
    if stopped.startswith("nobody"):
        house.operator.unknown.add(principal)
    else:
        house.operator.broken.add((principal, "helpdesk"))
        hers_done = {"billing", "recordings"}
    try:
        opened = (client.open(wish, key=str(uuid4())) for (_, client), wish in zip(people, wishes, strict=True))
        asked = await asyncio.gather(*opened)
        for n, ((_, client), one) in enumerate(zip(people, asked, strict=True)):
            if n != 7:
                done = await house.until_state(client, one.request, "answered")
                assert {step.tries for step in done.steps} == {1}, "she was tried again because of another"
                await hers(house, client, one.request, n, tmp_path)
        assert max(house.operator.together[before:]) > 1, "each was collected alone"
        seen = await people[7][1].request(asked[7].request)
        assert seen.state == "identified" and {one.store for one in seen.steps if one.state == "done"} == hers_done
    finally:
        house.operator.unknown.clear()
        house.operator.broken.clear()
    await house.until_state(people[7][1], asked[7].request, "answered")
    await hers(house, people[7][1], asked[7].request, 7, tmp_path)


async def test_who_comes_while_others_are_collected_is_none_of_theirs_and_is_given_her_own(
    house: House, tenant: UUID, tmp_path: Path
):
    people, wishes = a_dozen(house, tenant), [OpenRequest(kind=Kind.access, passphrase=words) for words in WORDS]
    house.operator.gate, before = asyncio.Event(), len(house.operator.together)
    gate, ((_, first), *others) = house.operator.gate, people
    try:
        asked = [await first.open(wishes[0], key=str(uuid4()))]
        await until(lambda: house.operator.gate is None)
        opened = (client.open(wish, key=str(uuid4())) for (_, client), wish in zip(others, wishes[1:], strict=True))
        asked += await asyncio.gather(*opened)
        for (_, client), one in zip(others, asked[1:], strict=True):
            await house.until_state(client, one.request, "identified")
    finally:
        gate.set()
    for n, ((_, client), one) in enumerate(zip(people, asked, strict=True)):
        await house.until_state(client, one.request, "answered")
        await hers(house, client, one.request, n, tmp_path)
    assert house.operator.together[before : before + 3] == [1, 1, 1] and max(house.operator.together[before:]) > 1


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
    genuine = "".join(lines)
    for old, bad in (
        *(('"iterations":600000', f'"iterations":{rounds}') for rounds in (599_999, 0, -1, 10**12, '"x"', 1e3, "[]")),
        *(('"salt":"', f'"salt":{salt}') for salt in ("5,", '"é')),
        *(('{"format"', nonsense) for nonsense in ("{", "[" * 100_000, '5, "a"')),
        ('data-part="0">', 'data-part="0">A'),
    ):
        assert old in genuine
        path.write_text(genuine.replace(old, bad, 1))
        with pytest.raises(DoesNotOpen):
            unlock(path, PASSPHRASE)


@pytest.mark.parametrize("words", [" " * 12, "a" + " " * 12, "fyra\ngröna hästar", "\ufefffyra gröna hästar"])
def test_words_that_nobody_can_type_or_that_are_none_lock_nothing(words: str):
    """Around them spaces don't count, so that a package would open by nothing at all."""
    with pytest.raises(ValidationError):
        SetPassphrase(passphrase=words)
    assert SetPassphrase(passphrase="  fyra gröna hästar ").passphrase == "fyra gröna hästar"


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
    await until(lambda: [path.name for path in folder.iterdir()] == ["package.html"])
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


@pytest.mark.parametrize(
    "part", ["bytes=0-1", "bytes=99999999-", "lines=1", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 4_000, 2))]
)
async def test_what_counts_as_a_download_is_a_whole_one_also_for_who_asks_for_a_part(
    house: House, tenant: UUID, part: str
):
    """A browser that probes, or names a part that is not there, would have used up a download and had nothing."""
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    headers = {"authorization": f"Bearer {await client.tokens.token('rights')}", "range": part}
    answer = await house.http.get(f"{house.url}/v1/requests/{asked.request}/package", headers=headers)
    assert (answer.status_code, len(answer.content)) == (200, done.package.bytes)
    assert answer.headers["accept-ranges"] == "none"


async def test_whoever_fetches_a_package_in_the_instant_in_which_it_is_removed_gets_it_whole(
    house: House, tenant: UUID, monkeypatch: pytest.MonkeyPatch
):
    """Its time may be over between the commit that counts the download and the first byte."""
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    done = await house.until_state(client, asked.request, "answered")
    counted = asking.download

    async def counted_and_removed(tx: Any, *told: Any) -> Any:
        async def remove() -> None:
            answering.remove(house.settings.packages / str(asked.request))

        tx.after_commit(remove)
        return await counted(tx, *told)

    with monkeypatch.context() as patched:
        patched.setattr(asking, "download", counted_and_removed)
        async with client.package(asked.request) as pieces:
            assert sum([len(piece) async for piece in pieces]) == done.package.bytes
    with pytest.raises(PackageGone):
        async with client.package(asked.request):
            """Nothing to read."""
    assert (await client.request(asked.request)).package.downloads_left == done.package.downloads_left - 1


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
    letters = (await client.letters(asked.request)).items
    assert [each.template for each in letters] == ["passphrase_wanted"], "what we wrote outlives what she said"


async def test_of_two_who_build_one_package_the_second_s_is_not_left_beside_it(
    house: House, tenant: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As when a worker is taken for dead, and is not."""
    one, other, built = threading.Event(), threading.Event(), []

    def held(*told: Any) -> Any:
        done = build(*told)
        built.append(done)
        if len(built) == 1:
            one.set()
            assert other.wait(PATIENCE)
        return done

    builds(monkeypatch, held)
    client = house.person(somebody(house), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
    await until(one.is_set)
    connection = await house.server.connect(house.settings.database_name)
    await durable.enqueue(connection, "rights", tenant, [durable.Wanted("rights.pack", asked.request)])
    await connection.close()
    await house.until_state(client, asked.request, "answered")
    other.set()
    await until(lambda: not built[0].path.exists())
    assert unlock(await fetched(house, client, asked.request, tmp_path), PASSPHRASE).archive
    folder = house.settings.packages / str(asked.request)
    assert len(built) == 2 and [path.name for path in folder.iterdir()] == ["package.html"]


async def test_who_asks_while_nobody_says_which_stores_there_are_is_not_told_that_there_are_none(
    house: House, tenant: UUID
):
    client, before = house.person(somebody(house), tenant), house.operator.asked_for_stores
    house.operator.away = True
    try:
        asked = await client.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=str(uuid4()))
        await until(lambda: house.operator.asked_for_stores > before + 5)  # in more than one call
    finally:
        house.operator.away = False
    await house.until_state(client, asked.request, "answered")
    assert {found.store for found in (await client.answer(asked.request)).found} == {
        "billing",
        "helpdesk",
        "recordings",
    }


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


@pytest.mark.parametrize(
    ("words", "more", "at_once"),
    [
        (passphrase.draw(), 0, True),
        (passphrase.draw(), 60_000, True),
        (passphrase.draw(), 200_000, False),
        (passphrase.draw(), 800_000, False),
        (PASSPHRASE, 0, False),
    ],
    ids=["little", "some", "much", "on the disk", "own words"],
)
async def test_what_is_soon_built_is_answered_in_the_transaction_that_records_its_last_step(
    house: House, tenant: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, more: int, at_once: bool
):
    """A person's own words are stretched for as long as other transactions must not wait."""
    built: list[Any] = []
    builds(monkeypatch, lambda *told: built.append(told) or build(*told))
    said = [
        (store, Row(table, "7", os.urandom(more // 2).hex()))
        for store, table in (("billing", "invoice"), ("helpdesk", "ticket"))
        if more
    ]
    client = house.person(house.operator.person(("billing", Row("customer", "1", "Anna Testlind")), *said), tenant)
    asked = await client.open(OpenRequest(kind=Kind.access, passphrase=words), key=str(uuid4()))
    await house.until_state(client, asked.request, "answered")
    assert len(built) == 1
    events = "SELECT type, xid::text FROM rights.event WHERE convert_from(body, 'UTF8')::json->'data'->>'request' = $1 ORDER BY seq"
    (recorded, one), (answered, other) = (await house.rows(events, str(asked.request)))[-2:]
    assert (recorded, answered) == ("request.step_done", "request.answered")
    assert (one == other) is at_once
    assert await house.rows("SELECT 1 FROM rights.spool WHERE request = $1", asked.request) == []
    folder = house.settings.packages / str(asked.request)
    await until(lambda: list(folder.glob("*.spool")) == [] != list(folder.iterdir()))
    assert "Anna Testlind" in unlock(await fetched(house, client, asked.request, tmp_path), words).report


async def test_a_drawn_passphrase_needs_no_second_and_a_persons_own_words_do(
    house: House, tenant: UUID, tmp_path: Path
):
    client = house.person(somebody(house), tenant)
    drawn = await client.drawn_passphrase()
    rounds = {}
    for words in (drawn, PASSPHRASE, drawn[:-1] + ("0" if drawn[-1] != "0" else "1")):
        asked = await client.open(OpenRequest(kind=Kind.access, passphrase=words), key=str(uuid4()))
        await house.until_state(client, asked.request, "answered")
        package = await fetched(house, client, asked.request, tmp_path)
        assert "Anna Testlind" in unlock(package, words).report
        rounds[words] = int(re.search(r'"iterations":(\d+)', package.read_text())[1])
    assert list(rounds.values()) == [1_000, 600_000, 600_000], "one letter off, it is somebody's own words"
    assert drawn != await client.drawn_passphrase()
