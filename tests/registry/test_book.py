"""The book's model refuses what is no rule, its faults come at once, and the first book says what was promised."""

from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import yaml

from services.registry.books import BookRefused, read_book
from services.registry.contract import NotInBook, PolicyBook, faults

ROOT = Path(__file__).parents[2]


def plain(book: PolicyBook) -> dict[str, Any]:
    return book.model_dump(mode="json")


def bent(book: PolicyBook, change: Any) -> PolicyBook:
    data = plain(book)
    change(data)
    return PolicyBook.model_validate_json(orjson.dumps(data))


def row(data: dict[str, Any], table: str, key: str) -> dict[str, Any]:
    return next(row for row in data[table] if row["key"] == key)


def test_the_first_book_has_no_fault(book: PolicyBook) -> None:
    assert faults(book) == []


def lengthen_by_law(data: dict[str, Any]) -> None:
    row(data, "retention", "retained_location")["keep"] = "3 months"


def shorten_by_law(data: dict[str, Any]) -> None:
    row(data, "retention", "accounting_records")["keep"] = "7 years"


def break_a_promise(data: dict[str, Any]) -> None:
    row(data, "retention", "helpdesk_recordings")["keep"] = "31 days"


def default_outside_bounds(data: dict[str, Any]) -> None:
    row(data, "retention", "service_objects")["keep"] = "25 months"


def bounds_forgotten(data: dict[str, Any]) -> None:
    row(data, "retention", "service_objects")["max"] = None


def purpose_without_basis(data: dict[str, Any]) -> None:
    data["bases"] = [row for row in data["bases"] if row["purpose"] != "development"]


def two_bases(data: dict[str, Any]) -> None:
    data["bases"].append(dict(data["bases"][0], basis="consent"))


def category_nobody_collects(data: dict[str, Any]) -> None:
    data["collection"] = [row for row in data["collection"] if row["key"] != "on_entry"]


def recipient_without_condition(data: dict[str, Any]) -> None:
    row(data, "recipients", "others")["condition"] = None


def the_same_rule_twice(data: dict[str, Any]) -> None:
    data["rights"].append(dict(row(data, "rights", "access"), valid_from="2026-01-01"))


def two_rules_for_one_record(data: dict[str, Any]) -> None:
    data["retention"].append(dict(row(data, "retention", "helpdesk_recordings"), key="another"))


def element_kept_for_no_time(data: dict[str, Any]) -> None:
    data["retention"] = [row for row in data["retention"] if row["key"] != "cctv_images"]


def unknown_element(data: dict[str, Any]) -> None:
    row(data, "retention", "helpdesk_recordings")["elements"] = ["helpdesk_recording", "shoe_size"]


def transfer_forgotten(data: dict[str, Any]) -> None:
    data["transfers"] = [row for row in data["transfers"] if row["subprocessor"] != "twilio"]


def refusal_forgotten(data: dict[str, Any]) -> None:
    data["refusals"] = [row for row in data["refusals"] if row["key"] != "not_confirmed"]


def limit_forgotten(data: dict[str, Any]) -> None:
    data["limits"] = [row for row in data["limits"] if row["key"] != "package_link_expiry"]


def objection_to_a_contract(data: dict[str, Any]) -> None:
    row(data, "purposes", "maintaining_service")["objection"] = "weighed"


def signal_where_nobody_may_object(data: dict[str, Any]) -> None:
    row(data, "purposes", "maintaining_service")["gpc"] = True


def validity_of_what_is_no_consent(data: dict[str, Any]) -> None:
    row(data, "purposes", "maintaining_service")["consent_validity"] = "12 months"


def consent_that_is_over_at_once(data: dict[str, Any]) -> None:
    row(data, "purposes", "development")["consent_validity"] = "at once"


def consent_of_a_small_child(data: dict[str, Any]) -> None:
    row(data, "purposes", "development")["min_age"] = 12


def misspelt_term(data: dict[str, Any]) -> None:
    row(data, "purposes", "development")["dpv"] = "https://w3id.org/dpv#ServiceOptimization"


def window_of_zero_days(data: dict[str, Any]) -> None:
    row(data, "limits", "delinking_window")["period"] = "at once"


def address_that_runs(data: dict[str, Any]) -> None:
    row(data, "authorities", "pts")["website"] = "javascript:alert(1)"


