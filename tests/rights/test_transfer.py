"""A portability package brought directly to another operator: here one house is both, for two organisations that know nothing of each other."""

import asyncio
import base64
import hashlib
import io
import json
import re
import resource
import shutil
import ssl
import threading
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from chassis import addresses
from chassis.errors import Forbidden, Unavailable
from services.requests.rights import certificate, peers
from services.requests.rights.client import RightsClient
from services.requests.rights.commands import receiving
from services.requests.rights.contract import (
    Kind,
    NotNow,
    NotYours,
    OpenReception,
    OpenRequest,
    OperatorUnknown,
    PutOperator,
    Reception,
    ReceptionOpened,
    ReceptionUnknown,
    Request,
    SetPassphrase,
    StepUpNeeded,
    Transfer,
)
from services.requests.rights.jobs import HANDED_OVER_AT_ONCE
from services.requests.rights.package import parts
from services.requests.rights.statements import HANDING, RECEIPT, read, seal_key, sign
from tests.patience import PATIENCE, until
from tests.rights.conftest import House
from tests.rights.gates import Gate, held_commits
from tests.rights.operator import Row

SECRET = "Sju sjösjuka sjömän"


def key() -> str:
    return str(uuid4())


async def ours(house: House) -> dict[str, Any]:
    return (await house.http.get(f"{house.url}/v1/portability")).json()


async def as_registered(house: House, url: str | None = None) -> PutOperator:
    said = await ours(house)
    wish = {"name": "Sydtel", "url": url or house.url, "signing": said["signing"], "sealing": said["sealing"]}
    return PutOperator.model_validate_json(json.dumps(wish))


async def known(house: House, tenant: UUID, name: str, url: str | None = None) -> None:
    await house.officer(tenant).put_operator(name, await as_registered(house, url), key=key())


@dataclass
class Two:
    """anna: where her data are · anna_there: where she wants them."""

    anna: RightsClient
    anna_there: RightsClient
    there: UUID
    opened: ReceptionOpened
    principal: UUID

    def wish(self, **bent: Any) -> OpenRequest:
        to = {"operator": "sydtel", "reception": self.opened.reception, "code": self.opened.code} | bent
        return OpenRequest(kind=Kind.portability, transfer=Transfer(**to))

    async def reception(self) -> Reception:
        return await self.anna_there.reception(self.opened.reception)


@pytest.fixture
async def two(house: House, tenant: UUID) -> Two:
    there = uuid4()
    await known(house, tenant, "sydtel")
    await known(house, there, "nordtel")
    rows = [("billing", Row("agreement", str(n), f"{SECRET} {n}")) for n in range(3)]
    anna_there = house.person(house.operator.person(), there)
    opened = await anna_there.open_reception(OpenReception(operator="nordtel"), key=key())
    anna = house.operator.person(*rows)
    return Two(house.person(anna, tenant), anna_there, there, opened, anna)


async def until_state(house: House, two: Two, request: UUID, *states: str) -> Request:
    return await house.until_state(two.anna, request, *states)


async def test_her_data_reach_the_other_operator_sealed_and_its_receipt_is_in_her_answer(
    house: House, tenant: UUID, two: Two
):
    asked = await two.anna.open(two.wish(), key=key())
    closed = await until_state(house, two, asked.request, "closed")
    answer = await two.anna.answer(asked.request)
    came = await two.reception()
    assert (came.state, came.sha256, came.bytes) == ("received", answer.transferred.sha256, answer.transferred.bytes)
    receipt = read(answer.transferred.receipt, RECEIPT, (await ours(house))["signing"])
    assert (receipt["reception"], receipt["sha256"]) == (str(two.opened.reception), came.sha256)
    async with two.anna_there.received(two.opened.reception) as stream:
        archive = zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in stream])))
    manifest = json.loads(archive.read("portability.json"))
    [file] = [each for each in manifest["files"] if each["table"] == "agreement"]
    rows = json.loads(archive.read(file["file"]))["rows"]
    assert (manifest["format"], file["rows"]) == ("wardline-portability/1", 3)
    assert [row[1] for row in rows] == [f"{SECRET} {n}" for n in range(3)]
    assert not (house.settings.packages / str(asked.request)).exists(), "nothing of it stays with whom it left"
    [left] = await house.rows("SELECT transfer FROM rights.request WHERE id = $1", asked.request)
    assert left["transfer"] is None, "nor where to it went"
    told = await house.events(asked.request)
    assert closed.closed_at and told.index("request.handed_over") < told.index("request.transferred")
    keys = (await house.http.get(f"{house.url}/keys")).json()
    said = certificate.verify(await two.anna.certificate(asked.request), keys)
    assert said["transferred"]["sha256"] == came.sha256


