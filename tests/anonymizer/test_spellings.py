"""People write numbers and addresses as they like: a row with another spelling is the person's all the same."""

import re
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from sample.cases import PEOPLE, PRIVATE
from services.anonymizer.contract import IdentifierType, StepState, Verb
from services.anonymizer.rules.person import Known, mentions, subsequences
from tests.anonymizer.conftest import House

NOBODY = "nobody@epost.example"
ROWS = {
    880001: ("Maja.Modellqvist@Epost.example", None),
    880002: (NOBODY, "+46 70-174 06 07"),
    880003: (NOBODY, "070-1740607"),
}
OTHERS = {880004: ("anna.maja.modellqvist@epost.example", "070-1740608")}
INSERT = (
    "INSERT INTO ticket (id, tenant, requester_name, requester_email, requester_phone, subject, body, language, "
    "created_at, closed_at) SELECT $1, $2, 'N. N.', $3, $4, 'Hej', 'Hej', 'sv', $5, $5"
)


async def left(house: House) -> set[int]:
    return {
        row["id"] for row in await house.rows("helpdesk", "SELECT id FROM ticket WHERE id BETWEEN 880001 AND 880004")
    }


async def test_rows_with_other_spellings_are_found_without_an_erasure_and_gone_after_it(house: House):
    assert PEOPLE["maja"].msisdn == "46701740607" and PEOPLE["maja"].email == "maja.modellqvist@epost.example"
    maja, at = await house.principal("maja"), datetime.now(UTC) - timedelta(days=3)
    await house.step(Verb.erase, "helpdesk", maja)
    assert (await house.step(Verb.verify, "helpdesk", maja)).remaining == 0
    for id, (email, phone) in (ROWS | OTHERS).items():
        await house.rows("helpdesk", INSERT, id, PRIVATE.id, email, phone, at)
    seen = await house.step(Verb.verify, "helpdesk", maja)
    assert seen.state == StepState.incomplete
    assert {(one.column, one.count) for one in seen.findings} == {("requester_email", 1), ("requester_phone", 2)}
    shown = await house.collected("helpdesk", maja)
    assert {row["requester_phone"] for row in shown["ticket"]} >= {"+46 70-174 06 07", "070-1740607"}
    await house.step(Verb.erase, "helpdesk", maja)
    assert await left(house) == set(OTHERS)
    verified = await house.step(Verb.verify, "helpdesk", maja)
    assert (verified.state, verified.remaining) == (StepState.done, 0), verified.findings


async def test_a_held_row_with_another_spelling_is_preserved_before_it_goes(house: House):
    maja, at = await house.principal("maja"), datetime.now(UTC) - timedelta(days=3)
    await house.rows("helpdesk", INSERT, 880011, PRIVATE.id, NOBODY, "070-174 06 07", at)
    hold = house.orders.hold("46701740607", ["anything"], at - timedelta(days=1), at + timedelta(days=1))
    await house.step(Verb.erase, "helpdesk", maja)
    house.orders.holds.clear()
    assert house.orders.preserved(hold) == 1


async def test_a_log_line_with_another_spelling_is_never_certified_as_gone(house: House):
    maja = await house.principal("maja")
    await house.step(Verb.erase, "authlog", maja)
    assert (await house.step(Verb.verify, "authlog", maja)).remaining == 0
    log = next(path for path in sorted((house.stores / "authlog").rglob("*.jsonl")) if ".wardline" not in path.parts)
    before = log.read_bytes()
    line = before.splitlines()[-1].decode()
    row = orjson.loads(line) | {"email": None, "msisdn": "070-1740607", "account": "x", "tenant": str(PRIVATE.id)}
    log.write_bytes(before + orjson.dumps(row) + b"\n")
    try:
        assert (await house.step(Verb.verify, "authlog", maja)).state == StepState.incomplete
    finally:
        log.write_bytes(before)


@pytest.mark.parametrize(
    ("known", "written"),
    [
        (Known(IdentifierType.msisdn, "46701740605"), "+46 (0)70-174 06 05"),
        (Known(IdentifierType.msisdn, "46701740605"), "0701740605"),
        (Known(IdentifierType.msisdn, "4915112345678"), "00491511 234 56 78"),
        (Known(IdentifierType.personnummer, "198001019876"), "800101-9876"),
        (Known(IdentifierType.email, "Åsa.Ek@epost.example"), "åsa.ek@EPOST.example"),
        (Known(IdentifierType.mac, "aa:bb:cc:00:11:22"), "AA-BB-CC-00-11-22"),
        (Known(IdentifierType.customer, "K1001003"), "k1001003"),
    ],
    ids=str,
)
def test_what_is_read_closely_is_all_that_could_be_meant(known: Known, written: str):
    assert re.search(mentions([known], column=True), written, re.IGNORECASE)
    [pattern] = subsequences([known])
    assert re.fullmatch(pattern.replace("%", ".*"), written.lower(), re.DOTALL)
