"""How the page says what the model's own words mean. Words only: every number and every rule comes from the book."""

from services.registry.contract import Language, Period, Retention, Text
from services.registry.contract.policy import PolicyBook

BASIS = {
    "consent": Text(sv="Samtycke", en="Consent"),
    "contract": Text(sv="Avtal", en="Agreement"),
    "legal_obligation": Text(sv="Rättslig förpliktelse", en="Legal obligation"),
    "vital_interests": Text(sv="Grundläggande intressen", en="Vital interests"),
    "public_task": Text(sv="Uppgift av allmänt intresse", en="Public task"),
    "legitimate_interest": Text(
        sv="Berättigat intresse (intresseavvägning)", en="Legitimate interest (balance of interests)"
    ),
}
THEN = {
    "delete": Text(sv="raderas", en="deleted"),
    "anonymise": Text(sv="anonymiseras", en="anonymised"),
    "drop": Text(sv="förstörs", en="destroyed"),
}
MECHANISM = {
    "adequacy": Text(sv="beslut om adekvat skyddsnivå", en="adequacy decision"),
    "scc": Text(sv="standardavtalsklausuler", en="standard contractual clauses"),
    "bcr": Text(sv="bindande företagsbestämmelser", en="binding corporate rules"),
    "art_49": Text(sv="undantag enligt artikel 49", en="derogation of Art. 49"),
    "not_stated": Text(sv="stöd ej angivet", en="mechanism not stated"),
}
CONTEXT = {
    "tenant_legal_obligation": Text(
        sv="när en kund är skyldig enligt lag att spela in", en="when a customer has a legal duty to record"
    ),
}
_ANCHOR = {
    "agreement_ended": Text(sv="avtalet upphörde", en="the agreement ended"),
    "invoice_paid": Text(sv="fakturan är betald", en="the invoice is paid"),
    "financial_year_ended": Text(sv="räkenskapsåret slutade", en="the financial year ended"),
    "started_at": Text(sv="kommunikationen", en="the communication"),
    "created_at": Text(sv="uppgiften skapades", en="the data were created"),
    "closed_at": Text(sv="ärendet avslutades", en="the case was closed"),
    "stored_at": Text(sv="kopian gjordes", en="the copy was made"),
}
_UNITS = {
    "second": Text(sv="sekund sekunder", en="second seconds"),
    "minute": Text(sv="minut minuter", en="minute minutes"),
    "hour": Text(sv="timme timmar", en="hour hours"),
    "day": Text(sv="dag dagar", en="day days"),
    "month": Text(sv="månad månader", en="month months"),
    "year": Text(sv="år år", en="year years"),
}


def period(told: Period, language: Language) -> str:
    """`30 dagar`, `30 days`, `genast`."""
    if told.count == 0:
        return Text(sv="genast", en="at once").in_(language)
    one, many = _UNITS[told.unit].in_(language).split()
    return f"{told.count} {one if told.count == 1 else many}"


def kept(row: Retention, language: Language) -> str:
    """A rule's period as a sentence: `30 days after the communication`."""
    return _until(row.keep, row.anchor, language)


def at_the_latest(row: Retention, language: Language) -> str:
    return _until(row.latest.keep, row.latest.anchor, language) if row.latest else ""


def _until(keep: Period, anchor: str, language: Language) -> str:
    event = _ANCHOR[anchor].in_(language)
    if keep.count == 0:
        if anchor == "started_at":
            return Text(sv="Sparas inte", en="Not kept").in_(language)
        return Text(sv=f"Tills {event}", en=f"Until {event}").in_(language)
    length = period(keep, language)
    if keep.after_year_end:
        return Text(
            sv=f"{length} efter utgången av det kalenderår då {event}",
            en=f"{length} after the end of the calendar year in which {event}",
        ).in_(language)
    return Text(
        sv=f"{length} efter {'att ' if anchor != 'started_at' else ''}{event}", en=f"{length} after {event}"
    ).in_(language)


def data_of(book: PolicyBook, covered: str, language: Language) -> str:
    """The label of a category or an element."""
    for category in book.categories:
        if category.key == covered:
            return category.label.in_(language)
    return book.element(covered).label.in_(language)
