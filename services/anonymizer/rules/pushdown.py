"""The retention rules as SQL: one CASE expression per table. The stores then keep, count and delete by set."""

import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.anonymizer.datamap import AnchorAt, Store, Table, anchors_in, anchors_of
from services.anonymizer.rules.branches import Verdict, Verdicts, branches
from services.anonymizer.rules.facts import UNTIL_THEN, Invoices, Terms
from services.anonymizer.rules.retention import Asked, restricted


class Params(list[Any]):
    """Positional parameters of one statement: `p(value, "text[]")` answers the placeholder, `$3::text[]`."""

    def __call__(self, value: Any, type: str) -> str:
        self.append(value)
        return f"${len(self)}::{type}"

    def inlined(self, statement: str) -> str:
        """The statement with the values in it, for COPY, which takes no parameters. Leaving that to the driver is two more questions to
        the server, one of which plans the statement."""
        return re.sub(r"\$(\d+)", lambda place: literal(self[int(place[1]) - 1]), statement)


def literal(value: Any) -> str:
    """As the server's own `quote_literal` writes it, to be followed by its type. Raises ValueError for what no text can hold."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    said = value.isoformat() if isinstance(value, datetime) else str(value)
    if "\0" in said:
        raise ValueError("no text holds a NUL")
    escaped = said.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in said else f"'{escaped}'"


class Span(NamedTuple):
    """From when, and before when, all these rows came about: the bounds of a partition, which the store itself keeps them to."""

    since: datetime
    until: datetime


class Rows:
    """How the rows of one table, aliased `t`, answer for their anchors and conditions in SQL."""

    def __init__(
        self, store: Store, table: Table, invoices: Invoices, now: datetime, params: Params, span: Span | None = None
    ) -> None:
        self.store, self.table, self.invoices, self.now, self.params = store, table, invoices, now, params
        self.span = span
        self.alike: list[str] | None = [] if span else None
        self.turns = {span.since} if span else set()

    def every(self, *predicates: str) -> str:
        return " AND ".join(predicates)

    def kinds(self, kinds: list[str | None]) -> str:
        column = self.table.kind_column
        if not column:
            return "true"
        self._differ_by(column)
        return f"t.{column} = ANY({self.params(kinds, 'text[]')})"

    def tenant(self, tenant: UUID) -> str:
        self._differ_by(self.table.tenant)
        return f"t.{self.table.tenant} = {self.params(tenant, 'uuid')}"

    def missing(self, anchor: str) -> str:
        if self._spanned(anchor):
            return "false"
        self.alike = None
        if anchor == "invoice_paid" and self.table.invoice:
            unpaid = self.params(self.invoices.unpaid_ids(), "bigint[]")
            return f"(t.{self.table.invoice} IS NULL OR t.{self.table.invoice} = ANY({unpaid}))"
        return f"({self._event(anchor)}) IS NULL"

    def before(self, anchor: str, cutoff: datetime) -> str:
        span = self._spanned(anchor)
        if span and not span.since < cutoff < span.until:
            return "true" if span.until <= cutoff else "false"
        self._turns_at(cutoff, span)
        return f"({self._event(anchor)}) < {self.params(cutoff, 'timestamptz')}"

    def since(self, anchor: str, cutoff: datetime) -> str:
        if anchor == "invoice_paid" and self.table.invoice:
            self.alike = None
            return f"t.{self.table.invoice} = ANY({self.params(self.invoices.paid_since(cutoff), 'bigint[]')})"
        span = self._spanned(anchor)
        if span and not span.since < cutoff < span.until:
            return "true" if cutoff <= span.since else "false"
        self._turns_at(cutoff, span)
        return f"({self._event(anchor)}) >= {self.params(cutoff, 'timestamptz')}"

    def when(self, anchor: str) -> str | None:
        return None if anchor == "invoice_paid" and self.table.invoice else self._event(anchor)

    def _differ_by(self, column: str) -> None:
        if self.alike is not None and column not in self.alike:
            self.alike.append(column)

    def _turns_at(self, cutoff: datetime, span: Span | None) -> None:
        if span:
            self.turns.add(cutoff)
        else:
            self.alike = None

    def _spanned(self, anchor: str) -> Span | None:
        """What is known of the event of every row without looking: where it is the rows' own time."""
        if anchor == "invoice_paid" and self.table.invoice:
            return None
        places = anchors_in(self.table, anchor)
        own = len(places) == 1 and places[0].table is None and places[0].column == self.table.at
        return self.span if own else None

    def _event(self, anchor: str) -> str:
        places = anchors_in(self.table, anchor)
        if len(places) == 1 and places[0].table is None:
            return f"t.{places[0].column}"
        ends = " UNION ALL ".join(_ends(self.table, place) for place in places)
        return (
            f"SELECT CASE WHEN count(*) = 0 THEN t.{self.table.at} WHEN bool_or(e.at IS NULL) THEN NULL ELSE max(e.at) END "
            f"FROM ({ends}) e(at)"
        )

    def condition(self, condition: str) -> str:
        said = self._holds(condition)
        self.alike = self.alike if said == "false" else None
        return said

    def _holds(self, condition: str) -> str:
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


def verdicts(
    store: Store, table: Table, terms: Terms, asked: Asked, params: Params, span: Span | None = None
) -> Verdicts[str]:
    """One CASE expression that numbers the branch deciding each row of the table, aliased `t`; NULL where no rule covers it. With
    `span`, of rows that all lie in it: what it settles is not asked of each."""
    says = Rows(store, table, terms.invoices, terms.now, params, span)
    found = branches(table, terms, asked, says)
    name = next(name for name, each in store.tables.items() if each is table)
    if name in terms.frozen:
        found = [(_frozen(name, table, params), Verdict(restricted(terms.book))), *found]
        says.alike = None
    whens = " ".join(f"WHEN {predicate} THEN {n}" for n, (predicate, _) in enumerate(found))
    number = f"CASE {whens} END" if found else "NULL::int"
    return Verdicts(number, [verdict for _, verdict in found], says.alike, sorted(says.turns))


def key_of(table: Table, alias: str = "t") -> str:
    """A row's key as one value."""
    return f"jsonb_build_array({', '.join(f'{alias}.{column}' for column in table.key)})"


def _frozen(name: str, table: Table, params: Params) -> str:
    return f"EXISTS (SELECT FROM wardline.frozen f WHERE f.store_table = {params(name, 'text')} AND f.key = {key_of(table)})"


def going(decided: Verdicts[str]) -> str:
    """The predicate of the rows that nothing keeps."""
    return f"({decided.number}) IN ({', '.join(map(str, decided.going))})" if decided.going else "false"


def _ends(table: Table, place: AnchorAt) -> str:
    return f"SELECT o.{place.column} FROM {place.table} o WHERE o.{place.key} = {by_sql(table, place.by or '')}"


def by_sql(table: Table, by: str) -> str:
    """The SQL of an anchor's or a bill's `by`, over rows aliased `t`."""
    column, _, linked = by.partition(".")
    if not linked:
        return f"t.{column}"
    link = next(link for link in table.links if link.column == column)
    return f"(SELECT p.{linked} FROM {link.table} p WHERE p.{link.key} = t.{column})"