def tenant_outside_bounds(data: dict[str, Any]) -> None:
    bank = {"tenant": str(UUID(int=1)), "source": "tenant"}
    data["tenant_periods"] = [
        bank | {"rule": "service_objects", "keep": "25 months"},
        bank | {"rule": "helpdesk_recordings", "keep": "1 day"},
    ]


def tenant_says_two_things(data: dict[str, Any]) -> None:
    bank = {"tenant": str(UUID(int=1)), "rule": "service_objects", "source": "tenant"}
    data["tenant_periods"] = [bank | {"keep": "2 months"}, bank | {"keep": "3 months", "valid_from": "2027-01-01"}]


FAULTS = [
    (misspelt_term, "unknown_term", "purposes/development"),
    (address_that_runs, "no_address", "authorities/pts"),
    (window_of_zero_days, "zero", "limits/delinking_window"),
    (tenant_outside_bounds, "outside_bounds", f"tenant_periods/{UUID(int=1)}/service_objects"),
    (tenant_outside_bounds, "not_customer_defined", f"tenant_periods/{UUID(int=1)}/helpdesk_recordings"),
    (tenant_says_two_things, "overlap", f"tenant_periods/{UUID(int=1)}/service_objects"),
    (lengthen_by_law, "outside_law", "retention/retained_location"),
    (shorten_by_law, "outside_law", "retention/accounting_records"),
    (break_a_promise, "outside_promise", "retention/helpdesk_recordings"),
    (default_outside_bounds, "outside_bounds", "retention/service_objects"),
    (bounds_forgotten, "no_bounds", "retention/service_objects"),
    (purpose_without_basis, "no_basis", "purposes/development"),
    (two_bases, "overlap", "bases/maintaining_service/customer_invoice/any"),
    (category_nobody_collects, "not_collected", "categories/camera_surveillance/cctv_image"),
    (recipient_without_condition, "no_condition", "recipients/others"),
    (the_same_rule_twice, "overlap", "rights/access"),
    (two_rules_for_one_record, "overlap", "retention/helpdesk_recordings"),
    (element_kept_for_no_time, "no_retention", "categories/camera_surveillance/cctv_image"),
    (unknown_element, "unknown", "retention/helpdesk_recordings"),
    (transfer_forgotten, "no_transfer", "subprocessors/twilio"),
    (limit_forgotten, "missing", "limits/package_link_expiry"),
    (refusal_forgotten, "missing", "refusals/not_confirmed"),
    (objection_to_a_contract, "objection", "purposes/maintaining_service"),
    (signal_where_nobody_may_object, "signal", "purposes/maintaining_service"),
    (validity_of_what_is_no_consent, "no_consent", "purposes/maintaining_service"),
    (consent_that_is_over_at_once, "no_validity", "purposes/development"),
    (consent_of_a_small_child, "consent_age", "purposes/development"),
]


@pytest.mark.parametrize(
    ("change", "code", "where"), FAULTS, ids=[f"{change.__name__}-{code}" for change, code, _ in FAULTS]
)
def test_a_fault_is_named_with_its_row(book: PolicyBook, change: Any, code: str, where: str) -> None:
    assert (code, where) in {(fault.code, fault.where) for fault in faults(bent(book, change))}


def test_all_faults_come_at_once(book: PolicyBook) -> None:
    def everything(data: dict[str, Any]) -> None:
        recipient_without_condition(data)
        transfer_forgotten(data)
        lengthen_by_law(data)

    assert {fault.code for fault in faults(bent(book, everything))} == {"no_condition", "no_transfer", "outside_law"}


def test_a_refused_file_is_told_all_its_faults(book: PolicyBook, tmp_path: Path) -> None:
    data = plain(book)
    recipient_without_condition(data)
    limit_forgotten(data)
    file = tmp_path / "book.yaml"
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(BookRefused) as refused:
        read_book(file)
    assert "recipients/others" in str(refused.value) and "limits/package_link_expiry" in str(refused.value)


