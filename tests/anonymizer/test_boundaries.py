"""SIGKILL of the anonymizer at every boundary: of each verb in each kind of store, at each thing that it makes durable.

Which boundaries there are is not written down here. Each verb is done once for somebody nobody disturbs, and every commit, file, call of
a vendor and word to disclosure of it is a boundary; then it is done for somebody else for each of them, and killed exactly there. Stores are killed
in together. After the restart somebody looks; then whoever got no answer asks again, as rights does. Afterwards each did what its dry run had said, once, and within ten
seconds after the restart. (Killed at any moment: `test_kill.py`; sweeps, at each effect: `test_sweep_kills.py`.)
"""

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx2
import pytest

from chassis.errors import Problem
from sample.cases import PRIVATE
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import (
    CollectionRequest,
    Correction,
    FindPrincipal,
    Identifier,
    IdentifierType,
    Outcome,
    PrincipalUnknown,
    StepRequest,
    StepResult,
    StepState,
    Verb,
)
from tests.anonymizer.conftest import House, Speaking, a_filled_house
from tests.anonymizer.elsewhere import Elsewhere, elsewhere
from tests.anonymizer.test_hold_race import somebody
from tests.anonymizer.test_kill import Victims, free_port, ready, victims
from tests.anonymizer.vendor import BLOCK
from tests.patience import PATIENCE, busy

RESUMED, AT_LEAST = 10.0, 150
_MORE = re.compile(
    "(record|(lake|authlog|recordings) leaving) .* again|chat (intent .* again|journal .*)|DELETE .* again|tickets leaving removed again"
)
"""Of a second record, or table, what was done to the first as well."""
_LASTING = re.compile(
    r"commit in (sample|mariadb).*|.* leaving removed|.* frozen .*|\.\w+ version removed|DELETE .*/deleted_tickets.*|PUT .*/users.*"
)
"""What cannot be taken back: before the first of these everything is as it was."""
_ALIKE, _ALIKE_IN = re.compile("commit in wardline.*|(after )?disclosure told|after concluded"), "billing"
"""What is around each store's own work, and the same whatever the store: killed there in one of them."""
EMAIL, NUMBER = "customer_email_address", "participants"
SAMPLE = {
    "billing": "email_address",
    "calls": NUMBER,
    "helpdesk": EMAIL,
    "lake": NUMBER,
    "authlog": EMAIL,
    "recordings": NUMBER,
}
"""Each kind of store, and what is put right in it."""
STORES = SAMPLE | {"chats": EMAIL, "voices": NUMBER, "tickets": EMAIL}
NOWHERE = "anonymizer"
"""People are forgotten in no store."""
# Each in an organisation of its own, so that nobody waits for anybody else's transaction.
TENANTS = {store: uuid4() for store in (*STORES, NOWHERE)} | {"helpdesk": PRIVATE.id}
Deed = Verb | Literal["collect", "forget"]
EVENTS: dict[Deed, str] = {
    Verb.freeze: "data.frozen",
    Verb.unfreeze: "data.unfrozen",
    Verb.correct: "data.corrected",
    Verb.erase: "erasure.done",
    "collect": "data.collected",
    "forget": "principal.forgotten",
}


@dataclass(frozen=True)
class Somebody:
    """As one store's organisation knows them."""

    principal: UUID
    number: str
    address: str


@dataclass(frozen=True)
class Place:
    """Where a step is held; no name: nowhere. `is_before`: nothing lasting was done by then."""

    name: str
    step: UUID
    is_before: bool = False


Wave = dict[str, tuple[Deed, Place]]
"""In each store what is done, and where it is held."""


@dataclass
class Trial:
    """One verb in one store for one person, held at one place. `expected`: what its dry run said, or what a copy held that nobody
    disturbed."""

    store: str
    verb: Deed
    whose: Somebody
    place: Place
    expected: Any

    def __str__(self) -> str:
        return f"{self.verb} in {self.store}: {self.place.name}"


