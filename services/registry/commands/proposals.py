"""The book's life: proposed with its differences, its consequences counted, approved by somebody else, in force from its day.

Nothing is signed before the anonymizer said what the book would do to the records in the stores, and approved are exactly the
bytes, and the counts, that the approver saw.
"""

from datetime import date, datetime
from uuid import UUID

import orjson
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.db import Database, Transaction
from chassis.durable import Job
from chassis.ids import new_id
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import BookMisfits, Simulation, SimulationRequest
from services.registry.commands.book import LOCK, put_in_force
from services.registry.contract import (
    HOUSE,
    ApproveBook,
    BackDated,
    BookFaulty,
    NotWhatWasShown,
    OwnProposal,
    PolicyBook,
    PolicyInForce,
    PolicyProposed,
    PolicyRejected,
    Proposal,
    ProposalDecided,
    ProposalOutdated,
    ProposalUnchecked,
    ProposeBook,
    RejectBook,
    SameBook,
    VersionTaken,
)
from services.registry.contract.signed import canonical_book
from services.registry.queries import proposals
from services.registry.rules.book import begins, digest
from services.registry.rules.diff import differences

SIMULATE = "policy.simulate"

_KNOWN = """
SELECT true FROM policy_version WHERE version = $1
UNION SELECT true FROM policy_proposal WHERE version = $1 AND state IN ('checking', 'proposed')"""
_MAKE = """
INSERT INTO policy_proposal (tenant, id, version, valid_from, base, correction, reason, body, sha256, author, made_at, state, diff)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'checking', $12)"""
_CHECKED = """
UPDATE policy_proposal SET state = 'proposed', consequences = $2, simulated_at = $3, problem = NULL
WHERE id = $1 AND state IN ('checking', 'proposed')"""
_REFUSED = (
    "UPDATE policy_proposal SET state = 'refused', problem = $2 WHERE id = $1 AND state IN ('checking', 'proposed')"
)
_DECIDE = "UPDATE policy_proposal SET state = $2, decided_by = $3, decided_at = $4, decision = $5 WHERE id = $1"


async def fits(anonymizer: AnonymizerClient, book: PolicyBook) -> None:
    """Raises BookFaulty with everything that is wrong with the book itself and with the stores' fields it does not know."""
    try:
        await anonymizer.simulate(SimulationRequest(stores=[], proposed=book, as_of=_day_of(book)))
    except BookMisfits as misfits:
        errors = misfits.extra.get("errors", [])
        raise BookFaulty(f"{len(errors)} fault(s); see errors.", errors=errors) from None


async def propose(tx: Transaction, author: str, wish: ProposeBook, book: PolicyBook) -> Proposal:
    """Raises SameBook, VersionTaken, BackDated."""
    await tx.connection.execute(LOCK)
    base = await proposals.newest_book(tx)
    body, found = canonical_book(book), differences(base, book)
    if not found:
        raise SameBook
    if await tx.connection.fetchval(_KNOWN, book.version):
        raise VersionTaken(f"Version {book.version} was put in force, or is proposed; give this one another.")
    _refuse_back_dated(book, book.valid_from, wish.correction)
    id = new_id()
    told = orjson.dumps([row.model_dump(mode="json") for row in found]).decode()
    facts = (book.version, book.valid_from, base.version, wish.correction, wish.reason, body, digest(body), author)
    await tx.connection.execute(_MAKE, HOUSE, id, *facts, clock.now(), told)
    fact = PolicyProposed(proposal=id, version=book.version, sha256=digest(body), author=author)
    await tx.emit("policy.proposed", fact.model_dump(mode="json"))
    await tx.enqueue(SIMULATE, id)
    return await proposals.one(tx, id)


async def ask_again(tx: Transaction, proposal: UUID) -> Proposal:
    """The stores have changed since: count once more. Raises ProposalUnknown, ProposalDecided."""
    found = await proposals.one(tx, proposal, lock=True)
    _refuse_decided(found)
    await tx.enqueue(SIMULATE, proposal)
    return found


