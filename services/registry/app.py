"""The registry's process: the reviewed book is its first; each later one is proposed and approved here, and served, signed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from joserfc.jwk import OKPKey

import chassis.app
from chassis import clock, telemetry
from chassis.client import ServiceClient
from chassis.db import Transaction
from chassis.ledger.events import Event
from chassis.ledger.follow import Follower
from chassis.mail import Mail
from services.anonymizer.client import AnonymizerClient
from services.registry.books import read_book
from services.registry.commands import access, assessments, breach_letters, breaches, changes
from services.registry.commands.book import begin_with
from services.registry.commands.findings import look, look_into_stores
from services.registry.commands.proposals import SIMULATE, simulate
from services.registry.commands.tenants import conclude, note_deletion
from services.registry.contract import VersionUnknown
from services.registry.contract.signed import canonical_book
from services.registry.queries.book import book_of_today, version_in_force, versions
from services.registry.routes import routers
from services.registry.rules.book import digest
from services.registry.settings import Settings

CLIENTS = frozenset({"public", "internal", "identity", "consent", "rights", "disclosure", "anonymizer", "webhooks"})
_TRY_AGAIN = 1.0
_LOOK_AGAIN = 2.0
_COUNT_AGAIN = 30.0
# Every store is sampled for it.
_LOOK_INTO_STORES = 3600.0


def create_app(settings: Settings | None = None) -> FastAPI:
    """Raises BookRefused, with every fault, when the book in the file may not be put in force."""
    settings = settings or Settings()
    app = chassis.app.create_app(
        "registry",
        settings,
        package=__package__,
        routers=routers,
        clients=CLIENTS,
        running=_running,
        shared=("policy.in_force",),
    )
    app.state.book = read_book(settings.book_file)
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.signing_key = OKPKey.import_key(state.settings.jwk("signing"))
    state.ready_when["policy"] = lambda: _in_force(app)
    state.anonymizer = AnonymizerClient(state.http, state.settings.peers["anonymizer"], state.tokens)
    state.begun = False
    state.jobs.every("policy", _TRY_AGAIN, lambda: _begin(app))
    mail = Mail(state.settings)
    state.jobs.on(changes.ANNOUNCE, partial(changes.tell_everybody, state.database))
    # A mail server may be away for days.
    state.jobs.on(changes.MAIL, partial(changes.mail, state.database, mail), deliveries=1000)
    state.jobs.on(changes.DECIDED, partial(changes.tell_decision, state.database))
    state.jobs.on(breach_letters.TELL, partial(breach_letters.tell_everybody, state.database))
    state.jobs.on(breach_letters.MAIL, partial(breach_letters.mail, state.database, mail), deliveries=1000)
    state.jobs.on(breach_letters.PROVEN, partial(breach_letters.count_as_told, state.database))
    state.jobs.every("changes", _LOOK_AGAIN, lambda: _go_on(app))
    state.jobs.every("access", _LOOK_AGAIN, lambda: _keep_time(app))
    state.jobs.on(SIMULATE, partial(simulate, state.database, state.anonymizer))
    deletions = Follower(state.anonymizer, state.database, "deletions", note_deletion, ("erasure.done",))
    state.tasks.append(asyncio.create_task(deletions.run(), name="deletions"))
    state.jobs.every("findings", _COUNT_AGAIN, partial(look, state.database, state.anonymizer))
    into_stores = partial(look_into_stores, state.database, state.anonymizer)
    state.jobs.every("drift", _LOOK_INTO_STORES, into_stores, at_once=False)
    webhooks = ServiceClient(state.http, state.settings.peers["webhooks"], state.tokens, "webhooks")
    delivered = Follower(webhooks, state.database, "webhooks", _note_delivery, ("delivery.made",))
    state.tasks.append(asyncio.create_task(delivered.run(), name="deliveries"))
    state.jobs.every("endings", _COUNT_AGAIN, partial(conclude, state.database, state.anonymizer, state.signing_key))
    yield


async def _note_delivery(tx: Transaction, event: Event) -> None:
    """A receiver took something of ours that has to be proven: a notice of a change, or a letter about a breach."""
    await changes.note_delivery(tx, event)
    await breach_letters.note_delivery(tx, event)


async def _begin(app: FastAPI) -> None:
    """Once; tried again while the schema is not there yet or the database is away."""
    if not app.state.begun:
        if not await begin_with(app.state.database, app.state.book, app.state.signing_key):
            await _compare(app)
        app.state.begun = True


async def _compare(app: FastAPI) -> None:
    """The file of a house that has a book is only what somebody may propose; who expected more finds it in the log."""
    newest = (await versions(app.state.database))[-1]
    if newest.sha256 != digest(canonical_book(app.state.book)):
        telemetry.log().warning(
            "the reviewed file is not the book in force; propose it", file=app.state.book.version, book=newest.version
        )


async def _keep_time(app: FastAPI) -> None:
    """Once there is a book: its periods say what is due."""
    if app.state.begun:
        database = app.state.database
        book = await book_of_today(database)
        await access.keep_time(database, book)
        await assessments.remind(database, book)
        await breaches.remind(database, await versions(database))


async def _go_on(app: FastAPI) -> None:
    if app.state.begun:
        await changes.go_on(app.state.database)


async def _in_force(app: FastAPI) -> bool:
    now = clock.now()
    try:
        await version_in_force(app.state.database, now, now)
    except VersionUnknown:
        return False
    return app.state.begun