@dataclass
class Killed:
    """Some of a house's stores, in which the anonymizer that is asked is a process of its own."""

    house: House
    parent: Victims
    folder: Path
    stores: Sequence[str]
    crowd: Sequence[tuple[str, str]]
    elsewhere: Mapping[str, Elsewhere]
    port: int = field(default_factory=free_port)
    victim: int = 0
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    undisturbed: dict[tuple[str, Deed], Any] = field(default_factory=dict)

    @property
    def client(self) -> AnonymizerClient:
        return AnonymizerClient(self.house.http, f"http://127.0.0.1:{self.port}", Speaking(self.house.issuer))

    async def start(self, closed: dict[str, str]) -> None:
        self.victim = self.parent.start(self.port, json.dumps({"folder": str(self.folder), "closed": closed}))
        while not is_open(self.port):
            await asyncio.sleep(0.02)
        self.listens.set()
        await ready(self.client)

    async def restart(self, wave: Wave) -> None:
        self.kill()
        await self.start({str(place.step): place.name for _, place in wave.values()})

    def kill(self) -> None:
        self.listens.clear()
        os.kill(self.victim, signal.SIGKILL)

    def boundaries(self, trial: Trial) -> list[Place]:
        """The places that somebody came through, in their order. After one is before the next, but for the last, whose answer is lost; and
        of a record, or a table, after another little is different."""
        *passed, last = dict.fromkeys((self.folder / str(trial.place.step)).read_text().splitlines())
        names = [each for each in passed if not each.startswith("after ") and not _MORE.fullmatch(each)] + [last]
        if trial.store not in (_ALIKE_IN, NOWHERE):
            names = [name for name in names if not _ALIKE.fullmatch(name)]
        lasting = next((place for place, name in enumerate(names) if _LASTING.fullmatch(name)), -1)
        return [Place(name, uuid4(), place <= lasting) for place, name in enumerate(names)]

    def is_held(self, trial: Trial) -> bool:
        return (self.folder / f"{trial.place.step}.held").exists()

    async def done(
        self,
        store: str,
        verb: Deed,
        whose: Somebody,
        step: UUID | None = None,
        of: Verb = Verb.erase,
        before_again: Callable[[], Awaitable[None]] | None = None,
    ) -> Any:
        """As rights does: whatever comes back, the same step is asked again. Nobody knocks while nobody listens: ten who do so twenty times
        a second take from the start that they wait for."""
        step = step or uuid4()
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.listens.wait()
                try:
                    result = await self._asked(store, verb, whose, step, of)
                    if getattr(result, "state", None) is not StepState.running:
                        return result
                except httpx2.HTTPError:
                    lost = True
                except Problem as problem:
                    lost = problem.status >= 500
                    if not lost:
                        raise
                else:
                    lost = False
                if lost and before_again:
                    await before_again()
                    before_again = None
                await asyncio.sleep(0.05)

    async def _asked(self, store: str, verb: Deed, whose: Somebody, step: UUID, of: Verb) -> Any:
        match verb:
            case "collect":
                wish = CollectionRequest(step=step, store=store, principal=whose.principal)
                async with self.client.collect(wish, tenant=TENANTS[store]) as stream:
                    return sorted(b"".join([chunk async for chunk in stream]).splitlines())
            case "forget":
                return await self.client.forget(whose.principal, step, tenant=TENANTS[store])
        changes = [change_of(store, whose)] if Verb.correct in (verb, of) else []
        wish = StepRequest(verb=verb, store=store, principal=whose.principal, of=of, changes=changes)
        return await self.client.step(step, wish, tenant=TENANTS[store])

    async def rehearsed(self, store: str, verb: Deed, whose: Somebody) -> Any:
        match verb:
            case "forget":
                return whose.principal
            case "collect":
                return await self.done(store, verb, whose)
        return in_order((await self.done(store, Verb.preview, whose, of=verb)).outcomes)

    async def looked(self, trial: Trial) -> None:
        """By somebody, after the restart and before anybody carries on: what was begun and can be taken back was."""
        seen = await self.rehearsed(trial.store, trial.verb, trial.whose)
        if trial.place.is_before:
            assert seen == trial.expected, f"{trial}: nothing was done, and it is not as it was"

    async def people(self, store: str, verb: Deed) -> AsyncIterator[Somebody]:
        """Nobody is in two stores at the same moment; and who is corrected is not erased."""
        at = list(TENANTS).index(store) * 6
        everybody = [*self.crowd[at:], *self.crowd[:at]]
        for number, address in reversed(everybody) if verb == Verb.correct else everybody:
            known = [Identifier(type=IdentifierType.msisdn, value=number)]
            known += [Identifier(type=IdentifierType.email, value=address)]
            found = FindPrincipal(identifiers=known)
            yield Somebody(await self.client.principal(found, tenant=TENANTS[store]), number, address)

    async def trial(self, people: AsyncIterator[Somebody], store: str, verb: Deed, place: Place) -> Trial:
        """For the next one of whom there is something to do."""
        async for whose in people:
            if store in self.elsewhere:
                await asyncio.to_thread(self.elsewhere[store].fill, TENANTS[store], whose.number, whose.address)
                self.thaw(store)
            if verb == Verb.unfreeze:
                await self.done(store, Verb.freeze, whose)
            if expected := await self.rehearsed(store, verb, whose):
                return Trial(store, verb, whose, place, expected)
        raise AssertionError(f"nobody is left in {store} for {verb}")

    def own(self, store: str, kind: str) -> list[Path]:
        """What Wardline keeps of a kind beside what is not the sample operator's."""
        folders = [self.house.server.home.path / place / ".wardline" / kind for place in self.elsewhere[store].places]
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def thaw(self, store: str) -> None:
        """Rows of the next one have the keys of the last one's."""
        for path in self.own(store, "frozen"):
            path.unlink()

    def left(self, store: str, whose: Somebody) -> Any:
        """All that stands there, as if everybody were the same person, and what is under way or frozen there."""
        seen = re.sub(f"{BLOCK}+", BLOCK, json.dumps(self.elsewhere[store].seen(), default=str, ensure_ascii=False))
        for theirs in (whose.number, whose.address, change_of(store, whose).new):
            seen = seen.replace(theirs, "theirs")
        return seen, {kind: len(self.own(store, kind)) for kind in ("intent", "leaving", "frozen", "preserved")}


