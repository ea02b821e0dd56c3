"""The page on which a person answers a question for consent: plain HTML without a script, both answers alike, in Swedish or English."""

from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse, RedirectResponse

from chassis.pages import Pages

_WORDS = {
    "sv": {
        "asks": "vill använda uppgifter om dig:",
        "asks_of_child": "vill använda uppgifter om barnet som du är vårdnadshavare för:",
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
        "earlier": "Ditt svar är inte registrerat",
        "earlier_more": "Frågan har öppnats igen sedan den här sidan visades, så ditt svar är inte registrerat. Öppna frågan och svara "
        "en gång till.",
        "other": "Frågan gäller någon annan",
        "other_more": "Du är inloggad som en annan person än den som frågan gäller. Inget har registrerats.",
        "guardian": "Din vårdnadshavare behöver svara",
        "guardian_more": "Du är för ung för att själv säga ja till det här, så inget har registrerats. Be din vårdnadshavare att öppna frågan "
        "och logga in som sig själv. Vill du säga nej kan du öppna frågan och göra det själv.",
        "again": "Öppna frågan igen",
        "soon": "Ditt svar är registrerat",
        "soon_more": "Det dröjer lite längre än vanligt innan det gäller överallt. Du behöver inte göra något mer, och kan stänga sidan.",
    },
    "en": {
        "asks": "wants to use data about you:",
        "asks_of_child": "wants to use data about the child whose guardian you are:",
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
        "earlier": "Your answer is not recorded",
        "earlier_more": "The question was opened again after this page was shown, so your answer is not recorded. Open the question and "
        "answer once more.",
        "other": "The question is for somebody else",
        "other_more": "You are logged in as another person than the one who is asked. Nothing was recorded.",
        "guardian": "Your guardian needs to answer",
        "guardian_more": "You are too young to say yes to this yourself, so nothing was recorded. Ask your guardian to open the question and "
        "log in as themselves. If you want to say no, open the question and do so yourself.",
        "again": "Open the question again",
        "soon": "Your answer is recorded",
        "soon_more": "It takes a little longer than usual until it counts everywhere. There is nothing more to do, and you may close this page.",
    },
}


_PAGES = Pages(Path(__file__).parent / "templates", _WORDS)
language_of = _PAGES.language


def question(language: str, back_to: str | None, **told: Any) -> HTMLResponse:
    return _PAGES.show("capture.html", language, back_to=(back_to,) if back_to else (), **told)


def told(language: str, what: str, status: int = 200, again: str | None = None) -> HTMLResponse:
    """`what`: thanks | over | earlier | other | guardian | soon. again: where the question can be opened once more."""
    return _PAGES.told(language, what, status, again)


def back(address: str) -> RedirectResponse:
    """303: the browser comes back by GET, and its form does not travel on."""
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