async def test_who_of_the_staff_opened_what_came_stands_in_the_ledger(house: House, two: Two):
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "closed")
    for reader in (two.anna_there, house.helpdesk(two.there)):
        async with reader.received(two.opened.reception) as stream:
            assert b"".join([piece async for piece in stream]).startswith(b"PK")
    wanted = "SELECT convert_from(body, 'UTF8')::json->'data' AS said FROM rights.event WHERE type = 'reception.read'"
    said = [json.loads(row["said"]) for row in await house.rows(wanted)]
    [read_by] = [each["by"] for each in said if each["reception"] == str(two.opened.reception)]
    assert read_by


async def test_what_was_taken_and_not_written_down_here_is_handed_over_once_more_and_gets_the_same_receipt(
    house: House, two: Two
):
    """The commit that closes the request is lost, as with a process that was killed just then."""
    async with held_commits(house) as gates:
        await gates.close([Gate(1, "request closed", two.principal, "before")])
        asked = await two.anna.open(two.wish(), key=key())
        await house.seen(gates.held, lambda held: 1 in held)
        assert (await two.reception()).state == "received"
        await gates.open()
        await until_state(house, two, asked.request, "closed", "awaiting_passphrase")
    answer = await two.anna.answer(asked.request)
    assert answer.transferred.sha256 == (await two.reception()).sha256
    assert (await house.events(asked.request)).count("request.transferred") == 1


async def test_what_the_other_operator_has_acknowledged_is_withdrawn_no_more(house: House, two: Two):
    """She asks while this is written down, and what closes her request is lost."""
    async with held_commits(house) as gates:
        await gates.close([Gate(1, "request closed", two.principal, "before")])
        asked = await two.anna.open(two.wish(), key=key())
        await house.seen(gates.held, lambda held: 1 in held)
        withdrawing = asyncio.create_task(two.anna.withdraw(asked.request, key=key()))
        await asyncio.sleep(0.2)
        await gates.open()
        with pytest.raises(NotNow):
            await withdrawing
        await until_state(house, two, asked.request, "closed")
    assert (await two.anna.answer(asked.request)).transferred.sha256 == (await two.reception()).sha256


async def test_what_came_lies_sealed_on_the_disk_and_goes_when_its_time_is_over(house: House, tenant: UUID, two: Two):
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "closed")
    folder = house.settings.packages / str(two.opened.reception)
    assert [file for file in folder.iterdir() if SECRET.encode() in file.read_bytes()] == [] != list(folder.iterdir())
    house.later(days=15)
    await house.seen(two.reception, lambda seen: seen.state == "closed")
    assert not folder.exists()
    query = "SELECT code, content_key FROM rights.reception WHERE id = $1"
    assert [tuple(row) for row in await house.rows(query, two.opened.reception)] == [(None, None)]
    with pytest.raises(ReceptionUnknown):
        async with two.anna_there.received(two.opened.reception):
            """Nothing to read."""


async def test_what_came_is_read_no_more_from_the_instant_in_which_its_time_is_over(
    house: House, two: Two, monkeypatch: pytest.MonkeyPatch
):
    """Whoever closes it comes a moment later, or much later where this house stood still."""
    bringing = Bringing(house, two)
    sealed = bringing.sealed(b"PK in time")
    assert await bringing.part(sealed) == 204
    assert (await bringing.end(bringing.last_word(sealed))).status_code == 200

    async def stands_still(*_: Any) -> None: ...

    monkeypatch.setattr(receiving, "close_ended", stands_still)
    ends_at = (await two.reception()).ends_at
    house.later(seconds=(ends_at - house.now()).total_seconds())
    with pytest.raises(ReceptionUnknown):
        async with two.anna_there.received(two.opened.reception):
            """Nothing to read."""


