"""Gates: whatever a step is about to make durable is held there until the test has killed the process.

Each place is named by what it does: a commit in a database, a file put in place or removed, what a vendor, a bucket or disclosure is
told. What a step passed
is one line each in `FOLDER/<step>`; who is held leaves `FOLDER/<step>.held`, and goes no further.
"""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

import asyncpg.transaction
import pymysql

from chassis.db import Database
from services.anonymizer.commands.collections import Collections
from services.anonymizer.commands.people import People
from services.anonymizer.commands.steps import Steps
from services.anonymizer.connectors.apart import Apart
from services.anonymizer.connectors.files.formats import OWN
from services.anonymizer.connectors.files.objects import Objects
from services.anonymizer.connectors.files.zendesk import Zendesk
from services.anonymizer.holds import Holds
from services.anonymizer.house import House

_whose: ContextVar[str] = ContextVar("_whose", default="")


class Gates:
    """closed: step → the place at which it is held."""

    def __init__(self, folder: Path, closed: dict[str, str]) -> None:
        self.folder, self.closed, self.passed = folder, closed, Counter[tuple[str, str]]()

    def build(self) -> None:
        """In this process, for good."""
        # Whoever is held keeps a connection; with the usual five nobody else would get one.
        Database.__init__.__defaults__ = (20, *Database.__init__.__defaults__[1:])
        Path.replace = self._before(Path.replace, lambda path, target: f"{_role(Path(target))} put in place")
        Path.unlink = self._before(Path.unlink, lambda path, **_: f"{_role(path)} removed" if path.exists() else None)
        os.link = self._before(os.link, lambda source, target: f"{_role(Path(target))} linked")
        transaction = asyncpg.transaction.Transaction
        commit = self._around(transaction._Transaction__commit, _commit)
        transaction.commit = transaction._Transaction__commit = commit
        asyncpg.Connection.execute = self._around(
            asyncpg.Connection.execute,
            lambda connection, query, *_, **__: "commit in wardline" if query == "COMMIT" else None,
        )
        pymysql.connections.Connection.commit = self._before(
            pymysql.connections.Connection.commit, lambda *_: "commit in mariadb"
        )
        Objects._change = self._before(Objects._change, lambda *_: "version put")
        Objects._delete_by = self._before(
            Objects._delete_by, lambda _, url: f"{PurePath(urlsplit(url).path).suffix} version removed"
        )
        Zendesk._call = self._before(Zendesk._call, _told)
        Holds.settle = self._around(Holds.settle, lambda *_: "disclosure told")
        Steps._conclude = self._around(Steps._conclude, lambda *_: "concluded")
        Steps.take = _of(Steps.take, lambda steps, tenant, step, *_: step)
        Collections._noted = _of(Collections._noted, lambda collections, tenant, several: several[0].of[0].step)
        People.forget = _of(People.forget, lambda people, tenant, principal, wish: wish.request)
        _here(House)

    def _before(self, work: Callable[..., Any], place: Callable[..., str | None]) -> Callable[..., Any]:
        def gated(*told: Any, **named: Any) -> Any:
            if self._is_held(place(*told, **named)):
                time.sleep(600)
            return work(*told, **named)

        return gated

    def _around(self, work: Callable[..., Awaitable[Any]], place: Callable[..., str | None]) -> Callable[..., Any]:
        async def gated(*told: Any, **named: Any) -> Any:
            here = place(*told, **named)
            if self._is_held(here):
                await asyncio.sleep(600)
            done = await work(*told, **named)
            if here and self._is_held(f"after {here}"):
                await asyncio.sleep(600)
            return done

        return gated

    def _is_held(self, place: str | None) -> bool:
        step = _whose.get()
        if not step or place is None:
            return False
        self.passed[step, place] += 1
        place += " again" if self.passed[step, place] > 1 else ""
        with (self.folder / step).open("a") as file:
            print(place, file=file)
        if self.closed.get(step) == place:
            (self.folder / f"{step}.held").touch()
            return True
        return False


def _role(path: Path) -> str:
    """What a file is to the store: its own record, or the kind of what is kept beside them, and of which table."""
    if OWN not in path.parts:
        return "record"
    own = path.parts.index(OWN)
    return f"{path.parts[own - 1]} {path.parts[own + 1]}"


def _told(helpdesk: Zendesk, method: str, path: str, *_: Any, **named: Any) -> str | None:
    return None if method == "GET" else f"{method} {re.sub(r'/[0-9]+', '', urlsplit(path).path)}"


def _commit(transaction: Any) -> str | None:
    return None if transaction._readonly else f"commit in {transaction._connection._params.database}"


def _of(work: Callable[..., Awaitable[Any]], step: Callable[..., object]) -> Callable[..., Any]:
    """What follows from this call is this step's, in whatever task or thread."""

    async def said(*told: Any, **named: Any) -> Any:
        _whose.set(str(step(*told, **named)))
        return await work(*told, **named)

    return said


def _here(house: type[House]) -> None:
    """What is done with a lake elsewhere is done here, where it can be held."""
    made = house.__init__

    def init(self: House, *told: Any) -> None:
        made(self, *told)
        lakes = {name: one.files for name, one in self.connectors.items() if isinstance(one, Apart)}
        self.connectors |= lakes

    house.__init__ = init
