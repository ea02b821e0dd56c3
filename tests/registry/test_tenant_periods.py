"""What tenants set for their own data travels as signed documents beside the book, and is chosen by what was known when."""

from datetime import UTC, date, datetime
from uuid import UUID

from services.registry.client import with_periods
from services.registry.contract import Period, PolicyBook, TenantPeriod, TenantPeriods

BANK, AGENCY = UUID(int=1), UUID(int=2)


def months(count: int) -> Period:
    return Period(count=count, unit="month")


def said(tenant: UUID, keep: Period, **when: date) -> TenantPeriods:
    row = TenantPeriod(tenant=tenant, rule="service_objects", keep=keep, source="tenant: its contact", **when)
    return TenantPeriods(tenant=tenant, known_from=datetime(2026, 1, 1, tzinfo=UTC), periods=[row])


def test_a_tenant_s_own_period_is_counted_with_and_nobody_else_s(book: PolicyBook) -> None:
    rule = book.retention_rule("service_objects")
    told = with_periods(book, [said(BANK, months(3)), said(AGENCY, months(6))])
    assert (told.keep_for(rule, BANK), told.keep_for(rule, AGENCY)) == (months(3), months(6))
    assert told.keep_for(rule, UUID(int=3)) == rule.keep


def test_the_last_document_of_a_tenant_says_everything(book: PolicyBook) -> None:
    told = with_periods(book, [said(BANK, months(3)), said(AGENCY, months(6)), said(BANK, months(9))])
    assert {(row.tenant, row.keep) for row in told.tenant_periods} == {(BANK, months(9)), (AGENCY, months(6))}


def test_a_period_applies_on_its_days(book: PolicyBook) -> None:
    rule = book.retention_rule("service_objects")
    told = with_periods(book, [said(BANK, months(3), valid_from=date(2027, 1, 1))])
    assert told.on(date(2026, 12, 31)).keep_for(rule, BANK) == rule.keep
    assert told.on(date(2027, 1, 1)).keep_for(rule, BANK) == months(3)


def test_a_rule_that_lets_nobody_choose_is_the_same_for_everybody(book: PolicyBook) -> None:
    fixed = book.retention_rule("helpdesk_recordings")
    row = TenantPeriod(tenant=BANK, rule="helpdesk_recordings", keep=months(3), source="tenant: its contact")
    assert book.model_copy(update={"tenant_periods": (row,)}).keep_for(fixed, BANK) == fixed.keep
