"""HTTP of the record of processing, the sub-processors and the signed bundles."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.registry import bundle, exports
from services.registry.contract import ProcessingRecords, SubProcessors
from services.registry.queries import book
from services.registry.routes.asking import AsOf, Exporter, KnownAt, RegistryReader, database, instants, signing_key
from services.registry.rules import records
from services.registry.rules.book import on_the_day

router = APIRouter(tags=["registry"])


@router.get(
    "/v1/ropa",
    response_model=ProcessingRecords,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def processing_records(
    request: Request,
    _: RegistryReader,
    format: Literal["json", "csv"] = "json",
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """The record of processing activities, Art. 30(1)."""
    as_of, known_at = instants(as_of, known_at)
    version = await book.version_in_force(database(request), as_of, known_at)
    told = records.processing_records(on_the_day(book.book_of(version.jws), as_of), as_of)
    if format == "csv":
        return Response(bundle.records_csv(told), media_type=bundle.TYPES["csv"])
    return Response(bundle.json_of(told), media_type=bundle.TYPES["json"])


@router.get("/v1/subprocessors")
async def sub_processors(
    request: Request,
    _: RegistryReader,
    service: Annotated[list[str] | None, Query(max_length=50)] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> SubProcessors:
    """Who processes data for a customer who uses these services; every sub-processor when none is named."""
    as_of, known_at = instants(as_of, known_at)
    version = await book.version_in_force(database(request), as_of, known_at)
    rows = on_the_day(book.book_of(version.jws), as_of)
    return records.sub_processors(rows, service or [], as_of.astimezone(rows.tz).date())


@router.get("/v1/exports", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
async def export(
    request: Request,
    _: Exporter,
    profile: Literal["art30-controller"],
    format: Annotated[list[exports.Format] | None, Query(max_length=2, description="both when absent")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """A signed bundle; the same `as_of` and `known_at` give the same bytes."""
    as_of, known_at = instants(as_of, known_at)
    formats = tuple(format) if format else exports.FORMATS
    made = await exports.art30_controller(database(request), signing_key(request), as_of, known_at, formats)
    name = f"{profile}-{as_of:%Y%m%dT%H%M%SZ}.zip"
    return Response(
        made, media_type="application/zip", headers={"content-disposition": f'attachment; filename="{name}"'}
    )
