"""The one question the anonymizer asks about orders, and the one thing it tells: what is held, and how many rows were preserved.

It fails closed: without an answer nothing is erased. What a hold keeps changes no count, event, log or answer of ours.
"""

from uuid import UUID

from chassis.errors import Problem
from services.anonymizer.connectors.guard import COMMIT_WITHIN
from services.anonymizer.contract import HoldsUnreadable, IdentifierType
from services.anonymizer.rules.orders import Hold
from services.anonymizer.rules.person import Known, normalised
from services.requests.disclosure.client import DisclosureClient
from services.requests.disclosure.contract import Preserved, SettleHolds


class Holds:
    def __init__(self, client: DisclosureClient) -> None:
        self.client = client

    async def held(self, step: UUID | None = None) -> list[Hold]:
        """Everything that is held: a person's deletion also touches rows of those they spoke with. Raises HoldsUnreadable.

        With `step` the answer is a lease: this step is committed within `guard.COMMIT_WITHIN`, or not by this answer.
        """
        try:
            found = await self.client.held(None, step=step)
            if step and (found.lease_seconds or 0) < 2 * COMMIT_WITHIN:
                raise HoldsUnreadable
            return [
                Hold(one.hold, _known(named.type, named.value), tuple(one.categories), one.period.from_, one.period.to)
                for one in found.holds
                for named in one.identifiers
            ]
        except (Problem, ValueError):
            raise HoldsUnreadable from None

    async def settle(self, step: UUID, store: str, preserved: dict[UUID, int]) -> None:
        """After every step that erased, whether anything was preserved or not. Raises HoldsUnreadable."""
        counts = [Preserved(hold=hold, count=count) for hold, count in sorted(preserved.items())]
        try:
            await self.client.settle(SettleHolds(step=step, store=store, preserved=counts))
        except Problem:
            raise HoldsUnreadable from None


def _known(type: str, value: str) -> Known:
    """Raises ValueError for a type nobody here knows: what can't be told apart can't be erased round."""
    known = IdentifierType(type)
    return Known(known, normalised(known, value))
