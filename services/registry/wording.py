"""How the page says what the model's own words mean. Words only: every number and every rule comes from the book."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from services.registry.labels import Label, Language

if TYPE_CHECKING:
    from services.registry.contract import Period, PolicyBook, Retention

BASIS = {
    "consent": Label(sv="Samtycke", en="Consent"),
    "contract": Label(sv="Avtal", en="Agreement"),
    "legal_obligation": Label(sv="Rättslig förpliktelse", en="Legal obligation"),
    "vital_interests": Label(sv="Grundläggande intressen", en="Vital interests"),
    "public_task": Label(sv="Uppgift av allmänt intresse", en="Public task"),
    "legitimate_interest": Label(
        sv="Berättigat intresse (intresseavvägning)", en="Legitimate interest (balance of interests)"
    ),
}
THEN = {
    "delete": Label(sv="raderas", en="deleted"),
    "anonymise": Label(sv="anonymiseras", en="anonymised"),
    "drop": Label(sv="förstörs", en="destroyed"),
}
MECHANISM = {
    "adequacy": Label(sv="beslut om adekvat skyddsnivå", en="adequacy decision"),
    "scc": Label(sv="standardavtalsklausuler", en="standard contractual clauses"),
    "bcr": Label(sv="bindande företagsbestämmelser", en="binding corporate rules"),
    "art_49": Label(sv="undantag enligt artikel 49", en="derogation of Art. 49"),
    "not_stated": Label(sv="stöd ej angivet", en="mechanism not stated"),
}
CONTEXT = {
    "tenant_legal_obligation": Label(
        sv="när en kund är skyldig enligt lag att spela in", en="when a customer has a legal duty to record"
    ),
}
ACTIVITY_STATUS = {
    "planned": Label(sv="Planerad", en="Planned"),
    "active": Label(sv="Pågår", en="Active"),
    "suspended": Label(sv="Tillfälligt stoppad", en="Suspended"),
    "ended": Label(sv="Avslutad", en="Ended"),
}
SUBPROCESSOR_STATUS = {
    "proposed": Label(sv="Föreslagen", en="Proposed"),
    "notified": Label(sv="Kunderna underrättas", en="Customers are being told"),
    "objection_open": Label(sv="Kunder kan invända", en="Customers may object"),
    "active": Label(sv="Anlitas", en="Active"),
    "rejected": Label(sv="Förkastad", en="Rejected"),
    "retired": Label(sv="Anlitas inte längre", en="Retired"),
}
CHANGE_KIND = {
    "addition": Label(sv="Nytt", en="Addition"),
    "replacement": Label(sv="Ersätter ett annat", en="Replacement"),
    "alteration": Label(sv="Ändras", en="Alteration"),
    "retirement": Label(sv="Upphör", en="Retirement"),
    "correction": Label(sv="Rättelse av uppgifter", en="Correction of facts"),
}
ASSESSED = {
    "not_needed": Label(sv="Behövs inte", en="Not needed"),
    "needed": Label(sv="Behövs, ej påbörjad", en="Needed, not begun"),
    "under_way": Label(sv="Pågår", en="Under way"),
    "done": Label(sv="Klar", en="Done"),
}
RISK = {
    "none": Label(sv="Ingen", en="None"),
    "risk": Label(sv="Risk", en="Risk"),
    "high": Label(sv="Hög risk", en="High risk"),
}
CLOCK = {
    "running": Label(sv="tiden löper", en="running"),
    "overdue": Label(sv="försenad", en="overdue"),
    "met": Label(sv="i tid", en="in time"),
    "met_late": Label(sv="för sent", en="late"),
}
GRANT = {
    "requested": Label(sv="begärd", en="requested"),
    "refused": Label(sv="avslagen", en="refused"),
    "approved": Label(sv="godkänd", en="approved"),
    "ended": Label(sv="upphörd", en="ended"),
}
DUE = {
    "mechanism_not_stated": Label(sv="stöd ej angivet", en="mechanism not stated"),
    "decision_not_in_force": Label(sv="beslutet gäller inte", en="the decision is not in force"),
    "decision_ends": Label(sv="beslutet upphör", en="the decision ends"),
    "importer_not_looked_up": Label(
        sv="importörens certifiering är inte kontrollerad", en="the importer's certification was not looked up"
    ),
    "review_due": Label(sv="ska granskas", en="to be reviewed"),
}
_ANCHOR = {
    "agreement_ended": Label(sv="avtalet upphörde", en="the agreement ended"),
    "invoice_paid": Label(sv="fakturan är betald", en="the invoice is paid"),
    "financial_year_ended": Label(sv="räkenskapsåret slutade", en="the financial year ended"),
    "started_at": Label(sv="kommunikationen", en="the communication"),
    "created_at": Label(sv="uppgiften skapades", en="the data were created"),
    "closed_at": Label(sv="ärendet avslutades", en="the case was closed"),
    "stored_at": Label(sv="kopian gjordes", en="the copy was made"),
}
_UNITS = {
    "second": Label(sv="sekund sekunder", en="second seconds"),
    "minute": Label(sv="minut minuter", en="minute minutes"),
    "hour": Label(sv="timme timmar", en="hour hours"),
    "day": Label(sv="dag dagar", en="day days"),
    "month": Label(sv="månad månader", en="month months"),
    "year": Label(sv="år år", en="year years"),
}
_AT_ONCE = "at once"


def period(told: "Period", language: Language) -> str:
    """`30 dagar`, `30 days`, `genast`."""
    return _length(str(told), language)


def _length(written: str, language: Language) -> str:
    """Of a period as it is written; from when it is counted is not part of it."""
    if written == _AT_ONCE:
        return Label(sv="genast", en="at once").in_(language)
    count, unit, *_ = written.split()
    one, many = _UNITS[unit.removesuffix("s")].in_(language).split()
    return f"{count} {one if count == '1' else many}"


def kept(row: "Retention", language: Language) -> str:
    """A rule's period as a sentence: `30 days after the communication`."""
    return _until(str(row.keep), row.anchor, language)