async def simulate(database: Database, anonymizer: AnonymizerClient, job: Job) -> None:
    """The job: what would this book do to the records in the stores, on the day it begins?"""
    async with database.transaction(HOUSE) as tx:
        found = await proposals.one(tx, job.id)
        book = PolicyBook.model_validate_json(await proposals.proposed_body(tx, job.id))
    if found.state not in ("checking", "proposed"):
        return
    try:
        told = await anonymizer.simulate(SimulationRequest(proposed=book, as_of=_day_of(book)))
    except BookMisfits as misfits:
        async with database.transaction(HOUSE) as tx:
            await tx.connection.execute(_REFUSED, job.id, _told(misfits))
        return
    async with database.transaction(HOUSE) as tx:
        await tx.connection.execute(_CHECKED, job.id, _consequences(told), clock.now())


async def approve(tx: Transaction, approver: str, proposal: UUID, wish: ApproveBook, key: OKPKey) -> Proposal:
    """Signs the book and puts it in force from its day; with its event, in one transaction.

    Raises ProposalUnknown, ProposalDecided, OwnProposal, ProposalUnchecked, NotWhatWasShown, ProposalOutdated, BackDated.
    """
    await tx.connection.execute(LOCK)
    found = await proposals.one(tx, proposal, lock=True)
    _refuse_decided(found)
    if approver == found.author:
        raise OwnProposal
    if found.simulated_at is None:
        raise ProposalUnchecked
    if (wish.sha256, wish.seen) != (found.sha256, found.simulated_at):
        raise NotWhatWasShown
    if (await proposals.newest_book(tx)).version != found.base:
        raise ProposalOutdated
    book = PolicyBook.model_validate_json(await proposals.proposed_body(tx, proposal))
    _refuse_back_dated(book, found.valid_from, found.correction)
    fact = PolicyInForce(
        version=book.version,
        valid_from=begins(book),
        sha256=found.sha256,
        how="approved",
        proposal=proposal,
        author=found.author,
        approver=approver,
    )
    await put_in_force(tx, book, fact, key)
    await tx.connection.execute(_DECIDE, proposal, "approved", approver, clock.now(), None)
    return await proposals.one(tx, proposal)


async def reject(tx: Transaction, by: str, proposal: UUID, wish: RejectBook) -> Proposal:
    """Raises ProposalUnknown, ProposalDecided."""
    found = await proposals.one(tx, proposal, lock=True)
    _refuse_decided(found)
    await tx.connection.execute(_DECIDE, proposal, "rejected", by, clock.now(), wish.reason)
    fact = PolicyRejected(proposal=proposal, version=found.version, by=by)
    await tx.emit("policy.rejected", fact.model_dump(mode="json"))
    return await proposals.one(tx, proposal)


def _day_of(book: PolicyBook) -> datetime:
    """When its consequences are counted: as it begins, or now where it has begun."""
    return max(clock.now(), begins(book))


def _refuse_back_dated(book: PolicyBook, valid_from: date, correction: bool) -> None:
    today = clock.now().astimezone(book.tz).date()
    if valid_from < today and not correction:
        raise BackDated(
            f"It begins on {valid_from}, and today is {today}. Give it a later day, or propose it as a correction: exports made "
            "before the approval stay as they were."
        )


def _refuse_decided(found: Proposal) -> None:
    if found.state not in ("checking", "proposed"):
        raise ProposalDecided(f"It is {found.state}.")


def _consequences(told: Simulation) -> str:
    return orjson.dumps([change.model_dump(mode="json") for change in told.changes]).decode()


def _told(misfits: BookMisfits) -> str:
    return "; ".join(f"{fault['path']}: {fault['problem']}" for fault in misfits.extra.get("errors", []))
