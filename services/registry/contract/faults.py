"""Everything that is wrong with a book at once, so that a reviewer sees all of it in one run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import combinations
from typing import get_args

from chassis.contract import Contract
from services.registry.contract.dpv import terms
from services.registry.contract.periods import Period
from services.registry.contract.policy import REFUSED_BY_RULE, Bounds, BreachClock, LimitKey, PolicyBook, Retention, Row

# A period is compared from every day of one leap cycle: '6 months' and '183 days' differ by the day one starts.
_STARTS = [date(2024, 1, 1) + timedelta(days=day) for day in range(1461)]


class Fault(Contract):
    """`where` names the row, `code` the kind of fault, `what` says it in a sentence."""

    code: str
    where: str
    what: str


def faults(book: PolicyBook) -> list[Fault]:
    """Every fault of the book; an empty list means it may be put in force."""
    return [
        *_dates(book),
        *_references(book),
        *_collection(book),
        *_bases(book),
        *_withdrawals(book),
        *_retention(book),
        *_recipients(book),
        *_chains(book),
        *_limits(book),
        *_refusals(book),
        *_units(book),
        *_terms(book),
        *_addresses(book),
        *_tenants(book),
        *_findings(book),
    ]


@lru_cache(maxsize=1024)  # every book compares much the same periods, each over four years of days
def longer(one: Period, other: Period) -> bool:
    """Whether there is a day from which `one` lasts longer than `other`."""
    if not one.in_days and not other.in_days:
        return one.elapsed > other.elapsed
    return any(_length(one, start) > _length(other, start) for start in _STARTS)


def _length(period: Period, start: date) -> timedelta:
    return period.last_day(start) - start if period.in_days else period.elapsed


def _addresses(book: PolicyBook) -> Iterator[Fault]:
    """What the public page leads to."""
    for row in book.authorities:
        if not row.website.startswith(("https://", "http://")):
            what = "A website's address begins with https://."
            yield Fault(code="no_address", where=f"authorities/{row.identity}", what=what)


def _dates(book: PolicyBook) -> Iterator[Fault]:
    for name, rows in book:
        if isinstance(rows, tuple):
            for one, other in combinations(rows, 2):
                if one.identity == other.identity and _overlap(one, other):
                    yield Fault(
                        code="overlap",
                        where=f"{name}/{one.identity}",
                        what="Two rows say the same thing for the same days.",
                    )
    for element, count in Counter(element.key for row in book.categories for element in row.elements).items():
        if count > 1:
            yield Fault(code="overlap", where=f"categories/{element}", what="An element stands in two categories.")


def _overlap(one: Row, other: Row) -> bool:
    return (one.valid_from or date.min) <= (other.valid_to or date.max) and (other.valid_from or date.min) <= (
        one.valid_to or date.max
    )


def _references(book: PolicyBook) -> Iterator[Fault]:
    data = {row.key for row in book.categories} | {element.key for row in book.categories for element in row.elements}
    elements = {element.key for row in book.categories for element in row.elements}
    known = {
        name: {row.identity for row in getattr(book, name)}
        for name in (
            "subjects",
            "services",
            "purposes",
            "conditions",
            "places",
            "order_categories",
            "subprocessors",
            "adequacy",
            "retention",
            "clearances",
            "regions",
        )
    }
    everything = data.union(*({row.identity for row in rows} for _, rows in book if isinstance(rows, tuple)))
    named: list[tuple[str, str, Iterable[str], set[str]]] = [
        *(("categories", row.key, row.subjects, known["subjects"]) for row in book.categories),
        *(("collection", row.key, row.covers, data) for row in book.collection),
        *(("bases", row.identity, [row.purpose], known["purposes"]) for row in book.bases),
        *(("bases", row.identity, [row.covers], data) for row in book.bases),
        *(("withdrawals", row.key, [row.purpose], known["purposes"]) for row in book.withdrawals),
        *(("withdrawals", row.key, row.elements, elements) for row in book.withdrawals),
        *(("api_scopes", row.key, [row.covers], data) for row in book.api_scopes),
        *(("retention", row.key, row.elements, elements) for row in book.retention),
        *(("retention", row.key, _reasons(row), known["conditions"]) for row in book.retention),
        *(("recipients", row.key, row.covers, data) for row in book.recipients),
        *(("subprocessors", row.key, row.covers, data) for row in book.subprocessors),
        *(("subprocessors", row.key, row.services, known["services"]) for row in book.subprocessors),
        *(("subprocessors", row.key, (*row.places, *row.support_from), known["places"]) for row in book.subprocessors),
        *(("subprocessors", row.key, _given(row.parent), known["subprocessors"]) for row in book.subprocessors),
        *(("adequacy", row.key, [row.place], known["places"]) for row in book.adequacy),
        *(("transfers", row.identity, _given(row.decision), known["adequacy"]) for row in book.transfers),
        *(("transfers", row.identity, row.covers, data) for row in book.transfers),
        *(("transfers", row.identity, [row.subprocessor], known["subprocessors"]) for row in book.transfers),
        *(("transfers", row.identity, [row.place], known["places"]) for row in book.transfers),
        *(("order_categories", row.key, row.elements, elements) for row in book.order_categories),
        *(("instruments", row.key, row.categories, known["order_categories"]) for row in book.instruments),
        *(("regions", row.key, [row.clearance] if row.clearance else [], known["clearances"]) for row in book.regions),
        *(("facilities", row.key, [row.region], known["regions"]) for row in book.facilities),
        *(("breach_clocks", row.key, [row.counts_from], _starts(book, row)) for row in book.breach_clocks),
        *(("findings", row.key, row.rows, everything) for row in book.findings),
    ]
    for name, identity, keys, allowed in named:
        for key in sorted(set(keys) - allowed):
            yield Fault(
                code="unknown", where=f"{name}/{identity}", what=f"It names {key}, which the book does not have."
            )


def _given(key: str | None) -> list[str]:
    return [] if key is None else [key]


def _starts(book: PolicyBook, row: BreachClock) -> set[str]:
    """What a clock may count from: when the operator knew, or another clock's notice that counts from that."""
    return {"aware", *(other.key for other in book.breach_clocks if other.counts_from == "aware" and other != row)}


