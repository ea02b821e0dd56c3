"""What staff say that somebody withdrew erases nothing before another of them, or she herself, has confirmed it (decision 0032)."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.requests.rights.contract import (
    AnotherConfirms,
    Channel,
    Confirm,
    Evidence,
    Kind,
    NotNow,
    OpenRequest,
    Request,
)
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_deletion import said_by


async def withdrawn(house: House, tenant: UUID, who: UUID, **more: Any) -> Request:
    """The deletion that a withdrawal leads to, once it stands still or is over."""
    told = house.operator.consent_withdrawn(who, tenant, ["recorded_call"], **more)

    async def seen() -> list[Request]:
        found = (await house.person(who, tenant).requests()).items
        return [one for one in found if str(one.request) == told["data"]["record"]]

    [request] = await house.seen(seen, lambda found: bool(found) and found[0].state in ("previewed", "closed"))
    return request


def recorded(house: House) -> UUID:
    return house.operator.person(("recordings", Row("recorded_call", "r-1")), ("billing", Row("customer", "1")))


async def read(house: House, tenant: UUID, request: UUID) -> Confirm:
    return Confirm(preview=(await house.helpdesk(tenant).preview(request)).digest)


async def test_what_one_of_the_staff_says_she_withdrew_goes_once_another_has_confirmed_it(house: House, tenant: UUID):
    cilla = recorded(house)
    asked = await withdrawn(house, tenant, cilla, vouched={"by": "hilda"})
    assert (asked.channel, asked.state, asked.purpose) == ("consent", "previewed", "communication")
    [letter] = (await house.person(cilla, tenant).letters(asked.request)).items
    assert (letter.template, letter.direction) == ("withdrawal_told", "out") and "en kollega" in letter.body
    seen = await read(house, tenant, asked.request)
    with pytest.raises(AnotherConfirms):
        await house.helpdesk(tenant).confirm(asked.request, seen, key=str(uuid4()))
    house.later(hours=73)
    await asyncio.sleep(1.5)  # a tick
    assert house.operator.held(cilla, "recordings")
    both = [house.helpdesk(tenant, name).confirm(asked.request, seen, key=str(uuid4())) for name in ("hugo", "hanna")]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert {type(each) for each in outcomes} == {Request, NotNow}
    house.later(hours=73)
    closed = await house.until_state(house.helpdesk(tenant), asked.request, "closed")
    assert house.operator.held(cilla, "recordings") == [] and house.operator.held(cilla, "billing")
    assert sum(step.verb == "erase" and step.store == "recordings" for step in closed.steps) == 1
    said = await said_by(house, asked.request)
    assert said["received"] == "hilda" and said["confirmed"] in ("hugo", "hanna")


async def test_of_what_a_system_says_she_withdrew_two_of_the_staff_confirm(house: House, tenant: UUID):
    cilla = recorded(house)
    asked = await withdrawn(house, tenant, cilla, vouched={"by": None})
    seen = await read(house, tenant, asked.request)
    first = await house.helpdesk(tenant).confirm(asked.request, seen, key=str(uuid4()))
    assert first.state == "previewed"
    with pytest.raises(AnotherConfirms):
        await house.helpdesk(tenant).confirm(asked.request, seen, key=str(uuid4()))
    second = await house.helpdesk(tenant, "hugo").confirm(asked.request, seen, key=str(uuid4()))
    assert second.state == "cooling_off"


async def test_what_she_says_herself_goes_at_once_and_ends_what_waited_for_somebody_else(house: House, tenant: UUID):
    cilla = recorded(house)
    waits = await withdrawn(house, tenant, cilla, vouched={"by": "hilda"})
    hers = await withdrawn(house, tenant, cilla)
    await house.until_state(house.person(cilla, tenant), hers.request, "closed")
    assert house.operator.held(cilla, "recordings") == []
    over = await house.helpdesk(tenant).request(waits.request)
    assert (over.state, over.duplicate_of) == ("duplicate", hers.request)


async def test_nothing_goes_of_whoever_said_yes_again_before_it_went(house: House, tenant: UUID):
    """Whether she did is asked when it would go: while nobody can say so, it stays."""
    cilla, dora = recorded(house), recorded(house)
    asked = [await withdrawn(house, tenant, who, vouched={"by": "hilda"}) for who in (cilla, dora)]
    for one in asked:
        seen = await read(house, tenant, one.request)
        await house.helpdesk(tenant, "hugo").confirm(one.request, seen, key=str(uuid4()))
    given = {"purpose": "communication", "state": "given", "since": "2026-11-20T12:00:00.000001Z"}
    house.operator.given[cilla] = [given]
    house.operator.given[dora] = [given | {"purpose": "development"}, given | {"since": "2026-11-20T12:00:00Z"}]
    house.operator.consent_down = True
    house.later(hours=73)
    await asyncio.sleep(2.5)  # ticks
    assert [(await house.helpdesk(tenant).request(one.request)).state for one in asked] == ["cooling_off"] * 2
    house.operator.consent_down = False
    await house.until_state(house.helpdesk(tenant), asked[0].request, "withdrawn")
    await house.until_state(house.helpdesk(tenant), asked[1].request, "closed")
    assert house.operator.held(cilla, "recordings") and not house.operator.held(dora, "recordings")


async def test_she_herself_confirms_it_or_says_that_she_withdrew_nothing(house: House, tenant: UUID):
    cilla, dora = recorded(house), recorded(house)
    confirmed, denied = [await withdrawn(house, tenant, who, vouched={"by": "hilda"}) for who in (cilla, dora)]
    seen = await read(house, tenant, confirmed.request)
    person = house.person(cilla, tenant)
    assert (await person.confirm(confirmed.request, seen, key=str(uuid4()))).state == "cooling_off"
    assert (await house.person(dora, tenant).withdraw(denied.request, key=str(uuid4()))).state == "withdrawn"
    assert house.operator.held(dora, "recordings")


async def test_what_nobody_confirms_is_told_of_again_and_again_and_never_given_up(house: House, tenant: UUID):
    """Her consent is withdrawn: the data rest on nothing, and somebody is to say whether they go."""
    cilla = recorded(house)
    asked = await withdrawn(house, tenant, cilla, vouched={"by": "hilda"})
    house.later(days=60)
    await house.seen(lambda: house.events(asked.request), lambda told: "request.overdue" in told)
    await asyncio.sleep(1.5)  # a tick
    assert (await house.helpdesk(tenant).request(asked.request)).state == "previewed"
    assert house.operator.held(cilla, "recordings")


@pytest.mark.parametrize("by_staff", [True, False])
async def test_consent_is_told_on_whose_word_somebody_withdrew(house: House, tenant: UUID, by_staff: bool):
    cilla = recorded(house)
    wish = OpenRequest(kind=Kind.withdrawal, purpose="communication")
    if by_staff:
        wish = wish.model_copy(
            update={"channel": Channel.telephone, "principal": cilla, "evidence": Evidence(method="call_back")}
        )
    client = house.helpdesk(tenant) if by_staff else house.person(cilla, tenant)
    asked = await client.open(wish, key=str(uuid4()))
    await house.until_state(client, asked.request, "closed")
    [said] = house.operator.said_of(cilla)
    assert said.get("vouched") == ({"by": "hilda"} if by_staff else None)
