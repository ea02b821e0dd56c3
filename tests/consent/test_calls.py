"""Calls: everybody in one must agree, a word in mid-call counts at once, and only a duty of law goes on regardless."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from chassis import clock
from chassis.ids import new_id
from services.consent import jobs, receipts
from services.consent.commands import calls, recordings
from services.consent.contract import (
    CallEnded,
    CallKnown,
    CallParty,
    EndCall,
    Indicate,
    NotContent,
    NotInTheCall,
    PartyUnknown,
    RefuseConsent,
    Regulation,
    SetDuty,
    SetRestriction,
    StartCall,
    UnknownCall,
)
from services.consent.jobs import Clockwork
from services.registry.contract import PolicyBook
from tests.consent.conftest import key
from tests.consent.house import DATABASE
from tests.patience import PATIENCE, busy

DUTY = SetDuty(state="recorded", legal_ref="Lag (2007:528) 9 kap.")


async def call_of(company, *people, **other):
    roles = ("caller", "agent", "other")
    parties = [CallParty(principal=who, role=role) for who, role in zip(people, roles, strict=False)]
    wish = StartCall(call=uuid4(), participants=parties, **other)
    return await company.service.start_call(company.tenant, wish, key())


async def said(company, call, told, party, answer="yes", **other):
    indication = Indicate(
        party=party, answer=answer, method="keypress", offset_ms=4200, notice=told.notice, notice_version=1, **other
    )
    return await company.service.indicate(company.tenant, call.call, indication, key())


async def stops(company, call):
    """Every word of the feed about this call's recording, once there is one: what is committed gets its place in the ledger afterwards."""
    headers = await company.headers(client_id="webhooks", sub="webhooks", tenant=None)
    found, after = [], 0
    async with asyncio.timeout(PATIENCE):
        while True:
            query = {"after": after, "types": "recording.start,recording.stop,recording.kept"}
            page = (await company.served.http.get(company.served.url + "/events", params=query, headers=headers)).json()
            found += [item for item in page["items"] if item["data"]["call"] == str(call.call)]
            if int(page["next"]) == after and found:
                return [(item["type"], item["data"]["reason"]) for item in found]
            await asyncio.sleep(0.05 if int(page["next"]) == after else 0)
            after = int(page["next"])


async def test_a_call_is_recorded_when_everybody_in_it_has_said_yes(company, anna):
    told, omar = await company.notice(), new_id()
    call = await call_of(company, anna, omar)
    assert (call.recording, call.reason) == (False, "no_consent")
    half = await said(company, call, told, 0, evidence_ref="ivr/77")
    assert (half.recording, half.reason) == (False, "participant_has_not_consented")
    whole = await said(company, call, told, 1)
    assert (whole.recording, whole.reason) == (True, "consent")
    assert [each.indication for each in whole.participants] == ["keypress", "keypress"]
    assert await company.service.call_of(company.tenant, call.call) == whole
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    receipt = await company.service.receipt(company.tenant, whole.participants[0].record)
    record = receipts.verify(receipt, jwks)
    assert (record["collection_method"], record["evidence_ref"], record["call"]) == (
        "keypress",
        "ivr/77",
        str(call.call),
    )
    assert record["participants"][-1] == {"party": 0, "role": "caller", "indication": "keypress", "offset_ms": 4200}
    # Next time nobody needs to be asked.
    again = await call_of(company, anna, omar)
    assert again.recording and [each.indication for each in again.participants] == ["prior", "prior"]


@pytest.mark.parametrize("law", list(Regulation))
async def test_a_yes_in_a_call_answers_a_no_by_whichever_law_it_was_said(company, anna, law):
    told, omar = await company.notice(), new_id()
    wish = {"purpose": "communication", "notice": told.notice, "notice_version": 1}
    await company.service.refuse(company.tenant, RefuseConsent(**wish, principal=anna, regulation=law), key())
    await company.give(omar, told)
    call = await call_of(company, anna, omar)
    assert (call.recording, call.reason) == (False, "refused")
    assert (await said(company, call, told, 0)).recording
    await said(company, call, told, 0, "no")
    standing = await company.service.standing(company.tenant, anna)
    assert [(each.regulation, each.state) for each in standing.consents] == [(law, "refused")]


async def test_a_duty_that_ends_while_a_call_begins_carries_no_recording(company, anna, monkeypatch):
    await company.service.set_duty(company.tenant, "communication", DUTY, key())
    as_before, ends = recordings.may_record, DUTY.model_copy(update={"state": "ended"})

    async def and_the_duty_ends(*args):
        found = await as_before(*args)
        monkeypatch.setattr(recordings, "may_record", as_before)
        ending.append(asyncio.create_task(company.service.set_duty(company.tenant, "communication", ends, key())))
        await asyncio.wait(ending, timeout=0.5)
        return found

    ending: list[asyncio.Task] = []
    monkeypatch.setattr(recordings, "may_record", and_the_duty_ends)
    call = await call_of(company, anna, new_id())
    await ending[0]
    assert not (await company.service.call_of(company.tenant, call.call)).recording


