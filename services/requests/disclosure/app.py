"""Disclosure: orders from authorities. Only the internal edge and the anonymizer call it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chassis import app as chassis_app
from chassis.settings import Settings
from services.anonymizer.client import AnonymizerClient
from services.registry.client import following_policy
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.jobs import Work
from services.requests.disclosure.routes import router


def create_app(settings: Settings | None = None) -> FastAPI:
    return chassis_app.create_app(
        "disclosure",
        settings or Settings(),
        package=__package__,
        routers=[router],
        clients={"internal", "anonymizer"},
        running=running,
    )


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    state, settings = app.state, app.state.settings
    async with following_policy(app) as policy:
        state.desk = Desk.open(settings, policy, state.database)
        anonymizer = AnonymizerClient(state.http, settings.peers["anonymizer"], state.tokens)
        Work(state.database, state.desk, anonymizer).register(state.jobs)
        yield
