"""The decision over HTTP: AuthZEN 1.0 to the letter, from memory, and no to whatever cannot be known."""

import asyncio
import json
from datetime import timedelta

import pytest

from chassis import clock
from chassis.ids import new_id
from services.consent.decisions import PATH
from tests.consent.conftest import Company, question


@pytest.fixture
def asked(anna) -> dict:
    return json.loads(question(anna, "maintaining_service", "traffic").model_dump_json())


async def test_the_decision_follows_giving_and_withdrawing(company, anna):
    assert not (await company.decision(anna, "development", "traffic")).decision
    given = await company.give(anna, await company.notice(), "development")
    await company.until_known(given)
    allowed = await company.decision(anna, "development", "traffic")
    assert allowed.decision and allowed.context.reason == "consent" and allowed.context.record == given.record
    assert (allowed.context.notice, allowed.context.notice_version) == ("recordings", 1)
    assert allowed.context.expires_at == given.valid_until
    withdrawn = await company.withdraw(anna, "development")
    refused = await company.decision(anna, "development", "traffic")
    assert not refused.decision and refused.context.reason == "withdrawn" and refused.context.record == withdrawn.record
    assert refused.context.state_version > allowed.context.state_version


async def test_refusing_never_stops_what_rests_on_contract_or_law(company, anna):
    await company.withdraw(anna, "development")
    for purpose, basis in (("maintaining_service", "contract"), ("legal_compliance", "legal_obligation")):
        told = await company.decision(anna, purpose, "traffic")
        assert told.decision and told.context.basis == basis


async def test_a_notice_covers_the_elements_of_the_categories_it_names_and_no_others(company, anna):
    await company.until_known(await company.give(anna, await company.notice(), "development"))
    assert (await company.decision(anna, "development", "location")).decision
    narrow = await company.notice("narrow", purposes={"development": ["participants"]})
    bert = new_id()
    await company.until_known(await company.give(bert, narrow, "development"))
    assert (await company.decision(bert, "development", "participants")).decision
    for category in ("location", "traffic"):
        assert (await company.decision(bert, "development", category)).context.reason == "notice_does_not_cover"


async def test_a_call_is_recorded_only_if_everybody_in_it_consents(company, anna):
    told, bert, carl = await company.notice(), new_id(), new_id()
    for person in (anna, bert):
        await company.until_known(await company.give(person, told))

    async def reason(**context):
        return (await company.decision(anna, "communication", "recorded_call", **context)).context.reason

    assert await reason(participants=[str(bert)]) == "consent"
    assert await reason(participants=[str(bert), str(carl)]) == "participant_has_not_consented"
    assert await reason(participants=[str(bert), None]) == "participants_unknown"
    assert await reason(participants=["+46701234567"]) == "participants_unknown"
    assert await reason() == "participants_unknown"
    await company.withdraw(bert)
    assert await reason(participants=[str(bert)]) == "participant_has_not_consented"


async def test_a_consent_lapses_when_the_book_says(served, company, anna):
    given = await company.give(anna, await company.notice(), "development")
    await company.until_known(given)
    try:
        clock.set_offset(served.clock, given.valid_until - clock.now() - timedelta(minutes=5))
        await asyncio.sleep(0.6)
        assert (await company.decision(anna, "development", "traffic")).decision
        clock.set_offset(served.clock, given.valid_until - given.recorded_at)
        assert (await company.decision(anna, "development", "traffic")).context.reason == "expired"
    finally:
        clock.set_offset(served.clock, timedelta(0))


@pytest.mark.parametrize(
    "purpose, category, reason",
    [
        ("astrology", "traffic", "unknown_purpose"),
        ("development", "horoscope", "unknown_category"),
        ("development", "mac_address", "no_legal_basis"),
        ("", "", "unknown_purpose"),
    ],
)
async def test_what_the_book_does_not_know_is_refused(company, anna, purpose, category, reason):
    told = await company.decision(anna, purpose, category)
    assert (told.decision, told.context.reason) == (False, reason)


async def test_only_principals_are_subjects_and_a_person_only_asks_about_herself(company, anna):
    for nobody in ("", "anna@example.com", str(anna).upper(), str(anna).replace("-", " "), "0" * 36):
        assert (await company.decision(nobody, "maintaining_service", "traffic")).context.reason == "unknown_subject"
    herself = company.herself(anna)
    assert (await herself.decide(company.tenant, question(anna, "maintaining_service", "traffic"))).decision
    told = await herself.decide(company.tenant, question(new_id(), "maintaining_service", "traffic"))
    assert told.context.reason == "unknown_subject"


# --- AuthZEN -------------------------------------------------------------------------------------------------------------


async def test_the_configuration_names_the_endpoint_at_the_public_edge(served):
    told = (await served.http.get(f"{served.url}/.well-known/authzen-configuration")).json()
    assert told == {
        "policy_decision_point": served.issuer.name,
        "access_evaluation_endpoint": f"{served.issuer.name}{PATH}",
        "access_evaluations_endpoint": f"{served.issuer.name}{PATH}s",
    }


