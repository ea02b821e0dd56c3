"""A store that changed under the data map is found out: by names, forms and checksums of samples, none of which is shown."""

from pathlib import Path

import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import StoreDrifted, Verb
from services.anonymizer.datamap import load
from services.anonymizer.rules.drift import drifts
from tests.anonymizer.conftest import House

AUTHLOG = load(Path("policy/stores")).stores["authlog"]


def shape(values: list[str], column: str) -> dict[str, dict[str, list[str]]]:
    """The log as it is declared, with these values in one column."""
    return {"login": dict.fromkeys(AUTHLOG.tables["login"].columns, []) | {column: values}}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["19121212-1212", "121212-1212"], "personnummer"),
        (["anna@epost.example", "bo@epost.example"], "email"),
        (["+46 70-174 06 05", "0701740606"], "phone"),
        (["SE4550000000058398257466"], "iban"),
        (["52:54:00:12:34:56"], "mac"),
        (["198.51.100.14"], "ip"),
    ],
)
def test_an_undeclared_column_is_known_by_its_values(values: list[str], kind: str):
    found = drifts(AUTHLOG, shape(values, "x1"))
    assert [(one.column, one.kind, one.looks_like) for one in found] == [("x1", "undeclared", kind)]


def test_by_its_name_also_when_it_is_empty_and_reported_even_when_it_looks_harmless():
    assert [one.looks_like for one in drifts(AUTHLOG, shape([], "contact_email"))] == ["email"]
    assert [one.looks_like for one in drifts(AUTHLOG, shape(["a", "b"], "colour"))] == [None]


def test_what_is_declared_technical_and_is_personal_by_its_values_is_mislabelled():
    found = drifts(AUTHLOG, shape(["anna@epost.example"], "tenant"))
    assert [(one.kind, one.looks_like, one.alike, one.sampled) for one in found] == [("mislabelled", "email", 1, 1)]


def test_what_the_map_names_and_the_store_has_not_is_missing():
    seen = {"login": {column: [] for column in AUTHLOG.tables["login"].columns if column != "ip"}}
    assert [(one.column, one.kind) for one in drifts(AUTHLOG, seen)] == [("ip", "missing")]
    assert [(one.column, one.kind) for one in drifts(AUTHLOG, {})] == [(None, "missing")]


async def test_the_sample_operator_holds_nothing_personal_that_is_not_declared(house: House):
    found = await house.client.drift(tenant=PRIVATE.id)
    assert found.items == [] and found.unread == []


async def test_a_new_column_is_found_and_a_lost_one_stops_the_step_with_nothing_done(house: House):
    await house.rows("helpdesk", "ALTER TABLE chat ADD COLUMN callback text")
    await house.rows("helpdesk", "UPDATE chat SET callback = '070-174 06 05'")
    await house.rows("helpdesk", "ALTER TABLE chat RENAME COLUMN visitor_email TO mail")
    try:
        found = {(one.column, one.kind, one.looks_like) for one in (await house.client.drift(tenant=PRIVATE.id)).items}
        assert found == {
            ("callback", "undeclared", "phone"),
            ("mail", "undeclared", "email"),
            ("visitor_email", "missing", None),
        }
        with pytest.raises(StoreDrifted):
            await house.step(Verb.erase, "helpdesk", await house.principal("doris"))
    finally:
        await house.rows("helpdesk", "ALTER TABLE chat RENAME COLUMN mail TO visitor_email")
        await house.rows("helpdesk", "ALTER TABLE chat DROP COLUMN callback")
