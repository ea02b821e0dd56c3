"""May a record stay? One case per clause of the book; and the stores answer the same as the pure decision."""

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ops.postgres import Postgres
from services.anonymizer import datamap
from services.anonymizer.connectors.postgresql.verify import Search
from services.anonymizer.house import LONG_AGO
from services.anonymizer.rules.facts import Facts, Invoices, OpenInvoice, Terms, billed_by, facts_of, latest
from services.anonymizer.rules.person import Person
from services.anonymizer.rules.pushdown import Params, verdicts
from services.anonymizer.rules.retention import decide
from services.registry.contract import NotInBook, PolicyBook

ROOT = Path(__file__).parents[2]
BOOK = PolicyBook.model_validate_json(
    json.dumps(yaml.safe_load((ROOT / "policy" / "book.yaml").read_text()), default=str)
)
MAP = datamap.load(ROOT / "policy" / "stores")
NOW = datetime(2027, 3, 15, 12, tzinfo=UTC)


def ago(**by: int) -> datetime:
    """A day counted back from NOW in the book's calendar, at noon."""
    months = by.pop("months", 0)
    year, month = divmod(NOW.year * 12 + NOW.month - 1 - months, 12)
    return datetime(year, month + 1, NOW.day, 12, tzinfo=UTC) - timedelta(**by)


def fact(
    element: str, store_class: str = "business", kind: str | None = None, conditions: tuple[str, ...] = (), **anchors
):
    return Facts(element, store_class, kind, anchors, frozenset(conditions))


def call(**told):
    told = {"started_at": ago(months=2), "invoice_paid": ago(months=1)} | told
    return fact("participants", kind="mobile_call", **told)


def retained(kind: str, element: str = "participants", **told):
    return fact(element, "retention", kind, **told)


CLAUSES = [
    # what is asked, the record, what is decided, by which row
    ("sweep", call(), "anonymise", "traffic_for_invoicing"),
    ("sweep", call(invoice_paid=None, conditions=("invoice_unpaid",)), "keep", "traffic_for_invoicing.invoice_unpaid"),
    (
        "sweep",
        call(started_at=ago(months=24), invoice_paid=None, conditions=("invoice_unpaid",)),
        "keep",
        "traffic_for_invoicing.invoice_unpaid",
    ),
    (
        "sweep",
        call(started_at=ago(months=24, days=1), invoice_paid=None, conditions=("invoice_unpaid",)),
        "anonymise",
        "traffic_for_invoicing",
    ),
    (
        "sweep",
        call(started_at=ago(months=25), invoice_paid=None, conditions=("invoice_unpaid", "claim_open")),
        "keep",
        "traffic_for_invoicing.claim_open",
    ),
    ("deletion", call(), "delete", "deletion"),
    (
        "deletion",
        call(invoice_paid=None, conditions=("invoice_unpaid",)),
        "keep",
        "traffic_for_invoicing.invoice_unpaid",
    ),
    ("sweep", retained("mobile_call", started_at=ago(months=6)), "keep", "retained_mobile_telephony"),
    ("deletion", retained("mobile_call", started_at=ago(months=6)), "keep", "retained_mobile_telephony"),
    ("sweep", retained("mobile_call", started_at=ago(months=6, days=1)), "delete", "retained_mobile_telephony"),
    ("deletion", retained("sms", started_at=ago(months=6, days=1)), "delete", "deletion"),
    ("sweep", retained("data", started_at=ago(months=10)), "keep", "retained_internet_access"),
    ("sweep", retained("data", started_at=ago(months=10, days=1)), "delete", "retained_internet_access"),
    ("sweep", retained("location", "location", started_at=ago(months=2)), "keep", "retained_location"),
    ("sweep", retained("location", "location", started_at=ago(months=2, days=1)), "delete", "retained_location"),
    ("sweep", retained("fixed_call", started_at=ago(days=1)), "delete", "retained_fixed_telephony"),
    (
        "sweep",
        fact("agreement_details", agreement_ended=None, conditions=("agreement_running",)),
        "keep",
        "agreement_data.agreement_running",
    ),
    ("sweep", fact("agreement_details", agreement_ended=ago(months=12)), "keep", "agreement_data"),
    ("sweep", fact("agreement_details", agreement_ended=ago(months=12, days=1)), "delete", "agreement_data"),
    (
        "sweep",
        fact("agreement_details", agreement_ended=ago(months=13), conditions=("invoice_unpaid",)),
        "keep",
        "agreement_data.invoice_unpaid",
    ),
    (
        "deletion",
        fact("agreement_details", agreement_ended=None, conditions=("agreement_running",)),
        "keep",
        "agreement_data.agreement_running",
    ),
    ("deletion", fact("agreement_details", agreement_ended=ago(days=1)), "delete", "deletion"),
    (
        "sweep",
        fact("invoice_details", financial_year_ended=datetime(2020, 1, 2, tzinfo=UTC)),
        "keep",
        "accounting_records",
    ),
    (
        "sweep",
        fact("invoice_details", financial_year_ended=datetime(2019, 12, 30, tzinfo=UTC)),
        "delete",
        "accounting_records",
    ),
    (
        "deletion",
        fact("invoice_details", financial_year_ended=datetime(2020, 1, 2, tzinfo=UTC)),
        "keep",
        "accounting_records",
    ),
    ("sweep", fact("helpdesk_chat", closed_at=ago(days=90)), "keep", "helpdesk_conversations"),
    ("sweep", fact("helpdesk_chat", closed_at=ago(days=91)), "anonymise", "helpdesk_conversations"),
    (
        "sweep",
        fact("helpdesk_ticket", closed_at=None, conditions=("case_open",)),
        "keep",
        "helpdesk_conversations.case_open",
    ),
    ("deletion", fact("helpdesk_chat", closed_at=ago(days=1)), "delete", "deletion"),
    ("sweep", fact("helpdesk_recording", started_at=ago(days=30)), "keep", "helpdesk_recordings"),
    ("sweep", fact("helpdesk_recording", started_at=ago(days=31)), "delete", "helpdesk_recordings"),
    ("deletion", fact("helpdesk_recording", started_at=ago(days=12)), "delete", "deletion"),
    ("sweep", fact("authentication_log", "system", created_at=ago(days=7)), "keep", "authentication_logs_system"),
    ("sweep", fact("authentication_log", "system", created_at=ago(days=8)), "delete", "authentication_logs_system"),
]


