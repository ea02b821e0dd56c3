"""Evidence that people send along, of kind and hostile kinds."""

import asyncio
import base64
import io
import os
import re
import resource
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import fpdf
import httpx2
import orjson
import pypdfium2
import pytest

from services.requests.rights import inside
from services.requests.rights.contract import Kind, OpenRequest, Replied
from tests.patience import PATIENCE, busy
from tests.rights.conftest import House

PDF, PNG = b"%PDF-1.7\n1 0 obj Anna Testlind", b"\x89PNG\r\n\x1a\nrest"


# A table's row: something that begins behind the first line.
AT_NINE = struct.pack(">BIB", 1, 9, 0)


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


def packed(
    *more: bytes,
    filters: bytes = b"/FlateDecode",
    body: bytes = b"",
    before: bytes = b"",
    length: bytes = b"",
    said: bytes = b"",
    beside: Sequence[bytes] = (),
) -> bytes:
    """A PDF of one page, all of whose objects are in one stream: catalogue, pages, page, `more`. `body`: instead of all that, packed · `before`: what
    stands in front of the stream · `length`: how long the stream says it is · `said`: what the last dictionary says besides · `beside`: of further streams, which do not say what they hold."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] >>",
        *more,
    ]
    stream, table = len(objects) + 1, len(objects) + 2
    at = [sum(len(one) + 1 for one in objects[:place]) for place in range(len(objects))]
    head = b" ".join(b"%d %d" % pair for pair in enumerate(at, 1)) + b" "
    body = body or zlib.compress(head + b" ".join(objects))
    if b"ASCIIHex" in filters:
        body = body.hex().encode() + b">"
    begun = b"%PDF-1.7\n" + before
    made = begun + b"%d 0 obj\n<< /Type /ObjStm /N %d /First %d /Filter [%s] /Length %s >>\nstream\n%s\nendstream\nendobj\n" % (
        stream, len(objects), len(head), filters, length or b"%d" % len(body), body,
    )  # fmt: skip
    others = []
    for number, other in enumerate(map(zlib.compress, beside), table + 1):
        others.append((1, len(made), 0))
        made += b"%d 0 obj\n<< /First 4 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (
            number, len(other), other,
        )  # fmt: skip
    rows = [(0, 0, 255), *((2, stream, place) for place in range(len(objects))), (1, len(begun), 0), (1, len(made), 0)]
    last, rows = len(made), rows + others
    where = b"".join(struct.pack(">BIB", *row) for row in rows)
    said = said.replace(b"HERE", b"%d" % len(made))
    made += b"%d 0 obj\n<< /Type /XRef /Size %d /W [1 4 1] /Root 1 0 R %s /Length %d >>\nstream\n" % (
        table, len(rows), said, len(where),
    )  # fmt: skip
    return made + where + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % last


def spaces(megabytes: int) -> bytes:
    """So many of them, in a thousandth of that."""
    packing = zlib.compressobj()
    return b"".join(packing.compress(b" " * 1_000_000) for _ in range(megabytes)) + packing.flush()


def tables(many: int, entries: int) -> bytes:
    """So many tables of so many objects each, in twenty kilobytes for each."""
    made, before, rows = b"%PDF-1.7\n", b"", zlib.compress(b"\1\0\0\0\7\0" * entries)
    for n in range(many):
        at = len(made)
        made += b"%d 0 obj\n<< /Type /XRef /Size %d /Index [%d %d] /W [1 4 1] /Root 1 0 R %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (
            n + 1, many * entries, n * entries, entries, before, len(rows), rows,
        )  # fmt: skip
        before = b"/Prev %d" % at
    return made + b"startxref\n%d\n%%%%EOF\n" % at


def written(password: str | None = None) -> bytes:
    """By a program that people have, on two pages; locked by its owner, and with a password by everybody."""
    document = fpdf.FPDF()
    document.set_font("helvetica")
    for page in ("Anna", "Testlind"):
        document.add_page()
        document.cell(text=page)
    if password is not None:
        document.set_encryption(owner_password="owner", user_password=password)
    return bytes(document.output())


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


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (png(4_000, 3_000), "png"),
        (jpeg(6_000, 8_000), "jpeg"),
        (packed(), "pdf"),
        (packed(b"<< /Title (Anna /Javanese) /OpenAction [3 0 R /Fit] >>"), "pdf"),
        (packed(b"<< /AAPL:Keywords [(Anna)] >>", beside=[b"7 0 << /Title (Anna) >>"]), "pdf"),
        (packed(said=b"/ObjStmNote 1"), "pdf"),
        (written(), "pdf"),
        (written(""), "pdf"),
    ],
)
async def test_a_photograph_and_a_paper_are_taken(
    house: House, tenant: UUID, asked: tuple[UUID, UUID], content: bytes, kind: str
):
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
        ("a packed PDF that runs something", lambda: packed(b"<< /S /JavaScript /JS (app.alert(1)) >>"), 409),
        ("one that spells it otherwise", lambda: packed(b"<< /S /Java#53cript >>"), 409),
        ("one that runs it when it is opened", lambda: packed(b"<< /OpenAction 4 0 R >>"), 409),
        ("one that runs it when a page is seen", lambda: packed(b"<< /AA << /O 5 0 R >> >>"), 409),
        ("one that starts a program", lambda: packed(b"<< /S /Launch /F (cmd.exe) >>"), 409),
        ("one that brings a file", lambda: packed(b"<< /Type /Filespec /EF << /F 5 0 R >> /S /EmbeddedFile >>"), 409),
        ("one that brings several", lambda: packed(b"<< /EmbeddedFiles 5 0 R >>"), 409),
        ("one with a form of its own", lambda: packed(b"<< /XFA 5 0 R >>"), 409),
        ("one that sends what was filled in", lambda: packed(b"<< /S /SubmitForm /F (http://a.example) >>"), 409),
        ("one that reads what it is filled in with", lambda: packed(b"<< /S /ImportData /F (a.fdf) >>"), 409),
        ("one that plays something", lambda: packed(b"<< /Type /Annot /Subtype /RichMedia >>"), 409),
        (
            "one that does not say that it packs something",
            lambda: packed(b"<< /JS (1) >>").replace(b"/Type /ObjStm", b" " * 13),
            409,
        ),
        (
            "one that says so in other letters",
            lambda: packed(b"<< /JS (1) >>").replace(b"/ObjStm", b"/Obj#53tm").replace(b"/First", b"/F#69rst"),
            409,
        ),
        ("one that packs it twice", lambda: packed(b"<< /JS (1) >>", filters=b"/ASCIIHexDecode /FlateDecode"), 409),
        ("one that unpacks into all of a memory", lambda: packed(body=spaces(400)), 409),
        ("one that unpacks into more than any paper", lambda: packed(body=spaces(20)), 409),
        ("one whose stream is as long as it says itself", lambda: packed(b"77", length=b"4 0 R"), 409),
        (
            "one that runs something after its table led back to itself",
            lambda: packed(b"<< /JS (1) >>", said=b"/Prev HERE"),
            409,
        ),
        ("one that does not say where its table is", lambda: packed().replace(b"startxref\n", b"startxref\n9"), 409),
        (
            "one with objects that its table does not name",
            lambda: packed(before=b"9 0 obj << /Type /ObjStm /N 1 /First 4 >>"),
            409,
        ),
        (
            "one with objects that its table does not name, in other letters",
            lambda: packed(before=b"9 0 obj << /Type /Obj#53tm /N 1 /First 4 >>"),
            409,
        ),
        (
            "one whose table leaves out what it is packed in",
            lambda: packed(b"<< /JS (1) >>").replace(b"/Type /ObjStm", b" " * 13).replace(AT_NINE, bytes(6)),
            409,
        ),
        ("one that packs it where nothing is said to be packed", lambda: packed(beside=[b"7 0 << /JS (1) >>"]), 409),
        ("one that ends a stream in the middle of it", lambda: packed(beside=[b"7 0 << /AA", b"8 0 R >>"]), 409),
        ("one that unpacks into much several times", lambda: packed(beside=[bytes(9_000_000)] * 2), 409),
        ("one that is packed as nobody knows", lambda: packed(filters=b"/NobodyDecode"), 409),
        ("half of one", lambda: packed()[:300], 409),
        ("one that only a password opens", lambda: written("hemligt"), 409),
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
    for _ in range(3):
        answer = await sent(house, tenant, *asked, encoded(content()))
        if answer.status_code != 503:  # nobody had time for a PDF on a busy machine: it may be sent again
            break
    assert answer.status_code == status, (name, answer.text)
    assert not await house.rows("SELECT 1 FROM rights.evidence_file WHERE request = $1", asked[1])


async def test_who_reads_pdfs_reads_those_made_here():
    """What is refused above is refused for what it does: these are as whole as others'."""
    for content in (packed(), packed(b"<< /S /JavaScript /JS (app.alert(1)) >>"), written()):
        assert len(pypdfium2.PdfDocument(content)) >= 1


