"""Which grants the book allows: known places, an end within the longest, a recorded clearance where the region needs one."""

from datetime import datetime
from typing import get_args
from uuid import UUID

from chassis.errors import NotFound
from services.identity.contract import Role
from services.registry.contract import PolicyBook
from services.registry.contract.access import (
    MANAGER,
    WARDLINE,
    AccessRefused,
    AlreadyDecided,
    Clearance,
    FoundRegister,
    OwnGrant,
    RecordClearance,
    RequestGrant,
    ReviewDetail,
)


def check_wish(book: PolicyBook, wish: RequestGrant, now: datetime) -> None:
    """Raises AccessRefused with the first reason."""
    _check_purpose(book, wish.purpose)
    if wish.system is not None and wish.system not in {row.key for row in book.systems}:
        raise AccessRefused("The policy book has no such system.")
    if wish.system == WARDLINE and wish.role not in get_args(Role):
        raise AccessRefused("This platform has no such role.")
    if wish.facility is not None:
        _check_areas(book, wish.facility, wish.areas)
    check_span(book, wish.valid_from or now, wish.valid_to, now)


def check_manager(wish: RequestGrant, managing: set[UUID]) -> None:
    """A customer organisation's own people never manage access: raises AccessRefused."""
    if wish.system == WARDLINE and wish.role == MANAGER and wish.organisation not in managing:
        raise AccessRefused("Access is managed by the operator's own people only.")


def check_founding(book: PolicyBook, wish: FoundRegister, now: datetime) -> None:
    _check_purpose(book, wish.purpose)
    check_span(book, now, wish.valid_to, now)


def check_span(book: PolicyBook, start: datetime, end: datetime, now: datetime) -> None:
    begins, longest = max(start, now), book.period("access_longest")
    if end <= begins:
        raise AccessRefused("The grant would end before it begins.")
    if end > longest.after(begins, book.tz):
        raise AccessRefused(f"A grant lasts at most {longest}.")


def check_clearance(book: PolicyBook, wish: RecordClearance, now: datetime) -> None:
    if wish.clearance not in {row.key for row in book.clearances}:
        raise AccessRefused("The policy book has no such clearance.")
    if wish.valid_to <= now:
        raise AccessRefused("The clearance is over already.")


def check_open(review: ReviewDetail, grant: UUID, now: datetime) -> None:
    """Raises AlreadyDecided once a review's time is over, also before the clock has written that down."""
    if review.closed_at is not None or review.due_at <= now:
        raise AlreadyDecided("This review is over; what was undecided has lapsed.")
    for item in review.items:
        if item.grant == grant:
            if item.kept is not None:
                raise AlreadyDecided
            return
    raise NotFound("That grant is not under this review.")


def clearance_needed(book: PolicyBook, facility: str | None) -> str | None:
    """What the region of a facility asks of everybody who enters it."""
    return book.region(book.facility(facility).region).clearance if facility else None


def sufficient(held: list[Clearance], needed: str, until: datetime) -> Clearance:
    """The recorded clearance that lasts as long as the grant. Raises AccessRefused."""
    for one in held:
        if one.clearance == needed and one.ended_at is None and one.valid_to >= until:
            return one
    raise AccessRefused(f"No {needed} is recorded for this person that lasts until the grant ends.")


def check_other(decider: str, *concerned: str) -> None:
    """Four eyes: raises OwnGrant."""
    if decider in concerned:
        raise OwnGrant


def _check_purpose(book: PolicyBook, purpose: str) -> None:
    if purpose not in {row.key for row in book.purposes}:
        raise AccessRefused("The policy book has no such purpose.")


def _check_areas(book: PolicyBook, facility: str, areas: list[str]) -> None:
    if facility not in {row.key for row in book.facilities}:
        raise AccessRefused("The policy book has no such facility.")
    if set(areas) - {area.key for area in book.facility(facility).areas}:
        raise AccessRefused("The facility has no such area.")
