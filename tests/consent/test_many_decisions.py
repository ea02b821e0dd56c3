"""Many questions at once, as AuthZEN 1.0 has them: defaults, order and length, and one that cannot be read."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.auth import Caller
from chassis.ids import new_id
from ops.home import ROOT
from services.consent.contract import Evaluations
from services.consent.decisions import DecisionPoint
from services.consent.memory import Memory
from services.consent.questions import MOST, BadQuestion, read_many
from services.consent.rules import EVERY_PURPOSE
from services.registry.books import read_book
from tests.consent.conftest import Company, question

BOOK = read_book(ROOT / "policy" / "book.yaml")
PATH = "/access/v1/evaluations"
ACTION, RESOURCE = {"name": "development"}, {"type": "traffic", "id": "any"}


def subject(person: UUID | str) -> dict[str, str]:
    return {"type": "principal", "id": str(person)}


async def asked(company: Company, body: Any) -> httpx2.Response:
    return await company.post(PATH, body if isinstance(body, str) else json.dumps(body))


async def reasons(company: Company, body: Any) -> list[str]:
    answer = await asked(company, body)
    assert answer.status_code == 200, answer.text
    return [each["context"]["reason"] for each in answer.json()["evaluations"]]


async def _given(company: Company, anna: UUID) -> None:
    await company.until_known(await company.give(anna, await company.notice(), "development"))


async def test_each_item_is_answered_as_it_would_be_alone_and_in_its_place(company: Company, anna: UUID):
    await _given(company, anna)
    people = [new_id(), anna, new_id(), anna]
    purposes = ["development", "development", "maintaining_service", "communication"]
    categories = ["traffic", "traffic", "traffic", "helpdesk_email"]
    items = [question(*each).model_dump() for each in zip(people, purposes, categories, strict=True)]
    together = await company.service.decide_many(company.tenant, Evaluations(evaluations=items))
    alone = [await company.decision(*each) for each in zip(people, purposes, categories, strict=True)]
    told = [
        (each.decision, each.context.reason, each.context.record, each.context.basis) for each in together.evaluations
    ]
    assert told == [(each.decision, each.context.reason, each.context.record, each.context.basis) for each in alone]
    assert [yes for yes, *_ in told] == [False, True, True, True]


async def test_what_an_item_leaves_out_it_takes_from_the_top_and_what_it_says_replaces_that_whole(
    company: Company, anna: UUID
):
    await _given(company, anna)
    top = {"subject": subject(anna), "action": ACTION, "resource": RESOURCE}
    items = [
        {},
        {"subject": subject(new_id())},
        {"action": {"name": "nothing"}},
        {"resource": {"type": "weather", "id": "1"}},
    ]
    assert await reasons(company, top | {"evaluations": items}) == [
        "consent", "no_consent", "unknown_purpose", "unknown_category",
    ]  # fmt: skip
    # A member is replaced, never merged: an action without a name has none, whatever the top says.
    assert await reasons(company, top | {"evaluations": [{"action": {"properties": {}}}]}) == ["malformed"]


async def test_an_item_that_cannot_be_read_is_a_no_among_answers(company: Company, anna: UUID):
    await _given(company, anna)
    items = [{"subject": subject(anna)}, {}, 7, {"subject": {"type": "principal"}}, {"subject": subject(anna)}]
    answer = await asked(company, {"action": ACTION, "resource": RESOURCE, "evaluations": items})
    assert answer.status_code == 200
    told = answer.json()["evaluations"]
    assert [each["decision"] for each in told] == [True, False, False, False, True]
    assert told[1]["context"]["error"] == {"status": 400, "message": "subject is missing or not an object."}


async def test_without_evaluations_it_is_one_question(company: Company, anna: UUID):
    await _given(company, anna)
    one = {"subject": subject(anna), "action": ACTION, "resource": RESOURCE}
    for body in (one, one | {"evaluations": []}):
        assert (await asked(company, body)).json()["decision"] is True
    assert (await asked(company, {"subject": subject(anna), "evaluations": []})).status_code == 400


async def test_the_asker_may_end_at_the_first_no_or_yes(company: Company, anna: UUID):
    await _given(company, anna)
    items = [{"subject": subject(person)} for person in (anna, new_id(), anna)]

    async def told(semantic: str) -> list[bool]:
        body = {"action": ACTION, "resource": RESOURCE, "evaluations": items}
        answer = await asked(company, body | {"options": {"evaluations_semantic": semantic}})
        return [each["decision"] for each in answer.json()["evaluations"]]

    assert await told("execute_all") == [True, False, True]
    assert await told("deny_on_first_deny") == [True, False]
    assert await told("permit_on_first_permit") == [True]


async def test_a_batch_that_cannot_be_read_is_refused_with_a_sentence(company: Company):
    for body in (
        "", "[]", "{", '{"evaluations": 1}', '{"evaluations": {}}', '{"options": 1, "evaluations": [{}]}',
        '{"options": {"evaluations_semantic": "first"}, "evaluations": [{}]}',
        '{"options": {"evaluations_semantic": []}, "evaluations": [{}]}',
        '{"evaluations": [{}], "evaluations": [{}]}', '{"evaluations": [{"subject": {"id": "a", "id": "b"}}]}',
    ):  # fmt: skip
        answer = await asked(company, body)
        assert answer.status_code == 400 and len(answer.json()) > 10, body
    assert (await company.post(PATH, "{}", **{"content-type": "text/plain"})).status_code == 400


async def test_too_many_are_refused_by_a_problem(company: Company):
    for many in (MOST + 1, 1_000_000):
        answer = await asked(company, '{"evaluations": [' + ",".join(["{}"] * many) + "]}")
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


async def test_what_nobody_defined_changes_nothing(company: Company, anna: UUID):
    await _given(company, anna)
    action = ACTION | {"properties": {"operation": ["storage"]}, "mood": {"good": True}}
    body = {
        "subject": subject(anna),
        "action": action,
        "resource": RESOURCE,
        "weather": 1,
        "evaluations": [{"more": []}],
    }
    assert await reasons(company, body) == ["consent"]


@given(st.integers(1, 5), st.data())
def test_a_name_said_twice_is_noticed_wherever_it_stands_and_whatever_else_is_missing(many: int, data: st.DataObject):
    item = {"subject": subject("anna"), "action": ACTION, "resource": RESOURCE}
    texts = [json.dumps(item) for _ in range(many)]
    assert len(read_many(b"application/json", _batch(texts)).items) == many
    twice = data.draw(st.integers(0, many - 1))
    name = data.draw(st.sampled_from(['"subject"', '"type"', '"id"', '"action"', '"name"', '"resource"']))
    texts[twice] = texts[twice].replace(name, f"{name}: 1, {name}", 1)
    if data.draw(st.booleans()):  # as many quotation marks as if nothing were wrong
        texts.append(json.dumps(item).replace('"any"', "7"))
    with pytest.raises(BadQuestion, match="twice"):
        read_many(b"application/json", _batch(texts))


def _batch(texts: list[str]) -> bytes:
    return f'{{"evaluations": [{", ".join(texts)}]}}'.encode()


TERMS = ("terms", 1)
PEOPLE = [UUID(int=n) for n in (1, 2)]
ASKER = Caller("callserver", "callserver", "callserver", "machine", UUID(int=9), frozenset(), frozenset(), None, 0)
SAID = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(
        [("consent", "given"), ("consent", "withdrawn"), ("objection", "raised"), ("restriction", "set"), ("consent", "requested")]
    ),
    st.sampled_from(["gdpr", "eprivacy"]),
    st.sampled_from(["development", "communication", "maintaining_service"]),
)  # fmt: skip
ASKED = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(["development", "communication", "maintaining_service", "nobody_knows"]),
    st.sampled_from(["traffic", "recorded_call"]),
    st.sampled_from([None, "storage"]),
    st.sampled_from([None, [], [str(PEOPLE[0])], [str(each) for each in PEOPLE]]),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(SAID, max_size=8), st.booleans(), st.lists(ASKED, min_size=1, max_size=12))
def test_what_is_asked_together_is_answered_as_each_alone(history: list, duty: bool, questions: list):
    """Whatever was said, and in whatever order it is asked: nothing that was found for one goes for another."""
    memory = Memory()
    terms = {"development": frozenset(["traffic"]), "communication": frozenset(["recorded_call"])}
    memory.notices[memory._notice_number(ASKER.tenant, *TERMS)].purposes = terms
    if duty:
        memory._duties.add((ASKER.tenant, "communication"))
    for at, (person, (kind, state), law, purpose) in enumerate(history):
        matter = (kind, law, EVERY_PURPOSE if kind == "restriction" else purpose)
        memory.hear(ASKER.tenant, person, matter, state, at * 1_000_000, None, TERMS if state == "given" else None)
    items = []
    for person, purpose, category, operation, participants in questions:
        said = {} if participants is None else {"participants": participants}
        items.append(question(person, purpose, category, operation, **said).model_dump())

    def point() -> DecisionPoint:
        fresh = DecisionPoint(memory, lambda: True, lambda: datetime(2026, 12, 1, tzinfo=UTC))
        fresh.use(BOOK)
        return fresh

    status, told = point().answer_many(ASKER, b"application/json", json.dumps({"evaluations": items}).encode())
    alone = [point().answer(ASKER, b"application/json", json.dumps(item).encode()) for item in items]
    assert status == 200 and json.loads(told)["evaluations"] == [json.loads(answer) for _, answer in alone]
