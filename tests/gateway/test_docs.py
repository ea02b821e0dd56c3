"""Each edge documents itself, and its page loads nothing from anywhere."""

import re

import httpx2
import pytest

from gateway.routes import INTERNAL, PUBLIC
from ops.stack import Stack
from tests.patience import PATIENCE


@pytest.mark.parametrize("edge", ["public", "internal"])
async def test_the_page_lists_every_operation_and_loads_nothing(house: Stack, edge: str):
    async with httpx2.AsyncClient(base_url=house.url(edge), trust_env=False, timeout=PATIENCE) as http:
        page, document = await http.get("/docs"), (await http.get("/openapi.json")).json()
    assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text and not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)
    for row in PUBLIC if edge == "public" else INTERNAL:
        assert f"<code>{row.method} {row.path}</code>" in page.text
        assert row.method.lower() in document["paths"][row.path]


@pytest.mark.parametrize("edge", ["public", "internal"])
async def test_a_document_names_scopes_keys_and_shapes(house: Stack, edge: str):
    async with httpx2.AsyncClient(base_url=house.url(edge), trust_env=False, timeout=PATIENCE) as http:
        document = (await http.get("/openapi.json")).json()
    for row in PUBLIC if edge == "public" else INTERNAL:
        operation = document["paths"][row.path][row.method.lower()]
        assert operation.get("x-scopes", []) == sorted(row.scopes)
        assert row.key == any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    references = re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"'))
    assert references and set(references) <= set(document["components"]["schemas"])


async def test_nothing_of_orders_is_in_the_public_document(house: Stack):
    async with httpx2.AsyncClient(base_url=house.url("public"), trust_env=False, timeout=PATIENCE) as http:
        told = (await http.get("/openapi.json")).text + (await http.get("/docs")).text
    assert not re.search(
        r"order\.(submit|intake|approve|collect|release|read)|disclosure\.|/v1/(orders|holds|authorities)", told
    )
