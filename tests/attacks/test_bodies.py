"""What may be written into a body: nothing that is not asked for, nothing twice, nothing too large, nothing under a used key."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import pytest

from gateway import docs
from gateway.routes import INTERNAL, PUBLIC
from gateway.table import Row
from tests.attacks.mint import Mint, operation
from tests.attacks.world import World

# What only the house itself decides: whose a record is, where it stands, who approved it.
NOT_TO_BE_SAID = ("tenant", "status", "approver", "approved_by", "confirmed_by", "answered_at", "recorded_at")


def reads_json(row: Row) -> bool:
    """Whether the edge's own document says that the operation takes JSON. AuthZEN and CAMARA allow
    fields they do not know, and refuse in a shape of their own."""
    said = docs.document(row.edge)["paths"][row.path][row.method.lower()]
    return "application/json" in said.get("requestBody", {}).get("content", {}) and not row.path.startswith(
        ("/access/v1/", "/consent-info/")
    )


WITH_BODY = [row for row in (*PUBLIC, *INTERNAL) if not row.public and reads_json(row)]
# One reader reads all bodies: one row of each service's, at each edge, is tried with whatever it refuses, and every row with some of it,
# each in its turn.
OF_EACH_SERVICE = list({(row.edge, row.service): row for row in WITH_BODY}.values())
UNREADABLE = {
    "broken": (b"{", 400, "request.malformed"),
    "key twice": (b'{"a": 1, "a": 2}', 400, "request.malformed"),
    "key twice within": (b'{"a": {"b": 1, "b": 1}}', 400, "request.malformed"),
    "NaN": (b'{"a": NaN}', 400, "request.malformed"),
    "no UTF-8": (b'{"a": "\xff\xfe"}', 400, "request.malformed"),
    "too deep": (b"[" * 5000 + b"]" * 5000, 400, "request.malformed"),
    "nothing": (b"", 400, "request.malformed"),
    "a list": (b"[]", 422, "request.invalid"),
    "a text": (b'"text"', 422, "request.invalid"),
}
OTHER_KINDS = ("text/plain", "application/x-www-form-urlencoded", "application/xml", "")


@pytest.mark.parametrize("row", WITH_BODY, ids=operation)
def test_only_json_that_is_read_in_one_way_and_says_nothing_of_the_house_s_is_taken(world: World, mint: Mint, row: Row):
    token = mint.rightful(row, calls=1 + len(UNREADABLE) + len(OTHER_KINDS))
    answer = sent(world, mint, row, token, json.dumps(dict.fromkeys(NOT_TO_BE_SAID, "mine")).encode())
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")
    refused = {fault["path"] for fault in answer.json()["errors"]}
    assert refused >= set(NOT_TO_BE_SAID) - fields_of(row)
    # What an authority says of a delivery is a status of its own, and so is that of a processing activity or an assessment.
    own = row.path.endswith(("/acknowledgement", "/v1/activities", "/v1/assessments/{reference}"))
    assert fields_of(row) & set(NOT_TO_BE_SAID) <= ({"status"} if own else set())
    assert "mine" not in answer.text, "what was sent is said back"
    for what in some(UNREADABLE, row, 3):
        body, status, code = UNREADABLE[what]
        answer = sent(world, mint, row, token, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), what
    for kind in some(OTHER_KINDS, row, 1):
        answer = sent(world, mint, row, token, b"{}", {"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "request.media_type"), kind


@pytest.mark.parametrize("row", OF_EACH_SERVICE, ids=operation)
def test_more_than_a_megabyte_is_refused_declared_or_not(world: World, mint: Mint, row: Row):
    large = b'{"text": "' + b"x" * (1 << 20) + b'"}'
    token = mint.rightful(row, calls=2)
    declared = sent(world, mint, row, token, large)
    streamed = sent(world, mint, row, token, iter([large[: 1 << 19], large[1 << 19 :]]))
    for answer in (declared, streamed):
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


Body = dict[str, Any]
# operation → a body that is accepted, and another one.
WRITES: dict[str, Callable[[World], tuple[Body, Body]]] = {
    "public POST /v1/consents": lambda world: both(
        spoken(world) | {"notice": "service_quality", "notice_version": 1}, method="app"
    ),
    "public POST /v1/withdrawals": lambda world: both(spoken(world), method="app"),
    "public PUT /v1/standing/{principal}/restriction": lambda world: both(
        {"state": "lifted"}, state="set", ground="claims"
    ),
    "public POST /v1/tickets": lambda world: both(
        {"ticket": uuid4().hex, "kind": "access", "identifiers": somebody()}, kind="deletion"
    ),
    "public POST /v1/endpoints": lambda world: both({"url": "http://127.0.0.1:9/a"}, url="http://127.0.0.1:9/b"),
    "internal POST /v1/accounts": lambda world: both(
        {"username": uuid4().hex, "password": uuid4().hex, "kind": "staff"}, password=uuid4().hex
    ),
    "internal POST /v1/sweeps": lambda world: both({"stores": []}, stores=["lake"]),
    "internal POST /v1/orders": lambda world: both(world.order | {"reference": uuid4().hex}, reference="another"),
    "internal POST /staff/v1/requests": lambda world: both(letter(world), language="en"),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_used_key_answers_the_same_again_and_refuses_another_body(world: World, mint: Mint, name: str):
    row = next(row for row in WITH_BODY if operation(row) == name)
    body, other = WRITES[name](world)
    key = {"idempotency-key": str(uuid4())}
    # Whoever subscribes has the right to hear something, too.
    scope = " ".join({*row.scopes, *({"hear.consent"} if row.service == "webhooks" else ())})
    token, path = mint.rightful(row, client_id="authority-se", scope=scope), world.path(row.path)
    first = mint.try_row(row, token, path, json=body, headers=key)
    again = mint.try_row(row, token, path, json=body, headers=key)
    another = mint.try_row(row, token, path, json=other, headers=key)
    assert first.status_code < 300, first.text
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert (another.status_code, another.json()["code"]) == (409, "request.key_reused")


def both(body: Body, **changed: Any) -> tuple[Body, Body]:
    return body, body | changed


def spoken(world: World) -> Body:
    return {"purpose": "communication", "principal": world.ids["principal"]}


def somebody() -> list[Body]:
    return [{"type": "email", "value": f"{uuid4().hex}@epost.example"}]


def letter(world: World) -> Body:
    return {
        "kind": "access",
        "channel": "letter",
        "identifiers": somebody(),
        "evidence": {"method": "call_back"},
        "received_at": world.nordtel.now().isoformat(),
    }


def some(of: Iterable[str], row: Row, most: int) -> list[str]:
    """So many in the row's turn; all of them for the row that stands for its service."""
    every, turn = list(of), WITH_BODY.index(row) * most
    return every if row in OF_EACH_SERVICE else [every[(turn + number) % len(every)] for number in range(most)]


def fields_of(row: Row) -> set[str]:
    """What the operation's body may have, by the edge's document."""
    document = docs.document(row.edge)
    body = document["paths"][row.path][row.method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    return set(document["components"]["schemas"][body["$ref"].rpartition("/")[2]].get("properties", ()))


def sent(world: World, mint: Mint, row: Row, token: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    headers = {"content-type": "application/json"} | (headers or {})
    return mint.try_row(row, token, world.path(row.path), content=body, headers=headers)
