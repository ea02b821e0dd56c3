"""Gates: a transaction of rights that has written everything is held at its commit, until the test has killed the process.

A gate is closed for one place and one person, and holds the first who comes. Places are named by what a transaction wrote, such as
`erase done`; which there are is seen by letting somebody pass. Held is the commit itself, so a kill there is exact: what was written is
lost with the process (`before`), or it stands and the process never learned of it (`after`).
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

import asyncpg

from tests.rights.conftest import House

_LOCK = 4711
# `undone`: whatever was finished and is begun again, which nothing may be.
_TABLES = f"""
CREATE TABLE public.gate (number int PRIMARY KEY, place text, whose uuid);
CREATE TABLE public.passed (number bigint GENERATED ALWAYS AS IDENTITY, whose uuid, place text,
    at timestamptz DEFAULT clock_timestamp(), xact xid8 DEFAULT pg_current_xact_id());
CREATE TABLE public.undone (step uuid, store text, verb text);
CREATE FUNCTION public.passes(who uuid, here text) RETURNS void SECURITY DEFINER SET search_path = public LANGUAGE plpgsql AS $$
DECLARE closed int;
BEGIN
    INSERT INTO passed (whose, place) VALUES (who, here);
    SELECT number INTO closed FROM gate WHERE place = here AND whose = who;
    IF closed IS NOT NULL AND pg_try_advisory_xact_lock({_LOCK} + 1, closed) THEN
        PERFORM pg_advisory_xact_lock_shared({_LOCK}, closed);
    END IF;
END $$;
CREATE FUNCTION public.gated() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
DECLARE asked rights.request;
BEGIN
    IF TG_TABLE_NAME = 'request' THEN
        PERFORM public.passes(NEW.principal, 'request ' || NEW.state);
        RETURN NULL;
    END IF;
    SELECT * INTO asked FROM rights.request WHERE id = NEW.request;
    IF TG_TABLE_NAME = 'request_task' THEN
        PERFORM public.passes(asked.principal, 'task ' || NEW.state);
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state = 'done' THEN
        INSERT INTO public.undone VALUES (NEW.id, NEW.store, NEW.verb);
    END IF;
    PERFORM public.passes(asked.principal,
        format('%s%s %s', CASE WHEN NEW.round > 1 THEN 'later ' END, NEW.verb, NEW.state));
    RETURN NULL;
END $$;"""
_TRIGGER = """
CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON rights.{table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION public.gated()"""
_TAKEN_AWAY = """
DROP FUNCTION public.gated CASCADE;
DROP FUNCTION public.passes;
DROP TABLE public.gate, public.passed, public.undone"""
_HELD = """
SELECT objid::int AS number, pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = $1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_PLACES = """
SELECT array_agg(place ORDER BY number) AS places FROM passed WHERE whose = $1 GROUP BY xact ORDER BY min(number)"""


@dataclass(frozen=True)
class Gate:
    """side: whether what is held there is lost with its process, or stands."""

    number: int
    place: str
    whose: UUID
    side: Literal["before", "after"]


class Gates:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.closed: list[Gate] = []

    @classmethod
    async def build(cls, connection: asyncpg.Connection) -> Self:
        await connection.execute(_TABLES)
        for table in ("request", "request_step", "request_task"):
            await connection.execute(_TRIGGER.format(table=table))
        return cls(connection)

    async def passed(self, whose: UUID) -> list[str]:
        """The transactions that somebody went through, in their order, each named by one place of its own: by where the request
        went last, if it went somewhere."""
        found: list[str] = []
        for (places,) in await self.connection.fetch(_PLACES, whose):
            moved = [place for place in reversed(places) if place.startswith("request ")]
            found += [next((place for place in (*moved, *places) if place not in found), places[0])]
        return list(dict.fromkeys(found))

    async def passages(self, whose: Iterable[UUID]) -> int:
        return await self.connection.fetchval("SELECT count(*) FROM passed WHERE whose = ANY ($1)", list(whose))

    async def passed_since(self, moment: datetime, whose: UUID) -> datetime | None:
        query = "SELECT min(at) FROM passed WHERE at > $1 AND whose = $2"
        return await self.connection.fetchval(query, moment, whose)

    async def undone(self) -> list[tuple[str, str]]:
        return [tuple(row) for row in await self.connection.fetch("SELECT DISTINCT store, verb FROM undone")]

    async def close(self, gates: Sequence[Gate]) -> None:
        self.closed = list(gates)
        for gate in gates:
            await self.connection.execute("SELECT pg_advisory_lock($1, $2)", _LOCK, gate.number)
            await self.connection.execute("INSERT INTO gate VALUES ($1, $2, $3)", gate.number, gate.place, gate.whose)

    async def held(self) -> dict[int, int]:
        """Which backend is held at which gate, by the gate's number."""
        return dict(await self.connection.fetch(_HELD, _LOCK))

    async def open(self) -> None:
        """Whoever was held at a gate `before` is gone without a commit; the others commit."""
        held = await self.held()
        for gate in self.closed:
            if gate.side == "before" and gate.number in held:
                await self.connection.execute("SELECT pg_terminate_backend($1, 5000)", held[gate.number])
            await self.connection.execute("DELETE FROM gate WHERE number = $1", gate.number)
            await self.connection.execute("SELECT pg_advisory_unlock($1, $2)", _LOCK, gate.number)
        self.closed = []


@asynccontextmanager
async def held_commits(house: House) -> AsyncIterator[Gates]:
    """Gates in a house of which others know nothing."""
    connection = await house.server.connect(house.settings.database_name)
    try:
        yield await Gates.build(connection)
    finally:
        await _take_away(connection)
        await connection.close()


async def _take_away(connection: asyncpg.Connection) -> None:
    """Whoever still works may have locked the same tables in another order; then PostgreSQL ends one of the two, and nothing is done."""
    while True:
        try:
            return await connection.execute(_TAKEN_AWAY)
        except asyncpg.DeadlockDetectedError:
            continue
