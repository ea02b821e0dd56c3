"""The same thing from many hands in the same moment: it happens once."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2

from sample.actors import Actor
from tests.attacks.mint import Mint
from tests.attacks.world import World
from tests.nordtel import Nordtel, request_of, until


async def test_one_key_sent_twenty_times_at_once_is_one_consent(world: World, mint: Mint):
    person = str(uuid4())
    token = mint.token("public", {"consent.write", "consent.read"})
    wish = {"purpose": "communication", "notice": "service_quality", "notice_version": 1, "principal": person}
    headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
    answers = await at_once(20, f"{mint.edges['public']}/v1/consents", wish, headers)
    assert Counter(answer.status_code for answer in answers) == {201: 20}
    assert len({answer.json()["record"] for answer in answers}) == 1
    kept = mint.http.get(f"{mint.edges['public']}/v1/consents", params={"principal": person}, headers=headers).json()
    assert len(kept["items"]) == 1


async def test_one_approver_who_approves_many_times_at_once_is_one_approval(world: World, nordtel: Nordtel):
    order = (
        nordtel.machine("authority-se", "internal").post("/v1/orders", world.order | {"reference": uuid4().hex}).json()
    )
    approver = nordtel.person("approver1")
    approval = {"order_hash": order["order_hash"], "verdict": "approve"}
    answers = await by(approver, 8, f"/v1/orders/{order['order']}/reviews", approval)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    assert approver.get(f"/v1/orders/{order['order']}").json()["status"] == "AwaitingApproval", "one person is not two"


async def test_a_deletion_confirmed_many_times_at_once_runs_once(nordtel: Nordtel):
    maja = nordtel.person("maja")
    asked = maja.post("/v1/requests", {"kind": "deletion"}).json()["request"]
    until("preview", lambda: request_of(maja, asked)["state"] == "previewed")
    preview = maja.get(f"/v1/requests/{asked}/preview").json()
    answers = await by(maja, 8, f"/v1/requests/{asked}/confirm", {"preview": preview["digest"]})
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}
    maja.post(f"/v1/requests/{asked}/withdraw")


async def by(who: Actor, times: int, path: str, body: dict[str, Any]) -> list[httpx2.Response]:
    """As many different writes by one person."""
    return await at_once(times, who.edge + path, body, {"authorization": f"Bearer {who.token()}"})


async def at_once(times: int, url: str, body: dict[str, Any], headers: dict[str, str]) -> list[httpx2.Response]:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        sent = (http.post(url, json=body, headers={"idempotency-key": str(uuid4())} | headers) for _ in range(times))
        return await asyncio.gather(*sent)
