"""A manual source: nothing completes without a person's attestation, and a vendor's promise is not one."""

from datetime import timedelta
from uuid import uuid4

import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import Attest, NotWaiting, StepState, StepUnknown, Verb, VerbUnsupported
from tests.anonymizer.conftest import House

SCAN = "ab" * 32


def attestation(count: int = 3, **more) -> Attest:
    return Attest(count=count, evidence_sha256=SCAN, evidence_at="archive 7/12", **more)


async def attest(house: House, step, wish: Attest):
    return await house.client.attest(step, wish, key=str(uuid4()), tenant=PRIVATE.id)


async def test_a_step_by_hand_waits_for_its_owner_and_ends_with_the_attestation(house: House):
    maja, step = await house.principal("maja"), uuid4()
    assert (await house.step(Verb.verify, "mailbox", maja)).state == StepState.incomplete
    asked = await house.step(Verb.erase, "mailbox", maja, step=step)
    assert asked.state == StepState.waiting and asked.attested is None
    assert asked.waiting.owner == "privacy@nordtel.example"
    assert house.today < asked.waiting.due <= house.today + timedelta(days=11)
    assert await house.step(Verb.erase, "mailbox", maja, step=step) == asked, "asking does not move it"
    done = await attest(house, step, attestation())
    assert done.state == StepState.done and done.attested.evidence_sha256 == SCAN
    assert [(one.action, one.count) for one in done.outcomes] == [("erase", 3)]
    assert await house.step(Verb.erase, "mailbox", maja, step=step) == done
    verified = await house.step(Verb.verify, "mailbox", maja)
    assert (verified.state, verified.remaining, verified.attested) == (StepState.done, 0, done.attested)
    told = [one["data"] for one in await house.events("step.attested") if one["data"]["step"] == str(step)]
    assert [one["by"] for one in told] == ["rights"]


async def test_what_a_vendor_promises_stays_pending_until_somebody_attests_that_it_is_gone(house: House):
    maja, step = await house.principal("maja"), uuid4()
    await house.step(Verb.erase, "mailbox", maja, step=step)
    until = house.today + timedelta(days=30)
    promised = await attest(house, step, attestation(pending_until=until))
    assert promised.state == StepState.waiting and promised.waiting.pending_until == until
    waiting = await house.client.call("GET", "/v1/steps/waiting", tenant=PRIVATE.id)
    assert str(step) in [one["step"] for one in waiting["items"]]
    assert (await attest(house, step, attestation())).state == StepState.done


async def test_only_a_step_that_waits_can_be_attested_and_only_once(house: House):
    maja, step = await house.principal("maja"), uuid4()
    with pytest.raises(StepUnknown):
        await attest(house, uuid4(), attestation())
    await house.step(Verb.preview, "authlog", maja, step=step)
    with pytest.raises(NotWaiting):
        await attest(house, step, attestation())


async def test_a_mailbox_has_no_dry_run_and_no_stream(house: House):
    maja = await house.principal("maja")
    with pytest.raises(VerbUnsupported):
        await house.step(Verb.preview, "mailbox", maja)
    with pytest.raises(VerbUnsupported):
        await house.collected("mailbox", maja)