async def test_a_duty_told_ten_times_at_once_is_recorded_and_none_is_refused(company):
    told = await asyncio.gather(
        *(company.service.set_duty(company.tenant, "communication", DUTY, key()) for _ in range(10))
    )
    assert {each.state for each in told} == {"recorded"}


async def test_a_withdrawal_at_the_very_end_of_a_call_stopped_it_when_it_did(company, anna, monkeypatch):
    told, omar = await company.notice(), new_id()
    for who in (anna, omar):
        await company.give(who, told)
    call, as_before = await call_of(company, anna, omar), calls._open_call

    async def and_somebody_withdraws(tx, name):
        found = await as_before(tx, name)
        await company.withdraw(anna)
        return found

    monkeypatch.setattr(calls, "_open_call", and_somebody_withdraws)
    ended = await company.service.end_call(company.tenant, call.call, key())
    assert ended.reason == "withdrawn" and ended.stopped_at < ended.ended_at


async def test_a_call_ends_no_earlier_than_it_began(company, anna):
    call = await call_of(company, anna, new_id(), started_at=(began := clock.now() - timedelta(minutes=5)))
    too_early = EndCall(ended_at=began - timedelta(microseconds=1)).model_dump_json(exclude_none=True)
    refused = await company.post(f"/v1/calls/{call.call}/end", too_early)
    assert (refused.status_code, refused.json()["code"]) == (422, "consent.ends_before_it_began")
    ended = await company.post(f"/v1/calls/{call.call}/end", EndCall(ended_at=began).model_dump_json())
    assert (ended.status_code, ended.json()["state"]) == (200, "ended")


async def test_a_party_nobody_knows_has_not_consented(company, anna):
    await company.give(anna, told := await company.notice())
    call = await call_of(company, anna, None)
    assert (call.recording, call.reason) == (False, "participants_unknown")
    with pytest.raises(PartyUnknown):
        await said(company, call, told, 1)


async def test_a_withdrawal_in_mid_call_stops_the_recording_and_a_duty_of_law_keeps_it_with_the_reason_shown(
    served, company, anna
):
    """Planted case 6: the tenant with a duty to record goes on, its neighbour stops."""
    neighbour = type(company)(served)
    await company.service.set_duty(company.tenant, "communication", DUTY, key())
    calls = []
    for firm in (company, neighbour):
        told, agent = await firm.notice(), new_id()
        for who in (anna, agent):
            await firm.give(who, told)
        calls.append(await call_of(firm, anna, agent))
    assert [(call.recording, call.reason) for call in calls] == [(True, "tenant_legal_obligation"), (True, "consent")]
    for firm in (company, neighbour):
        await firm.withdraw(anna)
    kept, stopped = [
        await firm.service.call_of(firm.tenant, call.call)
        for firm, call in zip((company, neighbour), calls, strict=True)
    ]
    assert (kept.recording, kept.reason, kept.legal_ref) == (True, "tenant_legal_obligation", DUTY.legal_ref)
    assert (stopped.recording, stopped.reason) == (False, "withdrawn") and stopped.stopped_at is not None
    assert await stops(company, kept) == [("recording.kept", "tenant_legal_obligation")]
    assert await stops(neighbour, stopped) == [("recording.stop", "withdrawn")]
    # When the duty ends, nothing else carries the recording.
    await company.service.set_duty(company.tenant, "communication", DUTY.model_copy(update={"state": "ended"}), key())
    assert (await company.service.call_of(company.tenant, kept.call)).reason == "withdrawn"


@pytest.mark.parametrize("how", ["refusal", "restriction"])
async def test_whatever_ends_the_right_to_record_ends_the_recording(company, anna, how):
    told, omar = await company.notice(), new_id()
    for who in (anna, omar):
        await company.give(who, told)
    call = await call_of(company, anna, omar)
    if how == "refusal":
        assert not (await said(company, call, told, 0, "no")).recording
    else:
        asked = SetRestriction(state="set", ground="accuracy")
        await company.service.set_restriction(company.tenant, anna, asked, key())
    reason = {"refusal": "refused", "restriction": "restricted"}[how]
    assert (await company.service.call_of(company.tenant, call.call)).reason == reason
    assert await stops(company, call) == [("recording.stop", reason)]


async def test_no_recording_goes_on_after_a_withdrawal_that_came_at_the_same_moment_as_the_call(company):
    told, agent = await company.notice(), new_id()
    await company.give(agent, told)
    people = [new_id() for _ in range(20)]
    for who in people:
        await company.give(who, told)
    both = [each for who in people for each in (call_of(company, who, agent), company.withdraw(who))]
    calls = (await asyncio.gather(*both))[::2]
    for call in calls:
        assert not (await company.service.call_of(company.tenant, call.call)).recording


