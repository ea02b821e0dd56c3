"""The few pages people see of the issuer: plain HTML without a script, in Swedish or English."""

from pathlib import Path

from starlette.responses import HTMLResponse

from chassis.pages import Pages

_WORDS = {
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


_PAGES = Pages(Path(__file__).parent / "templates", _WORDS, referrer="same-origin")
language_of = _PAGES.language


def login(
    language: str, client: str, note: str, back_to: str, fault: str | None = None, status: int = 200
) -> HTMLResponse:
    return _PAGES.show("login.html", language, status, back_to, client=client, note=note, fault=fault)


def notice(language: str, told: str, status: int = 200) -> HTMLResponse:
    """`told`: cannot | logged_out."""
    return _PAGES.show("notice.html", language, status, told=told)
