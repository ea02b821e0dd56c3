"""Send a file of existing consents: `python -m services.consent.importing FILE --url … --issuer … --client … --key … --tenant …`

A CSV with a head line, or Parquet (which needs pyarrow), with the columns of `contract.ImportRow`. A file that was sent in part goes
on where it stood: give `--resume` the import's id. What was refused lies in FILE.refused.csv afterwards.
"""

import argparse
import asyncio
import csv
import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from joserfc.jwk import ECKey

from chassis.client import ServiceClient, TokenSource
from services.consent.contract import Import, ImportChunk, NoWords, StartImport

CHUNK = 1_000


class Sender(ServiceClient):
    """The importer's side of the public edge."""

    audience = "public"

    async def start(self, tenant: UUID, source: str) -> Import:
        wish = StartImport(source=source)
        key = f"import-{source}-{time.time_ns()}"
        return await self.ask(Import, "POST", "/v1/imports", tenant=tenant, body=wish, idempotency_key=key)

    async def state(self, tenant: UUID, name: UUID) -> Import:
        return await self.ask(Import, "GET", f"/v1/imports/{name}", tenant=tenant)

    async def send(self, tenant: UUID, name: UUID, number: int, rows: list[dict[str, str]]) -> Import:
        path, key = f"/v1/imports/{name}/chunks/{number}", f"{name}-{number}"
        return await self.ask(
            Import, "PUT", path, tenant=tenant, body=ImportChunk(rows=rows), idempotency_key=key, timeout=60
        )

    async def end(self, tenant: UUID, name: UUID) -> Import:
        path = f"/v1/imports/{name}/end"
        return await self.ask(Import, "POST", path, tenant=tenant, body=NoWords(), idempotency_key=f"{name}-end")

    async def refused(self, tenant: UUID, name: UUID, target: Path) -> None:
        async with self.stream("GET", f"/v1/imports/{name}/refused", tenant=tenant) as chunks:
            with target.open("wb") as file:
                async for chunk in chunks:
                    file.write(chunk)


async def send_file(sender: Sender, tenant: UUID, path: Path, resume: UUID | None = None, say: Any = print) -> Import:
    """The whole file, from the first chunk that the service has not taken. Says how far it is every few seconds."""
    state = await sender.state(tenant, resume) if resume else await sender.start(tenant, path.name[:100])
    say(f"import {state.name}: goes on at row {state.next_chunk * CHUNK + 1}")
    began = said = time.monotonic()
    for number, chunk in enumerate(chunks(path)):
        if number < state.next_chunk:
            continue
        state = await sender.send(tenant, state.name, number, chunk)
        if time.monotonic() - said > 2:
            said = time.monotonic()
            rate = (state.taken + state.refused) / (said - began)
            say(f"{state.taken:,} taken, {state.refused:,} refused, {rate:,.0f} rows/s")
    state = await sender.end(tenant, state.name)
    report = path.with_name(path.name + ".refused.csv")
    await sender.refused(tenant, state.name, report)
    say(f"{state.taken:,} taken, {state.refused:,} refused; every reason is in {report}")
    return state


def chunks(path: Path) -> Iterator[list[dict[str, str]]]:
    rows = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        # A row with more cells than the head has one column too many, which is refused by that name.
        for row in csv.DictReader(file, restkey="too_many_cells", restval=""):
            yield {str(name): "".join(cell) if isinstance(cell, list) else cell for name, cell in row.items()}


def _parquet(path: Path) -> Iterator[dict[str, str]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(CHUNK):
        for row in batch.to_pylist():
            yield {name: _written(value) for name, value in row.items() if value is not None}


def _written(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


async def main(arguments: argparse.Namespace) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        key = ECKey.import_key(json.loads(arguments.key.read_bytes()))
        tokens = TokenSource(
            http, client=arguments.client, key=key, issuer=arguments.issuer, token_url=f"{arguments.url}/token"
        )
        sender = Sender(http, arguments.url, tokens)
        await send_file(sender, arguments.tenant, arguments.file, arguments.resume)


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", required=True, help="of the public edge")
    parser.add_argument("--issuer", required=True, help="as tokens name it")
    parser.add_argument("--client", required=True)
    parser.add_argument("--key", type=Path, required=True, help="the client's private JWK")
    parser.add_argument("--tenant", type=UUID, required=True)
    parser.add_argument("--resume", type=UUID)
    return parser.parse_args(given)


if __name__ == "__main__":
    asyncio.run(main(_arguments(sys.argv[1:])))
