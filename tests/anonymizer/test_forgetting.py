"""A person who was erased is forgotten: nobody is known by the principal, and the identifiers are a stranger's."""

import asyncio
import json
from uuid import uuid4

import pytest

from sample.cases import PEOPLE, PRIVATE
from services.anonymizer.contract import (
    CollectionRequest,
    FindPrincipal,
    Identifier,
    IdentifierType,
    PrincipalUnknown,
    StillAtWork,
    Verb,
)
from tests.anonymizer.conftest import House


def stranger() -> FindPrincipal:
    return FindPrincipal(identifiers=[Identifier(type=IdentifierType.email, value=f"{uuid4()}@example.com")])


async def test_a_forgotten_person_leaves_no_identifier_and_no_key(house: House):
    wish, request = stranger(), uuid4()
    principal = await house.client.principal(wish, tenant=PRIVATE.id)
    await house.step(Verb.erase, "authlog", principal)
    forgotten = await house.client.forget(principal, request, tenant=PRIVATE.id)
    for table, column in (("principal", "id"), ("principal_identifier", "principal"), ("subject_key", "subject")):
        assert await house.rows("wardline", f"SELECT FROM anonymizer.{table} WHERE {column} = $1", principal) == []
    assert await house.client.forget(principal, request, tenant=PRIVATE.id) == forgotten
    told = [one for one in await house.events("principal.forgotten") if one["subject"] == str(principal)]
    assert [one["data"] for one in told] == [{"principal": str(principal), "request": str(request)}]


async def test_whoever_asks_later_with_the_same_identifiers_is_new_and_finds_nothing(house: House):
    wish = stranger()
    principal = await house.client.principal(wish, tenant=PRIVATE.id)
    await house.client.forget(principal, uuid4(), tenant=PRIVATE.id)
    assert await house.client.lookup(wish, tenant=PRIVATE.id) is None
    with pytest.raises(PrincipalUnknown):
        await house.step(Verb.preview, "authlog", principal)
    with pytest.raises(PrincipalUnknown):
        collecting = CollectionRequest(step=uuid4(), store="authlog", principal=principal)
        async with house.client.collect(collecting, tenant=PRIVATE.id):
            raise AssertionError("somebody was collected")
    again = await house.client.principal(wish, tenant=PRIVATE.id)
    assert again != principal
    assert not any((await house.collected("authlog", again)).values())


async def test_nobody_is_forgotten_while_an_erasure_waits(house: House):
    principal, step = await house.client.principal(stranger(), tenant=PRIVATE.id), uuid4()
    await house.step(Verb.erase, "mailbox", principal, step=step)
    with pytest.raises(StillAtWork):
        await house.client.forget(principal, uuid4(), tenant=PRIVATE.id)
    with pytest.raises(PrincipalUnknown):
        await house.client.forget(uuid4(), uuid4(), tenant=PRIVATE.id)


async def test_to_be_forgotten_and_asked_for_at_once_leaves_no_key_without_a_person(house: House):
    for _ in range(5):
        wish = stranger()
        principal = await house.client.principal(wish, tenant=PRIVATE.id)
        more = FindPrincipal(identifiers=[*wish.identifiers, *stranger().identifiers])
        asked = [house.client.principal(more, tenant=PRIVATE.id) for _ in range(3)]
        await asyncio.gather(house.client.forget(principal, uuid4(), tenant=PRIVATE.id), *asked)
    orphans = await house.rows(
        "wardline",
        "SELECT FROM anonymizer.subject_key k WHERE NOT EXISTS (SELECT FROM anonymizer.principal p WHERE p.id = k.subject)",
    )
    assert orphans == []


async def test_what_may_be_taken_along_rests_on_consent_or_contract(house: House):
    anna = await house.principal("anna")
    wish = CollectionRequest(step=uuid4(), store="calls", principal=anna, portable=True)
    async with house.client.collect(wish, tenant=PRIVATE.id) as stream:
        lines = [json.loads(line) for line in b"".join([chunk async for chunk in stream]).splitlines()]
    columns = [column["name"] for line in lines if "columns" in line for column in line["columns"]]
    rows = [dict(zip(columns, line, strict=True)) for line in lines if isinstance(line, list)]
    assert rows and {row["caller"] for row in rows} == {PEOPLE["anna"].msisdn}, "somebody else's row was taken along"