async def test_what_is_brought_late_is_kept_as_long_as_what_came_at_once(house: House, two: Two):
    house.later(days=10)
    bringing = Bringing(house, two)
    sealed = bringing.sealed(b"PK late")
    assert await bringing.part(sealed) == 204
    assert (await bringing.end(bringing.last_word(sealed))).status_code == 200
    assert (await two.reception()).ends_at > house.now() + timedelta(days=13)


async def test_an_operator_that_is_away_is_waited_for_and_she_may_change_her_mind(house: House, tenant: UUID, two: Two):
    await known(house, tenant, "sydtel", "http://127.0.0.1:9")
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "transferring")
    assert (await two.anna.withdraw(asked.request, key=key())).state == "withdrawn"
    folder = house.settings.packages / str(asked.request)
    await until(lambda: not folder.exists())
    assert (await two.reception()).state == "open"


async def test_who_has_the_other_operator_wait_anew_has_asked_for_something_else_and_the_same_again_is_the_same(
    house: House, tenant: UUID, two: Two
):
    """What it waited for first may be over by now, and the first request would bring it there."""
    await known(house, tenant, "sydtel", "http://127.0.0.1:9")
    first = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, first.request, "transferring")
    anew = await two.anna_there.open_reception(OpenReception(operator="nordtel"), key=key())
    second = await two.anna.open(two.wish(reception=anew.reception, code=anew.code), key=key())
    await until_state(house, two, second.request, "transferring")
    again = await two.anna.open(two.wish(reception=anew.reception, code=anew.code), key=key())
    same = await until_state(house, two, again.request, "duplicate")
    assert same.duplicate_of == second.request
    await two.anna.withdraw(first.request, key=key())
    await known(house, tenant, "sydtel")
    await until_state(house, two, second.request, "closed")
    assert (await two.anna_there.reception(anew.reception)).state == "received"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://10.0.0.7"])
async def test_an_operator_that_stays_away_is_waited_for_as_long_as_a_package_is_and_then_she_may_have_it_herself(
    house: House, tenant: UUID, two: Two, url: str
):
    await known(house, tenant, "sydtel", url)
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "transferring")
    house.later(days=13)
    assert (await two.anna.request(asked.request)).state == "transferring"
    house.later(days=2)
    await until_state(house, two, asked.request, "awaiting_passphrase")
    [letter] = (await two.anna.letters(asked.request)).items
    assert letter.template == "not_transferred"


async def test_what_was_lost_while_the_other_operator_was_away_is_collected_again(house: House, tenant: UUID, two: Two):
    await known(house, tenant, "sydtel", "http://127.0.0.1:9")
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "transferring")
    parts_of_it = house.settings.packages / str(asked.request) / "transfer"
    await until(parts_of_it.exists)
    assert await house.rows("DELETE FROM rights.spool WHERE request = $1 RETURNING 1", asked.request)
    shutil.rmtree(parts_of_it, ignore_errors=True)  # unless whoever looked meanwhile has thrown them away already
    await known(house, tenant, "sydtel")
    await until_state(house, two, asked.request, "closed")
    async with two.anna_there.received(two.opened.reception) as stream:
        archive = zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in stream])))
    assert any(f"{SECRET} 2".encode() in archive.read(name) for name in archive.namelist())


async def test_of_parts_that_were_written_while_she_changed_her_mind_none_is_left(
    house: House, tenant: UUID, two: Two, monkeypatch: pytest.MonkeyPatch
):
    begun, ended = threading.Event(), threading.Event()
    handed: list[Path] = []
    write = parts.write

    def held(folder: Path, *of: Any) -> parts.Written:
        begun.set()
        assert ended.wait(PATIENCE)
        written = write(folder, *of)
        handed.append(folder)
        return written

    monkeypatch.setattr(parts, "write", held)
    asked = await two.anna.open(two.wish(), key=key())
    await until(begun.is_set)
    assert (await two.anna.withdraw(asked.request, key=key())).state == "withdrawn"
    ended.set()
    await until(lambda: bool(handed))
    await until(lambda: not handed[0].parent.exists())
    assert (await two.reception()).state == "open"


