"""May this record stay? One pure answer, from the policy book's rows and a record's facts.

Two questions share it. A *sweep* asks whether the time is over. A *person's deletion* asks whether anything obliges us to keep
the record although its time is not over: then only the law's own periods, a running agreement, an open invoice or a claim count.
The stores are asked the same by `branches`, which turns the very same rows into predicates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from services.anonymizer.contract import Fate
from services.registry.contract import PolicyBook, Retention, StoreClass, TenantEnding, Text
from services.registry.contract.periods import Period

Asked = Literal["sweep", "deletion"]
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Facts:
    """What is known of one record.

    anchors: when each event happened that a period may count from; None: it has not happened yet ·
    tenant: whose data they are, where tenants set periods of their own · for_tenant: they are processed for that tenant, and end with its
    contract · conditions: the book's conditions that hold for it (`invoice_unpaid`, `claim_open`, …).
    """

    element: str
    store_class: StoreClass
    kind: str | None
    anchors: Mapping[str, datetime | None]
    conditions: frozenset[str] = frozenset()
    tenant: UUID | None = None
    for_tenant: bool = False


@dataclass(frozen=True)
class Decision:
    """rule: the retention row that decided, with `.condition` when one of its conditions did · until: the last day on which it
    still keeps the record, where that is known."""

    action: Literal["keep", "anonymise", "delete"]
    rule: str
    legal_ref: str
    reason: Text
    until: date | None = None


def decide(facts: Facts, book: PolicyBook, now: datetime, asked: Asked = "sweep") -> Decision:
    """Raises NotInBook for a record no rule covers, KeyError for an anchor the record does not date: neither is let go."""
    rule = book.retention_for(facts.element, facts.store_class, facts.kind)
    if facts.for_tenant and facts.tenant and (over := book.ending_of(facts.tenant)):
        return ended(rule, over)
    if _latest_is_over(rule, facts, book.tz, now):
        held_back = _first(rule.latest.unless if rule.latest else (), facts.conditions)
        return _kept_by(rule, held_back, book, None) if held_back else gone(rule, book, asked)
    if condition := _first(rule.unless, facts.conditions):
        return _kept_by(rule, condition, book, _latest_day(rule, facts, book.tz))
    anchor = facts.anchors[rule.anchor]
    if anchor is None:
        return Decision("keep", rule.key, rule.legal_ref, rule.reason, _latest_day(rule, facts, book.tz))
    keep = book.keep_for(rule, facts.tenant) if facts.tenant else rule.keep
    if binds(rule, asked) and now < keep.after(anchor, book.tz):
        return Decision("keep", rule.key, rule.legal_ref, rule.reason, last_day(keep, anchor, book.tz))
    return gone(rule, book, asked)


def binds(rule: Retention, asked: Asked) -> bool:
    """Whether the rule's period itself keeps a record: always against a sweep, against a person only where it is a duty."""
    return asked == "sweep" or rule.legal_duty


def gone(rule: Retention, book: PolicyBook, asked: Asked) -> Decision:
    """A person's own deletion always deletes; a sweep does what the row says comes then."""
    if asked == "deletion":
        right = book.right("deletion")
        return Decision("delete", right.key, right.legal_ref, right.description)
    return Decision("anonymise" if rule.then == "anonymise" else "delete", rule.key, rule.legal_ref, rule.reason)


def ended(rule: Retention, over: TenantEnding) -> Decision:
    """The contract of the organisation whose data they are is over: nothing of them remains."""
    return Decision("delete", rule.key, over.source, rule.reason)


def restricted(book: PolicyBook) -> Decision:
    """What a person had frozen is nobody's to touch until they or the operator lift it."""
    right = book.right("restriction")
    return Decision("keep", right.key, right.legal_ref, right.description)


def fate(decision: Decision | None) -> Fate:
    return Fate(action=decision.action, rule=decision.rule) if decision else Fate(action="keep", rule=None)


def kept(rule: Retention, condition: str | None, book: PolicyBook) -> Decision:
    """The decision a keep predicate stands for, without its day."""
    if condition:
        return _kept_by(rule, condition, book, None)
    return Decision("keep", rule.key, rule.legal_ref, rule.reason)


def last_day(period: Period, anchor: datetime, zone: ZoneInfo) -> date:
    """The last day, in the book's zone, on which a period counted from `anchor` still keeps."""
    return (period.after(anchor, zone) - _INSTANT).astimezone(zone).date()


def _kept_by(rule: Retention, condition: str, book: PolicyBook, until: date | None) -> Decision:
    return Decision("keep", f"{rule.key}.{condition}", rule.legal_ref, book.condition(condition).reason, until)


def _latest_is_over(rule: Retention, facts: Facts, zone: ZoneInfo, now: datetime) -> bool:
    if rule.latest is None:
        return False
    anchor = facts.anchors[rule.latest.anchor]
    return anchor is not None and now >= rule.latest.keep.after(anchor, zone)


def _latest_day(rule: Retention, facts: Facts, zone: ZoneInfo) -> date | None:
    anchor = facts.anchors[rule.latest.anchor] if rule.latest else None
    return last_day(rule.latest.keep, anchor, zone) if rule.latest and anchor else None


def _first(conditions: tuple[str, ...], holding: frozenset[str]) -> str | None:
    return next((condition for condition in conditions if condition in holding), None)
