"""Objections and restrictions by the request they answer, and what a withdrawal lets others erase."""

from datetime import timedelta

from chassis import clock
from chassis.ids import new_id
from services.consent.contract import SetDuty, SetObjection, SetRestriction, Vouched, WithdrawConsent
from tests.consent.conftest import key


async def feed(company, event):
    """The event as it stands on the feed, which is for services and names every tenant."""
    headers = await company.headers(client_id="rights", sub="rights", tenant=None)
    after = 0
    while True:
        page = (
            await company.served.http.get(
                company.served.url + "/events", params={"after": after, "wait": 5}, headers=headers
            )
        ).json()
        for item in page["items"]:
            if item["id"] == str(event):
                return item
        after = page["next"]


async def test_a_restriction_stands_until_the_last_request_that_holds_it_up_has_ended(company, anna):
    async def put(state, case, ground=None):
        asked = SetRestriction(state=state, ground=ground, case=case)
        return await company.service.set_restriction(company.tenant, anna, asked, key())

    first, second = new_id(), new_id()
    await put("set", first, "accuracy")
    await put("set", second, "objection")
    assert (await put("lifted", first)).state == "set", "the second request still holds it"
    assert (await company.service.standing(company.tenant, anna)).restriction.state == "set"
    denied = await company.decision(anna, "maintaining_service", "traffic")
    assert (denied.decision, denied.context.reason) == (False, "restricted")
    assert (await put("lifted", second)).state == "lifted"
    assert (await company.decision(anna, "maintaining_service", "traffic")).decision


async def test_the_same_put_again_changes_nothing_whatever_its_key(company, anna):
    raised = SetObjection(state="raised", case=new_id())
    once = await company.service.set_objection(company.tenant, anna, "development", raised, key())
    again = await company.service.set_objection(company.tenant, anna, "development", raised, key())
    assert again == once
    assert len((await company.service.records(company.tenant, anna)).items) == 1
    told = await feed(company, once.event)
    assert told["data"]["case"] == str(raised.case) and told["subject"] == str(anna)


async def test_an_objection_overruled_in_one_request_stands_while_another_is_open_and_ends_with_her_own_word(
    company, anna
):
    async def put(state, case=None):
        asked = SetObjection(state=state, case=case)
        return (await company.service.set_objection(company.tenant, anna, "development", asked, key())).state

    old, new = new_id(), new_id()
    assert [await put("raised", old), await put("raised", new), await put("overruled", old)] == ["raised"] * 3
    assert not (await company.decision(anna, "development", "usage_statistics")).decision
    assert await put("lifted") == "lifted"
    assert (await company.decision(anna, "development", "usage_statistics")).decision


async def test_an_objection_told_late_stands_though_another_request_ended_meanwhile_but_not_against_her_own_word(
    company, anna
):
    """As rights tells everything again to a consent service that came back from a backup, each dated as it was."""
    now = clock.now()

    async def put(state, case, hours):
        asked = SetObjection(state=state, case=case, occurred_at=now - timedelta(hours=hours))
        return (await company.service.set_objection(company.tenant, anna, "development", asked, key())).state

    first, second, third = new_id(), new_id(), new_id()
    assert [await put("raised", first, 5), await put("lifted", first, 3)] == ["raised", "lifted"]
    assert await put("raised", second, 4) == "raised"
    assert not (await company.decision(anna, "development", "usage_statistics")).decision
    told = await company.service.records(company.tenant, anna)
    assert len(told.items) == 4, "what she said is on record as of then, and from when on it counts"
    herself = company.herself(anna)
    ended = await herself.set_objection(company.tenant, anna, "development", SetObjection(state="lifted"), key())
    await put("raised", third, 2)
    assert (await company.service.standing(company.tenant, anna)).objections[0].record == ended.record
    assert (await company.decision(anna, "development", "usage_statistics")).decision


async def test_a_restriction_told_late_stands_though_another_request_ended_meanwhile(company, anna):
    now = clock.now()

    async def put(state, case, hours):
        ground, at = ("accuracy" if state == "set" else None), now - timedelta(hours=hours)
        asked = SetRestriction(state=state, ground=ground, case=case, occurred_at=at)
        return await company.service.set_restriction(company.tenant, anna, asked, key())

    first, second = new_id(), new_id()
    await put("set", first, 5)
    await put("lifted", first, 3)
    assert (await put("set", second, 4)).current
    assert (await company.decision(anna, "maintaining_service", "traffic")).context.reason == "restricted"
    assert (await put("lifted", second, 1)).current
    assert (await company.decision(anna, "maintaining_service", "traffic")).decision


async def test_a_withdrawal_names_what_rested_on_that_consent_alone(company, anna):
    told = await company.notice()
    await company.give(anna, told)
    withdrawn = await feed(company, (await company.withdraw(anna)).event)
    assert withdrawn["type"] == "consent.withdrawn"
    assert withdrawn["data"]["erase_rule"] == "recordings_on_withdrawal"
    assert set(withdrawn["data"]["erase_elements"]) == {"recorded_call", "helpdesk_recording"}
    # Traffic data rest on the contract as well, so the consent to development carries nothing alone.
    other = await feed(company, (await company.withdraw(anna, "development")).event)
    assert "erase_rule" not in other["data"]
    # What arrives late and does not count erases nothing.
    late = await feed(company, (await company.withdraw(anna, at=clock.now() - timedelta(days=1))).event)
    assert "erase_rule" not in late["data"]


async def test_a_withdrawal_says_on_whose_word_it_is_and_counts_at_once_whoever_says_it(company, anna):
    told = await company.notice()

    async def vouched(client, **said) -> object:
        await company.until_known(await company.give(anna, told))
        wish = WithdrawConsent(purpose="communication", **said)
        record = await client.withdraw(company.tenant, wish, key())
        assert (await company.decision(anna, "communication", "recorded_call")).context.reason == "withdrawn"
        event = (await feed(company, record.event))["data"]
        assert event["erase_rule"] == "recordings_on_withdrawal"
        return event.get("vouched")

    olle, other = company.client(kind="staff", sub="olle"), Vouched(by="hugo")
    assert await vouched(olle, principal=anna) == {"by": "olle"}
    assert await vouched(olle, principal=anna, vouched=other) == {"by": "olle"}, "nobody names another for it"
    assert await vouched(company.service, principal=anna, vouched=other) == {"by": "hugo"}
    assert await vouched(company.service, principal=anna, vouched=Vouched()) == {"by": None}
    assert await vouched(company.service, principal=anna) is None
    assert await vouched(company.herself(anna), vouched=other) is None


async def test_what_a_duty_obliges_the_tenant_to_keep_is_not_erased(company, anna):
    duty = SetDuty(state="recorded", legal_ref="Lag (2007:528) 9 kap.")
    await company.service.set_duty(company.tenant, "communication", duty, key())
    withdrawn = await feed(company, (await company.withdraw(anna)).event)
    assert withdrawn["data"]["erase_elements"] == ["helpdesk_recording"]
