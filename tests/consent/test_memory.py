"""A decision point's memory: small, and the same whatever order the same history came in."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.ledger.events import Event
from services.consent.contract import Kind, Regulation, State
from services.consent.memory import PARTS, Memory
from services.consent.rules import Matter, instant, microseconds, record_id

TENANT, ANNA = UUID(int=5), UUID(int=6)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STATES = {
    Kind.consent: [State.given, State.renewed, State.withdrawn, State.requested, State.refused, State.expired],
    Kind.objection: [State.raised, State.lifted, State.overruled],
    Kind.restriction: [State.set, State.lifted],
}


def stated(person: UUID, matter: Matter, state: State, at: int, notice: int | None) -> Event:
    occurred = BEGIN + timedelta(seconds=at)
    named = ("terms", notice) if notice else None
    data = {
        "record": str(record_id(TENANT, person, matter, state, named, microseconds(occurred))),
        "sha256": "",
        "kind": matter.kind.value,
        "regulation": matter.regulation.value,
        "purpose": matter.purpose,
        "state": state.value,
        "sequence": 1,
        "occurred_at": occurred.isoformat(),
        "notice": "terms" if notice else None,
        "notice_version": notice,
        "valid_until": (occurred + timedelta(days=730)).isoformat() if notice else None,
    }
    return Event(UUID(int=1), 1, f"{matter.kind}.{state}", "/wardline/consent", BEGIN, TENANT, person, "", None, data)


@st.composite
def histories(draw):
    kind = st.sampled_from(Kind)
    said = st.tuples(
        st.integers(1, 2), kind, st.sampled_from(Regulation), st.sampled_from(["a", "b"]), st.integers(0, 2)
    )
    history = []
    for person, kind_, regulation, purpose, at in draw(st.lists(said, max_size=12)):
        state = draw(st.sampled_from(STATES[kind_]))
        notice = draw(st.integers(1, 2)) if state in (State.given, State.renewed) else None
        history.append(stated(UUID(int=person), Matter(kind_, regulation, purpose), state, at, notice))
    return history


def remembered(history) -> dict:
    """What a memory holds, free of the numbers it gives to notices."""
    memory = Memory()
    for position, event in enumerate(history, 1):
        memory.apply(position, event)
    return {
        key: {
            said._replace(notice=memory.notices[said.notice].version if said.notice else None): memory.record_of(
                TENANT, UUID(bytes=key[1]), said
            )
            for said in row
        }
        for key, row in memory.everything().items()
    }


@given(histories(), st.randoms(use_true_random=False))
def test_the_same_history_in_any_order_ends_in_the_same_standing(history, chance: random.Random):
    shuffled = list(history)
    chance.shuffle(shuffled)
    assert remembered(shuffled) == remembered(history) == remembered(history + shuffled)


@given(histories())
def test_the_record_an_answer_names_is_the_one_that_was_written(history):
    written = {UUID(event.data["record"]) for event in history}
    assert all(record in written for row in remembered(history).values() for record in row.values())


def test_one_regulations_statement_never_overwrites_anothers():
    gdpr, eprivacy = (Matter(Kind.consent, regulation, "a") for regulation in Regulation)
    history = [stated(ANNA, gdpr, State.given, 0, 1), stated(ANNA, eprivacy, State.withdrawn, 1, None)]
    (row,) = remembered(history).values()
    assert {(said.matter.regulation, said.state) for said in row} == {("gdpr", "given"), ("eprivacy", "withdrawn")}


def test_what_a_newer_version_tells_besides_is_ignored():
    event = stated(ANNA, Matter(Kind.consent, Regulation.gdpr, "a"), State.given, 0, 1)
    event.data["mood"] = "good"
    memory = Memory()
    memory.apply(1, event)
    memory.apply(2, Event(UUID(int=2), 2, "weather.changed", "", BEGIN, TENANT, None, "", None, {}))
    assert memory.position == 2 and len(memory.said(TENANT, ANNA.bytes, "a")) == 1


def test_a_person_takes_few_bytes():
    memory = Memory()
    for person in range(1000):
        for purpose in range(16):
            matter = Matter(Kind.consent, Regulation.gdpr, f"p{purpose}")
            memory.apply(1, stated(UUID(int=person), matter, State.given, person * 16 + purpose, 1))
    assert sum(map(len, memory._buckets)) / 1000 == 19 + 16 * 10
    assert len(memory._terms) < 10 and len(memory._shapes) == 16


def test_two_companies_who_know_somebody_by_the_same_id_never_meet():
    matter, memory = Matter(Kind.consent, Regulation.gdpr, "a"), Memory()
    memory.apply(1, stated(ANNA, matter, State.given, 0, 1))
    memory.apply(2, replace(stated(ANNA, matter, State.withdrawn, 1, None), tenant=UUID(int=9)))
    assert [said.state for said in memory.said(TENANT, ANNA.bytes, "a")] == [State.given]
    assert [said.state for said in memory.said(UUID(int=9), ANNA.bytes, "a")] == [State.withdrawn]


@given(st.datetimes(datetime(1, 1, 1), datetime(2200, 1, 1)), st.timedeltas(timedelta(0), timedelta(days=9000)))
def test_instants_are_held_to_the_microsecond(occurred: datetime, lasts: timedelta):
    event = stated(ANNA, Matter(Kind.consent, Regulation.gdpr, "a"), State.given, 0, 1)
    event.data["occurred_at"] = occurred.replace(tzinfo=UTC).isoformat()
    event.data["valid_until"] = (occurred + lasts).replace(tzinfo=UTC).isoformat()
    memory = Memory()
    memory.apply(1, event)
    (said,) = memory.said(TENANT, ANNA.bytes, "a")
    assert (instant(said.occurred_at), instant(said.valid_until)) == (
        occurred.replace(tzinfo=UTC),
        (occurred + lasts).replace(tzinfo=UTC),
    )


@settings(max_examples=25, deadline=None)
@given(histories(), st.integers(0, 12))
def test_an_image_taken_while_more_is_said_is_as_good_as_the_whole_ledger(history, later: int):
    memory = Memory()
    for position, event in enumerate(history[:later], 1):
        memory.apply(position, event)
    position = memory.position
    image = [memory.part(n) for n in range(PARTS // 2)]
    for place, event in enumerate(history[later:], later + 1):
        memory.apply(place, event)  # between two parts of the image
    image += [memory.part(n) for n in range(PARTS // 2, PARTS)]
    recalled = Memory()
    for n, part in enumerate(image):
        recalled.recall(n, part)
    recalled.recall_index(memory.index(), position)
    for place, event in enumerate(history[position:], position + 1):
        recalled.apply(place, event)
    assert recalled.everything() == memory.everything() and recalled.position == memory.position