def _reasons(row: Retention) -> list[str]:
    return [*row.unless, *(row.latest.unless if row.latest else ())]


def _collection(book: PolicyBook) -> Iterator[Fault]:
    collected = {key for row in book.collection for key in row.covers}
    for category in book.categories:
        if category.key not in collected:
            for element in category.elements:
                if element.key not in collected:
                    yield Fault(
                        code="not_collected",
                        where=f"categories/{category.key}/{element.key}",
                        what="Nothing says how it is collected.",
                    )


_LOWEST_AGE, _OF_AGE = 13, 18


def _bases(book: PolicyBook) -> Iterator[Fault]:
    based = {row.purpose for row in book.bases}
    for purpose in book.purposes:
        if purpose.key not in based:
            yield Fault(code="no_basis", where=f"purposes/{purpose.key}", what="The purpose has no legal basis.")
        if purpose.objection != "none" and not any(
            row.purpose == purpose.key and row.basis in ("legitimate_interest", "public_task") for row in book.bases
        ):
            yield Fault(
                code="objection",
                where=f"purposes/{purpose.key}",
                what="It may be objected to, but nothing in it rests on a balance of interests.",
            )
        if purpose.gpc and purpose.objection == "none":
            yield Fault(
                code="signal",
                where=f"purposes/{purpose.key}",
                what="A browser's signal would object to it, and nobody may.",
            )
        said = (purpose.consent_validity, purpose.re_ask_after, purpose.min_age)
        if any(each is not None for each in said) and not book.rests_on_consent(purpose.key):
            yield Fault(
                code="no_consent",
                where=f"purposes/{purpose.key}",
                what="It says what holds of consents, and nothing in it rests on one.",
            )
        if purpose.consent_validity is not None and not purpose.consent_validity.count:
            yield Fault(
                code="no_validity", where=f"purposes/{purpose.key}", what="A consent to it would be over at once."
            )
        if purpose.min_age is not None and not _LOWEST_AGE <= purpose.min_age <= _OF_AGE:
            yield Fault(
                code="consent_age",
                where=f"purposes/{purpose.key}",
                what="Art. 8(1) lets no law go below 13 years, and who is 18 speaks for herself.",
            )
    used = {element for row in book.bases if row.covers in _all_data(book) for element in book.elements_of(row.covers)}
    for category in book.categories:
        for element in category.elements:
            if element.key not in used:
                yield Fault(
                    code="no_purpose",
                    where=f"categories/{category.key}/{element.key}",
                    what="No purpose has a legal basis for it.",
                )


