"""HTTP of the public privacy page, which is for everybody."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse

from chassis import auth, clock
from services.registry import pages
from services.registry.contract import Language
from services.registry.queries import book
from services.registry.routes.asking import database
from services.registry.rules.book import on_the_day

router = APIRouter(tags=["privacy page"])


@router.get("/privacy", response_class=HTMLResponse)
async def privacy_page(
    request: Request, _: auth.Anyone, lang: Language | None = None, accept_language: Annotated[str, Header()] = ""
) -> HTMLResponse:
    """The public privacy page in the language asked for, else in the one the browser prefers."""
    now = clock.now()
    version = await book.version_in_force(database(request), now, now)
    language = lang or pages.preferred(accept_language)
    page = pages.privacy_page(on_the_day(book.book_of(version.jws), now), language)
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
