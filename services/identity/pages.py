"""The few pages people see of the issuer: plain HTML without a script, in Swedish or English."""

import base64
import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

_HERE = Path(__file__).parent / "templates"
_TEMPLATES = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
_CSS = (_HERE / "page.css").read_text()
_CSS_HASH = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()

WORDS = {
    "sv": {
        "log_in": "Logga in",
        "why": "Du loggar in för att använda",
        "username": "Användarnamn",
        "password": "Lösenord",
        "wrong": "Användarnamnet eller lösenordet stämmer inte.",
        "too_many": "För många försök. Vänta fem minuter och försök igen.",
        "cannot": "Inloggningen kunde inte påbörjas",
        "cannot_more": "Länken som ledde hit är felaktig eller för gammal. Gå tillbaka och börja om.",
        "logged_out": "Du är utloggad",
        "logged_out_more": "Du kan stänga sidan.",
    },
    "en": {
        "log_in": "Log in",
        "why": "You are logging in to use",
        "username": "User name",
        "password": "Password",
        "wrong": "The user name or the password is not right.",
        "too_many": "Too many tries. Wait five minutes and try again.",
        "cannot": "The login could not begin",
        "cannot_more": "The link that led here is faulty or too old. Go back and start again.",
        "logged_out": "You are logged out",
        "logged_out_more": "You may close this page.",
    },
}


def login(
    language: str, client: str, note: str, back_to: str, fault: str | None = None, status: int = 200
) -> HTMLResponse:
    said = _TEMPLATES.get_template("login.html").render(
        language=language, words=WORDS[language], css=_CSS, client=client, note=note, fault=fault
    )
    return _page(said, status, back_to)


def notice(language: str, told: str, status: int = 200) -> HTMLResponse:
    """`told`: cannot | logged_out."""
    said = _TEMPLATES.get_template("notice.html").render(language=language, words=WORDS[language], css=_CSS, told=told)
    return _page(said, status)


def language_of(ui_locales: str | None, accept_language: str | None) -> str:
    """The first of what the client or the browser names that we speak; Swedish otherwise."""
    named = (ui_locales or "").split() + [part.partition(";")[0].strip() for part in (accept_language or "").split(",")]
    return next((name[:2].lower() for name in named if name[:2].lower() in WORDS), "sv")


def _page(said: str, status: int, back_to: str | None = None) -> HTMLResponse:
    # Browsers apply form-action to the redirect after a form as well, so the client's own origin is named.
    target = f" {origin(back_to)}" if back_to else ""
    policy = (
        f"default-src 'none'; style-src 'sha256-{_CSS_HASH}'; form-action 'self'{target}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(said, status, headers)


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