def _withdrawals(book: PolicyBook) -> Iterator[Fault]:
    for row in book.withdrawals:
        for element in sorted(set(row.elements) & _all_data(book)):
            if not book.rests_on_consent_alone(row.purpose, element):
                yield Fault(
                    code="other_basis",
                    where=f"withdrawals/{row.key}",
                    what=f"{element} does not rest on that consent alone, so a withdrawal does not erase it.",
                )


def _all_data(book: PolicyBook) -> set[str]:
    return {row.key for row in book.categories} | {element.key for row in book.categories for element in row.elements}


def _retention(book: PolicyBook) -> Iterator[Fault]:
    kept = {element for row in book.retention for element in row.elements}
    for category in book.categories:
        for element in category.elements:
            if element.key not in kept:
                yield Fault(
                    code="no_retention",
                    where=f"categories/{category.key}/{element.key}",
                    what="Nothing says how long it is kept.",
                )
    for row in book.retention:
        if row.law is not None:
            yield from _outside(row, row.law, "outside_law", "the law")
        if row.promised is not None:
            # Keeping shorter than was promised is stricter; who loses by it is a finding and not a fault.
            yield from _outside(row, Bounds(max=row.promised.max), "outside_promise", "the promise")
        yield from _outside(row, Bounds(min=row.min, max=row.max), "outside_bounds", "its own bounds")
        if row.customer_defined and (row.min is None or row.max is None):
            yield Fault(
                code="no_bounds",
                where=f"retention/{row.key}",
                what="A customer defines it, and nothing says between what.",
            )
    for one, other in combinations(book.retention, 2):
        if _compete(one, other) and _overlap(one, other):
            yield Fault(
                code="overlap", where=f"retention/{one.key}", what=f"It decides the same records as {other.key}."
            )


def _outside(row: Retention, bounds: Bounds, code: str, whose: str) -> Iterator[Fault]:
    if bounds.min is not None and longer(bounds.min, row.keep):
        yield Fault(
            code=code, where=f"retention/{row.key}", what=f"It keeps {row.keep}; {whose} says at least {bounds.min}."
        )
    if bounds.max is not None and longer(row.keep, bounds.max):
        yield Fault(
            code=code, where=f"retention/{row.key}", what=f"It keeps {row.keep}; {whose} says at most {bounds.max}."
        )


def _compete(one: Retention, other: Retention) -> bool:
    """Whether some record falls under both rows with equal right."""
    return (
        one.store_class == other.store_class
        and bool(one.elements) == bool(other.elements)
        and bool(one.kinds) == bool(other.kinds)
        and (not one.elements or bool(set(one.elements) & set(other.elements)))
        and (not one.kinds or bool(set(one.kinds) & set(other.kinds)))
        and one.key != other.key
    )


