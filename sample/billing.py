"""Nordtel's billing database: the planted people's rows, spelled out, and the crowd's, drawn in columns."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample.cases import AGENTS, CASES, FJALLRESOR, KUSTBANKEN, PEOPLE, PRIVATE, SWITCHBOARD, Tenant
from sample.dates import Calendar, absolute_month
from sample.people import ALL_MONTHS, DESKS, LIVES, TOWNS, Crowd, Line, lines
from sample.tables import BILLING, columns

Rows = dict[str, list[dict]]
COMPANIES = {KUSTBANKEN: 101, FJALLRESOR: 102}
LONGEST_HISTORY = 60


def invoice_id(customer: int, traffic_month: int) -> int:
    """The invoice for a calendar month's traffic (`absolute_month`); calls name it without looking it up."""
    return customer * 100_000 + traffic_month


def planted(calendar: Calendar) -> Rows:
    owned = lines(calendar)
    return {
        "customer": [_customer(calendar, key) for key in PEOPLE] + [_company(calendar, t) for t in COMPANIES],
        "agreement": [
            _agreement(p.id, p.tenant, line.valid_from, line.valid_to)
            for key, p in PEOPLE.items()
            if (line := _own_line(owned, key)).payer == key
        ]
        + [_agreement(id, tenant, calendar.months_ago(LONGEST_HISTORY), None) for tenant, id in COMPANIES.items()],
        "service": [_service(n, line) for n, line in enumerate(owned, 1)] + _contact_centres(calendar),
        "invoice": [row for key in PEOPLE if key != "maja" for row in _invoices(calendar, key)],
        "number_period": [_number_period(n, line) for n, line in enumerate(owned, 1)],
    }


def _own_line(owned: list[Line], key: str) -> Line:
    return next(line for line in owned if line.user == key)


def _customer(calendar: Calendar, key: str) -> dict:
    person = PEOPLE[key]
    return {
        "id": person.id,
        "tenant": str(person.tenant.id),
        "customer_number": person.customer_number,
        "kind": "private",
        "name": person.name,
        "personnummer": person.personnummer,
        "organisation_number": None,
        "address": person.address,
        "postal_code": person.postal_code,
        "city": person.city,
        "email": person.email,
        "msisdn": person.msisdn,
        "language": person.language,
        "protected_identity": False,
        "created_at": calendar.months_ago(LIVES[key].joined),
    }


def _company(calendar: Calendar, tenant: Tenant) -> dict:
    id = COMPANIES[tenant]
    return {
        "id": id,
        "tenant": str(tenant.id),
        "customer_number": f"K{1_000_000 + id}",
        "kind": "company",
        "name": tenant.name,
        "personnummer": None,
        "organisation_number": f"5599990{id}",
        "address": f"Företagsgatan {id}",
        "postal_code": "11420",
        "city": "Stockholm",
        "email": f"avtal@{tenant.name.lower().translate(str.maketrans('äå', 'aa')).split()[0]}.example",
        "msisdn": SWITCHBOARD,
        "language": "sv",
        "protected_identity": False,
        "created_at": calendar.months_ago(LONGEST_HISTORY),
    }


def _agreement(customer: int, tenant: Tenant, started: datetime, ended: datetime | None) -> dict:
    return {"id": customer, "tenant": str(tenant.id), "customer": customer, "started_at": started, "ended_at": ended}


def _service(id: int, line: Line) -> dict:
    return {
        "id": id,
        "tenant": str(PRIVATE.id),
        "agreement": PEOPLE[line.payer].id,
        "user_customer": PEOPLE[line.user].id,
        "product": line.product,
        "msisdn": line.msisdn,
        "agent_number": None,
        "valid_from": line.valid_from,
        "valid_to": line.valid_to,
    }


def _contact_centres(calendar: Calendar) -> list[dict]:
    agents = [(a.number, a.msisdn, a.tenant) for a in AGENTS.values()]
    agents += [(d.number, d.msisdn, d.tenant) for d in DESKS if d.tenant in COMPANIES]
    return [
        {
            "id": 101 + n,
            "tenant": str(tenant.id),
            "agreement": COMPANIES[tenant],
            "user_customer": COMPANIES[tenant],
            "product": "contact_centre",
            "msisdn": msisdn,
            "agent_number": number,
            "valid_from": calendar.months_ago(LONGEST_HISTORY),
            "valid_to": None,
        }
        for n, (number, msisdn, tenant) in enumerate(agents)
    ]


def _number_period(id: int, line: Line) -> dict:
    return {
        "id": id,
        "tenant": str(PRIVATE.id),
        "msisdn": line.msisdn,
        "customer": PEOPLE[line.user].id,
        "valid_from": line.valid_from,
        "valid_to": line.valid_to,
    }


def _invoices(calendar: Calendar, key: str) -> Iterator[dict]:
    """One per month of the agreement, issued on the first of the next month and paid four days later, unless a case says."""
    life, person = LIVES[key], PEOPLE[key]
    for age in range(min(life.joined, LONGEST_HISTORY), life.ended or 0, -1):
        issued = calendar.month(age - 1)
        yield {
            "id": (id := invoice_id(person.id, absolute_month(calendar.month(age)))),
            "tenant": str(person.tenant.id),
            "customer": person.id,
            "number": f"F{id}",
            "issued_at": issued,
            "due_at": issued + timedelta(days=30),
            "amount_ore": 19_900 + 1_000 * (age % 7),
            "currency": "SEK",
            "paid_at": issued + timedelta(days=4, hours=9) if _is_paid(calendar, key, age) else None,
            **_claim(calendar, key, age),
        }