def without(asked: dict, *path: str) -> dict:
    *parents, last = path
    inner = asked
    for name in parents:
        inner = inner[name]
    del inner[last]
    return asked


MALFORMED = {
    "no body": lambda asked: b"",
    "no JSON": lambda asked: b"{",
    "not UTF-8": lambda asked: b'{"subject": "\xff"}',
    "no object": lambda asked: b"[]",
    "null": lambda asked: b"null",
    "a key twice": lambda asked: json.dumps(asked).replace('"action"', '"subject": {}, "action"').encode(),
    "a key twice, spelt otherwise": lambda asked: json.dumps(asked).replace('"action"', r'"\u0073ubject": {}, "action"').encode(),
    "no subject": lambda asked: without(asked, "subject"),
    "no subject type": lambda asked: without(asked, "subject", "type"),
    "no subject id": lambda asked: without(asked, "subject", "id"),
    "no action": lambda asked: without(asked, "action"),
    "no action name": lambda asked: without(asked, "action", "name"),
    "no resource": lambda asked: without(asked, "resource"),
    "no resource type": lambda asked: without(asked, "resource", "type"),
    "no resource id": lambda asked: without(asked, "resource", "id"),
    "subject a text": lambda asked: asked | {"subject": "anna"},
    "action a list": lambda asked: asked | {"action": []},
    "resource null": lambda asked: asked | {"resource": None},
    "a number for an id": lambda asked: asked | {"subject": {"type": "principal", "id": 7}},
    "properties a list": lambda asked: asked | {"action": {"name": "development", "properties": []}},
    "context a text": lambda asked: asked | {"context": "now"},
    "nested too deep": lambda asked: b"[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("known_token", [True, False], ids=["hot path", "ordinary route"])
@pytest.mark.parametrize("bent", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_question_is_a_400_with_a_sentence(company, asked, bent, known_token):
    body, headers = bent(asked), await company.headers()
    if known_token:
        await company.post(PATH, json.dumps({}), **headers)
    answer = await company.post(PATH, body if isinstance(body, bytes) else json.dumps(body), **headers)
    assert answer.status_code == 400 and isinstance(answer.json(), str)


async def test_the_wrong_content_type_is_a_400(company, asked):
    for other in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert (await company.post(PATH, json.dumps(asked), **{"content-type": other})).status_code == 400


async def test_members_nobody_defined_are_accepted_and_the_request_id_comes_back(company, asked):
    asked |= {"extra": 1, "context": {"time": "now", "weather": [1.5, None]}}
    asked["subject"] |= {"properties": {"department": "sales"}, "extra": True}
    headers = await company.headers()
    for _ in ("the ordinary route", "the hot path"):
        answer = await company.post(
            PATH, json.dumps(asked), **headers, **{"x-request-id": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}
        )
        assert answer.status_code == 200 and answer.json()["decision"] is True
        assert answer.headers["x-request-id"] == "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
        assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "no-store"


async def test_the_hot_path_and_the_ordinary_route_answer_the_same(company, anna):
    await company.until_known(await company.give(anna, await company.notice(), "development"))
    for purpose, category in (("development", "traffic"), ("maintaining_service", "traffic"), ("astrology", "x")):
        body, headers = question(anna, purpose, category).model_dump_json(), await company.headers()
        first, second = [(await company.post(PATH, body, **headers)).json() for _ in range(2)]
        first["context"].pop("state_version"), second["context"].pop("state_version")
        assert first == second


async def test_nobody_is_answered_without_a_token_that_is_valid_here(company, asked):
    issuer, body = company.served.issuer, json.dumps(asked)

    async def status(**bent):
        return (await company.post(PATH, body, **await company.headers(**bent))).status_code

    assert await status() == 200
    for authorization in ("", "Bearer", "Bearer x.y.z", "Basic YTpi"):
        assert (await company.post(PATH, body, authorization=authorization)).status_code == 401
    assert await status(exp=1) == 401
    assert await status(aud="rights") == 401
    assert await status(iss="http://elsewhere.test") == 401
    assert await status(client_id="helpdesk") == 403
    assert await status(scope="consent.read") == 403
    stranger = issuer.token("consent", "decision.ask", None, client_id="public")
    assert (await company.post(PATH, body, authorization=f"Bearer {stranger}")).status_code == 403
    assert await status(iat=4_000_000_000) == 401


async def test_a_body_that_is_too_large_is_not_read(company):
    headers = await company.headers()
    assert (await company.post(PATH, b" " * 2_000_000, **headers)).status_code == 413
    assert (await company.post(PATH, b"{}", **headers)).status_code == 400
    assert (await company.post(PATH, b" " * 2_000_000, **headers)).status_code == 413


async def test_each_company_is_told_its_own_record_though_the_same_was_said_to_another(served):
    for company in (Company(served), Company(served)):
        anna = new_id()
        taken = await company.withdraw(anna, "development")
        told = await company.decision(anna, "development", "traffic")
        assert (told.context.reason, told.context.record) == ("withdrawn", taken.record)
