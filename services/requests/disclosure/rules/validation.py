"""Whether an order may be carried out. Schema-valid is not lawful: each rule is one line of the table, all at once.

What an instrument allows, to whom, for how long, is a dated row of the policy book; nothing of it is written here.
A provider does not weigh fundamental rights: it clarifies, reports impossibility, or executes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from services.registry.contract import Instrument, NotInBook, PolicyBook
from services.requests.disclosure.contract import Fault, OpenPeriod, PlaceOrder, TaskKind
from services.requests.disclosure.rules import fields, targets

Found = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Competence:
    """What was verified about an authority by two persons."""

    country: str
    instruments: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One order and what it is judged by. `duplicate`: the same reference is being carried out already."""

    order: PlaceOrder
    competence: Competence
    book: PolicyBook
    now: datetime
    duplicate: bool = False

    @cached_property
    def instrument(self) -> Instrument | None:
        try:
            return self.book.instrument(self.order.instrument)
        except NotInBook:
            return None


@dataclass(frozen=True)
class Code:
    etsi: int
    rule: str
    remedy: str


CODES = {
    "AUTHORITY_NOT_COMPETENT": Code(
        3000, "issuers of the instrument", "Have a competent authority issue or validate it."
    ),
    "VALIDATION_MISSING": Code(3005, "issuers of the instrument", "Have a judicial authority validate the order."),
    "EMERGENCY_SCOPE": Code(3000, "emergency deadline of the instrument", "Send it as an ordinary order."),
    "EMERGENCY_UNVALIDATED": Code(3000, "validated_within of the instrument", "Validate the order, or withdraw it."),
    "REJECT_USE_MLAT": Code(3000, "GDPR Art. 48", "Ask by mutual legal assistance or a European investigation order."),
    "OFFENCE_THRESHOLD": Code(3000, "offence_years of the instrument", "State an offence that reaches the threshold."),
    "CONTROLLER_FIRST": Code(3000, "controller of content", "Ask the company, or say why it cannot be asked."),
    "NO_TARGET": Code(3005, "one identifier per task", "Name whom the order is about."),
    "WILDCARD": Code(3007, "no pattern is a person", "Name each identifier in full."),
    "CIDR": Code(3007, "no network is a person", "Name single addresses."),
    "CELL": Code(3007, "no cell or tower searches", "Name whom the order is about."),
    "TOO_MANY_TARGETS": Code(3007, "order_targets", "Divide it into several orders."),
    "BAD_IDENTIFIER": Code(3007, "ETSI TS 103 280", "Write the identifier as its format is."),
    "SHARED_IP_NEEDS_TIME": Code(3005, "shared addresses", "State the instant at which the address was used."),
    "PERIOD_OPEN": Code(3007, "bounded period", "State from and to."),
    "PERIOD_INVERTED": Code(3007, "bounded period", "State a period whose end lies after its beginning."),
    "PERIOD_FUTURE": Code(3007, "stored data only", "State a time that has passed."),
    "PERIOD_OUTSIDE_AUTH": Code(3007, "the order's own period", "Keep each task within the order's period."),
    "PERIOD_TOO_LONG": Code(3007, "longest_period of the instrument", "State a shorter period."),
    "UNSIGNED": Code(3005, "signature of documents", "Send a document whose signature can be checked."),
    "DICT_UNKNOWN": Code(3009, "dictionaries and policy book", "Use a value of the dictionary."),
    "FEATURE": Code(3001, "interception", "Interception goes to the mediation function."),
    "DUPLICATE": Code(3010, "reference of the authority", "It is here already; refer to it."),
}

_BY_THE_BOOK = Code(3000, "refused_with of the instrument", "Ask by another way.")


def faults(case: Case) -> list[Fault]:
    """Everything that is wrong with the order, in the order of the table; empty when it may be carried out."""
    found = dict.fromkeys(each for rule in RULES for each in rule(case))
    return [_fault(code, path) for code, path in found]


def _fault(code: str, path: str) -> Fault:
    # A code that the book itself gives (refused_with) may be newer than this table.
    known = CODES.get(code, _BY_THE_BOOK)
    return Fault(code=code, rule=known.rule, path=path, remedy=known.remedy, etsi_code=known.etsi)


# --- who, by which instrument -----------------------------------------------------------------------------------------


def _instrument_is_known(case: Case) -> Found:
    if case.instrument is None:
        yield "DICT_UNKNOWN", "instrument"


def _third_countries_use_mlat(case: Case) -> Found:
    if case.instrument and case.instrument.refused_with:
        yield case.instrument.refused_with, "instrument"


def _authority_may_use_it(case: Case) -> Found:
    instrument = case.instrument
    if instrument is None or instrument.refused_with:
        return
    abroad = instrument.country not in ("EU", "*", case.competence.country)
    if abroad or instrument.key not in case.competence.instruments:
        yield "AUTHORITY_NOT_COMPETENT", "instrument"


