"""What the law obliges an organisation itself to record."""

from chassis import clock
from chassis.db import Transaction
from services.consent import rules
from services.consent.commands import recordings
from services.consent.commands.desk import Desk
from services.consent.contract import Duty, DutySet, SetDuty
from services.consent.tables import TenantDuty


async def set_duty(tx: Transaction, desk: Desk, purpose: str, duty: SetDuty) -> Duty:
    rules.must_be_in_book(desk.book, purpose, [])
    await tx.lock(recordings.duty(tx.tenant, purpose))
    told = DutySet(purpose=purpose, legal_ref=duty.legal_ref)
    event = await tx.emit(f"duty.{duty.state}", told.model_dump(mode="json"))
    row = TenantDuty(
        tenant=tx.tenant, purpose=purpose, state=duty.state, legal_ref=duty.legal_ref, since=clock.now(), event=event.id
    )
    await tx.session.merge(row)
    await tx.flush()
    if duty.state == "ended":
        await recordings.review_duty(tx, desk.book, purpose)
    return Duty(**row.model_dump())
