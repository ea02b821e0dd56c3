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
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import orjson
from joserfc.jwk import ECKey
from pydantic import ValidationError

from chassis.client import ServiceClient, TokenSource
from chassis.errors import Problem
from services.consent.contract import Import, ImportChunk, NoWords, StartImport

CHUNK, LARGEST = 2_000, 800_000  # rows, and bytes of them: no service reads more than a megabyte at once
_LONGEST = 1_000  # characters of a cell: no column takes as many, so that what is left of a longer one is refused as it would be
_LONGEST_LINE = 100_000  # of so many some cell is too long
Chunk = tuple[list[str], list[list[str]]]  # the head line, and rows


class Sender(ServiceClient):
    """The importer's side of the public edge."""

    audience = "public"

    async def start(self, tenant: UUID, source: str) -> Import:
        wish = StartImport(source=source)
        key = f"import-{source}-{time.time_ns()}"
        return await self.ask(Import, "POST", "/v1/imports", tenant=tenant, body=wish, idempotency_key=key)

    async def state(self, tenant: UUID, name: UUID) -> Import:
        return await self.ask(Import, "GET", f"/v1/imports/{name}", tenant=tenant)

    async def send(self, tenant: UUID, name: UUID, number: int, chunk: Chunk) -> Import:
        path, key = f"/v1/imports/{name}/chunks/{number}", f"{name}-{number}"
        body = ImportChunk(columns=chunk[0], rows=chunk[1])
        return await self.ask(Import, "PUT", path, tenant=tenant, body=body, idempotency_key=key, timeout=60)

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
    if state.source != path.name[:100]:
        raise SystemExit(f"That import is of {state.source}.")
    say(f"import {state.name}: goes on at row {state.taken + state.refused + 1}")
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


def chunks(path: Path) -> Iterator[Chunk]:
    """The same each time, whatever was sent before."""
    columns, rows = (_parquet if path.suffix == ".parquet" else _csv)(path)
    chunk: list[list[str]] = []
    size = 0
    for row in (list(map(_sendable, cells)) for cells in rows):
        longer = len(orjson.dumps(row)) + 1
        if chunk and (len(chunk) == CHUNK or size + longer > LARGEST):
            yield columns, chunk
            chunk, size = [], 0
        chunk.append(row)
        size += longer
    if chunk:
        yield columns, chunk


def _sendable(cell: str) -> str:
    """What no column takes is told in the report, and must not keep its neighbours from being sent."""
    return cell[:_LONGEST].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _csv(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Between the cells stand commas, or what a Swedish spreadsheet puts there."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        head = file.readline()
    between = ";" if ";" in head and "," not in head else ","
    (columns,) = csv.reader([head], delimiter=between)
    return columns, _cells(path, between)


def _cells(path: Path, between: str) -> Iterator[list[str]]:
    """Each line by itself, since no cell of ours has two: a quotation mark that nobody closed would swallow the rows after it."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        next(file, None)
        for line in file:
            yield from csv.reader([line[:_LONGEST_LINE]], delimiter=between)


def _parquet(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    batches = ([_values(column) for column in batch.columns] for batch in file.iter_batches(CHUNK))
    rows = (list(map(_written, row)) for columns in batches for row in zip(*columns, strict=True))
    return file.schema_arrow.names, rows


def _values(column: Any) -> list[Any]:
    """Instants as pandas writes them are finer than Python's, and ours."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column.to_pylist()


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


async def main(arguments: argparse.Namespace) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        key = ECKey.import_key(json.loads(arguments.key.read_bytes()))
        tokens = TokenSource(
            http, client=arguments.client, key=key, issuer=arguments.issuer, token_url=f"{arguments.url}/token"
        )
        sender = Sender(http, arguments.url, tokens)
        try:
            await send_file(sender, arguments.tenant, arguments.file, arguments.resume)
        except UnicodeDecodeError:
            raise SystemExit(f"{arguments.file} is not written in UTF-8.") from None
        except ValidationError:
            raise SystemExit("The first line names each column once, fifty at most.") from None
        except (ValueError, OSError) as fault:  # pyarrow's are one or the other, and may repeat what they met
            raise SystemExit(f"{arguments.file} cannot be read to its end ({type(fault).__name__}).") from None
        except Problem as refused:
            raise SystemExit(f"{refused.title} ({refused.code}). {refused.detail or ''}") from None


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
