"""How the page says what the model's own words mean. Words only: every number and every rule comes from the book."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

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
ACTIVITY_STATUS = {
    "planned": Text(sv="Planerad", en="Planned"),
    "active": Text(sv="Pågår", en="Active"),
    "suspended": Text(sv="Tillfälligt stoppad", en="Suspended"),
    "ended": Text(sv="Avslutad", en="Ended"),
}
SUBPROCESSOR_STATUS = {
    "proposed": Text(sv="Föreslagen", en="Proposed"),
    "notified": Text(sv="Kunderna underrättas", en="Customers are being told"),
    "objection_open": Text(sv="Kunder kan invända", en="Customers may object"),
    "active": Text(sv="Anlitas", en="Active"),
    "rejected": Text(sv="Förkastad", en="Rejected"),
    "retired": Text(sv="Anlitas inte längre", en="Retired"),
}
CHANGE_KIND = {
    "addition": Text(sv="Nytt", en="Addition"),
    "replacement": Text(sv="Ersätter ett annat", en="Replacement"),
    "alteration": Text(sv="Ändras", en="Alteration"),
    "retirement": Text(sv="Upphör", en="Retirement"),
    "correction": Text(sv="Rättelse av uppgifter", en="Correction of facts"),
}
ASSESSED = {
    "not_needed": Text(sv="Behövs inte", en="Not needed"),
    "needed": Text(sv="Behövs, ej påbörjad", en="Needed, not begun"),
    "under_way": Text(sv="Pågår", en="Under way"),
    "done": Text(sv="Klar", en="Done"),
}
RISK = {
    "none": Text(sv="Ingen", en="None"),
    "risk": Text(sv="Risk", en="Risk"),
    "high": Text(sv="Hög risk", en="High risk"),
}
CLOCK = {
    "running": Text(sv="tiden löper", en="running"),
    "overdue": Text(sv="försenad", en="overdue"),
    "met": Text(sv="i tid", en="in time"),
    "met_late": Text(sv="för sent", en="late"),
}
GRANT = {
    "requested": Text(sv="begärd", en="requested"),
    "refused": Text(sv="avslagen", en="refused"),
    "approved": Text(sv="godkänd", en="approved"),
    "ended": Text(sv="upphörd", en="ended"),
}
DUE = {
    "mechanism_not_stated": Text(sv="stöd ej angivet", en="mechanism not stated"),
    "decision_not_in_force": Text(sv="beslutet gäller inte", en="the decision is not in force"),
    "decision_ends": Text(sv="beslutet upphör", en="the decision ends"),
    "importer_not_looked_up": Text(
        sv="importörens certifiering är inte kontrollerad", en="the importer's certification was not looked up"
    ),
    "review_due": Text(sv="ska granskas", en="to be reviewed"),
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


def erased(rule: Mapping[str, Any], language: Language) -> str:
    """A rule of erasure in the JSON of a record: `Agreement data: 12 months after the agreement ended, then deleted`."""
    until = _until(_read(rule["keep"]), rule["anchor"], language)
    then = Text(sv="sedan", en="then").in_(language)
    return f"{rule['label'][language]}: {until}, {then} {THEN[rule['then']].in_(language)}"


def safeguard(transfer: Mapping[str, Any], language: Language) -> str:
    """What makes a transfer lawful, in the JSON of a record."""
    told = MECHANISM[transfer["mechanism"]].in_(language)
    if transfer["decision_label"]:
        return f"{told}: {transfer['decision_label'][language]}"
    return f"{told}, {Text(sv='modul', en='module').in_(language)} {transfer['module']}" if transfer["module"] else told


@lru_cache(maxsize=256)
def _read(written: str) -> Period:
    return Period.model_validate(written)


def last_day(over: datetime, zone: ZoneInfo) -> date:
    """The last day of a period that is over at an instant."""
    return (over.astimezone(zone) - timedelta(microseconds=1)).date()


def data_of(book: PolicyBook, covered: str, language: Language) -> str:
    """The label of a category or an element."""
    for category in book.categories:
        if category.key == covered:
            return category.label.in_(language)
    return book.element(covered).label.in_(language)
