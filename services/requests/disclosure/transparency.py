"""The orders of a year, counted for its report. What leaves here says of no order that it was there."""

from datetime import date, datetime, time

from sqlmodel import select

from chassis import clock
from chassis.db import Transaction
from services.registry.contract import PolicyBook, Transparency
from services.requests.disclosure.contract import OrderStatus, TaskStatus, YearNotOver
from services.requests.disclosure.rules.transparency import Case, report
from services.requests.disclosure.tables import DisclosureOrder, PackageRelease, SealedPackage, Task

_EXECUTED = {TaskStatus.Disclosed, TaskStatus.Preserved, TaskStatus.Expired}
_NOTHING = {TaskStatus.DisclosureNotAvailable, TaskStatus.PreservationNotAvailable}
_DAY = 86_400


async def of_the_year(tx: Transaction, book: PolicyBook, year: int) -> Transparency:
    """Of orders that came in a year of the book's zone. Raises YearNotOver: a running year's counts would tell of each order as it comes."""
    today = clock.now().astimezone(book.tz).date()
    if date(year, 12, 31) >= today:
        raise YearNotOver
    first, after = (datetime.combine(date(each, 1, 1), time.min, book.tz) for each in (year, year + 1))
    came = (DisclosureOrder.received_at >= first, DisclosureOrder.received_at < after)
    orders = (await tx.session.execute(select(DisclosureOrder).where(*came))).scalars().all()
    ids = [order.id for order in orders]
    tasks = (await tx.session.execute(select(Task.order_id, Task.status).where(Task.order_id.in_(ids)))).all()
    released = (
        select(SealedPackage.order_id, PackageRelease.at)
        .join(PackageRelease, PackageRelease.package == SealedPackage.id)
        .where(SealedPackage.order_id.in_(ids))
    )
    handed_out = dict((await tx.session.execute(released.order_by(PackageRelease.at.desc()))).all())
    cases = [
        _case(order, {status for id, status in tasks if id == order.id}, handed_out.get(order.id)) for order in orders
    ]
    least = book.number("small_cells")
    instruments = sorted({row.key for row in book.instruments} | {case.instrument for case in cases})
    return Transparency(year=year, least=least, rows=report(cases, instruments, least))


def _case(order: DisclosureOrder, tasks: set[str], handed_out: datetime | None) -> Case:
    days = (handed_out - order.received_at).total_seconds() / _DAY if handed_out else None
    return Case(order.instrument, _outcome(order, tasks), days)


def _outcome(order: DisclosureOrder, tasks: set[str]) -> str:
    if order.status == OrderStatus.Rejected:
        return "refused"
    if tasks & _EXECUTED:
        return "executed"
    if order.status == OrderStatus.Cancelled:
        return "withdrawn"
    return "nothing" if tasks and tasks <= _NOTHING else "pending"
