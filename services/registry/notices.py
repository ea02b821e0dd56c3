"""The letters by which a customer organisation is told of a change of sub-processors and of a breach, in its own language."""

from datetime import datetime
from email.message import EmailMessage
from uuid import UUID

from chassis.mail import letter
from services.registry import wording
from services.registry.contract import PolicyBook
from services.registry.contract.breaches import Form
from services.registry.contract.register import ChangeRecord, KeepContract
from services.registry.rules.subprocessors import label_of

_SUBJECT = {"sv": "Ändring av underbiträde: {name}", "en": "Change of sub-processor: {name}"}
_TEXT = {
    "sv": """Hej,

vi avser att ändra vilka underbiträden som behandlar personuppgifter för er räkning (artikel 28.2 i dataskyddsförordningen).

Underbiträde: {name}
Ändring: {kind}
Skäl: {reason}
Uppgifter: {data}
Platser: {places}
Avses gälla från: {effective}
Ert avtal: {contract}

Ni kan invända till och med {until}. Er dataskyddskontakt gör det i tjänsten, ändring {change}.

{controller}
""",
    "en": """Hello,

we intend to change which sub-processors process personal data on your behalf (Article 28(2) GDPR).

Sub-processor: {name}
Change: {kind}
Reason: {reason}
Data: {data}
Places: {places}
Intended from: {effective}
Your agreement: {contract}

You may object until and including {until}. Your privacy contact does so in the service, change {change}.

{controller}
""",
}
_BREACH_SUBJECT = {"sv": "Personuppgiftsincident {reference}", "en": "Personal data breach {reference}"}
_BREACH = {
    "sv": """Hej,

en personuppgiftsincident rör uppgifter som vi behandlar för er räkning (artikel 33.2 i dataskyddsförordningen).

{said}
Ännu inte känt: {missing}

Det vi får veta senare kommer i ett nytt brev. Er dataskyddskontakt läser breven också i tjänsten.

{controller}
""",
    "en": """Hello,

a personal data breach concerns data that we process on your behalf (Article 33(2) GDPR).

{said}
Not known yet: {missing}

What we learn later comes in another letter. Your privacy contact also reads the letters in the service.

{controller}
""",
}


def words_of_breach(book: PolicyBook, form: Form) -> tuple[str, str]:
    """(subject, text) of a letter from the prefilled notice."""
    said = "\n".join(f"{each.label}: {each.value}" for each in form.fields)
    missing = ", ".join(form.missing) or "–"
    text = _BREACH[form.language].format(said=said, missing=missing, controller=book.controller.name)
    return _BREACH_SUBJECT[form.language].format(reference=form.reference), text


def letter_about(
    book: PolicyBook, change: ChangeRecord, contract: KeepContract, notice: UUID, until: datetime
) -> EmailMessage:
    """The same notice always has the same Message-ID, so that a letter that came twice is known as one."""
    language = contract.language
    row = change.row or next((each for each in book.subprocessors if each.key == change.subprocessor), None)
    name = row.legal_name if row else change.subprocessor
    places = {place.key: place.label for place in book.places}
    told = _TEXT[language].format(
        name=name,
        kind=wording.CHANGE_KIND[change.kind].in_(language),
        reason=change.reason.in_(language),
        data=", ".join(label_of(book, key).in_(language) for key in (row.covers if row else ())),
        places=", ".join(places[key].in_(language) for key in (row.places if row else ())),
        effective=change.effective_on,
        contract=contract.reference,
        # The window ends with the last hour of the day before this instant.
        until=wording.last_day(until, book.tz),
        change=change.change,
        controller=book.controller.name,
    )
    return numbered(book, notice, contract.notices_to or "", _SUBJECT[language].format(name=name), told)


def numbered(book: PolicyBook, notice: UUID, to: str, subject: str, text: str) -> EmailMessage:
    message = letter(to, subject, text)
    message["Message-ID"] = f"<{notice}@{book.controller.email.partition('@')[2]}>"
    return message
