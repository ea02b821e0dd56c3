"""Sub-processors and transfers are told some at a time; what is told does not depend on how many."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.db import Database
from ops.postgres import Postgres
from services.registry.queries import register
from services.registry.queries.register import Moment
from services.registry.rules.subprocessors import Chain
from tests.registry.conftest import OPERATOR, Registry, Site

LONG_AGO, LATELY = date(2020, 1, 1), date(2026, 1, 1)


def processor(key: str, since: date = LATELY, until: date | None = None, **said: Any) -> tuple[Any, ...]:
    purpose = {"sv": "Avisering", "en": "Notification"}
    usual = {"key": key, "legal_name": f"{key} Inc.", "purpose": purpose, "places": ["us"], "covers": ["participants"]}
    return "subprocessor", key, since, until, usual | said


def transfer(subprocessor: str, place: str = "us", since: date = LATELY, until: date | None = None) -> tuple[Any, ...]:
    said = {"subprocessor": subprocessor, "place": place, "mechanism": "scc", "module": "2"}
    return "transfer", f"{subprocessor}/{place}", since, until, said


# The book has aws, microsoft, google, idm, twilio, zendesk and eviexa, and transfers of most.
SAID = [
    processor("zendesk", legal_name="Zendesk ApS"),
    processor("idm", until=LATELY),
    processor("google", since=LONG_AGO, legal_name="Said before the book said it"),
    processor("a_child", parent="zebra"),
    processor("b", parent="a_child"),
    processor("b1"),
    processor("gone", until=LATELY),
    processor("retired", status="retired"),
    processor("zebra", services=["helpdesk"]),
    transfer("aws"),
    transfer("aws", "ca", until=LATELY),
    transfer("twilio", since=LONG_AGO),
    transfer("b", "ca"),
    transfer("b"),
    transfer("b1"),
    transfer("gone"),
    transfer("microsoft"),
    transfer("zebra"),
]


class Watched:
    """Which sub-processors were asked for, each time."""

    def __init__(self, laid_over: Any) -> None:
        self.laid_over, self.only = laid_over, list[Any]()

    async def __call__(self, database: Database, asked: Moment, only: Any = None) -> Any:
        self.only.append(only)
        return await self.laid_over(database, asked, only)


async def at_once(database: Database, asked: Moment, kind: str) -> AsyncIterator[tuple[list[str], Chain]]:
    book = await register.laid_over(database, asked)
    rows = book.subprocessors if kind == "subprocessor" else book.transfers
    yield [row.identity for row in rows], Chain(book, asked.day)


async def test_a_register_read_some_at_a_time_gives_the_bytes_of_one_read_at_once(
    site: Site, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.registry() as registry:
        await planted(server, site.database)
        monkeypatch.setattr(register, "_PAGE", 2)
        with monkeypatch.context() as watched:
            watched.setattr(register, "laid_over", laid := Watched(register.laid_over))
            some = await bundles(registry, now := datetime.now(UTC).isoformat())
        assert None not in laid.only and len(laid.only) > len(SAID) / 2, "never the whole register at once"
        told = {row["key"]: row for row in (await registry.get("/v1/subprocessors")).json()["items"]}
        monkeypatch.setattr(register, "chains", at_once)
        assert await bundles(registry, now) == some
    for profile, (sheet, keys) in EXPECTED.items():
        with zipfile.ZipFile(io.BytesIO(some[profile])) as archive:
            assert [row["key"] for row in json.loads(archive.read(f"{sheet}.json"))["items"]] == keys.split()
    assert (told["zendesk"]["legal_name"], told["google"]["legal_name"]) == ("Zendesk ApS", "Google Inc.")
    assert (told["b"]["tier"], told["b"]["chain"]) == (3, ["zebra Inc.", "a_child Inc.", "b Inc."])


EXPECTED = {
    "subprocessors": ("sub-processors", "aws microsoft google twilio zendesk eviexa a_child b b1 zebra"),
    "transfers": (
        "transfers",
        "aws/us google/us twilio/us zendesk/us eviexa/us b/ca b/us b1/us microsoft/us zebra/us",
    ),
}


async def bundles(registry: Registry, now: str) -> dict[str, bytes]:
    asked = {"lang": "en", "as_of": now, "known_at": now, "format": "json"}
    return {profile: (await registry.get("/v1/exports", profile=profile, **asked)).content for profile in EXPECTED}


async def planted(server: Postgres, database: str) -> None:
    """As the registry's commands would have written them over the years."""
    admin = await server.connect(database)
    try:
        event: UUID = await admin.fetchval("SELECT event_id FROM registry.ledger_entry ORDER BY position DESC LIMIT 1")
        known = datetime.now(UTC) - timedelta(seconds=1)
        await admin.copy_records_to_table(
            "register_entry",
            schema_name="registry",
            columns="tenant id kind key valid_from valid_to known_from body recorded_by event".split(),
            records=[
                (OPERATOR, uuid4(), kind, key, since, until, known, json.dumps(body | dated(since)), "a test", event)
                for kind, key, since, until, body in SAID
            ],
        )
    finally:
        await admin.close()


def dated(since: date) -> dict[str, str]:
    return {"valid_from": since.isoformat(), "source": "house: a test"}
