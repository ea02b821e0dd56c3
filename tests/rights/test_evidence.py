"""Evidence that people send along, of kind and hostile kinds."""

import asyncio
import base64
import io
import struct
import zipfile
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest

from services.requests.rights.contract import Kind, OpenRequest, Replied
from tests.rights.conftest import House

PDF, PNG = b"%PDF-1.7\n1 0 obj Anna Testlind", b"\x89PNG\r\n\x1a\nrest"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", width, height, 8, 2, 0, 0, 0, 0)


def jpeg(width: int, height: int) -> bytes:
    comment, frame = b"\xff\xfe\x00\x06Anna", struct.pack(">BBHBHHB", 0xFF, 0xC2, 11, 8, height, width, 1)
    return b"\xff\xd8" + comment + frame + bytes(3)


def bomb() -> bytes:
    """A hundred megabytes of nothing, in a hundred kilobytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("passport.pdf", bytes(100_000_000))
    return packed.getvalue()


async def sent(house: House, tenant: UUID, principal: UUID, request: UUID, body: Any) -> httpx2.Response:
    token = await house.person(principal, tenant).tokens.token("rights")
    headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
    return await house.http.post(f"{house.url}/v1/requests/{request}/evidence", json=body, headers=headers)


def encoded(content: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(content).decode()}


@pytest.fixture
async def asked(house: House, tenant: UUID) -> tuple[UUID, UUID]:
    principal = house.operator.person()
    wish = OpenRequest(kind=Kind.complaint, text="Se bilagan")
    return principal, (await house.person(principal, tenant).open(wish, key=str(uuid4()))).request


async def test_evidence_is_sealed_given_to_staff_as_it_was_and_gone_with_the_request(
    house: House, tenant: UUID, asked: tuple[UUID, UUID]
):
    principal, request = asked
    added = (await sent(house, tenant, principal, request, encoded(PDF))).json()
    [row] = await house.rows("SELECT content FROM rights.evidence_file WHERE request = $1", request)
    assert b"Anna" not in bytes(row["content"])
    token = await house.helpdesk(tenant).tokens.token("rights")
    answer = await house.http.get(
        f"{house.url}/v1/requests/{request}/evidence/{added['file']}", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.content == PDF and answer.headers["content-type"] == "application/octet-stream"
    assert (
        answer.headers["content-disposition"] == "attachment" and "sandbox" in answer.headers["content-security-policy"]
    )
    await house.person(principal, tenant).withdraw(request, key=str(uuid4()))
    assert not await house.rows("SELECT 1 FROM rights.evidence_file WHERE request = $1", request)


async def test_who_of_the_staff_read_a_paper_or_a_letter_stands_in_the_ledger(
    house: House, tenant: UUID, asked: tuple[UUID, UUID]
):
    principal, request = asked
    added = (await sent(house, tenant, principal, request, encoded(PDF))).json()
    person, desk = house.person(principal, tenant), house.helpdesk(tenant)
    await person.letters(request)
    assert await read_by(house, request) == [], "nothing was read by anybody else yet"
    assert (await desk.letters(request)).items == []
    assert await read_by(house, request) == [], "there was nothing to read"
    await person.reply(request, Replied(text="Jag heter Anna Testlind"), key=str(uuid4()))
    [letter] = (await person.letters(request)).items
    await desk.letters(request)
    token = await desk.tokens.token("rights")
    headers = {"authorization": f"Bearer {token}"}
    await house.http.get(f"{house.url}/v1/requests/{request}/evidence", headers=headers)
    await house.http.get(f"{house.url}/v1/requests/{request}/evidence/{added['file']}", headers=headers)
    read = await read_by(house, request)
    assert [(each["type"], each["subject"]) for each in read] == [
        ("letters.read", str(principal)),
        ("evidence.read", str(principal)),
    ]
    who = read[0]["data"]["by"]
    assert [each["data"] for each in read] == [
        {"request": str(request), "letters": [str(letter.letter)], "by": who},
        {"request": str(request), "file": added["file"], "by": who},
    ]
    assert who and all(each["time"] for each in read)


async def read_by(house: House, request: UUID) -> list[dict[str, Any]]:
    wanted = "SELECT body FROM rights.event WHERE type IN ('letters.read', 'evidence.read') ORDER BY seq"
    said = [orjson.loads(row["body"]) for row in await house.rows(wanted)]
    return [each for each in said if each["data"]["request"] == str(request)]


@pytest.mark.parametrize(("content", "kind"), [(png(4_000, 3_000), "png"), (jpeg(6_000, 8_000), "jpeg")])
async def test_a_photograph_is_taken(house: House, tenant: UUID, asked: tuple[UUID, UUID], content: bytes, kind: str):
    answer = await sent(house, tenant, *asked, encoded(content))
    assert (answer.status_code, answer.json()["kind"]) == (201, kind)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a zip bomb", bomb, 409),
        ("a page with a script", lambda: b"<html><script>alert(1)</script>", 409),
        ("a drawing with a script", lambda: b"<svg onload=alert(1)>", 409),
        ("a program", lambda: b"MZ\x90\x00 a program", 409),
        ("a PDF that runs something", lambda: PDF + b" /OpenAction << /JS (app.alert(1)) >>", 409),
        ("a PDF that spells it otherwise", lambda: PDF + b" /Open#41ction << /J#53 (app.alert(1)) >>", 409),
        ("a PDF that fetches a form", lambda: PDF + b" /AcroForm << /XFA 3 0 R >>", 409),
        ("a picture that fills a memory when it is shown", lambda: png(100_000, 100_000), 409),
        ("a photograph that does", lambda: jpeg(65_535, 65_535), 409),
        ("a picture that does not say how large it is", lambda: PNG, 409),
        ("a photograph that does not", lambda: b"\xff\xd8\xff\xfe\x00\x04", 409),
        ("the beginning of one", lambda: b"\xff\xd8\xff\xff\xff\xff", 409),
        ("nothing that has a kind", lambda: b"12345678", 409),
        ("more than a file may have", lambda: PNG + bytes(720_000), 422),
        ("far more than is read", lambda: PNG + bytes(3_000_000), 413),
    ],
)
async def test_hostile_files_are_refused_and_nothing_of_them_is_kept(
    house: House, tenant: UUID, asked: tuple[UUID, UUID], name: str, content: Any, status: int
):
    answer = await sent(house, tenant, *asked, encoded(content()))
    assert answer.status_code == status, (name, answer.text)
    assert not await house.rows("SELECT 1 FROM rights.evidence_file WHERE request = $1", asked[1])


async def test_a_gigabyte_is_refused_before_it_is_read(house: House, tenant: UUID, asked: tuple[UUID, UUID]):
    token = await house.person(asked[0], tenant).tokens.token("rights")
    where = urlsplit(house.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"POST /v1/requests/{asked[1]}/evidence HTTP/1.1\r\nhost: rights\r\nauthorization: Bearer {token}\r\n"
        f"idempotency-key: {uuid4()}\r\ncontent-type: application/json\r\ncontent-length: {1 << 30}\r\n\r\n"
    )
    writer.write(head.encode())
    status = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    assert b" 413 " in status


async def test_a_stream_without_a_length_is_cut_off_where_the_limit_is(
    house: House, tenant: UUID, asked: tuple[UUID, UUID]
):
    """A gigabyte in chunks, which nobody announced: it is read to the limit and no further."""
    token = await house.person(asked[0], tenant).tokens.token("rights")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield b"A" * (1 << 16)

    headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4()), "content-type": "application/json"}
    url = f"{house.url}/v1/requests/{asked[1]}/evidence"
    try:
        answer = await house.http.post(url, content=endless(), headers=headers, timeout=30)
        assert answer.status_code == 413
    except httpx2.TransportError:
        """The connection was closed while we still spoke."""
    assert sent < 64 << 20
    assert not await house.rows("SELECT 1 FROM rights.evidence_file WHERE request = $1", asked[1])


async def test_what_is_no_base64_or_one_file_too_many_is_refused(house: House, tenant: UUID, asked: tuple[UUID, UUID]):
    assert (await sent(house, tenant, *asked, {"content": "inte base64!"})).status_code == 409
    codes = [(await sent(house, tenant, *asked, encoded(png(1, 1)))).status_code for _ in range(11)]
    assert codes == [201] * 10 + [409]
