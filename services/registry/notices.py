"""The letter by which a customer organisation is told of a change of sub-processors, in its own language."""

from datetime import datetime
from email.message import EmailMessage
from uuid import UUID

from chassis.mail import letter
from services.registry import wording
from services.registry.contract import PolicyBook
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
    message = letter(contract.notices_to or "", _SUBJECT[language].format(name=name), told)
    message["Message-ID"] = f"<{notice}@{book.controller.email.partition('@')[2]}>"
    return message
