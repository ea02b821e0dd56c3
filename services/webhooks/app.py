"""The webhooks service: follows the public services' feeds, and delivers to whoever subscribed."""

import asyncio
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from functools import partial

import httpx2
from fastapi import FastAPI
from joserfc.jwk import OKPKey

from chassis import app as chassis_app
from chassis.client import ServiceClient, trust
from chassis.ledger.follow import RunFollower
from chassis.sealing import Sealer
from services.webhooks import commands
from services.webhooks.contract import EVENT_TYPES, FEEDS, URGENT
from services.webhooks.jobs import Sender, spread
from services.webhooks.routes import router
from services.webhooks.settings import Settings

_ABREAST = 64  # deliveries of what is not urgent
_GATHERED = 0.25  # seconds in which what is not urgent comes together


def create_app(settings: Settings | None = None) -> FastAPI:
    return chassis_app.create_app(
        "webhooks",
        settings or Settings(),
        package=__package__,
        routers=[router],
        clients={"public", "internal", "registry"},
        running=running,
    )


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.sealer = Sealer(state.settings.secrets_dir / "epochs", state.settings.secret("index.key"))
    key = OKPKey.import_key(state.settings.jwk("signing")).private_key
    async with httpx2.AsyncClient(
        trust_env=False, verify=trust(), follow_redirects=False, limits=httpx2.Limits(max_connections=500)
    ) as http:
        sender = Sender(state.database, state.sealer, key, http, state.settings.loopback)
        state.jobs.on(commands.DELIVER, sender.deliver, abreast=_ABREAST)
        state.jobs.on(commands.DELIVER_NOW, sender.deliver)
        state.jobs.on(commands.SPREAD, partial(spread, state.database))
        followers = [
            asyncio.create_task(each.run(), name=f"feed {each.name}")
            for feed in FEEDS
            for each in (_follower(app, feed, feed, EVENT_TYPES - URGENT, _GATHERED), *_urgent(app, feed))
        ]
        state.tasks.extend(followers)
        try:
            yield
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)


def _urgent(app: FastAPI, feed: str) -> list[RunFollower]:
    """Whoever imports a million consents makes a feed that takes minutes to hear; these are heard beside it."""
    return [_follower(app, feed, "consent.recording", URGENT)] if feed == "consent" else []


def _follower(app: FastAPI, feed: str, name: str, types: Set[str], pause: float = 0) -> RunFollower:
    client = ServiceClient(app.state.http, app.state.settings.peers[feed], app.state.tokens, feed)
    return RunFollower(client, app.state.database, name, commands.fan_out, sorted(types), pause)
