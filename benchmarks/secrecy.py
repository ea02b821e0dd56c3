"""Whether an authority's order on a person shows in how long or how large anything is: people drawn by lot, of whom half are preserved,
all ask for their data and then for deletion, and a rank test looks for a difference in everything that anybody could measure: each
store's work, the whole way, what a subscriber is told and when, the package, each answer."""

import asyncio
import json
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop

from benchmarks.house import House
from benchmarks.row import Row, watched
from chassis import clock
from ops.stack import Stack
from sample.actors import Actor, Cast
from sample.cases import PRIVATE
from services.requests.rights.package import passphrase

PEOPLE = 120
# By chance alone, one honest house in a thousand would differ as much in any of all these figures.
THRESHOLD = 0.001
ACCESS, DELETION = ("", "/answer"), ("", "/preview", "/answer", "/certificate")
ROUNDS = 3
# The book's `order_targets`: an order names no more.
TARGETS = 20
_PATIENCE = 600
_EDGE = 0.05  # seconds between two looks of one person of staff: the edge lets them ask twenty times a second
Figures = dict[str, tuple[list[float], list[float]]]
"""What was how long (in seconds) or how large: of the people with an order, and of those without."""
Asked = dict[str, bool]
"""Requests, and whether an order stands on who made it."""

_CROWD = """
SELECT c.customer_number, s.msisdn FROM customer c JOIN agreement a ON a.customer = c.id JOIN service s ON s.agreement = a.id
WHERE c.tenant = $1 AND c.id > 1000 AND a.ended_at IS NULL AND s.valid_to IS NULL AND s.user_customer = c.id
AND s.product = 'mobile' ORDER BY c.id LIMIT $2"""
_ELSEWHERE = "SELECT count(*) FROM rights.request WHERE id = ANY ($1) AND state <> $2"
# By the ledger: from one fact of a request to the next.
_TOLD = """
SELECT convert_from(body, 'UTF8')::json->'data'->>'request' AS request, extract(epoch FROM max(time) FILTER (WHERE type = $3)
    - max(time) FILTER (WHERE type = $2)) AS took
FROM rights.event WHERE convert_from(body, 'UTF8')::json->'data'->>'request' = ANY ($1) GROUP BY 1"""
# By the data plane itself: each step in each store.
_STEPS = """
SELECT r.request, a.asked->>'store' AS store, a.asked->>'verb' AS verb, extract(epoch FROM a.done_at - a.begun_at) AS took
FROM anonymizer.step a JOIN rights.request_step r ON r.id = a.id WHERE r.request = ANY ($1::uuid[]) AND a.done_at IS NOT NULL"""
_COLLECTED = """
SELECT r.request, r.store, extract(epoch FROM r.done_at - e.time) AS took FROM rights.request_step r JOIN anonymizer.event e
ON e.type = 'data.collected' AND convert_from(e.body, 'UTF8')::json->'data'->>'step' = r.id::text WHERE r.request = ANY ($1::uuid[])"""
_PACKAGES = "SELECT id AS request, package_bytes AS size FROM rights.request WHERE id = ANY ($1::uuid[])"


def order_seen(house: House) -> Row:
    """The likeliest sign of an order among all figures: how probable so much difference is without one."""
    with (
        watched(house.pids("rights", "anonymizer", "disclosure")) as peak,
        house.cast.machine("helpdesk") as helpdesk,
        subscribed(helpdesk) as heard,
    ):
        found = uvloop.run(figures(house.stack, house.cast, heard, PEOPLE))
    chances = {what: by_chance(*both) for what, both in found.items()}
    least = min(chances, key=lambda what: chances[what])
    held, free = (median(both) for both in found["erasure: carried out"])
    seen = {"least_of": least, "with_order_s": held, "without_s": free, "people": PEOPLE}
    return Row(
        "order_seen",
        chances[least],
        limit(found),
        "p",
        peak.highest,
        f"{THRESHOLD:g} among {len(chances)} figures",
        seen,
    )


def limit(found: Figures) -> float:
    """What the chance of each figure has to stay above, so that all together are wrong once in 1/THRESHOLD houses (Bonferroni)."""
    return THRESHOLD / len(found)


