"""An edge's documentation: the committed OpenAPI document, and a page rendered from it that loads nothing from anywhere; and where
somebody is led who opens the bare address."""

import json
from collections.abc import Awaitable, Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from chassis.auth import Anyone

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-size:.9rem}pre{overflow-x:auto}summary{cursor:pointer;padding:.4rem 0}"
    "h2{margin-top:2.5rem}.scope{opacity:.8;font-size:.9rem}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def path(edge: str) -> Path:
    return Path(__file__).with_name(f"openapi-{edge}.json")


@cache
def document(edge: str) -> dict[str, Any]:
    return json.loads(path(edge).read_bytes())


def router(edge: str, front: str, limit: Callable[[Request], Awaitable[None]]) -> APIRouter:
    """front: what is read by whoever opens the bare address · limit: raises for who asks too often; the document is large, and nobody needs to say who she is."""
    pages = APIRouter(include_in_schema=False, dependencies=[Depends(limit)])

    @pages.get("/")
    async def bare(_: Anyone) -> RedirectResponse:
        return RedirectResponse(front)

    @pages.get("/openapi.json")
    async def openapi(_: Anyone) -> Response:
        return Response(_written(edge), media_type="application/json")

    @pages.get("/docs")
    async def docs(_: Anyone) -> HTMLResponse:
        return HTMLResponse(_page(edge), headers={"Content-Security-Policy": _POLICY})

    return pages


@cache
def _written(edge: str) -> bytes:
    return orjson.dumps(document(edge))


@cache
def _page(edge: str) -> str:
    said = document(edge)
    groups: dict[str, list[str]] = {}
    for place, operations in said["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(method, place, operation))
    parts = [f"<h2>{escape(tag)}</h2>{''.join(operations)}" for tag, operations in groups.items()]
    schemas = "".join(_schema(name, schema) for name, schema in sorted(said["components"]["schemas"].items()))
    title = escape(said["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1><p>{escape(said['info']['description'])}</p>"
        f'<p>The same as a document for programs: <a href="/openapi.json">openapi.json</a></p>'
        f"{''.join(parts)}<h2>Shapes</h2>{schemas}</main></html>"
    )


def _operation(method: str, place: str, operation: dict[str, Any]) -> str:
    scopes = " or ".join(operation.get("x-scopes", ())) or "no token needed"
    about = escape(operation.get("description", operation.get("summary", "")))
    shapes = "".join(f"<li>{escape(line)}</li>" for line in _shapes(operation))
    return (
        f"<details><summary><code>{method.upper()} {escape(place)}</code> "
        f'<span class="scope">{escape(scopes)}</span></summary><p>{about}</p><ul>{shapes}</ul></details>'
    )


def _shapes(operation: dict[str, Any]) -> list[str]:
    lines = [
        f"{parameter['in']} {parameter['name']}{' (required)' if parameter.get('required') else ''}"
        for parameter in operation.get("parameters", ())
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        lines.append(f"body: {_named(content)}")
    for status, answer in operation["responses"].items():
        kinds = [f"{kind} {_named(content)}" for kind, content in answer.get("content", {}).items()]
        lines.append(f"{status}: {', '.join(kinds) or answer['description']}")
    return lines


def _named(content: dict[str, Any]) -> str:
    reference = content.get("schema", {}).get("$ref", "")
    return reference.rpartition("/")[2]


def _schema(name: str, schema: dict[str, Any]) -> str:
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<pre>{escape(json.dumps(schema, indent=1, ensure_ascii=False))}</pre></details>"
    )
