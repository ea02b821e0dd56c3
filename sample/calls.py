"""Nordtel's call detail records: a business copy, the copy kept by law, where phones were, and the lake of older months.

A month is drawn at a time, so memory does not grow with the history. Planted calls have ids below a million.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample.billing import COMPANIES, invoice_id
from sample.cases import CASES, HELPLINE, OMAR, PEOPLE, PRIVATE
from sample.dates import LAKE_MONTHS, TABLE_MONTHS, Calendar, absolute_month
from sample.people import DESKS, LIVES, OUTSIDE, SERVICE_NUMBERS, TOWNS, Crowd, Line, lines
from sample.tables import CALLS, LAKE, columns

BUCKETS = 8
# Full months the copies kept by law reach back: further than the law lets them, so that the first sweep has work.
RETAINED_MONTHS = {"mobile_call": 8, "sms": 8, "data": 12}
LOCATION_MONTHS = 4
KINDS = ("mobile_call", "fixed_call", "sms", "data")
SHARES = (0.45, 0.12, 0.18, 0.25)
CALLS_PER_SUBSCRIBER = 3.75
FIRST_DRAWN_ID = 1_000_000_000


# --- planted -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One planted call with everything the three tables say of it; `copies` names the ones it has."""

    id: int
    line: Line
    at: datetime
    kind: str
    callee: str | None
    duration_ms: int
    withheld: bool
    copies: frozenset[str]


def planted(calendar: Calendar, seed: int) -> dict[str, list[dict]]:
    """Rows of the three tables, and of the lake under the name `lake`."""
    calls = [*_everyday(calendar, seed), *_boundary_calls(calendar)]
    oldest = calendar.month(TABLE_MONTHS - 1)
    business = [_business_row(calendar, c) for c in calls if "business" in c.copies]
    return {
        "call_record": [r for r in business if r["started_at"] >= oldest] + list(_omars(calendar)),
        "retained_call_record": [_retained_row(c) for c in calls if "retained" in c.copies],
        "location_record": [_location_row(c) for c in calls if "location" in c.copies],
        "lake": [{f: r[f] for f in LAKE.names} for r in business if r["started_at"] < oldest],
    }


def _everyday(calendar: Calendar, seed: int) -> Iterator[Call]:
    """Some calls a month on every planted mobile number while it was its user's; the twins' are alike to the second."""
    for n, line in enumerate(line for line in lines(calendar) if line.product == "mobile"):
        rng = Random(f"{seed}:{'twins' if line.user in CASES[5].people else line.msisdn + line.user}")
        strangers = rng.sample(OUTSIDE, 6)
        serial = 1 + n * 10_000
        for age in range(TABLE_MONTHS + LAKE_MONTHS - 1, -1, -1):
            circle = _friends(line.user, age) + strangers
            for _ in range(8):
                call = _everyday_call(calendar, serial, line, age, circle, rng)
                if line.valid_from <= call.at < min(line.valid_to or calendar.now, calendar.now):
                    yield call
                serial += 1


def _friends(user: str, age: int) -> list[str]:
    """Whom somebody called `age` months ago: nobody who was not there yet."""
    known = [PEOPLE[key].msisdn for key in LIVES[user].calls if LIVES[key].joined > age]
    return known + [HELPLINE] if user == "maja" else known


def _everyday_call(calendar: Calendar, id: int, line: Line, age: int, circle: list[str], rng: Random) -> Call:
    kind = rng.choice(("mobile_call", "mobile_call", "sms", "data"))
    at = calendar.month(age) + timedelta(days=rng.randrange(28), seconds=rng.randrange(6 * 3600, 22 * 3600))
    copies = {"business"}
    if age <= RETAINED_MONTHS[kind]:
        copies.add("retained")
    if age < LOCATION_MONTHS:
        copies.add("location")
    callee, duration, withheld = rng.choice(circle), rng.randrange(5_000, 900_000), rng.random() < 0.1
    return Call(
        id,
        line,
        at,
        kind,
        None if kind == "data" else callee,
        0 if kind == "sms" else duration,
        withheld,
        frozenset(copies),
    )


