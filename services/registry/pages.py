"""The public pages: the book in force, every version before it, and a customer's sub-processors; accessible HTML in Swedish or
English, without scripts, printable."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.registry import wording
from services.registry.contract import LANGUAGES, Difference, Language, PolicyBook, Text
from services.registry.contract.register import SubProcessors
from services.registry.rules.subprocessors import places_of

_FOLDER = Path(__file__).parent / "templates"
_STYLE = (_FOLDER / "privacy.css").read_text()

# Nothing may load or run; the one style is named by its hash.
SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Shown:
    """One version as the history tells it: `differences` to the version that was decided before it, as far as the public sees."""

    version: str
    valid_from: date
    known_from: date
    differences: list[Difference]
    first: bool
    correction: bool
    begins_later: bool


def privacy_page(book: PolicyBook, language: Language, older: bool = False) -> str:
    """The page as HTML. The same book always gives the same text. `older`: it is not the version in force today."""
    abroad = {row.key for row in book.places if row.third_country}
    return _rendered(
        "privacy.html.jinja",
        book,
        language,
        same=f"&version={quote(book.version)}" if older else "",
        older=older,
        abroad=[row for row in book.subprocessors if abroad & set(row.places)],
        period=lambda told: wording.period(told, language),
        kept=lambda row: wording.kept(row, language),
        at_the_latest=lambda row: wording.at_the_latest(row, language),
        places=lambda row: [place.in_(language) for place in places_of(book, row)],
    )


def history_page(book: PolicyBook, versions: list[Shown], language: Language) -> str:
    """Every version and what it changed. `book`: the one in force."""
    return _rendered("history.html.jinja", book, language, versions=versions)


def sub_processors_page(book: PolicyBook, told: SubProcessors, language: Language) -> str:
    """A customer's own list."""
    names = {row.key: row.label.in_(language) for row in book.services}
    services = [names.get(key, key) for key in told.services]
    return _rendered("subprocessors.html.jinja", book, language, told=told, services=services)


def _rendered(template: str, book: PolicyBook, language: Language, same: str = "", **what: Any) -> str:
    """`same`: what else the address says, so that the other language shows the same page."""
    return (
        _templates()
        .get_template(template)
        .render(
            book=book,
            language=language,
            other=next(code for code in LANGUAGES if code != language),
            same=same,
            style=Markup(_STYLE),
            t=lambda text: text.in_(language),
            say=lambda sv, en: Text(sv=sv, en=en).in_(language),
            data_of=lambda covered: wording.data_of(book, covered, language),
            wording=wording,
            **what,
        )
    )


def preferred(accept_language: str) -> Language:
    """The language a browser asks for first, among ours; Swedish when it asks for neither."""
    wishes = []
    for place, wish in enumerate(accept_language.split(",")):
        name, _, quality = wish.strip().partition(";")
        code = name.strip().lower().partition("-")[0]
        if code in LANGUAGES and (rank := _quality(quality)) > 0:
            wishes.append((-rank, place, code))
    return min(wishes)[2] if wishes else LANGUAGES[0]


def _quality(written: str) -> float:
    name, _, value = written.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
