"""What an export of the register costs: every profile in every format, at ten, a thousand and ten thousand of what it lists.

The rows are planted by COPY, as the registry's own commands would have written them, and taken away again: each profile is measured
with a register that has as many of its own rows, and nothing else of them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import uvloop

from benchmarks.house import House
from benchmarks.row import ROUNDS, Row, cpu_seconds, watched
from chassis.ids import new_id
from ops.home import ROOT
from ops.steps import say
from services.registry.contract import HOUSE

SIZES = (10, 1_000, 10_000)
FORMATS = ("csv", "json", "jsonld", "pdf", "xlsx")
TABLE = ROOT / "out" / "register_exports.md"

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_EVENT = "SELECT l.event_id FROM registry.ledger_entry l ORDER BY l.position DESC LIMIT 1"
_BOTH = {"sv": "Avtalets uppgifter enligt kundens beställning", "en": "Data of the agreement as the customer ordered"}


# Table → its planted rows, every column but the tenant's.
Planted = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Seen:
    """One export: how long until the last byte, how much of that the registry's and its drawing process's own work (the rest is waiting
    for PostgreSQL, and for a machine that is busy), how large, and what the two needed at their highest together."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    peak_mb: float


def register_exports(house: House) -> Row:
    """The memory of the largest record of processing in all formats, beside the same of ten activities."""
    seen = uvloop.run(_register_exports(house))
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(told(seen))
    say("\n" + told(seen))
    whole = {
        size: [one for (name, _, at), one in seen.items() if (name, at) == ("art30-controller", size)] for size in SIZES
    }
    peaks = {size: max(one.peak_mb for one in found) for size, found in whole.items()}
    return Row(
        "register_exports",
        peaks[SIZES[-1]],
        peaks[SIZES[0]],
        "MB",
        max(one.peak_mb for one in seen.values()),
        "the same record of processing with ten activities",
        {
            **{f"s_for_{size}": sum(one.seconds for one in found) for size, found in whole.items()},
            "slowest_s": max(one.seconds for one in seen.values()),
        },
    )