def _boundary_calls(calendar: Calendar) -> Iterator[Call]:
    """Case 4 (Bo) and case 11 (Ines): one call on each side of a rule. Two months may be 62 days, hence the earlier of two."""
    facts, owned = CASES[4].facts, lines(calendar)
    mobile = next(line for line in owned if line.user == "bo" and line.product == "mobile")
    fixed = next(line for line in owned if line.product == "fixed")
    day_62 = min(calendar.day(62), calendar.months_ago(2) - timedelta(days=1))
    month_7 = calendar.months_ago(6) - timedelta(days=15)
    law = frozenset({"business", "retained", "location"})

    def made(fact: str, line: Line, at: datetime, kind: str, copies: frozenset[str]) -> Call:
        return Call(int(facts[fact]), line, at, kind, OUTSIDE[0], 61_000, False, copies)

    yield made("location_call", mobile, day_62, "mobile_call", law)
    yield made("kept_location_call", mobile, calendar.day(50), "mobile_call", law)
    yield made("mobile_call", mobile, month_7, "mobile_call", frozenset({"business", "retained"}))
    yield made("fixed_call", fixed, calendar.day(40), "fixed_call", frozenset({"business"}))
    ines = next(line for line in owned if line.user == "ines")
    retained_only = CASES[11].facts
    yield Call(
        int(retained_only["retention_only_call"]),
        ines,
        calendar.day(int(retained_only["retention_only_day"])),
        "data",
        None,
        3_600_000,
        False,
        frozenset({"retained"}),
    )


def _business_row(calendar: Calendar, call: Call) -> dict:
    month = absolute_month(call.at)
    return {
        "id": call.id,
        "tenant": str(PRIVATE.id),
        "started_at": call.at,
        "duration_ms": call.duration_ms,
        "kind": call.kind,
        "caller": call.line.msisdn,
        "callee": call.callee,
        "area": _area(call.line.user),
        "agent_number": None,
        "withheld": call.withheld,
        "invoice": None if month == calendar.absolute else invoice_id(PEOPLE[call.line.payer].id, month),
    }


def _retained_row(call: Call) -> dict:
    only = call.id == CASES[11].facts["retention_only_call"]
    ip = CASES[11].facts["retention_only_ip"] if only else PEOPLE[call.line.user].ip
    return {
        "id": call.id,
        "tenant": str(PRIVATE.id),
        "started_at": call.at,
        "duration_ms": call.duration_ms,
        "kind": call.kind,
        "caller": call.line.msisdn,
        "callee": call.callee,
        "ip": ip if call.kind == "data" else None,
    }


def _location_row(call: Call) -> dict:
    return {
        "id": call.id,
        "tenant": str(PRIVATE.id),
        "started_at": call.at,
        "msisdn": call.line.msisdn,
        "cell": f"240-24-{_area(call.line.user)}-{1000 + call.id % 97}",
    }


def _area(user: str) -> str:
    return next((county for _, city, county in TOWNS if city == PEOPLE[user].city), "12")


def _omars(calendar: Calendar) -> Iterator[dict]:
    for n, age in enumerate((3, 9, 33)):
        yield {
            "id": 500_001 + n,
            "tenant": str(OMAR.tenant.id),
            "started_at": calendar.day(age, hour=9 + n),
            "duration_ms": 240_000,
            "kind": "fixed_call",
            "caller": OMAR.msisdn,
            "callee": PEOPLE["cilla"].msisdn,
            "area": "01",
            "agent_number": OMAR.number,
            "withheld": False,
            "invoice": None,
        }


# --- drawn -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Numbers:
    """Every number of the crowd in one dictionary column: subscribers, then desks, then those outside, then services."""

    texts: pa.Array
    subscribers: int
    desks: int
    outside: int

    def take(self, indices: np.ndarray, mask: np.ndarray | None = None) -> pa.Array:
        return self.texts.take(pa.array(indices, mask=mask))


def numbers(people: Crowd) -> Numbers:
    subscribers = [str(n) for n in people.msisdn]
    desks = [d.msisdn for d in DESKS if d.tenant in COMPANIES]
    texts = pa.array([*subscribers, *desks, *OUTSIDE, *SERVICE_NUMBERS])
    return Numbers(texts, len(subscribers), len(desks), len(OUTSIDE))


