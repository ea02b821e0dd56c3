"""Who is who: the principal behind some identifiers, and every value a principal is known by.

Only here are people resolved across stores. Values are kept sealed and found by their blind index; each for the period in which it
was theirs, so that a number's next owner is somebody else. Billing is asked before a transaction opens, never inside.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis import clock
from chassis.crowd import Crowd
from chassis.db import Database, Transaction
from chassis.identifiers import BadIdentifier
from chassis.ids import new_id
from chassis.sealing import Sealer, Shredded, SubjectKey
from services.anonymizer.contract import (
    FindPeople,
    FindPrincipal,
    Forget,
    Forgotten,
    Identifier,
    IdentifiersConflict,
    IdentifierType,
    PrincipalForgotten,
    PrincipalLinked,
    PrincipalUnknown,
    StillAtWork,
)
from services.anonymizer.house import Billing
from services.anonymizer.rules.person import FINDS, Known, Person, normalised

_LATELY = 10.0  # seconds
_TABLE, _VALUE = "principal_identifier", "value"
_TOGETHER = 200
# By what billing finds a customer.
_OF_CUSTOMERS = frozenset({IdentifierType.customer, IdentifierType.email, IdentifierType.msisdn})

_FIND = """
SELECT DISTINCT principal FROM principal_identifier WHERE type = $1 AND index = $2
AND (valid_from IS NULL OR valid_from <= $3)
AND (valid_to IS NULL OR valid_to > $3)"""
_FIND_EACH = """
SELECT asked.n, array_agg(DISTINCT principal) AS principals
FROM unnest($1::text[], $2::bytea[], $3::timestamptz[]) WITH ORDINALITY asked(type, index, at, n)
JOIN principal_identifier i USING (type, index)
WHERE (valid_from IS NULL OR valid_from <= at) AND (valid_to IS NULL OR valid_to > at) GROUP BY asked.n"""
_OF = """
SELECT p.id AS principal, type, value, valid_from, valid_to FROM principal p
LEFT JOIN principal_identifier i ON i.principal = p.id WHERE p.id = ANY ($1) ORDER BY i.id"""
_MINT = "INSERT INTO principal (tenant, id, minted_at) VALUES ($1, $2, $3)"
_MINT_ALL = "INSERT INTO principal (tenant, id, minted_at) SELECT $1, id, $3 FROM unnest($2::uuid[]) id"
_LINK_ALL = """
INSERT INTO principal_identifier (tenant, id, principal, type, index, value, valid_from, valid_to)
SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::timestamptz[], $8::timestamptz[])"""
_LINK = """
INSERT INTO principal_identifier (tenant, id, principal, type, index, value, valid_from, valid_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING true"""
_CLOSE = """
UPDATE principal_identifier SET valid_to = $5
WHERE principal = $1 AND type = $2 AND index = $3 AND valid_from IS NOT DISTINCT FROM $4 AND valid_to IS DISTINCT FROM $5"""
# Linking and forgetting exclude each other: what is linked after the key was shredded would make a new one.
_STAYS = "SELECT true FROM principal WHERE id = $1 FOR SHARE"
_FORGOTTEN = "SELECT at FROM forgotten WHERE principal = $1"
_AT_WORK = """
SELECT EXISTS (SELECT FROM step WHERE principal = $1 AND state IN ('running', 'waiting') AND asked->>'verb' = 'erase')"""
_NOTE_FORGOTTEN = "INSERT INTO forgotten (tenant, principal, request, at) VALUES ($1, $2, $3, $4)"
_FORGET = "DELETE FROM principal WHERE id = $1"
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


@dataclass
class People:
    """Finding, minting and resolving."""

    database: Database
    sealer: Sealer
    billing: Billing
    followed: Callable[[UUID, list[list[Known]]], Awaitable[list[list[Known]]]]
    _followed: dict[UUID, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The stores of one request, and of many, ask for the same people at the same moment.
        self._persons = Crowd(self._resolved)

    async def principal(self, tenant: UUID, wish: FindPrincipal) -> UUID:
        """The person of these identifiers, minted if nobody is known by them. Raises IdentifiersConflict."""
        [known], _ = await self._completed(tenant, [_read(wish)])
        try:
            return await self._found_or_minted(tenant, known)
        except PrincipalUnknown:
            # Forgotten between being found and being linked: whoever asks now is somebody new.
            return await self._found_or_minted(tenant, known)

    async def _found_or_minted(self, tenant: UUID, known: list[Known]) -> UUID:
        async with self.database.transaction(tenant) as tx:
            # Two who ask for the same person at once would mint two: they wait for each other at the smallest common index.
            for index in sorted({self._index(tenant, one).hex() for one in known if one.type in FINDS}):
                await tx.connection.execute(_ONE_AT_A_TIME, index)
            found = await self._find(tx, known) or await self._mint(tx)
            await self._link(tx, found, known)
        return found

    async def lookup(self, tenant: UUID, wish: FindPrincipal) -> UUID | None:
        """The person of these identifiers, or None. Raises IdentifiersConflict."""
        [known], _ = await self._completed(tenant, [_read(wish)])
        async with self.database.transaction(tenant) as tx:
            return await self._find(tx, known)

    async def known(self, tenant: UUID, wish: FindPeople) -> list[UUID | None]:
        """Whose each identifier is, or was: found by one statement, and minted for whom only billing knows. None for nobody or several."""
        asked = [_readable(one) for one in wish.identifiers]
        wanted = list(dict.fromkeys(one for one in asked if one is not None and one.type in FINDS))
        found = await self._found_each(tenant, wanted)
        customers = await self._customers(tenant, [one for one in wanted if one not in found])
        minted: dict[str, UUID | None] = {}
        for some in _some_of({_identity(each): each for each in customers.values()}):
            minted |= await self._found_or_minted_together(tenant, some)
        found |= {one: minted[_identity(customer)] for one, customer in customers.items()}
        return [found.get(one) if one else None for one in asked]

    async def _found_or_minted_together(
        self, tenant: UUID, customers: dict[str, list[Known]]
    ) -> dict[str, UUID | None]:
        """Like one by one, in one transaction; None for whose values belong to several who were known before."""
        findable = [(name, one) for name, customer in customers.items() for one in customer if one.type in FINDS]
        now, whose = clock.now(), dict[str, set[UUID]]()
        async with self.database.transaction(tenant) as tx:
            await tx.lock(*(self._index(tenant, one).hex() for _, one in findable))
            asked = [(one.type.value, self._index(tenant, one), one.from_ or now) for _, one in findable]
            for row in await tx.connection.fetch(_FIND_EACH, *zip(*asked, strict=True)):
                whose.setdefault(findable[row["n"] - 1][0], set()).update(row["principals"])
            new = {name: new_id() for name in customers if name not in whose}
            await self._mint_all(tx, {id: customers[name] for name, id in new.items()})
        return new | {name: next(iter(those)) if len(those) == 1 else None for name, those in whose.items()}

    async def _mint_all(self, tx: Transaction, people: dict[UUID, list[Known]]) -> None:
        if not people:
            return
        ids = list(people)
        await tx.connection.execute(_MINT_ALL, tx.tenant, ids, clock.now())
        keys = await self.sealer.keys_for_sealing(tx.connection, tx.tenant, ids)
        rows, linked = [], []
        for id, known in people.items():
            for one in dict.fromkeys(known):
                index = self._index(tx.tenant, one)
                sealed = keys[id].seal(_TABLE, _VALUE, one.value.encode())
                rows.append((new_id(), id, one.type.value, index, sealed, one.from_, one.to))
                if one.type in FINDS:
                    linked.append(("principal.linked", id, _linked(id, one)))
        await tx.connection.execute(_LINK_ALL, tx.tenant, *zip(*rows, strict=True))
        await tx.emit_many(linked)

    async def _found_each(self, tenant: UUID, wanted: list[Known]) -> dict[Known, UUID | None]:
        now = clock.now()
        asked = [(one.type.value, self._index(tenant, one), one.from_ or now) for one in wanted]
        async with self.database.transaction(tenant) as tx:
            rows = await tx.connection.fetch(_FIND_EACH, *zip(*asked, strict=True)) if asked else []
        return {wanted[n - 1]: principals[0] if len(principals) == 1 else None for n, principals in rows}

    async def _customers(self, tenant: UUID, wanted: list[Known]) -> dict[Known, list[Known]]:
        """All that billing knows of the one customer behind each value; values of nobody, or of several, are left out."""
        now = clock.now()
        theirs: dict[tuple[IdentifierType, str], list[tuple[Known, list[Known]]]] = {}
        for customer in await self.billing.people(tenant, wanted, now) if wanted else []:
            for known in customer:
                theirs.setdefault((known.type, known.value), []).append((known, customer))
        found = {}
        for one in wanted:
            held = [its for known, its in theirs.get((one.type, one.value), ()) if known.holds_at(one.from_ or now)]
            if len({_identity(customer) for customer in held}) == 1:
                found[one] = held[0]
        return found

    async def person(self, tenant: UUID, principal: UUID) -> Person:
        """Raises PrincipalUnknown."""
        [person] = await self.persons(tenant, [principal])
        return person

    async def persons(self, tenant: UUID, principals: Sequence[UUID]) -> list[Person]:
        """Everything these people are known by, billing's latest included, and what it knew before it erased. Raises PrincipalUnknown
        when one of them is."""
        return await self._persons(tenant, principals)

    async def _resolved(self, tenant: UUID, asked: Sequence[Sequence[UUID]]) -> list[list[Person]]:
        wanted = sorted({principal for principals in asked for principal in principals})
        async with self.database.transaction(tenant) as tx:
            known = await self._known(tx, wanted)
        completed, in_vain = await self._completed(tenant, list(known.values()))
        complete = dict(zip(wanted, completed, strict=True))
        self._followed |= dict.fromkeys((wanted[place] for place in in_vain), time.monotonic())
        await self._follow_lately(tenant, complete)
        if changed := [principal for principal in wanted if set(complete[principal]) != set(known[principal])]:
            async with self.database.transaction(tenant) as tx:
                for principal in changed:
                    await self._link(tx, principal, complete[principal])
                known |= await self._known(tx, changed)
        persons = {principal: Person(principal, tenant, tuple(theirs)) for principal, theirs in known.items()}
        return [[persons[principal] for principal in principals] for principals in asked]

    async def _follow_lately(self, tenant: UUID, people: dict[UUID, list[Known]]) -> None:
        """Adds what stands beside it elsewhere. It is kept, so the steps of one request need not all look."""
        now = time.monotonic()
        self._followed = {each: at for each, at in self._followed.items() if now - at < _LATELY}
        if new := [principal for principal in people if principal not in self._followed]:
            for principal, found in zip(new, await self.followed(tenant, [people[one] for one in new]), strict=True):
                people[principal] = people[principal] + found
            self._followed |= dict.fromkeys(new, now)

    async def forget(self, tenant: UUID, principal: UUID, wish: Forget) -> Forgotten:
        """Every identifier goes and the key is shredded, in one transaction. Raises PrincipalUnknown and StillAtWork."""
        async with self.database.transaction(tenant) as tx:
            await tx.connection.execute(_ONE_AT_A_TIME, str(principal))
            at = await tx.connection.fetchval(_FORGOTTEN, principal)
            if at is None:
                at = await self._forget(tx, principal, wish.request)
        return Forgotten(principal=principal, forgotten_at=at)

    async def _forget(self, tx: Transaction, principal: UUID, request: UUID) -> datetime:
        if await tx.connection.fetchval(_AT_WORK, principal):
            raise StillAtWork
        if await tx.connection.execute(_FORGET, principal) == "DELETE 0":
            raise PrincipalUnknown
        await self.sealer.shred(tx.connection, tx.tenant, principal)
        at = clock.now()
        await tx.connection.execute(_NOTE_FORGOTTEN, tx.tenant, principal, request, at)
        told = PrincipalForgotten(principal=principal, request=request)
        await tx.emit("principal.forgotten", told.model_dump(mode="json"), subject=principal)
        return at

    async def _completed(self, tenant: UUID, people: list[list[Known]]) -> tuple[list[list[Known]], list[int]]:
        """Each one's values and all that billing knows of the customer behind them; and the places of those in whose case nothing was
        found, neither there nor beside what they are known by. Raises IdentifiersConflict for two people in one."""
        customers = await self._customers_of(tenant, people)
        nobodys = [place for place, theirs in enumerate(customers) if not theirs]
        more = await self.followed(tenant, [people[place] for place in nobodys]) if nobodys else []
        if any(more):
            people = list(people)
            for place, found in zip(nobodys, more, strict=True):
                people[place] = [*people[place], *found]
            customers = await self._customers_of(tenant, people)
        in_vain = [place for place, found in zip(nobodys, more, strict=True) if not found]
        return [_complete(known, theirs) for known, theirs in zip(people, customers, strict=True)], in_vain

    async def _customers_of(self, tenant: UUID, people: list[list[Known]]) -> list[list[list[Known]]]:
        """The customers that each one's values belong to, by billing."""
        now, held = clock.now(), dict[tuple[IdentifierType, str], list[tuple[Known, int]]]()
        customers = await self.billing.people(tenant, [one for known in people for one in known], now)
        for place, customer in enumerate(customers):
            for its in customer:
                held.setdefault((its.type, its.value), []).append((its, place))
        found = []
        for known in people:
            theirs = {
                place
                for one in known
                for its, place in held.get((one.type, one.value), ())
                if one.type in _OF_CUSTOMERS and _at_once(its, one, now)
            }
            found.append([customers[place] for place in sorted(theirs)])
        return found

    async def _find(self, tx: Transaction, known: list[Known]) -> UUID | None:
        now, principals = clock.now(), set()
        for one in known:
            if one.type in FINDS:
                rows = await tx.connection.fetch(_FIND, one.type.value, self._index(tx.tenant, one), one.from_ or now)
                principals |= {row["principal"] for row in rows}
        if len(principals) > 1:
            raise IdentifiersConflict
        return next(iter(principals), None)

    async def _mint(self, tx: Transaction) -> UUID:
        principal = new_id()
        await tx.connection.execute(_MINT, tx.tenant, principal, clock.now())
        return principal

    async def _link(self, tx: Transaction, principal: UUID, known: list[Known]) -> None:
        """Raises PrincipalUnknown for somebody who was forgotten meanwhile."""
        if not await tx.connection.fetchval(_STAYS, principal):
            raise PrincipalUnknown
        key = await self.sealer.key_for_sealing(tx.connection, tx.tenant, principal)
        for one in dict.fromkeys(known):
            index = self._index(tx.tenant, one)
            sealed = key.seal(_TABLE, _VALUE, one.value.encode())
            row = (tx.tenant, new_id(), principal, one.type.value, index, sealed, one.from_, one.to)
            is_new = await tx.connection.fetchval(_LINK, *row)
            if not is_new:
                ended = await tx.connection.execute(_CLOSE, principal, one.type.value, index, one.from_, one.to)
                is_new = ended == "UPDATE 1"
            if is_new and one.type in FINDS:
                await tx.emit("principal.linked", _linked(principal, one), subject=principal)

    async def _known(self, tx: Transaction, principals: Sequence[UUID]) -> dict[UUID, list[Known]]:
        keys = await self.sealer.keys(tx.connection, tx.tenant, principals)
        rows = await tx.connection.fetch(_OF, principals)
        if len({row["principal"] for row in rows}) < len(principals):
            raise PrincipalUnknown
        if len(keys) < len(principals):
            raise Shredded
        known: dict[UUID, list[Known]] = {principal: [] for principal in principals}
        for row in rows:
            if row["type"]:
                known[row["principal"]].append(_opened(keys[row["principal"]], row))
        return known

    def _index(self, tenant: UUID, known: Known) -> bytes:
        return self.sealer.blind_index(tenant, known.type.value, known.value)


def _read(wish: FindPrincipal) -> list[Known]:
    return [Known(one.type, normalised(one.type, one.value), one.from_, one.to) for one in wish.identifiers]


def _complete(known: list[Known], customers: list[list[Known]]) -> list[Known]:
    if len({_identity(customer) for customer in customers}) > 1:
        raise IdentifiersConflict("They belong to different customers.")
    found = [one for customer in customers for one in customer]
    dated = {(one.type, one.value) for one in found if one.from_}
    # What billing dates is not kept undated: it would be theirs in somebody else's time too.
    return [*found, *(one for one in known if (one.type, one.value) not in dated and one not in found)]


def _at_once(its: Known, one: Known, now: datetime) -> bool:
    """Whether a customer's value was theirs at the time for which it is asked, as `Billing.people` finds them."""
    since = one.from_ or now
    began = its.from_ is None or its.from_ <= since or (one.to is not None and its.from_ < one.to)
    return began and (its.to is None or its.to > since)


def _linked(principal: UUID, one: Known) -> dict[str, Any]:
    linked = PrincipalLinked(principal=principal, type=one.type, from_=one.from_, to=one.to)
    return linked.model_dump(mode="json", by_alias=True)


def _some_of(customers: dict[str, list[Known]]) -> Iterator[dict[str, list[Known]]]:
    """Some at a time: each takes a lock for every value."""
    names = list(customers)
    for at in range(0, len(names), _TOGETHER):
        yield {name: customers[name] for name in names[at : at + _TOGETHER]}


def _readable(one: Identifier) -> Known | None:
    try:
        return Known(one.type, normalised(one.type, one.value), one.from_, one.to)
    except BadIdentifier:
        return None


def _identity(customer: list[Known]) -> str:
    """One person may be a customer twice; a personnummer tells it, else the customer number does."""
    by_type = {one.type: one.value for one in customer}
    return by_type.get(IdentifierType.personnummer) or by_type[IdentifierType.customer]


def _opened(key: SubjectKey, row) -> Known:
    value = key.open(_TABLE, _VALUE, row["value"]).decode()
    return Known(IdentifierType(row["type"]), value, row["valid_from"], row["valid_to"])