def at_the_latest(row: "Retention", language: Language) -> str:
    return _until(str(row.latest.keep), row.latest.anchor, language) if row.latest else ""


def _until(keep: str, anchor: str, language: Language) -> str:
    event = _ANCHOR[anchor].in_(language)
    if keep == _AT_ONCE:
        if anchor == "started_at":
            return Label(sv="Sparas inte", en="Not kept").in_(language)
        return Label(sv=f"Tills {event}", en=f"Until {event}").in_(language)
    length = _length(keep, language)
    if keep.endswith(" after year end"):
        return Label(
            sv=f"{length} efter utgången av det kalenderår då {event}",
            en=f"{length} after the end of the calendar year in which {event}",
        ).in_(language)
    return Label(
        sv=f"{length} efter {'att ' if anchor != 'started_at' else ''}{event}", en=f"{length} after {event}"
    ).in_(language)


def erased(rule: Mapping[str, Any], language: Language) -> str:
    """A rule of erasure in the JSON of a record: `Agreement data: 12 months after the agreement ended, then deleted`."""
    until = _until(rule["keep"], rule["anchor"], language)
    then = Label(sv="sedan", en="then").in_(language)
    return f"{rule['label'][language]}: {until}, {then} {THEN[rule['then']].in_(language)}"


def safeguard(transfer: Mapping[str, Any], language: Language) -> str:
    """What makes a transfer lawful, in the JSON of a record."""
    told = MECHANISM[transfer["mechanism"]].in_(language)
    if transfer["decision_label"]:
        return f"{told}: {transfer['decision_label'][language]}"
    return (
        f"{told}, {Label(sv='modul', en='module').in_(language)} {transfer['module']}" if transfer["module"] else told
    )


def last_day(over: datetime, zone: ZoneInfo) -> date:
    """The last day of a period that is over at an instant."""
    return (over.astimezone(zone) - timedelta(microseconds=1)).date()


def data_of(book: "PolicyBook", covered: str, language: Language) -> str:
    """The label of a category or an element."""
    for category in book.categories:
        if category.key == covered:
            return category.label.in_(language)
    return book.element(covered).label.in_(language)