@pytest.mark.parametrize(("asked", "record", "action", "rule"), CLAUSES)
def test_each_clause_of_the_book_decides_its_record(asked, record, action, rule):
    decision = decide(record, BOOK, NOW, asked)
    assert (decision.action, decision.rule) == (action, rule)
    assert decision.legal_ref and decision.reason.sv and decision.reason.en


def test_what_is_kept_says_until_which_day():
    assert decide(retained("mobile_call", started_at=ago(months=2)), BOOK, NOW).until == date(2027, 7, 15)
    assert decide(call(invoice_paid=None, conditions=("invoice_unpaid",)), BOOK, NOW).until == date(2029, 1, 15)
    assert (
        decide(fact("agreement_details", agreement_ended=None, conditions=("agreement_running",)), BOOK, NOW).until
        is None
    )


def test_a_record_that_no_rule_covers_is_never_let_go():
    with pytest.raises(NotInBook):
        decide(fact("participants", "retention", kind="telepathy", started_at=ago(months=99)), BOOK, NOW)


def test_one_changed_row_of_the_book_changes_the_decision():
    def longer(row):
        return row.model_copy(update={"keep": type(row.keep).model_validate("31 days")})

    changed = BOOK.model_copy(
        update={"retention": tuple(longer(row) if row.key == "helpdesk_recordings" else row for row in BOOK.retention)}
    )
    day_31 = fact("helpdesk_recording", started_at=ago(days=31))
    assert (decide(day_31, BOOK, NOW).action, decide(day_31, changed, NOW).action) == ("delete", "keep")


@given(st.datetimes(datetime(2023, 1, 1), datetime(2027, 3, 15), timezones=st.just(UTC)), st.integers(0, 40_000))
def test_what_a_sweep_once_let_go_it_never_keeps_later(started_at, hours):
    record = call(started_at=started_at, invoice_paid=started_at)
    if decide(record, BOOK, NOW).action != "keep":
        assert decide(record, BOOK, NOW + timedelta(hours=hours)).action != "keep"


