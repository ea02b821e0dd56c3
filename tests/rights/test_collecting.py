"""What is collected together, in one call for several people and stores: what ends one of them, or holds it up, ends and holds up no other."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from chassis.streams import joined, parted
from services.anonymizer.contract import CollectionsRequest, StoreUnavailable
from services.requests.rights import jobs
from services.requests.rights.commands.doing import Claim
from services.requests.rights.jobs import Work
from services.requests.rights.package import spool
from tests.patience import PATIENCE

TENANT = uuid4()
Giving = Callable[[int], AsyncGenerator[bytes]]


class Stores:
    """The data plane, as its client sees it: what each store gives to so many."""

    def __init__(self, **giving: Giving) -> None:
        self.giving = giving
        self.calls = 0

    @asynccontextmanager
    async def collect_together(
        self, wish: CollectionsRequest, tenant: UUID
    ) -> AsyncIterator[list[AsyncGenerator[bytes]]]:
        self.calls += 1
        given = joined([self.giving[one.store](len(one.of)) for one in wish.stores])
        async with aclosing(given), parted(given, len(wish.stores)) as parts:
            yield parts


def rows(of: int, many: int = 1, size: int = 10) -> list[bytes]:
    """Each has as many."""
    lines: list[Any] = [{"table": "chat", "columns": []}]
    lines += [[place, "x" * size] if of > 1 else ["x" * size] for _ in range(many) for place in range(of)]
    return [orjson.dumps(line) + b"\n" for line in [*lines, {"end": True, "counts": {"chat": many * of}}]]


async def soon(of: int) -> AsyncGenerator[bytes]:
    for line in rows(of):
        yield line


async def down(_: int) -> AsyncGenerator[bytes]:
    raise StoreUnavailable
    yield b""


def held(until: asyncio.Event) -> Giving:
    async def giving(of: int) -> AsyncGenerator[bytes]:
        await until.wait()
        for line in rows(of):
            yield line

    return giving


def work(stores: Stores, folder: Path) -> Work:
    nobody: Any = None
    office: Any = SimpleNamespace(spool=lambda request, step: folder / str(step))
    anonymizer: Any = stores
    return Work(nobody, office, anonymizer, nobody, nobody, nobody, nobody, nobody)


def of(store: str) -> Claim:
    return Claim(
        step=uuid4(),
        fence=1,
        request=uuid4(),
        principal=uuid4(),
        store=store,
        verb="collect",
        scope=None,
        kind="access",
        purpose=None,
        ground=None,
        changes=[],
        vouched=None,
        spool_key=os.urandom(32),
    )


async def test_a_store_that_fails_and_one_that_is_slow_end_nobody_else_s_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who is answered is recorded at once; who is not yet, is not lost with the one that failed."""
    monkeypatch.setattr(jobs, "_A_MOMENT", 0.01)
    opened = asyncio.Event()
    stores = Stores(billing=soon, helpdesk=down, recordings=held(opened))
    mine = work(stores, tmp_path)
    first, second, third = (asyncio.create_task(mine._done(TENANT, of(store))) for store in stores.giving)
    async with asyncio.timeout(PATIENCE):
        assert (await first).counts == {"chat": 1}
        with pytest.raises(StoreUnavailable):
            await second
        assert not third.done()
        opened.set()
        assert (await third).counts == {"chat": 1}
    assert stores.calls == 1


async def test_a_step_that_is_stopped_takes_nobody_s_collection_with_it(tmp_path: Path):
    opened = asyncio.Event()
    mine = work(Stores(billing=held(opened)), tmp_path)
    stopped, goes_on = (asyncio.create_task(mine._done(TENANT, of("billing"))) for _ in range(2))
    await asyncio.sleep(0.7)  # longer than anybody is waited for who is collected with her
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    opened.set()
    async with asyncio.timeout(PATIENCE):
        assert (await goes_on).counts == {"chat": 1}


async def test_what_the_disk_refuses_of_one_store_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All come in one answer, of which nobody reads the rest."""

    async def much(of: int) -> AsyncGenerator[bytes]:
        for line in rows(of, many=400, size=10_000):
            yield line

    after = asyncio.Event()
    mine, large = work(Stores(billing=much, helpdesk=held(after)), tmp_path), of("billing")
    private = spool.private

    def full(path: Path, *how: Any) -> Any:
        if str(large.step) in path.name:
            after.set()
            raise OSError("No space left on device")
        return private(path, *how)

    monkeypatch.setattr(spool, "private", full)
    refused, other = (asyncio.create_task(mine._done(TENANT, claim)) for claim in (large, of("helpdesk")))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OSError, match="No space"):
            await refused
        assert (await other).counts == {"chat": 1}
    assert list(tmp_path.iterdir()) == []
