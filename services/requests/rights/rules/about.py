"""What GDPR Art. 15(1) says goes with a person's data: why, on what basis, to whom, how long, whence, and which rights.

All of it is the policy book's, rearranged for a reader; nothing is said here that the book does not say.
"""

from services.registry.contract import Period, PolicyBook, Text
from services.requests.rights.contract import Reply

_UNITS = {
    "second": ("sekund", "sekunder", "second", "seconds"),
    "minute": ("minut", "minuter", "minute", "minutes"),
    "hour": ("timme", "timmar", "hour", "hours"),
    "day": ("dag", "dagar", "day", "days"),
    "month": ("månad", "månader", "month", "months"),
    "year": ("år", "år", "year", "years"),
}
_BASES = {
    "consent": Text(sv="samtycke", en="consent"),
    "contract": Text(sv="avtal", en="contract"),
    "legal_obligation": Text(sv="rättslig förpliktelse", en="legal obligation"),
    "vital_interests": Text(sv="grundläggande intressen", en="vital interests"),
    "public_task": Text(sv="uppgift av allmänt intresse", en="public task"),
    "legitimate_interest": Text(sv="berättigat intresse", en="legitimate interest"),
}


class Answerable(Reply):
    name: str
    address: str
    email: str
    telephone: str
    data_protection_officer: str


class Use(Reply):
    what: Text
    basis: Text
    legal_ref: str


class PurposeTold(Reply):
    label: Text
    description: Text
    uses: list[Use]


class CategoryTold(Reply):
    """`collected`: how the data came to us, which is what we know of their source."""

    label: Text
    elements: list[Text]
    collected: list[Text]
    recipients: list[Text]


class Kept(Reply):
    label: Text
    period: Text
    reason: Text
    legal_ref: str


class RecipientTold(Reply):
    label: Text
    condition: Text | None
    legal_ref: str


class SubProcessorTold(Reply):
    name: str
    purpose: Text
    places: list[Text]


class RightTold(Reply):
    label: Text
    description: Text
    legal_ref: str


class AuthorityTold(Reply):
    name: Text
    address: str
    email: str
    website: str


class About(Reply):
    policy_version: str
    zone: str
    controller: Answerable
    purposes: list[PurposeTold]
    categories: list[CategoryTold]
    kept: list[Kept]
    recipients: list[RecipientTold]
    subprocessors: list[SubProcessorTold]
    rights: list[RightTold]
    authorities: list[AuthorityTold]
    complaint: Text


_latest: list[tuple[PolicyBook, About]] = []


def about(book: PolicyBook) -> About:
    """The same object as long as it is asked of the same book."""
    if not _latest or _latest[0][0] is not book:
        _latest[:] = [(book, _about(book))]
    return _latest[0][1]


def _about(book: PolicyBook) -> About:
    labels = _labels(book)
    places = {place.key: place.label for place in book.places}
    return About(
        policy_version=book.version,
        zone=book.zone,
        controller=Answerable(
            name=book.controller.name,
            address=book.controller.address,
            email=book.controller.email,
            telephone=book.controller.telephone,
            data_protection_officer=book.controller.data_protection_officer,
        ),
        purposes=[
            PurposeTold(
                label=purpose.label,
                description=purpose.description,
                uses=[
                    Use(what=labels[row.covers], basis=_BASES[row.basis], legal_ref=row.legal_ref)
                    for row in book.bases
                    if row.purpose == purpose.key
                ],
            )
            for purpose in book.purposes
        ],
        categories=[
            CategoryTold(
                label=category.label,
                elements=[element.label for element in category.elements],
                collected=[row.label for row in book.collection if _touches(book, row.covers, category.key)],
                recipients=[row.label for row in book.recipients if _touches(book, row.covers, category.key)],
            )
            for category in book.categories
        ],
        kept=[
            Kept(label=row.label, period=period_text(row.keep), reason=row.reason, legal_ref=row.legal_ref)
            for row in book.retention
        ],
        recipients=[
            RecipientTold(label=row.label, condition=row.condition, legal_ref=row.legal_ref) for row in book.recipients
        ],
        subprocessors=[
            SubProcessorTold(name=row.legal_name, purpose=row.purpose, places=[places[place] for place in row.places])
            for row in book.subprocessors
            if row.status == "active"
        ],
        rights=[
            RightTold(label=row.label, description=row.description, legal_ref=row.legal_ref) for row in book.rights
        ],
        authorities=[
            AuthorityTold(name=row.label, address=row.address, email=row.email, website=row.website)
            for row in book.authorities
        ],
        complaint=book.clause("complaint"),
    )


def period_text(period: Period) -> Text:
    """`12 months` in the words of both languages."""
    if not period.count:
        return Text(sv="inte alls", en="not at all")
    one_sv, many_sv, one_en, many_en = _UNITS[period.unit]
    sv = f"{period.count} {one_sv if period.count == 1 else many_sv}"
    en = f"{period.count} {one_en if period.count == 1 else many_en}"
    if period.after_year_end:
        return Text(sv=f"{sv} efter årets slut", en=f"{en} after the end of the year")
    return Text(sv=sv, en=en)


def _labels(book: PolicyBook) -> dict[str, Text]:
    """Categories and elements by key."""
    return {row.key: row.label for category in book.categories for row in (category, *category.elements)}


def _touches(book: PolicyBook, covers: tuple[str, ...], category: str) -> bool:
    elements = set(book.elements_of(category))
    return any(elements & set(book.elements_of(covered)) for covered in covers)
