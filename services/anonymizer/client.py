"""How others call the anonymizer: one method per endpoint. Every call may be repeated; steps answer what was done before."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

from chassis.client import ServiceClient
from chassis.streams import parted
from services.anonymizer.contract import (
    Attest,
    CollectionRequest,
    CollectionsRequest,
    DisclosureRequest,
    Drifts,
    FindPeople,
    FindPrincipal,
    Forget,
    Forgotten,
    FoundPeople,
    Holdings,
    InBackups,
    MappedFields,
    Principal,
    Release,
    SetSchedules,
    Simulation,
    SimulationRequest,
    StepRequest,
    StepResult,
    Stores,
    Sweep,
    SweepRequest,
    SweepSchedules,
)

_STEP_SECONDS = 30


class AnonymizerClient(ServiceClient):
    audience = "anonymizer"

    async def principal(self, wish: FindPrincipal, *, tenant: UUID | None = None) -> UUID:
        """The person of these identifiers, found or minted. Raises IdentifiersConflict."""
        found = await self.ask(
            Principal, "POST", "/v1/principals", body=wish, tenant=tenant, idempotency_key="finds-or-mints"
        )
        return found.principal

    async def lookup(self, wish: FindPrincipal, *, tenant: UUID | None = None) -> UUID | None:
        """The person of these identifiers; None when nobody is known by them. Raises IdentifiersConflict."""
        found = await self.ask(
            Principal, "POST", "/v1/principals/lookup", body=wish, tenant=tenant, idempotency_key="only-finds"
        )
        return found.principal

    async def known(self, wish: FindPeople, *, tenant: UUID | None = None) -> FoundPeople:
        """Many people at once, each by one identifier."""
        return await self.ask(
            FoundPeople,
            "POST",
            "/v1/principals/known",
            body=wish,
            tenant=tenant,
            idempotency_key="finds-or-mints",
            timeout=60,
        )

    async def forget(self, principal: UUID, request: UUID, *, tenant: UUID | None = None) -> Forgotten:
        """After the last step of the last request: every identifier and the person's key go. Raises StillAtWork."""
        path = f"/v1/principals/{principal}/forgotten"
        return await self.ask(Forgotten, "PUT", path, body=Forget(request=request), tenant=tenant)

    async def stores(self, *, tenant: UUID | None = None) -> Stores:
        return await self.ask(Stores, "GET", "/v1/stores", tenant=tenant)

    async def data_map(self) -> MappedFields:
        return await self.ask(MappedFields, "GET", "/v1/datamap")

    async def holdings(self, *, tenant: UUID) -> Holdings:
        """How much is processed for an organisation, and in which stores. Raises StoreUnavailable."""
        return await self.ask(Holdings, "GET", "/v1/holdings", tenant=tenant, timeout=60)

    def give_back(self, store: str, *, tenant: UUID) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of the NDJSON stream of everything that is processed for it there. Without an `EndLine` it is not all."""
        return self.stream("GET", f"/v1/returns/{store}", tenant=tenant)

    async def drift(self, *, tenant: UUID | None = None) -> Drifts:
        """Where the stores are no longer what the data map says."""
        return await self.ask(Drifts, "GET", "/v1/drift", tenant=tenant, timeout=60)

    def collect(
        self, wish: CollectionRequest, *, tenant: UUID | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of the NDJSON stream, cut anywhere. Without an `EndLine` nothing was collected."""
        return self.stream("POST", "/v1/collections", body=wish, tenant=tenant)

    @asynccontextmanager
    async def collect_together(
        self, wish: CollectionsRequest, *, tenant: UUID | None = None
    ) -> AsyncIterator[list[AsyncGenerator[bytes]]]:
        """The same of several stores and people: a stream for each of `wish.stores`, which raises what that store refused."""
        async with (
            self.stream("POST", "/v1/collections/together", body=wish, tenant=tenant) as answer,
            parted(answer, len(wish.stores)) as streams,
        ):
            yield streams

    async def step(self, step: UUID, wish: StepRequest, *, tenant: UUID | None = None) -> StepResult:
        """Call again while `running`, and now and then while `waiting`. Raises PrincipalUnknown, StoreUnknown, StepConflict, VerbUnsupported, StoreUnavailable and
        HoldsUnreadable; after the last two, and after a crash, call again: nothing is done twice."""
        return await self.ask(StepResult, "PUT", f"/v1/steps/{step}", body=wish, tenant=tenant, timeout=_STEP_SECONDS)

    async def attest(self, step: UUID, wish: Attest, *, key: str, tenant: UUID | None = None) -> StepResult:
        """What a person did by hand. Raises StepUnknown and NotWaiting."""
        path = f"/v1/steps/{step}/attestation"
        return await self.ask(StepResult, "POST", path, body=wish, tenant=tenant, idempotency_key=key)

    async def simulate(self, wish: SimulationRequest, *, tenant: UUID | None = None) -> Simulation:
        return await self.ask(Simulation, "POST", "/v1/simulations", body=wish, tenant=tenant, timeout=60)

    async def sweep(self, wish: SweepRequest, *, key: str, tenant: UUID | None = None) -> Sweep:
        return await self.ask(Sweep, "POST", "/v1/sweeps", body=wish, tenant=tenant, idempotency_key=key)

    async def swept(self, sweep: UUID, *, tenant: UUID | None = None) -> Sweep:
        return await self.ask(Sweep, "GET", f"/v1/sweeps/{sweep}", tenant=tenant)

    async def set_schedules(self, wish: SetSchedules, *, key: str, tenant: UUID | None = None) -> SweepSchedules:
        """Raises StoreUnknown."""
        path = "/v1/sweep-schedules"
        return await self.ask(SweepSchedules, "PUT", path, body=wish, tenant=tenant, idempotency_key=key)

    async def schedules(self, *, tenant: UUID | None = None) -> SweepSchedules:
        return await self.ask(SweepSchedules, "GET", "/v1/sweep-schedules", tenant=tenant)

    async def in_backups(self, *, tenant: UUID | None = None) -> InBackups:
        return await self.ask(InBackups, "GET", "/v1/backups", tenant=tenant)

    def disclose(
        self, wish: DisclosureRequest, *, tenant: UUID | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """For disclosure only: the same stream, by the scope of one approved task."""
        return self.stream("POST", "/v1/disclosures/collections", body=wish, tenant=tenant)

    async def release(self, hold: UUID, *, tenant: UUID | None = None) -> Release:
        """For disclosure only: what this hold preserved is erased, unless another one holds it too."""
        return await self.ask(Release, "PUT", f"/v1/holds/{hold}/release", tenant=tenant, timeout=_STEP_SECONDS)
