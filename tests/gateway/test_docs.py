"""Each edge documents itself, and its page loads nothing from anywhere."""

import re
from dataclasses import replace

import httpx2
import pytest

from chassis.client import trust
from gateway import limits
from gateway.limits import Rate
from gateway.routes import INTERNAL, PUBLIC
from ops.stack import Stack
from tests.patience import PATIENCE


@pytest.mark.parametrize("edge", ["public", "internal"])
async def test_the_page_lists_every_operation_and_loads_nothing(house: Stack, edge: str):
    async with httpx2.AsyncClient(base_url=house.url(edge), trust_env=False, timeout=PATIENCE, verify=trust()) as http:
        page, document = await http.get("/docs"), (await http.get("/openapi.json")).json()
    assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text and not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)
    for row in PUBLIC if edge == "public" else INTERNAL:
        assert f"<code>{row.method} {row.path}</code>" in page.text
        assert row.method.lower() in document["paths"][row.path]


@pytest.mark.parametrize(("edge", "front"), [("public", "/privacy"), ("internal", "/docs")])
async def test_whoever_opens_the_bare_address_is_led_to_what_there_is_to_read(house: Stack, edge: str, front: str):
    async with httpx2.AsyncClient(base_url=house.url(edge), trust_env=False, timeout=PATIENCE, verify=trust()) as http:
        answer = await http.get("/")
        assert (answer.is_redirect, answer.headers["location"]) == (True, front)
        assert (await http.get(front, headers={"accept": "text/html"})).status_code == 200


@pytest.mark.parametrize("edge", ["public", "internal"])
async def test_a_document_names_scopes_keys_and_shapes(house: Stack, edge: str):
    async with httpx2.AsyncClient(base_url=house.url(edge), trust_env=False, timeout=PATIENCE, verify=trust()) as http:
        document = (await http.get("/openapi.json")).json()
    for row in PUBLIC if edge == "public" else INTERNAL:
        operation = document["paths"][row.path][row.method.lower()]
        assert operation.get("x-scopes", []) == sorted(row.scopes)
        assert row.key == any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    references = re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"'))
    assert references and set(references) <= set(document["components"]["schemas"])


async def test_who_reads_it_again_and_again_is_told_to_wait(edge: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    """It is the largest answer that anybody gets without saying who she is."""
    monkeypatch.setitem(limits.RATES, "page", replace(limits.RATES["page"], address=Rate(0.01, 3)))
    for path in ("/openapi.json", "/docs"):
        heard = [(await edge.get(path)).status_code for _ in range(5)]
        assert heard[-1] == 429 and "retry-after" in (await edge.get(path)).headers


async def test_nothing_of_orders_is_in_the_public_document(house: Stack):
    async with httpx2.AsyncClient(
        base_url=house.url("public"), trust_env=False, timeout=PATIENCE, verify=trust()
    ) as http:
        told = (await http.get("/openapi.json")).text + (await http.get("/docs")).text
    assert not re.search(
        r"order\.(submit|intake|approve|collect|release|read)|disclosure\.|/v1/(orders|holds|authorities)", told
    )