@given(st.sampled_from([record for asked, record, _, _ in CLAUSES if asked == "sweep"]))
def test_a_persons_deletion_keeps_nothing_that_a_sweep_lets_go(record):
    if decide(record, BOOK, NOW, "sweep").action != "keep":
        assert decide(record, BOOK, NOW, "deletion").action == "delete"


# --- the same rules as SQL -----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(server: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """All three of the operator's databases in one, empty."""
    name = f"rules_{uuid4().hex[:12]}"
    admin = await server.connect()
    await admin.execute(f"CREATE DATABASE {name}")
    connection = await server.connect(name)
    for ddl in ("billing", "calls", "helpdesk"):
        await connection.execute((ROOT / "sample" / "ddl" / f"{ddl}.sql").read_text())
    for table in ("call_record", "retained_call_record", "location_record"):
        await connection.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
    await connection.execute("SET timezone = 'UTC'")
    yield connection
    await connection.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


RANDOM = random.Random(20270315)
TENANT = uuid4()
CALLS = 4000
PEOPLE = 150


def moment(most_months: int = 30) -> datetime:
    """Often beside a day on which some period ends, where mistakes are."""
    edge = RANDOM.choice([1, 2, 6, 10, 12, 24, most_months])
    if RANDOM.random() < 0.6:
        return ago(months=edge) + timedelta(hours=RANDOM.randrange(-60, 60))
    return NOW - timedelta(minutes=RANDOM.randrange(most_months * 43_200))


def some_invoices() -> Invoices:
    def one() -> OpenInvoice:
        paid = RANDOM.choice([None, None, NOW - timedelta(seconds=1), NOW - timedelta(days=20)])
        claim = RANDOM.choice([None, NOW + timedelta(days=3), NOW - timedelta(days=3)]) if paid is None else None
        return OpenInvoice(paid, claim)

    return Invoices({id: one() for id in range(1, 40)}, LONG_AGO)


async def answered(
    connection, store_name: str, name: str, terms: Terms, asked: str
) -> dict[int, tuple[str, str] | None]:
    """What the SQL says of each row: (action, rule)."""
    its, params = MAP.stores[store_name], Params()
    decided = verdicts(its, its.tables[name], terms, asked, params)
    rows = await connection.fetch(f"SELECT t.id, {decided.number} AS v FROM {name} t", *params)
    branches = [(branch.decision.action, branch.decision.rule) for branch in decided.branches]
    return {row["id"]: None if row["v"] is None else branches[row["v"]] for row in rows}


@pytest.mark.parametrize("name", ["call_record", "retained_call_record", "location_record"])
@pytest.mark.parametrize("asked", ["sweep", "deletion"])
async def test_the_store_decides_each_call_as_the_pure_rule_does(store, name, asked):
    table, invoices = MAP.stores["calls"].tables[name], some_invoices()
    terms = Terms(BOOK, NOW, invoices)
    columns = {
        "call_record": "kind, caller, area, invoice, duration_ms",
        "retained_call_record": "kind, caller, duration_ms",
        "location_record": "msisdn, cell",
    }[name]
    kinds = ["mobile_call", "sms", "fixed_call", "data"]
    rows = []
    for id in range(CALLS):
        values = {
            "kind": RANDOM.choice(kinds),
            "caller": "46700000000",
            "area": "01",
            "msisdn": "46700000000",
            "cell": "1",
            "invoice": RANDOM.choice([None, *range(1, 60)]),
            "duration_ms": 1,
        }
        rows.append((id, TENANT, moment(), *(values[column] for column in columns.split(", "))))
    await store.execute(f"TRUNCATE {name}")
    await store.copy_records_to_table(name, records=rows, columns=["id", "tenant", "started_at", *columns.split(", ")])
    seen = await answered(store, "calls", name, terms, asked)
    for row in await store.fetch(f"SELECT * FROM {name}"):
        decision = decide(facts_of(table, row, {"started_at": row["started_at"]}, frozenset(), terms), BOOK, NOW, asked)
        assert seen[row["id"]] == (decision.action, decision.rule), dict(row)
    assert len({answer for answer in seen.values()}) >= 2


