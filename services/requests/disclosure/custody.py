"""Everything that is done with an order is an event of this ledger, reading included: by whom, by which client.

Data are ids, states, codes and counts. An identifier, or a word of the order, never stands here.
"""

from typing import Any
from uuid import UUID

from chassis.auth import Caller
from chassis.db import Transaction


async def note(tx: Transaction, type: str, caller: Caller | None, **about: Any) -> None:
    """`caller` None: this service's own work (a clock, a job)."""
    who = {"by": caller.subject, "client": caller.original_client} if caller else {"by": None, "client": None}
    await tx.emit(type, who | {name: _plain(value) for name, value in about.items()})


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