@pytest.mark.parametrize(
    ("bent", "told"), [({"code": "x" * 32}, "not_acknowledged"), ({"reception": UUID(int=7)}, "not_transferred")]
)
async def test_what_the_other_operator_refuses_she_may_have_herself_and_hears_whether_it_had_the_key(
    house: House, tenant: UUID, two: Two, bent: dict[str, Any], told: str
):
    asked = await two.anna.open(two.wish(**bent), key=key())
    await until_state(house, two, asked.request, "awaiting_passphrase")
    [letter] = (await two.anna.letters(asked.request)).items
    assert letter.template == told and "Sydtel" in letter.body
    assert ("Ingenting har lämnats ut" in letter.body) is (told == "not_transferred")
    assert (await two.reception()).sha256 is None
    await two.anna.set_passphrase(asked.request, SetPassphrase(passphrase="fyra gröna hästar"), key=key())
    await until_state(house, two, asked.request, "answered")
    assert (await two.anna.answer(asked.request)).transferred is None


async def test_only_she_says_where_her_data_go_in_a_login_of_just_now(house: House, tenant: UUID, two: Two):
    principal = house.operator.person()
    with pytest.raises(StepUpNeeded):
        await house.person(principal, tenant, auth_time=1).open(two.wish(), key=key())
    staff = two.wish().model_dump() | {"principal": principal, "evidence": {"method": "call_back"}}
    with pytest.raises(Forbidden):
        await house.helpdesk(tenant).open(OpenRequest.model_validate(staff, strict=False), key=key())
    with pytest.raises(OperatorUnknown):
        await two.anna.open(two.wish(operator="okand"), key=key())
    with pytest.raises(NotYours):
        await house.helpdesk(tenant).put_operator("sydtel", await as_registered(house), key=key())
    with pytest.raises(ReceptionUnknown):
        await house.person(principal, two.there).reception(two.opened.reception)


# --- a hostile operator -----------------------------------------------------------------------------------------------

ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"


@asynccontextmanager
async def answering(said: Callable[[bytes], AsyncIterator[bytes]]) -> AsyncIterator[tuple[str, list[int]]]:
    """Another operator that answers each request, by its first line, with these bytes; and how many it got rid of each time."""
    sent: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
        sent.append(0)
        with suppress(ConnectionError):
            async for piece in said(head):
                writer.write(piece)
                await writer.drain()
                sent[-1] += len(piece)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent


async def endless(_: bytes) -> AsyncIterator[bytes]:
    yield ENDLESS
    for _ in range(4_000):
        yield b" " * 65_536


async def endless_at_the_end(head: bytes) -> AsyncIterator[bytes]:
    if b"/end " not in head:
        yield b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
        return
    async for piece in endless(head):
        yield piece


async def bomb(head: bytes) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n" + packed()


@cache
def packed() -> bytes:
    """200 MB that are nowhere held unpacked: beside so much held before, nobody would see what somebody holds afterwards."""
    gzip = zlib.compressobj(wbits=31)
    pieces = (b'{"receipt":"', *[b"A" * 1_000_000] * 200, b'"}')
    return b"".join(map(gzip.compress, pieces)) + gzip.flush()


async def lies(head: bytes) -> AsyncIterator[bytes]:
    yield b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"receipt":"eyJhbGciOiJub25lIn0.e30."}'


async def falls_silent_with_the_key(head: bytes) -> AsyncIterator[bytes]:
    status = b"503 Unavailable" if b"/end " in head else b"204 No Content"
    yield b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n\r\n"


async def elsewhere(head: bytes) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 307 See\r\nlocation: http://127.0.0.1:1/latest/meta-data\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (endless, "not_transferred"),
        (endless_at_the_end, "not_acknowledged"),
        (bomb, "not_transferred"),
        (lies, "not_acknowledged"),
        (elsewhere, "not_transferred"),
    ],
)
async def test_an_operator_that_answers_anything_but_a_receipt_fills_no_memory_and_is_not_believed(
    house: House, tenant: UUID, two: Two, said: Callable[[bytes], AsyncIterator[bytes]], told: str
):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with answering(said) as (url, sent):
        await known(house, tenant, "sydtel", url)
        asked = await two.anna.open(two.wish(), key=key())
        await until_state(house, two, asked.request, "awaiting_passphrase")
    [letter] = (await two.anna.letters(asked.request)).items
    assert letter.template == told, "what it has the key to was not kept from it"
    assert max(sent) < 32 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    assert "request.transferred" not in await house.events(asked.request)


