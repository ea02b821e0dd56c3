"""The edges' own documents, tried: whatever a caller sends within them or beside them, the answer is one that they declare."""

from functools import cache
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway import docs
from gateway.routes import INTERNAL, PUBLIC
from gateway.table import Row
from tests.attacks.mint import Mint, operation
from tests.attacks.world import World

# One house serves all tests: moving its clock or sweeping its stores at random would take what others look at.
SPARED = {"internal PUT /v1/clock", "internal POST /v1/sweeps"}
# The same five routes of one module of the chassis for every service: one service's stand for all.
REPEATED = [row for row in (*PUBLIC, *INTERNAL) if "/ledger/" in row.path or "/keys/" in row.path]
TRIED = [
    row
    for row in (*PUBLIC, *INTERNAL)
    if operation(row) not in SPARED and (row not in REPEATED or row.service in ("consent", "disclosure"))
]
# Each goes through every store, the lake in a process of its own, or makes a document in one: seconds of work.
DEAR = {
    "internal POST /v1/simulations",
    "internal POST /v1/simulations/picture",
    "internal GET /v1/drift",
    "internal POST /v1/pack/periods/preview",
}
AT_THE_PUBLIC_EDGE = {(row.service, row.method, row.service_path) for row in PUBLIC}


def examples(row: Row) -> int:
    """How many are tried. Fewer where the same operation of the same service is tried elsewhere, at the public edge or by the service's own
    tests (`tests/consent/test_whole_service.py`), and only the edge is another."""
    again = row.edge == "internal" and (row.service, row.method, row.service_path) in AT_THE_PUBLIC_EDGE
    return 2 if again or row.service == "consent" or operation(row) in DEAR else 6


@cache
def document(edge: str) -> Any:
    from tests import declared

    return declared.read(docs.document(edge))


@pytest.fixture(scope="module")
def session() -> Any:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize("row", TRIED, ids=operation)
def test_every_answer_is_one_that_the_document_declares(world: World, mint: Mint, session: requests.Session, row: Row):
    from tests import declared

    drawn_from = document(row.edge)[row.path][row.method]
    # Ids drawn at random exist nowhere; half the time one that does.
    ids = {name: value for name, value in world.ids.items() if f"{{{name}}}" in row.path}
    headers = {} if row.public else {"authorization": f"Bearer {mint.rightful(row, calls=examples(row))}"}

    @cache  # making one takes longer than drawing from it
    def way(mode: Any, known: bool) -> Any:
        return drawn_from.as_strategy(generation_mode=mode, path_parameters=ids if known else None)

    @given(data=st.data())
    @settings(
        max_examples=examples(row),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def try_one(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from([declared.WITHIN, declared.BESIDE]))
        case = data.draw(way(mode, bool(ids) and data.draw(st.booleans())))
        answer = case.call(
            base_url=mint.edges[row.edge], headers=headers, session=session, timeout=60, allow_redirects=False
        )
        case.validate_response(answer, checks=declared.CHECKS)

    try_one()
