"""A refusal for whom it reaches: a problem (RFC 9457) for programs; for a person with a browser a page that says what to do next; for
whoever calls another standard's API (`dialects` of `create_app`) what that has for it.

A browser that opens a page or sends a form asks for `text/html`; no program does.
"""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from chassis.errors import Problem
from chassis.pages import Pages

_WORDS = {
    "sv": {
        "away": "Det går inte just nu",
        "away_more": "Felet är vårt, och brukar gå över snart. Vänta en stund och försök igen. Har du just skickat ett svar kan du skicka "
        "det igen: det räknas en gång.",
        "broken": "Något gick fel hos oss",
        "broken_more": "Felet är noterat. Försök igen om en stund, och hör av dig till kundtjänst om det händer igen.",
        "too_many": "För många försök",
        "too_many_more": "Vänta en minut och försök igen.",
        "missing": "Sidan finns inte",
        "missing_more": "Se efter att du fick med hela adressen. Kom du hit genom en länk, gå tillbaka och börja om därifrån.",
        "log_in": "Du behöver logga in",
        "log_in_more": "Gå till sidan eller appen som du kom från, logga in där och försök igen.",
        "not_yours": "Det här är inte för dig",
        "not_yours_more": "Den som är inloggad får inte se eller göra det här. Logga in som rätt person, eller fråga kundtjänst.",
        "changed": "Det har ändrats under tiden",
        "changed_more": "Gå tillbaka, ladda om sidan och försök igen.",
        "unread": "Det gick inte att läsa",
        "unread_more": "Något saknas eller är fel i adressen eller i formuläret. Gå tillbaka och börja om.",
        "again": "Försök igen",
    },
    "en": {
        "away": "This cannot be done right now",
        "away_more": "The fault is ours, and usually soon over. Wait a moment and try again. If you have just sent an answer, you may send "
        "it again: it counts once.",
        "broken": "Something went wrong here",
        "broken_more": "It was noted. Try again in a while, and tell customer service if it happens again.",
        "too_many": "Too many tries",
        "too_many_more": "Wait a minute and try again.",
        "missing": "There is no such page",
        "missing_more": "See that you got the whole address. If a link led you here, go back and start again from there.",
        "log_in": "You need to log in",
        "log_in_more": "Go to the page or app that you came from, log in there and try again.",
        "not_yours": "This is not for you",
        "not_yours_more": "Whoever is logged in may not see or do this. Log in as the right person, or ask customer service.",
        "changed": "It was changed meanwhile",
        "changed_more": "Go back, load the page again and try once more.",
        "unread": "This could not be read",
        "unread_more": "Something is missing or wrong in the address or in the form. Go back and start again.",
        "again": "Try again",
    },
}
_TOLD = {
    401: "log_in",
    403: "not_yours",
    404: "missing",
    405: "missing",
    409: "changed",
    410: "missing",
    429: "too_many",
    500: "broken",
    502: "away",
    503: "away",
    504: "away",
}
_PAGES = Pages(Path(__file__).parent / "templates", _WORDS)


def answer(request: Request, problem: Problem) -> Response:
    """`again`: the same address once more, where only reading was refused and it may go the next time."""
    dialect = request.app.state.dialects.get(request.url.path)
    if dialect is not None:
        return dialect(request, problem)
    if "text/html" not in request.headers.get("accept", ""):
        return problem.response()
    language = _PAGES.language(request.headers.get("accept-language"))
    passes = problem.status >= 500 or problem.status == 429
    again = "" if passes and request.method == "GET" else None
    page = _PAGES.told(language, _TOLD.get(problem.status, "unread"), problem.status, again)
    page.headers.update(problem.headers)
    return page
