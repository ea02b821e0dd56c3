"""Somebody who sees every row of a server, whatever the policies hide."""

import asyncio
from collections import defaultdict
from typing import Any

import asyncpg

from ops.postgres import Postgres

_LOST = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, OSError)


class Overseer:
    """Its connections are kept, one to a database: whoever waits for something looks twenty times a second, and a connection made for
    each look costs ten times what the look does."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._kept: dict[str, asyncpg.Connection] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def rows(self, database: str, statement: str, *values: Any) -> list[asyncpg.Record]:
        async with self._turns[database]:
            if kept := self._kept.get(database):
                try:
                    return await kept.fetch(statement, *values)
                except _LOST:  # the server, or the database, is another one by now
                    kept.terminate()
            self._kept[database] = await self.server.connect(database)
            return await self._kept[database].fetch(statement, *values)

    async def close(self) -> None:
        for kept in self._kept.values():
            await kept.close()
