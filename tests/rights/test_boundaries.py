"""SIGKILL of rights at every boundary: of each right that is carried out somewhere, at each transaction that it writes.

Which boundaries there are is not written down here. Each way is gone once by somebody nobody disturbs, and every transaction of it is
a boundary; then it is gone again by somebody else for each of them, killed exactly there, before the commit or after it. Whoever
gets no answer asks again under the same key. Afterwards nothing is lost, nothing finished was begun again, and each went on from
there within ten seconds after the restart. (Processes killed at any moment, the anonymizer too: `test_kills.py`.)
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx2
import orjson
import pytest

from chassis.errors import Problem
from ops.postgres import Postgres
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import (
    Channel,
    Confirm,
    Correction,
    Evidence,
    Kind,
    OpenReception,
    OpenRequest,
    Post,
    Propose,
    Review,
    Transfer,
    Verdict,
)
from services.requests.rights.package import passphrase
from services.requests.rights.package.unlock import unlock
from services.requests.rights.settings import Settings
from tests.patience import PATIENCE, busy
from tests.rights.conftest import House, furnished
from tests.rights.gates import Gate, Gates
from tests.rights.operator import Row
from tests.rights.test_rights import WORDS
from tests.rights.test_transfer import as_registered
from tests.rights.victims import HOST, Victim

LANES = 12
RESUMED = 10.0
# So long nobody has moved: whoever is not held by now comes to no gate.
STILL = 3.0
PASSPHRASE = "en hemlig mening om blåbär"
# Somebody waits for the answer to these, and asks again when the commit stands and no answer came.
ASKED = {
    "request received",
    "request identified",
    "request cooling_off",
    "task proposed",
    "task decided",
    "request closed",
}
_STEPS = "SELECT id, store, verb, state FROM rights.request_step WHERE request = $1"
_DUE = "UPDATE rights.request_step SET due_at = now() - interval '9 years' WHERE request = $1 AND state = 'deferred'"
_TOLD = "SELECT convert_from(body, 'UTF8') AS body FROM rights.event WHERE type = $1"
_LETTERS = "SELECT template FROM rights.letter WHERE request = $1"

Answered = TypeVar("Answered")


@pytest.fixture(scope="module")
async def killed(server: Postgres) -> AsyncIterator["Killed"]:
    """A house in which rights is a process of its own."""
    victims: list[Victim] = []

    @asynccontextmanager
    async def running(settings: Settings) -> AsyncIterator[str]:
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        victims.append(await asyncio.to_thread(Victim, settings, port))
        try:
            yield f"http://{HOST}:{port}"
        finally:
            victims[0].end()

    async with furnished(server, running) as house:
        connection = await house.server.connect(house.settings.database_name)
        yield Killed(house, victims[0], await Gates.build(connection))
        await connection.close()


@dataclass
class Killed:
    house: House
    victim: Victim
    gates: Gates

    async def restart(self) -> None:
        await asyncio.to_thread(self.victim.start)
        async with asyncio.timeout(PATIENCE):
            while not await self._is_ready():
                await asyncio.sleep(0.02)

    async def _is_ready(self) -> bool:
        try:
            return (await self.house.http.get(self.house.url + "/health/ready")).status_code == 200
        except httpx2.TransportError:
            return False


class Lane:
    """Somebody's request in an organisation of its own, so that nobody waits for anybody else's transaction."""

    def __init__(self, house: House) -> None:
        self.house, self.tenant, self.request = house, uuid4(), UUID(int=0)
        until = (house.now() + timedelta(days=40)).date()
        self.rows = [
            ("billing", Row("customer", "1", "Anna Testlind")),
            ("billing", Row("invoice", "2", keep="accounting_records", until=until)),
            ("helpdesk", Row("chat", "3")),
            ("recordings", Row("recording", "4")),
        ]
        self.principal = house.operator.person(*self.rows)
        self.person = house.person(self.principal, self.tenant)

    async def ask(self, kind: Kind, **more: Any) -> None:
        wish, key = OpenRequest(kind=kind, **more), str(uuid4())
        self.request = (await again(lambda: self.person.open(wish, key=key))).request

    async def decided(self, verdict: Verdict) -> None:
        """By one officer, or by two."""
        first, second = self.house.officer(self.tenant), self.house.officer(self.tenant, "petronella")
        found = (await again(first.tasks)).items
        [task] = [one for one in found if one.request == self.request and one.state == "open"]
        said = await keyed(lambda key: first.propose(task.task, Propose(verdict=verdict, text=WORDS), key=key))
        if said.eyes == 2:
            agreed = Review(proposal=said.digest, agreed=True)
            await keyed(lambda key: second.review(task.task, agreed, key=key))

    async def until(self, *states: str) -> None:
        while await self._value("SELECT state FROM rights.request WHERE id = $1") not in states:
            await asyncio.sleep(0.05)

    async def until_done(self, verb: str, round: int = 1) -> None:
        wanted = f"SELECT count(*) FROM rights.request_step WHERE request = $1 AND verb = '{verb}' AND round >= {round}"
        while not await self._value(f"{wanted} AND state = 'done'"):
            await asyncio.sleep(0.05)

    async def time_passes(self) -> None:
        """Until its request is carried out, and for nobody else."""
        await self.past_every_gate("UPDATE rights.request SET executes_at = recorded_at WHERE id = $1")

    async def past_every_gate(self, statement: str) -> None:
        connection = await self.house.server.connect(self.house.settings.database_name)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement, self.request)
        await connection.close()

    async def _value(self, query: str) -> Any:
        [row] = await self.house.rows(query, self.request) or [(None,)]
        return row[0]


async def again(call: Callable[[], Awaitable[Answered]]) -> Answered:
    while True:
        try:
            return await call()
        except httpx2.TransportError:
            pass
        except Problem as problem:
            if problem.status < 500:
                raise
        await asyncio.sleep(0.05)


async def keyed(call: Callable[[str], Awaitable[Answered]]) -> Answered:
    key = str(uuid4())
    return await again(lambda: call(key))


# --- the ways ---------------------------------------------------------------------------------------------------------


async def access(lane: Lane, words: str = PASSPHRASE) -> None:
    await lane.ask(Kind.access, passphrase=words)
    await lane.until("answered")
    assert unlock(lane.house.settings.packages / str(lane.request) / "package.html", words).archive


async def packed_at_once(lane: Lane) -> None:
    """With the last of its steps, in one transaction."""
    await access(lane, passphrase.draw())


async def portability(lane: Lane) -> None:
    await lane.ask(Kind.portability, passphrase=PASSPHRASE)
    await lane.until("answered")
    assert unlock(lane.house.settings.packages / str(lane.request) / "package.html", PASSPHRASE).archive


async def transfer(lane: Lane) -> None:
    """This house is the other operator as well, where she is somebody else."""
    there, house = uuid4(), lane.house
    for tenant, name in ((lane.tenant, "sydtel"), (there, "nordtel")):
        known, officer = await again(lambda: as_registered(house)), house.officer(tenant)
        await keyed(lambda key, officer=officer, name=name, known=known: officer.put_operator(name, known, key=key))
    herself = house.person(house.operator.person(), there)
    opened = await keyed(lambda key: herself.open_reception(OpenReception(operator="nordtel"), key=key))
    to = Transfer(operator="sydtel", reception=opened.reception, code=opened.code)
    await lane.ask(Kind.portability, transfer=to)
    await lane.until("closed")
    came, answer = await again(lambda: herself.reception(opened.reception)), await again(lambda: answer_of(lane))
    assert (came.state, came.sha256) == ("received", answer.transferred.sha256)


async def printed(officer: RightsClient, request: UUID) -> None:
    async with officer.printed(request) as stream:
        assert [piece async for piece in stream]


async def paper(lane: Lane) -> None:
    helpdesk, officer, key = lane.house.helpdesk(lane.tenant), lane.house.officer(lane.tenant), str(uuid4())
    wish = OpenRequest(
        kind=Kind.access,
        channel=Channel.letter,
        by_post=True,
        principal=lane.principal,
        evidence=Evidence(method="registered_letter"),
    )
    lane.request = (await again(lambda: helpdesk.open(wish, key=key))).request
    await lane.until("printing")
    await again(lambda: printed(officer, lane.request))
    today = lane.house.now().astimezone(ZoneInfo("Europe/Stockholm")).date()
    posted = Post(posted_on=today, evidence_sha256="ab" * 32, evidence_at="parm 7/12")
    await keyed(lambda key: officer.posted(lane.request, posted, key=key))
    await lane.until("closed")


async def deletion(lane: Lane) -> None:
    """Part goes, part stays; when its time has come the rest goes, and then who she was."""
    await lane.ask(Kind.deletion)
    await lane.until("previewed")
    preview = (await again(lambda: lane.person.preview(lane.request))).digest
    await keyed(lambda key: lane.person.confirm(lane.request, Confirm(preview=preview), key=key))
    await lane.time_passes()
    await lane.until("closed")
    [kept] = lane.house.operator.held(lane.principal, "billing")
    kept.keep = None
    await lane.past_every_gate(_DUE)
    await lane.until_done("forget")
    assert lane.house.operator.forgotten.count(lane.principal) >= 1


async def correction(lane: Lane) -> None:
    await lane.ask(Kind.correction, changes=[Correction(element="name", old="Anna Testlind", new="Anna Provlind")])
    await lane.until("deciding")
    await lane.decided(Verdict.granted)
    await lane.until("answered")
    assert lane.rows[0][1].text == "Anna Provlind"


async def restriction(lane: Lane) -> None:
    await lane.ask(Kind.restriction, ground="correctness_disputed")
    await lane.until("answered")
    assert (lane.principal, "billing") in lane.house.operator.frozen
    await lane.decided(Verdict.lifted)
    await lane.time_passes()
    await lane.until("closed")
    assert (lane.principal, "billing") not in lane.house.operator.frozen
    assert [said["state"] for said in lane.house.operator.said_of(lane.principal)] == ["set", "lifted"]


async def objection(lane: Lane) -> None:
    await lane.ask(Kind.objection, purpose="development")
    await lane.until("deciding")
    await lane.decided(Verdict.overruled)
    await lane.until("answered")
    assert [said["state"] for said in lane.house.operator.said_of(lane.principal)] == ["raised", "overruled"]


async def withdrawal(lane: Lane) -> None:
    await lane.ask(Kind.withdrawal, purpose="development")
    await lane.until("closed")
    assert len(lane.house.operator.said_of(lane.principal)) == 1


async def withdrawn_by_staff(lane: Lane) -> None:
    """What rested on a consent of which one of the staff says that she withdrew it."""
    vouched = {"by": "hilda"}
    told = lane.house.operator.consent_withdrawn(lane.principal, lane.tenant, ["recorded_call"], vouched=vouched)
    lane.request = UUID(told["data"]["record"])
    await lane.until("previewed")
    other = lane.house.helpdesk(lane.tenant, "hugo")
    read = Confirm(preview=(await again(lambda: other.preview(lane.request))).digest)
    await keyed(lambda key: other.confirm(lane.request, read, key=key))
    await lane.time_passes()
    await lane.until("closed")


async def answer_of(lane: Lane) -> Any:
    return await lane.person.answer(lane.request)


Way = Callable[[Lane], Awaitable[None]]
WAYS: tuple[Way, ...] = (
    access,
    packed_at_once,
    portability,
    transfer,
    paper,
    deletion,
    correction,
    restriction,
    objection,
    withdrawal,
    withdrawn_by_staff,
)


# --- the kills --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """One kill at one boundary of one way."""

    way: Way
    place: str
    side: Any

    def __str__(self) -> str:
        return f"{self.way.__name__}: {self.side} «{self.place}»"


async def test_no_kill_at_any_boundary_loses_a_request_or_begins_anything_finished_again(killed: Killed):
    lanes: list[Lane] = []
    seconds: dict[Trial, float] = {}
    late: dict[str, float] = {}
    left = everything = await boundaries(killed, lanes)
    assert len(everything) > 60, "there are more boundaries than that"
    for _ in range(3 * len(everything) // LANES):
        wave, left = left[:LANES], left[LANES:]
        tried = await wave_of(killed, wave, lanes)
        seconds |= tried
        # Where others keep the machine busy by now, seconds say less of this one.
        patience = RESUMED * busy()
        late |= {str(trial): round(took, 1) for trial, took in tried.items() if took > patience}
        # Of those who race each other by nature one may come first: who was not held is tried once more.
        left += [trial for trial in wave if trial not in tried]
        if not left:
            break
    assert [str(trial) for trial in everything if trial not in seconds] == [], "nobody was held there"
    assert await killed.gates.undone() == []
    await each_was_told_once(killed.house, lanes)
    assert late == {}


async def boundaries(killed: Killed, lanes: list[Lane]) -> list[Trial]:
    found = []
    for way in WAYS:
        lane = Lane(killed.house)
        async with asyncio.timeout(PATIENCE):
            await way(lane)
        for place in await killed.gates.passed(lane.principal):
            found += [Trial(way, place, side) for side in ("before", "after") if side == "before" or place in ASKED]
        lanes.append(lane)
    return found


async def wave_of(killed: Killed, trials: Sequence[Trial], lanes: list[Lane]) -> dict[Trial, float]:
    """Killed once, when everybody is held, and all of them end as they should; the seconds from the restart until each went on."""
    gates, mine = killed.gates, [Lane(killed.house) for _ in trials]
    lanes += mine
    pairs = enumerate(zip(trials, mine, strict=True), start=1)
    closed = [Gate(number, trial.place, lane.principal, trial.side) for number, (trial, lane) in pairs]
    await gates.close(closed)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as going:
        tasks = [going.create_task(trial.way(lane)) for trial, lane in zip(trials, mine, strict=True)]
        held = await all_held(gates, closed, tasks)
        killed.victim.kill()
        await gates.open()
        killed_at = datetime.now(UTC)
        await killed.restart()
        restarted = datetime.now(UTC)
    seconds = {}
    for gate, trial in zip(closed, trials, strict=True):
        if gate.number in held:
            # After the last commit of all nothing is left to go on with.
            went_on = await gates.passed_since(killed_at, gate.whose) or restarted
            seconds[trial] = (went_on - restarted).total_seconds()
    return seconds


async def all_held(gates: Gates, closed: Sequence[Gate], tasks: Sequence["asyncio.Task[None]"]) -> set[int]:
    seen, since, everybody = None, time.monotonic(), [gate.whose for gate in closed]
    while True:
        held = set(await gates.held())
        now = held, await gates.passages(everybody)
        if len(held) + sum(task.done() for task in tasks) == len(closed):
            return held
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > STILL:
            return held
        await asyncio.sleep(0.05)


async def each_was_told_once(house: House, lanes: Sequence[Lane]) -> None:
    told: dict[str, Counter[tuple[Any, ...]]] = {}
    for type in ("request.received", "request.answered", "request.step_done", "recipient.told"):
        said = [orjson.loads(row["body"])["data"] for row in await house.rows(_TOLD, type)]
        told[type] = Counter((one["request"], one.get("step"), one.get("recipient"), one.get("done")) for one in said)
        assert set(told[type].values()) == {1}, type
    answered = {UUID(request) for request, *_ in told["request.answered"]}
    for lane in lanes:
        assert lane.request in answered
        steps = await house.rows(_STEPS, lane.request)
        assert {step["state"] for step in steps} <= {"done", "failed"}
        templates = [row["template"] for row in await house.rows(_LETTERS, lane.request)]
        assert len(templates) == len(set(templates))