def _is_paid(calendar: Calendar, key: str, traffic_age: int) -> bool:
    """Doris disputes one and Ulf has forgotten one; Anna's last one is still open, and nobody pays on the day of issue."""
    unpaid = {
        "doris": CASES[3].facts["disputed_month"] + 1,
        "ulf": CASES[3].facts["unpaid_month"],
        "anna": 1,
    }
    issued = calendar.month(traffic_age - 1)
    return unpaid.get(key) != traffic_age and issued + timedelta(days=5) <= calendar.now


def _claim(calendar: Calendar, key: str, traffic_age: int) -> dict:
    facts = CASES[3].facts
    if key != "doris" or traffic_age != facts["disputed_month"] + 1:
        return {}
    return {
        "disputed_at": calendar.month(traffic_age - 1, day=21),
        "claim_reference": facts["claim"],
        "claim_owner": facts["claim_owner"],
        "claim_until": calendar.months_ago(-6),
    }


def crowd_tables(seed: int, calendar: Calendar, people: Crowd) -> Iterator[tuple[str, pa.Table]]:
    joined = _instants([calendar.months_ago(m) for m in range(LONGEST_HISTORY + 1)], people.joined)
    left = _instants([calendar.months_ago(m) for m in range(LONGEST_HISTORY + 1)], people.left)
    ids, tenant = pa.array(people.ids), pa.repeat(str(PRIVATE.id), len(people.ids))
    msisdn = pc.cast(pa.array(people.msisdn), pa.string())
    yield "customer", _customers(seed, people, joined, msisdn)
    yield (
        "agreement",
        columns(BILLING["agreement"], id=ids, tenant=tenant, customer=ids, started_at=joined, ended_at=left),
    )
    yield (
        "service",
        columns(
            BILLING["service"],
            id=ids,
            tenant=tenant,
            agreement=ids,
            user_customer=ids,
            product=pa.repeat("mobile", len(ids)),
            msisdn=msisdn,
            agent_number=pa.nulls(len(ids), pa.string()),
            valid_from=joined,
            valid_to=left,
        ),
    )
    yield (
        "number_period",
        columns(
            BILLING["number_period"],
            id=ids,
            tenant=tenant,
            msisdn=msisdn,
            customer=ids,
            valid_from=joined,
            valid_to=left,
        ),
    )
    for age in range(ALL_MONTHS, 0, -1):
        yield "invoice", _month_of_invoices(seed, calendar, people, age)


def _customers(seed: int, people: Crowd, joined: pa.Array, msisdn: pa.Array) -> pa.Table:
    rng = np.random.default_rng([seed, 2])
    size = range(len(people.ids))
    return columns(
        BILLING["customer"],
        id=pa.array(people.ids),
        tenant=pa.repeat(str(PRIVATE.id), len(size)),
        customer_number=[people.customer_number(i) for i in size],
        kind=pa.repeat("private", len(size)),
        name=people.names,
        personnummer=people.personnummer,
        organisation_number=pa.nulls(len(size), pa.string()),
        address=people.streets,
        postal_code=[TOWNS[t][0] for t in people.towns],
        city=[TOWNS[t][1] for t in people.towns],
        email=[people.email(i) for i in size],
        msisdn=msisdn,
        language=["en" if english else "sv" for english in people.english],
        protected_identity=rng.random(len(size)) < 0.005,
        created_at=joined,
    )


def _month_of_invoices(seed: int, calendar: Calendar, people: Crowd, age: int) -> pa.Table:
    """19 of 20 are paid within the month; of what is older than a quarter nearly everything is."""
    rng = np.random.default_rng([seed, 3, age])
    customers = people.ids[people.active(age)]
    ids = customers * 100_000 + absolute_month(calendar.month(age))
    issued = calendar.month(age - 1)
    paid = np.datetime64(issued.replace(tzinfo=None), "us") + rng.integers(3, 29, len(ids)) * np.timedelta64(1, "D")
    settled = (rng.random(len(ids)) < (0.95 if age <= 3 else 0.995)) & (paid <= np.datetime64(calendar.today))
    nothing = pa.nulls(len(ids), pa.string())
    never = pa.nulls(len(ids), BILLING["invoice"].field("disputed_at").type)
    return columns(
        BILLING["invoice"],
        id=ids,
        tenant=pa.repeat(str(PRIVATE.id), len(ids)),
        customer=customers,
        number=pc.binary_join_element_wise("F", pc.cast(pa.array(ids), pa.string()), ""),
        issued_at=pa.repeat(pa.scalar(issued), len(ids)),
        due_at=pa.repeat(pa.scalar(issued + timedelta(days=30)), len(ids)),
        amount_ore=rng.integers(99, 900, len(ids)) * 100,
        currency=pa.repeat("SEK", len(ids)),
        paid_at=pa.array(paid, mask=~settled),
        disputed_at=never,
        claim_reference=nothing,
        claim_owner=nothing,
        claim_until=never,
    )


def _instants(by_age: list[datetime], ages: np.ndarray) -> pa.Array:
    return pa.array([None if age < 0 else by_age[age] for age in ages], BILLING["agreement"].field("started_at").type)
