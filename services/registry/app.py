"""The registry's process: puts the reviewed book in force at start, then serves it, signed, to all it concerns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from joserfc.jwk import OKPKey

import chassis.app
from chassis import clock
from services.registry.books import read_book
from services.registry.commands.book import put_in_force
from services.registry.contract import VersionUnknown
from services.registry.queries.book import version_in_force
from services.registry.routes import routers
from services.registry.settings import Settings

CLIENTS = frozenset({"public", "internal", "consent", "rights", "disclosure", "anonymizer", "webhooks"})
_TRY_AGAIN = 1.0


def create_app(settings: Settings | None = None) -> FastAPI:
    """Raises BookRefused, with every fault, when the book in the file may not be put in force."""
    settings = settings or Settings()
    app = chassis.app.create_app(
        "registry", settings, package=__package__, routers=routers, clients=CLIENTS, running=_running
    )
    app.state.book = read_book(settings.book_file)
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.signing_key = OKPKey.import_key(state.settings.jwk("signing"))
    state.ready_when["policy"] = lambda: _in_force(app)
    state.put_in_force = False
    state.jobs.every("policy", _TRY_AGAIN, lambda: _put_in_force(app))
    yield


async def _put_in_force(app: FastAPI) -> None:
    """Once; tried again while the schema is not there yet or the database is away."""
    if not app.state.put_in_force:
        await put_in_force(app.state.database, app.state.book, app.state.signing_key)
        app.state.put_in_force = True


async def _in_force(app: FastAPI) -> bool:
    now = clock.now()
    try:
        await version_in_force(app.state.database, now, now)
    except VersionUnknown:
        return False
    return app.state.put_in_force
