"""Packages of a crowd are built in a process of their own, and are what this process would have built; whatever happens to that one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import pytest_asyncio

from services.registry.books import read_book
from services.registry.contract import Text
from services.requests.rights.package import builders as module
from services.requests.rights.package import passphrase, spool
from services.requests.rights.package.build import Contents, Source
from services.requests.rights.package.builders import Builders
from services.requests.rights.package.unlock import unlock
from services.requests.rights.rules.about import about
from tests.patience import PATIENCE, until
from tests.workers import working

BOOK = Path(__file__).parents[2] / "policy" / "book.yaml"
WORDS = passphrase.draw()
CROWD, FEW = 12, 3

Fresh = Callable[[UUID], Path]


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    return lambda request: tmp_path / str(request) / f"{uuid4()}.html"


@pytest_asyncio.fixture
async def builders(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Builders]:
    """For which one crowd is enough."""
    monkeypatch.setattr(module, "_WORTH", CROWD)
    builders = Builders(fresh, rest=10 * PATIENCE)
    yield builders
    await builders.close()


@pytest_asyncio.fixture
async def begun(builders: Builders) -> Builders:
    """As after a crowd."""
    await built(builders, await crowd(CROWD))
    await until(lambda: builders._beginning.done())
    return builders


async def crowd(many: int) -> list[tuple[Contents, str]]:
    said = about(read_book(BOOK))
    return [
        (Contents(uuid4(), "sv", said, [source], key), WORDS)
        for source, key in [await source_of(n) for n in range(many)]
    ]


async def source_of(n: int) -> tuple[Source, bytes]:
    column = {"name": "text", "element": "name", "category": "customer_invoice", "label": {"sv": "Namn", "en": "Name"}}
    label, step, key = {"sv": "Faktura", "en": "Invoice"}, uuid4(), os.urandom(32)
    lines = [
        {"table": "invoice", "label": label, "columns": [column]},
        [f"Person {n}"],
        {"end": True, "counts": {"invoice": 1}},
    ]

    async def stream() -> AsyncIterator[bytes]:
        for line in lines:
            yield orjson.dumps(line) + b"\n"

    [kept] = await spool.keep([spool.Spool(Path("/nowhere"), key, step)], stream())
    return Source("billing", Text(sv="Fakturering", en="Billing"), step, kept.little or b"", kept.counts), key


async def built(builders: Builders, packages: list[tuple[Contents, str]]) -> list[Any]:
    found, on_disk = await builders.build(packages)
    await asyncio.wait_for(on_disk, PATIENCE)
    return found


def must_be_theirs(found: list[Any]) -> None:
    reports = [unlock(one.path, WORDS).report for one in found]
    assert [f"Person {n}</td>" in report for n, report in enumerate(reports)] == [True] * len(found)
    assert [one.bytes for one in found] == [one.path.stat().st_size for one in found]


def not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError("built in the service's own process")

    monkeypatch.setattr(module, "build", build)


async def test_no_crowd_waits_for_a_start_and_the_next_is_built_beside(builders: Builders, monkeypatch):
    must_be_theirs(await built(builders, await crowd(CROWD)))
    await until(lambda: builders._beginning.done())
    not_here(monkeypatch)
    must_be_theirs(await built(builders, await crowd(CROWD)))


async def test_processes_begin_once_as_many_were_wanted_lately_as_a_start_is_worth(builders: Builders, monkeypatch):
    monkeypatch.setattr(module, "_WORTH", 3 * CROWD)
    for begun in (False, False, True):
        await built(builders, await crowd(CROWD))
        assert (builders._beginning is not None) is begun


async def test_crowds_that_come_seldom_begin_none(builders: Builders, monkeypatch):
    monkeypatch.setattr(module, "_WORTH", 2 * CROWD)
    builders._rest = 0
    for _ in range(3):
        await built(builders, await crowd(CROWD))
    assert builders._beginning is None


async def test_a_few_begin_no_process_and_are_built_here(builders: Builders):
    before = working()
    must_be_theirs(await built(builders, await crowd(FEW)))
    assert working() == before


async def test_a_crowd_under_another_policy_book_is_told_so(begun: Builders, monkeypatch):
    not_here(monkeypatch)
    packages = [
        (
            Contents(
                each.request, "en", each.about.model_copy(update={"zone": "Europe/Helsinki"}), each.sources, each.key
            ),
            words,
        )
        for each, words in await crowd(CROWD)
    ]
    found = await built(begun, packages)
    assert all("Europe/Helsinki" in unlock(one.path, WORDS).report for one in found)


@pytest.mark.parametrize("beside", [False, True], ids=["here", "beside"])
async def test_one_that_cannot_be_written_is_none_and_the_others_are_built(
    begun: Builders, beside: bool, fresh: Fresh, tmp_path: Path
):
    packages = await crowd(CROWD if beside else FEW)
    (tmp_path / str(packages[1][0].request)).write_text("a file where its folder would be")
    found = await built(begun, packages)
    assert [place for place, one in enumerate(found) if one is None] == [1]
    assert "Person 2</td>" in unlock(found[2].path, WORDS).report


@pytest.mark.parametrize("at_work", [False, True], ids=["at rest", "at work"])
async def test_where_that_process_is_killed_its_packages_are_built_here(begun: Builders, at_work: bool):
    worker, packages = begun._processes[1]._process.pid, await crowd(CROWD)
    if at_work:
        os.kill(worker, signal.SIGSTOP)
        building = asyncio.create_task(built(begun, packages))
        await asyncio.wait({building}, timeout=0.2)
        os.kill(worker, signal.SIGKILL)
        assert not building.done()
        must_be_theirs(await building)
    else:
        os.kill(worker, signal.SIGKILL)
        must_be_theirs(await built(begun, packages))
    await until(lambda: not Path(f"/proc/{worker}").exists())


async def test_it_ends_when_no_crowd_has_come_for_a_while(builders: Builders):
    for each in builders._processes:
        each.rest = 0.1
    await built(builders, await crowd(CROWD))
    await until(lambda: builders._beginning.done() and not any(each.runs for each in builders._processes))
    workers = [each._process.pid for each in builders._processes]
    await until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
