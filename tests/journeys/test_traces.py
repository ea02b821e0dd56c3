"""What all this left behind: ledgers that verify offline, and nobody's data in events, logs, URLs or in plain in our own tables."""

import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from chassis.ledger import checkpoint
from chassis.ledger.verify import verify_ledger
from ops.catalogue import EDGES, SERVICES, Process
from tests.journeys.conftest import PASSPHRASE
from tests.journeys.eyes import Eyes
from tests.nordtel import Nordtel, until

pytestmark = pytest.mark.usefixtures("february")

TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"""
# Whoever logs in has to be found by what they type, which is why login names are no identifiers of any other part.
BY_NAME = {("identity", "account", "username")}


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_every_ledger_verifies_offline_from_its_first_entry_to_its_signed_head(nordtel: Nordtel, service: str):
    auditor, prefix = nordtel.person("auditor"), "" if service == "disclosure" else "/staff"
    note = auditor.get(f"{prefix}/ledger/{service}/checkpoint").text
    size, lines, after = int(note.splitlines()[1]), [], None
    while len(lines) < size:
        page = auditor.get(f"{prefix}/ledger/{service}/entries", after=after, limit=500).json()
        lines += [json.dumps(entry) for entry in page["items"]]
        after = page["next"]
    keys = checkpoint.public_keys(auditor.get(f"{prefix}/keys/{service}").json())
    report = verify_ledger(lines[:size], [note], keys)
    assert report.holds and report.size == size > 0, report.faults
    readable = [place for place, line in enumerate(lines[:size]) if json.loads(line)["body"]]
    victim = readable[len(readable) // 2] if readable else size // 2
    found = verify_ledger([*lines[:victim], changed(lines[victim]), *lines[victim + 1 : size]], [note], keys)
    assert not found.holds
    # Where the body is another organisation's, only its hash is here, and that one is wrong somewhere is all there is to say.
    assert not readable or victim + 1 in {fault.position for fault in found.faults}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_no_event_holds_anybody_s_data(nordtel: Nordtel, eyes: Eyes, service: Process):
    async with superuser(nordtel, service) as connection:
        bodies = await connection.fetch(f"SELECT body FROM {service.schema}.event")
    assert bodies
    assert seen_in(eyes, (row["body"].decode() for row in bodies)) == set()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_no_table_of_ours_holds_anybody_s_data_in_plain(nordtel: Nordtel, eyes: Eyes, service: Process):
    async with superuser(nordtel, service) as connection:
        found = [place async for place in in_plain(connection, service, eyes)]
    assert set(found) - BY_NAME == set()


@pytest.mark.parametrize("process", [process.name for process in (*SERVICES, *EDGES)])
def test_no_log_holds_anybody_s_data_nor_a_secret_nor_a_fault_of_ours(nordtel: Nordtel, eyes: Eyes, process: str):
    log = nordtel.stack.home.logs / f"{process}.log"
    text = log.read_text()
    assert seen_in(eyes, [text]) == set()
    secret = ("eyJhbGci", "whsec_", "client_assertion=", "BEGIN PRIVATE", PASSPHRASE)
    assert [word for word in secret if word in text] == []
    assert [line for line in text.splitlines() if '"event": "unexpected"' in line or "Traceback" in line[:40]] == []


def test_no_file_of_the_house_holds_anybody_s_data(nordtel: Nordtel, eyes: Eyes):
    """Whatever lies below its home and is neither the operator's own stores nor the database's."""
    theirs = {nordtel.home / "sample", nordtel.home / "postgres"}
    files = [path for path in nordtel.home.rglob("*") if path.is_file() and not theirs & {*path.parents}]
    assert len(files) > 50
    found = {path.name: seen_in(eyes, [path.read_bytes().decode("utf-8", "replace")]) for path in files}
    assert {name: whose for name, whose in found.items() if whose} == {}


def test_the_database_s_own_log_holds_nobody_s_data(nordtel: Nordtel, eyes: Eyes):
    assert seen_in(eyes, [nordtel.stack.postgres.log.read_text()]) == set()


def test_no_address_that_was_asked_for_holds_anybody_s_data(nordtel: Nordtel, eyes: Eyes):
    """The paths by which every process counts its requests."""
    for process in (*SERVICES, *EDGES):
        metrics = nordtel.person("auditor").http.get(nordtel.stack.url(process.name) + "/metrics").text
        assert seen_in(eyes, [metrics]) == set(), process.name
        # A path with an id in it would be a line of its own for every id.
        assert not re.search(r'route="[^"]*[0-9a-f]{8}-[0-9a-f]{4}-', metrics), process.name


def test_packages_on_the_disk_cannot_be_read_and_go_when_their_time_is_over(
    nordtel: Nordtel, eyes: Eyes, packages: dict[str, bytes]
):
    assert len(packages) >= 3
    assert seen_in(eyes, (content.decode("latin-1") for content in packages.values())) == set()
    until("end of the packages", lambda: not any((nordtel.home / "packages" / name).exists() for name in packages))


def changed(entry: str) -> str:
    """One character of what the entry says; of its hash where the body is another organisation's."""
    said = json.loads(entry)
    what = "body" if said["body"] else "leaf"
    middle = len(said[what]) // 2
    other = "0" if said[what][middle] != "0" else "1"
    return json.dumps(said | {what: said[what][:middle] + other + said[what][middle + 1 :]})


def seen_in(eyes: Eyes, texts: Iterable[str]) -> set[str]:
    """Whose data stand there: the person and the kind of value, never the value."""
    return {eyes.owner[value] for text in texts for value in eyes.values_in(text)}


async def in_plain(connection: asyncpg.Connection, service: Process, eyes: Eyes) -> AsyncIterator[tuple[str, str, str]]:
    for (table,) in await connection.fetch(TABLES, service.schema):
        for row in await connection.fetch(f'SELECT * FROM {service.schema}."{table}"'):
            for column, content in row.items():
                if eyes.values_in(_readable(content)):
                    yield service.name, table, column


def _readable(content: Any) -> str:
    """A cell as somebody with the database in hand would read it; packed bytes are read as they stand."""
    return bytes(content).decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


@asynccontextmanager
async def superuser(nordtel: Nordtel, service: Process) -> AsyncIterator[asyncpg.Connection]:
    connection = await nordtel.stack.postgres.connect(service.database or "")
    try:
        yield connection
    finally:
        await connection.close()
