"""Who speaks for a child, and what a browser says for a person."""

from datetime import date, datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis import clock
from chassis.db import Transaction
from chassis.ledger.events import Event
from services.consent import queries, rules
from services.consent.commands import standing
from services.consent.commands.desk import Desk
from services.consent.contract import (
    EndGuardian,
    Guardian,
    GuardianEnded,
    GuardianSet,
    GuardianshipEnded,
    InTheFuture,
    NotAGuardian,
    SetGuardian,
    SetObjection,
    Signalled,
    State,
)
from services.consent.tables import Guardianship


async def set_guardian(tx: Transaction, desk: Desk, child: UUID, wish: SetGuardian) -> Guardian:
    """One more who speaks for her, or the same one as was proven last. Whoever tells it without her day of birth proves nothing anew:
    what is known here stays as it is, and who ended here does not come back; but whom rights tells of speaks, for two have looked there."""
    await tx.lock(f"guardians {child}")
    known = await queries.guardianships(tx, child)
    mine = next((row for row in known if row.guardian == wish.guardian), None)
    born = wish.born or next((row.born for row in known if row.born and (row is mine or not row.waiting)), None)
    of_age, today = born and rules.of_age_on(desk.book, born), clock.now().astimezone(desk.book.tz).date()
    if wish.born is not None and wish.born > today:
        raise InTheFuture("Nobody is born after today.")
    if wish.guardian == child or (of_age and of_age <= today) or (wish.until or today) < today:
        raise NotAGuardian("A guardian is somebody else, of a child below the age of consent.")
    if wish.born is None and mine is not None and mine.ended_at is not None:
        raise NotAGuardian("That guardianship ended here: it is proven again with the day of birth.")
    if await queries.children_of(tx, [wish.guardian]):
        raise NotAGuardian("A guardian is no child herself.")
    by = desk.caller.subject if desk.caller.kind == "staff" else None
    row = _recorded(tx, desk, child, wish, born)
    if mine is not None and wish.born is None:
        row = mine
        row.waiting = row.waiting and by is not None
    elif by is not None:
        row.waiting, row.vouched_by = _waits(desk, row, mine), by
    for each in known if born and not row.waiting else ():
        each.born = born
    said = GuardianSet(guardian=wish.guardian, by=by, waiting=row.waiting)
    event = await tx.emit("guardian.set", said.model_dump(mode="json", exclude_defaults=True), child)
    await tx.session.merge(row)
    return Guardian(principal=child, guardian=wish.guardian, of_age_on=of_age, waiting=row.waiting, event=event.id)


def _recorded(tx: Transaction, desk: Desk, child: UUID, wish: SetGuardian, born: date | None) -> Guardianship:
    return Guardianship(
        tenant=tx.tenant,
        principal=child,
        guardian=wish.guardian,
        born=born,
        evidence_ref=wish.evidence_ref,
        until=_over_after(wish.until, desk.book.tz) if wish.until else None,
    )


def _waits(desk: Desk, new: Guardianship, before: Guardianship | None) -> bool:
    """Whether what one of the staff records is for another to look at: unless two of them have recorded it, or less than two had."""
    row = desk.book.representation("guardian")
    if row is not None and row.confirmed_by == "person":
        return False
    if before is None or before.ended_at is not None:
        return True
    days = {before.born, new.born} - (set() if before.waiting else {None})
    longer = before.until is not None and (new.until is None or new.until > before.until)
    return len(days) > 1 or longer or (before.waiting and before.vouched_by == desk.caller.subject)


async def speaking_for(tx: Transaction, child: UUID) -> list[UUID]:
    """Her guardians, who stay so until this transaction ends: a yes comes before the end of a guardianship, or after it and not at all."""
    await tx.share(f"guardians {child}")
    return await queries.guardians(tx, child)


async def end_guardian(tx: Transaction, desk: Desk, child: UUID, wish: EndGuardian) -> GuardianEnded:
    """From now on; what was given stands. She stays a child, for whom another guardian speaks or nobody."""
    await tx.lock(f"guardians {child}")
    for row in await queries.guardianships(tx, child):
        if row.guardian == wish.guardian and row.ended_at is None:
            event = await _ended(tx, row, "revoked")
            return GuardianEnded(principal=child, guardian=row.guardian, event=event)
    raise NotAGuardian("Nobody of that name is known to speak for this person.")


async def end_what_is_over(tx: Transaction, child: UUID) -> None:
    await tx.lock(f"guardians {child}")
    now = clock.now()
    for row in await queries.guardianships(tx, child):
        if row.ended_at is None and row.until is not None and row.until <= now:
            await _ended(tx, row, "last_day")


async def forget_guardians(tx: Transaction, child: UUID) -> None:
    """On the day she is of age: what her guardians gave stands until she says otherwise, and her day of birth goes."""
    await tx.lock(f"guardians {child}")
    for row in await queries.guardianships(tx, child):
        if row.ended_at is None:
            await _ended(tx, row, "of_age")
        await tx.session.delete(row)


async def forget(tx: Transaction, event: Event) -> None:
    """`principal.forgotten`: nobody is known by this name any more. Of a child the day of birth goes, and nobody's guardian is left."""
    for row in await queries.guardianships_with(tx, event.subject):
        if row.ended_at is None:
            await _ended(tx, row, "revoked")
        if row.principal == event.subject:
            await tx.session.delete(row)


async def _ended(tx: Transaction, row: Guardianship, why: Literal["of_age", "last_day", "revoked"]) -> UUID:
    row.ended_at = clock.now()
    said = GuardianshipEnded(guardian=row.guardian, why=why)
    return (await tx.emit("guardian.ended", said.model_dump(mode="json"), row.principal)).id


def _over_after(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, zone)


async def signalled(tx: Transaction, desk: Desk, principal: UUID) -> Signalled:
    """`Sec-GPC: 1`, as objections to what the policy book maps it to. What she said herself is nearer than what her browser says."""
    await tx.lock(standing.cases(principal))
    spoken = {row.purpose: row for row in (await queries.standing(tx, principal)).objections}
    raised = []
    for purpose in desk.book.purposes:
        said = spoken.get(purpose.key)
        if purpose.gpc and (said is None or said.state is State.raised):
            if said is not None:
                raised.append(await queries.recorded(tx, said.record, desk.key))
            else:
                asked = SetObjection(state="raised")
                raised.append(
                    await standing.set_objection(tx, desk, principal, purpose.key, asked, {"signal": "Sec-GPC: 1"})
                )
    return Signalled(objections=raised)
