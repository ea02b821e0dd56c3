"""The embedded issuer. Any OpenID provider that issues the same tokens replaces it: services know only ISSUER and JWKS_URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from chassis import app as chassis_app
from services.identity import commands
from services.identity.clients import Shelf
from services.identity.eid import RelyingParty
from services.identity.routes import router
from services.identity.settings import Settings
from services.identity.tokens import OwnTokens, Signer
from services.registry.client import RegistryClient

_TIDY_EVERY = 300


def create_app() -> FastAPI:
    return chassis_app.create_app(
        "identity",
        Settings(),
        package=__package__,
        routers=[router],
        clients={"public", "internal", "seeder"},
        running=running,
    )


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    state, settings = app.state, app.state.settings
    state.signer = Signer.open(settings.issuer, settings.secrets_dir)
    state.shelf = Shelf(settings.clients_table, settings.secrets_dir, settings.issuer)
    state.register = RegistryClient(
        state.http, settings.peers.get("registry", ""), OwnTokens(state.signer, state.shelf)
    )
    state.eid = RelyingParty(settings, settings.eid, state.http) if settings.eid else None
    state.login_key = settings.secret("index.key")
    state.jobs.every("identity.tidy", _TIDY_EVERY, lambda: commands.tidy(state.database))
    yield
