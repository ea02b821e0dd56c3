"""What people see of a service, where no other test looks: the mark of what has the keyboard's focus (WCAG 1.4.11), and an address that
is longer than a telephone is wide."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
STYLES = sorted(Path(__file__).parents[2].glob("*/**/templates/page.css"))


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.parts[-3])
def test_the_focus_is_seen_by_day_and_by_night(style: Path) -> None:
    [colour] = re.findall(r":focus-visible \{ outline: 3px solid (#\w{6});", style.read_text())
    assert [paper for paper in ("#ffffff", "#121212") if contrast(colour, paper) < 3] == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which .ci/run installs")
async def test_a_long_address_stays_within_a_telephone() -> None:
    address = f"https://privacy.operator.example/{'x' * 60}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 320, "height": 700})
        for style in STYLES:
            await page.set_content(f"<style>{style.read_text()}</style><main><p><a href='#'>{address}</a></p></main>")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), style
        await browser.close()


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_there_are_pages() -> None:
    assert len(STYLES) == 3
