"""HTTP of the registry. The page is for everybody; everything else needs a scope and belongs to no tenant."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import HTMLResponse, Response
from joserfc.jwk import OKPKey
from pydantic import AwareDatetime, Field

from chassis import auth, clock
from chassis.db import Database
from services.registry import bundle, exports, pages, queries, rules
from services.registry.contract import CurrentPolicy, Language, PolicyVersions, ProcessingRecords, SubProcessors

PolicyReader = Annotated[auth.Caller, auth.Requires("policy.read")]
RegistryReader = Annotated[auth.Caller, auth.Requires("registry.read")]
Exporter = Annotated[auth.Caller, auth.Requires("registry.export")]

# The calendar's own ends cannot be moved to another zone.
Instant = Annotated[AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), le=datetime(2900, 1, 1, tzinfo=UTC))]
AsOf = Annotated[Instant | None, Query(description="the instant the rules are asked for; now when absent")]
KnownAt = Annotated[Instant | None, Query(description="as the registry knew it then; now when absent")]

router = APIRouter(tags=["registry"])


@router.get("/v1/policy/current")
async def current_policy(request: Request, _: PolicyReader) -> CurrentPolicy:
    now = clock.now()
    version = await queries.version_in_force(_database(request), now, now)
    return CurrentPolicy(version=version.version, jws=version.jws)


@router.get("/v1/policy/versions")
async def policy_versions(request: Request, _: PolicyReader, known_after: Instant | None = None) -> PolicyVersions:
    return PolicyVersions(items=await queries.versions(_database(request), known_after))


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
    as_of, known_at = _instants(as_of, known_at)
    version = await queries.version_in_force(_database(request), as_of, known_at)
    records = rules.processing_records(exports.on_the_day(queries.book_of(version.jws), as_of), as_of)
    if format == "csv":
        return Response(bundle.records_csv(records), media_type=bundle.TYPES["csv"])
    return Response(bundle.json_of(records), media_type=bundle.TYPES["json"])


@router.get("/v1/subprocessors")
async def sub_processors(
    request: Request,
    _: RegistryReader,
    service: Annotated[list[str] | None, Query(max_length=50)] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> SubProcessors:
    """Who processes data for a customer who uses these services; every sub-processor when none is named."""
    as_of, known_at = _instants(as_of, known_at)
    version = await queries.version_in_force(_database(request), as_of, known_at)
    book = exports.on_the_day(queries.book_of(version.jws), as_of)
    return rules.sub_processors(book, service or [], as_of.astimezone(book.tz).date())


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
    as_of, known_at = _instants(as_of, known_at)
    formats = tuple(format) if format else exports.FORMATS
    made = await exports.art30_controller(_database(request), _key(request), as_of, known_at, formats)
    name = f"{profile}-{as_of:%Y%m%dT%H%M%SZ}.zip"
    return Response(
        made, media_type="application/zip", headers={"content-disposition": f'attachment; filename="{name}"'}
    )


@router.get("/privacy", response_class=HTMLResponse)
async def privacy_page(
    request: Request, _: auth.Anyone, lang: Language | None = None, accept_language: Annotated[str, Header()] = ""
) -> HTMLResponse:
    """The public privacy page in the language asked for, else in the one the browser prefers."""
    now = clock.now()
    version = await queries.version_in_force(_database(request), now, now)
    language = lang or pages.preferred(accept_language)
    page = pages.privacy_page(exports.on_the_day(queries.book_of(version.jws), now), language)
    return HTMLResponse(
        page,
        headers={
            "content-security-policy": pages.SECURITY_POLICY,
            "content-language": language,
            "vary": "accept-language",
            "cache-control": "public, max-age=60",
            "referrer-policy": "no-referrer",
        },
    )


def _instants(as_of: datetime | None, known_at: datetime | None) -> tuple[datetime, datetime]:
    now = clock.now()
    return as_of or now, known_at or now


def _database(request: Request) -> Database:
    return request.app.state.database


def _key(request: Request) -> OKPKey:
    return request.app.state.signing_key
