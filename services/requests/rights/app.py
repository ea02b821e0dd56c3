"""Rights: what people ask of the operator, from intake to a closed request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI

from chassis import app as chassis_app
from chassis.client import trust
from chassis.hot import in_front
from chassis.ledger.follow import Follower
from chassis.mail import Mail
from chassis.sms import Sms
from chassis.together import Together
from services.anonymizer.client import AnonymizerClient
from services.consent.client import ConsentClient
from services.registry.client import following_policy
from services.requests.rights import short_road
from services.requests.rights.commands import cascades
from services.requests.rights.helpdesk import Helpdesk
from services.requests.rights.jobs import Work
from services.requests.rights.office import Office
from services.requests.rights.package.builders import Builders
from services.requests.rights.peers import Peers
from services.requests.rights.post import Post
from services.requests.rights.routes import router
from services.requests.rights.settings import Settings
from services.requests.rights.waiting import Waiting

_OUTSIDE = 100  # connections to whoever is not of this house


def create_app(settings: Settings | None = None) -> FastAPI:
    app = chassis_app.create_app(
        "rights",
        settings or Settings(),
        package=__package__,
        routers=[router],
        clients={"public", "internal", "webhooks"},
        running=running,
    )
    in_front(app, short_road.PATHS)
    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    state, settings = app.state, app.state.settings
    # Connections of their own: who never answers holds none of those by which the house's own services are asked.
    outside = httpx2.AsyncClient(trust_env=False, verify=trust(), limits=httpx2.Limits(max_connections=_OUTSIDE))
    async with following_policy(app) as policy, outside:
        state.office = Office.open(settings, policy)
        anonymizer = AnonymizerClient(state.http, settings.peers["anonymizer"], state.tokens)
        consent = ConsentClient(state.http, settings.peers["consent"], state.tokens)
        post = Post(Mail(settings), Sms(settings, outside))
        work = Work(
            state.database,
            state.office,
            anonymizer,
            consent,
            post,
            Helpdesk(settings, outside),
            Peers(outside, not state.office.https_only),
            builders := Builders(state.office.fresh, settings.builders_rest),
        )
        work.register(state.jobs)
        state.intake = Together(state.database, work.receive)
        state.waiting = Waiting(state.database, state.office, state.sequencer.grown)
        withdrawals = Follower(
            consent, state.database, "cascades", work.cascade, cascades.FOLLOWED, anew=cascades.tell_all_again
        )
        state.tasks.append(asyncio.create_task(withdrawals.run(), name="cascades"))
        try:
            yield
        finally:
            await builders.close()
