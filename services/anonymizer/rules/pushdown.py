"""The retention rules as SQL: one CASE expression per table, built from the same policy rows as `decide`.

The stores then keep, count and delete by set. That both give the same answer for every record is a property test.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.anonymizer.contract import Fate
from services.anonymizer.datamap import AnchorAt, Store, Table, anchors_in, anchors_of
from services.anonymizer.rules.facts import UNTIL_THEN, Invoices, Terms
from services.anonymizer.rules.retention import Asked, Decision, binds, fate, gone, kept
from services.registry.contract import Period, PolicyBook, Retention


class Params(list[Any]):
    """Positional parameters of one statement: `p(value, "text[]")` answers the placeholder, `$3::text[]`."""

    def __call__(self, value: Any, type: str) -> str:
        self.append(value)
        return f"${len(self)}::{type}"


@dataclass(frozen=True)
class Verdict:
    """One branch: what it decides, and the event (SQL) and period that give a kept row its last day, where it has one."""

    decision: Decision
    anchor: str | None = None
    period: Period | None = None


@dataclass(frozen=True)
class Verdicts:
    """`sql` answers the number of the branch that decides a row; NULL where no rule covers it: then nothing is done to it."""

    sql: str
    branches: list[Verdict]

    def fate(self, branch: int | None) -> Fate:
        """What the branch that decided a row makes of it."""
        return fate(None if branch is None else self.branches[branch].decision)

    @property
    def gone(self) -> str:
        """The predicate of the rows that nothing keeps."""
        numbers = ", ".join(str(n) for n, branch in enumerate(self.branches) if branch.decision.action != "keep")
        return f"({self.sql}) IN ({numbers})"


class Rows:
    """How the rows of one table, aliased `t`, answer for their anchors and conditions in SQL."""

    def __init__(self, store: Store, table: Table, invoices: Invoices, now: datetime, params: Params) -> None:
        self.store, self.table, self.invoices, self.now, self.params = store, table, invoices, now, params

    def missing(self, anchor: str) -> str:
        """The event has not happened."""
        if anchor == "invoice_paid" and self.table.invoice:
            unpaid = self.params(self.invoices.unpaid_ids(), "bigint[]")
            return f"(t.{self.table.invoice} IS NULL OR t.{self.table.invoice} = ANY({unpaid}))"
        return f"({self.when(anchor)}) IS NULL"

    def since(self, anchor: str, cutoff: datetime) -> str:
        """The event happened at `cutoff` or later."""
        if anchor == "invoice_paid" and self.table.invoice:
            return f"t.{self.table.invoice} = ANY({self.params(self.invoices.paid_since(cutoff), 'bigint[]')})"
        return f"({self.when(anchor)}) >= {self.params(cutoff, 'timestamptz')}"

    def when(self, anchor: str) -> str:
        places = anchors_in(self.table, anchor)
        if len(places) == 1 and places[0].table is None:
            return f"t.{places[0].column}"
        ends = " UNION ALL ".join(_ends(self.table, place) for place in places)
        return (
            f"SELECT CASE WHEN count(*) = 0 THEN t.{self.table.at} WHEN bool_or(e.at IS NULL) THEN NULL ELSE max(e.at) END "
            f"FROM ({ends}) e(at)"
        )

    def condition(self, condition: str) -> str:
        """The SQL of one of the book's conditions; one that this table cannot know never holds here."""
        if self.table.bills and condition in ("invoice_unpaid", "claim_open"):
            return self._billed(condition)
        if condition == "claim_open" and self.table.invoice:
            return f"t.{self.table.invoice} = ANY({self.params(self.invoices.claimed_ids(self.now), 'bigint[]')})"
        if self.table.claim and condition == "claim_open":
            paid, until = self.table.claim.paid_at, self.table.claim.claim_until
            return f"(t.{paid} IS NULL AND t.{until} > {self.params(self.now, 'timestamptz')})"
        if self.table.claim and condition == "invoice_unpaid":
            return f"t.{self.table.claim.paid_at} IS NULL"
        for anchor, holding in UNTIL_THEN.items():
            if holding == condition and anchor in anchors_of(self.table):
                return self.missing(anchor)
        return "false"

    def _billed(self, condition: str) -> str:
        bills, (_, invoice) = self.table.bills, self.store.invoices
        open_ = f"o.{invoice.paid_at} IS NULL"
        if condition == "claim_open":
            open_ += f" AND o.{invoice.claim_until} > {self.params(self.now, 'timestamptz')}"
        return f"EXISTS (SELECT FROM {bills.table} o WHERE o.{bills.key} = {by_sql(self.table, bills.by)} AND {open_})"


def verdicts(store: Store, table: Table, terms: Terms, asked: Asked, params: Params) -> Verdicts:
    """The branches in the order in which `decide` asks its questions."""
    book, now = terms.book, terms.now
    rows, whens, branches = Rows(store, table, terms.invoices, now, params), [], []

    def branch(sql: str, verdict: Verdict) -> None:
        whens.append(f"WHEN {sql} THEN {len(branches)}")
        branches.append(verdict)

    for rule, of_kind in _by_rule(table, book, params):
        over = "false"
        if rule.latest:
            anchor = rule.latest.anchor
            over = f"({rows.when(anchor)}) < {params(rule.latest.keep.cutoff(now, book.tz), 'timestamptz')}"
            for condition in rule.latest.unless:
                branch(f"{of_kind} AND {over} AND {rows.condition(condition)}", Verdict(kept(rule, condition, book)))
            branch(f"{of_kind} AND {over}", Verdict(gone(rule, book, asked)))
        last = (rows.when(rule.latest.anchor), rule.latest.keep) if rule.latest else (None, None)
        for condition in rule.unless:
            branch(f"{of_kind} AND {rows.condition(condition)}", Verdict(kept(rule, condition, book), *last))
        branch(f"{of_kind} AND {rows.missing(rule.anchor)}", Verdict(kept(rule, None, book), *last))
        if binds(rule, asked):
            recent = rows.since(rule.anchor, rule.keep.cutoff(now, book.tz))
            branch(f"{of_kind} AND {recent}", Verdict(kept(rule, None, book), _own_anchor(rows, rule), rule.keep))
        branch(of_kind, Verdict(gone(rule, book, asked)))
    return Verdicts(f"CASE {' '.join(whens)} END", branches)


def _own_anchor(rows: Rows, rule: Retention) -> str | None:
    return None if rule.anchor == "invoice_paid" and rows.table.invoice else rows.when(rule.anchor)


def _by_rule(table: Table, book: PolicyBook, params: Params) -> list[tuple[Retention, str]]:
    """Each rule that may cover a row here, with the predicate of the kinds of traffic it is for."""
    if not table.kind_column:
        return [(rule, "true") for rule, _ in table.rules(book)]
    return [(rule, f"t.{table.kind_column} = ANY({params(kinds, 'text[]')})") for rule, kinds in table.rules(book)]


def _ends(table: Table, place: AnchorAt) -> str:
    return f"SELECT o.{place.column} FROM {place.table} o WHERE o.{place.key} = {by_sql(table, place.by or '')}"


def by_sql(table: Table, by: str) -> str:
    """The SQL of an anchor's or a bill's `by`, over rows aliased `t`."""
    column, _, linked = by.partition(".")
    if not linked:
        return f"t.{column}"
    link = next(link for link in table.links if link.column == column)
    return f"(SELECT p.{linked} FROM {link.table} p WHERE p.{link.key} = t.{column})"
