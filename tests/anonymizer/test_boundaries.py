"""SIGKILL of the anonymizer at every boundary: of each verb in each kind of store, at each thing that it makes durable.

Which boundaries there are is not written down here. Each verb is done once for somebody nobody disturbs, and every commit, file and
word to disclosure of it is a boundary; then it is done for somebody else for each of them, and killed exactly there. Stores are killed
in together. Whoever gets no answer asks again, as rights does. Afterwards each did what its dry run had said, once, and within ten
seconds after the restart. (Killed at any moment: `test_kill.py`; sweeps, at each effect: `test_sweep_kills.py`.)
"""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx2

from chassis.errors import Problem
from sample.cases import PRIVATE
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import (
    Correction,
    FindPrincipal,
    Identifier,
    IdentifierType,
    Outcome,
    StepRequest,
    StepResult,
    StepState,
    Verb,
)
from tests.anonymizer.conftest import House, Speaking
from tests.anonymizer.test_hold_race import somebody
from tests.anonymizer.test_kill import Victims, free_port, ready, victims
from tests.patience import PATIENCE, busy

RESUMED = 10.0
_MORE = re.compile("(record|leaving) .* again")
EMAIL, NUMBER = "customer_email_address", "participants"
STORES = {
    "billing": "email_address",
    "calls": NUMBER,
    "helpdesk": EMAIL,
    "lake": NUMBER,
    "authlog": EMAIL,
    "recordings": NUMBER,
}
"""Each kind of store, and what is put right in it."""
# Each in an organisation of its own, so that nobody waits for anybody else's transaction.
TENANTS = {store: uuid4() for store in STORES} | {"helpdesk": PRIVATE.id}
EVENTS = {
    Verb.freeze: "data.frozen",
    Verb.unfreeze: "data.unfrozen",
    Verb.correct: "data.corrected",
    Verb.erase: "erasure.done",
}


@dataclass(frozen=True)
class Somebody:
    """As one store's organisation knows them."""

    principal: UUID
    number: str
    address: str


@dataclass(frozen=True)
class Place:
    """Where a step is held; no name: nowhere."""

    name: str
    step: UUID


@dataclass
class Trial:
    """One verb in one store for one person, held at one place. `expected`: what its dry run said."""

    store: str
    verb: Verb
    whose: Somebody
    place: Place
    expected: list[Outcome]

    def __str__(self) -> str:
        return f"{self.verb} in {self.store}: {self.place.name}"


@dataclass
class Killed:
    """A house in which the anonymizer that is asked is a process of its own."""

    house: House
    parent: Victims
    folder: Path
    port: int
    crowd: Sequence[tuple[str, str]]
    victim: int = 0

    @property
    def client(self) -> AnonymizerClient:
        return AnonymizerClient(self.house.http, f"http://127.0.0.1:{self.port}", Speaking(self.house.issuer))

    async def start(self, closed: dict[str, str]) -> None:
        self.victim = self.parent.start(self.port, json.dumps({"folder": str(self.folder), "closed": closed}))
        await ready(self.client)

    async def restart(self, places: dict[str, Place]) -> None:
        self.kill()
        await self.start({str(place.step): place.name for place in places.values()})

    def kill(self) -> None:
        os.kill(self.victim, signal.SIGKILL)

    def boundaries(self, step: UUID) -> list[Place]:
        """The places that somebody came through, in their order. After one is before the next, but for the last, whose answer is lost; and
        of a record after another nothing is different."""
        *passed, last = dict.fromkeys((self.folder / str(step)).read_text().splitlines())
        names = [each for each in passed if not each.startswith("after ") and not _MORE.fullmatch(each)]
        return [Place(name, uuid4()) for name in [*names, last]]

    def is_held(self, trial: Trial) -> bool:
        return (self.folder / f"{trial.place.step}.held").exists()

    async def done(
        self, store: str, verb: Verb, whose: Somebody, step: UUID | None = None, of: Verb = Verb.erase
    ) -> StepResult:
        """As rights does: whatever comes back, the same step is asked again."""
        changes = [change_of(store, whose)] if Verb.correct in (verb, of) else []
        wish = StepRequest(verb=verb, store=store, principal=whose.principal, of=of, changes=changes)
        step = step or uuid4()
        async with asyncio.timeout(4 * RESUMED):
            while True:
                try:
                    result = await self.client.step(step, wish, tenant=TENANTS[store])
                except httpx2.HTTPError:
                    result = None
                except Problem as problem:
                    if problem.status < 500:
                        raise
                    result = None
                if result and result.state is not StepState.running:
                    return result
                await asyncio.sleep(0.05)

    async def rehearsed(self, store: str, verb: Verb, whose: Somebody) -> list[Outcome]:
        return (await self.done(store, Verb.preview, whose, of=verb)).outcomes

    async def people(self, store: str, verb: Verb) -> AsyncIterator[Somebody]:
        """Nobody is in two stores at the same moment; and who is corrected is not erased."""
        at = list(STORES).index(store) * 7
        everybody = [*self.crowd[at:], *self.crowd[:at]]
        for number, address in reversed(everybody) if verb == Verb.correct else everybody:
            known = [Identifier(type=IdentifierType.msisdn, value=number)]
            known += [Identifier(type=IdentifierType.email, value=address)]
            found = FindPrincipal(identifiers=known)
            yield Somebody(await self.client.principal(found, tenant=TENANTS[store]), number, address)

    async def trial(self, people: AsyncIterator[Somebody], store: str, verb: Verb, place: Place) -> Trial:
        """For the next one of whom there is something to do."""
        async for whose in people:
            if verb == Verb.unfreeze:
                await self.done(store, Verb.freeze, whose)
            if expected := await self.rehearsed(store, verb, whose):
                return Trial(store, verb, whose, place, expected)
        raise AssertionError(f"nobody is left in {store} for {verb}")


