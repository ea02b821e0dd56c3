"""What rested on a withdrawn consent goes in every kind of store, and nothing beside it: whole records, or single columns of records
that are kept as something else. A map in which that can't be done refuses the book."""

from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from sample.cases import PEOPLE, PRIVATE
from services.anonymizer import datamap
from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.protocol import Connector
from services.anonymizer.contract import Attest, Scope, StepState, Verb, VerbUnsupported
from services.anonymizer.datamap import DataMap
from services.anonymizer.rules.person import Person
from services.registry.contract import PolicyBook, Withdrawal
from tests.anonymizer.conftest import House
from tests.anonymizer.directly import TERMS, Guard, ago, connector, person, store_of
from tests.anonymizer.test_faults import lake, login, logs
from tests.anonymizer.test_hold_race import ALWAYS, somebody
from tests.anonymizer.test_retention import MAP

VISITS = """
store: visits
label: {sv: Besök, en: Visits}
kind: jsonlines
controller: operator
location: {folder: visits}
tables:
  visit:
    label: {sv: Besök, en: Visit}
    element: authentication_log
    store_class: system
    at: time
    anchors: {created_at: time}
    key: [time, email]
    columns:
      time: authentication_log
      tenant: technical
      email: {element: customer_email_address, identifies: {type: email}}
      pages: usage_statistics
"""
ANNA = person(("email", "anna@epost.example"), ("msisdn", "46701740605"))


def of(*elements: str) -> Scope:
    return Scope(elements=list(elements))


async def erased(store: Connector, who: Person, scope: Scope) -> dict[str, int]:
    """action → count, after a dry run that said the same; and the verification before and after."""
    assert (await store.verify(who, TERMS, scope)).remaining > 0
    rehearsed = await store.preview(who, TERMS, scope)
    done = await store.erase(uuid4(), who, TERMS, Guard(), scope)
    assert done.outcomes == rehearsed
    assert (await store.verify(who, TERMS, scope)).remaining == 0
    return {one.action: one.count for one in done.outcomes}


async def test_logs_lose_the_persons_own_lines_of_the_element_and_nobody_elses(tmp_path: Path):
    files, path = logs(tmp_path, login("anna"), login("bo"))
    assert (await files.erase(uuid4(), ANNA, TERMS, Guard(), of("usage_statistics"))).outcomes == []
    assert await erased(files, ANNA, of("authentication_log")) == {"erase": 1}
    assert [orjson.loads(line)["email"] for line in path.read_bytes().splitlines()] == ["bo@epost.example"]


async def test_a_lake_loses_the_persons_own_rows_and_keeps_what_others_called_her(tmp_path: Path):
    files, path = lake(tmp_path)
    before = len(await left(files))
    assert await erased(files, ANNA, of("participants")) == {"erase": 1}
    assert path.exists() and len(await left(files)) == before - 1


async def left(files: Files) -> list[str]:
    return [mark for path in files.format.pieces(files.root) for mark, _ in files.format.read(path, files.table)]


async def test_of_a_record_that_is_kept_as_something_else_only_the_column_goes(tmp_path: Path):
    files, folder = connector(tmp_path, VISITS), tmp_path / "visits"
    folder.mkdir()
    said = [
        {"time": ago(days=1), "tenant": str(PRIVATE.id), "email": f"{name}@epost.example", "pages": "7"}
        for name in ("anna", "bo")
    ]
    (folder / "a.jsonl").write_bytes(b"\n".join(map(orjson.dumps, said)) + b"\n")
    assert await erased(files, ANNA, of("usage_statistics")) == {"redact": 1}
    lines = [orjson.loads(line) for line in (folder / "a.jsonl").read_bytes().splitlines()]
    assert [(line["email"], line["pages"]) for line in lines] == [
        ("anna@epost.example", None),
        ("bo@epost.example", "7"),
    ]


async def test_postgresql_loses_the_chats_and_keeps_the_tickets_and_tells_it(house: House):
    maja = await house.principal("maja")
    chats = "SELECT c.id, m.id AS said FROM chat c JOIN chat_message m ON m.chat = c.id WHERE c.customer_number = $1"
    tickets = "SELECT * FROM ticket t LEFT JOIN email_message e ON e.ticket = t.id WHERE t.customer_number = $1 ORDER BY t.id, e.id"
    number = PEOPLE["maja"].customer_number
    await house.rows(
        "helpdesk",
        "INSERT INTO chat SELECT 990001, tenant, $1, visitor_name, visitor_email, agent_number, language, started_at, started_at "
        "FROM chat LIMIT 1",
        number,
    )
    await house.rows(
        "helpdesk",
        "INSERT INTO chat_message SELECT 990002, tenant, 990001, author, body, sent_at FROM chat_message LIMIT 1",
    )
    before = await house.rows("helpdesk", tickets, number)
    assert await house.rows("helpdesk", chats, number)
    assert (await house.step(Verb.verify, "helpdesk", maja, of("helpdesk_chat"))).state == StepState.incomplete
    rehearsed, step = await house.step(Verb.preview, "helpdesk", maja, of("helpdesk_chat")), uuid4()
    done = await house.step(Verb.erase, "helpdesk", maja, of("helpdesk_chat"), step=step)
    assert done.outcomes == rehearsed.outcomes
    assert {one.table for one in done.outcomes if one.action == "erase"} == {"chat", "chat_message"}
    assert await house.rows("helpdesk", chats, number) == []
    assert await house.rows("helpdesk", tickets, number) == before
    assert (await house.step(Verb.verify, "helpdesk", maja, of("helpdesk_chat"))).state == StepState.done
    told = [one["data"] for one in await house.events("erasure.done") if one["data"]["step"] == str(step)]
    assert [one["element"] for one in told[0]["outcomes"]] == ["helpdesk_chat", "helpdesk_chat"]


