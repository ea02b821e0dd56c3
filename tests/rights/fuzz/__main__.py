"""A fuzz of rights: people ask, change their minds, confirm and fetch, staff decide, refuse, charge, print and post, all at once, through two
replicas of which one or the other is killed at any moment; stores and consent go away for a second, and business time goes on by hours and
weeks. Then all is calm, and once nothing moves any more this must hold (`invariants.sql` has each of it as a question):

- whoever repeats a call under its key is answered within 90 seconds, and never with a fault
- who was told that a request ended finds it so
- it is told once that a request was received, nothing of its way is told twice, and no recipient is
- after its end nothing more happens to it than what had been deferred
- its end leaves no sealed word, key, spool, letter, file, running clock, open task or step to do
- an answer is told once, and stops the answer's clock
- what was withdrawn, or is a duplicate, erased nothing, and was not answered unless it is a restriction
- it comes to rest where somebody can go on with it, and who was proven is not waited for
- one task at most is open: where a person decides, or of a restriction that was answered, which can be lifted as long as it holds
- the package is the file that its digest names
- consent heard last what became of an objection or a restriction
- stores are frozen as long as a restriction holds, and no longer
- a deletion leaves no row that no rule keeps
- what was brought to another operator came there; a reception is told once of each thing, opens, and leaves nothing when it is closed
- nothing on the disk is nobody's

It takes minutes, and pytest does not collect it: `.venv/bin/python -m tests.rights.fuzz [--seed N] [--seconds S] [--people N]
[--kinds access,deletion] [--large] [--no-kills]`. A seed repeats what is chosen, and not the timing. It ends with 0 and what it counted, or with 1
and an account of each thing that did not hold. What was logged meanwhile lies in out/rights-fuzz.log.
"""

import argparse
import asyncio
import gc
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout, suppress
from dataclasses import replace
from typing import TextIO

from ops.home import ROOT
from services.requests.rights.contract import Kind
from services.requests.rights.settings import Settings
from tests.conftest import postgres
from tests.rights.conftest import House, furnished
from tests.rights.fuzz.facts import Violation, violations
from tests.rights.fuzz.people import Run, lives
from tests.rights.fuzz.trouble import kills, weather
from tests.rights.test_transfer import as_registered
from tests.rights.victims import HOST, Victim

LOG = ROOT / "out" / "rights-fuzz.log"
# Seconds without a move: after the first nothing comes any more, after the second what is under way is stuck.
STILL, STUCK, LONGEST = 6, 65, 200
_MOVES = """
SELECT id, state, fence, state IN ('pending', 'running') AS under_way FROM rights.request_step UNION ALL
SELECT id, state, 0, state IN ('identified', 'executing', 'checking', 'packing', 'transferring', 'lifting') FROM rights.request
ORDER BY id"""
_KNOWN = """
(SELECT concat_ws(' ', kind, state, channel, party, outcome) AS line FROM rights.request WHERE id::text = $1) UNION ALL
(SELECT concat_ws(' ', 'step:', verb, store, state, problem) FROM rights.request_step WHERE request::text = $1 ORDER BY id)
UNION ALL (SELECT concat_ws(' ', 'told:', type)
    FROM (SELECT seq, type, convert_from(body, 'UTF8')::jsonb->'data' AS data FROM rights.event) events
    WHERE $1 IN (data->>'request', data->>'reception') ORDER BY seq)"""
_KINDS = "SELECT kind, count(*) AS number FROM rights.request GROUP BY kind"


async def fuzz(given: argparse.Namespace, log: TextIO) -> tuple[list[str], str]:
    """An account of each thing that did not hold, and what was counted."""
    victims: list[Victim] = []

    @asynccontextmanager
    async def running(settings: Settings) -> AsyncIterator[str]:
        try:
            for _ in range(2):
                victims.append(await asyncio.to_thread(Victim, settings, free_port(), log))
            yield f"http://{HOST}:{victims[0].port}"
        finally:
            for victim in victims:
                victim.end()

    with postgres() as server:
        async with furnished(server, running) as house:
            houses = [house, replace(house, url=f"http://{HOST}:{victims[1].port}")]
            run = Run(houses, given.seed, given.kinds, await as_registered(house), given.large)
            async with asyncio.TaskGroup() as going:
                for doing in [weather(run), *(lives(run, number) for number in range(given.people))]:
                    going.create_task(doing)
                if given.kills:
                    going.create_task(kills(run, victims))
                await asyncio.sleep(given.seconds)
                run.over = True
            await settled(house)
            found = run.faults + await violations(house, run.said_ended)
            return [await account(run, violation) for violation in found], await counted(run)


def free_port() -> int:
    """Below those that the kernel lends to whoever calls somebody: it might lend one while who listens there is dead."""
    while True:
        with socket.socket() as free, suppress(OSError):
            free.bind((HOST, random.SystemRandom().randrange(20_000, 30_000)))
            return free.getsockname()[1]


async def settled(house: House) -> None:
    seen, since, end = None, time.monotonic(), time.monotonic() + LONGEST
    while time.monotonic() < end:
        now = [tuple(row) for row in await house.rows(_MOVES)]
        if now != seen:
            seen, since = now, time.monotonic()
        under_way = any(each for *_, each in now)
        if time.monotonic() - since > (STUCK if under_way else STILL):
            return
        await asyncio.sleep(1)


async def account(run: Run, violation: Violation) -> str:
    """What did not hold of whom, and all that was done to it, in order."""
    whose, expected, seen = violation
    known = [row["line"] for row in await run.houses[0].rows(_KNOWN, whose)]
    return "\n  ".join(
        [whose, f"expected: {expected}", f"seen: {seen}", *known[:1], *run.done[whose][-50:], *known[1:]]
    )


async def counted(run: Run) -> str:
    kinds = Counter({row["kind"]: row["number"] for row in await run.houses[0].rows(_KINDS)})
    outcomes, done = Counter[str](), Counter[str]()
    for (what, outcome), number in run.calls.items():
        outcomes[outcome] += number
        done[what] += number if outcome == "ok" else 0
    calls = f"{outcomes.total()} calls ({listed(outcomes)}); answered were {listed(done)}"
    return f"{kinds.total()} requests ({listed(kinds)}), {run.kills} kills, {calls}"


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common())


def kinds(said: str) -> list[Kind]:
    return [Kind(kind) for kind in said.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.rights.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="how long they act (60)")
    parser.add_argument("--people", type=int, default=16, help="each in a tenant of her own (16)")
    parser.add_argument(
        "--kinds", type=kinds, default=list(Kind), metavar="access,deletion", help="what they ask (all)"
    )
    parser.add_argument("--large", action="store_true", help="copies too large for the database lie on the disk")
    parser.add_argument("--no-kills", dest="kills", action="store_false")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    gc.enable()  # what pytest would enable after it had collected its tests
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w", buffering=1) as log, redirect_stdout(log):
        accounts, counts = asyncio.run(fuzz(given, log))
    print(*accounts, counts, sep="\n\n")
    return 1 if accounts else 0


if __name__ == "__main__":
    raise SystemExit(main())
