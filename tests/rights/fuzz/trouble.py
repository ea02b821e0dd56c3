"""What befalls the house while people ask: replicas are killed, consent and stores go away and come back, time goes on."""

import asyncio
from collections.abc import Sequence
from random import Random

from tests.rights.fuzz.people import Run
from tests.rights.operator import KINDS
from tests.rights.victims import Victim

HOURS = [1, 10, 25, 73, 73, 100] * 4 + [8 * 24, 15 * 24, 31 * 24] * 2


async def kills(run: Run, victims: Sequence[Victim]) -> None:
    dice = Random(f"{run.seed} kills")
    while not run.over:
        await asyncio.sleep(dice.uniform(0.1, 1.5))
        victim = dice.choice(victims)
        victim.kill()
        run.kills += 1
        await asyncio.sleep(dice.choice([0, 0, 0.3, 1]))
        await asyncio.to_thread(victim.start)


async def weather(run: Run) -> None:
    dice, house = Random(f"{run.seed} weather"), run.houses[0]
    while not run.over:
        await asyncio.sleep(dice.uniform(0.2, 1.5))
        gone = [("consent_down", True), ("down", {dice.choice([*KINDS])}), ("away", True), None]
        [what] = dice.choices(gone, [2, 2, 1, 5])
        if what is None:
            house.later(hours=dice.choice(HOURS))
        else:
            before = what[0], getattr(house.operator, what[0])
            setattr(house.operator, *what)
            await asyncio.sleep(dice.uniform(0.1, 1.5))
            setattr(house.operator, *before)
