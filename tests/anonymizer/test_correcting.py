"""A person's wrong data are put right, and what they dispute is frozen: nothing touches it until they let go."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import (
    Correction,
    CorrectionRefused,
    SimulationRequest,
    StepConflict,
    StepRequest,
    StepResult,
    StepState,
    Verb,
)
from tests.anonymizer.conftest import House
from tests.anonymizer.test_hold_race import somebody, somebody_who_logs_in


async def correct(house: House, store: str, principal: UUID, *changes: tuple[str, str, str], step=None) -> StepResult:
    said = [Correction(element=element, old=old, new=new) for element, old, new in changes]
    wish = StepRequest(verb=Verb.correct, store=store, principal=principal, changes=said)
    return await house.client.step(step or uuid4(), wish, tenant=PRIVATE.id)


def counted(result: StepResult, action: str) -> dict[tuple[str, str], int]:
    return {(one.table, one.rule): one.count for one in result.outcomes if one.action == action}


async def test_only_the_persons_own_rows_that_say_what_is_wrong_are_corrected(house: House):
    someone, msisdn, _ = await somebody(house, 30)
    select = "SELECT customer_number, address, city FROM customer ORDER BY id"
    before = {row["customer_number"]: row for row in await house.rows("billing", select)}
    mine, step = before["K1001030"], uuid4()
    wishes = [("address", mine["address"], "Rättgatan 7"), ("address", "Fel Ort", "Rätt Ort")]
    done = await correct(house, "billing", someone, *wishes, step=step)
    assert counted(done, "correct") == {("customer", "correction"): 1}
    after = {row["customer_number"]: row for row in await house.rows("billing", select)}
    assert after.pop("K1001030")["address"] == "Rättgatan 7"
    assert all(row == before[number] for number, row in after.items())
    assert await correct(house, "billing", someone, *wishes, step=step) == done
    with pytest.raises(StepConflict):
        await correct(house, "billing", someone, ("address", "Rättgatan 7", "Annan gata 1"), step=step)
    kept = await house.rows("wardline", "SELECT asked::text FROM anonymizer.step WHERE id = $1", step)
    assert "Rättgatan" not in kept[0]["asked"], "a correction says what people are called"
    assert [one["data"]["step"] for one in await house.events("data.corrected")].count(str(step)) == 1


async def test_a_value_that_the_store_does_not_take_changes_nothing(house: House):
    someone, _, _ = await somebody(house, 31)
    before = await house.rows("billing", "SELECT * FROM customer WHERE customer_number = 'K1001031'")
    with pytest.raises(CorrectionRefused):
        await correct(
            house,
            "billing",
            someone,
            ("address", before[0]["address"], "Ny gata 1"),
            ("agreement_details", "true", "not a truth value"),
        )
    assert await house.rows("billing", "SELECT * FROM customer WHERE customer_number = 'K1001031'") == before


async def test_a_line_of_a_log_is_corrected_like_a_row(house: House):
    someone = await somebody_who_logs_in(house)
    lines = (await house.collected("authlog", someone))["login"]
    done = await correct(house, "authlog", someone, ("network_address", lines[0]["ip"], "192.0.2.77"))
    same = sum(line["ip"] == lines[0]["ip"] for line in lines)
    assert counted(done, "correct") == {("login", "correction"): same}
    after = (await house.collected("authlog", someone))["login"]
    assert len(after) == len(lines) and sum(line["ip"] == "192.0.2.77" for line in after) == same


async def test_what_is_frozen_no_erasure_touches_until_it_is_lifted(house: House):
    logged_in, (someone, _, _) = await somebody_who_logs_in(house), await somebody(house, 32)
    for store, person, table in (("calls", someone, "call_record"), ("authlog", logged_in, "login")):
        before, step = await house.collected(store, person), uuid4()
        frozen = await house.step(Verb.freeze, store, person, step=step)
        assert counted(frozen, "freeze")[table, "restriction"] > 0
        assert await house.step(Verb.freeze, store, person, step=step) == frozen
        erased = await house.step(Verb.erase, store, person)
        assert counted(erased, "keep")[table, "restriction"] == counted(frozen, "freeze")[table, "restriction"]
        own = {str(row) for row in before[table]}
        assert own >= {str(row) for row in (await house.collected(store, person))[table]} != set()
        assert (await house.step(Verb.verify, store, person)).state == StepState.done
        lifted = await house.step(Verb.unfreeze, store, person)
        assert counted(lifted, "unfreeze") == {
            (name, "restriction"): n for (name, _), n in counted(frozen, "freeze").items()
        }
        assert counted(await house.step(Verb.erase, store, person), "erase")[table, "deletion"] > 0


async def test_an_erasure_and_a_restriction_at_the_same_moment_are_one_after_the_other(house: House):
    """Whatever a restriction said it froze is there afterwards, however the two met: here the restriction comes when the erasure has
    deleted everything, and asks for the last time whether it may."""
    for number in (34, 35):
        (someone, _, _), frozen = await somebody(house, number), list[asyncio.Task[StepResult]]()

        async def restricts(someone: UUID = someone, frozen: list[asyncio.Task[StepResult]] = frozen) -> None:
            if not frozen:
                frozen.append(asyncio.create_task(house.step(Verb.freeze, "calls", someone)))
                await asyncio.wait(frozen, timeout=0.5)

        house.orders.before_commit = restricts
        try:
            erased = await house.step(Verb.erase, "calls", someone)
        finally:
            house.orders.before_commit = None
        assert counted(erased, "erase")["call_record", "deletion"] > 0
        said = sum(counted(await frozen[0], "freeze").values())
        assert await marks(house, [someone]) == [(said, 0)]


async def test_many_erasures_and_restrictions_at_once_leave_what_was_frozen(house: House):
    people = [(await somebody(house, number))[0] for number in range(36, 60)]
    wishes = [(verb, person) for person in people for verb in (Verb.freeze, Verb.erase)]
    done = await asyncio.gather(*(house.step(verb, "calls", person) for verb, person in wishes))
    said = [sum(counted(each, "freeze").values()) for each in done[::2]]
    assert await marks(house, people) == [(count, 0) for count in said]


async def marks(house: House, people: list[UUID]) -> list[tuple[int, int]]:
    """Of what is frozen for each: how much, and how much of it is gone."""
    gone = """SELECT principal, count(*) AS whole, count(*) FILTER (WHERE there IS NULL) AS gone FROM wardline.frozen
        LEFT JOIN (SELECT jsonb_build_array(id, started_at) AS there FROM call_record) record ON key = there
        WHERE principal = ANY ($1) AND store_table = 'call_record' GROUP BY 1"""
    found = {row["principal"]: (row["whole"], row["gone"]) for row in await house.rows("calls", gone, people)}
    return [found.get(one, (0, 0)) for one in people]


async def test_a_sweep_goes_round_what_is_frozen(house: House):
    (someone, _, _), later = await somebody(house, 33), datetime.now().astimezone() + timedelta(days=9000)

    async def expected() -> int:
        found = await house.client.simulate(SimulationRequest(as_of=later, stores=["calls"]), tenant=PRIVATE.id)
        return sum(one.count for one in found.items if one.table == "call_record")

    before = await expected()
    frozen = counted(await house.step(Verb.freeze, "calls", someone), "freeze")["call_record", "restriction"]
    paid = await house.rows("calls", "SELECT count(*) AS n FROM wardline.frozen WHERE principal = $1", someone)
    assert paid[0]["n"] == frozen and before - frozen <= await expected() < before
    await house.step(Verb.unfreeze, "calls", someone)
    assert await expected() == before


@pytest.mark.parametrize(("store", "table"), [("billing", "customer"), ("helpdesk", "ticket"), ("authlog", "login")])
async def test_every_writing_verb_has_a_dry_run_that_counts_and_changes_nothing(house: House, store: str, table: str):
    someone = await house.principal("lars") if store == "helpdesk" else await somebody_who_logs_in(house)
    before = await house.collected(store, someone)
    email = next(row.get("email") or row.get("requester_email") for row in before[table])
    element = "email_address" if store == "billing" else "customer_email_address"
    changes = [Correction(element=element, old=email, new="ny@epost.example")]

    async def asked(verb: Verb, of: Verb = Verb.erase) -> list:
        said = changes if Verb.correct in (verb, of) else []
        wish = StepRequest(verb=verb, of=of, store=store, principal=someone, changes=said)
        return (await house.client.step(uuid4(), wish, tenant=PRIVATE.id)).outcomes

    rehearsed = await asked(Verb.preview, Verb.correct)
    assert rehearsed and sum(one.count for one in rehearsed) > 0
    frozen = await asked(Verb.preview, Verb.freeze)
    assert await asked(Verb.preview, Verb.unfreeze) == [] and await house.collected(store, someone) == before
    assert await asked(Verb.freeze) == frozen
    thawed = await asked(Verb.preview, Verb.unfreeze)
    assert (
        sorted(one.count for one in thawed) == sorted(one.count for one in frozen)
        and await asked(Verb.unfreeze) == thawed
    )
    assert await asked(Verb.correct) == rehearsed
    back = [Correction(element=element, old="ny@epost.example", new=email)]
    wish = StepRequest(verb=Verb.correct, store=store, principal=someone, changes=back)
    await house.client.step(uuid4(), wish, tenant=PRIVATE.id)