def is_open(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


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


async def test_no_kill_at_any_boundary_loses_a_step_or_does_anything_twice(tmp_path: Path):
    async with elsewhere() as more, a_filled_house({name: one.map for name, one in more.items()}) as house:
        crowd = [(await somebody(house, number))[1:] for number in range(1, 60)]
        for number, _ in crowd:
            record(house, number)
        with victims(house) as parent:
            seconds = await killed_everywhere(Killed(house, parent, tmp_path, (*SAMPLE, NOWHERE, *more), crowd, more))
    assert len(seconds) > AT_LEAST, "there are more boundaries than that"
    assert [(trial, took) for trial, took in seconds if took > RESUMED * busy()] == []
    if "chats" not in more:
        pytest.skip(
            "!!! mariadbd is missing: apt-get install mariadb-server; nobody was killed there, everywhere else it is well"
        )


async def killed_everywhere(killed: Killed) -> list[tuple[str, float]]:
    """Each verb at each of its boundaries, in all stores at once; the seconds from each kill until its step was done."""
    await killed.start({})
    people = {(store, verb): killed.people(store, verb) for store in killed.stores for verb in EVENTS}
    left: dict[str, list[tuple[Deed, Place]]] = {store: [] for store in killed.stores}
    for verb in EVENTS:
        stores = [store for store in killed.stores if (store == NOWHERE) == (verb == "forget")]
        undisturbed = (killed.trial(people[store, verb], store, verb, Place("", uuid4())) for store in stores)
        free = await asyncio.gather(*undisturbed)
        await asyncio.gather(*(ends_as_it_should(killed, trial) for trial in free))
        for trial in free:
            left[trial.store] += [(verb, place) for place in killed.boundaries(trial)]
    seconds: list[tuple[str, float]] = []
    wave = next_of(left)
    await killed.restart(wave)
    while wave:
        held = (killed.trial(people[store, verb], store, verb, place) for store, (verb, place) in wave.items())
        trials = await asyncio.gather(*held)
        wave = next_of(left)
        seconds += await wave_of(killed, trials, wave)
    killed.kill()
    return seconds


def next_of(left: dict[str, list[tuple[Deed, Place]]]) -> Wave:
    return {store: places.pop(0) for store, places in left.items() if places}


async def wave_of(killed: Killed, trials: Sequence[Trial], following: Wave) -> list[tuple[str, float]]:
    """Killed once, when everybody is held, and all of them end as they should, while the gates of those that follow stand already."""
    seconds: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as going:
        tasks = [going.create_task(ends_as_it_should(killed, trial)) for trial in trials]
        async with asyncio.timeout(PATIENCE):
            while not all(killed.is_held(trial) or task.done() for trial, task in zip(trials, tasks, strict=True)):
                await asyncio.sleep(0.02)
        killed_at, missed = time.monotonic(), [str(trial) for trial in trials if not killed.is_held(trial)]
        for trial, task in zip(trials, tasks, strict=True):
            task.add_done_callback(lambda _, trial=trial: seconds.append((str(trial), time.monotonic() - killed_at)))
        await killed.restart(following)
    assert missed == [], "nobody was held there"
    return seconds


async def ends_as_it_should(killed: Killed, trial: Trial) -> None:
    """What the dry run said was done, once, and told once."""
    store, whose, step = trial.store, trial.whose, trial.place.step
    result = await killed.done(store, trial.verb, whose, step, before_again=lambda: killed.looked(trial))
    if store in killed.elsewhere:
        left = await asyncio.to_thread(killed.left, store, whose)
        assert killed.undisturbed.setdefault((store, trial.verb), left) == left, f"{trial}: it looks otherwise"
    assert await killed.done(store, trial.verb, whose, step) == result, str(trial)
    if store in killed.elsewhere:
        assert await asyncio.to_thread(killed.left, store, whose) == left, f"{trial}: what was finished was done again"
    told = [one["data"] for one in await killed.house.events(EVENTS[trial.verb]) if str(step) in one["data"].values()]
    match trial.verb:
        case "collect":
            assert result == trial.expected, str(trial)
            assert 2 <= len(told) <= 3, "each time that something was looked through is told"
        case "forget":
            await is_forgotten(killed.house, trial)
            assert len(told) == 1, str(trial)
        case _:
            assert in_order(result.outcomes) == trial.expected, str(trial)
            assert [sorted(one["count"] for one in each["outcomes"]) for each in told] == [
                sorted(one.count for one in trial.expected)
            ], str(trial)
            await is_done(killed, trial, result)


async def is_done(killed: Killed, trial: Trial, result: StepResult) -> None:
    store, whose, step = trial.store, trial.whose, str(trial.place.step)
    match trial.verb:
        case Verb.freeze:
            frozen = await killed.rehearsed(store, Verb.unfreeze, whose)
            assert counted(frozen) == counted(trial.expected), str(trial)
        case Verb.unfreeze | Verb.correct:
            assert await killed.rehearsed(store, trial.verb, whose) == [], str(trial)
        case Verb.erase:
            seen = await killed.done(store, Verb.verify, whose)
            assert (seen.state, seen.remaining) == (StepState.done, 0), (str(trial), seen.findings)
            settled = [one for one in killed.house.orders.settlements if one["step"] == step]
            assert settled == [{"step": step, "store": store, "preserved": []}]


async def is_forgotten(house: House, trial: Trial) -> None:
    """By the database and by whoever asks: nobody is known by the principal, and no key opens what was kept of them."""
    principal = trial.whose.principal
    for table, column in (("principal", "id"), ("principal_identifier", "principal"), ("subject_key", "subject")):
        rows = await house.rows("wardline", f"SELECT FROM anonymizer.{table} WHERE {column} = $1", principal)
        assert rows == [], f"{trial}: {table}"
    wish = StepRequest(verb=Verb.preview, store="authlog", principal=principal)
    with pytest.raises(PrincipalUnknown):
        await house.client.step(uuid4(), wish, tenant=TENANTS[NOWHERE])


def in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """A store gives them in the order of the plan that its database chose, which changes as it learns how much there is."""
    return sorted(outcomes, key=Outcome.model_dump_json)


def counted(outcomes: Sequence[Outcome]) -> int:
    return sum(one.count for one in outcomes)
