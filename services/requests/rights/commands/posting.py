"""On paper to the registered address: for who has neither a browser nor a passphrase. Staff print and post by hand, and prove it.

Until it is printed the package lies locked like any other, under words that nobody was told.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden, Invalid
from services.requests.rights import queries
from services.requests.rights.commands import answering
from services.requests.rights.contract import (
    CannotPost,
    Letter,
    LetterUnknown,
    NotNow,
    PackagePosted,
    Post,
    Posted,
    ReceivedInFuture,
    Request,
    State,
)
from services.requests.rights.moves import moved
from services.requests.rights.office import Office
from services.requests.rights.package import passphrase
from services.requests.rights.package.unlock import unlock
from services.requests.rights.rules import clock as counting
from services.requests.rights.rules import kinds
from services.requests.rights.rules.way import must_stand_in
from services.requests.rights.tables import LetterRow, ProtectedRow, RequestRow


async def want(tx: Transaction, caller: Caller, row: RequestRow) -> None:
    """Whoever acts for her is refused always: from a refusal for some she would learn who lives under a protected identity. Raises
    CannotPost."""
    if caller.principal not in (None, row.principal):
        raise Forbidden("Only she herself, or the helpdesk for her, has it posted.")
    if row.principal is not None and await tx.session.get(ProtectedRow, (tx.tenant, row.principal)):
        raise CannotPost
    row.by_post = True


async def want_instead(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Request:
    """She can do nothing with a passphrase, and says so now. Raises CannotPost."""
    row = await queries.find(tx, office, caller, request, lock=True)
    if row.kind not in kinds.PACKED or row.transfer is not None or row.passphrase is not None:
        raise NotNow("Nothing of this request waits for a passphrase.", state=row.state)
    must_stand_in(State(row.state), {State.received, State.clarification, State.identified, State.awaiting_passphrase})
    await want(tx, caller, row)
    if row.state == State.awaiting_passphrase:
        await lock(tx, office, row)
        await tx.enqueue("rights.pack", row.id)
    return await queries.view(tx, row)


async def lock(tx: Transaction, office: Office, row: RequestRow) -> None:
    """All is collected. Who became a protected identity meanwhile is asked for a passphrase instead."""
    if await tx.session.get(ProtectedRow, (tx.tenant, row.principal)):
        row.by_post = False
        await answering.await_passphrase(tx, office, row)
        return
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, row.id)
    row.passphrase = key.seal("request", "passphrase", passphrase.draw().encode())
    row.state = State.packing


async def printed(tx: Transaction, office: Office, caller: Caller, request: UUID) -> str:
    """The report with every row, as a page to print. Who had it stands in the ledger."""
    row = await queries.find(tx, office, caller, request, lock=True)
    queries.must_decide(caller, row.party)
    must_stand_in(State(row.state), {State.printing})
    words = (await answering.open_sealed(tx, office, row, "passphrase")).decode()
    row.printed_at = clock.now()
    await _tell(tx, "request.printed", row, caller)
    return unlock(office.package(row.id), words).report


async def posted(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Post) -> Request:
    """Answered and closed in one move: what was printed is with the post, and no copy is left here."""
    row = await queries.find(tx, office, caller, request, lock=True)
    queries.must_decide(caller, row.party)
    must_stand_in(State(row.state), {State.printing})
    if await tx.session.get(ProtectedRow, (tx.tenant, row.principal)):
        raise CannotPost
    if row.printed_at is None:
        raise NotNow("Nobody has printed it yet.", state=row.state)
    row.posted = _proof(office, caller, wish, row.printed_at)
    await _tell(tx, "request.posted", row, caller)
    await answering.answer_posted(tx, office, row, Posted.model_validate(row.posted))
    return await queries.view(tx, row)


async def letter_posted(
    tx: Transaction, office: Office, caller: Caller, request: UUID, letter: UUID, wish: Post
) -> Letter:
    """One of our letters went by post."""
    row = await queries.find(tx, office, caller, request, lock=True)
    found = await tx.session.get(LetterRow, letter, with_for_update=True)
    if found is None or found.request != row.id or found.direction != "out" or found.body is None:
        raise LetterUnknown
    if row.principal is not None and await tx.session.get(ProtectedRow, (tx.tenant, row.principal)):
        raise CannotPost
    if found.posted is not None:
        raise NotNow("It was posted already.", state=row.state)
    found.state, found.sent_at, found.posted = "sent", clock.now(), _proof(office, caller, wish, found.made_at)
    return await queries.letter_view(tx, office, found)


def _proof(office: Office, caller: Caller, wish: Post, made_at: datetime) -> dict[str, Any]:
    """made_at: when there was something to post. Raises ReceivedInFuture and Invalid."""
    if wish.posted_on > counting.day_of(clock.now(), office.book.tz):
        raise ReceivedInFuture("It cannot have been posted later than today.")
    if wish.posted_on < counting.day_of(made_at, office.book.tz):
        raise Invalid("It cannot have been posted before it was there.")
    return {"by": caller.subject} | wish.model_dump(mode="json")


async def _tell(tx: Transaction, type: str, row: RequestRow, caller: Caller) -> None:
    said = PackagePosted(**moved(row), by=caller.subject)
    await tx.emit(type, said.model_dump(mode="json", exclude_none=True), row.principal)
