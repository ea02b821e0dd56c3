"""What people say, through the typed client, on real PostgreSQL over real HTTP."""

import asyncio
import base64
import hashlib
import json
import random
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
import rfc8785
from joserfc import jws

from chassis import clock
from chassis.errors import Forbidden, KeyReused, NotFound
from chassis.ids import new_id
from chassis.together import Together
from services.consent import receipts, verify
from services.consent.contract import (
    AlreadyRecorded,
    AskConsent,
    GiveConsent,
    GroundMissing,
    InTheFuture,
    LanguageMissing,
    NoRightToObject,
    NotByConsent,
    NoticeDoesNotCover,
    NoticeNotInForce,
    RecordDiffers,
    RefuseConsent,
    SetDuty,
    SetObjection,
    SetRestriction,
    UnknownCategory,
    UnknownNotice,
    UnknownPurpose,
    WithdrawConsent,
)
from services.registry.contract import PolicyBook
from tests.consent.conftest import Company, key, notice
from tests.consent.house import DATABASE

# --- notices -------------------------------------------------------------------------------------------------------------


async def test_a_notice_is_published_in_versions_and_each_stays_as_it_was(company):
    first = await company.notice(valid_from=clock.now() - timedelta(days=1))
    second = await company.notice(purposes={"development": ["traffic"]})
    assert (first.version, second.version, second.supersedes) == (1, 2, 1)
    assert await company.service.notice(company.tenant, "recordings", 1) == first
    assert await company.service.notices(company.tenant) == [second]
    assert first.sha256 != second.sha256


async def test_where_a_version_was_followed_by_one_that_is_over_no_words_are_in_force(company, anna):
    now = clock.now()
    first = await company.notice(valid_from=now - timedelta(days=9))
    await company.notice(valid_from=now - timedelta(days=5), valid_to=now - timedelta(days=1))
    with pytest.raises(NoticeNotInForce):
        await company.give(anna, first)
    assert await company.service.notices(company.tenant) == []


async def test_simultaneous_publications_become_versions_one_after_the_other(company):
    published = await asyncio.gather(*(company.notice() for _ in range(8)))
    assert sorted(each.version for each in published) == list(range(1, 9))