@pytest.mark.parametrize(
    "file",
    [
        "version: 1\nversion: 2\n",
        "version: [\n",
        "just words",
        "version: '1'\nunheard_of: 1\n",
    ],
)
def test_what_is_no_book_is_refused(file: str, tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(file)
    with pytest.raises(BookRefused):
        read_book(path)


@pytest.mark.parametrize(
    ("purpose", "covered", "context", "basis"),
    [
        ("maintaining_service", "name", "any", "contract"),
        ("development", "traffic", "any", "consent"),
        ("development", "participants", "any", "consent"),
        ("development", "usage_statistics", "any", "legitimate_interest"),
        ("communication", "helpdesk_recording", "any", "consent"),
        ("communication", "recorded_call", "any", "consent"),
        ("communication", "recorded_call", "tenant_legal_obligation", "legal_obligation"),
        ("communication", "helpdesk_chat", "any", "legitimate_interest"),
        ("communication", "helpdesk_email", "any", "legitimate_interest"),
        ("information_security", "traffic", "any", "legal_obligation"),
        ("legal_compliance", "invoice_details", "any", "legal_obligation"),
        ("development", "recorded_call", "any", None),
        ("maintaining_service", "recorded_call", "any", None),
        ("marketing", "name", "any", None),
    ],
)
def test_each_purpose_has_one_basis_for_a_category(
    book: PolicyBook, purpose: str, covered: str, context: str, basis: str | None
) -> None:
    found = book.basis(purpose, covered, context)
    assert (found.basis if found else None) == basis


@pytest.mark.parametrize(
    ("element", "store_class", "kind", "rule", "keep"),
    [
        ("participants", "retention", "mobile_call", "retained_mobile_telephony", "6 months"),
        ("participants", "retention", "sms", "retained_mobile_telephony", "6 months"),
        ("location", "retention", "location", "retained_location", "2 months"),
        ("network_address", "retention", "data", "retained_internet_access", "10 months"),
        ("participants", "retention", "fixed_call", "retained_fixed_telephony", "at once"),
        ("participants", "business", "mobile_call", "traffic_for_invoicing", "at once"),
        ("name", "business", None, "agreement_data", "12 months"),
        ("invoice_details", "business", None, "accounting_records", "7 years after year end"),
        ("helpdesk_recording", "business", None, "helpdesk_recordings", "30 days"),
        ("helpdesk_chat", "business", None, "helpdesk_conversations", "90 days"),
        ("authentication_log", "system", None, "authentication_logs_system", "7 days"),
        ("authentication_log", "business", None, "authentication_logs_service", "12 months"),
        ("name", "backup", None, "backups", "90 days"),
    ],
)
def test_each_record_has_one_retention_rule(
    book: PolicyBook, element: str, store_class: Any, kind: Any, rule: str, keep: str
) -> None:
    found = book.retention_for(element, store_class, kind)
    assert (found.key, str(found.keep)) == (rule, keep)


def test_what_the_book_does_not_say_is_not_guessed(book: PolicyBook) -> None:
    with pytest.raises(NotInBook):
        book.retention_for("location", "business")
    with pytest.raises(NotInBook):
        book.category_of("shoe_size")
    with pytest.raises(NotInBook):
        book.number("package_link_expiry")


def test_rows_apply_on_their_days_only(book: PolicyBook) -> None:
    keys = {row.key for row in book.on(date(2026, 8, 17)).instruments}
    assert "epoc_subscriber" not in keys and "se_preservation" in keys
    assert book.on(date(2026, 8, 18)).instrument("epoc_subscriber").deadline is not None


def test_every_row_names_its_source(book: PolicyBook) -> None:
    for _, rows in book:
        for each in rows if isinstance(rows, tuple) else ():
            assert each.source.startswith(("page:", "law:", "house:")), each.identity


def test_every_finding_that_is_referred_to_exists(book: PolicyBook) -> None:
    findings = {finding.key for finding in book.findings}
    text = (ROOT / "policy" / "book.yaml").read_text()
    referred = {piece.split('"')[0].split(")")[0].strip() for piece in text.split("finding ")[1:]}
    assert {word.split()[0] for word in referred} <= findings


def test_the_seven_sub_processors_of_the_page_are_there(book: PolicyBook) -> None:
    assert [row.legal_name.split()[0] for row in book.subprocessors] == [
        "Amazon",
        "Microsoft",
        "Google",
        "interactive",
        "Twilio,",
        "Zendesk",
        "Eviexa",
    ]
