"""How a connector says what it did: outcomes by table and rule, and what holds kept, which only disclosure is told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from services.anonymizer.contract import Action, Change, Fate, Finding, Outcome, Swept
from services.anonymizer.datamap import Store
from services.anonymizer.rules.retention import Decision, last_day
from services.registry.contract import Period, PolicyBook

_OUTCOMES = TypeAdapter(list[Outcome])


@dataclass(frozen=True)
class Effect:
    """What one step did to one store. `preserved` never leaves but to disclosure; `pending`: a vendor is not done before this day;
    `evidence`: the digest of what a store of files has written down of it."""

    outcomes: list[Outcome]
    preserved: dict[UUID, int] = field(default_factory=dict)
    pending: date | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class Verification:
    """What a raw scan still found that no rule keeps."""

    findings: list[Finding]

    @property
    def remaining(self) -> int:
        return sum(finding.count for finding in self.findings)


def outcome(
    store: Store,
    name: str,
    decision: Decision,
    count: int,
    book: PolicyBook,
    *,
    element: str | None = None,
    action: Action | None = None,
    until: tuple[Period, datetime] | None = None,
) -> Outcome:
    """`until`: the period and the latest event it counts from."""
    what = element or store.tables[name].element
    return Outcome(
        table=name,
        element=what,
        category=book.category_of(what).key,
        action=action or (Action.keep if decision.action == "keep" else Action.erase),
        rule=decision.rule,
        reason=decision.reason,
        legal_ref=decision.legal_ref,
        until=last_day(*until, book.tz) if until else decision.until,
        count=count,
    )


def by_right(
    store: Store, name: str, right: str, action: Action, count: int, book: PolicyBook, *, element: str | None = None
) -> Outcome:
    """What was done because a person may ask for it, whatever the retention rules say."""
    row, what = book.right(right), element or store.tables[name].element
    return Outcome(
        table=name,
        element=what,
        category=book.category_of(what).key,
        action=action,
        rule=row.key,
        reason=row.description,
        legal_ref=row.legal_ref,
        count=count,
    )


def written(outcomes: list[Outcome]) -> str:
    """As a store's journal keeps them."""
    return _OUTCOMES.dump_json(outcomes).decode()


def read(said: list[dict[str, Any]]) -> list[Outcome]:
    return _OUTCOMES.validate_python(said, strict=False)


def merged(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One line per table, action and rule: counts added, the latest day kept; lines that count nothing are left out."""
    lines: dict[tuple[str, str, str, str], Outcome] = {}
    for one in outcomes:
        same = (one.table, one.element, one.action, one.rule)
        before = lines.get(same)
        if before:
            until = max((day for day in (before.until, one.until) if day), default=None)
            one = one.model_copy(update={"count": before.count + one.count, "until": until})
        lines[same] = one
    return [line for line in lines.values() if line.count]


def changes(store: Store, name: str, counts: Mapping[tuple[Fate, Fate], int], book: PolicyBook) -> list[Change]:
    """Those of (before, after) → count in which something changes, the largest first."""
    element = store.tables[name].element
    return [
        Change(
            store=store.store,
            table=name,
            element=element,
            category=book.category_of(element).key,
            before=before,
            after=after,
            count=count,
        )
        for (before, after), count in sorted(counts.items(), key=lambda each: -each[1])
        if before != after
    ]


@dataclass(frozen=True)
class Piece:
    """One finished piece of a sweep under its own step id; `preserved` as in an Effect."""

    step: UUID
    swept: list[Swept]
    preserved: dict[UUID, int] = field(default_factory=dict)
