"""Who speaks for a child, and what a browser says for a person."""

from uuid import UUID

from chassis import clock
from chassis.db import Transaction
from services.consent import queries, rules
from services.consent.commands import standing
from services.consent.commands.desk import Desk
from services.consent.contract import (
    Guardian,
    GuardianSet,
    NotAGuardian,
    SetGuardian,
    SetObjection,
    Signalled,
    State,
)
from services.consent.tables import Guardianship


async def set_guardian(tx: Transaction, desk: Desk, child: UUID, wish: SetGuardian) -> Guardian:
    of_age = rules.of_age_on(desk.book, wish.born)
    if wish.guardian == child or of_age <= clock.now().astimezone(desk.book.tz).date():
        raise NotAGuardian("A guardian is somebody else, of a child below the age of consent.")
    event = await tx.emit("guardian.set", GuardianSet(guardian=wish.guardian).model_dump(mode="json"), child)
    row = Guardianship(
        tenant=tx.tenant, principal=child, guardian=wish.guardian, born=wish.born, evidence_ref=wish.evidence_ref
    )
    await tx.session.merge(row)
    return Guardian(principal=child, guardian=wish.guardian, of_age_on=of_age, event=event.id)


async def forget_guardian(tx: Transaction, child: UUID) -> None:
    """On the day she is of age: what her guardian gave stands until she says otherwise, and her day of birth goes."""
    row = await queries.guardian(tx, child)
    if row is not None:
        await tx.emit("guardian.ended", GuardianSet(guardian=row.guardian).model_dump(mode="json"), child)
        await tx.session.delete(row)


async def signalled(tx: Transaction, desk: Desk, principal: UUID) -> Signalled:
    """`Sec-GPC: 1`, as objections to what the policy book maps it to. What she said herself is nearer than what her browser says."""
    spoken = {row.purpose: row for row in (await queries.standing(tx, principal)).objections}
    raised = []
    for purpose in desk.book.purposes:
        said = spoken.get(purpose.key)
        if purpose.gpc and (said is None or said.state is State.raised):
            if said is not None:
                raised.append(await queries.recorded(tx, said.record, desk.key, desk.publisher))
            else:
                asked = SetObjection(state="raised")
                raised.append(
                    await standing.set_objection(tx, desk, principal, purpose.key, asked, {"signal": "Sec-GPC: 1"})
                )
    return Signalled(objections=raised)
