"""What a record's columns say to the retention rules, and what only the billing store knows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.anonymizer.datamap import Table
from services.anonymizer.rules.retention import Facts
from services.registry.contract import PolicyBook


@dataclass(frozen=True)
class OpenInvoice:
    """An invoice that may still keep what it bills: unpaid, lately paid, or under a recorded claim until a time."""

    paid_at: datetime | None
    claim_until: datetime | None


@dataclass(frozen=True)
class Invoices:
    """What billing said about the invoices that still matter; every other one was paid before any rule's period."""

    open: Mapping[int, OpenInvoice]
    long_ago: datetime

    def paid_at(self, invoice: int | None) -> datetime | None:
        """None while nobody has paid, and while nobody was billed."""
        if invoice is None:
            return None
        return self.open[invoice].paid_at if invoice in self.open else self.long_ago

    def claimed(self, invoice: int | None, now: datetime) -> bool:
        found = self.open.get(invoice) if invoice is not None else None
        return found is not None and is_claimed(found.paid_at, found.claim_until, now)

    def unpaid_ids(self) -> list[int]:
        return [id for id, invoice in self.open.items() if invoice.paid_at is None]

    def paid_since(self, cutoff: datetime) -> list[int]:
        return [id for id, invoice in self.open.items() if invoice.paid_at is not None and invoice.paid_at >= cutoff]

    def claimed_ids(self, now: datetime) -> list[int]:
        return [id for id in self.open if self.claimed(id, now)]


def is_claimed(paid_at: datetime | None, claim_until: datetime | None, now: datetime) -> bool:
    """A claim ends with its date, and with the payment that settles it."""
    return paid_at is None and claim_until is not None and claim_until > now


@dataclass(frozen=True)
class Terms:
    """What every decision over one store is made by: the book, the instant, and the invoices that still matter.

    frozen: the tables in which some rows are restricted, as the store says itself.
    """

    book: PolicyBook
    now: datetime
    invoices: Invoices
    frozen: frozenset[str] = frozenset()


def facts_of(
    table: Table, row: Mapping[str, Any], anchors: Mapping[str, datetime | None], billed: frozenset[str], terms: Terms
) -> Facts:
    """The facts of one row. `anchors`: when its events happened; `billed`: the conditions that invoices beside it fulfil."""
    dated, conditions = dict(anchors), set(billed)
    if table.invoice:
        dated["invoice_paid"] = terms.invoices.paid_at(row[table.invoice])
        conditions |= {"claim_open"} if terms.invoices.claimed(row[table.invoice], terms.now) else set()
    if table.claim:
        conditions |= billed_by([(row[table.claim.paid_at], row[table.claim.claim_until])], terms.now)
    conditions |= {condition for anchor, condition in UNTIL_THEN.items() if anchor in dated and dated[anchor] is None}
    kind = row[table.kind_column] if table.kind_column else table.kind
    tenant = UUID(str(row[table.tenant]))
    return Facts(
        table.element, table.store_class, kind, dated, frozenset(conditions), tenant, table.for_tenants(terms.book)
    )


def billed_by(invoices: Iterable[tuple[datetime | None, datetime | None]], now: datetime) -> frozenset[str]:
    """The conditions that these invoices (paid_at, claim_until) fulfil together."""
    open_ = [claim_until for paid_at, claim_until in invoices if paid_at is None]
    claimed = any(is_claimed(None, claim_until, now) for claim_until in open_)
    return frozenset((["invoice_unpaid"] if open_ else []) + (["claim_open"] if claimed else []))


# A condition that holds for as long as the event has not happened.
UNTIL_THEN = {"agreement_ended": "agreement_running", "invoice_paid": "invoice_unpaid", "closed_at": "case_open"}


def latest(times: Iterable[datetime | None], otherwise: datetime) -> datetime | None:
    """The last of several ends; None while one is still open; `otherwise` when nothing there ever began."""
    found = list(times)
    if not found:
        return otherwise
    return None if any(time is None for time in found) else max(time for time in found if time)