async def test_what_goes_with_its_key_stands_in_the_ledger_before_and_is_told_to_who_withdraws_then(
    house: House, tenant: UUID, two: Two
):
    async with answering(falls_silent_with_the_key) as (url, sent):
        await known(house, tenant, "sydtel", url)
        asked = await two.anna.open(two.wish(), key=key())
        assert asked.handed_over_at is None

        async def tries() -> int:
            return len(sent)

        await house.seen(tries, lambda seen: seen >= 4)
        assert (await house.events(asked.request)).count("request.handed_over") == 1, "however often it is tried"
        withdrawn = await two.anna.withdraw(asked.request, key=key())
    assert withdrawn.state == "withdrawn" and withdrawn.handed_over_at


async def test_an_operator_that_had_the_key_and_then_refuses_the_parts_had_the_key(
    house: House, tenant: UUID, two: Two
):
    """Of what went out before she was told: nothing was handed over."""
    last_words = 0

    async def turns_away(head: bytes) -> AsyncIterator[bytes]:
        nonlocal last_words
        last_words += b"/end " in head
        status = b"503 Unavailable" if b"/end " in head else b"404 Not Found" if last_words else b"204 No Content"
        yield b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n\r\n"

    async with answering(turns_away) as (url, _):
        await known(house, tenant, "sydtel", url)
        asked = await two.anna.open(two.wish(), key=key())
        await until_state(house, two, asked.request, "awaiting_passphrase")
    [letter] = (await two.anna.letters(asked.request)).items
    assert letter.template == "not_acknowledged"


async def test_an_operator_that_drips_its_answer_is_one_that_is_away(
    house: House, tenant: UUID, two: Two, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "_PATIENCE", 0.3)

    async def drip(_: bytes) -> AsyncIterator[bytes]:
        yield ENDLESS
        for _ in range(1_000):
            await asyncio.sleep(0.1)
            yield b" "

    async with answering(drip) as (url, sent):
        await known(house, tenant, "sydtel", url)
        asked = await two.anna.open(two.wish(), key=key())

        async def tries() -> int:
            return len(sent)

        await house.seen(tries, lambda seen: seen >= 2)
        assert (await two.anna.withdraw(asked.request, key=key())).state == "withdrawn"


async def test_however_many_go_to_an_operator_that_never_answers_nobody_else_waits_for_it(house: House, tenant: UUID):
    people = [house.operator.person() for _ in range(2 * HANDED_OVER_AT_ONCE)]
    held, over = set[asyncio.StreamWriter](), asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.add(writer)
        await over.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        await known(house, tenant, "sydtel", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        to = Transfer(operator="sydtel", reception=uuid4(), code="x" * 32)
        wish = OpenRequest(kind=Kind.portability, transfer=to)
        asked = await asyncio.gather(*(house.person(each, tenant).open(wish, key=key()) for each in people))
        waiting = "SELECT count(*) FROM rights.request WHERE tenant = $1 AND state = 'transferring'"

        async def transferring() -> int:
            return (await house.rows(waiting, tenant))[0][0]

        try:
            await house.seen(transferring, lambda seen: seen == len(asked))
            await until(lambda: len(held) >= HANDED_OVER_AT_ONCE)
            other = house.person(house.operator.person(("billing", Row("customer", "1"))), uuid4())
            access = await other.open(OpenRequest(kind=Kind.access, passphrase="fyra gröna hästar"), key=key())
            await house.until_state(other, access.request, "answered")
            assert len(held) == HANDED_OVER_AT_ONCE
        finally:
            over.set()


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1", "https://169.254.169.254", "https://localhost", "http://10.0.0.7"]
)
async def test_an_operator_s_address_leads_nowhere_inside(url: str):
    async with httpx2.AsyncClient(trust_env=False) as http:
        with pytest.raises(Unavailable) as refused:
            await peers.Peers(http, loopback=False).hand_part(url, "r", 0, {})
    assert "public" in refused.value.detail