async def test_not_even_the_service_itself_can_change_what_was_published_or_said(company, anna):
    await company.give(anna, await company.notice())
    settings = company.served.app.state.settings
    connection = await asyncpg.connect(
        host=settings.database_host, user="consent", password=settings.password("db"), database=settings.database_name
    )
    await connection.execute("SELECT set_config('app.tenant', $1, false)", str(company.tenant))
    for table in ("notice_version", "statement", "record_frame"):
        assert await connection.fetchval(f"SELECT count(*) FROM consent.{table}") == 1
        for change in (f"UPDATE consent.{table} SET tenant = tenant", f"DELETE FROM consent.{table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(change)
    await connection.close()


@pytest.mark.parametrize(
    "explained, refusal",
    [({"astrology": ["traffic"]}, UnknownPurpose), ({"development": ["horoscope"]}, UnknownCategory)],
)
async def test_a_notice_speaks_the_language_of_the_policy_book(company, explained, refusal):
    with pytest.raises(refusal):
        await company.notice(purposes=explained)


# --- giving and withdrawing ----------------------------------------------------------------------------------------------


async def test_a_consent_given_is_answered_with_a_receipt_that_verifies_offline(company, anna):
    given = await company.give(anna, await company.notice())
    await company.until_known(given)
    receipt = await company.service.receipt(company.tenant, given.record)
    assert receipt.receipt == given.receipt
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    record = receipts.verify(receipt, jwks)
    assert record["record_id"] == str(given.record) and record["principal_id"] == str(anna)
    assert record["state"] == "given" and record["purpose"] == "communication"
    assert receipts.opened(given.receipt, jwks)["ledger"] == {"origin": "wardline/consent", "max_merge_delay_ms": 1000}


async def test_what_was_said_gets_the_same_receipt_whenever_it_is_asked_for(company, anna, monkeypatch):
    """Nothing but a record's own fields and what it has in common with others is kept: the receipt is made of the two, and not of what
    the policy book says by then."""
    told, service, tenant = await company.notice(), company.service, company.tenant
    wish = {"purpose": "communication", "notice": told.notice, "notice_version": told.version, "principal": anna}
    since = clock.now() - timedelta(minutes=1)
    said = [
        await service.ask_for_consent(tenant, AskConsent(**wish), key()),
        await service.refuse(tenant, RefuseConsent(**wish, later=True), key()),
        await service.give(tenant, GiveConsent(**wish, service="helpdesk", evidence_ref="archive/2026/17"), key()),
        await service.give(tenant, GiveConsent(**wish, occurred_at=since, method="paper"), key()),
        await service.give(tenant, GiveConsent(**wish, expression="explicit", method="app"), key()),
        await company.withdraw(anna),
        await service.set_objection(tenant, anna, "development", SetObjection(state="raised", case=new_id()), key()),
        await service.set_restriction(tenant, anna, SetRestriction(state="set", ground="accuracy"), key()),
    ]
    assert len({each.state for each in said}) == 7
    written = company.served.app.state.policy.current().model_dump(mode="json") | {"version": "2030.1"}
    delay = {"period": "9 seconds"}
    written["limits"] = [row | (delay if row["key"] == "consent_merge_delay" else {}) for row in written["limits"]]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(company.served.app.state.policy, "current", lambda: book)
    said.append(await service.give(tenant, GiveConsent(**wish), key()))
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    promised = [receipts.opened(each.receipt, jwks)["ledger"]["max_merge_delay_ms"] for each in said]
    assert promised == [1000] * 8 + [9000]
    assert [(await company.again(each)).receipt for each in said] == [each.receipt for each in said]
    listed = (await service.records(tenant, anna)).items
    assert len(listed) == len(said) and {each.receipt for each in listed} == {None}


async def test_receipts_and_what_the_ledger_has_the_fingerprint_of_are_canonical_by_the_reference_library(
    company, anna
):
    """Whoever checks one has another program than ours, and words in Swedish."""
    notice = await company.notice(controller="Ljus & Telefoni Åland AB \u2028 \U0001f4de")
    given = await company.give(anna, notice)
    objected = await company.service.set_objection(
        company.tenant, anna, "development", SetObjection(state="raised"), key()
    )
    for said in (given, objected):
        proven = await company.again(said)
        payload = base64.urlsafe_b64decode(said.receipt.split(".")[1] + "==")
        receipt = json.loads(payload)
        assert rfc8785.dumps(receipt) == payload
        told = json.loads(proven.proof.body)["data"]
        assert told["sha256"] == hashlib.sha256(rfc8785.dumps(receipt["record"])).hexdigest()
        assert rfc8785.dumps(json.loads(proven.proof.body)).decode() == proven.proof.body


_FRAME = "UPDATE consent.record_frame SET {} WHERE sha256 = (SELECT frame FROM consent.statement WHERE id = $1)"
_STATEMENT = "UPDATE consent.statement SET {} WHERE id = $1"


_BEFORE = """
UPDATE consent.statement b SET {} FROM consent.statement s WHERE s.id = $1 AND b.principal = s.principal AND b.id <> s.id"""
# Even where nobody could have: the ledger's own row is compared with the leaf that was signed.
_EVENT = """
UPDATE consent.event SET body = body || ' '::bytea WHERE id = (SELECT event FROM consent.statement WHERE id = $1)"""


@pytest.mark.parametrize(
    "changed",
    [
        _FRAME.format("""body = replace(body::text, '"communication"', '"development"')::jsonb"""),
        _STATEMENT.format("state = 'withdrawn'"),
        _STATEMENT.format("occurred_at = occurred_at - interval '1 second'"),
        _STATEMENT.format("recorded_at = recorded_at + interval '1 microsecond'"),
        _STATEMENT.format("valid_until = valid_until + interval '1 year'"),
        _STATEMENT.format("sequence = sequence + 1"),
        _STATEMENT.format("principal = gen_random_uuid()"),
        _STATEMENT.format("evidence_ref = 'crm/2'"),
        _STATEMENT.format("evidence_ref = NULL"),
        _FRAME.format("body = jsonb_set(body, '{ledger,max_merge_delay_ms}', '9000')"),
        _FRAME.format("body = jsonb_set(body, '{publisher}', '\"https://elsewhere.example\"')"),
        _BEFORE.format("occurred_at = b.occurred_at + interval '1 day'"),
        _BEFORE.format("id = gen_random_uuid()"),
        _BEFORE.format("sequence = 7"),
        _BEFORE.format("principal = gen_random_uuid()"),
        _EVENT,
    ],
    ids=lambda changed: changed.partition(" SET ")[2][:24],
)
async def test_what_was_tampered_with_gets_no_receipt(company, anna, consent_house, changed):
    told = await company.notice()
    wish = GiveConsent(
        purpose="communication",
        notice=told.notice,
        notice_version=told.version,
        principal=anna,
        evidence_ref="crm/1",
    )
    await company.withdraw(anna)
    given = await company.service.give(company.tenant, wish, key())
    assert (await company.again(given)).receipt == given.receipt
    owner = await consent_house.postgres.connect(DATABASE)
    assert await owner.execute(changed, given.record) == "UPDATE 1"
    await owner.close()
    with pytest.raises(RecordDiffers):
        await company.again(given)


async def test_a_receipt_names_the_record_that_counted_before_it(company, anna):
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    told, since = await company.notice(), clock.now() - timedelta(hours=1)
    given = await company.give(anna, told, at=since)
    taken = await company.withdraw(anna)
    late = await company.give(anna, told, at=since + timedelta(minutes=1))
    found = [receipts.opened(each.receipt, jwks)["supersedes"] for each in (given, taken, late)]
    assert found == [None, str(given.record), None]


@pytest.mark.parametrize(
    "said", ["supersedes", "ledger", "publisher", "recipient", "created", "receipt_id", "promises"]
)
async def test_a_receipt_that_says_more_than_its_record_proves_nothing(company, anna, said):
    """Signed by the service itself, with the ledger's own proof: nobody has to believe it."""
    told, key_ = await company.notice(), company.served.app.state.receipt_key
    await company.withdraw(anna)
    proven = await company.again(await company.give(anna, told))
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    assert receipts.verify(proven, jwks)["supersedes"]
    header, payload = (json.loads(base64.urlsafe_b64decode(each + "==")) for each in proven.receipt.split(".")[:2])
    forged = jws.serialize_compact(header, rfc8785.dumps(payload | {said: "other"}), key_, algorithms=["Ed25519"])
    with pytest.raises(receipts.BadReceipt):
        receipts.verify(proven.model_copy(update={"receipt": forged}), jwks)


async def test_of_an_earlier_release_s_record_a_receipt_says_only_what_the_ledger_has_the_fingerprint_of(
    company, anna, consent_house
):
    told, sent = await company.notice(), key()
    await company.withdraw(anna)
    wish = GiveConsent(purpose="communication", notice=told.notice, notice_version=told.version, principal=anna)
    given = await company.service.give(company.tenant, wish, sent)
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    record = receipts.opened(given.receipt, jwks)["record"]
    earlier = {name: said for name, said in record.items() if name not in ("ledger", "publisher", "supersedes")}
    owner = await consent_house.postgres.connect(DATABASE)
    await owner.execute(_FRAME.format("body = body - 'ledger' - 'publisher'"), given.record)
    await owner.execute(
        "UPDATE consent.event SET body = convert_to(replace(convert_from(body, 'UTF8'), $2, $3), 'UTF8') WHERE id = $1",
        given.event, receipts.fingerprint(record), receipts.fingerprint(earlier),
    )  # fmt: skip
    await owner.close()
    said = receipts.opened((await company.service.give(company.tenant, wish, sent)).receipt, jwks)
    assert said.pop("record") == earlier
    assert set(said) == {"receipt_id", "schema_version", "created", "recipient"}


async def test_whoever_has_the_public_keys_checks_a_receipt_from_the_command_line(company, anna, tmp_path, capsys):
    given = await company.give(anna, await company.notice())
    await company.until_known(given)
    whole = (await company.service.receipt(company.tenant, given.record)).model_dump_json()
    keys = tmp_path / "keys.json"
    keys.write_text((await company.served.http.get(f"{company.served.url}/keys")).text)

    def told(text: str) -> tuple[int, str]:
        file = tmp_path / "receipt"
        file.write_text(text)
        return verify.main([str(file), "--keys", str(keys)]), capsys.readouterr().out

    status, said = told(whole)
    assert status == 0 and str(given.record) in said and "signature alone" not in said
    assert str(anna) in said, "it is nobody else's"
    status, said = told(given.receipt)
    assert status == 0 and "signature alone" in said
    for bad in (whole.replace("given", "giben"), given.receipt[:-9], "{}", "", "\xff"):
        status, said = told(bad)
        assert status == 1 and said.startswith("DOES NOT HOLD")
    assert verify.main([str(tmp_path / "nothing"), "--keys", str(keys)]) == 2
    for bad in ("", "{}", "[]", "1", '{"keys": [{}]}', '{"keys": 1}'):
        keys.write_text(bad)
        assert told(whole)[0] == 2


async def test_a_receipt_with_one_byte_changed_or_of_another_record_proves_nothing(company, anna):
    told = await company.notice()
    first, second = await company.give(anna, told), await company.give(anna, told)
    await company.until_known(second)
    one = await company.service.receipt(company.tenant, first.record)
    other = await company.service.receipt(company.tenant, second.record)
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    changed = one.proof.model_copy(update={"body": one.proof.body.replace('"given"', '"giben"')})
    half = len(one.receipt) // 2
    bent = one.receipt[:half] + ("A" if one.receipt[half] != "A" else "B") + one.receipt[half + 1 :]
    for bad in (
        one.model_copy(update={"receipt": other.receipt}),
        one.model_copy(update={"receipt": bent}),
        one.model_copy(update={"proof": changed}),
        one.model_copy(update={"proof": one.proof.model_copy(update={"path": other.proof.path})}),
    ):
        with pytest.raises(receipts.BadReceipt):
            receipts.verify(bad, jwks)
    strangers = (await company.served.http.get(f"{company.served.issuer_url}/jwks")).json()
    with pytest.raises(receipts.BadReceipt):
        receipts.verify(one, strangers)


def test_withdrawing_asks_for_nothing_that_giving_does_not():
    """`vouched` is nobody's to fill in who withdraws: another system says by it on whose word it tells of that."""
    assert set(WithdrawConsent.model_fields) - {"vouched"} < set(GiveConsent.model_fields)
    assert not WithdrawConsent.model_fields["vouched"].is_required()


async def test_the_record_tells_everything_she_said_newest_first_page_by_page(company, anna):
    told = await company.notice()
    await company.give(anna, told)
    await company.withdraw(anna)
    again = await company.give(anna, told)
    renewed = await company.give(anna, told)
    found = (await company.service.records(company.tenant, anna)).items
    assert [each.state for each in found] == ["renewed_given", "given", "withdrawn", "given"]
    assert [each.sequence for each in found] == [4, 3, 2, 1]
    assert [each.current for each in found] == [True, False, False, False]
    without = {"receipt": None}
    assert found[:2] == [renewed.model_copy(update=without), again.model_copy(update=without | {"current": False})]
    after = str(found[1].event)
    assert (await company.service.records(company.tenant, anna, after)).items == found[2:]


async def test_a_person_speaks_for_herself_and_nobody_else(company, anna):
    told, herself, bert = await company.notice(), company.herself(anna), new_id()
    wish = GiveConsent(purpose="communication", notice="recordings", notice_version=told.version)
    assert (await herself.give(company.tenant, wish, key())).principal == anna
    assert [each.principal for each in (await herself.records(company.tenant, anna)).items] == [anna]
    theirs = await company.give(bert, told)
    for attempt in (
        herself.give(company.tenant, wish.model_copy(update={"principal": bert}), key()),
        herself.withdraw(company.tenant, WithdrawConsent(purpose="communication", principal=bert), key()),
        herself.records(company.tenant, bert),
        herself.standing(company.tenant, bert),
        herself.receipt(company.tenant, theirs.record),
        herself.set_objection(company.tenant, bert, "development", SetObjection(state="raised"), key()),
        herself.set_objection(company.tenant, anna, "development", SetObjection(state="overruled"), key()),
        herself.set_restriction(company.tenant, bert, SetRestriction(state="set", ground="claims"), key()),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await company.service.standing(company.tenant, bert)).consents[0].state == "given"


async def test_another_company_sees_nothing_of_it(served, company, anna):
    given = await company.give(anna, await company.notice())
    other = Company(served)
    assert (await other.service.records(other.tenant, anna)).items == []
    assert (await other.service.standing(other.tenant, anna)).consents == []
    assert await other.service.notices(other.tenant) == []
    with pytest.raises(NotFound):
        await other.service.receipt(other.tenant, given.record)
    with pytest.raises(UnknownNotice):
        await other.give(anna, await company.notice())
    assert (
        await other.decision(anna, "communication", "recorded_call", participants=[])
    ).context.reason == "no_consent"


async def test_consent_is_refused_where_it_could_mean_nothing(company, anna):
    told = await company.notice(purposes={"development": ["traffic"], "maintaining_service": ["traffic"]})
    closed = await company.notice("closed", valid_to=clock.now())
    ahead = await company.notice("ahead", valid_from=clock.now() + timedelta(hours=1))
    tomorrow = clock.now() + timedelta(days=1)
    wish = GiveConsent(purpose="development", notice="recordings", notice_version=told.version, principal=anna)
    for change, refusal in [
        ({"purpose": "astrology"}, UnknownPurpose),
        ({"purpose": "maintaining_service"}, NotByConsent),
        ({"purpose": "communication"}, NoticeDoesNotCover),
        ({"notice_version": 2}, UnknownNotice),
        ({"notice": "other"}, UnknownNotice),
        ({"notice": closed.notice}, NoticeNotInForce),
        ({"notice": ahead.notice}, NoticeNotInForce),
        ({"language": "en"}, LanguageMissing),
        ({"occurred_at": tomorrow}, InTheFuture),
    ]:
        with pytest.raises(refusal):
            await company.service.give(company.tenant, wish.model_copy(update=change), key())
    with pytest.raises(InTheFuture):
        await company.withdraw(anna, "development", tomorrow)
    with pytest.raises(UnknownPurpose):
        await company.withdraw(anna, "astrology")
    assert (await company.service.records(company.tenant, anna)).items == []


async def test_what_arrives_late_does_not_undo_what_was_said_later(company, anna):
    told, now = await company.notice(), clock.now()
    withdrawn = await company.withdraw(anna, at=now - timedelta(hours=1))
    late = await company.give(anna, told, at=now - timedelta(hours=2))
    assert not late.current and late.sequence == 2
    tie = await company.give(anna, told, at=withdrawn.occurred_at)
    assert not tie.current
    await company.until_known(tie)
    assert (await company.service.standing(company.tenant, anna)).consents[0].state == "withdrawn"
    assert (
        await company.decision(anna, "communication", "recorded_call", participants=[])
    ).context.reason == "withdrawn"


async def test_the_very_same_statement_is_recorded_once(company, anna):
    told, at = await company.notice(), clock.now() - timedelta(hours=1)
    await company.withdraw(anna, at=at)
    with pytest.raises(AlreadyRecorded):
        await company.withdraw(anna, at=at)
    assert len((await company.service.records(company.tenant, anna)).items) == 1
    # Nor is a consent, when it comes again as the renewal of another or of itself.
    twice = [at + timedelta(minutes=1), at + timedelta(minutes=2)]
    for instant in twice:
        await company.give(anna, told, at=instant)
    for instant in twice:
        with pytest.raises(AlreadyRecorded):
            await company.give(anna, told, at=instant)
    found = (await company.service.records(company.tenant, anna)).items
    assert [each.state for each in found] == ["renewed_given", "given", "withdrawn"]


HISTORY = [("give", 1), ("give", 2), ("withdraw", 2), ("give", 3), ("withdraw", 4), ("give", 4)]


@pytest.mark.parametrize("length", range(2, len(HISTORY) + 1))
async def test_one_history_in_any_order_of_arrival_ends_in_one_standing_and_one_decision(company, length: int):
    told, begun, chance = await company.notice(), clock.now() - timedelta(hours=1), random.Random(length)
    history = HISTORY[:length]

    async def ending(order):
        anna = new_id()
        for what, minute in order:
            at = begun + timedelta(minutes=minute)
            said = (
                company.give(anna, told, "development", at)
                if what == "give"
                else company.withdraw(anna, "development", at)
            )
            last = await said
        await company.until_known(last)
        (stands,) = (await company.service.standing(company.tenant, anna)).consents
        context = (await company.decision(anna, "development", "traffic")).context
        # A consent that arrives before the one it renews is no renewal on record; nothing follows from that.
        return (
            stands.state.removeprefix("renewed_"),
            stands.since,
            stands.notice_version,
            context.reason,
            context.expires_at,
        )

    orders = [history, history[::-1], *(chance.sample(history, length) for _ in range(4))]
    assert len(set([await ending(order) for order in orders])) == 1


# --- twice and at once ---------------------------------------------------------------------------------------------------


async def test_fifty_identical_posts_at_once_leave_one_record_and_get_one_answer(company, anna):
    told, same = await company.notice(), key()
    wish = GiveConsent(purpose="communication", notice=told.notice, notice_version=1, principal=anna)
    answers = await asyncio.gather(*(company.service.give(company.tenant, wish, same) for _ in range(50)))
    answers.append(await company.service.give(company.tenant, wish, same))
    assert len({each.model_dump_json() for each in answers}) == 1
    assert len((await company.service.records(company.tenant, anna)).items) == 1


async def test_a_receipt_is_not_kept_under_its_key_but_made_again(company, anna, consent_house):
    told, same = await company.notice(), key()
    given, withdrawn = await company.give(anna, told), WithdrawConsent(purpose="communication", principal=anna)
    first = await company.service.withdraw(company.tenant, withdrawn, same)
    owner = await consent_house.postgres.connect(DATABASE)
    kept = await owner.fetchval("SELECT convert_from(reply, 'UTF8') FROM consent.idempotency WHERE key = $1", same)
    await owner.close()
    assert str(first.record) in kept and "receipt" not in kept and given.receipt and first.receipt
    assert await company.service.withdraw(company.tenant, withdrawn, same) == first


async def test_an_answer_is_the_same_bytes_when_it_is_given_again(company, anna):
    told = await company.notice()
    read = {"purpose": "communication", "notice": told.notice, "notice_version": told.version, "principal": str(anna)}
    then = (clock.now() - timedelta(days=90)).replace(microsecond=0).isoformat()
    for path, said in (
        ("/v1/consents", read | {"occurred_at": then, "evidence_ref": "arkiv/2026/17"}),
        ("/v1/consents", read),
        ("/v1/refusals", read | {"later": True}),
        ("/v1/withdrawals", {"purpose": "communication", "principal": str(anna)}),
    ):
        content, same = json.dumps(said), {"idempotency-key": key()}
        first, again = [await company.post(path, content, **same) for _ in range(2)]
        assert (first.status_code, "idempotent-replayed" in again.headers) == (201, True), first.text
        assert again.content == first.content


async def test_a_key_used_for_something_else_is_refused_and_changes_nothing(company, anna):
    told, same = await company.notice(), key()
    wish = GiveConsent(purpose="communication", notice=told.notice, notice_version=1, principal=anna)
    await company.service.give(company.tenant, wish, same)
    with pytest.raises(KeyReused):
        await company.service.give(company.tenant, wish.model_copy(update={"purpose": "development"}), same)
    with pytest.raises(KeyReused):
        await company.service.withdraw(company.tenant, WithdrawConsent(purpose="communication", principal=anna), same)
    assert [each.state for each in (await company.service.records(company.tenant, anna)).items] == ["given"]


async def test_statements_at_once_are_counted_without_a_gap(company, anna):
    told = await company.notice()
    await asyncio.gather(*(company.give(anna, told) for _ in range(12)), *(company.withdraw(anna) for _ in range(4)))
    found = (await company.service.records(company.tenant, anna)).items
    assert sorted(each.sequence for each in found) == list(range(1, 17))
    last = max(found, key=lambda each: each.occurred_at)
    assert last.current and (await company.service.standing(company.tenant, anna)).consents[0].record == last.record


# --- objections, restrictions, duties ------------------------------------------------------------------------------------


async def test_an_objection_holds_at_once_until_it_is_lifted_or_overruled(company, anna):
    service, tenant, purpose, case = company.service, company.tenant, "development", uuid4()
    asked = (anna, purpose, "usage_statistics")
    assert (await company.decision(*asked)).decision
    raised = await service.set_objection(tenant, anna, purpose, SetObjection(state="raised", case=case), key())
    refused = await company.decision(*asked)
    assert (refused.decision, refused.context.reason, refused.context.record) == (False, "objected", raised.record)
    assert (await service.standing(tenant, anna)).objections[0].state == "raised"
    await service.set_objection(tenant, anna, purpose, SetObjection(state="overruled", case=case), key())
    assert (await company.decision(*asked)).context.reason == "compelling_grounds"
    await service.set_objection(tenant, anna, purpose, SetObjection(state="lifted"), key())
    assert (await company.decision(*asked)).context.reason == "legitimate_interest"
    with pytest.raises(NoRightToObject):
        await service.set_objection(tenant, anna, "maintaining_service", SetObjection(state="raised"), key())
    with pytest.raises(UnknownPurpose):
        await service.set_objection(tenant, anna, "astrology", SetObjection(state="raised"), key())


@pytest.mark.parametrize("left", [None, "none"], ids=["the purpose is gone", "nobody can object to it any more"])
async def test_what_was_objected_to_under_an_earlier_book_can_be_ended(
    company, served, monkeypatch: pytest.MonkeyPatch, left: str | None
):
    erik, other = new_id(), new_id()
    service, tenant, purpose, case = company.service, company.tenant, "development", uuid4()
    for who in (erik, other):
        await service.set_objection(tenant, who, purpose, SetObjection(state="raised", case=case), key())
    written = served.app.state.policy.current().model_dump(mode="json")
    written["purposes"] = [
        row | ({"objection": left} if row["key"] == purpose else {})
        for row in written["purposes"]
        if left or row["key"] != purpose
    ]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(served.app.state.policy, "current", lambda: book)
    for who, state in ((erik, "lifted"), (other, "overruled")):
        ended = await service.set_objection(tenant, who, purpose, SetObjection(state=state, case=case), key())
        assert (ended.state, ended.current) == (state, True)
    with pytest.raises((NoRightToObject, UnknownPurpose)):
        await service.set_objection(tenant, erik, purpose, SetObjection(state="raised", case=case), key())
    with pytest.raises((NoRightToObject, UnknownPurpose)):
        await service.set_objection(tenant, new_id(), purpose, SetObjection(state="lifted", case=case), key())


async def test_a_restriction_stops_all_but_storage_claims_and_the_law(company, anna):
    service, tenant = company.service, company.tenant
    with pytest.raises(GroundMissing):
        await service.set_restriction(tenant, anna, SetRestriction(state="set"), key())
    await service.set_restriction(tenant, anna, SetRestriction(state="set", ground="accuracy"), key())
    assert (await company.decision(anna, "maintaining_service", "traffic")).context.reason == "restricted"
    assert (await company.decision(anna, "legal_compliance", "traffic")).decision
    stored = await company.decision(anna, "maintaining_service", "traffic", operation="storage")
    assert stored.decision and stored.context.obligations == ["store_only"]
    assert (await service.standing(tenant, anna)).restriction.state == "set"
    await service.set_restriction(tenant, anna, SetRestriction(state="lifted"), key())
    assert (await company.decision(anna, "maintaining_service", "traffic")).decision


async def test_a_company_obliged_to_record_may_until_the_duty_ends(company, anna):
    asked = (anna, "communication", "recorded_call")
    duty = SetDuty(state="recorded", legal_ref="MiFID II Art. 16(7)")
    await company.service.set_duty(company.tenant, "communication", duty, key())
    assert (await company.decision(*asked)).context.reason == "tenant_legal_obligation"
    ended = duty.model_copy(update={"state": "ended"})
    await company.service.set_duty(company.tenant, "communication", ended, key())
    assert not (await company.decision(*asked)).decision


async def test_a_fault_of_ours_on_the_short_road_is_a_bare_500_as_on_the_ordinary_one(company, anna, monkeypatch):
    await company.notice()

    async def broken(*_: object) -> None:
        raise RuntimeError("about anna")

    monkeypatch.setattr(Together, "__call__", broken)
    wish = GiveConsent(purpose="communication", notice="recordings", notice_version=1, principal=anna)
    headers = await company.headers()
    for _ in ("the ordinary route", "the short road"):
        answer = await company.post("/v1/consents", wish.model_dump_json(), **headers)
        assert (answer.status_code, answer.json()["code"]) == (500, "request.broken") and "anna" not in answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_scopes_open_only_what_they_name(company, anna):
    reader, writer = company.client("consent.read"), company.client("consent.write")
    with pytest.raises(Forbidden):
        await reader.withdraw(company.tenant, WithdrawConsent(purpose="communication", principal=anna), key())
    with pytest.raises(Forbidden):
        await writer.standing(company.tenant, anna)
    with pytest.raises(Forbidden):
        await writer.publish_notice(company.tenant, notice(), key())