def month(seed: int, calendar: Calendar, people: Crowd, known: Numbers, age: int) -> pa.Table:
    """The calls of one month in the order they began: `call_record` with `ip` and `cell` beside its columns."""
    rng = np.random.default_rng([seed, 4, age])
    begin, end = calendar.month(age), min(calendar.month(age - 1), calendar.now)
    whole = (calendar.month(age - 1) - begin) / timedelta(days=1)
    size = int(CALLS_PER_SUBSCRIBER * len(people.ids) * ((end - begin) / timedelta(days=1)) / whole)
    active = people.active(age)
    at = np.sort(rng.integers(0, max(1, int((end - begin) / timedelta(seconds=1))), size))
    who = _callers(rng, people, active, known, size)
    by_desk = who >= known.subscribers
    kind = np.where(by_desk, 1, np.searchsorted(np.cumsum(SHARES), rng.random(size)).clip(0, len(KINDS) - 1))
    data, town = kind == KINDS.index("data"), people.towns[np.where(by_desk, 0, who)]
    ids = (
        FIRST_DRAWN_ID
        + calendar.month(age).year * 100_000_000
        + calendar.month(age).month * 5_000_000
        + np.arange(size)
    )
    invoice = people.ids[np.where(by_desk, 0, who)] * 100_000 + absolute_month(begin)
    desks = [d for d in DESKS if d.tenant in COMPANIES]
    desk = np.where(by_desk, who - known.subscribers, 0)
    table = columns(
        CALLS["call_record"],
        id=ids,
        tenant=pa.array([str(PRIVATE.id), *(str(d.tenant.id) for d in desks)]).take(
            pa.array(np.where(by_desk, desk + 1, 0))
        ),
        started_at=np.datetime64(begin.replace(tzinfo=None), "us") + at * np.timedelta64(1_000_000, "us"),
        duration_ms=np.where(kind == KINDS.index("sms"), 0, rng.exponential(180_000, size).astype(np.int64) + 1000),
        kind=pa.array(KINDS).take(pa.array(kind)),
        caller=known.take(who),
        callee=known.take(_callees(rng, known, size), mask=data),
        area=pa.array([county for _, _, county in TOWNS]).take(pa.array(town)),
        agent_number=pa.array([d.number for d in desks]).take(pa.array(desk, mask=~by_desk)),
        invoice=pa.array(invoice, mask=by_desk | (age == 0)),
        withheld=rng.random(size) < 0.04,
    )
    return table.append_column("ip", _addresses(who, data)).append_column("cell", _cells(rng, town))


def _callers(rng: np.random.Generator, people: Crowd, active: np.ndarray, known: Numbers, size: int) -> np.ndarray:
    """Subscribers by how talkative they are; one call in fifty is made by a company's desk."""
    weight = np.cumsum(people.weight[active])
    who = active[np.searchsorted(weight, rng.random(size) * weight[-1]).clip(0, len(active) - 1)]
    return np.where(rng.random(size) < 0.02, known.subscribers + rng.integers(known.desks, size=size), who)


def _callees(rng: np.random.Generator, known: Numbers, size: int) -> np.ndarray:
    first = np.array([0, known.subscribers, known.subscribers + known.desks, len(known.texts) - len(SERVICE_NUMBERS)])
    count = np.array([known.subscribers, known.desks, known.outside, len(SERVICE_NUMBERS)])
    group = np.searchsorted([0.66, 0.70, 0.97], rng.random(size))
    return first[group] + (rng.random(size) * count[group]).astype(np.int64)


def _addresses(who: np.ndarray, data: np.ndarray) -> pa.Array:
    """One per subscriber, from the range reserved for benchmarks (RFC 2544)."""
    octets = [pc.cast(pa.array(part), pa.string()) for part in (18 + who // 65_536 % 2, who // 256 % 256, who % 256)]
    addresses = pc.binary_join_element_wise("198", *octets, ".")
    return pc.if_else(pa.array(data), addresses, pa.scalar(None, pa.string()))


def _cells(rng: np.random.Generator, town: np.ndarray) -> pa.Array:
    area = pa.array([county for _, _, county in TOWNS]).take(pa.array(town))
    site = pc.cast(pa.array(1000 + rng.integers(97, size=len(town))), pa.string())
    return pc.binary_join_element_wise("240-24", area, site, "-")


def copies(age: int, calls: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Which rows of a drawn month stand in which table."""
    yield "call_record", calls.select(CALLS["call_record"].names)
    kept = [kind for kind, months in RETAINED_MONTHS.items() if age <= months]
    if kept:
        retained = calls.filter(pc.is_in(calls["kind"], pa.array(kept)))
        yield "retained_call_record", retained.select(CALLS["retained_call_record"].names)
    if age < LOCATION_MONTHS:
        mobile = calls.filter(pc.not_equal(calls["kind"], "fixed_call")).rename_columns({"caller": "msisdn"})
        yield "location_record", mobile.select(CALLS["location_record"].names)


def months_of(table: str) -> int:
    """How many months, this one included, a table's partitions reach back."""
    return {"call_record": TABLE_MONTHS, "retained_call_record": 13, "location_record": LOCATION_MONTHS}[table]


def bucket(caller: str) -> int:
    return zlib.crc32(caller.encode()) % BUCKETS
