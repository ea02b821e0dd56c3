"""A person's deletion, seen through the typed client and in the stores themselves."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest

from chassis.ledger.canonical import canonical
from sample.cases import PEOPLE, PRIVATE, RECYCLED_NUMBER
from services.anonymizer.contract import (
    HoldsUnreadable,
    PrincipalUnknown,
    Scope,
    StepConflict,
    StepRequest,
    StepState,
    StoreDrifted,
    StoreUnavailable,
    StoreUnknown,
    Verb,
    VerbUnsupported,
)
from tests.anonymizer.conftest import House
from tests.anonymizer.test_hold_race import somebody, somebody_who_logs_in

STORES = ("billing", "calls", "lake", "helpdesk", "recordings", "authlog")


def said(result, action: str) -> dict[tuple[str, str], int]:
    return {(one.table, one.rule): one.count for one in result.outcomes if one.action == action}


async def test_what_is_shown_is_everything_but_the_copy_the_law_keeps_for_authorities(house: House):
    anna = await house.principal("anna")
    shown = {store: await house.collected(store, anna) for store in STORES}
    assert shown["billing"]["customer"][0]["personnummer"] == PEOPLE["anna"].personnummer
    assert set(shown["calls"]) == {"call_record"}
    assert len(shown["helpdesk"]["ticket"]) == 2
    assert all(row["email"] == PEOPLE["anna"].email for row in shown["authlog"]["login"])


async def test_a_number_that_the_caller_hid_is_not_shown_to_the_other_party(house: House):
    anna, number = await house.principal("anna"), PEOPLE["anna"].msisdn
    rows = (await house.collected("calls", anna))["call_record"]
    hidden = await house.rows(
        "calls", "SELECT count(*) FROM call_record WHERE callee = $1 AND withheld AND caller <> $1", number
    )
    assert sum(row["caller"] is None for row in rows) == hidden[0]["count"] > 0


async def test_a_preview_says_what_the_deletion_then_does(house: House):
    erik = await house.principal("erik")
    for store in STORES:
        preview = await house.step(Verb.preview, store, erik)
        before = await house.collected(store, erik)
        assert before == await house.collected(store, erik), "a preview changed something"
        erased = await house.step(Verb.erase, store, erik)
        assert erased.outcomes == preview.outcomes


async def test_part_goes_and_part_stays_by_named_rules(house: House):
    anna, (_, friend, _) = await house.principal("anna"), await somebody(house, 9)
    # Erik and Cilla, who call her too, are deleted by other tests.
    called = "UPDATE call_record SET callee = $1 WHERE caller = $2 AND kind = 'mobile_call'"
    await house.rows("calls", called, PEOPLE["anna"].msisdn, friend)
    done = {store: await house.step(Verb.erase, store, anna) for store in STORES}
    kept = said(done["billing"], "keep")
    assert kept["customer", "agreement_data.agreement_running"] == 1
    assert kept["invoice", "accounting_records"] > 0
    assert said(done["calls"], "keep")["call_record", "traffic_for_invoicing.invoice_unpaid"] > 0
    assert said(done["calls"], "keep")["retained_call_record", "retained_mobile_telephony"] > 0
    assert said(done["calls"], "erase")["call_record", "deletion"] > 0
    assert said(done["calls"], "redact")["call_record", "deletion"] > 0
    assert said(done["helpdesk"], "keep")["ticket", "helpdesk_conversations.case_open"] == 1
    for store in STORES:
        verified = await house.step(Verb.verify, store, anna)
        assert (verified.state, verified.remaining) == (StepState.done, 0), (store, verified.findings)
    reasons = [one for store in STORES for one in done[store].outcomes if one.action == "keep"]
    assert all(one.reason.sv and one.reason.en and one.legal_ref for one in reasons)


async def test_the_text_of_somebody_else_no_longer_names_the_person(house: House):
    """Erik mentioned Anna by name and number in a mail of his own; it is his, and it stays his."""
    anna = await house.principal("anna")
    await house.step(Verb.erase, "helpdesk", anna)
    rows = await house.rows("helpdesk", "SELECT body FROM email_message WHERE id = 9001")
    texts = " ".join(row["body"] for row in rows)
    assert PEOPLE["anna"].name not in texts and PEOPLE["anna"].msisdn[2:] not in texts.replace("-", "").replace(" ", "")


async def test_a_verification_of_what_was_not_erased_is_never_done(house: House):
    sara = await house.principal("sara")
    for store in ("calls", "helpdesk", "authlog"):
        seen = await house.step(Verb.verify, store, sara)
        assert seen.state == StepState.incomplete and seen.remaining > 0
        assert all(finding.count for finding in seen.findings)


async def test_a_verification_that_found_something_looks_again_when_asked_again(house: House):
    lars, step = await house.principal("lars"), uuid4()
    assert (await house.step(Verb.verify, "authlog", lars, step=step)).state == StepState.incomplete
    await house.step(Verb.erase, "authlog", lars)
    assert (await house.step(Verb.verify, "authlog", lars, step=step)).state == StepState.done


async def test_the_same_step_twice_answers_what_was_done_and_does_nothing(house: House):
    olle, step = await house.principal("olle"), uuid4()
    first = await house.step(Verb.erase, "calls", olle, step=step)
    again = await house.step(Verb.erase, "calls", olle, step=step)
    assert again == first
    assert len(await house.rows("calls", "SELECT FROM wardline.journal WHERE step = $1", step)) == 1
    assert len([one for one in await house.events("erasure.done") if one["data"]["step"] == str(step)]) == 1


async def test_a_step_that_was_asked_with_another_content_is_refused(house: House):
    olle, step = await house.principal("olle"), uuid4()
    await house.step(Verb.preview, "calls", olle, step=step)
    with pytest.raises(StepConflict):
        await house.step(Verb.erase, "calls", olle, step=step)


async def test_an_ended_agreement_leaves_only_what_the_accounting_law_needs(house: House):
    olle = await house.principal("olle")
    done = await house.step(Verb.erase, "billing", olle)
    assert said(done, "erase")["agreement", "deletion"] == 1
    row = (
        await house.rows("billing", "SELECT * FROM customer WHERE customer_number = $1", PEOPLE["olle"].customer_number)
    )[0]
    assert row["name"] == PEOPLE["olle"].name
    assert (row["email"], row["address"], row["personnummer"], row["msisdn"]) == ("", "", None, None)
    verified = await house.step(Verb.verify, "billing", olle)
    assert verified.remaining == 0, verified.findings


async def test_of_a_recycled_number_each_person_loses_only_their_own_time(house: House):
    petra = await house.principal("petra")
    rasmus_before = await house.collected("calls", await house.principal("rasmus"))
    await house.step(Verb.erase, "calls", petra)
    assert (await house.step(Verb.verify, "calls", petra)).remaining == 0
    assert await house.collected("calls", await house.principal("rasmus")) == rasmus_before
    assert any(row["caller"] == RECYCLED_NUMBER for row in rasmus_before["call_record"])


async def test_one_named_recording_goes_with_all_its_versions_and_its_siblings_stay(house: House):
    nadia = await house.principal("nadia")

    def files(name: str) -> list[str]:
        return sorted(
            path.name for path in (house.stores / "recordings").rglob(f"{name}*") if ".wardline" not in path.parts
        )

    assert len(files("4711")) == 6
    done = await house.step(Verb.erase, "recordings", nadia, scope=Scope(recording="4711"))
    assert [one.count for one in done.outcomes] == [3]
    assert files("4711") == [] and files("4710") and files("4712")
    assert (await house.step(Verb.verify, "recordings", nadia, scope=Scope(recording="4711"))).remaining == 0


async def test_only_recordings_are_removed_one_by_one(house: House):
    with pytest.raises(VerbUnsupported):
        await house.step(Verb.erase, "calls", await house.principal("nadia"), scope=Scope(recording="4711"))


async def test_without_an_answer_about_holds_nothing_is_erased(house: House):
    hugo = await house.principal("hugo")
    house.orders.silent = True
    try:
        with pytest.raises(HoldsUnreadable) as refused:
            await house.step(Verb.erase, "calls", hugo)
    finally:
        house.orders.silent = False
    assert "hold" not in str(refused.value).lower()
    assert (await house.step(Verb.verify, "calls", hugo)).remaining > 0


async def test_the_twins_get_identical_answers_though_one_is_held(house: House):
    saga, sara = await house.principal("saga"), await house.principal("sara")
    now = datetime.now(UTC)
    hold = house.orders.hold(PEOPLE["saga"].msisdn, ["traffic"], now - timedelta(days=700), now)
    hers = [(await house.step(Verb.erase, store, saga)).outcomes for store in STORES]
    assert hers == [(await house.step(Verb.erase, store, sara)).outcomes for store in STORES]
    assert house.orders.preserved(hold) > 0
    assert len({(one["store"]) for one in house.orders.settlements if not one["preserved"]}) == len(STORES)
    for store in STORES:
        assert (await house.step(Verb.verify, store, saga)).remaining == 0
    aside = await house.rows("calls", "SELECT row FROM wardline.preserved WHERE hold = $1", hold)
    assert len(aside) == house.orders.preserved(hold)
    released = await house.client.release(hold, tenant=PRIVATE.id)
    assert released.erased["calls"] == len(aside)
    assert await house.rows("calls", "SELECT FROM wardline.preserved WHERE hold = $1", hold) == []


async def test_whom_nobody_knows_and_which_store_there_is_none_of_are_refused(house: House):
    with pytest.raises(PrincipalUnknown):
        await house.step(Verb.erase, "calls", uuid4())
    with pytest.raises(StoreUnknown):
        await house.step(Verb.erase, "mainframe", await house.principal("hugo"))


async def test_another_tenants_principal_is_nobody_here(house: House):
    hugo = await house.principal("hugo")
    with pytest.raises(PrincipalUnknown):
        await house.client.step(uuid4(), StepRequest(verb=Verb.preview, store="calls", principal=hugo), tenant=uuid4())


async def test_a_store_that_is_away_records_nothing_and_is_asked_again(house: House):
    bo, step = await house.principal("bo"), uuid4()
    folder = house.stores / "authlog"
    folder.rename(away := folder.with_name("authlog-away"))
    try:
        with pytest.raises(StoreUnavailable):
            await house.step(Verb.erase, "authlog", bo, step=step)
        with pytest.raises(StoreUnavailable):
            await house.collected("authlog", bo)
    finally:
        away.rename(folder)
    assert said(await house.step(Verb.erase, "authlog", bo, step=step), "erase")["login", "deletion"] > 0


async def test_a_database_that_is_away_records_nothing_and_is_asked_again(house: House):
    bo, step = await house.principal("bo"), uuid4()
    await house.rows("wardline", "ALTER ROLE calls_wardline NOLOGIN")
    await house.rows(
        "wardline", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'calls_wardline'"
    )
    try:
        with pytest.raises(StoreUnavailable):
            await house.step(Verb.erase, "calls", bo, step=step)
    finally:
        await house.rows("wardline", "ALTER ROLE calls_wardline LOGIN")
    assert said(await house.step(Verb.erase, "calls", bo, step=step), "erase")["call_record", "deletion"] > 0


async def test_a_right_that_was_taken_back_in_one_table_is_said_and_nothing_is_done_in_any(house: House):
    (someone, number, _), step = await somebody(house, 17), uuid4()
    rows = "SELECT count(*) AS n FROM call_record WHERE $1 IN (caller, callee)"
    before = await house.rows("calls", rows, number)
    await house.rows("calls", "REVOKE INSERT ON wardline.preserved FROM calls_wardline")
    try:
        with pytest.raises(StoreUnavailable):
            await house.step(Verb.erase, "calls", someone, step=step)
    finally:
        await house.rows("calls", "GRANT INSERT ON wardline.preserved TO calls_wardline")
    assert await house.rows("calls", rows, number) == before
    assert await house.rows("calls", "SELECT FROM wardline.journal WHERE step = $1", step) == []
    assert (await house.step(Verb.erase, "calls", someone, step=step)).state == StepState.done


@pytest.mark.parametrize("fault", ["a reference that nobody declared", "a store that only reads"])
async def test_what_the_store_forbids_is_said_and_nothing_is_done(house: House, fault: str):
    (someone, number, _), step = await somebody(house, 18), uuid4()
    rows = "SELECT count(*) AS n FROM call_record WHERE $1 IN (caller, callee)"
    before = await house.rows("calls", rows, number)
    if fault == "a store that only reads":
        done, undone = (
            f"ALTER ROLE calls_wardline {each}" for each in ("SET default_transaction_read_only = on", "RESET ALL")
        )
        expected = StoreUnavailable
    else:
        done = """CREATE TABLE quality AS SELECT id, started_at FROM call_record;
            ALTER TABLE quality ADD FOREIGN KEY (id, started_at) REFERENCES call_record (id, started_at)"""
        undone, expected = "DROP TABLE quality", StoreDrifted
    await asked(house, done)
    try:
        with pytest.raises(expected):
            await house.step(Verb.erase, "calls", someone, step=step)
    finally:
        await asked(house, undone)
    assert await house.rows("calls", rows, number) == before
    assert (await house.step(Verb.erase, "calls", someone, step=step)).state == StepState.done


async def asked(house: House, statements: str) -> None:
    """Of a superuser, and whoever has a connection loses it."""
    connection = await house.server.connect("sample_calls")
    await connection.execute(statements)
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'calls_wardline'")
    await connection.close()


async def test_a_dry_run_that_meets_an_erasure_looks_again(house: House):
    for number in (19, 28, 29):
        someone, _, _ = await somebody(house, number)
        wishes = [house.step(verb, "calls", someone) for verb in (Verb.preview, Verb.erase, Verb.preview) * 2]
        done = await asyncio.gather(*wishes)
        assert {one.state for one in done} == {StepState.done}


async def test_nothing_the_manifest_planted_is_left_but_what_a_rule_keeps(house: House):
    """By the sample's own list of where each value stands, not by what the anonymizer knows."""
    hugo, planted = await house.principal("hugo"), house.manifest.people["hugo"]
    for store in STORES:
        await house.step(Verb.erase, store, hugo)
    for place in planted.places:
        if place.store == "helpdesk" and PRIVATE.id in await tenants(house, place):
            text = await house.rows(
                "helpdesk", f"SELECT {place.field}::text FROM {place.where} WHERE id = $1", place.record
            )
            assert not text or place.value not in str(text[0][0]), place
        if place.store == "calls" and place.where == "call_record" and place.field == "caller":
            rows = await house.rows(
                "calls", "SELECT invoice FROM call_record WHERE id = $1 AND caller = $2", place.record, place.value
            )
            for row in rows:
                # Nobody pays on the first days of a month what is issued on its first.
                paid = await house.rows("billing", "SELECT paid_at FROM invoice WHERE id = $1", row["invoice"])
                assert not paid or paid[0]["paid_at"] is None, "a call that was billed and paid is still there"


