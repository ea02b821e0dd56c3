"""The retention rules over the columns of a lake: one Polars expression, which reads only the columns the rules ask for."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from services.anonymizer.datamap import Table, anchors_in, anchors_of
from services.anonymizer.rules.branches import Verdicts, branches
from services.anonymizer.rules.facts import UNTIL_THEN, Invoices, Terms
from services.anonymizer.rules.retention import Asked

if TYPE_CHECKING:
    import polars as pl


class Columns:
    """Files have no other tables beside them: an event stands in a column of its own row, or billing knows it."""

    def __init__(self, table: Table, invoices: Invoices, now: datetime) -> None:
        import polars

        self.table, self.invoices, self.now, self.pl = table, invoices, now, polars

    def every(self, *predicates: "pl.Expr") -> "pl.Expr":
        return self.pl.all_horizontal(predicates)

    def kinds(self, kinds: list[str | None]) -> "pl.Expr":
        column = self.table.kind_column
        return self.pl.col(column).is_in([kind for kind in kinds if kind]) if column else self.pl.lit(True)

    def tenant(self, tenant: UUID) -> "pl.Expr":
        return self.pl.col(self.table.tenant) == str(tenant)

    def when(self, anchor: str) -> "pl.Expr | None":
        billed = anchor == "invoice_paid" and self.table.invoice
        return None if billed else self.pl.col(anchors_in(self.table, anchor)[0].column)

    def before(self, anchor: str, cutoff: datetime) -> "pl.Expr":
        return self.when(anchor) < cutoff

    def since(self, anchor: str, cutoff: datetime) -> "pl.Expr":
        when = self.when(anchor)
        return self._among(self.invoices.paid_since(cutoff)) if when is None else when >= cutoff

    def missing(self, anchor: str) -> "pl.Expr":
        when = self.when(anchor)
        if when is not None:
            return when.is_null()
        return self.pl.col(self.table.invoice).is_null() | self._among(self.invoices.unpaid_ids())

    def condition(self, condition: str) -> "pl.Expr":
        if condition == "claim_open" and self.table.invoice:
            return self._among(self.invoices.claimed_ids(self.now))
        for anchor, holding in UNTIL_THEN.items():
            if holding == condition and anchor in anchors_of(self.table):
                return self.missing(anchor)
        return self.pl.lit(False)

    def _among(self, invoices: list[int]) -> "pl.Expr":
        return self.pl.col(self.table.invoice).is_in(self.pl.Series(invoices, dtype=self.pl.Int64).implode())


def verdicts(table: Table, terms: Terms, asked: Asked) -> "Verdicts[pl.Expr]":
    import polars as pl

    found = branches(table, terms, asked, Columns(table, terms.invoices, terms.now))
    number = pl.lit(None, dtype=pl.Int16)
    for n, (predicate, _) in reversed(list(enumerate(found))):
        number = pl.when(predicate).then(pl.lit(n, dtype=pl.Int16)).otherwise(number)
    return Verdicts(number, [verdict for _, verdict in found])
