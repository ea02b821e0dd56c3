"""The public page says every rule of the book in both languages, and lets nothing load or run."""

from html import unescape
from html.parser import HTMLParser

import pytest

from services.registry import pages, wording
from services.registry.contract import LANGUAGES, Language, PolicyBook
from tests.registry.conftest import Registry


class Outline(HTMLParser):
    """Tags that were never closed, ids, links and what each marked row says."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.levels: list[int] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        told = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told["href"]] if tag == "a" and "href" in told else []
        if tag in ("h1", "h2", "h3", "h4"):
            self.levels.append(int(tag[1]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def row(page: str, mark: str) -> str:
    return unescape(page.split(mark, 1)[1].split("</tr>", 1)[0])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_retention_row_stands_on_the_page(book: PolicyBook, language: Language) -> None:
    page = pages.privacy_page(book, language)
    for rule in book.retention:
        told = row(page, f'data-retention="{rule.key}"')
        assert rule.label.in_(language) in told
        assert wording.kept(rule, language) in told
        assert wording.THEN[rule.then].in_(language) in told
        assert rule.legal_ref in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_basis_right_recipient_and_sub_processor_stands_on_the_page(book: PolicyBook, language: Language) -> None:
    page = unescape(pages.privacy_page(book, language))
    for basis in book.bases:
        assert wording.BASIS[basis.basis].in_(language) in row(page, f'data-basis="{basis.identity}"')
    told = [*book.rights, *book.recipients, *book.measures, *book.collection, *book.purposes]
    assert [each.key for each in told if each.label.in_(language) not in page] == []
    assert [each.key for each in book.subprocessors if each.legal_name not in page] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_well_formed_and_can_be_read_by_its_headings(book: PolicyBook, language: Language) -> None:
    page = pages.privacy_page(book, language)
    outline = Outline(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert outline.levels[0] == 1 and outline.levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(outline.levels, outline.levels[1:], strict=False))
    assert f'<html lang="{language}">' in page
    assert not outline.tags & {"script", "img", "iframe", "form", "object"}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "sv"),
        ("en", "en"),
        ("en-GB,en;q=0.9,sv;q=0.8", "en"),
        ("sv-SE,en;q=0.9", "sv"),
        ("de,fr", "sv"),
        ("sv;q=0.2,en;q=0.7", "en"),
        ("en;q=0", "sv"),
        ("en;q=much, sv;q=0.1", "sv"),
        ("*", "sv"),
        (",;,", "sv"),
    ],
)
def test_the_browser_s_preference_decides_the_language(accepted: str, language: str) -> None:
    assert pages.preferred(accepted) == language


async def test_anybody_may_read_the_page(registry: Registry) -> None:
    page = await registry.get("/privacy", scopes=None)
    assert page.status_code == 200
    assert page.headers["content-language"] == "sv"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Version 2026.1" in page.text and "gäller sedan" in page.text
    english = await registry.get("/privacy", scopes=None, lang="en")
    assert english.headers["content-language"] == "en" and "in force since" in english.text


async def test_an_unknown_language_is_a_clear_refusal(registry: Registry) -> None:
    refused = await registry.get("/privacy", scopes=None, lang="tlh")
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
