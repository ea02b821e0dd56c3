"""The few pages people see of the issuer: plain HTML without a script, in Swedish or English."""

from dataclasses import dataclass
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
        "eid": "Logga in med e-legitimation",
        "or": "eller",
        "eid_away": "E-legitimation går inte att använda just nu. Försök igen om en stund.",
        "eid_refused": "Inloggningen med e-legitimation avbröts eller misslyckades. Försök igen.",
        "eid_unknown": "Det finns inget konto här för den e-legitimationen.",
        "stronger": "För detta behöver du logga in med e-legitimation.",
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
        "eid": "Log in with your electronic identity",
        "or": "or",
        "eid_away": "Electronic identities cannot be used right now. Try again in a while.",
        "eid_refused": "The login with your electronic identity was stopped or failed. Try again.",
        "eid_unknown": "There is no account here for that electronic identity.",
        "stronger": "For this you need to log in with your electronic identity.",
        "cannot": "The login could not begin",
        "cannot_more": "The link that led here is faulty or too old. Go back and start again.",
        "logged_out": "You are logged out",
        "logged_out_more": "You may close this page.",
    },
}


_PAGES = Pages(Path(__file__).parent / "templates", _WORDS, referrer="same-origin")
language_of = _PAGES.language


@dataclass(frozen=True)
class Ways:
    """How somebody may log in here and now. eid: where the provider of electronic identities sends its form to, if one is enough and
    it answers."""

    password: bool
    eid: str | None


def login(
    language: str, client: str, note: str, back_to: str, ways: Ways, fault: str | None = None, status: int = 200
) -> HTMLResponse:
    """`fault`: wrong | too_many | eid_away | eid_refused | eid_unknown."""
    leads = (back_to, ways.eid) if ways.eid else (back_to,)
    return _PAGES.show("login.html", language, status, leads, client=client, note=note, fault=fault, ways=ways)


def notice(language: str, told: str, status: int = 200) -> HTMLResponse:
    """`told`: cannot | logged_out."""
    return _PAGES.told(language, told, status)
