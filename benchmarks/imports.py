"""An operator's existing consents taken over: a file sent by the command line through the public edge, as an operator would."""

import asyncio
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pyarrow as pa
import pyarrow.csv as csv_reader
import pyarrow.parquet as pq

from benchmarks.consent import publish
from benchmarks.house import House
from benchmarks.lake import SCALE
from benchmarks.row import Row, cpu_seconds, watched
from chassis.ids import new_id
from ops.home import ROOT
from sample import clients
from services.consent.contract import ImportRow

FULL = 1_000_000
_STATES = ("given",) * 17 + ("withdrawn",) * 2 + ("refused",)
_BAD_EVERY = 1_000
_SERVING = ("consent", "public")


def consent_import(house: House) -> Row:
    """Rows a second, from the command's start to every decision point knowing them all."""
    return asyncio.run(_consent_import(house, "consent_import", "consents.csv"))


def consent_import_parquet(house: House) -> Row:
    """The same rows as Parquet, with instants and numbers of their own types."""
    return asyncio.run(_consent_import(house, "consent_import_parquet", "consents.parquet"))


async def _consent_import(house: House, name: str, file: str) -> Row:
    tenant, rows = uuid4(), max(int(FULL * float(os.environ.get(SCALE, "1"))), 10_000)
    since = datetime.now(UTC) - timedelta(days=600)
    async with house.tokens("seeder") as tokens:
        await publish(house, tokens, tenant, since)
    with tempfile.TemporaryDirectory(prefix="wardline-import-") as folder:
        sheet, path = Path(folder) / "consents.csv", Path(folder) / file
        _write(sheet, rows, since)
        if path != sheet:
            _write_parquet(sheet, path)
        before = {each: cpu_seconds(house.pids(each)) for each in _SERVING}
        database = cpu_seconds([house.stack.postgres.pid()])
        with (
            watched(house.pids("consent")) as peak,
            watched(house.pids("public")) as edge,
            watched([house.stack.postgres.pid()], family=True) as postgres,
        ):
            seconds, sender = await asyncio.to_thread(_sent, house, tenant, path)
        spent = {each: cpu_seconds(house.pids(each)) - before[each] for each in _SERVING}
        spent |= {"database": cpu_seconds([house.stack.postgres.pid()]) - database, "sender": sender}
        refused = len(path.with_name(f"{file}.refused.csv").read_text().splitlines()) - 1
        await _must_be_all_there(house, tenant, rows, refused)
        return Row(
            name,
            rows / seconds,
            rows / await _copied(house, sheet),
            "rows/s",
            peak.highest,
            "COPY of the same rows into a table with a key and an index",
            {"rows": rows, "refused": refused, "seconds": seconds, "growth_mb": peak.growth}
            | {
                "peak_mb_public": edge.highest,
                "peak_mb_database": postgres.highest,
                "peak_mb_sender": _sender_megabytes(),
            }
            | {f"cpu_us_{name}": each / rows * 1e6 for name, each in spent.items()},
        )


def _write(path: Path, rows: int, since: datetime) -> None:
    with path.open("w", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(["principal", "purpose", "state", "occurred_at", "notice", "notice_version", "evidence_ref"])
        sheet.writerows(_rows(rows, since))


def _write_parquet(sheet: Path, path: Path) -> None:
    options = csv_reader.ConvertOptions(column_types={"occurred_at": pa.timestamp("us", "UTC")})
    pq.write_table(csv_reader.read_csv(sheet, convert_options=options), path)


def _rows(count: int, since: datetime) -> Iterator[tuple[Any, ...]]:
    room = (datetime.now(UTC) - since) / count
    for n in range(count):
        purpose = "astrology" if n % _BAD_EVERY == _BAD_EVERY - 1 else "development"
        at = (since + n * room).isoformat()
        yield new_id(), purpose, _STATES[n % len(_STATES)], at, "development", 1, f"crm/{n}"


def _sent(house: House, tenant: UUID, path: Path) -> tuple[float, float]:
    """Seconds, and seconds of a core that the sender took."""
    public = house.stack.url("public")
    command = [sys.executable, "-m", "services.consent.importing", path, "--url", public, "--issuer", public]
    command += ["--client", "seeder", "--key", clients.folder(house.home) / "seeder.jwk", "--tenant", str(tenant)]
    began, busy = time.perf_counter(), os.times()
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    after = os.times()
    return (
        time.perf_counter() - began,
        after.children_user + after.children_system - busy.children_user - busy.children_system,
    )


def _sender_megabytes() -> float:
    """Of all children that ended the largest, which here is the sender: the house goes on."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


async def _must_be_all_there(house: House, tenant: UUID, rows: int, refused: int) -> None:
    connection = await asyncpg.connect(**house.superuser())
    taken = await connection.fetchval(
        "SELECT count(*) FROM consent.statement s JOIN consent.ledger_entry l ON l.event_id = s.event WHERE s.tenant = $1",
        tenant,
    )
    await connection.close()
    if (taken, refused) != (rows - rows // _BAD_EVERY, rows // _BAD_EVERY):
        raise RuntimeError(f"of {rows} rows {taken} stand in the ledger and {refused} were refused")


async def _copied(house: House, path: Path) -> float:
    connection = await asyncpg.connect(**house.superuser())
    columns = ", ".join(f"{name} text" for name in ImportRow.model_fields if name != "principal")
    await connection.execute(f"CREATE TABLE bench_copy (principal uuid PRIMARY KEY, {columns})")
    await connection.execute("CREATE INDEX ON bench_copy (purpose, occurred_at)")
    with path.open() as file:
        head = file.readline().strip().split(",")
    began = time.perf_counter()
    await connection.copy_to_table("bench_copy", source=str(path), columns=head, format="csv", header=True)
    took = time.perf_counter() - began
    await connection.execute("DROP TABLE bench_copy")
    await connection.close()
    return took