async def test_a_hold_keeps_what_rested_on_a_consent_as_it_keeps_all_else(house: House):
    someone, msisdn, _ = await somebody(house, 8)
    hold = house.orders.hold(msisdn, ["traffic"], *ALWAYS)
    done = await house.step(Verb.erase, "calls", someone, of("participants"))
    assert sum(one.count for one in done.outcomes if one.action == "erase") == house.orders.preserved(hold) > 0


async def test_of_a_row_of_postgresql_that_is_kept_only_the_column_goes(house: House):
    someone, msisdn, _ = await somebody(house, 16)
    areas = "SELECT count(*) FILTER (WHERE area <> '') AS said, count(*) AS rows FROM call_record WHERE caller = $1"
    others = "SELECT count(*) FROM call_record WHERE callee = $1 AND caller <> $1 AND area <> ''"
    whose = await house.rows("calls", others, msisdn)
    before = (await house.rows("calls", areas, msisdn))[0]
    assert before["said"] > 0
    calls = house.settings.data_map / "calls.yaml"
    written = calls.read_text()
    area = "area: {element: time_and_length,"
    assert area in written
    store = datamap.Store.model_validate_json(
        orjson.dumps(_read(written.replace(area, "area: {element: location, redacted: '',")))
    )
    connector = _postgresql(house, store)
    try:
        done = await connector.erase(uuid4(), await _person(house, someone, msisdn), TERMS, Guard(), of("location"))
        seen = await connector.verify(await _person(house, someone, msisdn), TERMS, of("location"))
    finally:
        await connector.close()
    after = (await house.rows("calls", areas, msisdn))[0]
    gone = sum(one.count for one in done.outcomes if (one.table, one.action) == ("call_record", "redact"))
    kept = sum(one.count for one in done.outcomes if (one.table, one.action) == ("call_record", "keep"))
    assert (gone + kept, after["said"], after["rows"]) == (before["said"], kept, before["rows"])
    assert gone > 0 and seen.remaining == 0
    assert await house.rows("calls", others, msisdn) == whose


def _read(written: str) -> dict:
    import yaml

    return yaml.safe_load(written)


def _postgresql(house: House, store: datamap.Store) -> Connector:
    from services.anonymizer.connectors.postgresql import PostgreSQL

    return PostgreSQL(store, house.settings)


async def _person(house: House, principal: UUID, msisdn: str) -> Person:
    return Person(principal, PRIVATE.id, person(("msisdn", msisdn)).known)


async def test_by_hand_only_these_are_asked_for_and_an_attestation_ends_it(house: House):
    nadia, step = await house.principal("nadia"), uuid4()
    asked = await house.step(Verb.erase, "mailbox", nadia, of("helpdesk_email"), step=step)
    assert (asked.state, asked.waiting.elements) == (StepState.waiting, ["helpdesk_email"])
    attested = Attest(count=2, evidence_sha256="ab" * 32, evidence_at="archive 7/13")
    await house.client.attest(step, attested, key=str(uuid4()), tenant=PRIVATE.id)
    assert (await house.step(Verb.verify, "mailbox", nadia, of("helpdesk_email"))).state == StepState.done
    with pytest.raises(VerbUnsupported):
        await house.step(Verb.erase, "mailbox", nadia, of("recorded_call"))
    with pytest.raises(VerbUnsupported):
        await house.step(Verb.erase, "mailbox", nadia, Scope(recording="4711"))


async def test_a_single_recording_is_still_asked_of_stores_of_recordings_alone(house: House, tmp_path: Path):
    maja = await house.principal("maja")
    for store in ("helpdesk", "authlog", "lake"):
        with pytest.raises(VerbUnsupported):
            await house.step(Verb.erase, store, maja, Scope(recording="4711"))


def withdrawing(*elements: str) -> PolicyBook:
    row = Withdrawal(key="w", purpose="communication", elements=elements, legal_ref="x", source="house: a test")
    return TERMS.book.model_copy(update={"withdrawals": (row,)})


@pytest.mark.parametrize(
    ("elements", "fault"),
    [
        (["helpdesk_chat"], None),
        (["helpdesk_ticket", "helpdesk_email"], None),
        (["helpdesk_ticket"], "helpdesk.ticket: w cannot erase its rows alone: rows of email_message hang on them"),
        (
            ["mac_address"],
            "authlog.login.mac: w cannot erase it alone: it tells whose a row is, or how long it is kept",
        ),
    ],
)
def test_a_book_is_refused_in_which_what_rests_on_a_consent_cannot_go_alone(elements: list[str], fault: str | None):
    assert MAP.check(withdrawing(*elements)) == ([fault] if fault else [])


def test_a_vendor_that_cannot_blank_a_field_refuses_the_book_too(tmp_path: Path):
    from tests.anonymizer.test_zendesk import MAP as TICKETS

    store, _ = store_of(tmp_path, TICKETS.replace("body: {element: helpdesk_ticket,", "body: {element: helpdesk_chat,"))
    faults = DataMap(stores={store.store: store}).check(withdrawing("helpdesk_chat"))
    assert faults == [
        "tickets.comment.body: w cannot erase it alone: a store of the kind zendesk takes away whole records"
    ]
