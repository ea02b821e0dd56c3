"""HTTP of the policy book: the version in force, and every signed version."""

from fastapi import APIRouter, Request

from chassis import clock
from services.registry.contract import CurrentPolicy, PolicyVersions, TenantPeriodDocuments
from services.registry.queries import book
from services.registry.routes.asking import Instant, PolicyReader, database

router = APIRouter(tags=["policy book"])


@router.get("/v1/policy/current")
async def current_policy(request: Request, _: PolicyReader) -> CurrentPolicy:
    now = clock.now()
    version = await book.version_in_force(database(request), now, now)
    return CurrentPolicy(version=version.version, jws=version.jws)


@router.get("/v1/policy/versions")
async def policy_versions(request: Request, _: PolicyReader, known_after: Instant | None = None) -> PolicyVersions:
    return await book.versions_after(database(request), known_after)


@router.get("/v1/policy/tenant-periods")
async def tenant_periods(
    request: Request, _: PolicyReader, known_after: Instant | None = None
) -> TenantPeriodDocuments:
    """For the services that execute retention; no edge shows what one customer set to another."""
    return await book.tenant_periods_after(database(request), known_after)
