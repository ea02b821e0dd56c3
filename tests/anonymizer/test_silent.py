"""A PostgreSQL store that is slow, falls silent, or is cut off in mid-stream, by way of a proxy that a test may tell to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from ops.postgres import PORT
from sample.cases import PEOPLE, PRIVATE
from services.anonymizer import datamap
from services.anonymizer.connectors.postgresql import PostgreSQL, store
from services.anonymizer.contract import IdentifierType, StoreUnavailable
from services.anonymizer.rules.person import Known, Person
from tests.anonymizer.conftest import House
from tests.anonymizer.directly import TERMS, Guard
from tests.patience import PATIENCE

ANNA = Person(uuid4(), PRIVATE.id, (Known(IdentifierType.msisdn, PEOPLE["anna"].msisdn),))


@dataclass
class Way:
    """Bytes between the connector and the server. silent: none go on any more · cut_after: so many come back, and no more."""

    calls: PostgreSQL
    silent: bool = False
    cut_after: int | None = None
    back: int = 0
    ends: list[asyncio.StreamWriter] = field(default_factory=list)
    lines: set[asyncio.Task] = field(default_factory=set)

    async def go(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: bool) -> None:
        while data := await reader.read(1 << 12):
            while self.silent:
                await asyncio.sleep(0.01)
            self.back += len(data) if back else 0
            if self.cut_after is not None and self.back > self.cut_after:
                break
            writer.write(data)
        self.cut()

    def cut(self) -> None:
        for writer in self.ends:
            writer.transport.abort()


@pytest_asyncio.fixture(loop_scope="session")
async def way(house: House) -> AsyncIterator[Way]:
    socket = f"{house.settings.database_host}/.s.PGSQL.{PORT}"

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_unix_connection(socket)
        way.ends += [writer, theirs[1]]
        for source, target, back in ((reader, theirs[1], False), (theirs[0], writer, True)):
            way.lines.add(asyncio.create_task(way.go(source, target, back)))

    async with await asyncio.start_server(taken, "127.0.0.1", 0) as proxy:
        host, port = proxy.sockets[0].getsockname()[:2]
        mapped = datamap.load(Path("policy/stores")).stores["calls"]
        place = mapped.location.model_copy(update={"host": host, "port": port})
        way = Way(PostgreSQL(mapped.model_copy(update={"location": place}), house.settings))
        yield way
        await way.calls.close()
        way.silent = False
        way.cut()
        await asyncio.gather(*way.lines, *(end.wait_closed() for end in way.ends), return_exceptions=True)


async def collected(way: Way) -> bytes:
    return b"".join([chunk async for chunk in way.calls.collect([ANNA], TERMS.book, False)])


async def test_a_store_that_is_cut_off_in_mid_stream_is_said_and_the_stream_has_no_end(way: Way):
    whole = await collected(way)
    assert whole.endswith(b"}}\n")
    way.back, way.cut_after = 0, len(whole) // 2
    got = []
    with pytest.raises(StoreUnavailable):
        async for chunk in way.calls.collect([ANNA], TERMS.book, False):
            got.append(chunk)
    assert b'"end"' not in b"".join(got)
    way.cut_after = None
    assert await collected(way) == whole


@pytest.mark.parametrize("verb", ["collect", "erase", "verify"])
async def test_a_store_that_falls_silent_is_given_up_and_nothing_is_done(
    way: Way, house: House, monkeypatch, verb: str
):
    monkeypatch.setattr(store, "LONGEST", 1.0)
    await way.calls.invoices(ANNA)  # the connection stands
    before, way.silent = (await house.rows("calls", "SELECT count(*) AS n FROM call_record"))[0]["n"], True
    asked = {
        "collect": lambda: collected(way),
        "erase": lambda: way.calls.erase(uuid4(), ANNA, TERMS, Guard(), None),
        "verify": lambda: way.calls.verify(ANNA, TERMS, None),
    }[verb]
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(asked(), PATIENCE)
    assert (await house.rows("calls", "SELECT count(*) AS n FROM call_record"))[0]["n"] == before
