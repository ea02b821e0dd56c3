"""The rules of an order, one case a legal clause, judged by the operator's first book. Case 11 of the sample among
them.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.contract import PolicyBook
from services.requests.disclosure.contract import PlaceOrder, StateForbidden, TargetIdentifier, TaskKind, TaskStatus
from services.requests.disclosure.rules import fields, states, targets, times
from services.requests.disclosure.rules.validation import Case, Competence, faults
from tests.disclosure.house import an_order, first_book

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
GERMAN = Competence(
    "DE", ("epoc_subscriber", "epoc_traffic", "epoc_emergency", "epoc_preservation", "epoc_notified", "third_country")
)
SWEDISH = Competence("SE", tuple(row.key for row in first_book().instruments if row.country == "SE"))


@pytest.fixture(scope="module")
def book() -> PolicyBook:
    return first_book().on(date(2027, 1, 15))


def order(**changed: Any) -> PlaceOrder:
    """A valid European order for traffic data, bent by `changed`."""
    usual = {
        "instrument": "epoc_traffic",
        "reference": "GStA 12/27",
        "issuer": {"kind": "judge", "name": "AG München"},
        "legal_provision": "Art. 5(4)",
        "served_at": "2027-01-15T08:00:00Z",
        "period": {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"},
        "offence": {"max_years": 5},
    }
    return PlaceOrder.model_validate(an_order(**(usual | changed)), strict=False)


def codes(found: PlaceOrder, book: PolicyBook, competence: Competence = GERMAN, **more: Any) -> list[str]:
    return [fault.code for fault in faults(Case(found, competence, book, NOW, **more))]


def one(type: str, value: str, **more: Any) -> dict[str, Any]:
    return {"identifiers": [{"type": type, "value": value} | more]}


def task(**more: Any) -> dict[str, Any]:
    return {"tasks": [{"kind": "LD", "category": "traffic"} | more]}


PROSECUTOR = {"issuer": {"kind": "prosecutor", "name": "StA München"}}
JUDGE = {"validator": {"kind": "judge", "name": "AG München"}}
SUBSCRIBER = {"instrument": "epoc_subscriber", "tasks": [{"kind": "LD", "category": "subscriber"}]}
EMERGENCY = {"instrument": "epoc_emergency", "issuer": {"kind": "police", "name": "BKA"}, "tasks": SUBSCRIBER["tasks"]}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        # Case 11: a prosecutor alone, for traffic; validated by a judge; for subscriber data.
        (PROSECUTOR, ["AUTHORITY_NOT_COMPETENT"]),
        (PROSECUTOR | JUDGE, []),
        (PROSECUTOR | {"validator": {"kind": "prosecutor", "name": "GStA"}}, ["AUTHORITY_NOT_COMPETENT"]),
        (PROSECUTOR | SUBSCRIBER, []),
        (SUBSCRIBER | {"issuer": {"kind": "police", "name": "LKA"}}, ["VALIDATION_MISSING"]),
        (SUBSCRIBER | {"issuer": {"kind": "police", "name": "LKA"}} | JUDGE, []),
        (SUBSCRIBER | task(), ["AUTHORITY_NOT_COMPETENT"]),
        ({"instrument": "se_intelligence"}, ["AUTHORITY_NOT_COMPETENT", "AUTHORITY_NOT_COMPETENT"]),
        ({"instrument": "nothing_such"}, ["DICT_UNKNOWN"]),
        ({"instrument": "third_country", "issuer": {"kind": "foreign", "name": "FBI"}}, ["REJECT_USE_MLAT"]),
        # What the offence must be.
        ({"offence": None}, ["OFFENCE_THRESHOLD"]),
        ({"offence": {"max_years": 2.5}}, ["OFFENCE_THRESHOLD"]),
        ({"offence": {"max_years": 1, "listed": True}}, []),
        ({"offence": {"max_years": 3}}, []),
        # Emergencies without validation are narrow and short.
        (EMERGENCY, []),
        (EMERGENCY | task(), ["EMERGENCY_SCOPE"]),
        (EMERGENCY | {"served_at": "2027-01-13T11:00:00Z"}, ["EMERGENCY_UNVALIDATED"]),
        (EMERGENCY | {"served_at": "2027-01-13T11:00:00Z"} | JUDGE, []),
        ({"emergency": True}, []),
        # Whom it names.
        ({"identifiers": []}, ["NO_TARGET"]),
        (one("InternationalE164", "+46701740611"), ["BAD_IDENTIFIER"]),
        (one("InternationalE164", "070-174 06 11"), ["BAD_IDENTIFIER"]),
        (one("InternationalE164", "4670174*"), ["WILDCARD"]),
        (one("InternationalE164", "4670174%"), ["WILDCARD"]),
        (one("IMSI", "24001"), ["BAD_IDENTIFIER"]),
        (one("MACAddress", "02:00:5E:10:00:01"), ["BAD_IDENTIFIER"]),
        (one("MACAddress", "02:00:5e:10:00:01"), []),
        (one("IPv6Address", "2001:db8::1", at="2026-11-05T10:00:00Z"), ["BAD_IDENTIFIER"]),
        (one("IPv6Address", "2001:0db8:0000:0000:0000:0000:0000:0001", at="2026-11-05T10:00:00Z"), []),
        (one("IPv4Address", "198.51.100.14"), ["SHARED_IP_NEEDS_TIME"]),
        (one("IPv4Address", "198.51.100.14", at="2026-11-05T10:00:00Z"), []),
        (one("IPv4Address", "198.51.100.0/24"), ["CIDR"]),
        (one("IPv4CIDR", "198.51.100.0/24"), ["CIDR"]),
        (one("CGI", "240-01-00ff-0001"), ["CELL"]),
        (one("ShoeSize", "43"), ["DICT_UNKNOWN"]),
        (one("EmailAddress", "a*b@epost.example"), []),
        ({"identifiers": [{"type": "InternationalE164", "value": str(46701740000 + n)} for n in range(21)]}, ["TOO_MANY_TARGETS"]),
        ({"identifiers": [{"type": "InternationalE164", "value": "46701740611"}] * 2}, ["DUPLICATE"]),
        # When.
        ({"period": {"from": "2026-11-01T00:00:00Z"}}, ["PERIOD_OPEN"]),
        ({"period": {"from": "2026-12-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}}, ["PERIOD_INVERTED"]),
        ({"period": {"from": "2027-01-01T00:00:00Z", "to": "2027-02-01T00:00:00Z"}}, ["PERIOD_FUTURE"]),
        ({"served_at": "2027-01-16T08:00:00Z"}, ["PERIOD_FUTURE"]),
        (task(period={"from": "2026-10-01T00:00:00Z", "to": "2026-11-15T00:00:00Z"}), ["PERIOD_OUTSIDE_AUTH"]),
        (task(period={"from": "2026-11-10T00:00:00Z", "to": "2026-11-15T00:00:00Z"}), []),
        # What.
        (task(category="everything"), ["DICT_UNKNOWN"]),
        (task(subtype="shoe_size"), ["DICT_UNKNOWN"]),
        (task(subtype="without_addresses"), []),
        (task(category="content"), ["CONTROLLER_FIRST"]),
        (task(category="content") | {"controller_addressing": "The company is itself under investigation"}, []),
        (task(kind="LP"), ["AUTHORITY_NOT_COMPETENT"]),
        (task(kind="LI"), ["FEATURE"]),
        # The paper.
        ({"documents": [{"name": "order.pdf", "sha256": "0" * 64, "signed": False}]}, ["UNSIGNED"]),
        ({"documents": [{"name": "order.pdf", "sha256": "0" * 64, "signed": True}]}, []),
    ],
)  # fmt: skip
def test_an_order_is_judged_by_the_book(book: PolicyBook, changed: dict[str, Any], expected: list[str]) -> None:
    assert codes(order(**changed), book) == expected


def test_every_fault_says_where_and_what_to_do(book: PolicyBook) -> None:
    found = faults(Case(order(identifiers=[], **PROSECUTOR), GERMAN, book, NOW))
    assert [(fault.code, fault.path, fault.etsi_code) for fault in found] == [
        ("AUTHORITY_NOT_COMPETENT", "issuer.kind", 3000),
        ("NO_TARGET", "identifiers", 3005),
    ]
    assert all(fault.rule and fault.remedy for fault in found)


def test_the_same_reference_again_is_a_duplicate(book: PolicyBook) -> None:
    assert codes(order(), book, duplicate=True) == ["DUPLICATE"]


def test_a_foreign_authority_has_no_swedish_instrument(book: PolicyBook) -> None:
    wish = order(instrument="se_secret_surveillance", issuer={"kind": "court", "name": "AG München"})
    assert codes(wish, book) == ["AUTHORITY_NOT_COMPETENT"]
    assert codes(wish, book, SWEDISH) == []


def test_european_orders_begin_on_their_day() -> None:
    assert codes(order(), first_book().on(date(2026, 8, 17))) == ["DICT_UNKNOWN"]
    assert codes(order(), first_book().on(date(2026, 8, 18))) == []


def test_a_longest_period_of_the_book_is_kept(book: PolicyBook) -> None:
    bent = book.model_dump(mode="json")
    for row in bent["instruments"]:
        row["longest_period"] = "1 month" if row["key"] == "epoc_traffic" else None
    changed = PolicyBook.model_validate(bent, strict=False)
    assert codes(order(), changed) == []
    assert codes(order(period={"from": "2026-10-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}), changed) == [
        "PERIOD_TOO_LONG"
    ]


@pytest.mark.parametrize(
    ("instrument", "emergency", "due"),
    [
        ("epoc_subscriber", False, "2027-01-25T23:00:00+00:00"),  # ten whole days, the last one in Swedish time
        ("epoc_subscriber", True, "2027-01-15T16:00:00+00:00"),
        ("se_preservation", False, "2027-01-15T08:00:00+00:00"),
        ("se_subscription", False, None),
    ],
)
def test_the_deadline_counts_from_service(book: PolicyBook, instrument: str, emergency: bool, due: str | None) -> None:
    found = times.due_at(book.instrument(instrument), datetime(2027, 1, 15, 8, tzinfo=UTC), emergency, book)
    assert (found.isoformat() if found else None) == due


def test_every_instrument_that_preserves_says_for_how_long(book: PolicyBook) -> None:
    for instrument in book.instruments:
        if "preservation" in instrument.kinds and not instrument.refused_with:
            assert times.held_until(instrument, NOW, book) > NOW
    assert times.held_until(book.instrument("se_preservation"), NOW, book) - NOW > timedelta(days=90)
    assert [row.key for row in book.instruments if times.holds_at_once(row)] == ["epoc_preservation", "se_preservation"]


def test_the_whitelist_names_only_what_the_book_lets_a_category_have(book: PolicyBook) -> None:
    for category in book.order_categories:
        for subtype, elements in fields.whitelist()[category.key].items():
            assert elements <= set(category.elements), subtype
        assert fields.whitelist()[category.key]["all"] == set(category.elements)


def test_the_other_partys_number_is_disclosed_for_traffic_only() -> None:
    columns = [("caller", "participants"), ("callee", "participants"), ("name", "name"), ("note", "helpdesk_chat")]
    assert fields.disclosed("traffic", None, columns) == [0, 1]
    assert fields.disclosed("subscriber", None, columns) == [2]


LD, LP = TaskKind.LD, TaskKind.LP


@pytest.mark.parametrize(
    ("kind", "way", "end"),
    [
        (LD, ["approve", "disclose"], "Disclosed"),
        (LD, ["approve", "find_nothing"], "DisclosureNotAvailable"),
        (LD, ["reject"], "Rejected"),
        (LD, ["approve", "cancel"], "Cancelled"),
        (LD, ["approve", "fail"], "Error"),
        (LD, ["void"], "Invalid"),
        (LP, ["approve", "expire"], "Expired"),
        (LP, ["approve", "extend", "cancel"], "Cancelled"),
        (LP, ["find_nothing"], "PreservationNotAvailable"),
        (LP, ["reject"], "Rejected"),
    ],
)
def test_a_task_goes_the_way_of_the_standard(kind: TaskKind, way: list[str], end: str) -> None:
    status = states.FIRST[kind]
    for event in way:
        status = states.moved(kind, status, event)
    assert status == end
    assert states.ends(kind, status)


@given(st.sampled_from(list(TaskKind)[:2]), st.sampled_from(list(TaskStatus)), st.text(max_size=12))
def test_what_the_tables_do_not_name_does_not_happen(kind: TaskKind, status: TaskStatus, event: str) -> None:
    if (status, event) not in states.MACHINES[kind]:
        with pytest.raises(StateForbidden):
            states.moved(kind, status, event)


def test_a_disclosed_task_stays_disclosed() -> None:
    for event in {event for _, event in states.MACHINES[LD]}:
        with pytest.raises(StateForbidden):
            states.moved(LD, TaskStatus.Disclosed, event)


def test_an_address_finds_nothing_in_stores_that_do_not_know_it() -> None:
    address = TargetIdentifier(type="IPv4Address", value="198.51.100.14", at=NOW)
    assert targets.known_as(address) is None
    assert targets.known_as(TargetIdentifier(type="EmailAddress", value="Saga@Epost.Example")) == (
        "email",
        "saga@epost.example",
    )


def test_a_right_holders_order_reads_the_business_copy_only(book: PolicyBook) -> None:
    assert book.instrument("right_holder_information").copies == ("business",)
    assert book.instrument("se_secret_surveillance").copies == ("business", "retention")
