"""What people said, read from their standing inside a transaction: for a verdict that must agree with what is being written."""

from typing import Any
from uuid import UUID

from chassis.db import Transaction
from services.consent import rules
from services.consent.contract import Kind, Regulation, State
from services.consent.rules import Matter, Said
from services.registry.contract import NotInBook, PolicyBook

_SAID = """
SELECT principal, kind, regulation, purpose, state, occurred_at, valid_until, notice, notice_version FROM standing
WHERE tenant = $1 AND principal = ANY ($2) AND (purpose = $3 OR kind = 'restriction') AND statement IS NOT NULL"""
_NOTICES = """
SELECT n.notice, n.version, n.purposes FROM notice_version n
JOIN unnest($2::text[], $3::int[]) named(notice, version) USING (notice, version) WHERE n.tenant = $1"""


async def said_of(
    tx: Transaction, book: PolicyBook, purpose: str, category: str, principals: list[UUID]
) -> tuple[dict[UUID, list[Said]], frozenset[int]]:
    """What each of them said of the purpose, and which of the notices they read speak of the category. Notices are numbered from 1."""
    rows = await tx.connection.fetch(_SAID, tx.tenant, principals, purpose)
    read = sorted({(row["notice"], row["notice_version"]) for row in rows if row["notice"]})
    numbers = {named: number for number, named in enumerate(read, start=1)}
    said: dict[UUID, list[Said]] = {}
    for row in rows:
        statement = Said(
            Matter(Kind(row["kind"]), Regulation(row["regulation"]), row["purpose"]),
            State(row["state"]),
            rules.microseconds(row["occurred_at"]),
            rules.microseconds(row["valid_until"]) if row["valid_until"] else None,
            numbers.get((row["notice"], row["notice_version"])),
        )
        said.setdefault(row["principal"], []).append(statement)
    wanted = set(book.elements_of(category))
    texts = (
        await tx.connection.fetch(_NOTICES, tx.tenant, *([*column] for column in zip(*read, strict=True)))
        if read
        else ()
    )
    covering = {
        numbers[row["notice"], row["version"]] for row in texts if wanted <= explained(book, row["purposes"], purpose)
    }
    return said, frozenset(covering)


def explained(book: PolicyBook, purposes: list[dict[str, Any]], purpose: str) -> set[str]:
    """The elements that a notice speaks of for a purpose."""
    found: set[str] = set()
    for category in (each for row in purposes if row["purpose"] == purpose for each in row["categories"]):
        try:
            found.update(book.elements_of(category))
        except NotInBook:
            continue  # of an earlier book that the present one no longer has
    return found
