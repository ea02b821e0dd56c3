"""Deadlines, and how long a hold lasts: counted from the rows of the policy book."""

from datetime import datetime

from services.registry.contract import Instrument, NotInBook, PolicyBook


def due_at(instrument: Instrument, served_at: datetime, emergency: bool, book: PolicyBook) -> datetime | None:
    """When the answer is due; None: promptly, or as the order says."""
    period = (instrument.emergency_deadline if emergency else None) or instrument.deadline
    return period.after(served_at, book.tz) if period else None


def holds_at_once(instrument: Instrument) -> bool:
    """Whether what an order names is kept from its arrival, before anybody has approved it."""
    return instrument.deadline is not None and instrument.deadline.count == 0


def held_until(instrument: Instrument, placed_at: datetime, book: PolicyBook) -> datetime:
    """When a hold ends by itself: its own period, or else the deadline by which the data are due. Raises NotInBook."""
    period = instrument.hold or instrument.deadline
    if period is None:
        raise NotInBook(f"{instrument.key} says neither how long it preserves nor when it is due")
    return period.after(placed_at, book.tz)


def approvals_needed(instrument: Instrument, emergency: bool) -> int:
    """An emergency waits for one duty officer only; the second review follows within emergency_order_review."""
    return 1 if emergency else instrument.approvals
