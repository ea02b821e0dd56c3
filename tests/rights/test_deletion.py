"""Deletion over HTTP: preview, time to change one's mind, per-record answers, and no 'done' while anything is left."""

import asyncio
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from services.anonymizer.contract import Identifier, IdentifierType, Scope
from services.requests.rights import certificate
from services.requests.rights.contract import (
    AnotherConfirms,
    Certificate,
    Channel,
    Confirm,
    Evidence,
    Kind,
    NotNow,
    OpenRequest,
    PostTicket,
    PreviewOutdated,
    ProofPending,
)
from tests.days import day_of
from tests.patience import PATIENCE
from tests.rights.conftest import House
from tests.rights.operator import Row


async def certified(house: House, client, request: UUID) -> dict:
    return certificate.verify(await proof(client, request), (await house.http.get(house.url + "/keys")).json())


async def proof(client, request: UUID) -> Certificate:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await client.certificate(request)
            except ProofPending:
                await asyncio.sleep(0.05)


async def test_a_certificate_is_checked_by_a_command_that_says_whose_it_is(
    house: House, tenant: UUID, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    proofs, people = [], [house.operator.person(("billing", Row("customer", str(n)))) for n in range(2)]
    for each in people:
        client = house.person(each, tenant)
        asked = await client.open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
        await house.until_state(client, asked.request, "previewed")
        await client.confirm(
            asked.request, Confirm(preview=(await client.preview(asked.request)).digest), key=str(uuid4())
        )
        house.later(hours=73)
        await house.until_state(client, asked.request, "closed")
        proofs.append(await proof(client, asked.request))
    jwks = (await house.http.get(house.url + "/keys")).json()
    (tmp_path / "keys.json").write_text(json.dumps(jwks))

    def checked(given: Certificate) -> tuple[int, str]:
        (tmp_path / "certificate.json").write_text(given.model_dump_json())
        status = certificate.main([str(tmp_path / "certificate.json"), "--keys", str(tmp_path / "keys.json")])
        return status, capsys.readouterr().out

    one, other = proofs
    status, said = checked(one)
    assert status == 0 and str(people[0]) in said and str(people[1]) not in said
    payload, signature = one.jws.split(".")[1:]
    kid = json.loads(_raw(one.jws.split(".")[0]))["kid"]
    [key] = [_raw(each["x"]) for each in jwks["keys"] if each["kid"] == kid]
    secret = f"{_base64url(json.dumps({'alg': 'HS256', 'kid': kid, 'typ': certificate.TYPE}).encode())}.{payload}"
    forged = [
        one.model_copy(update={"inclusion": other.inclusion}),
        one.model_copy(update={"jws": other.jws}),
        one.model_copy(update={"jws": f"{_base64url(json.dumps({'alg': 'none', 'kid': kid}).encode())}.{payload}."}),
        one.model_copy(update={"jws": f"{secret}.{_base64url(hmac.digest(key, secret.encode(), 'sha256'))}"}),
        one.model_copy(update={"jws": one.jws[:-20]}),
        one.model_copy(update={"inclusion": one.inclusion.model_copy(update={"body": "[" * 100_000})}),
    ]
    for bad in forged:
        status, said = checked(bad)
        assert status == 1 and said.startswith("DOES NOT HOLD  ") and "Do not rely on it." in said


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_part_goes_part_stays_by_a_named_rule_and_the_rest_goes_by_itself_later(house: House, tenant: UUID):
    until = (await _today(house)) + timedelta(days=40)
    anna = house.operator.person(
        ("billing", Row("customer", "1")),
        ("billing", Row("invoice", "2", keep="accounting_records", until=until)),
        ("helpdesk", Row("chat", "3")),
    )
    client = house.person(anna, tenant)
    asked = await client.open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
    previewed = await house.until_state(client, asked.request, "previewed")
    assert {(step.store, step.verb, step.state) for step in previewed.steps} == {
        (store, "preview", "done") for store in ("billing", "helpdesk", "recordings")
    }

    preview = await client.preview(asked.request)
    assert (preview.erased, preview.kept) == (2, 1)
    assert "2" in preview.warning.sv and "1" in preview.warning.en

    confirmed = await client.confirm(asked.request, Confirm(preview=preview.digest), key=str(uuid4()))
    assert confirmed.state == "cooling_off"
    await asyncio.sleep(1.5)
    assert house.operator.held(anna, "helpdesk"), "nothing goes before the person's time to change her mind is over"

    house.later(hours=73)
    closed = await house.until_state(client, asked.request, "closed")
    assert house.operator.held(anna, "helpdesk") == []
    assert [row.id for row in house.operator.held(anna, "billing")] == ["2"]
    assert [(step.store, step.due_on) for step in closed.steps if step.state == "deferred"] == [("billing", until)]

    answer = await client.answer(asked.request)
    assert {(line.store, line.action, line.rule, line.until) for line in answer.outcomes} == {
        ("billing", "erase", "agreement_data", None),
        ("billing", "keep", "accounting_records", until),
        ("helpdesk", "erase", "agreement_data", None),
    }
    assert not any("count" in line for line in answer.model_dump()["outcomes"])
    token = await client.tokens.token("rights")
    page = await house.http.get(
        f"{house.url}/v1/requests/{asked.request}/answer/page", headers={"authorization": f"Bearer {token}"}
    )
    assert f"<td>{until}</td>" in page.text and page.headers["content-disposition"].startswith("attachment")
    said = await certified(house, client, asked.request)
    assert said["outcomes"] == answer.model_dump(mode="json")["outcomes"]
    assert said["clauses"] == [clause.model_dump() for clause in answer.clauses]
    last_backup = answer.answered_at.astimezone(ZoneInfo("Europe/Stockholm")).date() + timedelta(days=90)
    assert (answer.backups_until, said["backups_until"]) == (last_backup, last_backup.isoformat())

    house.operator.held(anna, "billing")[0].keep = None
    house.later(days=41)
    await house.until(client, asked.request, lambda seen: not any(step.state == "deferred" for step in seen.steps))
    async with asyncio.timeout(PATIENCE):
        while house.operator.held(anna, "billing"):
            await asyncio.sleep(0.05)


async def test_no_request_is_answered_while_a_verification_still_finds_something(house: House, tenant: UUID):
    erik = house.operator.person(("billing", Row("customer", "1")), ("helpdesk", Row("chat", "2")))
    client = house.person(erik, tenant)
    house.operator.stubborn.add("helpdesk")
    asked = await house.confirmed(client)
    house.later(hours=73)
    seen = await house.until(
        client, asked.request, lambda seen: any(step.problem == "rights.something_remains" for step in seen.steps)
    )
    assert seen.state in ("executing", "checking")
    await asyncio.sleep(3)
    assert (await client.request(asked.request)).answered_at is None

    house.operator.stubborn.clear()
    closed = await house.until_state(client, asked.request, "closed")
    assert max(step.round for step in closed.steps if step.store == "helpdesk") > 1
    assert max(step.round for step in closed.steps if step.store == "billing") == 1


async def test_a_store_that_is_down_is_shown_blocks_nothing_and_is_gone_on_with_by_itself(house: House, tenant: UUID):
    maja = house.operator.person(("billing", Row("customer", "1")), ("helpdesk", Row("chat", "2")))
    client = house.person(maja, tenant)
    asked = await house.confirmed(client)
    house.operator.down.add("helpdesk")
    house.later(hours=73)
    try:
        seen = await house.until(client, asked.request, lambda seen: any(step.problem for step in seen.steps))
        waiting = next(step for step in seen.steps if step.problem)
        assert (waiting.store, waiting.verb, waiting.problem) == ("helpdesk", "erase", "anonymizer.store_unavailable")
        assert waiting.tries >= 1
        await house.until(
            client,
            asked.request,
            lambda seen: any((s.store, s.verb, s.state) == ("billing", "verify", "done") for s in seen.steps),
        )
    finally:
        house.operator.down.clear()
    await house.until_state(client, asked.request, "closed")
    assert house.operator.held(maja, "helpdesk") == []


async def test_one_named_recording_goes_at_once_and_its_siblings_stay(house: House, tenant: UUID):
    nadia = house.operator.person(
        ("recordings", Row("recording", "4710")),
        ("recordings", Row("recording", "4711")),
        ("billing", Row("customer", "1")),
    )
    client = house.person(nadia, tenant)
    wish = OpenRequest(kind=Kind.deletion, scope=Scope(recording="4711"))
    asked = await client.open(wish, key=str(uuid4()))
    await house.until_state(client, asked.request, "closed")
    assert [row.id for row in house.operator.held(nadia, "recordings")] == ["4710"]
    assert house.operator.held(nadia, "billing")


async def test_two_simultaneous_confirmations_erase_once(house: House, tenant: UUID):
    ulf = house.operator.person(("billing", Row("customer", "1")))
    client = house.person(ulf, tenant)
    asked = await client.open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
    await house.until_state(client, asked.request, "previewed")
    wish = Confirm(preview=(await client.preview(asked.request)).digest)
    outcomes = await asyncio.gather(
        *(client.confirm(asked.request, wish, key=str(uuid4())) for _ in range(8)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert all(isinstance(outcome, NotNow) for outcome in outcomes if isinstance(outcome, Exception))
    house.later(hours=73)
    closed = await house.until_state(client, asked.request, "closed")
    assert sum(step.verb == "erase" for step in closed.steps) == 3, "one erasure for each store"


async def test_nobody_confirms_another_preview_than_the_one_she_read(house: House, tenant: UUID):
    client = house.person(house.operator.person(("billing", Row("customer", "1"))), tenant)
    asked = await client.open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
    await house.until_state(client, asked.request, "previewed")
    with pytest.raises(PreviewOutdated):
        await client.confirm(asked.request, Confirm(preview="0" * 64), key=str(uuid4()))


async def test_who_has_no_login_confirms_and_withdraws_by_the_helpdesk_and_the_ledger_says_by_whom(
    house: House, tenant: UUID
):
    desk = house.helpdesk(tenant)
    request, read = await by_letter(house, tenant, house.operator.person(("billing", Row("customer", "1"))))
    await house.helpdesk(tenant, "hugo").confirm(request, read, key=str(uuid4()))
    await desk.withdraw(request, key=str(uuid4()))
    assert await said_by(house, request) == {"received": "hilda", "confirmed": "hugo", "withdrawn": "hilda"}


async def test_one_of_the_staff_alone_erases_nothing_in_somebodys_name(house: House, tenant: UUID):
    lars = house.operator.person(("billing", Row("customer", "1")))
    request, read = await by_letter(house, tenant, lars)
    for _ in range(2):
        with pytest.raises(AnotherConfirms):
            await house.helpdesk(tenant).confirm(request, read, key=str(uuid4()))
    house.later(hours=73)
    assert (await house.helpdesk(tenant).request(request)).state == "previewed"
    assert house.operator.held(lars, "billing")
    confirmed = await house.person(lars, tenant).confirm(request, read, key=str(uuid4()))
    assert confirmed.state == "cooling_off", "she herself may"


async def test_of_what_another_system_says_two_of_the_staff_confirm_and_it_never_does_itself(
    house: House, tenant: UUID
):
    address = f"{uuid4().hex[:8]}@post.example"
    house.operator.person(("billing", Row("customer", "1")), email=address)
    system = house.ticket_system(tenant)
    ticket = PostTicket(
        ticket=f"T-{uuid4().hex[:8]}",
        kind=Kind.deletion,
        identifiers=[Identifier(type=IdentifierType.email, value=address)],
        evidence=Evidence(method="call_back"),
    )
    request = (await system.post_ticket(ticket, key=str(uuid4()))).request
    hilda = house.helpdesk(tenant)
    await house.until_state(hilda, request, "previewed")
    read = Confirm(preview=(await hilda.preview(request)).digest)
    with pytest.raises(AnotherConfirms):
        await system.confirm(request, read, key=str(uuid4()))
    assert (await hilda.confirm(request, read, key=str(uuid4()))).state == "previewed"
    for alone in (hilda, system):
        with pytest.raises(AnotherConfirms):
            await alone.confirm(request, read, key=str(uuid4()))
    confirmed = await house.helpdesk(tenant, "hugo").confirm(request, read, key=str(uuid4()))
    assert confirmed.state == "cooling_off"
    assert await said_by(house, request) == {"vouched": "hilda", "confirmed": "hugo"}


async def test_one_recording_that_staff_name_waits_for_another_of_them_and_for_her_to_change_her_mind(
    house: House, tenant: UUID
):
    nils = house.operator.person(("recordings", Row("recording", "4710")), ("recordings", Row("recording", "4711")))
    request, read = await by_letter(house, tenant, nils, scope=Scope(recording="4711"))
    with pytest.raises(AnotherConfirms):
        await house.helpdesk(tenant).confirm(request, read, key=str(uuid4()))
    assert len(house.operator.held(nils, "recordings")) == 2
    other = house.helpdesk(tenant, "hugo")
    assert (await other.confirm(request, read, key=str(uuid4()))).state == "cooling_off"
    house.later(hours=73)
    await house.until_state(other, request, "closed")
    assert [row.id for row in house.operator.held(nils, "recordings")] == ["4710"]


async def by_letter(house: House, tenant: UUID, principal: UUID, **more: Any) -> tuple[UUID, Confirm]:
    """A deletion that hilda typed in, and what is to be confirmed."""
    desk = house.helpdesk(tenant)
    evidence = Evidence(method="registered_letter")
    wish = OpenRequest(kind=Kind.deletion, channel=Channel.letter, principal=principal, evidence=evidence, **more)
    asked = await desk.open(wish, key=str(uuid4()))
    await house.until_state(desk, asked.request, "previewed")
    return asked.request, Confirm(preview=(await desk.preview(asked.request)).digest)


async def said_by(house: House, request: UUID) -> dict[str, str]:
    """Who of the staff said what in the person's name, as it stands in the ledger."""
    query = """SELECT type, body->'data'->>'by' AS by
    FROM (SELECT seq, type, convert_from(body, 'UTF8')::json AS body FROM rights.event) told
    WHERE body->'data'->>'request' = $1 AND body->'data'->>'by' IS NOT NULL ORDER BY seq"""
    return {row["type"].removeprefix("request."): row["by"] for row in await house.rows(query, str(request))}


async def test_who_changes_her_mind_in_time_keeps_everything(house: House, tenant: UUID):
    bo = house.operator.person(("billing", Row("customer", "1")))
    client = house.person(bo, tenant)
    asked = await house.confirmed(client)
    withdrawn = await client.withdraw(asked.request, key=str(uuid4()))
    assert withdrawn.state == "withdrawn"
    house.later(hours=73)
    await asyncio.sleep(1.5)
    assert house.operator.held(bo, "billing")
    with pytest.raises(NotNow):
        await client.withdraw(asked.request, key=str(uuid4()))


@pytest.mark.parametrize(
    ("language", "said"),
    [("sv", ("bekräfta", "Påminnelse", "när du vill")), ("en", ("confirm", "A reminder", "whenever you want"))],
)
async def test_a_deletion_that_is_never_confirmed_is_reminded_of_once_and_then_answered_that_nothing_was_done(
    house: House, tenant: UUID, language: str, said: tuple[str, str, str]
):
    anna = house.operator.person(("billing", Row("customer", "1")))
    person, begun = house.person(anna, tenant), house.now()
    wish = OpenRequest(kind=Kind.deletion, language=language)
    asked = await house.until_state(person, (await person.open(wish, key=str(uuid4()))).request, "previewed")
    last = (day_of(begun) + timedelta(days=14)).isoformat()
    [wanted] = (await person.letters(asked.request)).items
    assert wanted.template == "confirmation_wanted" and said[0] in wanted.body and last in wanted.subject
    house.later(days=8)

    async def letters() -> list[str]:
        return [each.template for each in (await person.letters(asked.request)).items]

    await house.seen(letters, lambda seen: len(seen) == 2)
    await asyncio.sleep(2.5)  # ticks
    assert await letters() == ["confirmation_wanted", "confirmation_reminder"]
    reminder = (await person.letters(asked.request)).items[-1]
    assert said[1] in reminder.subject and last in reminder.body
    assert (await person.request(asked.request)).state == "previewed"
    house.later(days=7)
    over = await house.until_state(person, asked.request, "answered")
    answer = await person.answer(asked.request)
    assert (answer.outcome, answer.refusal.reason, answer.outcomes) == ("refused", "not_confirmed", [])
    assert said[2] in answer.refusal.label.in_(language) and "imy.se" in answer.complaint.sv
    assert said[2] in (await person.letters(asked.request)).items[-1].body
    assert over.due_on >= answer.answered_at.date(), "the law's month has not passed"
    assert house.operator.held(anna, "billing")
    assert "erase" not in {step.verb for step in over.steps}
    with pytest.raises(NotNow):
        await person.confirm(asked.request, Confirm(preview="x"), key=str(uuid4()))
    again = await house.until_state(person, (await person.open(wish, key=str(uuid4()))).request, "previewed")
    assert again.request != asked.request


async def test_a_step_that_runs_long_is_asked_for_again_under_the_same_id(house: House, tenant: UUID):
    doris = house.operator.person(("billing", Row("customer", "1")))
    client = house.person(doris, tenant)
    house.operator.running_first = 2
    try:
        asked = await client.open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
        seen = await house.until_state(client, asked.request, "previewed")
    finally:
        house.operator.running_first = 0
    assert all(house.operator.asked.count(step.step) == 3 for step in seen.steps)
    assert len({step for step, *_ in house.operator.journal}) == len(house.operator.journal)


async def _today(house: House):
    from chassis import clock

    return clock.now().date()
