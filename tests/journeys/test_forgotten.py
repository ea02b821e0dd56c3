"""The end: Vera, of whom no store has anything, asked for deletion. Afterwards nothing in the house says that she ever was here, not
even to somebody who has every table, every file and every key that is left."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.sealing import Sealer, SubjectKey
from ops.catalogue import BY_NAME, SERVICES, Process
from sample.cases import PRIVATE
from services.anonymizer.contract import IdentifierType
from tests.journeys.conftest import Act
from tests.journeys.test_traces import TABLES, superuser
from tests.nordtel import Nordtel, request_of, until
from tests.patience import PATIENCE

EMAIL, NAME = "vera.sparlos@post.example", "Vera Spårlös"
SEALED = 1
CHILD = uuid4()


@pytest.fixture(scope="module")
def vera(nordtel: Nordtel, february: Act) -> dict[str, Any]:
    """Her request, which came by ticket, with a letter of hers and a file; and where she stood in the house while it ran."""
    helpdesk, privacy = nordtel.machine("helpdesk"), nordtel.person("privacy")
    wish = {
        "ticket": "V-1",
        "kind": "deletion",
        "identifiers": [{"type": "email", "value": EMAIL}],
        "evidence": {"method": "call_back", "note": f"{NAME} called back."},
        "text": f"Jag heter {NAME}.",
    }
    request = helpdesk.post("/v1/tickets", wish).json()["request"]
    path = f"/v1/requests/{request}"
    until("preview", lambda: request_of(helpdesk, request)["state"] == "previewed")
    privacy.post(
        f"/staff{path}/questions",
        {"about": "clarification", "text": {"sv": f"Är du {NAME}?", "en": f"Are you {NAME}?"}},
    )
    helpdesk.post(f"{path}/replies", {"text": f"Ja, {EMAIL}."})
    about = privacy.get(f"/staff{path}").json()["principal"]
    # Who is known as a child becomes nobody's guardian; she was one before that was known.
    for child, guardian in ((str(CHILD), about), (about, str(uuid4()))):
        born = (nordtel.now() - timedelta(days=9 * 365)).date().isoformat()
        wish = {"guardian": guardian, "born": born, "evidence_ref": "crm/17"}
        privacy.put(f"/staff/v1/guardians/{child}", wish)
    read = {"preview": helpdesk.get(f"{path}/preview").json()["digest"]}
    for one in (privacy, nordtel.person("helpdesk")):
        one.post(f"/staff{path}/confirm", read)
    return {"request": request, "helpdesk": helpdesk, "principal": UUID(about)}


@pytest.fixture(scope="module")
async def before(nordtel: Nordtel, vera: dict[str, Any]) -> set[str]:
    return {place async for place in everywhere(nordtel)}


@pytest.fixture(scope="module")
def over(nordtel: Nordtel, vera: dict[str, Any], before: set[str]) -> None:
    nordtel.move_to(nordtel.now() + timedelta(hours=72, minutes=1))

    def forgotten() -> bool:
        steps = request_of(vera["helpdesk"], vera["request"])["steps"]
        return any(step["verb"] == "forget" and step["state"] == "done" for step in steps)

    until("the last step", forgotten)


def test_while_her_request_ran_she_was_known_and_what_she_wrote_was_there_to_be_read(before: set[str]):
    """Or the search below would find nothing anywhere."""
    assert {"rights.request.identifiers", "rights.request.said", "rights.request.evidence"} <= before
    assert {"rights.letter.body", "anonymizer.principal_identifier.value"} <= before
    assert "anonymizer.principal_identifier.index" in before


async def test_of_a_child_that_is_forgotten_no_day_of_birth_is_left_and_nobody_who_is_forgotten_speaks_for_one(
    nordtel: Nordtel, vera: dict[str, Any], over: None
):
    async with superuser(nordtel, BY_NAME["consent"]) as connection:

        async def guardianships(of: UUID) -> list[Any]:
            return await connection.fetch("SELECT ended_at FROM consent.guardianship WHERE principal = $1", of)

        async with asyncio.timeout(PATIENCE):
            while await guardianships(vera["principal"]):
                await asyncio.sleep(0.1)
        [as_guardian] = await guardianships(CHILD)
        assert as_guardian["ended_at"] is not None


async def test_afterwards_nobody_finds_her_with_every_table_and_every_key_that_is_left(nordtel: Nordtel, over: None):
    assert {place async for place in everywhere(nordtel)} == set()


def test_nor_does_any_file_say_who_she_was(nordtel: Nordtel, over: None):
    theirs = {nordtel.home / "sample", nordtel.home / "postgres"}
    files = [path for path in nordtel.home.rglob("*") if path.is_file() and not theirs & {*path.parents}]
    words = [word.encode() for word in (EMAIL, NAME)]
    assert [path.name for path in files if any(word in path.read_bytes() for word in words)] == []


async def everywhere(nordtel: Nordtel) -> AsyncIterator[str]:
    """Every column of every table that says who she is: in plain, to whom has the keys, or by a blind index of her address."""
    for service in SERVICES:
        async with superuser(nordtel, service) as connection:
            await connection.execute(f"SET search_path TO {service.schema}")
            tables = [name for (name,) in await connection.fetch(TABLES, service.schema)]
            index, keys = await opening(nordtel, service, connection, tables)
            for table in tables:
                for row in await connection.fetch(f'SELECT * FROM "{table}"'):
                    for column, cell in row.items():
                        if any(says_her(said, index) for said in readings(cell, table, column, keys)):
                            yield f"{service.name}.{table}.{column}"


async def opening(
    nordtel: Nordtel, service: Process, connection: asyncpg.Connection, tables: list[str]
) -> tuple[bytes, dict[bytes, SubjectKey]]:
    """By which index the service would look her up, and the keys it still has, by their names."""
    secrets = nordtel.stack.home.secrets(service.name)
    if "subject_key" not in tables:
        return b"no index", {}
    sealer = Sealer(secrets / "epochs", (secrets / "index.key").read_bytes())
    found: dict[bytes, SubjectKey] = {}
    for tenant, subjects in await connection.fetch(
        "SELECT tenant, array_agg(subject) FROM subject_key GROUP BY tenant"
    ):
        keys = await sealer.keys(connection, tenant, subjects)
        found |= {key.name: key for key in keys.values()}
    return sealer.blind_index(UUID(str(PRIVATE.id)), IdentifierType.email, EMAIL), found


def readings(cell: Any, table: str, column: str, keys: dict[bytes, SubjectKey]) -> Iterator[bytes]:
    if not isinstance(cell, bytes):
        yield str(cell).encode()
        return
    yield cell
    if cell[:1] == bytes([SEALED]) and (key := keys.get(cell[1:9])):
        yield key.open(table, column, cell)


def says_her(said: bytes, index: bytes) -> bool:
    return EMAIL.encode() in said or NAME.encode() in said or index in said or index.hex().encode() in said
