"""What a tenant may set, and what stands there for whom: pure answers over a book and a tenant's own rows."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from uuid import UUID

from services.anonymizer.contract import HeldFor
from services.registry.contract import PolicyBook, Retention, TenantPeriod, faults
from services.registry.contract.pack import (
    ChoosablePeriod,
    ContractRuns,
    Ending,
    Given,
    OwnPeriod,
    PeriodRefused,
    ReturnableStore,
)


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


def before_ending(own: Sequence[TenantPeriod], ends_on: date) -> list[TenantPeriod]:
    """What the tenant set for the days until the contract ends."""
    return [
        row.model_copy(update={"valid_to": min(row.valid_to or ends_on, ends_on)})
        for row in own
        if (row.valid_from or date.min) <= ends_on
    ]


def refuse_early(found: Ending, today: date) -> None:
    """Raises ContractRuns: until its last day is over, records still come."""
    if today <= found.ends_on:
        raise ContractRuns(f"Its last day is {found.ends_on}.")


def returnable(held: Iterable[HeldFor], given: Mapping[str, Given]) -> list[ReturnableStore]:
    return [
        ReturnableStore(
            store=one.store,
            label=one.label,
            records=one.count,
            by_hand=not one.can_return,
            given=given.get(one.store) if one.can_return else None,
        )
        for one in held
    ]


def unreturned(
    held: Iterable[HeldFor], given: Mapping[str, Given], received: Mapping[str, str]
) -> list[dict[str, str]]:
    """What speaks against deleting now, by store: everything that holds a record was sent whole, and arrived as it was sent."""
    wrong = {}
    for one in held:
        if not one.can_return and one.count != 0:
            wrong[one.store] = "People hand this over; operations say when."
        elif one.can_return and one.store not in given and one.count:
            wrong[one.store] = "It was not fetched to its end since the contract ended."
        elif one.store in given and received.get(one.store) != given[one.store].sha256:
            wrong[one.store] = "What was sent has another digest, or none was named."
    return [{"path": store, "problem": problem} for store, problem in sorted(wrong.items())]
