"""Systems that are not ours, asked over HTTP: they may say anything, in any length, at any pace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from chassis import addresses


@asynccontextmanager
async def asking(
    http: httpx2.AsyncClient, method: str, url: str, patience: float, **how: Any
) -> AsyncIterator[httpx2.Response]:
    """The head of the answer; of its body nothing is read but what the caller reads here. patience: seconds for all of it, however it
    drips. Nobody is sent elsewhere. how: as `httpx2.AsyncClient.stream` has it. Raises TimeoutError and httpx2.HTTPError."""
    how = {"timeout": patience, "follow_redirects": False} | how
    async with asyncio.timeout(patience), http.stream(method, url, **how) as answer:
        yield answer


@asynccontextmanager
async def asking_at(
    http: httpx2.AsyncClient,
    method: str,
    url: str,
    patience: float,
    *,
    loopback: bool,
    headers: dict[str, str],
    **how: Any,
) -> AsyncIterator[httpx2.Response]:
    """The same of an address that others named: it leads to the one that was checked. Raises NotPublic and OSError besides."""
    target = await addresses.resolve(url, loopback)
    how["extensions"] = {"sni_hostname": target.name}
    # Connections are kept by address: of two names at one, the second would be told on a connection where the first proved itself.
    how["headers"] = headers | {"host": target.host, "connection": "close"}
    async with asking(http, method, target.url, patience, **how) as answer:
        yield answer