def told(seen: dict[tuple[str, str, int], Seen]) -> str:
    """Seconds and peak of memory by profile and format, the sizes side by side."""
    head = "| profile | format | " + " | ".join(f"{size:,}: s | cpu s | MB out | peak MB" for size in SIZES) + " |"
    lines = [head, "|---|---|" + "---:|" * 4 * len(SIZES)]
    for name, format in dict.fromkeys((name, format) for name, format, _ in seen):
        cells = (
            f"{one.seconds:.2f} | {one.cpu_seconds:.2f} | {one.megabytes:.2f} | {one.peak_mb:.0f}"
            for one in (seen[name, format, size] for size in SIZES)
        )
        lines.append(f"| {name} | {format} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


async def _register_exports(house: House) -> dict[tuple[str, str, int], Seen]:
    seen: dict[tuple[str, str, int], Seen] = {}
    connection = await asyncpg.connect(**house.superuser())
    try:
        async with house.tokens("regulator") as tokens:
            event = await _settled_event(connection)
            for name, rows_of in PROFILES.items():
                for size in SIZES:
                    async with _planted(connection, rows_of(size, event)):
                        for format in FORMATS:
                            seen[name, format, size] = await _exported(house, tokens, name, format, size)
    finally:
        await connection.close()
    return seen


async def _exported(house: House, tokens: Any, profile: str, format: str, size: int) -> Seen:
    """The median of a few; of a large one, which is long enough to be told from its surroundings, the only one."""
    took, worked, peaks, length, pids = [], [], [], 0, house.pids("registry")
    for _ in range(ROUNDS if size < SIZES[-1] else 1):
        token = await tokens.token("registry")
        with watched(pids, family=True) as peak:
            began, before = time.perf_counter(), cpu_seconds(pids)
            length = await _fetched(house, token, profile, format)
            took.append(time.perf_counter() - began)
            worked.append(cpu_seconds(pids) - before)
        peaks.append(peak.highest)
    return Seen(median(took), median(worked), length / 2**20, median(peaks))


async def _fetched(house: House, token: str, profile: str, format: str) -> int:
    """In pieces that are thrown away: this process is not what is measured."""
    length = 0
    asked = {"profile": profile, "format": format, "lang": "en"}
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(timeout=900, trust_env=False) as http:
        url = f"{house.stack.url('registry')}/v1/exports"
        async with http.stream("GET", url, params=asked, headers=headers) as answer:
            answer.raise_for_status()
            async for piece in answer.aiter_raw():
                length += len(piece)
    return length


async def _settled_event(connection: asyncpg.Connection) -> UUID:
    """An event that the ledger has: every planted row is said to have come with it."""
    async with asyncio.timeout(30):
        while (event := await connection.fetchval(_EVENT)) is None:
            await asyncio.sleep(0.1)
    return event


@asynccontextmanager
async def _planted(connection: asyncpg.Connection, planted: Planted) -> AsyncIterator[None]:
    """There while it lasts, under a tenant of their own; what the house wrote itself stays."""
    tenant = uuid4()
    try:
        for table, rows in planted.items():
            columns = list(rows[0])
            records = ((tenant, *(row[column] for column in columns)) for row in rows)
            await connection.copy_records_to_table(
                table, schema_name="registry", columns=["tenant", *columns], records=records
            )
            await connection.execute(f"ANALYZE registry.{table}")
        yield
    finally:
        for table in reversed(planted):
            await connection.execute(f"DELETE FROM registry.{table} WHERE tenant = $1", tenant)


def _entry(kind: str, key: str, event: UUID, body: dict[str, Any]) -> dict[str, Any]:
    begins = date(2026, 1, 1)
    said = json.dumps(
        body | ({} if kind == "change" else {"valid_from": begins.isoformat(), "source": "house: measured"})
    )
    return {
        "id": new_id(),
        "kind": kind,
        "key": key,
        "valid_from": begins,
        "known_from": _LONG_AGO,
        "body": said,
        "recorded_by": "benchmark",
        "event": event,
    }


def _activities(size: int, event: UUID) -> Planted:
    def body(number: int) -> dict[str, Any]:
        return {
            "key": f"activity_{number}",
            "label": {"sv": f"Behandling {number}", "en": f"Activity {number}"},
            "purpose": ("maintaining_service", "development", "communication")[number % 3],
            "process": f"Process {number % 40}",
            "owner": f"Enhet {number % 25}",
            "systems": ["billing", "calls"],
            "locations": ["Sverige"],
            "assessment": {"reference": f"DPIA-{number}", "status": "done", "on": "2026-03-01"},
            "reviewed_on": "2026-03-01",
            "review_at": "2027-03-01",
            "statements": {"automated_decisions": {"sv": "Inga", "en": "None"}},
        }

    return {"register_entry": [_entry("activity", f"activity_{n}", event, body(n)) for n in range(size)]}


def _contracts(size: int, event: UUID) -> Planted:
    services = ("mobile", "fixed", "broadband", "contact_centre", "sms_notification", "helpdesk")

    def body(number: int) -> dict[str, Any]:
        return {
            "reference": f"A-{number:05}",
            "customer": str(uuid4()),
            "name": f"Kund {number} AB",
            "organisation_number": f"55{number:04}-0001",
            "address": "Storgatan 1, 111 22 Stockholm",
            "contact": "privacy@customer.example",
            "services": [services[number % 6], services[number // 6 % 6]],
            "instructions": _BOTH,
            "objection_window": "30 days",
        }

    return {"register_entry": [_entry("contract", f"A-{n:05}", event, body(n)) for n in range(size)]}


def _subprocessor(number: int) -> dict[str, Any]:
    return {
        "key": f"processor_{number}",
        "legal_name": f"Biträde {number} Inc.",
        "purpose": _BOTH,
        "places": ["us"],
        "services": ["helpdesk"],
        "covers": ["service_specific"],
        "address": "1 Main Street, Springfield",
        "agreement": f"DPA-{number}",
    }


def _subprocessors(size: int, event: UUID) -> Planted:
    """Each with the change by which it came."""

    def change(id: str, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "change": id,
            "kind": "addition",
            "subprocessor": row["key"],
            "row": row | {"source": "house: measured"},
            "replaces": None,
            "transfers": [],
            "reason": _BOTH,
            "effective_on": "2026-01-01",
            "diff": [{"field": name, "before": None, "after": value} for name, value in row.items()],
            "status": "active",
            "proposed_at": "2025-11-01T00:00:00Z",
            "notice_at": "2025-11-02T00:00:00Z",
            "decided_at": "2026-01-01T00:00:00Z",
            "told": 12,
        }

    rows = [_subprocessor(number) for number in range(size)]
    entries = [_entry("subprocessor", row["key"], event, row) for row in rows]
    return {
        "register_entry": entries
        + [_entry("change", id, event, change(id, row)) for row in rows for id in (str(uuid4()),)]
    }


def _transfers(size: int, event: UUID) -> Planted:
    """Each with the sub-processor to which it goes."""

    def body(number: int) -> dict[str, Any]:
        return {
            "subprocessor": f"processor_{number}",
            "place": "us",
            "mechanism": "adequacy",
            "decision": "data_privacy_framework",
            "listed_on": "2026-06-01",
            "supplementary": ["encryption with our own keys"],
            "review_at": "2027-06-01",
        }

    processors = [_entry("subprocessor", f"processor_{n}", event, _subprocessor(n)) for n in range(size)]
    return {
        "register_entry": processors + [_entry("transfer", f"processor_{n}/us", event, body(n)) for n in range(size)]
    }


def _breaches(size: int, _: UUID) -> Planted:
    said = {
        "title": "Backup tape lost in transport",
        "facts": "An encrypted tape did not arrive. " * 10,
        "effects": "None expected: the key is elsewhere.",
        "remedies": "Transport stopped; a search is on.",
        "occurred_from": "2026-01-01T00:00:00Z",
        "categories": ["traffic", "customer_invoice"],
        "subjects": 1200,
        "risk": "high",
        "as_controller": True,
        "tenants": [str(uuid4()), str(uuid4())],
    }
    body = json.dumps(said).encode()
    ids = [new_id() for _ in range(size)]
    stated = {"stated_by": "benchmark", "stated_at": _LONG_AGO, "body": body}
    given = {
        "told_at": _LONG_AGO + timedelta(hours=5),
        "reference": "D 17",
        "recorded_by": "benchmark",
        "recorded_at": _LONG_AGO,
    }
    return {
        "breach": [
            {
                "id": id,
                "aware_at": _LONG_AGO,
                "reported_by": "benchmark",
                "reported_at": _LONG_AGO,
                # Closed, so that the house's own reminders have nothing to do with it.
                "closed_at": _LONG_AGO + timedelta(days=9),
                "closed_by": "benchmark",
                "conclusion": "Found.",
            }
            for id in ids
        ],
        "breach_statement": [{"id": new_id(), "breach": id, **stated} for id in ids],
        "breach_notice": [
            {"id": new_id(), "breach": id, "clock": clock, "organisation": None, **given}
            for id in ids
            for clock in ("telecom", "data_protection", "subjects")
        ],
    }


def _access(size: int, _: UUID) -> Planted:
    """Grants, all of them in one review that confirmed each."""
    grants, review, until = [new_id() for _ in range(size)], new_id(), datetime(2027, 1, 1, tzinfo=UTC)
    return {
        "access_grant": [
            {
                "id": id,
                "person": uuid4(),
                "role": "auditor",
                "system": "wardline",
                "areas": [],
                "organisation": HOUSE,
                "purpose": "maintaining_service",
                "justification": "Reads the register for the yearly audit.",
                "requested_by": "benchmark",
                "requested_at": _LONG_AGO,
                "valid_from": _LONG_AGO,
                "valid_to": until,
                "approved": True,
                "decided_by": "somebody else",
                "decided_at": _LONG_AGO,
                "decision": "Needed.",
            }
            for id in grants
        ],
        "access_review": [{"id": review, "opened_at": _LONG_AGO, "due_at": until, "closed_at": _LONG_AGO}],
        "access_review_item": [
            {
                "review": review,
                "grant_id": id,
                "kept": True,
                "decided_by": "benchmark",
                "decided_at": _LONG_AGO,
                "reason": "Still needed.",
            }
            for id in grants
        ],
    }


PROFILES: dict[str, Callable[[int, UUID], Planted]] = {
    "art30-controller": _activities,
    "art30-processor": _contracts,
    "subprocessors": _subprocessors,
    "transfers": _transfers,
    "breaches": _breaches,
    "access-reviews": _access,
    # As many rows as the book has instruments, whatever the register holds.
    "transparency": _activities,
}
