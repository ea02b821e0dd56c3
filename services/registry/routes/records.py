"""HTTP of the records of processing, the sub-processors, the transfers, what changed, and the signed bundles."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from chassis import clock
from chassis.errors import Forbidden
from services.registry.contract import Language
from services.registry.contract.register import (
    Completeness,
    Differences,
    ProcessingRecords,
    SubProcessors,
    Transfers,
)
from services.registry.export import atom
from services.registry.export.bundle import TYPES
from services.registry.export.make import FORMATS, Format, made
from services.registry.export.profiles import PROFILES, RECORDS
from services.registry.export.sheets import Context
from services.registry.export.sources import Rows, Sources
from services.registry.export.text import csv_pieces
from services.registry.queries import diff, register
from services.registry.routes.asking import (
    AsOf,
    Exporter,
    Instant,
    KnownAt,
    RegistryReader,
    database,
    instants,
    signing_key,
)

router = APIRouter(tags=["registry"])

# `export.profiles.PROFILES`, as callers may name them.
ProfileName = Literal[
    "art30-controller", "art30-processor", "subprocessors", "transfers", "breaches", "access-reviews", "transparency"
]


@router.get(
    "/v1/ropa",
    response_model=ProcessingRecords,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def processing_records(
    request: Request,
    _: RegistryReader,
    format: Literal["json", "csv"] = "json",
    lang: Language = "sv",
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """The record of processing activities, Art. 30(1), as a stream: a register may be large."""
    sources = await _sources(request, as_of, known_at)
    if format == "csv":
        pieces = csv_pieces(RECORDS, sources.counted(), Context(lang, sources.about))
        return StreamingResponse(pieces, media_type=TYPES["csv"])
    return StreamingResponse(_records(sources), media_type=TYPES["json"])


async def _records(sources: Sources) -> AsyncIterator[bytes]:
    book = sources.asked.book
    yield b'{"activities":['
    async for number, row in _numbered(sources.counted()):
        yield (b",\n" if number else b"") + orjson.dumps(row)
    missing = {key for template in sources.count.answered() for key in template.missing}
    rest = {
        "policy_version": sources.asked.version,
        "as_of": sources.asked.as_of.isoformat(),
        "controller": sources.about["controller"],
        "measures": sources.about["measures"],
        "findings": [row.model_dump(mode="json") for row in book.findings],
        "missing": sorted(missing),
    }
    yield b"]," + orjson.dumps(rest)[1:]


async def _numbered(rows: Rows) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    number = 0
    async for row in rows:
        yield number, row
        number += 1


@router.get("/v1/completeness")
async def completeness(
    request: Request, _: RegistryReader, as_of: AsOf = None, known_at: KnownAt = None
) -> Completeness:
    """How every supervisory authority's template is answered."""
    sources = await _sources(request, as_of, known_at)
    async for _row in sources.counted():
        pass
    return Completeness(
        policy_version=sources.asked.version,
        as_of=sources.asked.as_of,
        activities=sources.count.activities,
        templates=sources.count.answered(),
    )


@router.get("/v1/subprocessors")
async def sub_processors(
    request: Request,
    _: RegistryReader,
    service: Annotated[list[str] | None, Query(max_length=50)] = None,
    customer: UUID | None = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> SubProcessors:
    """Who processes data for a customer who uses these services; every sub-processor when none is named. With `customer`, the
    services are those of its agreements."""
    sources = await _sources(request, as_of, known_at)
    return await sources.processors_of(service or [], customer)


@router.get("/v1/transfers")
async def transfers(
    request: Request, _: RegistryReader, due: bool | None = None, as_of: AsOf = None, known_at: KnownAt = None
) -> Transfers:
    """Every transfer to a third country; with `due`, those somebody has to look at, or those nobody has to."""
    sources = await _sources(request, as_of, known_at)
    items = [told async for told in sources.transfers_told() if due is None or bool(told.due) == due]
    return Transfers(policy_version=sources.asked.version, as_of=sources.asked.day, items=items)


@router.get("/v1/diff")
async def differences(
    request: Request,
    _: RegistryReader,
    since: Annotated[Instant, Query(alias="from")],
    until: Annotated[Instant | None, Query(alias="to", description="now when absent")] = None,
) -> Differences:
    """What was told at `from`, as it was known then, against what is told at `to`: every row of book and register that differs."""
    before = await register.moment(database(request), since, since)
    until = until or clock.now()
    after = await register.moment(database(request), until, until)
    return await diff.differences(database(request), before, after)


@router.get("/v1/feed.atom", response_class=Response, responses={200: {"content": {"application/atom+xml": {}}}})
async def atom_feed(request: Request, _: RegistryReader) -> Response:
    """The newest changes of book and register, for a feed reader (RFC 4287)."""
    newest = await diff.newest(database(request), clock.now())
    return Response(atom.feed(newest), media_type="application/atom+xml")


@router.get("/v1/exports", response_class=FileResponse, responses={200: {"content": {"application/zip": {}}}})
async def export(
    request: Request,
    caller: Exporter,
    profile: ProfileName,
    format: Annotated[list[Format] | None, Query(max_length=len(FORMATS), description="all when absent")] = None,
    lang: Annotated[Language, Query(description="of what people read: PDF, XLSX and the cells of CSV")] = "sv",
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """A signed bundle; the same `as_of` and `known_at` give the same bytes."""
    needed = PROFILES[profile].scope
    if needed is not None and needed not in caller.scopes:
        raise Forbidden(f"This profile needs the scope {needed}.")
    asked = await register.as_written(database(request), *instants(as_of, known_at))
    formats = tuple(format) if format else FORMATS
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(
            made(database(request), signing_key(request), asked, profile, formats, lang)
        )
        # The folder is gone when the answer was sent, or when it could not be.
        sent = stack.pop_all()
    name = f"{profile}-{asked.as_of:%Y%m%dT%H%M%SZ}.zip"
    return FileResponse(path, media_type="application/zip", filename=name, background=BackgroundTask(sent.aclose))


async def _sources(request: Request, as_of: AsOf, known_at: KnownAt) -> Sources:
    asked = await register.as_written(database(request), *instants(as_of, known_at))
    return Sources(database(request), asked)