@pytest.mark.parametrize("asked", ["sweep", "deletion"])
async def test_billing_decides_each_row_as_the_pure_rule_does(store, asked):
    await _some_customers(store)
    billing = MAP.stores["billing"]
    terms = Terms(BOOK, NOW, Invoices({}, LONG_AGO))
    nobody = Person(uuid4(), TENANT, ())
    for name in billing.tables:
        seen = await answered(store, "billing", name, terms, asked)
        search = Search(store, billing, name, nobody, terms, frozenset())
        for row in await store.fetch(f"SELECT * FROM {name}"):
            decision = decide(await search.facts(row), BOOK, NOW, asked)
            assert seen[row["id"]] == (decision.action, decision.rule), (name, dict(row))
        assert len(set(seen.values())) >= 3, name


async def _some_customers(store) -> None:
    """Agreements running and ended, some with several, some with none; services used on somebody else's agreement."""
    await store.execute("TRUNCATE customer, agreement, service, invoice, number_period CASCADE")
    people = [
        (id, TENANT, f"K{id:07}", "private", "N", "A", "1", "C", f"{id}@x.example", "sv", moment(80))
        for id in range(PEOPLE)
    ]
    await store.copy_records_to_table(
        "customer",
        records=people,
        columns=[
            "id",
            "tenant",
            "customer_number",
            "kind",
            "name",
            "address",
            "postal_code",
            "city",
            "email",
            "language",
            "created_at",
        ],
    )
    agreements = [
        (id, TENANT, RANDOM.randrange(PEOPLE), moment(60), RANDOM.choice([None, moment(), moment()]))
        for id in range(PEOPLE)
    ]
    await store.copy_records_to_table(
        "agreement", records=agreements, columns=["id", "tenant", "customer", "started_at", "ended_at"]
    )
    services = [
        (
            id,
            TENANT,
            RANDOM.randrange(PEOPLE),
            RANDOM.randrange(PEOPLE),
            "mobile",
            "46700000000",
            moment(60),
            RANDOM.choice([None, moment()]),
        )
        for id in range(PEOPLE)
    ]
    await store.copy_records_to_table(
        "service",
        records=services,
        columns=["id", "tenant", "agreement", "user_customer", "product", "msisdn", "valid_from", "valid_to"],
    )
    invoices = []
    for id in range(PEOPLE * 2):
        paid = RANDOM.choice([None, moment(), moment(), moment(), moment(), moment()])
        claim = RANDOM.choice([None, NOW + timedelta(days=3), NOW - timedelta(days=3)]) if paid is None else None
        words = ("ref", "owner") if claim else (None, None)
        issued = RANDOM.choice(
            [moment(), datetime(2019, 12, 31, 22, tzinfo=UTC), datetime(2019, 12, 31, 23, 30, tzinfo=UTC)]
        )
        invoices.append((id, TENANT, RANDOM.randrange(PEOPLE), f"F{id}", issued, issued, 1, "SEK", paid, *words, claim))
    await store.copy_records_to_table(
        "invoice",
        records=invoices,
        columns=[
            "id",
            "tenant",
            "customer",
            "number",
            "issued_at",
            "due_at",
            "amount_ore",
            "currency",
            "paid_at",
            "claim_reference",
            "claim_owner",
            "claim_until",
        ],
    )
    periods = [(id, TENANT, "46700000000", RANDOM.randrange(PEOPLE), moment(60), None) for id in range(PEOPLE)]
    await store.copy_records_to_table(
        "number_period", records=periods, columns=["id", "tenant", "msisdn", "customer", "valid_from", "valid_to"]
    )


def test_facts_about_several_invoices_and_ends():
    assert billed_by([(NOW, None), (None, NOW + timedelta(days=1))], NOW) == {"invoice_unpaid", "claim_open"}
    assert billed_by([(None, NOW - timedelta(days=1))], NOW) == {"invoice_unpaid"}
    assert latest([NOW, None], NOW) is None
    assert latest([], ago(days=3)) == ago(days=3)