def _issuer_is_competent(case: Case) -> Found:
    """An issuer beyond the list needs a validator. Who validates elsewhere is a judicial authority that overreached."""
    instrument, order = case.instrument, case.order
    if instrument is None or instrument.refused_with or order.issuer.kind in instrument.issuers:
        return
    if order.validator is not None:
        if order.validator.kind not in instrument.validators:
            yield "AUTHORITY_NOT_COMPETENT", "validator.kind"
    elif not instrument.validators or order.issuer.kind in _judicial(case.book):
        yield "AUTHORITY_NOT_COMPETENT", "issuer.kind"
    else:
        yield "VALIDATION_MISSING", "validator"


def _judicial(book: PolicyBook) -> set[str]:
    return {kind for instrument in book.instruments for kind in instrument.validators}


def _emergencies_are_narrow(case: Case) -> Found:
    instrument, order = case.instrument, case.order
    if instrument is None or instrument.refused_with:
        return
    if order.emergency and instrument.emergency_deadline is None:
        yield "EMERGENCY_SCOPE", "emergency"
    if instrument.validated_within is not None and order.validator is None:
        if instrument.validated_within.after(order.served_at, case.book.tz) <= case.now:
            yield "EMERGENCY_UNVALIDATED", "validator"


def _offence_is_grave_enough(case: Case) -> Found:
    threshold = case.instrument.offence_years if case.instrument else None
    if threshold is None:
        return
    offence = case.order.offence
    if offence is None or not (offence.listed or offence.max_years >= threshold):
        yield "OFFENCE_THRESHOLD", "offence"


def _documents_are_signed(case: Case) -> Found:
    for at, document in enumerate(case.order.documents):
        if document.signed is False:
            yield "UNSIGNED", f"documents.{at}"


def _nothing_twice(case: Case) -> Found:
    if case.duplicate:
        yield "DUPLICATE", "reference"
    named = [(one.type, one.value) for one in case.order.identifiers]
    for at, one in enumerate(named):
        if one in named[:at]:
            yield "DUPLICATE", f"identifiers.{at}"


# --- about whom -------------------------------------------------------------------------------------------------------


def _targets_are_people(case: Case) -> Found:
    named = case.order.identifiers
    if not named:
        yield "NO_TARGET", "identifiers"
    if len(named) > case.book.number("order_targets"):
        yield "TOO_MANY_TARGETS", "identifiers"
    for at, target in enumerate(named):
        for code in targets.faults_of(target):
            yield code, f"identifiers.{at}"


# --- what -------------------------------------------------------------------------------------------------------------

_KINDS = {TaskKind.LD: "disclosure", TaskKind.LP: "preservation"}


def _tasks_are_within_the_instrument(case: Case) -> Found:
    instrument = case.instrument
    for at, task in enumerate(case.order.tasks):
        if task.kind is TaskKind.LI:
            yield "FEATURE", f"tasks.{at}.kind"
            continue
        try:
            category = case.book.order_category(task.category)
        except NotInBook:
            yield "DICT_UNKNOWN", f"tasks.{at}.category"
            continue
        if not fields.known(task.category, task.subtype):
            yield "DICT_UNKNOWN", f"tasks.{at}.subtype"
        if any(case.book.is_content(element) for element in category.elements) and not case.order.controller_addressing:
            yield "CONTROLLER_FIRST", f"tasks.{at}.category"
        if instrument is None or instrument.refused_with:
            continue
        if _KINDS[task.kind] not in instrument.kinds:
            yield "AUTHORITY_NOT_COMPETENT", f"tasks.{at}.kind"
        if task.category not in instrument.categories:
            unvalidated = case.order.emergency or instrument.validated_within is not None
            yield "EMERGENCY_SCOPE" if unvalidated else "AUTHORITY_NOT_COMPETENT", f"tasks.{at}.category"


# --- when -------------------------------------------------------------------------------------------------------------


def _periods_are_bounded(case: Case) -> Found:
    order = case.order
    if order.served_at > case.now:
        yield "PERIOD_FUTURE", "served_at"
    yield from _period_faults(case, order.period, "period")
    for at, task in enumerate(order.tasks):
        if task.period is None:
            continue
        yield from _period_faults(case, task.period, f"tasks.{at}.period")
        if _outside(task.period, order.period):
            yield "PERIOD_OUTSIDE_AUTH", f"tasks.{at}.period"


def _period_faults(case: Case, period: OpenPeriod, path: str) -> Found:
    if period.from_ is None or period.to is None:
        yield "PERIOD_OPEN", path
        return
    if period.to <= period.from_:
        yield "PERIOD_INVERTED", path
    if period.to > case.now:
        yield "PERIOD_FUTURE", path
    longest = case.instrument.longest_period if case.instrument else None
    if longest is not None and period.to > longest.after(period.from_, case.book.tz):
        yield "PERIOD_TOO_LONG", path


def _outside(inner: OpenPeriod, outer: OpenPeriod) -> bool:
    if None in (inner.from_, inner.to, outer.from_, outer.to):
        return False
    return inner.from_ < outer.from_ or inner.to > outer.to


RULES: Iterable[Callable[[Case], Found]] = (
    _instrument_is_known,
    _third_countries_use_mlat,
    _authority_may_use_it,
    _issuer_is_competent,
    _emergencies_are_narrow,
    _offence_is_grave_enough,
    _documents_are_signed,
    _nothing_twice,
    _targets_are_people,
    _tasks_are_within_the_instrument,
    _periods_are_bounded,
)
