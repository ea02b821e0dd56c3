"""The anonymizer's process: it alone is given credentials to the operator's stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import chassis.app
from chassis import telemetry
from chassis.sealing import Sealer
from services.anonymizer.commands import backups, schedules
from services.anonymizer.commands.collections import Collections
from services.anonymizer.commands.people import People
from services.anonymizer.commands.replays import Replays
from services.anonymizer.commands.steps import Steps
from services.anonymizer.commands.sweeps import JOB, Sweeper
from services.anonymizer.holds import Holds
from services.anonymizer.house import House
from services.anonymizer.routes import router
from services.anonymizer.settings import Settings
from services.registry.client import PolicyShelf, following_policy
from services.requests.disclosure.client import DisclosureClient

CLIENTS = frozenset({"rights", "disclosure", "consent", "registry", "webhooks", "public", "internal"})


def create_app(settings: Settings | None = None) -> FastAPI:
    return chassis.app.create_app(
        "anonymizer", settings or Settings(), package=__package__, routers=[router], clients=CLIENTS, running=_running
    )


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    state, settings = app.state, app.state.settings
    state.house = House(settings)
    state.sealer = Sealer(settings.secrets_dir / "epochs", settings.secret("index.key"))
    holds = Holds(DisclosureClient(state.http, settings.peers["disclosure"], state.tokens))
    async with following_policy(app, tenants=True) as policy:
        state.people = People(state.database, state.sealer, state.house.billing, state.house.followed)
        state.collections = Collections(state.database, state.house, state.people)
        state.steps = Steps(state.database, state.house, state.people, holds)
        replays = Replays(state.database, state.house, state.sealer, holds, policy)
        state.ready_when["erasures replayed"] = replays.ready
        state.jobs.on(JOB, Sweeper(state.database, state.house, holds, policy))
        state.jobs.every("sweeps due", schedules.EVERY, schedules.Schedules(state.database, state.house, policy).tick)
        state.jobs.every("backups", backups.EVERY, backups.Backups(state.database).tick)
        state.ready_when["data map"] = lambda: _fits(state.house, policy)
        replaying = asyncio.create_task(replays.run())
        try:
            yield
        finally:
            replaying.cancel()
            await asyncio.gather(replaying, return_exceptions=True)
            await state.house.close()


async def _fits(house: House, policy: PolicyShelf) -> bool:
    """The map names only what the book in force knows. Raises DataMapFault with every misfit."""
    if not policy.ready:
        return False
    faults = house.map.check(policy.current())
    if faults:
        telemetry.log().error("the data map does not fit the policy book", faults=faults)
    return not faults
