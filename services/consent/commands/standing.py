"""Objections (Art. 21) and restrictions (Art. 18), each held up by the requests that put it there."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import select

from chassis.db import Transaction
from services.consent import queries, rules
from services.consent.commands import recording
from services.consent.commands.desk import Desk
from services.consent.contract import Kind, Recorded, Regulation, SetObjection, SetRestriction, State
from services.consent.rules import EVERY_PURPOSE, Matter
from services.consent.tables import StandingCase


async def set_objection(
    tx: Transaction,
    desk: Desk,
    principal: UUID,
    purpose: str,
    objection: SetObjection,
    how: dict[str, str] | None = None,
) -> Recorded:
    matter = Matter(Kind.objection, Regulation.gdpr, purpose)
    await tx.lock(cases(principal))
    stands = await recording.stands(tx, principal, matter)
    rules.may_object(desk.book, purpose, objection, stands is not None)
    return await _of_a_case(tx, desk, principal, matter, objection, how=how)


async def set_restriction(tx: Transaction, desk: Desk, principal: UUID, restriction: SetRestriction) -> Recorded:
    rules.may_restrict(restriction)
    matter = Matter(Kind.restriction, Regulation.gdpr, EVERY_PURPOSE)
    return await _of_a_case(tx, desk, principal, matter, restriction, restriction.ground)


async def _of_a_case(
    tx: Transaction,
    desk: Desk,
    principal: UUID,
    matter: Matter,
    asked: SetObjection | SetRestriction,
    ground: str | None = None,
    how: dict[str, str] | None = None,
) -> Recorded:
    """Her requests stand side by side. While another one holds the matter up, ending this one restates what the other holds."""
    await tx.lock(cases(principal))
    held = {row.case: row for row in await _cases(tx, principal, matter)}
    state, case, at = State(asked.state), asked.case, asked.occurred_at
    mine = held.pop(case, None) if case else None
    if mine is not None and (mine.state, mine.ground) == (state.value, ground):
        return await queries.recorded(tx, mine.record, desk.key)
    if case is None:
        for row in held.values() if not rules.protects(state) else ():
            await tx.session.delete(row)
        return await recording.record(tx, desk, principal, matter, state, at, _about(None, ground) | (how or {}))
    other = next((row for row in held.values() if rules.protects(State(row.state))), None)
    if other is not None and not rules.protects(state):
        details = _about(other.case, other.ground) | {"ended_case": str(case), "ended_as": state.value}
        told = await recording.record(tx, desk, principal, matter, State(other.state), None, details)
    else:
        told = await recording.record(tx, desk, principal, matter, state, at, _about(case, ground))
        if mine is None and rules.protects(state) and (since := await _ended(tx, principal, matter, held.values())):
            told = await recording.record(tx, desk, principal, matter, state, since, _about(case, ground))
    about = {"tenant": tx.tenant, "principal": principal, "kind": matter.kind, "purpose": matter.purpose}
    await tx.session.merge(StandingCase(**about, case=case, state=state, ground=ground, record=told.record))
    return told


async def _ended(tx: Transaction, principal: UUID, matter: Matter, others: Iterable[StandingCase]) -> datetime | None:
    """When another request ended, where that counts though something else was said before in this one: from then on this one holds the
    matter up. Her own word belongs to no request."""
    counted = await recording.stands(tx, principal, matter)
    if counted is None or rules.protects(counted.state) or counted.statement not in {row.record for row in others}:
        return None
    return counted.occurred_at + timedelta(microseconds=1)


def cases(principal: UUID) -> str:
    """Of the lock under which her objections and restrictions change."""
    return f"cases {principal}"


async def _cases(tx: Transaction, principal: UUID, matter: Matter) -> Sequence[StandingCase]:
    found = select(StandingCase).where(
        StandingCase.principal == principal, StandingCase.kind == matter.kind, StandingCase.purpose == matter.purpose
    )
    return (await tx.session.execute(found)).scalars().all()


def _about(case: UUID | None, ground: str | None) -> dict[str, str]:
    return ({"case": str(case)} if case else {}) | ({"ground": ground} if ground else {})
