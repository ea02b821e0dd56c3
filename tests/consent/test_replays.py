"""A past decision, asked again: the same answer to the letter, whatever was said since."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis import clock
from chassis.errors import Malformed
from chassis.ids import new_id
from services.consent.contract import AskAgain, InTheFuture, RefuseConsent, Regulation, SetDuty, WithdrawConsent
from tests.consent.conftest import key, question


async def ask_again(company, evaluation, at, version=None):
    wish = AskAgain(as_of=at, evaluation=evaluation.model_dump(mode="json"), state_version=version)
    return await company.service.ask_again(company.tenant, wish)


async def test_every_decision_of_a_history_is_answered_again_as_it_was(company, anna):
    async def withdraw():
        return await company.withdraw(anna)

    async def give():
        return await company.give(anna, told)

    async def duty():
        law = SetDuty(state="recorded", legal_ref="Lag (2007:528) 9 kap.")
        return await company.service.set_duty(company.tenant, "communication", law, key())

    told = await company.notice()
    asked = question(anna, "communication", "recorded_call", participants=[])
    answers = []
    for happens in (None, give, withdraw, give, duty, withdraw):
        if happens is not None:
            await company.until_known(await happens())
        answer = await company.decided(asked)
        answers.append((clock.now(), answer))
    assert [each.context.reason for _, each in answers] == [
        "no_consent", "consent", "withdrawn", "consent", "tenant_legal_obligation", "tenant_legal_obligation",
    ]  # fmt: skip
    for at, answer in answers:
        assert await ask_again(company, asked, at, answer.context.state_version) == answer
        by_time = await ask_again(company, asked, at)
        assert (by_time.decision, by_time.context.reason) == (answer.decision, answer.context.reason)
    # A consent that has lapsed since stood then; one that had not been given yet did not.
    before = await ask_again(company, asked, answers[0][0] - timedelta(days=1))
    assert not before.decision


async def test_of_two_noes_the_same_is_told_whichever_was_heard_first(company, anna):
    """By two laws; what a decision point knows of others decides nothing."""
    told, bert = await company.notice(), new_id()
    await company.give(bert, told)
    for law in (Regulation.eprivacy, Regulation.gdpr):
        asked = {"purpose": "communication", "principal": anna, "regulation": law}
        if law is Regulation.eprivacy:
            asked |= {"notice": told.notice, "notice_version": told.version}
            await company.service.refuse(company.tenant, RefuseConsent(**asked), key())
        else:
            await company.service.withdraw(company.tenant, WithdrawConsent(**asked), key())
    wish = question(anna, "communication", "recorded_call", participants=[])
    answer = await company.decided(wish)
    assert await ask_again(company, wish, clock.now(), answer.context.state_version) == answer


async def test_only_the_past_can_be_asked_again(company, anna):
    asked = question(anna, "communication", "recorded_call")
    with pytest.raises(InTheFuture):
        await ask_again(company, asked, clock.now() + timedelta(hours=1))
    with pytest.raises(Malformed):
        wish = AskAgain(as_of=clock.now(), evaluation={"subject": "anna"})
        await company.service.ask_again(company.tenant, wish)


async def test_before_there_was_a_book_every_answer_was_no(company, anna):
    asked = question(anna, "maintaining_service", "traffic")
    long_ago = await ask_again(company, asked, datetime(2019, 1, 1, tzinfo=UTC))
    assert not long_ago.decision and long_ago.context.reason == "stale"


async def test_a_state_that_no_decision_point_has_come_to_is_refused(company, anna):
    asked = question(anna, "communication", "recorded_call")
    with pytest.raises(Malformed):
        await ask_again(company, asked, clock.now(), 2**61)
