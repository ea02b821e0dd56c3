"""Sweeps that die: each line of the input is {settings, store, sweep, now, dies_at}; a forked child sweeps and is killed by SIGKILL at
that many effects (a file put in place or removed, a transaction about to commit, one just committed). Prints how each ended."""

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg.transaction

from services.anonymizer.connectors.apart import Apart
from services.anonymizer.house import House
from services.anonymizer.settings import Settings
from services.anonymizer.transforms import numbers
from tests.anonymizer.test_retention import BOOK

# By its name, for its package has a function that is called like it.
sweeping = import_module("services.anonymizer.connectors.postgresql.sweep")
sweeping.CHUNK, sweeping.SWAP_FROM, sweeping.SWAP_SHARE = 3, 20, 0.1


class NothingHeld:
    async def held(self, step: UUID | None = None) -> list:
        return []


class Fate:
    """Counts effects, and dies in the middle of one."""

    def __init__(self, dies_at: int) -> None:
        self.left = dies_at

    def before(self, work: Any) -> Any:
        def counted(*told: Any, **named: Any) -> Any:
            self._count()
            return work(*told, **named)

        return counted

    def around(self, work: Any) -> Any:
        async def counted(*told: Any, **named: Any) -> Any:
            self._count()
            done = await work(*told, **named)
            self._count()
            return done

        return counted

    def _count(self) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


async def sweep(told: dict[str, Any]) -> None:
    house = House(Settings(**told["settings"]))
    now = datetime.fromisoformat(told["now"])
    terms = await house.terms(BOOK.on(now.date()), now)
    fate = Fate(told["dies_at"])
    Path.replace, Path.unlink = fate.before(Path.replace), fate.before(Path.unlink)
    transaction = asyncpg.transaction.Transaction
    transaction.commit = transaction._Transaction__commit = fate.around(transaction._Transaction__commit)
    swept, connector = [], house.connectors[told["store"]]
    # What a lake's connector does elsewhere, it shall do here, where it can be killed at each effect.
    connector = connector.files if isinstance(connector, Apart) else connector
    async for piece in connector.sweep(UUID(told["sweep"]), terms, NothingHeld(), house.known):
        swept += [one.model_dump(mode="json") for one in piece.swept]
    Path(told["answer"]).write_text(json.dumps(swept))
    await house.close()


def main() -> None:
    # What each would load and work out for itself, two thirds of its life, is there when they are forked.
    for module in ("polars", "pyarrow.compute", "pyarrow.parquet"):
        import_module(module)
    numbers._table()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(sweep(json.loads(line)))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