async def test_a_book_that_comes_into_force_stops_what_it_no_longer_allows_and_lets_the_rest_go_on(
    served, company, anna, monkeypatch
):
    """Another regulator's word: recordings of the own customers rest on no consent any more; where the law obliges, they go on."""
    obliged = type(company)(served)
    await obliged.service.set_duty(obliged.tenant, "communication", DUTY, key())
    calls = []
    for firm in (company, obliged):
        told, agent = await firm.notice(), new_id()
        for who in (anna, agent):
            await firm.give(who, told)
        calls.append(await call_of(firm, anna, agent))
    assert [call.recording for call in calls] == [True, True]
    today = served.app.state.policy.current()
    rows = tuple(row for row in today.bases if (row.purpose, row.basis) != ("communication", "consent"))
    other = PolicyBook.model_validate_json(today.model_copy(update={"bases": rows}).model_dump_json())
    monkeypatch.setattr(served.app.state.policy, "current", lambda: other)

    async def gone_on() -> list[str]:
        found = [
            await firm.service.call_of(firm.tenant, call.call)
            for firm, call in zip((company, obliged), calls, strict=True)
        ]
        return [f"{call.recording} {call.reason}" for call in found]

    wanted = ["False no_legal_basis", "True tenant_legal_obligation"]
    async with asyncio.timeout(PATIENCE):
        while await gone_on() != wanted:
            await asyncio.sleep(0.05)
    assert await stops(company, calls[0]) == [("recording.stop", "no_legal_basis")]
    # It is looked at once, not every second.
    await asyncio.sleep(1.5)
    assert await stops(obliged, calls[1]) == [("recording.kept", "tenant_legal_obligation")]


async def test_a_call_that_cannot_be_looked_at_by_another_book_leaves_the_others_alone_and_is_tried_until_it_can(
    served, company, anna, monkeypatch
):
    firms, calls = sorted((type(company)(served) for _ in range(4)), key=lambda firm: firm.tenant), []
    for firm in firms:
        told, agent = await firm.notice(), new_id()
        for who in (anna, agent):
            await firm.give(who, told)
        calls.append(await call_of(firm, anna, agent))

    async def going_on() -> list[bool]:
        each = zip(firms, calls, strict=True)
        return [(await firm.service.call_of(firm.tenant, call.call)).recording for firm, call in each]

    async def until(wanted: list[bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while await going_on() != wanted:
                await asyncio.sleep(0.05)

    today = served.app.state.policy.current()
    rows = tuple(row for row in today.bases if (row.purpose, row.basis) != ("communication", "consent"))
    other = PolicyBook.model_validate_json(today.model_copy(update={"bases": rows}).model_dump_json())
    admin = await served.house.postgres.connect(DATABASE)
    broken = f"ALTER TABLE consent.call ADD CONSTRAINT broken CHECK (tenant <> '{firms[0].tenant}') NOT VALID"
    await admin.execute(broken)
    try:
        monkeypatch.setattr(jobs, "_BOOK_SETTLES", 0)
        monkeypatch.setattr(served.app.state.policy, "current", lambda: other)
        await until([True, False, False, False])
    finally:
        await admin.execute("ALTER TABLE consent.call DROP CONSTRAINT broken")
        await admin.close()
    await until([False] * 4)


async def test_a_recording_stops_when_a_consent_in_it_lapses(served, company, anna, monkeypatch):
    told, agent = await company.notice(), new_id()
    for who in (anna, agent):
        given = await company.give(who, told)
    call = await call_of(company, anna, agent)
    assert call.recording
    now, clockwork = clock.now, Clockwork(served.app.state.database, served.app.state.own_desk)

    def two_years_on(but_for: float) -> None:
        ahead = given.valid_until - now() - timedelta(seconds=but_for)
        later.setattr(clock, "now", lambda: now() + ahead)

    with monkeypatch.context() as later:
        # What was given in other tests lapses before, and is as much as there are tests.
        two_years_on(but_for=5)
        while await clockwork._lapse():
            """Until nothing is left that had."""
        two_years_on(but_for=1)
        ticking = asyncio.create_task(clockwork.tick())
        async with asyncio.timeout(5 * busy()):
            while (await company.service.call_of(company.tenant, call.call)).recording:
                await asyncio.sleep(0.05)
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
    assert await stops(company, call) == [("recording.stop", "expired")]


async def test_what_makes_no_sense_in_a_call_is_refused(company, anna):
    told = await company.notice()
    call = await call_of(company, anna)
    with pytest.raises(CallKnown):
        await company.service.start_call(
            company.tenant, StartCall(call=call.call, participants=[CallParty(principal=None, role="caller")]), key()
        )
    with pytest.raises(NotContent):
        await call_of(company, anna, purpose="development", category="traffic")
    with pytest.raises(NotInTheCall):
        await said(company, call, told, 7)
    ended = await company.service.end_call(company.tenant, call.call, key())
    assert (ended.state, ended.recording) == ("ended", False)
    with pytest.raises(CallEnded):
        await said(company, call, told, 0)
    with pytest.raises(UnknownCall):
        await company.service.call_of(company.tenant, uuid4())