async def handed(
    house: House, two: Two, said: dict[str, Any], content: str, by: OKPKey, part: int = 0
) -> httpx2.Response:
    body = {"handing": sign(by, HANDING, said), "content": content}
    return await house.http.put(f"{house.url}/v1/receptions/{two.opened.reception}/parts/{part}", json=body)


async def test_a_stranger_s_part_and_one_that_was_changed_are_not_taken(house: House, tenant: UUID, two: Two):
    own = OKPKey.import_key(house.settings.jwk("signing"))
    stranger = OKPKey.generate_key("Ed25519", {"kid": own.kid}, private=True)
    digest = hashlib.sha256(b"part").hexdigest()
    right = {"reception": str(two.opened.reception), "part": 0, "sha256": digest}
    for said, content, by, part, status in (
        (right, "cGFydA==", stranger, 0, 404),
        (right | {"reception": str(uuid4())}, "cGFydA==", own, 0, 404),
        (right, "cGFyeA==", own, 0, 409),
        (right, "cGFydA==", own, 1, 409),
        (right, "cGFydA=", own, 0, 409),
        (right, "cGFydA==", own, 0, 204),
    ):
        assert (await handed(house, two, said, content, by, part)).status_code == status
    end = {"code": two.opened.code, "parts": 1, "bytes": 4, "sha256": digest, "key": "no key"}
    url = f"{house.url}/v1/receptions/{two.opened.reception}/end"
    body = {"handing": sign(own, HANDING, right | end)}
    assert (await house.http.post(url, json=body)).json()["code"] == "rights.handing_refused"
    assert (await two.reception()).state == "receiving"


# --- a hostile operator that brings something ---------------------------------------------------------------------------


@dataclass
class Bringing:
    """What the operator of `two` brings, part by part, under a key of its own."""

    house: House
    two: Two
    key: bytes = bytes(32)

    @property
    def own(self) -> OKPKey:
        return OKPKey.import_key(self.house.settings.jwk("signing"))

    def sealed(self, plain: bytes, reception: UUID | None = None) -> bytes:
        return AESGCM(self.key).encrypt(parts._nonce(0, True), plain, (reception or self.two.opened.reception).bytes)

    async def part(self, sealed: bytes) -> int:
        said = {"reception": str(self.two.opened.reception), "part": 0, "sha256": hashlib.sha256(sealed).hexdigest()}
        return (await handed(self.house, self.two, said, base64.b64encode(sealed).decode(), self.own)).status_code

    def last_word(self, sealed: bytes, **bent: Any) -> dict[str, Any]:
        said = {"reception": str(self.two.opened.reception), "code": self.two.opened.code, "parts": 1}
        said |= {"bytes": len(sealed), "sha256": hashlib.sha256(sealed).hexdigest()}
        ours = ECKey.import_key(self.house.settings.jwk("portability")).as_dict(private=False)
        return said | {"key": seal_key(self.key, ours)} | bent

    async def end(self, said: Any) -> httpx2.Response:
        """`said` as it stands, whatever it is."""
        header = {"alg": "Ed25519", "kid": self.own.kid, "typ": HANDING}
        signed = jws.serialize_compact(header, json.dumps(said), self.own, algorithms=["Ed25519"])
        url = f"{self.house.url}/v1/receptions/{self.two.opened.reception}/end"
        return await self.house.http.post(url, json={"handing": signed})


async def test_a_part_is_as_long_as_a_part_may_be_and_no_longer(house: House, two: Two):
    longest = bytes(parts.PART + parts.OVERHEAD)
    bringing = Bringing(house, two)
    assert [await bringing.part(longest + bytes(1)), await bringing.part(longest)] == [409, 204]


