"""Whether an authority's order on a person shows in how long anything takes: people drawn by lot, of whom half are preserved, all ask
for deletion, and a rank test looks for a difference in every time that anybody could measure."""

import asyncio
import math
import random
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop

from benchmarks.house import House
from benchmarks.row import Row, watched
from chassis import clock
from ops.stack import Stack
from sample.actors import Cast
from sample.cases import PRIVATE

PEOPLE = 120
# By chance alone, one honest house in a thousand would differ as much in one of its times.
THRESHOLD = 0.001
ANSWERS = ("", "/preview", "/answer", "/certificate")
ROUNDS = 3
# The book's `order_targets`: an order names no more.
TARGETS = 20
Times = dict[str, tuple[list[float], list[float]]]
"""What took how long, in seconds: of the people with an order, and of those without."""

_CROWD = """
SELECT c.customer_number, s.msisdn FROM customer c JOIN agreement a ON a.customer = c.id JOIN service s ON s.agreement = a.id
WHERE c.tenant = $1 AND c.id > 1000 AND a.ended_at IS NULL AND s.valid_to IS NULL AND s.user_customer = c.id
AND s.product = 'mobile' ORDER BY c.id LIMIT $2"""
_ELSEWHERE = "SELECT count(*) FROM rights.request WHERE id = ANY ($1) AND state <> $2"
# By the ledger: from receipt to the preview, from the first erasure to the answer.
_TOLD = """
SELECT convert_from(body, 'UTF8')::json->'data'->>'request' AS request,
    extract(epoch FROM max(time) FILTER (WHERE type = 'request.previewed') - min(time)) AS previewed,
    extract(epoch FROM max(time) FILTER (WHERE type = 'request.closed') - max(time) FILTER (WHERE type = 'request.executing'))
        AS carried_out
FROM rights.event WHERE convert_from(body, 'UTF8')::json->'data'->>'request' = ANY ($1) GROUP BY 1"""
# By the data plane itself: each step in each store.
_STEPS = """
SELECT r.request, a.asked->>'store' AS store, a.asked->>'verb' AS verb, extract(epoch FROM a.done_at - a.begun_at) AS took
FROM anonymizer.step a JOIN rights.request_step r ON r.id = a.id WHERE r.request = ANY ($1::uuid[]) AND a.done_at IS NOT NULL"""


def order_seen(house: House) -> Row:
    """The likeliest sign of an order among all times: how probable so much difference is without one."""
    with watched(house.pids("rights", "anonymizer", "disclosure")) as peak:
        found = uvloop.run(times(house.stack, house.cast, PEOPLE))
    chances = {what: by_chance(*both) for what, both in found.items()}
    least = min(chances, key=lambda what: chances[what])
    held, free = (median(both) for both in found["carried out"])
    seen = {"least_of": least, "with_order_s": held, "without_s": free, "people": PEOPLE}
    expected = THRESHOLD / len(chances)
    return Row(
        "order_seen", chances[least], expected, "p", peak.highest, f"{THRESHOLD:g} among {len(chances)} times", seen
    )


async def times(stack: Stack, cast: Cast, people: int) -> Times:
    """All ask at once, in an order drawn by lot, and half of them are preserved, also by lot."""
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
    wardline = await stack.postgres.connect("wardline")
    try:
        with cast.machine("helpdesk") as helpdesk:
            asked = {_ask(helpdesk, customer): customer in preserved for customer, _ in crowd}
            await _until(wardline, asked, "previewed")
            for request in asked:
                preview = helpdesk.get(f"/v1/requests/{request}/preview").json()
                helpdesk.post(f"/v1/requests/{request}/confirm", {"preview": preview["digest"]})
            offset = timedelta(seconds=float(stack.home.clock.read_text())) + timedelta(hours=73)
            clock.set_offset(stack.home.clock, offset)
            await _until(wardline, asked, "closed")
            found = await _of_the_ledgers(wardline, asked)
            return found | {f"GET {part or 'request'}": _answered(helpdesk, asked, part) for part in ANSWERS}
    finally:
        await wardline.close()


def by_chance(one: list[float], other: list[float]) -> float:
    """Mann and Whitney's test, two-sided, by its normal approximation: how likely so much order is among equals."""
    wins = sum((a > b) + (a == b) / 2 for a in one for b in other)
    n, m = len(one), len(other)
    spread = math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(wins - n * m / 2) / spread / math.sqrt(2))


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


def _ask(helpdesk: Any, customer: str) -> str:
    ticket = {
        "ticket": f"S-{uuid4().hex[:12]}",
        "kind": "deletion",
        "identifiers": [{"type": "customer", "value": customer}],
        "evidence": {"method": "call_back"},
    }
    return helpdesk.post("/v1/tickets", ticket).json()["request"]


async def _until(wardline: asyncpg.Connection, asked: dict[str, bool], state: str, seconds: float = 600) -> None:
    deadline, requests = time.monotonic() + seconds, [UUID(request) for request in asked]
    while left := await wardline.fetchval(_ELSEWHERE, requests, state):
        assert time.monotonic() < deadline, f"{left} requests are still not {state}"
        await asyncio.sleep(0.1)


async def _of_the_ledgers(wardline: asyncpg.Connection, asked: dict[str, bool]) -> Times:
    found: Times = {}

    def note(what: str, request: str, took: Any) -> None:
        both = found.setdefault(what, ([], []))
        both[0 if asked[request] else 1].append(float(took))

    for row in await wardline.fetch(_TOLD, list(asked)):
        note("previewed", row["request"], row["previewed"])
        note("carried out", row["request"], row["carried_out"])
    for row in await wardline.fetch(_STEPS, [UUID(request) for request in asked]):
        note(f"{row['verb']} in {row['store']}", str(row["request"]), row["took"])
    return found


def _answered(helpdesk: Any, asked: dict[str, bool], part: str) -> tuple[list[float], list[float]]:
    """How long each answer takes over HTTP, the best of a few rounds."""
    best = dict.fromkeys(asked, math.inf)
    for _ in range(ROUNDS):
        for request in asked:
            began = time.perf_counter()
            helpdesk.get(f"/v1/requests/{request}{part}")
            best[request] = min(best[request], time.perf_counter() - began)
    return [best[r] for r, held in asked.items() if held], [best[r] for r, held in asked.items() if not held]
