"""The locked file as people meet it: a page on their own disk, opened in a browser that reaches nothing else."""

import io
import os
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from services.registry.books import read_book
from services.registry.contract import Text
from services.requests.rights.contract import Answer
from services.requests.rights.package import page as pages
from services.requests.rights.package import parts, spool
from services.requests.rights.package.build import HIDDEN, Contents, Source, build
from services.requests.rights.package.unlock import unlock
from services.requests.rights.rules.about import about

PASSPHRASE = "Fyra gröna hästar"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BOOK = Path(__file__).parents[2] / "policy" / "book.yaml"
# What others may have written where it is now about her: each would run something, fetch something, or end what it stands in.
HOSTILE = [
    "<img src=https://evil.example/x onerror=\"document.title='taken'\">",
    "</td></tr></table></iframe></script><script>parent.document.title='taken'</script>",
    "<svg><style><img src=x onerror=parent.document.title='taken'></style></svg>",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=alert(1)&gt;">',
    "<meta http-equiv=refresh content='0;url=https://evil.example/'><base href=https://evil.example/>",
    "<form action=https://evil.example/><button autofocus>Faktura</button></form><link rel=stylesheet href=https://evil.example/x.css>",
    "&lt;script&gt;document.title='taken'&lt;/script&gt;",
    "{{ 7*7 }} ${7*7} <!-- parts --> \x1e\x1f\u202egpj.exe ' \" ` ]]>",
    "javascript:document.title='taken'",
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which .ci/run installs")


@pytest.fixture
async def source(tmp_path: Path) -> Source:
    """One store with 300 invoices, one of which tries to be a script; its key lies in `key`."""
    column = {"name": "text", "element": "name", "category": "customer_invoice", "label": {"sv": "Namn", "en": "Name"}}
    rows = [["<script>document.title='owned'</script>"], *([f"Faktura {n}"] for n in range(299))]
    once = {"table": "login", "label": {"sv": "Inloggning", "en": "Login"}, "columns": [column]}
    lines = [
        *({"table": "invoice", "label": {"sv": "Faktura", "en": "Invoice"}, "columns": [column]}, *rows),
        *(once, ["2026-07-01T22:30:00.250000+00:00"]),
        *(
            {"table": "chat", "label": {"sv": "Chatt", "en": "Chat"}, "columns": [column]},
            *([each] for each in HOSTILE),
        ),
        {"end": True, "counts": {"invoice": len(rows), "login": 1, "chat": len(HOSTILE)}},
    ]
    key, step, kept = os.urandom(32), uuid4(), tmp_path / "spool"

    async def stream() -> AsyncIterator[bytes]:
        for line in lines:
            yield orjson.dumps(line) + b"\n"

    [collected] = await spool.keep([spool.Spool(kept, key, step)], stream())
    (tmp_path / "key").write_bytes(key)
    return Source("billing", Text(sv="Fakturering", en="Billing"), step, collected.little or kept, collected.counts)


@pytest.fixture
def package(source: Source, tmp_path: Path) -> Path:
    target = tmp_path / "package.html"
    key = (tmp_path / "key").read_bytes()
    build(target, Contents(uuid4(), "sv", about(read_book(BOOK)), [source], key), PASSPHRASE)
    return target


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page, in a context of its own, whose every complaint and every request beyond the disk fails the test."""
    context = await browser.new_context()
    page, said = await context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "blob:")) or said.append(request.url))
    yield page
    assert said == []
    await context.close()


async def test_the_passphrase_opens_the_report_and_the_archive_from_disk(package: Path, page: Page):
    await page.goto(package.as_uri())
    await page.get_by_label("Lösenfras").fill(f" {PASSPHRASE} ")
    await page.get_by_role("button", name="Öppna").click()
    report = page.frame_locator("#report")
    await report.get_by_role("heading", name="Dina uppgifter hos Nordtel AB").wait_for()
    assert await report.get_by_role("columnheader", name="Namn").count() == 3
    assert await report.get_by_text("Faktura 198", exact=True).count() == 1
    assert await report.get_by_text("Faktura 250", exact=True).count() == 0
    assert await report.get_by_text("document.title='owned'").count() == 1
    assert await page.title() == "Ett låst utdrag"
    style = await report.locator("table").first.evaluate("table => getComputedStyle(table).borderCollapse")
    assert style == "collapse", "the report's style is let through by the page's policy"

    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Spara arkivet").click()
    saved = Path(await (await downloading.value).path()).read_bytes()
    await page.get_by_text("Arkivet är sparat.").wait_for()
    archive = zipfile.ZipFile(io.BytesIO(saved))
    assert len(orjson.loads(archive.read("json/billing/invoice.json"))["rows"]) == 300
    assert "Faktura 250" in archive.read("csv/billing/invoice.csv").decode()


async def test_what_was_sealed_for_another_operator_is_handed_over_again_as_it_was(source: Source, tmp_path: Path):
    key, folder, reception = (tmp_path / "key").read_bytes(), tmp_path / "transfer", uuid4()
    contents = Contents(uuid4(), "sv", about(read_book(BOOK)), [source], key, portable=True)
    first = parts.write(folder, reception, contents)
    assert parts.write(folder, reception, contents) == first
    (folder / "finished").write_bytes(b"half a note")
    assert parts.write(folder, reception, contents) != first


async def test_what_the_tables_are_is_said_in_her_language_and_when_it_was_by_her_clock(package: Path):
    report = unlock(package, PASSPHRASE).report
    assert "<caption>Faktura: 300 rader</caption>" in report and "<caption>Inloggning: 1 rad</caption>" in report
    assert "<td><time>2026-07-02 00:30:00</time></td>" in report and "Tider är svensk tid." in report
    archive = zipfile.ZipFile(io.BytesIO(unlock(package, PASSPHRASE).archive))
    assert "2026-07-01T22:30:00.250000+00:00" in archive.read("csv/billing/login.csv").decode()


@pytest.mark.parametrize(("language", "width"), [("sv", 1100), ("en", 390)])
async def test_axe_finds_no_violation_locked_opened_and_in_the_saved_report(
    source: Source, tmp_path: Path, page: Page, language: str, width: int
):
    target, saved = tmp_path / "package.html", tmp_path / "report.html"
    said = about(read_book(BOOK))
    build(target, Contents(uuid4(), language, said, [source], (tmp_path / "key").read_bytes()), PASSPHRASE)
    saved.write_text(unlock(target, PASSPHRASE).report)
    await page.set_viewport_size({"width": width, "height": 900})
    found = {}
    await page.goto(target.as_uri())
    found["locked"] = (await Axe().run(page)).response["violations"]
    await page.get_by_role("textbox").fill(PASSPHRASE)
    await page.keyboard.press("Enter")
    await page.locator("#report").wait_for()
    found["opened"] = (await Axe().run(page)).response["violations"]
    await page.goto(saved.as_uri())
    found["saved"] = (await Axe().run(page)).response["violations"]
    assert {look: [one["id"] for one in violations] for look, violations in found.items() if violations} == {}
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


@pytest.mark.parametrize(
    ("language", "width", "said"),
    [
        (
            "sv",
            1100,
            ["Svar på din begäran: radering", "En obetald faktura", "tills skälet upphör", "Raderat", "www.imy.se"],
        ),
        (
            "en",
            390,
            ["Answer to your request: deletion", "An unpaid invoice", "the reason ends", "2027-03-01", "www.imy.se"],
        ),
    ],
)
async def test_an_answer_says_of_each_thing_that_was_kept_why_and_until_when(
    tmp_path: Path, page: Page, language: str, width: int, said: list[str]
):
    book = read_book(BOOK)

    def line(action: str, until: str | None = None) -> dict[str, Any]:
        reason = {"sv": "En obetald faktura", "en": "An unpaid invoice"}
        where = {"store": "billing", "label": {"sv": "Fakturering", "en": "Billing"}, "category": "customer_invoice"}
        return where | {"action": action, "rule": "r", "reason": reason, "legal_ref": "GDPR Art. 17", "until": until}

    told = {
        "request": str(uuid4()),
        "kind": "deletion",
        "language": language,
        "received_at": "2027-01-30T09:00:00Z",
        "due_on": "2027-03-01",
        "answered_at": "2027-02-05T09:00:00Z",
        "controller": "Nordtel AB",
        "text": "<script>document.title='owned'</script>",
        "outcomes": [line("erase"), line("keep", "2027-03-01"), line("keep"), line("redact")],
        "clauses": [],
        "by_hand": [
            {
                "store": "cellar",
                "label": {"sv": "Källaren", "en": "The cellar"},
                # After midnight where she is.
                "attested": {"by": "doc", "at": "2027-02-03T23:30:00Z", "evidence_sha256": "0" * 64},
            }
        ],
        "complaint": book.clause("complaint").model_dump(),
    }
    saved = tmp_path / "answer.html"
    saved.write_text(pages.answer(Answer.model_validate(told, strict=False), book))
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(saved.as_uri())
    text = await page.inner_text("body")
    assert [word for word in [*said, "2027-02-04"] if word not in text] == []
    assert [one["id"] for one in (await Axe().run(page)).response["violations"]] == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


async def test_a_wrong_passphrase_says_so_and_opens_nothing(package: Path, page: Page):
    await page.goto(package.as_uri())
    await page.get_by_label("Lösenfras").fill("något helt annat")
    await page.get_by_role("button", name="Öppna").click()
    await page.get_by_text("Lösenfrasen stämmer inte").wait_for()
    assert await page.locator("#report").is_hidden()


async def test_an_archive_that_was_changed_on_the_way_says_so_and_saves_nothing(package: Path, page: Page):
    text = package.read_text()
    at = text.rindex('data-part="1">') + len('data-part="1">') + 40
    package.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    await page.goto(package.as_uri())
    await page.get_by_label("Lösenfras").fill(PASSPHRASE)
    await page.get_by_role("button", name="Öppna").click()
    await page.get_by_role("button", name="Spara arkivet").click()
    await page.get_by_text("Arkivet gick inte att öppna").wait_for()


async def test_how_much_there_is_where_is_seen_first_and_leads_there(package: Path, browser: Browser):
    """By the keyboard, on a page of its own: listeners of Playwright hear the key in the frame too, and are complained of there."""
    page = await browser.new_page()
    await page.goto(package.as_uri())
    await page.get_by_label("Lösenfras").fill(PASSPHRASE)
    await page.get_by_role("button", name="Öppna").click()
    report = page.frame_locator("#report")
    await report.get_by_role("heading", name="I korthet").wait_for()
    said = await report.locator(".glance li").all_inner_texts()
    assert [" ".join(one.split()) for one in said] == [
        "Fakturering: Faktura 300 rader",
        "Fakturering: Inloggning 1 rad",
        f"Fakturering: Chatt {len(HOSTILE)} rader",
    ]
    wide, narrow, _ = [await rect.bounding_box() for rect in await report.locator(".glance rect").all()]
    assert wide["width"] > 50 * narrow["width"] > 0
    await report.get_by_role("link", name="Fakturering: Chatt").focus()
    await page.keyboard.press("Enter")
    await report.get_by_role("region", name="Chatt").wait_for()
    at = await report.get_by_role("region", name="Chatt").evaluate("part => part.getBoundingClientRect().top")
    assert abs(at) < 100, "what was chosen is what one sees"
    await report.get_by_role("link", name="Dina rättigheter").focus()
    await page.keyboard.press("Enter")
    at = await report.get_by_role("heading", name="Dina rättigheter").evaluate(
        "head => head.getBoundingClientRect().top"
    )
    assert abs(at) < 700, "and not this locked file once more"
    await page.close()


async def test_the_keyboard_alone_opens_it(package: Path, page: Page):
    await page.goto(package.as_uri())
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSPHRASE)
    await page.keyboard.press("Enter")
    await page.frame_locator("#report").get_by_role("heading", name="Dina rättigheter").wait_for()
    assert await page.evaluate("document.activeElement.textContent") == "Ditt utdrag", "she is where the page begins"


async def test_a_search_leaves_the_rows_that_hold_it_and_says_how_many(package: Path, page: Page):
    await page.goto(package.as_uri())
    await page.get_by_label("Lösenfras").fill(PASSPHRASE)
    await page.get_by_role("button", name="Öppna").click()
    report = page.frame_locator("#report")
    await report.get_by_text("Faktura 17", exact=True).wait_for()
    await page.get_by_label("Sök i rapportens rader").fill("FAKTURA 17")
    await page.get_by_text("Rader som innehåller det: 11.").wait_for()
    await report.get_by_text("Faktura 18", exact=True).wait_for(state="hidden")
    await report.get_by_text("Faktura 170", exact=True).wait_for()
    assert await report.get_by_role("table").count() == 1, "nor is a table shown in which nothing holds it"
    assert await report.get_by_role("heading", name="Dina uppgifter hos").count() == 0, "what holds it stands first"
    await page.get_by_label("Sök i rapportens rader").fill("Faktura 250")
    await page.get_by_text("Rader som innehåller det: 0.").wait_for()
    assert "alla står i arkivet" in await page.locator("#found").inner_text(), "its 250th row is only there"
    assert await page.title() == "Ett låst utdrag", "what is shown anew runs nothing either"


@pytest.mark.parametrize("wanted", ["<img src=x onerror=\"document.title='taken'\">", "evil.example", "\u202e", ".*"])
async def test_nothing_that_others_wrote_runs_or_is_fetched_also_when_it_is_searched_for(
    package: Path, page: Page, wanted: str
):
    """`page` fails for whatever is said on its console and whatever is asked of a network."""
    opened: list[str] = []
    page.on("dialog", lambda dialog: opened.append(dialog.message))
    await page.goto(package.as_uri())
    await page.get_by_label("Lösenfras").fill(PASSPHRASE)
    await page.get_by_role("button", name="Öppna").click()
    report = page.frame_locator("#report")
    for text in HOSTILE:
        await report.get_by_text(text.translate({0x1E: None, 0x1F: None}), exact=True).first.wait_for(state="attached")
    await page.get_by_label("Sök i rapportens rader").fill(wanted)
    found = sum(wanted.lower() in text.lower() for text in HOSTILE)
    await page.get_by_text(f"Rader som innehåller det: {found}.").wait_for()
    assert await report.locator("td :not(time), img, svg:not(.glance svg), math, form, base, link, script").count() == 0
    assert await page.title() == "Ett låst utdrag" and opened == [] and len(page.frames) == 2


async def test_a_package_for_another_service_says_what_it_holds_and_a_protected_home_is_not_shown(
    source: Source, tmp_path: Path
):
    key = (tmp_path / "key").read_bytes()
    target = tmp_path / "portable.html"
    said = about(read_book(BOOK))
    build(target, Contents(uuid4(), "en", said, [source], key, frozenset({"name"}), portable=True), PASSPHRASE)
    opened = unlock(target, PASSPHRASE)
    archive = zipfile.ZipFile(io.BytesIO(opened.archive))
    manifest = orjson.loads(archive.read("portability.json"))
    assert manifest["format"] == "wardline-portability/1"
    [file, *_] = manifest["files"]
    rows = orjson.loads(archive.read(file["file"]))["rows"]
    assert len(rows) == file["rows"] == 300 and {row[0] for row in rows} == {HIDDEN}
    assert "Faktura 17" not in opened.report and "Faktura 17" not in archive.read("csv/billing/invoice.csv").decode()