async def test_what_was_received_is_received_once_and_nothing_replaces_it(house: House, two: Two):
    bringing = Bringing(house, two)
    first, other = bringing.sealed(b"PK first"), bringing.sealed(b"PK other")
    assert await bringing.part(first) == 204
    assert (await bringing.end(bringing.last_word(first, code="x" * 32))).status_code == 404, "nor by who has no code"
    receipts = [await bringing.end(bringing.last_word(first)) for _ in range(2)]
    assert receipts[0].status_code == 200 and receipts[0].json() == receipts[1].json()
    assert (await bringing.part(first), await bringing.part(other)) == (204, 404)
    assert (await bringing.end(bringing.last_word(other))).status_code == 404
    async with two.anna_there.received(two.opened.reception) as stream:
        assert b"".join([piece async for piece in stream]) == b"PK first"
    two.anna_there.tokens.claims["auth_time"] = 1
    with pytest.raises(StepUpNeeded):
        async with two.anna_there.received(two.opened.reception):
            """Nothing to read for a session left open at a library."""


async def test_a_part_that_is_replaced_while_all_are_looked_at_gets_no_receipt(
    house: House, two: Two, monkeypatch: pytest.MonkeyPatch
):
    bringing, look = Bringing(house, two), receiving._must_open
    first, other = bringing.sealed(b"PK first"), bringing.sealed(b"PK other")
    loop = asyncio.get_running_loop()

    def looked(*told: Any) -> Any:
        found = look(*told)
        assert asyncio.run_coroutine_threadsafe(bringing.part(other), loop).result(10) == 204
        return found

    monkeypatch.setattr(receiving, "_must_open", looked)
    await bringing.part(first)
    refused = await bringing.end(bringing.last_word(first))
    assert (refused.status_code, refused.json()["code"]) == (409, "rights.handing_refused")
    assert (await two.reception()).state == "receiving"
    monkeypatch.undo()
    assert (await bringing.end(bringing.last_word(other))).status_code == 200


@pytest.mark.parametrize(
    "bent",
    [{"parts": each} for each in (0, -1, 2, 4097, 10**30, 1.0, True, "1", None, [1])]
    + [{"bytes": each} for each in (0, 24.0, "24", None)]
    + [{"sha256": None}, {"key": 7}, {"key": "x.y.z.a.b"}, {"key": None}],
    ids=str,
)
async def test_a_last_word_that_does_not_fit_is_refused_and_the_right_one_is_still_heard(
    house: House, two: Two, bent: dict[str, Any]
):
    bringing = Bringing(house, two)
    sealed = bringing.sealed(b"PK first")
    assert len(sealed) == 24 and await bringing.part(sealed) == 204
    refused = await bringing.end(bringing.last_word(sealed, **bent))
    assert (refused.status_code, refused.json()["code"]) == (409, "rights.handing_refused")
    assert (await bringing.end(bringing.last_word(sealed))).status_code == 200


@pytest.mark.parametrize("said", [[], "text", 7, None, {}, {"reception": 7}])
async def test_a_signed_word_that_is_none_is_a_stranger_s(house: House, two: Two, said: Any):
    assert (await Bringing(house, two).end(said)).status_code == 404


async def test_what_was_sealed_for_somebody_else_does_not_open_here(house: House, two: Two):
    bringing = Bringing(house, two)
    sealed = bringing.sealed(b"PK another's", uuid4())
    assert await bringing.part(sealed) == 204
    assert (await bringing.end(bringing.last_word(sealed))).json()["code"] == "rights.handing_refused"
    assert (await two.reception()).state == "receiving"


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server called sydtel.example has, and who believes it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sydtel.example")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("sydtel.example")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "both.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize(("host", "believed"), [("sydtel.example", True), ("sydtel.example.evil.example", False)])
async def test_an_operator_proves_its_name_and_not_its_address(
    certified: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, host: str, believed: bool
):
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certified[0]) as server:
        port = server.sockets[0].getsockname()[1]

        async def resolved(url: str, loopback: bool) -> addresses.Target:
            return addresses.Target(url.replace(host, f"127.0.0.1:{port}"), host)

        monkeypatch.setattr(peers.addresses, "resolve", resolved)
        async with httpx2.AsyncClient(trust_env=False, verify=certified[1]) as http:
            hand = peers.Peers(http, loopback=False).hand_part(f"https://{host}", "r", 0, {})
            if believed:
                await hand
            else:
                with pytest.raises(Unavailable):
                    await hand
    assert [b"host: sydtel.example\r\n" in head.lower() for head in asked] == [True] * believed
