"""Around a consent: the whole record, refusing and asking again, a child's guardian, a browser's signal, lapsing, looking back."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta

import pytest
from structlog.testing import capture_logs

from chassis import clock
from chassis.errors import Forbidden, NotFound
from chassis.ids import new_id
from services.consent import jobs, queries, receipts, records
from services.consent.commands import statements
from services.consent.contract import (
    AlreadyGiven,
    AskConsent,
    AskedTooSoon,
    EndConsent,
    EndGuardian,
    GiveConsent,
    NoConsentToEnd,
    NotAGuardian,
    NoticeNotInForce,
    ParentalNeeded,
    Party,
    RefuseConsent,
    Regulation,
    SetDuty,
    SetGuardian,
    SetObjection,
    UnknownPurpose,
    WithdrawConsent,
)
from services.consent.jobs import Clockwork
from services.registry.contract import PolicyBook
from tests.consent.conftest import key
from tests.consent.house import DATABASE
from tests.consent.test_cases import feed
from tests.patience import PATIENCE

LAWYERS = Party(id="559999-0002", address="Provgatan 1, Stockholm", contact="dpo@operator.example")


def given(told, anna, **other):
    wish = {"purpose": "communication", "notice": told.notice, "notice_version": told.version, "principal": anna}
    return GiveConsent(**(wish | other))


async def test_a_record_says_all_that_the_standard_asks_for(company, anna):
    told = await company.notice(party=LAWYERS)
    wish = given(told, anna, service="helpdesk", evidence_ref="archive/2026/17", expression="explicit")
    got = await company.service.give(company.tenant, wish, key())
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    record = receipts.opened(got.receipt, jwks)["record"]
    missing = {name for name, ours in records.FIELDS.items() if record.get(ours) in (None, "", [], {})}
    assert missing == set()
    assert record["controllers"] == [
        {"name": "Operatören AB", "type": "controller", "role": "controller"} | LAWYERS.model_dump()
    ]
    assert record["pii"][1] == {
        "type": "recorded_call",
        "label": "Inspelade samtal",
        "iri": None,
        "optional": True,
        "special": False,
    }
    assert record["notice"]["sha256"] == told.sha256 and record["language"] == "sv"
    assert record["evidence_ref"] == "archive/2026/17" and record["type"] == "explicit"
    assert record["storage_locations"] == ["ca", "de", "europe", "se", "us"]
    assert {"rule": "helpdesk_recordings", "keep": "30 days", "from": "started_at"} in record["retention"]


async def test_consent_refers_to_the_words_in_force_when_it_was_given(company, anna):
    first = await company.notice(valid_from=clock.now() - timedelta(days=10))
    await company.notice(valid_from=clock.now() - timedelta(days=5))
    with pytest.raises(NoticeNotInForce):
        await company.service.give(company.tenant, given(first, anna), key())
    on_paper = given(first, anna, occurred_at=clock.now() - timedelta(days=7), method="paper")
    assert (await company.service.give(company.tenant, on_paper, key())).state == "given"
    with pytest.raises(NoticeNotInForce):
        too_early = given(first, new_id(), occurred_at=clock.now() - timedelta(days=11), method="paper")
        await company.service.give(company.tenant, too_early, key())


async def test_from_the_answer_to_a_publication_on_the_words_before_are_not_consented_to(company):
    """Also where others give their consent, and so read the version before it, while it is published."""
    told, over = await company.notice(), asyncio.Event()

    async def giving() -> None:
        while not over.is_set():
            with suppress(NoticeNotInForce):
                await company.give(new_id(), told)

    crowd = [asyncio.create_task(giving()) for _ in range(8)]
    try:
        for _ in range(4):
            told = await company.notice(valid_from=None)
            before = told.model_copy(update={"version": told.version - 1})
            with pytest.raises(NoticeNotInForce):
                await company.give(new_id(), before)
    finally:
        over.set()
        await asyncio.gather(*crowd)


async def test_no_consent_passes_a_publication_that_another_process_is_about_to_commit(company, anna):
    told, admin = await company.notice(), await company.served.house.postgres.connect(DATABASE)
    await company.give(anna, told)  # this process has read the version by now
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"notices {company.tenant}")
        await admin.execute(_NEXT_VERSION, company.tenant, clock.now())
        giving = asyncio.create_task(company.give(new_id(), told))
        while not giving.done() and not await admin.fetchval(_WAITED_FOR):
            await asyncio.sleep(0.01)
    with pytest.raises(NoticeNotInForce):
        await giving
    with pytest.raises(NoticeNotInForce):
        await company.give(new_id(), told)
    no = RefuseConsent(purpose="communication", notice="recordings", notice_version=1, principal=new_id())
    assert (await company.service.refuse(company.tenant, no, key())).state == "refused"
    await admin.close()


_NEXT_VERSION = """
INSERT INTO consent.notice_version SELECT (jsonb_populate_record(n, jsonb_build_object('version', 2, 'valid_from', $2::timestamptz))).*
FROM consent.notice_version n WHERE tenant = $1"""
_WAITED_FOR = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


async def test_somebody_who_said_no_is_not_asked_again_until_the_book_lets_us(company, anna):
    told = await company.notice()
    asking = AskConsent(purpose="communication", notice=told.notice, notice_version=told.version, principal=anna)
    asked = await company.service.ask_for_consent(company.tenant, asking, key())
    assert asked.state == "requested"
    assert (await company.decision(anna, "communication", "recorded_call")).context.reason == "no_consent"
    no = RefuseConsent(**asking.model_dump(exclude={"principal"}), principal=anna)
    later = await company.service.refuse(company.tenant, no.model_copy(update={"later": True}), key())
    assert later.state == "request_deferred"
    await company.service.ask_for_consent(company.tenant, asking, key())
    long_ago = clock.now() - timedelta(days=200)
    await company.service.refuse(company.tenant, no.model_copy(update={"occurred_at": long_ago}), key())
    assert (await company.decision(anna, "communication", "recorded_call")).context.reason == "refused"
    await company.service.ask_for_consent(company.tenant, asking, key())
    # To ask takes nothing away: her no stands until she says otherwise.
    assert (await company.decision(anna, "communication", "recorded_call")).context.reason == "refused"
    await company.service.refuse(company.tenant, no, key())
    with pytest.raises(AskedTooSoon) as refused:
        await company.service.ask_for_consent(company.tenant, asking, key())
    assert refused.value.extra["not_before"] > clock.now().date().isoformat()
    # It is a no to the purpose, by whichever law she is asked.
    with pytest.raises(AskedTooSoon):
        by_another = asking.model_copy(update={"regulation": Regulation.eprivacy})
        await company.service.ask_for_consent(company.tenant, by_another, key())
    await company.give(anna, told)
    with pytest.raises(AlreadyGiven):
        await company.service.ask_for_consent(company.tenant, asking, key())
    with pytest.raises(Forbidden):
        await company.herself(anna).ask_for_consent(company.tenant, asking, key())


async def test_for_a_child_her_guardian_speaks_until_she_is_of_age(company):
    told, maja, erik = await company.notice(), new_id(), new_id()
    today = clock.now().date()
    born = today.replace(year=today.year - 12, day=1)
    who = SetGuardian(guardian=erik, born=born, evidence_ref="crm/17")
    assert (await company.service.set_guardian(company.tenant, maja, who, key())).of_age_on.year == born.year + 13
    wish = given(told, None)
    with pytest.raises(ParentalNeeded):
        await company.herself(maja).give(company.tenant, wish, key())
    parental = given(told, maja, expression="parental")
    with pytest.raises(ParentalNeeded):
        await company.herself(maja).give(company.tenant, parental, key())
    with pytest.raises(NotFound):
        await company.herself(new_id()).give(company.tenant, parental, key())
    got = await company.herself(erik).give(company.tenant, parental, key())
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    record = receipts.opened(got.receipt, jwks)["record"]
    assert (record["principal_id"], record["guardian"], record["type"]) == (str(maja), str(erik), "parental")
    await company.until_known(got)
    assert (await company.herself(erik).receipt(company.tenant, got.record)).receipt == got.receipt
    assert [each.record for each in (await company.herself(erik).records(company.tenant, maja)).items] == [got.record]
    with pytest.raises(NotFound):
        await company.herself(new_id()).receipt(company.tenant, got.record)
    # She can always end it herself.
    withdrawal = WithdrawConsent(purpose="communication")
    assert (await company.herself(maja).withdraw(company.tenant, withdrawal, key())).state == "withdrawn"
    for grown in (
        who.model_copy(update={"born": born.replace(year=born.year - 1)}),
        who.model_copy(update={"guardian": maja}),
    ):
        with pytest.raises(NotAGuardian):
            await company.service.set_guardian(company.tenant, maja, grown, key())
    with pytest.raises(NotAGuardian):
        await company.service.give(company.tenant, given(told, erik, expression="parental"), key())


async def test_two_parents_speak_for_a_child_and_where_none_is_left_it_is_a_child_all_the_same(company):
    told, maja, erik, eva = await company.notice(), new_id(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    for guardian in (erik, eva):
        who = SetGuardian(guardian=guardian, born=born, evidence_ref="crm/17")
        await company.service.set_guardian(company.tenant, maja, who, key())
    parental = given(told, maja, expression="parental")
    for guardian in (erik, eva):
        await company.herself(guardian).give(company.tenant, parental, key())
    ended = await company.service.end_guardian(company.tenant, maja, EndGuardian(guardian=erik), key())
    assert (await feed(company, ended.event))["data"] == {"guardian": str(erik), "why": "revoked"}
    with pytest.raises(NotFound):
        await company.herself(erik).give(company.tenant, parental, key())
    with pytest.raises(NotFound):
        await company.herself(erik).records(company.tenant, maja)
    await company.herself(eva).give(company.tenant, parental, key())
    with pytest.raises(NotAGuardian):
        await company.service.end_guardian(company.tenant, maja, EndGuardian(guardian=erik), key())
    await company.service.end_guardian(company.tenant, maja, EndGuardian(guardian=eva), key())
    with pytest.raises(NotFound):
        await company.herself(eva).give(company.tenant, parental, key())
    with pytest.raises(ParentalNeeded):
        await company.herself(maja).give(company.tenant, given(told, None), key())
    on_paper = given(told, maja, expression="parental", guardian=eva, method="paper")
    with pytest.raises(NotAGuardian):  # nor does staff take a parent's yes on paper
        await company.service.give(company.tenant, on_paper, key())
    with pytest.raises(Forbidden):
        await company.herself(erik).end_guardian(company.tenant, maja, EndGuardian(guardian=eva), key())


async def test_a_guardian_whom_one_of_the_staff_records_speaks_once_another_has_recorded_the_same(company):
    told, maja, erik = await company.notice(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    olle, pia = [company.client(kind="staff", sub=name) for name in ("olle", "pia")]
    who = SetGuardian(guardian=erik, born=born, evidence_ref="crm/17", until=clock.now().date() + timedelta(days=90))
    yes, no = given(told, maja, expression="parental"), WithdrawConsent(purpose="communication", principal=maja)
    on_paper = given(told, maja, expression="parental", guardian=erik, method="paper")

    async def recorded(staff, **bent) -> bool:
        said = await staff.set_guardian(company.tenant, maja, who.model_copy(update=bent), key())
        event = (await feed(company, said.event))["data"]
        assert event == {"guardian": str(erik), "by": event["by"]} | ({"waiting": True} if said.waiting else {})
        return said.waiting

    async def is_nobody() -> None:
        him = company.herself(erik)
        for attempt in (
            him.give(company.tenant, yes, key()),
            him.withdraw(company.tenant, no, key()),
            him.records(company.tenant, maja),
        ):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(NotAGuardian):
            await olle.give(company.tenant, on_paper, key())

    assert await recorded(olle)
    await is_nobody()
    with pytest.raises(ParentalNeeded):  # but she is a child from the first word on
        await company.herself(maja).give(company.tenant, given(told, None), key())
    assert await recorded(olle), "he says it himself once more"
    assert await recorded(pia, born=born + timedelta(days=400)), "another says something else"
    assert await recorded(pia, born=None), "and then nothing"
    await is_nobody()
    assert await recorded(olle) and not await recorded(pia)
    await company.herself(erik).give(company.tenant, yes, key())
    assert not await recorded(olle), "what two have recorded"
    assert not await recorded(olle, until=who.until - timedelta(days=1)), "and less than that"
    for more in ({}, {"until": None}, {"born": born + timedelta(days=1)}):
        assert await recorded(olle, **more), "is more than two have recorded"
        await is_nobody()
        assert not await recorded(pia, **more)
    await company.service.end_guardian(company.tenant, maja, EndGuardian(guardian=erik), key())
    assert await recorded(olle), "he had ended"
    await is_nobody()


async def test_a_child_speaks_for_no_other_child(company):
    told, maja, erik = await company.notice(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    of_maja, of_erik = [SetGuardian(guardian=who, born=born, evidence_ref="crm/17") for who in (erik, new_id())]
    await company.service.set_guardian(company.tenant, maja, of_maja, key())
    yes = given(told, maja, expression="parental")
    await company.herself(erik).give(company.tenant, yes, key())
    await company.service.set_guardian(company.tenant, erik, of_erik, key())
    with pytest.raises(NotFound):
        await company.herself(erik).give(company.tenant, yes, key())
    with pytest.raises(NotAGuardian):
        await company.service.set_guardian(company.tenant, new_id(), of_maja, key())


async def test_two_of_the_staff_who_record_a_guardian_at_once_are_two(company):
    told, maja, erik = await company.notice(), new_id(), new_id()
    who = SetGuardian(guardian=erik, born=clock.now().date() - timedelta(days=9 * 365), evidence_ref="crm/17")
    staff = [company.client(kind="staff", sub=name) for name in ("olle", "pia")]
    both = await asyncio.gather(*(each.set_guardian(company.tenant, maja, who, key()) for each in staff))
    assert sorted(each.waiting for each in both) == [False, True]
    await company.herself(erik).give(company.tenant, given(told, maja, expression="parental"), key())


async def test_whom_rights_tells_of_two_have_looked_at_and_what_one_says_of_a_child_is_not_what_two_said(company):
    told, maja, erik, eva = await company.notice(), new_id(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    olle = company.client(kind="staff", sub="olle")
    who = SetGuardian(guardian=erik, born=born, evidence_ref="crm/17")
    assert (await olle.set_guardian(company.tenant, maja, who, key())).waiting
    confirmed = who.model_copy(update={"born": None, "evidence_ref": "mandate/1"})
    assert not (await company.service.set_guardian(company.tenant, maja, confirmed, key())).waiting
    yes = given(told, maja, expression="parental")
    await company.herself(erik).give(company.tenant, yes, key())
    younger = SetGuardian(guardian=eva, born=born + timedelta(days=700), evidence_ref="crm/18")
    assert (await olle.set_guardian(company.tenant, maja, younger, key())).waiting
    again = await company.service.set_guardian(company.tenant, maja, confirmed, key())
    assert again.of_age_on.year == born.year + 13, "one of the staff alone makes nobody a child for longer"
    await company.herself(erik).give(company.tenant, yes, key())


async def test_a_house_with_a_helpdesk_of_one_has_one_of_the_staff_record_a_guardian(company, monkeypatch):
    written = company.served.app.state.policy.current().model_dump(mode="json") | {"version": "2030.3"}
    alone = {"confirmed_by": "person"}
    written["representations"] = [
        row | (alone if row["key"] == "guardian" else {}) for row in written["representations"]
    ]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(company.served.app.state.policy, "current", lambda: book)
    who = SetGuardian(guardian=new_id(), born=clock.now().date() - timedelta(days=9 * 365), evidence_ref="crm/17")
    olle = company.client(kind="staff", sub="olle")
    assert not (await olle.set_guardian(company.tenant, new_id(), who, key())).waiting


async def test_a_parent_s_yes_on_paper_names_the_parent_who_is_known_to_speak(company):
    told, maja, erik, anna = await company.notice(), new_id(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    who = SetGuardian(guardian=erik, born=born, evidence_ref="crm/17")
    await company.service.set_guardian(company.tenant, maja, who, key())
    on_paper = {"method": "paper", "evidence_ref": "archive/2026/17"}
    for wrong in (
        given(told, maja, **on_paper, expression="parental"),
        given(told, maja, **on_paper, expression="parental", guardian=new_id()),
        given(told, maja, **on_paper, expression="parental", guardian=maja),
        given(told, maja, **on_paper, guardian=erik),
        given(told, anna, **on_paper, guardian=erik),
        given(told, anna, **on_paper, expression="parental", guardian=erik),
    ):
        with pytest.raises(NotAGuardian):
            await company.service.give(company.tenant, wrong, key())
    parental = given(told, maja, **on_paper, expression="parental", guardian=erik)
    got = await company.service.give(company.tenant, parental, key())
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    record = receipts.verify(await company.again(got), jwks)
    assert (record["type"], record["guardian"], record["actor"]["kind"]) == ("parental", str(erik), "client")
    with pytest.raises(NotAGuardian):  # whoever is logged in gives nobody else's
        other = given(told, maja, expression="parental", guardian=new_id())
        await company.herself(erik).give(company.tenant, other, key())


async def test_nobody_consents_for_a_child_who_is_old_enough_for_the_purpose(company, monkeypatch):
    told, maja, erik = await company.notice(), new_id(), new_id()
    written = company.served.app.state.policy.current().model_dump(mode="json") | {"version": "2030.2"}
    own = {"min_age": 16}
    written["purposes"] = [row | (own if row["key"] == "communication" else {}) for row in written["purposes"]]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(company.served.app.state.policy, "current", lambda: book)
    day = clock.now().date()
    who = SetGuardian(guardian=erik, born=day.replace(year=day.year - 14, day=1), evidence_ref="crm/17")
    await company.service.set_guardian(company.tenant, maja, who, key())
    # Nor by dating it back to when she was not.
    for expression, at in (("expressed", None), ("parental", None), ("parental", clock.now() - timedelta(days=700))):
        with pytest.raises(NotAGuardian):
            wish = given(told, maja, purpose="development", expression=expression, occurred_at=at)
            await company.herself(erik).give(company.tenant, wish, key())


async def test_of_a_child_whose_day_of_birth_was_lost_nobody_s_yes_counts_until_it_is_recorded_again(
    company, consent_house
):
    """As rights tells it after consent came back from a backup: who speaks, and not when the child was born."""
    told, maja, erik, eva = await company.notice(), new_id(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)

    async def tells(guardian, born, **other):
        who = SetGuardian(guardian=guardian, born=born, evidence_ref="mandate/1", **other)
        return await company.service.set_guardian(company.tenant, maja, who, key())

    assert (await tells(erik, None)).of_age_on is None
    parental = given(told, maja, expression="parental")
    with pytest.raises(ParentalNeeded):
        await company.herself(maja).give(company.tenant, given(told, None), key())
    with pytest.raises(NotAGuardian):
        await company.herself(erik).give(company.tenant, parental, key())
    no = WithdrawConsent(purpose="communication")
    assert (await company.herself(maja).withdraw(company.tenant, no, key())).state == "withdrawn"
    assert (await tells(eva, born)).of_age_on.year == born.year + 13
    for who in (erik, eva):
        await company.herself(who).give(company.tenant, parental, key())
    # What is known stays, and whoever ended does not come back without a proof.
    until = clock.now().date() + timedelta(days=30)
    await tells(eva, born, until=until)
    assert (await tells(eva, None)).of_age_on.year == born.year + 13
    await company.service.end_guardian(company.tenant, maja, EndGuardian(guardian=erik), key())
    with pytest.raises(NotAGuardian):
        await tells(erik, None)
    with pytest.raises(NotFound):
        await company.herself(erik).give(company.tenant, parental, key())
    await company.herself(eva).give(company.tenant, parental, key())
    owner = await consent_house.postgres.connect(DATABASE)
    ends = await owner.fetchval("SELECT until FROM consent.guardianship WHERE guardian = $1", eva)
    await owner.close()
    assert ends.date() == until, "told again without a proof, it lasts as long as it did"


async def test_a_guardian_s_yes_that_began_before_the_guardianship_ended_is_not_recorded_after_it(company, monkeypatch):
    told, maja, erik = await company.notice(), new_id(), new_id()
    born = clock.now().date().replace(day=1) - timedelta(days=9 * 365)
    who = SetGuardian(guardian=erik, born=born, evidence_ref="crm/17")
    await company.service.set_guardian(company.tenant, maja, who, key())
    looked, go_on, as_before = asyncio.Event(), asyncio.Event(), statements.record_all

    async def later(*args):
        looked.set()
        await go_on.wait()
        return await as_before(*args)

    monkeypatch.setattr(statements, "record_all", later)
    yes = asyncio.create_task(
        company.herself(erik).give(company.tenant, given(told, maja, expression="parental"), key())
    )
    await looked.wait()
    end = company.service.end_guardian(company.tenant, maja, EndGuardian(guardian=erik), key())
    ending = asyncio.create_task(end)
    await asyncio.wait({ending}, timeout=0.5)
    assert not ending.done()
    go_on.set()
    assert (await yes).event < (await ending).event


async def test_a_guardianship_ends_with_its_last_day_and_all_of_them_when_the_child_is_of_age(company, consent_house):
    told, maja, erik, eva = await company.notice(), new_id(), new_id(), new_id()
    book = company.served.app.state.policy.current()
    today = clock.now().astimezone(book.tz).date()
    # Thirteen within nine to eleven days, whichever leap days lie between.
    born = today + timedelta(days=9 - 3 - 13 * 365)
    for guardian, until in ((erik, today + timedelta(days=3)), (eva, None)):
        who = SetGuardian(guardian=guardian, born=born, evidence_ref="crm/17", until=until)
        await company.service.set_guardian(company.tenant, maja, who, key())
    with pytest.raises(NotAGuardian):
        over = who.model_copy(update={"until": today - timedelta(days=1)})
        await company.service.set_guardian(company.tenant, maja, over, key())
    state = company.served.app.state
    clockwork = Clockwork(state.database, state.own_desk)
    parental = given(told, maja, expression="parental")
    midnight = datetime.combine(today + timedelta(days=4), time.min, book.tz)

    async def ended(guardian):
        listener = await company.headers(scope="events.read", client_id="webhooks", sub="webhooks")
        page = await company.served.http.get(
            company.served.url + "/events", params={"types": "guardian.ended", "limit": 500}, headers=listener
        )
        found = [each for each in page.json()["items"] if each["subject"] == str(maja)]
        return [each["data"]["why"] for each in found if each["data"]["guardian"] == str(guardian)]

    def at(moment):
        clock.set_offset(company.served.clock, moment - datetime.now(UTC))

    try:
        at(midnight - timedelta(seconds=90))
        await company.herself(erik).give(company.tenant, parental, key())
        at(midnight)
        with pytest.raises(NotFound):  # before anything came round to say so
            await company.herself(erik).give(company.tenant, parental, key())
        await company.herself(eva).give(company.tenant, parental, key())
        await clockwork.tick()
        await clockwork.tick()
        async with asyncio.timeout(PATIENCE):
            while await ended(erik) != ["last_day"]:
                await asyncio.sleep(0.1)
        at(midnight + timedelta(days=7))
        await clockwork.tick()
        with pytest.raises(NotFound):
            await company.herself(eva).give(company.tenant, parental, key())
        async with asyncio.timeout(PATIENCE):
            while await ended(eva) != ["of_age"]:
                await asyncio.sleep(0.1)
        assert await ended(erik) == ["last_day"], "what had ended is not told again"
        await company.herself(maja).give(company.tenant, given(told, None), key())
    finally:
        clock.set_offset(company.served.clock, timedelta(0))
    admin = await consent_house.postgres.connect(DATABASE)
    left = await admin.fetchval("SELECT count(*) FROM consent.guardianship WHERE principal = $1", maja)
    await admin.close()
    assert left == 0, "nor is her day of birth known any more"


async def test_each_purpose_may_have_its_own_validity_pause_after_a_no_and_age(company, monkeypatch):
    told, maja, erik, today = await company.notice(), new_id(), new_id(), company.served.app.state.policy.current()
    own = {"consent_validity": "1 month", "re_ask_after": "2 years", "min_age": 16}
    written = today.model_dump(mode="json")
    written["purposes"] = [row | (own if row["key"] == "communication" else {}) for row in written["purposes"]]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(company.served.app.state.policy, "current", lambda: book)

    short, long = [await company.give(erik, told, purpose=each) for each in ("communication", "development")]
    assert (short.valid_until - short.occurred_at).days in range(28, 32)
    assert (long.valid_until - long.occurred_at).days in range(728, 733)

    wish = {"notice": told.notice, "notice_version": told.version, "principal": maja}
    for purpose in ("communication", "development"):
        no = RefuseConsent(purpose=purpose, occurred_at=clock.now() - timedelta(days=300), **wish)
        await company.service.refuse(company.tenant, no, key())
    await company.service.ask_for_consent(company.tenant, AskConsent(purpose="development", **wish), key())
    with pytest.raises(AskedTooSoon):
        await company.service.ask_for_consent(company.tenant, AskConsent(purpose="communication", **wish), key())

    day = clock.now().date()
    child = SetGuardian(guardian=erik, born=day.replace(year=day.year - 14, day=1), evidence_ref="crm/17")
    assert (
        await company.service.set_guardian(company.tenant, maja, child, key())
    ).of_age_on.year == child.born.year + 16
    await company.herself(maja).give(company.tenant, given(told, None, purpose="development"), key())
    with pytest.raises(ParentalNeeded):
        await company.herself(maja).give(company.tenant, given(told, None), key())


async def test_a_browser_s_signal_objects_to_what_the_book_maps_it_to_and_yields_to_her_own_word(company, anna):
    async def signal(**header):
        headers = await company.headers(kind="customer", sub=str(anna)) | header
        return await company.served.http.post(company.served.url + "/v1/signals", json={}, headers=headers)

    assert (await signal()).status_code == 422
    raised = (await signal(**{"sec-gpc": "1"})).json()["objections"]
    assert [(each["purpose"], each["state"]) for each in raised] == [("development", "raised")]
    assert (await company.decision(anna, "development", "usage_statistics")).context.reason == "objected"
    assert (await signal(**{"sec-gpc": "1"})).json()["objections"] == raised
    await company.service.set_objection(company.tenant, anna, "development", SetObjection(state="lifted"), key())
    assert (await signal(**{"sec-gpc": "1"})).json()["objections"] == []
    assert (await company.decision(anna, "development", "usage_statistics")).decision


@pytest.mark.parametrize(("sent", "status"), [("01", 200), ("10", 200), ("00", 422), (["1, 0"], 422), (["true"], 422)])
async def test_of_several_headers_of_a_browser_s_signal_one_that_says_it_is_enough(company, anna, sent, status):
    headers = list((await company.headers(kind="customer", sub=str(anna))).items())
    headers += [("sec-gpc", value) for value in sent]
    answer = await company.served.http.post(company.served.url + "/v1/signals", json={}, headers=headers)
    assert answer.status_code == status


async def test_a_signal_that_comes_with_her_own_word_yields_to_it(company, anna, monkeypatch):
    headers = await company.headers(kind="customer", sub=str(anna)) | {"sec-gpc": "1"}
    as_before, lifting = queries.standing, []

    async def and_she_lifts_it(*args):
        found = await as_before(*args)
        lift = SetObjection(state="lifted")
        lifting.append(
            asyncio.create_task(company.service.set_objection(company.tenant, anna, "development", lift, key()))
        )
        await asyncio.wait(lifting, timeout=0.5)
        return found

    monkeypatch.setattr(queries, "standing", and_she_lifts_it)
    answer = await company.served.http.post(company.served.url + "/v1/signals", json={}, headers=headers)
    monkeypatch.undo()
    assert answer.status_code == 200
    await lifting[0]
    [objection] = (await company.service.standing(company.tenant, anna)).objections
    assert objection.state == "lifted"


async def test_a_consent_that_lapsed_is_told_to_subscribers_and_one_given_meanwhile_still_counts(company, anna):
    told, bert = await company.notice(), new_id()
    two_years = timedelta(days=731)
    for person in (anna, bert):
        await company.give(person, told, at=clock.now() - two_years)
    state = company.served.app.state
    clockwork = Clockwork(state.database, state.own_desk)
    await clockwork.tick()
    stands = (await company.service.standing(company.tenant, anna)).consents[0]
    assert stands.state == "expired"
    event = (await company.service.records(company.tenant, anna)).items[0].event
    assert (await feed(company, event))["type"] == "consent.expired"
    # Bert had renewed it on paper a year ago; it arrives only now.
    late = await company.give(bert, told, at=clock.now() - timedelta(days=365))
    assert late.current
    await company.until_known(late)
    assert (await company.decision(bert, "communication", "recorded_call", participants=[])).decision
    await clockwork.tick()
    assert (await company.service.standing(company.tenant, bert)).consents[0].state == "given"


# What a disk or a hand in the database leaves behind, and how it is mended.
LOST_NOTICE = (
    "UPDATE consent.standing SET notice = 'lost' WHERE principal = $1",
    "UPDATE consent.standing SET notice = 'recordings' WHERE principal = $1",
)
REFUSED_ROW = (
    "ALTER TABLE consent.statement ADD CONSTRAINT broken CHECK (principal <> '{}') NOT VALID",
    "ALTER TABLE consent.statement DROP CONSTRAINT broken",
)


@pytest.mark.parametrize(("broken", "mended"), [LOST_NOTICE, REFUSED_ROW], ids=["lost notice", "refused row"])
async def test_a_lapse_that_cannot_be_recorded_leaves_the_others_alone_and_is_told_until_it_can(
    company, anna, served, monkeypatch, broken, mended
):
    monkeypatch.setattr(jobs, "_AT_ONCE", 1)
    told, bert = await company.notice(), new_id()
    two_years = timedelta(days=731)
    await company.give(anna, told, at=clock.now() - two_years - timedelta(days=1))
    await company.give(bert, told, at=clock.now() - two_years)

    async def states() -> list[str]:
        standing = [await company.service.standing(company.tenant, each) for each in (anna, bert)]
        return [each.consents[0].state for each in standing]

    admin = await served.house.postgres.connect(DATABASE)
    arguments = [anna] if "$1" in broken else []
    clockwork = Clockwork(served.app.state.database, served.app.state.own_desk)
    clockwork.trouble.lasts = 0.0
    with capture_logs() as log:
        await admin.execute(broken.format(anna), *arguments)
        try:
            await clockwork.tick()
            assert await states() == ["given", "expired"]
        finally:
            await admin.execute(mended, *arguments)
            await admin.close()
        assert not (await company.decision(anna, "communication", "recorded_call", participants=[])).decision
        await clockwork.tick()
    assert await states() == ["expired", "expired"]
    event = "what comes by itself could not be recorded"
    assert {each["event"] for each in log} >= {event, f"{event}: over"}


async def test_what_withdrawing_means_is_shown_before(company, anna):
    await company.give(anna, await company.notice())
    shown = await company.herself(anna).consequence(company.tenant, anna, "communication")
    assert shown.without is not None and shown.without["en"].startswith("We help you all the same")
    assert (shown.notice, shown.standing) == ({"sv": "Vi hjälper dig ändå."}, "given")
    assert shown.erased == ["recorded_call", "helpdesk_recording"]
    duty = SetDuty(state="recorded", legal_ref="Lag (2007:528) 9 kap.")
    await company.service.set_duty(company.tenant, "communication", duty, key())
    assert (await company.service.consequence(company.tenant, anna, "communication")).erased == ["helpdesk_recording"]
    with pytest.raises(NotFound):
        await company.herself(new_id()).consequence(company.tenant, anna, "communication")


async def test_the_standing_of_any_day_is_what_was_known_then(company, anna):
    told = await company.notice()
    before = clock.now()
    await company.give(anna, told)
    between = clock.now()
    await company.withdraw(anna)
    await company.give(anna, told, at=before)  # arrives late and was not known in between
    states = [
        [each.state for each in (await company.service.standing(company.tenant, anna, at)).consents]
        for at in (before - timedelta(seconds=1), between, None)
    ]
    assert states == [[], ["given"], ["withdrawn"]]


async def test_a_consent_can_be_ended_by_whoever_answers_for_it(company, anna):
    told = await company.notice()
    wish = EndConsent(purpose="communication", principal=anna, state="invalidated", legal_ref="IMY DI-2026-1")
    with pytest.raises(NoConsentToEnd):
        await company.service.end(company.tenant, wish, key())
    await company.give(anna, told)
    await company.service.end(company.tenant, wish, key())
    refused = await company.decision(anna, "communication", "recorded_call", participants=[])
    assert (refused.decision, refused.context.reason) == (False, "invalidated")


async def test_what_was_consented_to_can_be_withdrawn_and_lapses_also_when_the_book_has_the_purpose_no_longer(
    company, anna, monkeypatch
):
    told, omar, served = await company.notice(), new_id(), company.served
    long_ago = clock.now() - timedelta(days=700)
    for who, at in ((anna, None), (omar, long_ago)):
        await company.give(who, told, "communication", at)
    await company.give(omar, told, "development", long_ago)
    written = served.app.state.policy.current().model_dump(mode="json")
    written["purposes"] = [row for row in written["purposes"] if row["key"] != "communication"]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(served.app.state.policy, "current", lambda: book)
    later = clock.now() + timedelta(days=60)
    with monkeypatch.context() as months_later:
        months_later.setattr(clock, "now", lambda: later)
        await Clockwork(served.app.state.database, served.app.state.own_desk).tick()
    lapsed = {each.purpose: each.state for each in (await company.service.standing(company.tenant, omar)).consents}
    assert lapsed == {"communication": "expired", "development": "expired"}
    shown = await company.herself(anna).consequence(company.tenant, anna, "communication")
    assert (shown.label["sv"], shown.standing) == ("communication", "given")
    hers = await company.herself(anna).withdraw(company.tenant, WithdrawConsent(purpose="communication"), key())
    assert (hers.state, hers.current) == ("withdrawn", True)
    ended = EndConsent(principal=omar, purpose="communication", state="invalidated", legal_ref="Art. 7")
    with pytest.raises(NoConsentToEnd):
        await company.service.end(company.tenant, ended, key())
    # Of what nobody ever consented to, nothing is withdrawn.
    with pytest.raises(UnknownPurpose):
        await company.withdraw(new_id(), "communication")
