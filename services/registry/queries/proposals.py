"""Reads: what was proposed, and by which book it is measured."""

from typing import Any
from uuid import UUID

from chassis.db import Transaction
from services.registry.contract import PolicyBook, Proposal, Proposals, ProposalUnknown, VersionUnknown
from services.registry.queries.book import book_of

_COLUMNS = """
id AS proposal, version, valid_from, base, correction, reason, sha256, author, made_at, state, diff AS differences, consequences,
simulated_at, problem, decided_by, decided_at, decision"""
_ONE = f"SELECT {_COLUMNS} FROM policy_proposal WHERE id = $1"
_PAGE = f"SELECT {_COLUMNS} FROM policy_proposal WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2"
_NEWEST = "SELECT version, jws FROM policy_version ORDER BY known_from DESC LIMIT 1"
_BODY = "SELECT body FROM policy_proposal WHERE id = $1"


async def one(tx: Transaction, proposal: UUID, lock: bool = False) -> Proposal:
    """Raises ProposalUnknown."""
    row = await tx.connection.fetchrow(_ONE + (" FOR UPDATE" if lock else ""), proposal)
    if row is None:
        raise ProposalUnknown
    return _proposal(row)


async def page(tx: Transaction, after: UUID | None, limit: int) -> Proposals:
    rows = await tx.connection.fetch(_PAGE, after, limit + 1)
    shown = rows[:limit]
    return Proposals(
        items=[_proposal(row) for row in shown], next=str(shown[-1]["proposal"]) if len(rows) > limit else None
    )


async def newest_book(tx: Transaction) -> PolicyBook:
    """The version that was learned last, in force or yet to begin: what a change is measured by. Raises VersionUnknown."""
    row = await tx.connection.fetchrow(_NEWEST)
    if row is None:
        raise VersionUnknown("No policy book was put in force yet.")
    return book_of(row["jws"])


async def proposed_body(tx: Transaction, proposal: UUID) -> bytes:
    return await tx.connection.fetchval(_BODY, proposal)


def _proposal(row: Any) -> Proposal:
    return Proposal.model_validate(dict(row), strict=False)