def _recipients(book: PolicyBook) -> Iterator[Fault]:
    for row in book.recipients:
        if row.condition is None:
            yield Fault(
                code="no_condition", where=f"recipients/{row.key}", what="It receives data without a condition."
            )
    abroad = {row.key for row in book.places if row.third_country}
    covered = {row.identity for row in book.transfers}
    for row in book.subprocessors:
        for place in row.places:
            if place in abroad and f"{row.key}/{place}" not in covered:
                yield Fault(
                    code="no_transfer",
                    where=f"subprocessors/{row.key}",
                    what=f"It works in {place}, a third country, without a transfer row.",
                )


def _chains(book: PolicyBook) -> Iterator[Fault]:
    for key in circular({row.key: row.parent for row in book.subprocessors}):
        yield Fault(
            code="circular",
            where=f"subprocessors/{key}",
            what="Its chain of sub-processors leads back to itself.",
        )


def circular(parents: Mapping[str, str | None]) -> list[str]:
    """The keys whose chain of parents never ends."""
    return [key for key in parents if tier(parents, key) is None]


def tier(parents: Mapping[str, str | None], key: str) -> int | None:
    """How far down the chain a sub-processor works: 1 is engaged by the operator itself; None: its chain is a circle."""
    depth, above = 1, parents.get(key)
    while above is not None:
        depth, above = depth + 1, parents.get(above)
        if depth > len(parents):
            return None
    return depth


def _limits(book: PolicyBook) -> Iterator[Fault]:
    for key in sorted(set(get_args(LimitKey)) - {row.key for row in book.limits}):
        yield Fault(code="missing", where=f"limits/{key}", what="A limit that a service executes is missing.")
    for row in book.limits:
        if row.number == 0 or (row.period is not None and row.period.count == 0):
            yield Fault(code="zero", where=f"limits/{row.key}", what="A limit or window of zero lets nothing through.")


def _refusals(book: PolicyBook) -> Iterator[Fault]:
    for key in sorted(REFUSED_BY_RULE - {row.key for row in book.refusals}):
        yield Fault(
            code="missing", where=f"refusals/{key}", what="A reason by which rights refuses by itself is missing."
        )


def _units(book: PolicyBook) -> Iterator[Fault]:
    for row in book.rights:
        if row.extension is not None and row.extension.unit != row.due.unit:
            yield Fault(
                code="units",
                where=f"rights/{row.key}",
                what=f"It is due in {row.due} and extended by {row.extension}: one period is counted in one unit.",
            )


def _terms(book: PolicyBook) -> Iterator[Fault]:
    elements = ((f"categories/{row.key}/{element.key}", element) for row in book.categories for element in row.elements)
    named = [
        *((f"categories/{row.key}", row) for row in book.categories),
        *elements,
        *((f"purposes/{row.key}", row) for row in book.purposes),
    ]
    for where, row in named:
        if row.dpv is not None and row.dpv not in terms():
            yield Fault(code="unknown_term", where=where, what=f"The Data Privacy Vocabulary has no term {row.dpv}.")


def _findings(book: PolicyBook) -> Iterator[Fault]:
    for row in book.findings:
        if row.owner is None or row.due_on is None:
            yield Fault(code="no_owner", where=f"findings/{row.key}", what="Nobody settles it, or by no day.")


def _tenants(book: PolicyBook) -> Iterator[Fault]:
    """What tenants set: on a rule that lets them, within its bounds."""
    rules = {row.key: row for row in book.retention}
    for row in book.tenant_periods:
        where = f"tenant_periods/{row.identity}"
        if (rule := rules.get(row.rule)) is None or not rule.customer_defined:
            yield Fault(code="not_customer_defined", where=where, what="No customer defines the time of this rule.")
            continue
        if row.keep.count == 0:
            yield Fault(code="zero", where=where, what="A time of nothing at all is not a time.")
        if rule.min is not None and longer(rule.min, row.keep):
            yield Fault(
                code="outside_bounds", where=where, what=f"It keeps {row.keep}; at least {rule.min} is allowed."
            )
        if rule.max is not None and longer(row.keep, rule.max):
            yield Fault(code="outside_bounds", where=where, what=f"It keeps {row.keep}; at most {rule.max} is allowed.")