async def tenants(house: House, place) -> set:
    return {
        row["tenant"]
        for row in await house.rows("helpdesk", f"SELECT tenant FROM {place.where} WHERE id = $1", place.record)
    }


async def test_what_was_done_is_told_with_the_book_what_was_asked_and_until_when_backups_may_still_have_it(
    house: House,
):
    (vera, _, _), step = await somebody(house, 15), uuid4()
    await house.step(Verb.erase, "calls", vera, step=step)
    [told] = [one["data"] for one in await house.events("erasure.done") if one["data"]["step"] == str(step)]
    assert told["evidence_sha256"] is None, "a database has its own journal, and no files"
    asked = {"verb": "erase", "store": "calls", "principal": str(vera), "scope": None}
    assert told["asked_sha256"] == hashlib.sha256(canonical(asked)).hexdigest()
    days = (datetime.fromisoformat(told["backups_until"]).date() - house.today).days
    assert told["policy_version"] and 89 <= days <= 91
    seen = await house.step(Verb.verify, "calls", vera)
    [verified] = [
        one["data"] for one in await house.events("erasure.verified") if one["data"]["step"] == str(seen.step)
    ]
    assert (verified["policy_version"], verified["remaining"]) == (told["policy_version"], 0)


async def test_which_files_went_stands_beside_them_and_the_ledger_has_its_digest(house: House):
    """Names of files may say whose they are: the ledger, from which nothing can be taken, has a salted digest."""
    someone, step = await somebody_who_logs_in(house), uuid4()
    done = await house.step(Verb.erase, "authlog", someone, step=step)
    [record] = [path for path in house.stores.rglob(f"{step}.json") if path.parent.name == "journal"]
    [event] = [one["data"] for one in await house.events("erasure.done") if one["data"]["step"] == str(step)]
    assert event["evidence_sha256"] == done.evidence_sha256 == hashlib.sha256(record.read_bytes()).hexdigest()
    assert orjson.loads(record.read_bytes())["gone"] and not any(".jsonl" in str(value) for value in event.values())
