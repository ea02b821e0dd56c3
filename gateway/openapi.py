"""Each edge's OpenAPI document: what the services say of themselves, no more of it than the edge's rows show.

    python -m gateway.openapi [--check]

Names are prefixed by their service (`consent.Receipt`), paths are the edge's own. The result is committed; `--check` fails when it is
out of date. Services are loaded by name and only here: an edge that runs knows nothing of their insides.
"""

import difflib
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI

from gateway import docs
from gateway.routes import INTERNAL, PUBLIC, SERVICES
from gateway.table import Row

ABOUT = {
    "public": ("Wardline, public edge", "For customers, the operator's systems and regulators."),
    "internal": ("Wardline, internal edge", "For authorities and staff. It shares no operation with the public edge."),
}
# Enough for a service's `create_app()` to be described; nothing is opened.
_ANY_SETTINGS = {
    "WARDLINE_SECRETS_DIR": "/nonexistent",
    "WARDLINE_ISSUER": "http://issuer",
    "WARDLINE_JWKS_URL": "http://issuer/jwks",
}


def document(edge: str, rows: tuple[Row, ...]) -> dict[str, Any]:
    title, description = ABOUT[edge]
    paths: dict[str, dict[str, Any]] = {}
    needed: dict[str, Any] = {}
    for row in rows:
        said = _own() if row.service == edge else service(row.service)
        operation = _prefixed(row.service, said["paths"][row.service_path][row.method.lower()])
        paths.setdefault(row.path, {})[row.method.lower()] = _shown(row, operation)
        _collect(row.service, said, operation, needed)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": description},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(needed.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (RFC 9068)"}},
        },
    }


@cache
def app_of(service: str) -> FastAPI:
    """A service's app, to be described and never run."""
    with patch.dict(os.environ, _ANY_SETTINGS):
        return import_module(f"{SERVICES[service]}.app").create_app()


@cache
def service(name: str) -> dict[str, Any]:
    said = app_of(name).openapi()
    for shapes in list(_definitions(said["paths"])):
        said["components"]["schemas"].update(shapes)
    return said


def _definitions(part: Any) -> Iterator[dict[str, Any]]:
    """The shapes an operation defines in place; in a document of many services they move among the named ones."""
    if isinstance(part, dict):
        if "$defs" in part:
            yield part.pop("$defs")
        for value in part.values():
            yield from _definitions(value)
    elif isinstance(part, list):
        for value in part:
            yield from _definitions(value)


def _own() -> dict[str, Any]:
    from gateway.internal import SetClock

    schema = SetClock.model_json_schema()
    operation = {
        "summary": "Set Clock",
        "description": "Business time of every process. Development only.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("SetClock")}}},
        "responses": {"200": {"description": "The business time now"}},
    }
    return {"paths": {"/v1/clock": {"put": operation}}, "components": {"schemas": {"SetClock": schema}}}


def _shown(row: Row, operation: dict[str, Any]) -> dict[str, Any]:
    shown = {"tags": [row.service], "operationId": f"{row.service}_{row.method.lower()}_{_words(row.path)}"}
    shown |= {name: value for name, value in operation.items() if name not in shown and name != "security"}
    if row.key:
        key = {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "schema": {"type": "string", "maxLength": 200},
        }
        shown["parameters"] = [*shown.get("parameters", ()), key]
    if not row.public:
        shown |= {"x-scopes": sorted(row.scopes), "security": [{"bearer": []}]}
    return shown


def _words(path: str) -> str:
    return "_".join(part.strip("{}.").replace("-", "_") for part in path.split("/") if part)


def _collect(name: str, said: dict[str, Any], part: Any, needed: dict[str, Any]) -> None:
    """Adds every schema that `part` names, and those that these name."""
    for reference in _references(part):
        if reference not in needed:
            schema = said["components"]["schemas"][reference.removeprefix(f"{name}.")]
            needed[reference] = _prefixed(name, schema)
            _collect(name, said, needed[reference], needed)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _prefixed(name: str, part: Any) -> Any:
    """The same with every reference under its service's name."""
    if isinstance(part, dict):
        return {
            key: _ref(f"{name}.{value.rpartition('/')[2]}")["$ref"]
            if key == "$ref" and isinstance(value, str)
            else _prefixed(name, value)
            for key, value in part.items()
        }
    return [_prefixed(name, value) for value in part] if isinstance(part, list) else part


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def main(check: bool) -> int:
    stale = 0
    for edge, rows in (("public", PUBLIC), ("internal", INTERNAL)):
        fresh = json.dumps(document(edge, rows), indent=1, ensure_ascii=False) + "\n"
        path = docs.path(edge)
        committed = path.read_text() if path.exists() else ""
        if fresh == committed:
            continue
        stale = 1
        if check:
            changes = difflib.unified_diff(
                committed.splitlines(), fresh.splitlines(), path.name, "the services", "", "", 1
            )
            print("\n".join(list(changes)[:80]))
        else:
            path.write_text(fresh)
            print(f"{path.name} written")
    if check and stale:
        print("The edges' documents are out of date: python -m gateway.openapi")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