async def test_a_hostile_pdf_takes_little_time_and_memory_and_others_do_not_wait_for_it(
    house: House, tenant: UUID, asked: tuple[UUID, UUID]
):
    bomb = encoded(packed(body=spaces(400)))
    began = time.monotonic()
    hostile = [asyncio.create_task(sent(house, tenant, *asked, bomb)) for _ in range(6)]
    await asyncio.sleep(0.1)
    assert (await sent(house, tenant, *asked, encoded(png(1, 1)))).status_code == 201
    assert not all(task.done() for task in hostile), "they waited for it"
    answers = await asyncio.gather(*hostile)
    told = {(answer.status_code, answer.json()["code"]) for answer in answers}
    assert told <= {(409, "rights.evidence_refused"), (503, "request.unavailable")}, (
        "where there is no time it is not taken either"
    )
    assert time.monotonic() - began < 3 * inside.PATIENCE * busy()


@pytest.mark.parametrize(("memory", "seconds"), [(inside.MEMORY, 60), (2 << 30, 1)], ids=["memory", "time"])
def test_whoever_looks_inside_dies_before_it_takes_more_memory_or_time_than_it_may(memory: int, seconds: int):
    """Of tables that name millions of objects, which the library itself lets through. One limit at a time: on a slow machine the other
    would come first."""
    looking = f"""import sys
from {inside.__package__} import inside
inside.MEMORY, inside.PROCESSOR = {memory}, {seconds}
try:
    inside.main()
finally:
    print(open("/proc/self/status").read(), file=sys.stderr)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    died = subprocess.run((sys.executable, "-c", looking, "1"), input=tables(2, 1_900_000), capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert died.returncode != 0 and died.stdout == b""
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < seconds + 1
    if seconds > 1:
        assert int(re.search(rb"VmHWM:\s+(\d+) kB", died.stderr)[1]) << 10 < inside.MEMORY


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Of the process that looks inside, one that does this; each that began is a line of the file."""

    def does(this: str) -> Path:
        program, began = tmp_path / "program", tmp_path / "began"
        program.write_text(f"#!/bin/sh\necho $$ >> {began}\n{this}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return began

    return does


@pytest.mark.parametrize("dies", ["exit 1", "echo nothing to see here; exit 3", "kill -9 $$"])
async def test_that_whoever_looks_inside_died_is_no_word_of_what_is_there(instead: Callable[[str], Path], dies: str):
    instead(dies)
    with pytest.raises(inside.Unreadable):
        await inside.unpacked(packed(), 1)


async def test_whoever_looks_inside_for_too_long_is_ended(
    instead: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    began = instead("exec sleep 20")
    monkeypatch.setattr(inside, "PATIENCE", 2.0)  # by then it has begun, also on a busy machine
    with pytest.raises(TimeoutError):
        await inside.unpacked(packed(), 1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)


async def test_no_more_than_two_look_inside_at_once(instead: Callable[[str], Path]):
    began = instead("sleep 0.2; echo over >> $(dirname $0)/began")
    await asyncio.gather(*(inside.unpacked(packed(), 1) for _ in range(5)))
    lines = began.read_text().split()
    assert len(lines) == 10
    assert max(place - 2 * lines[:place].count("over") for place in range(11)) == 2


async def test_a_gigabyte_is_refused_before_it_is_read(house: House, tenant: UUID, asked: tuple[UUID, UUID]):
    token = await house.person(asked[0], tenant).tokens.token("rights")
    where = urlsplit(house.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"POST /v1/requests/{asked[1]}/evidence HTTP/1.1\r\nhost: rights\r\nauthorization: Bearer {token}\r\n"
        f"idempotency-key: {uuid4()}\r\ncontent-type: application/json\r\ncontent-length: {1 << 30}\r\n\r\n"
    )
    writer.write(head.encode())
    status = await asyncio.wait_for(reader.readline(), PATIENCE)
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


def polyglot(begins: bytes) -> bytes:
    """What also opens as an office document with macros, once its name ends so."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/vbaProject.bin", b"macros")
    return begins + packed.getvalue() + b"\n%%EOF"


@pytest.mark.parametrize("begins", [PDF, png(400, 300), jpeg(600, 800)], ids=["a PDF", "a picture", "a photograph"])
async def test_a_file_that_is_an_archive_as_well_is_refused(
    house: House, tenant: UUID, asked: tuple[UUID, UUID], begins: bytes
):
    answer = await sent(house, tenant, *asked, encoded(polyglot(begins)))
    assert (answer.status_code, answer.json()["code"]) == (409, "rights.evidence_refused")
    assert (await sent(house, tenant, *asked, encoded(begins + b"PK\x03\x04"))).status_code == 201
    assert (await sent(house, tenant, *asked, encoded(PDF))).status_code == 201


async def test_of_many_files_sent_at_once_no_more_are_kept_than_may_be(
    house: House, tenant: UUID, asked: tuple[UUID, UUID]
):
    answers = await asyncio.gather(*(sent(house, tenant, *asked, encoded(png(1, n))) for n in range(1, 31)))
    assert sorted(each.status_code for each in answers) == [201] * 10 + [409] * 20
    kept = await house.rows("SELECT count(*) AS n FROM rights.evidence_file WHERE request = $1", asked[1])
    assert kept[0]["n"] == 10


async def test_a_file_that_breaks_off_in_the_middle_leaves_nothing(
    house: House, tenant: UUID, asked: tuple[UUID, UUID]
):
    token = await house.person(asked[0], tenant).tokens.token("rights")
    where = urlsplit(house.url)
    for chunked in (False, True):
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        length = "transfer-encoding: chunked" if chunked else "content-length: 600000"
        head = (
            f"POST /v1/requests/{asked[1]}/evidence HTTP/1.1\r\nhost: rights\r\nauthorization: Bearer {token}\r\n"
            f"idempotency-key: {uuid4()}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        )
        half = b'{"content":"' + base64.b64encode(PDF * 9_000)
        writer.write(head.encode() + (b"%x\r\n%s\r\n" % (len(half), half) if chunked else half))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await sent(house, tenant, *asked, encoded(PDF))).status_code == 201, "the same request goes on"
    assert len(await house.rows("SELECT 1 FROM rights.evidence_file WHERE request = $1", asked[1])) == 1


async def test_what_is_no_base64_or_one_file_too_many_is_refused(house: House, tenant: UUID, asked: tuple[UUID, UUID]):
    assert (await sent(house, tenant, *asked, {"content": "inte base64!"})).status_code == 409
    codes = [(await sent(house, tenant, *asked, encoded(png(1, 1)))).status_code for _ in range(11)]
    assert codes == [201] * 10 + [409]


async def test_a_paper_for_which_nobody_had_time_may_be_sent_again(
    house: House, tenant: UUID, asked: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inside, "PATIENCE", 0.001)
    answer = await sent(house, tenant, *asked, encoded(packed()))
    assert (answer.status_code, answer.json()["code"]) == (503, "request.unavailable")
    monkeypatch.undo()
    assert (await sent(house, tenant, *asked, encoded(packed()))).status_code == 201
