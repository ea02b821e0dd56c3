"""The retention rules as branches, in the order in which `decide` asks its questions, whatever the language of the predicates.

A store is asked in SQL (`pushdown`), a lake in expressions over columns (`columns`). Each says how its rows answer; which questions
there are, and in which order, stands here once. That all of them answer like `decide` for every record is a property test.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from services.anonymizer.contract import Fate
from services.anonymizer.datamap import Table
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.retention import Asked, Decision, binds, ended, fate, gone, kept
from services.registry.contract import Period, Retention

Said = TypeVar("Said")


class Dialect(Protocol[Said]):
    """How the rows of one table answer. A predicate that is unknown for a row does not hold for it."""

    def every(self, *predicates: Said) -> Said: ...

    def kinds(self, kinds: list[str | None]) -> Said: ...

    def tenant(self, tenant: UUID) -> Said: ...

    def when(self, anchor: str) -> Said | None:
        """The instant of the event; None where only others know it."""
        ...

    def before(self, anchor: str, cutoff: datetime) -> Said: ...

    def since(self, anchor: str, cutoff: datetime) -> Said:
        """The event happened at `cutoff` or later."""
        ...

    def missing(self, anchor: str) -> Said:
        """The event has not happened."""
        ...

    def condition(self, condition: str) -> Said:
        """One of the book's conditions; one that this table cannot know never holds here."""
        ...


@dataclass(frozen=True)
class Verdict(Generic[Said]):
    """What one branch decides, and the event and period that give a kept row its last day, where it has one."""

    decision: Decision
    anchor: Said | None = None
    period: Period | None = None


@dataclass(frozen=True)
class Verdicts(Generic[Said]):
    """`number` answers which branch decides a row: nothing where no rule covers it, and then nothing is done to it.

    alike: the columns by which rows of one time are told apart, and turns: the instants between which time tells nothing apart, the
    first included; None where more than that is asked of a row.
    """

    number: Said
    branches: list[Verdict[Said]]
    alike: list[str] | None = None
    turns: list[datetime] = field(default_factory=list)

    @property
    def going(self) -> list[int]:
        """The branches that let a row go."""
        return [number for number, branch in enumerate(self.branches) if branch.decision.action != "keep"]

    def decision(self, number: int | None) -> Decision | None:
        return None if number is None else self.branches[number].decision

    def fate(self, number: int | None) -> Fate:
        return fate(self.decision(number))


def branches(table: Table, terms: Terms, asked: Asked, says: Dialect[Said]) -> list[tuple[Said, Verdict[Said]]]:
    """(predicate, verdict): the first that holds decides the row."""
    book, found = terms.book, []
    for rule, kinds in table.rules(book):
        own = says.kinds(kinds)
        for over in book.tenant_endings if table.for_tenants(book) else ():
            found.append((says.every(own, says.tenant(over.tenant)), Verdict(ended(rule, over))))
        last = (says.when(rule.latest.anchor), rule.latest.keep) if rule.latest else (None, None)
        if rule.latest:
            over = says.before(rule.latest.anchor, rule.latest.keep.cutoff(terms.now, book.tz))
            for condition in rule.latest.unless:
                found.append((says.every(own, over, says.condition(condition)), Verdict(kept(rule, condition, book))))
            found.append((says.every(own, over), Verdict(gone(rule, book, asked))))
        for condition in rule.unless:
            held_back = Verdict(kept(rule, condition, book), *last)
            found.append((says.every(own, says.condition(condition)), held_back))
        found.append((says.every(own, says.missing(rule.anchor)), Verdict(kept(rule, None, book), *last)))
        if binds(rule, asked):
            found += _timed(rule, own, terms, asked, says)
        found.append((own, Verdict(gone(rule, book, asked))))
    return found


def _timed(
    rule: Retention, own: Said, terms: Terms, asked: Asked, says: Dialect[Said]
) -> list[tuple[Said, Verdict[Said]]]:
    """The rule's period, and before it those that tenants set for their own data."""
    book, found = terms.book, []
    theirs = [row for row in book.tenant_periods if row.rule == rule.key] if rule.customer_defined else []
    for each in theirs:
        of_tenant = says.every(own, says.tenant(each.tenant))
        found.append(_recent(rule, of_tenant, each.keep, terms, says))
        found.append((of_tenant, Verdict(gone(rule, book, asked))))
    return [*found, _recent(rule, own, rule.keep, terms, says)]


def _recent(rule: Retention, own: Said, keep: Period, terms: Terms, says: Dialect[Said]) -> tuple[Said, Verdict[Said]]:
    recent = says.since(rule.anchor, keep.cutoff(terms.now, terms.book.tz))
    return says.every(own, recent), Verdict(kept(rule, None, terms.book), says.when(rule.anchor), keep)
