"""Who waits for a request is answered when it goes on, and need not ask again and again."""

import time
from collections.abc import Sequence
from uuid import UUID

from chassis.auth import Caller
from chassis.crowd import Crowd
from chassis.db import Database
from chassis.ledger.sequencer import Bell, rung
from services.requests.rights import queries
from services.requests.rights.contract import State
from services.requests.rights.office import Office

LONGEST = 30
_LOOK_AGAIN = 1.0
_STATES = "SELECT id, state FROM request WHERE id = ANY ($1)"


class Waiting:
    """`grown` rings with every step of any request; all who wait look by one statement."""

    def __init__(self, database: Database, office: Office, grown: Bell) -> None:
        self.database, self.office, self.grown = database, office, grown
        self._state = Crowd(self._states)

    async def until_moved(self, caller: Caller, request: UUID, known: State, seconds: float) -> None:
        """Until it stands elsewhere than where the caller knows it to stand, or as long as that. Raises RequestUnknown at once."""
        until = time.monotonic() + seconds
        async with self.database.transaction(caller.tenant) as tx:
            await queries.find(tx, self.office, caller, request)
        while (left := until - time.monotonic()) > 0 and not self.grown.silenced:
            turn = self.grown.turn()
            if await self._state(caller.tenant, request) != known:
                return
            await rung(turn, min(left, _LOOK_AGAIN))

    async def _states(self, tenant: UUID, requests: Sequence[UUID]) -> Sequence[str | None]:
        async with self.database.transaction(tenant) as tx:
            states = dict(await tx.connection.fetch(_STATES, requests))
        return [states.get(request) for request in requests]