def record(house: House, number: str) -> None:
    """Few were ever recorded."""
    tenant = str(TENANTS["recordings"])
    said = {"recording": f"r-{number}", "tenant": tenant, "agent_number": "A1", "customer_number": None}
    said |= {"caller": number, "callee": "46101", "started_at": f"{house.today}T08:00:00Z", "duration_ms": 1000}
    folder = house.stores / "recordings" / tenant / str(house.today)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{said['recording']}.wav").write_bytes(b"sound")
    (folder / f"{said['recording']}.json").write_text(json.dumps(said))


def change_of(store: str, whose: Somebody) -> Correction:
    """To something that is nobody else's."""
    if STORES[store] == NUMBER:
        return Correction(element=NUMBER, old=whose.number, new=f"46799{whose.number[-6:]}")
    return Correction(element=STORES[store], old=whose.address, new=f"ny.{whose.address}")


async def test_no_kill_at_any_boundary_loses_a_step_or_does_anything_twice(fresh_house: House, tmp_path: Path):
    crowd = [(await somebody(fresh_house, number))[1:] for number in range(1, 60)]
    for number, _ in crowd:
        record(fresh_house, number)
    seconds: dict[str, float] = {}
    with victims(fresh_house) as parent:
        killed = Killed(fresh_house, parent, tmp_path, free_port(), crowd)
        await killed.start({})
        for verb in EVENTS:
            seconds |= await killed_at_each_boundary(killed, verb)
        killed.kill()
    assert len(seconds) > 100, "there are more boundaries than that"
    assert {trial: took for trial, took in seconds.items() if took > RESUMED * busy()} == {}


async def killed_at_each_boundary(killed: Killed, verb: Verb) -> dict[str, float]:
    """Of one verb, in all stores at once; the seconds from each kill until its step was done."""
    people = {store: killed.people(store, verb) for store in STORES}
    free = [await killed.trial(people[store], store, verb, Place("", uuid4())) for store in STORES]
    await asyncio.gather(*(ends_as_it_should(killed, trial) for trial in free))
    left = {trial.store: killed.boundaries(trial.place.step) for trial in free}
    seconds: dict[str, float] = {}
    wave = next_of(left)
    await killed.restart(wave)
    while wave:
        trials = [await killed.trial(people[store], store, verb, place) for store, place in wave.items()]
        wave = next_of(left)
        seconds |= await wave_of(killed, trials, wave)
    return seconds


def next_of(left: dict[str, list[Place]]) -> dict[str, Place]:
    return {store: places.pop(0) for store, places in left.items() if places}


async def wave_of(killed: Killed, trials: Sequence[Trial], following: dict[str, Place]) -> dict[str, float]:
    """Killed once, when everybody is held, and all of them end as they should, while the gates of those that follow stand already."""
    seconds: dict[str, float] = {}
    async with asyncio.TaskGroup() as going:
        tasks = [going.create_task(ends_as_it_should(killed, trial)) for trial in trials]
        async with asyncio.timeout(PATIENCE):
            while not all(killed.is_held(trial) or task.done() for trial, task in zip(trials, tasks, strict=True)):
                await asyncio.sleep(0.02)
        killed_at, missed = time.monotonic(), [str(trial) for trial in trials if not killed.is_held(trial)]
        for trial, task in zip(trials, tasks, strict=True):
            task.add_done_callback(lambda _, trial=trial: seconds.setdefault(str(trial), time.monotonic() - killed_at))
        await killed.restart(following)
    assert missed == [], "nobody was held there"
    return seconds


async def ends_as_it_should(killed: Killed, trial: Trial) -> None:
    """What the dry run said was done, once, and told once."""
    house, store, whose = killed.house, trial.store, trial.whose
    result = await killed.done(store, trial.verb, whose, trial.place.step)
    assert result.outcomes == trial.expected, str(trial)
    assert await killed.done(store, trial.verb, whose, trial.place.step) == result
    told = [one for one in await house.events(EVENTS[trial.verb]) if one["data"]["step"] == str(trial.place.step)]
    assert [[one["count"] for one in each["data"]["outcomes"]] for each in told] == [
        [one.count for one in trial.expected]
    ], str(trial)
    match trial.verb:
        case Verb.freeze:
            frozen = await killed.rehearsed(store, Verb.unfreeze, whose)
            assert counted(frozen) == counted(trial.expected), str(trial)
        case Verb.unfreeze | Verb.correct:
            assert await killed.rehearsed(store, trial.verb, whose) == [], str(trial)
        case Verb.erase:
            seen = await killed.done(store, Verb.verify, whose)
            assert (seen.state, seen.remaining) == (StepState.done, 0), (str(trial), seen.findings)
            settled = [one for one in house.orders.settlements if one["step"] == str(trial.place.step)]
            assert settled == [{"step": str(trial.place.step), "store": store, "preserved": []}]


def counted(outcomes: Sequence[Outcome]) -> int:
    return sum(one.count for one in outcomes)
