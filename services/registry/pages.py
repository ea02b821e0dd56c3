"""The public privacy page: the book in force as accessible HTML in Swedish or English, without scripts, printable."""

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.registry import wording
from services.registry.contract import LANGUAGES, Language, PolicyBook, Text
from services.registry.rules.subprocessors import places_of

_FOLDER = Path(__file__).parent / "templates"
_STYLE = (_FOLDER / "privacy.css").read_text()

# Nothing may load or run; the one style is named by its hash.
SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def privacy_page(book: PolicyBook, language: Language) -> str:
    """The page as HTML. The same book always gives the same text."""
    return _template().render(
        book=book,
        language=language,
        other=next(code for code in LANGUAGES if code != language),
        style=Markup(_STYLE),
        t=lambda text: text.in_(language),
        say=lambda sv, en: Text(sv=sv, en=en).in_(language),
        data_of=lambda covered: wording.data_of(book, covered, language),
        period=lambda told: wording.period(told, language),
        kept=lambda row: wording.kept(row, language),
        at_the_latest=lambda row: wording.at_the_latest(row, language),
        places=lambda row: [place.in_(language) for place in places_of(book, row)],
        wording=wording,
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
def _template():
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("privacy.html.jinja")
