"""What a tenant may set, and what stands there for whom: pure answers over a book and a tenant's own rows."""

from collections.abc import Iterable, Sequence
from datetime import date
from uuid import UUID

from services.registry.contract import Period, PolicyBook, Retention, TenantPeriod, faults
from services.registry.contract.pack import ChoosablePeriod, OwnPeriod, PeriodRefused


def choosable(book: PolicyBook) -> list[Retention]:
    return [row for row in book.retention if row.customer_defined]


def rows_of(tenant: UUID, wishes: Iterable[OwnPeriod], source: str) -> list[TenantPeriod]:
    return [TenantPeriod(tenant=tenant, source=source, **wish.model_dump()) for wish in wishes]


def refuse_unlawful(
    book: PolicyBook, wished: Sequence[TenantPeriod], standing: Sequence[TenantPeriod], today: date
) -> None:
    """Raises PeriodRefused: outside the book's bounds, two times for one day, or a change of days that are over."""
    stated = book.model_copy(update={"tenant_periods": tuple(wished)})
    wrong = [(fault.where, fault.what) for fault in faults(stated) if fault.where.startswith("tenant_periods/")]
    kept = {_said(row) for row in standing}
    wrong += [
        (f"tenant_periods/{row.identity}", f"It begins on {row.valid_from}, which is over: data may have gone by then.")
        for row in wished
        if row.valid_from is not None and row.valid_from < today and _said(row) not in kept
    ]
    if wrong:
        raise PeriodRefused(
            f"{len(wrong)} fault(s); see errors.", errors=[{"path": where, "problem": what} for where, what in wrong]
        )


def _said(row: TenantPeriod) -> tuple[object, ...]:
    return row.rule, row.keep, row.valid_from


def choices(book: PolicyBook, tenant: UUID, own: Sequence[TenantPeriod], today: date) -> list[ChoosablePeriod]:
    """Each rule that lets the tenant choose, with what it chose; `book` with the rows that apply today."""
    now = book.model_copy(update={"tenant_periods": tuple(row for row in own if row.applies(today))})
    return [
        ChoosablePeriod(
            rule=row.key,
            label=row.label,
            elements=[book.element(element).label for element in row.elements],
            min=row.min,
            max=row.max,
            keep=row.keep,
            today=now.keep_for(row, tenant),
            own=[mine for mine in own if mine.rule == row.key],
        )
        for row in choosable(book)
        if row.min and row.max
    ]


def ending_rows(book: PolicyBook, tenant: UUID, first_day: date) -> list[TenantPeriod]:
    """After the contract: the least the book allows, for every rule that the customer defines."""
    return [
        TenantPeriod(tenant=tenant, rule=row.key, keep=row.min, valid_from=first_day, source="GDPR Art. 28(3)(g)")
        for row in choosable(book)
        if row.min
    ]


def before_ending(own: Sequence[TenantPeriod], ends_on: date) -> list[TenantPeriod]:
    """What the tenant set for the days until the contract ends."""
    return [
        row.model_copy(update={"valid_to": min(row.valid_to or ends_on, ends_on)})
        for row in own
        if (row.valid_from or date.min) <= ends_on
    ]


def lasting_for(book: PolicyBook, tenant: UUID, first_day: date) -> PolicyBook:
    """A book nobody would propose: this tenant keeps for centuries. What it would keep of theirs is all there is."""
    for_ever = Period(count=500, unit="year")
    rules = tuple(row.model_copy(update={"max": for_ever}) if row.customer_defined else row for row in book.retention)
    rows = (row.model_copy(update={"keep": for_ever}) for row in ending_rows(book, tenant, first_day))
    return book.model_copy(update={"retention": rules, "tenant_periods": tuple(rows)})
