"""The pages a person reads: the report, the shell that asks for the passphrase and shows it, and the answer.

All stand alone: no network, one style and one script each named by its hash in a Content-Security-Policy.
"""

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.anonymizer.contract import Column, TableLine
from services.registry.contract import PolicyBook
from services.requests.rights.contract import Action, Answer, AnswerLine, Language, Text
from services.requests.rights.rules.about import About

_HERE = Path(__file__).parent / "templates"
_PARTS = "<!-- parts -->"
# A whole cell, as a collection writes it; a person reads the time on her own clock.
_INSTANT = re.compile(r"(?<![^\x1e\x1f])\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)(?![^\x1e\x1f])")
_pages = Environment(
    loader=FileSystemLoader(_HERE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


@dataclass(frozen=True)
class TablePart:
    """A table's first rows, how many there are in all, and the name of its files."""

    table: TableLine
    rows: list[list]
    count: int
    file: str


@dataclass(frozen=True)
class StorePart:
    label: Text
    tables: list[TablePart]


@dataclass(frozen=True)
class AnswerPart:
    title: str
    lines: list[AnswerLine]
    kept: bool = False


def report(language: Language, about: About, stores: list[StorePart]) -> str:
    return _pages.get_template("report.html").render(
        lang=language,
        say=lambda sv, en: sv if language == "sv" else en,
        controller=about.controller.name,
        told=_told(language, about),
        stores=stores,
        most=max((part.count for store in stores for part in store.tables), default=0),
        zone=about.zone,
        style=_text("report.css"),
        csp=_policy(("report.css",), ()),
    )


def answer(told: Answer, book: PolicyBook) -> str:
    """What was done and what was kept, line by line with its reason, its law and its day."""
    words, sv = told.language, told.language == "sv"
    parts = [
        AnswerPart("Rättat" if sv else "Corrected", _done(told, Action.correct)),
        AnswerPart("Sparat" if sv else "Kept", _done(told, Action.keep), kept=True),
        AnswerPart("Raderat" if sv else "Erased", _done(told, Action.erase)),
        AnswerPart("Rensat från dina uppgifter" if sv else "Cleared of your data", _done(told, Action.redact)),
    ]
    return _pages.get_template("answer.html").render(
        lang=words,
        answer=told,
        right=book.right(told.kind).label.in_(words).lower(),
        day=lambda instant: instant.astimezone(book.tz).date(),
        parts=parts,
        categories={category.key: category.label for category in book.categories},
        style=_text("report.css"),
        csp=_policy(("report.css",), ()),
    )


def _done(told: Answer, action: Action) -> list[AnswerLine]:
    return [line for line in told.outcomes if line.action is action]


def shell(language: Language, header: str, for_a_key: bool) -> tuple[str, str]:
    """What stands before and after the locked parts. for_a_key: it opens with a key's file, and not with a passphrase. The report's style is allowed too: it is shown inside this page."""
    csp = _policy(("shell.css", "report.css"), ("open.js",))
    whole = _pages.get_template("shell.html").render(
        lang=language, header=header, for_a_key=for_a_key, style=_text("shell.css"), script=_text("open.js"), csp=csp
    )
    before, after = whole.split(_PARTS)
    return before, after


_said: dict[Language, tuple[About, str]] = {}


def _told(language: Language, about: About) -> str:
    """What stands in every report while one book is in force: half of the page, made once."""
    kept = _said.get(language)
    if kept is None or kept[0] is not about:
        kept = _said[language] = about, _pages.get_template("about.html").render(lang=language, about=about)
    return kept[1]


# Between rows and cells while a table is one text; no cell keeps them.
_ROW, _CELL = "\x1e", "\x1f"
_UNMARKED = {ord(_ROW): None, ord(_CELL): None}


def _rows(rows: list[list], language: Language, zone: str) -> Markup:
    """A table's rows, thousands of cells, escaped in one go: a template's own loop takes twenty times as long."""
    if not rows:
        return Markup("")
    here, words = ZoneInfo(zone), {None: "", True: "ja", False: "nej"}
    if language != "sv":
        words |= {True: "yes", False: "no"}

    def said(cell: object) -> str:
        return words[cell] if cell is None or isinstance(cell, bool) else str(cell).translate(_UNMARKED)

    text = _ROW.join(
        _CELL.join([cell if type(cell) is str and cell.isprintable() else said(cell) for cell in row]) for row in rows
    )
    text = _INSTANT.sub(lambda found: _on_the_clock(found[0], here), html.escape(text))
    text = text.replace(_CELL, "</td><td>").replace(_ROW, "</td></tr>\n<tr><td>")
    return Markup(f"<tr><td>{text}</td></tr>")


def _on_the_clock(instant: str, here: ZoneInfo) -> str:
    """What no clock of hers shows stands as it came: a day that is none, or the end of all days, which many systems say for `for ever`."""
    try:
        said = datetime.fromisoformat(instant).astimezone(here).isoformat(" ", "seconds")[:19]
    except (ValueError, OverflowError):
        return instant
    return f"<time>{said}</time>"


def _heads(columns: list[Column], language: Language) -> Markup:
    return Markup("".join(f'<th scope="col">{html.escape(column.label.in_(language))}</th>' for column in columns))


def _thousands(count: int, language: Language) -> str:
    """As people write them: a space that no line breaks at in Swedish, a comma in English."""
    return f"{count:,}" if language == "en" else f"{count:,}".replace(",", "\u00a0")


_pages.filters |= {"rows": _rows, "heads": _heads, "thousands": _thousands}


@cache
def _policy(styles: tuple[str, ...], scripts: tuple[str, ...]) -> str:
    allowed = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for directive, names in (("style-src", styles), ("script-src", scripts)):
        if names:
            allowed.append(f"{directive} {' '.join(_hash(name) for name in names)}")
    return "; ".join(allowed)


def _hash(name: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(_text(name).encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text()
