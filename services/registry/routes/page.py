"""HTTP of the pages: the public privacy page with its history is for everybody, a customer's sub-processors for itself."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import HTMLResponse

from chassis import auth, clock
from services.registry import pages
from services.registry.contract import Language
from services.registry.queries import book, history, register
from services.registry.routes.asking import database
from services.registry.routes.tenants import processors_of
from services.registry.rules.book import on_the_day

router = APIRouter(tags=["privacy page"])

Accepted = Annotated[str, Header(alias="accept-language")]
Customer = Annotated[auth.Caller, auth.Requires("pack.read", "pack.manage")]


@router.get("/privacy", response_class=HTMLResponse)
async def privacy_page(
    request: Request,
    _: auth.Anyone,
    lang: Language | None = None,
    version: Annotated[str | None, Query(max_length=100)] = None,
    accept_language: Accepted = "",
) -> HTMLResponse:
    """The public privacy page in the language asked for, else in the one the browser prefers; or another version of it."""
    now = clock.now()
    language = lang or pages.preferred(accept_language)
    # With what the register says of sub-processors and transfers since: a bundle has the same page.
    told = await register.moment(database(request), now, now)
    if version is None or version == told.version:
        return _page(pages.privacy_page(told.book, language), language)
    other = await book.version_named(database(request), version)
    # Another version is shown as on its first day: rows that ended since then stood there.
    shown = on_the_day(book.book_of(other.jws), other.valid_from)
    return _page(pages.privacy_page(shown, language, older=True), language)


@router.get("/privacy/history", response_class=HTMLResponse)
async def history_page(
    request: Request, _: auth.Anyone, lang: Language | None = None, accept_language: Accepted = ""
) -> HTMLResponse:
    """Every version, and what each one changed, in plain words."""
    now = clock.now()
    in_force = await book.version_in_force(database(request), now, now)
    language = lang or pages.preferred(accept_language)
    versions = await history.shown(database(request), now)
    return _page(pages.history_page(book.book_of(in_force.jws), versions, language), language)


@router.get("/v1/pack/subprocessors", response_class=HTMLResponse)
async def sub_processors_page(
    request: Request, caller: Customer, lang: Language | None = None, accept_language: Accepted = ""
) -> HTMLResponse:
    """A customer's own list, for whoever is logged in for it."""
    now = clock.now()
    language = lang or pages.preferred(accept_language)
    rows = on_the_day(book.book_of((await book.version_in_force(database(request), now, now)).jws), now)
    told = await processors_of(request, caller.tenant)
    page = _page(pages.sub_processors_page(rows, told, language), language)
    page.headers["cache-control"] = "private, no-store"
    return page


def _page(html: str, language: Language) -> HTMLResponse:
    return HTMLResponse(
        html,
        headers={
            "content-security-policy": pages.SECURITY_POLICY,
            "content-language": language,
            "vary": "accept-language",
            "cache-control": "public, max-age=60",
            "referrer-policy": "no-referrer",
        },
    )
