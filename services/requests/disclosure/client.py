"""How others call disclosure. Only the anonymizer does; authorities and staff come through the internal edge."""

from uuid import UUID

from chassis.client import ServiceClient
from services.requests.disclosure.contract import AskHolds, Holds, Named, Settled, SettleHolds


class DisclosureClient(ServiceClient):
    """Both calls may be repeated. No answer means: do not erase."""

    audience = "disclosure"

    async def held(
        self, identifiers: list[Named] | None, *, step: UUID | None = None, tenant: UUID | None = None
    ) -> Holds:
        """What is held of these identifiers, whichever organisation they belong to; None asks for everything. With `step` the
        answer is a lease: commit within half of its seconds, or ask again."""
        wish = AskHolds(identifiers=identifiers, step=step)
        return await self.ask(Holds, "POST", "/v1/holds/query", body=wish, tenant=tenant, idempotency_key="asks")

    async def settle(self, settled: SettleHolds, *, tenant: UUID | None = None) -> None:
        """Called after every erase step, whether anything was preserved or not."""
        key = f"{settled.step}"
        await self.ask(Settled, "POST", "/v1/holds/settlements", body=settled, tenant=tenant, idempotency_key=key)
