"""The page on which a person answers a question for consent: plain HTML without a script, both answers alike, in Swedish or English."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, RedirectResponse

_HERE = Path(__file__).parent / "templates"

WORDS = {
    "sv": {
        "asks": "vill använda uppgifter om dig:",
        "purpose": "För ändamålet",
        "no_means": "Om du säger nej eller ångrar dig",
        "rights": "Dina rättigheter",
        "withdraw": "Du kan när som helst återkalla ditt samtycke:",
        "yes": "Ja, jag samtycker",
        "no": "Nej",
        "thanks": "Tack, ditt svar är registrerat",
        "thanks_more": "Du kan stänga sidan.",
        "over": "Frågan är inte öppen längre",
        "over_more": "Den är redan besvarad eller för gammal. Du kan stänga sidan.",
        "other": "Frågan gäller någon annan",
        "other_more": "Du är inloggad som en annan person än den som frågan gäller. Inget har registrerats.",
    },
    "en": {
        "asks": "wants to use data about you:",
        "purpose": "For the purpose",
        "no_means": "If you say no or change your mind",
        "rights": "Your rights",
        "withdraw": "You may withdraw your consent at any time:",
        "yes": "Yes, I consent",
        "no": "No",
        "thanks": "Thank you, your answer is recorded",
        "thanks_more": "You may close this page.",
        "over": "The question is not open any more",
        "over_more": "It was answered already, or is too old. You may close this page.",
        "other": "The question is for somebody else",
        "other_more": "You are logged in as another person than the one who is asked. Nothing was recorded.",
    },
}


def question(language: str, back_to: str | None, **told: Any) -> HTMLResponse:
    said = _template("capture.html").render(language=language, words=WORDS[language], css=_css(), **told)
    return _page(said, 200, back_to)


def told(language: str, what: str, status: int = 200) -> HTMLResponse:
    """`what`: thanks | over | other."""
    return _page(_template("told.html").render(language=language, words=WORDS[language], css=_css(), told=what), status)


def back(address: str) -> RedirectResponse:
    """303: the browser comes back by GET, and its form does not travel on."""
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def language_of(accept_language: str | None) -> str:
    named = [part.partition(";")[0].strip()[:2].lower() for part in (accept_language or "").split(",")]
    return next((each for each in named if each in WORDS), "sv")


@cache
def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return pages.get_template(name)


@cache
def _css() -> str:
    return (_HERE / "page.css").read_text()


def _page(said: str, status: int, back_to: str | None = None) -> HTMLResponse:
    # Browsers apply form-action to the redirect after a form as well, so where it leads is named.
    parts = urlsplit(back_to) if back_to else None
    target = f" {parts.scheme}:" + (f"//{parts.netloc}" if parts.scheme in ("http", "https") else "") if parts else ""
    style = base64.b64encode(hashlib.sha256(_css().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'{target}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(said, status, headers)