def by_chance(one: list[float], other: list[float]) -> float:
    """Mann and Whitney's test, two-sided and exact: how likely so much order is among equals. Equal figures count for neither side."""
    wins = sum((a > b) + (a == b) / 2 for a in one for b in other)
    n, m = len(one), len(other)
    fewer = math.ceil(min(wins, n * m - wins))
    return min(1.0, 2 * sum(_orders(n, m)[: fewer + 1]) / math.comb(n + m, n))


@cache
def _orders(n: int, m: int) -> list[int]:
    """In how many of all orders of n and m figures the first win how often (the Gaussian binomial's coefficients)."""
    ways = [1] + [0] * (n * m)
    for k in range(1, n + 1):
        for wins in range(n * m, m + k - 1, -1):
            ways[wins] -= ways[wins - m - k]
        for wins in range(k, n * m + 1):
            ways[wins] += ways[wins - k]
    return ways


async def figures(stack: Stack, cast: Cast, heard: "Heard", people: int) -> Figures:
    """Half of the people are preserved, by lot; in an order drawn by lot all ask at once for their data, and then for deletion. `heard`: by
    a subscriber to everything."""
    lot = random.Random(people)
    billing = await stack.postgres.connect("sample_billing")
    crowd = [(row["customer_number"], row["msisdn"]) for row in await billing.fetch(_CROWD, PRIVATE.id, people)]
    await billing.close()
    assert len(crowd) == people, f"the sample has only {len(crowd)} such subscribers"
    lot.shuffle(crowd)
    preserved = {customer for customer, _ in crowd[: people // 2]}
    numbers = [msisdn for customer, msisdn in crowd if customer in preserved]
    for at in range(0, len(numbers), TARGETS):
        _preserve(cast, stack, numbers[at : at + TARGETS])
    lot.shuffle(crowd)
    wardline, found = await stack.postgres.connect("wardline"), Found()
    try:
        with (
            cast.machine("helpdesk") as helpdesk,
            cast.person("helpdesk") as staff,
            cast.person("privacy") as another,
        ):
            asked = {_ask(helpdesk, customer, "access"): customer in preserved for customer, _ in crowd}
            await _until(wardline, asked, "answered")
            await found.of_access(wardline, asked)
            for part in ACCESS:
                found.note(f"access: GET {part}", asked, _answered(staff, "/staff/v1/requests", asked, part, _EDGE))
            await found.of_webhooks("access", heard, asked, "request.received", "request.answered")

            asked = {_ask(helpdesk, customer, "deletion"): customer in preserved for customer, _ in crowd}
            await _until(wardline, asked, "previewed")
            for request in asked:
                preview = helpdesk.get(f"/v1/requests/{request}/preview").json()
                for one in (staff, another):
                    one.post(f"/staff/v1/requests/{request}/confirm", {"preview": preview["digest"]})
            offset = timedelta(seconds=float(stack.home.clock.read_text())) + timedelta(hours=73)
            clock.set_offset(stack.home.clock, offset)
            await _until(wardline, asked, "closed")
            await found.of_erasure(wardline, asked)
            for part in DELETION:
                found.note(f"erasure: GET {part}", asked, _answered(helpdesk, "/v1/requests", asked, part))
            await found.of_webhooks("erasure", heard, asked, "request.executing", "request.closed")
    finally:
        await wardline.close()
    return found


class Found(Figures):
    def note(self, what: str, asked: Asked, seen: dict[str, Any]) -> None:
        both = self.setdefault(what, ([], []))
        for request, figure in seen.items():
            both[0 if asked[request] else 1].append(float(figure))

    async def of_access(self, wardline: asyncpg.Connection, asked: Asked) -> None:
        self.note("access: answered", asked, await _told(wardline, asked, "request.received", "request.answered"))
        for row in await wardline.fetch(_COLLECTED, list(asked)):
            self.note(f"access: collect in {row['store']}", asked, {str(row["request"]): row["took"]})
        packages = await wardline.fetch(_PACKAGES, list(asked))
        self.note("access: package", asked, {str(row["request"]): row["size"] for row in packages})

    async def of_erasure(self, wardline: asyncpg.Connection, asked: Asked) -> None:
        self.note("erasure: previewed", asked, await _told(wardline, asked, "request.received", "request.previewed"))
        self.note("erasure: carried out", asked, await _told(wardline, asked, "request.executing", "request.closed"))
        for row in await wardline.fetch(_STEPS, list(asked)):
            self.note(f"erasure: {row['verb']} in {row['store']}", asked, {str(row["request"]): row["took"]})

    async def of_webhooks(self, right: str, heard: "Heard", asked: Asked, first: str, last: str) -> None:
        """How much later a subscriber hears the last than the first, and how often it hears of a request at all."""
        deadline = time.monotonic() + _PATIENCE
        while not all(last in heard.get(request, {}) for request in asked):
            assert time.monotonic() < deadline, f"a subscriber still waits for {last}"
            await asyncio.sleep(0.1)
        self.note(f"{right}: webhooks", asked, {each: heard[each][last] - heard[each][first] for each in asked})
        self.note(f"{right}: number of webhooks", asked, {each: len(heard[each]) for each in asked})


class Heard(dict[str, dict[str, float]]):
    """Of each request: when which type was first heard. told: all of it."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []


@contextmanager
def subscribed(helpdesk: Actor) -> Iterator[Heard]:
    """The helpdesk's system, which is told everything."""
    heard = Heard()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at = time.monotonic()
            heard.told.append(told := json.loads(self.rfile.read(int(self.headers["content-length"]))))
            heard.setdefault(told["data"].get("request", ""), {}).setdefault(told["type"], at)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = {"url": f"http://127.0.0.1:{server.server_port}/hook"}
    endpoint = helpdesk.post("/v1/endpoints", place).json()["endpoint"]
    try:
        yield heard
    finally:
        helpdesk.post(f"/v1/endpoints/{endpoint}/disable")
        server.shutdown()
        server.server_close()


def _preserve(cast: Cast, stack: Stack, numbers: list[str]) -> None:
    """A prosecutor's order on these numbers, approved by two."""
    now = datetime.now(UTC) + timedelta(seconds=float(stack.home.clock.read_text()))
    since, until = (now - timedelta(days=120)).isoformat(), (now - timedelta(minutes=1)).isoformat()
    wish = {
        "instrument": "se_preservation",
        "reference": f"B {uuid4().hex[:8]}",
        "issuer": {"kind": "prosecutor", "name": "Åklagarmyndigheten, Uppsala"},
        "legal_provision": "RB 27 kap. 16 §",
        "served_at": until,
        "period": {"from": since, "to": until},
        "identifiers": [{"type": "InternationalE164", "value": number} for number in numbers],
        "tasks": [{"kind": "LP", "category": "traffic"}, {"kind": "LP", "category": "subscriber"}],
    }
    with cast.machine("authority-se", "internal") as authority:
        order = authority.post("/v1/orders", wish).json()
    for name in ("approver1", "approver2"):
        with cast.person(name) as approver:
            said = {"order_hash": order["order_hash"], "verdict": "approve"}
            order = approver.post(f"/v1/orders/{order['order']}/reviews", said).json()
    assert order["status"] == "Approved", order


def _ask(helpdesk: Actor, customer: str, kind: str) -> str:
    wish: dict[str, Any] = {
        "kind": kind,
        "identifiers": [{"type": "customer", "value": customer}],
        "evidence": {"method": "call_back"},
    }
    if kind == "access":
        more = {"channel": "telephone", "passphrase": passphrase.draw()}
        return helpdesk.post("/v1/requests", wish | more).json()["request"]
    return helpdesk.post("/v1/tickets", wish | {"ticket": f"S-{uuid4().hex[:12]}"}).json()["request"]


async def _until(wardline: asyncpg.Connection, asked: Asked, state: str) -> None:
    deadline, requests = time.monotonic() + _PATIENCE, [UUID(request) for request in asked]
    while left := await wardline.fetchval(_ELSEWHERE, requests, state):
        assert time.monotonic() < deadline, f"{left} requests are still not {state}"
        await asyncio.sleep(0.1)


async def _told(wardline: asyncpg.Connection, asked: Asked, first: str, last: str) -> dict[str, float]:
    return {row["request"]: row["took"] for row in await wardline.fetch(_TOLD, list(asked), first, last)}


def _answered(who: Actor, where: str, asked: Asked, part: str, pause: float = 0) -> dict[str, float]:
    """How long each answer takes over HTTP, the best of a few rounds."""
    best = dict.fromkeys(asked, math.inf)
    for _ in range(ROUNDS):
        for request in asked:
            began = time.perf_counter()
            who.get(f"{where}/{request}{part}")
            best[request] = min(best[request], time.perf_counter() - began)
            time.sleep(pause)
    return best
