"""What people say of their consent. What comes at the same moment is recorded in one transaction, each with its own outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.db import Transaction
from chassis.errors import Problem
from services.consent import rules
from services.consent.commands import notices
from services.consent.commands.desk import Desk
from services.consent.commands.recording import Spoken, record_all
from services.consent.contract import (
    GiveConsent,
    Kind,
    LanguageMissing,
    NoticePurpose,
    Recorded,
    State,
    WithdrawConsent,
)
from services.consent.rules import Matter


@dataclass(frozen=True, slots=True)
class Said:
    """One call: who (`desk`) says what of whom, and its trace."""

    desk: Desk
    principal: UUID
    wish: GiveConsent | WithdrawConsent
    traceparent: str | None


async def record_together(tx: Transaction, said: Sequence[Said]) -> list[Recorded | Problem]:
    spoken = [await _spoken(tx, each) for each in said]
    recorded = iter(await record_all(tx, [each for each in spoken if isinstance(each, Spoken)]))
    return [each if isinstance(each, Problem) else next(recorded) for each in spoken]


async def _spoken(tx: Transaction, said: Said) -> Spoken | Problem:
    try:
        if isinstance(said.wish, GiveConsent):
            return await _given(tx, said, said.wish)
        return _withdrawn(said, said.wish)
    except Problem as refused:
        return refused


async def _given(tx: Transaction, said: Said, wish: GiveConsent) -> Spoken:
    notice = await notices.in_force(tx, wish.notice, wish.notice_version)
    if wish.language not in notice.texts:
        raise LanguageMissing("Ask in a language in which the notice was published.")
    explained = [each for each in map(NoticePurpose.model_validate, notice.purposes) if each.purpose == wish.purpose]
    covered = [category for each in explained for category in each.categories]
    rules.must_rest_on_consent(said.desk.book, wish.purpose, covered)
    matter = Matter(Kind.consent, wish.regulation, wish.purpose)
    details = {"language": wish.language, "collection_method": wish.method, "type": wish.expression}
    return Spoken(said.desk, said.principal, matter, State.given, wish.occurred_at, details, notice, said.traceparent)


def _withdrawn(said: Said, wish: WithdrawConsent) -> Spoken:
    """Always recorded, whether anything was given or not: what she said holds against whatever arrives late."""
    rules.must_be_in_book(said.desk.book, wish.purpose, [])
    matter = Matter(Kind.consent, wish.regulation, wish.purpose)
    details = {"collection_method": wish.method}
    return Spoken(
        said.desk, said.principal, matter, State.withdrawn, wish.occurred_at, details, traceparent=said.traceparent
    )
