"""The consent service: `create_app` for any number of processes, each a decision point with a lease of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from joserfc.jwk import OKPKey

from chassis import app as chassis_app
from chassis.auth import Caller, Verifier
from chassis.durable import PASSING
from chassis.errors import Unavailable
from chassis.hot import in_front
from chassis.ledger.follow import Follower
from chassis.settings import Settings
from chassis.together import Together
from services.anonymizer.client import AnonymizerClient
from services.consent import short_road
from services.consent.commands import notices, people, statements
from services.consent.commands.desk import Desk
from services.consent.contract import CONSENT_INFO, camara_refusal
from services.consent.decisions import DecisionPoint
from services.consent.jobs import BOOK_TICK, TICK, Clockwork
from services.consent.leases import Barrier, Replica
from services.consent.memory import Memory
from services.consent.routes import caches, calls, captures, consents, imports, replays
from services.registry.client import PolicyShelf, following_policy

IMAGE_EVERY = 60.0  # seconds between two looks at whether a new one is due
CLIENTS = {"public", "internal", "rights", "webhooks"}


def create_app(settings: Settings | None = None) -> FastAPI:
    app = chassis_app.create_app(
        "consent",
        settings or Settings(),
        package=__package__,
        routers=[consents.router, calls.router, caches.router, captures.router, imports.router, replays.router],
        clients=CLIENTS,
        running=running,
        dialects={CONSENT_INFO: camara_refusal},
    )
    in_front(app, short_road.PATHS)
    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.receipt_key = OKPKey.import_key(state.settings.jwk("signing"))
    # Who logged in on the way to a question for consent.
    state.people = Verifier(
        issuer=state.settings.issuer,
        jwks_url=state.settings.jwks_url,
        audience="public",
        clients=frozenset({captures.CLIENT}),
    )
    memory = Memory()
    state.together = Together(state.database, statements.record_together, statements.name, notices.name)
    async with following_policy(app) as shelf, state.database.system_pool(4) as pool:
        replica = Replica(state.database, memory, lambda: state.decisions.use(_book(shelf)))
        state.decisions = DecisionPoint(memory, replica.may_answer)
        state.barrier = Barrier(pool, state.sequencer.grown)

        async def fresh() -> bool:
            return replica.may_answer()

        state.ready_when["decisions"] = fresh
        state.own_desk = lambda: _own_desk(app)
        clockwork = Clockwork(state.database, state.own_desk)
        state.jobs.every("consent.clock", TICK, clockwork.tick)
        state.jobs.every("consent.book", BOOK_TICK, clockwork.follow_book)
        state.jobs.every("consent.image", IMAGE_EVERY, replica.keep_image)
        anonymizer = AnonymizerClient(state.http, state.settings.peers["anonymizer"], state.tokens)
        forgotten = Follower(anonymizer, state.database, "forgotten", people.forget, ("principal.forgotten",))
        state.tasks.append(asyncio.create_task(forgotten.run(), name="forgotten"))
        holding = asyncio.create_task(replica.run(), name="lease")
        state.tasks.append(holding)
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            # A lease nobody gave back runs out by itself.
            with contextlib.suppress(*PASSING):
                await replica.give_up()
            await state.people.close()


def _own_desk(app: FastAPI) -> Desk:
    """For what happens by itself: nobody calls, so the service acts in its own name."""
    state = app.state
    itself = Caller("consent", "consent", "consent", "client", None, frozenset(), frozenset(), None, 0)
    return Desk(state.policy.current(), state.receipt_key, state.settings.issuer, itself)


def _book(shelf: PolicyShelf):
    """The book in force; None where there is none yet."""
    try:
        return shelf.current()
    except Unavailable:
        return None
