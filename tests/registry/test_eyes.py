"""The pages in a real browser: nothing that keeps somebody with a disability out, in both languages, by day and by night."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, async_playwright

from services.registry.contract import LANGUAGES
from tests.registry.conftest import BOOK, Registry, Site, new_site

CHROMIUM = "/usr/bin/chromium"
PLACES = {"privacy": "/privacy?lang={}", "history": "/privacy/history?lang={}"}
LOOKS = {"day": (1200, "light"), "night on a telephone": (390, "dark")}

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="NO CHROMIUM: the pages were not looked at")


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def site(server: Any) -> AsyncIterator[Site]:
    async with new_site(server) as site:
        yield site


@pytest.fixture(scope="module")
async def registry(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Registry]:
    """With a second version, so that the history has something to tell."""
    async with site.registry() as registry:
        changed = tmp_path_factory.mktemp("books") / "book.yaml"
        changed.write_text(_changed())
        await registry.adopt(changed)
        yield registry


def _changed() -> str:
    text = BOOK.read_text().replace('version: "2026.1"', 'version: "2026.2"')
    return text.replace("    keep: 10 months", "    keep: 11 months").replace(
        "    law: {min: 10 months, max: 10 months}", "    law: {min: 11 months, max: 11 months}"
    )


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_axe_finds_no_violation(registry: Registry, browser: Browser, language: str, look: str) -> None:
    width, scheme = LOOKS[look]
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said = await context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    own = (await registry.send("GET", f"/v1/pack/subprocessors?lang={language}", None, "contact", "pack.manage")).text
    found: dict[str, Any] = {}
    for name, place in PLACES.items():
        await page.goto(registry.url + place.format(language))
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{name} is wider than the screen"
        )
        found[name] = (await Axe().run(page)).response["violations"]
    await page.set_content(own)
    found["sub-processors"] = (await Axe().run(page)).response["violations"]
    await context.close()
    assert {name: [one["id"] for one in violations] for name, violations in found.items() if violations} == {}
    assert said == [], "the page loads and runs nothing"


async def test_a_table_names_its_columns_on_a_telephone_too(registry: Registry, browser: Browser) -> None:
    """To whoever looks, before each cell; to whoever listens, as the columns' heads."""
    context = await browser.new_context(viewport={"width": 360, "height": 740})
    page = await context.new_page()
    await page.goto(f"{registry.url}/privacy?lang=en")
    shown = await page.locator("[data-retention='helpdesk_recordings'] td").evaluate_all(
        "cells => cells.map(cell => getComputedStyle(cell, '::before').content)"
    )
    assert [label.partition(" /")[0] for label in shown] == ['"Kept: "', '"Then: "']
    told = await (await context.new_cdp_session(page)).send("Accessibility.getFullAXTree")
    heads = [one["name"]["value"] for one in told["nodes"] if one.get("role", {}).get("value") == "columnheader"]
    assert {"Data", "Legal basis", "Kept", "Then", "Entity", "Purpose", "Where"} <= set(heads)
    await context.close()


SPACED = (
    "* {line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important}"  # WCAG 1.4.12
)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_is_wider_than_a_telephone_with_a_reader_s_own_spacing(
    registry: Registry, browser: Browser, language: str
) -> None:
    page = await browser.new_page(viewport={"width": 320, "height": 740})
    for place in PLACES.values():
        await page.goto(registry.url + place.format(language))
        await page.evaluate("rule => document.styleSheets[0].insertRule(rule)", SPACED)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.close()


async def test_the_history_says_what_each_version_changed_and_leads_to_it(registry: Registry, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{registry.url}/privacy?lang=en")
    await page.get_by_role("link", name="What changed?").click()
    newest = page.locator("[data-version='2026.2']")
    assert await newest.get_by_text("kept: was 10 months; becomes 11 months.").count() == 1
    assert await newest.get_by_text("in force").count() == 1
    await page.locator("[data-version='2026.1']").get_by_role("link", name="Read that version").click()
    assert await page.get_by_role("note").count() == 1
    old = await page.locator("[data-retention='retained_internet_access']").inner_text()
    assert "10 months" in old
    await page.get_by_role("link", name="På svenska").click()
    assert await page.get_by_text("Det här är en annan version").count() == 1
    await page.get_by_role("link", name="Till den som gäller").click()
    assert "11 månader" in await page.locator("[data-retention='retained_internet_access']").inner_text()
    await page.close()


async def test_a_version_nobody_published_is_not_found(registry: Registry) -> None:
    refused = await registry.get("/privacy", scopes=None, version="1999.1")
    assert (refused.status_code, refused.json()["code"]) == (404, "registry.version_unknown")
