"""What stands in the stores once they are filled, seen with the credentials others are given."""

import json
import wave

import asyncpg
import pytest
from joserfc.jwk import ECKey

import sample
from sample import accounts, clients
from sample.cases import PEOPLE
from sample.manifest import Manifest
from tests.sample.conftest import TODAY, Operator


def test_the_same_seed_and_day_fill_the_same_bytes_after_an_interruption_too(operator: Operator) -> None:
    assert operator.first == operator.second


def test_the_manifest_counts_what_stands_there(operator: Operator) -> None:
    for what, count in operator.manifest.counts.items():
        store, _, table = what.partition(".")
        found = (rows for (s, where), rows in operator.second.items() if s == store and where == (table or where))
        assert sum(len(rows) for rows in found) == count, what


def test_every_planted_value_stands_where_the_manifest_says(operator: Operator) -> None:
    for person in operator.manifest.people.values():
        assert person.places
        for place in person.places:
            record = operator.second[place.store, place.where][place.record]
            assert place.value in (str(record[place.field]) if isinstance(record, dict) else record), place


def test_a_raw_scan_finds_planted_values_nowhere_else(operator: Operator) -> None:
    known = {
        (value, place.store, place.where, place.record)
        for person in operator.manifest.people.values()
        for place in person.places
        for value in person.values
        if value in place.value
    }
    owners = {value: key for key, person in operator.manifest.people.items() for value in person.values}
    for (store, where), records in operator.second.items():
        texts = {id: str(record) for id, record in records.items()}
        for value in (v for v in owners if v in " ".join(texts.values())):
            for id, text in texts.items():
                assert value not in text or (value, store, where, id) in known, (value, store, where, id)


def test_no_value_is_part_of_another_persons(operator: Operator) -> None:
    everyones = [(key, value) for key, person in operator.manifest.people.items() for value in person.values]
    assert not [(a, b) for a, x in everyones for b, y in everyones if a != b and x in y]


def test_anna_stands_in_all_five_stores_and_in_somebody_elses_mail(operator: Operator) -> None:
    places = operator.manifest.people["anna"].places
    assert {p.store for p in places} == {"billing", "calls", "helpdesk", "recordings", "authlog"}
    assert any(p.field == "callee" for p in places)
    assert any(p.store == "lake" for p in operator.manifest.people["erik"].places)
    eriks = {p.record for p in operator.manifest.people["erik"].places if p.where == "email_message"}
    assert any(p.record in eriks for p in places if p.where == "email_message")


def test_a_manifest_survives_its_file(operator: Operator) -> None:
    read = Manifest.read(operator.home.path / "sample" / "manifest.json")
    assert read.today == TODAY and read.counts == operator.manifest.counts
    for key, person in operator.manifest.people.items():
        assert sorted(map(str, read.people[key].places)) == sorted(map(str, person.places))


async def test_filling_filled_stores_changes_nothing(operator: Operator) -> None:
    connection = await operator.connect("helpdesk", "wardline")
    await connection.execute("DELETE FROM chat WHERE id = 900006")
    again = await sample.fill(operator.home, operator.postgres, subscribers=10)
    assert again.subscribers == operator.manifest.subscribers
    assert await connection.fetchval("SELECT count(*) FROM chat WHERE id = 900006") == 0
    await connection.close()


@pytest.mark.parametrize("store", ["billing", "calls", "helpdesk"])
async def test_the_verifier_reads_and_nothing_more(operator: Operator, store: str) -> None:
    connection = await operator.connect(store, "verifier")
    table = {"billing": "invoice", "calls": "call_record", "helpdesk": "chat"}[store]
    assert await connection.fetchval(f"SELECT count(*) FROM {table}")
    for forbidden in (f"DELETE FROM {table}", f"DROP TABLE {table}", "CREATE TABLE mine (a int)", "SET ROLE postgres"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    assert not await connection.fetchval("SELECT has_schema_privilege(current_user, 'wardline', 'USAGE')")
    await connection.close()


async def test_a_stores_role_cannot_enter_another_store(operator: Operator) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(
            host=str(operator.postgres.socket_dir),
            user="helpdesk_wardline",
            password=(operator.home.secrets("anonymizer") / "stores" / "helpdesk.wardline.password").read_text(),
            database="sample_billing",
        )


async def test_wardline_drops_a_month_of_calls_but_no_table_of_billing(operator: Operator) -> None:
    calls = await operator.connect("calls", "wardline")
    undone = calls.transaction()
    await undone.start()
    await calls.execute("ALTER TABLE call_record DETACH PARTITION call_record_202410")
    await calls.execute("DROP TABLE call_record_202410")
    await undone.rollback()
    await calls.close()
    billing = await operator.connect("billing", "wardline")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await billing.execute("DROP TABLE number_period")
    await billing.close()


@pytest.mark.parametrize("store", ["billing", "calls", "helpdesk"])
async def test_wardlines_journal_stands_in_each_store_and_the_verifier_does_not_see_it(
    operator: Operator, store: str
) -> None:
    connection = await operator.connect(store, "wardline")
    assert await connection.fetchval("SELECT count(*) FROM wardline.journal") == 0
    assert await connection.fetchval("SELECT count(*) FROM wardline.preserved") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DROP TABLE wardline.journal")
    await connection.close()


def test_recordings_are_sounds_with_their_sidecars_and_older_versions(operator: Operator) -> None:
    (newest,) = (operator.folder / "recordings").glob("*/*/4711.wav")
    with wave.open(str(newest)) as sound:
        assert sound.getframerate() == 8000 and sound.getnframes() > 0
    assert json.loads(newest.with_suffix(".json").read_text())["customer_number"] == PEOPLE["nadia"].customer_number
    older = sorted(p.name for p in (newest.parent / ".versions").glob("4711.*"))
    assert older == ["4711.1.json", "4711.1.wav", "4711.2.json", "4711.2.wav"]
    assert (
        len({newest.read_bytes(), *((newest.parent / ".versions" / f"4711.{n}.wav").read_bytes() for n in (1, 2))}) == 3
    )


def test_no_log_knows_a_password(operator: Operator) -> None:
    files = list((operator.folder / "authlog").glob("*.jsonl"))
    assert len(files) == 9
    for file in files:
        for line in file.read_text().splitlines():
            assert set(json.loads(line)) == {
                "time", "tenant", "event", "account", "email", "msisdn", "ip", "mac", "outcome",
            }  # fmt: skip


def test_everybody_has_a_login_and_a_password_of_their_own(operator: Operator) -> None:
    logins = accounts.read(operator.home.path / "sample" / "logins.json")
    assert {login["person"] for login in logins if login["kind"] == "customer"} == set(PEOPLE)
    assert len({login["password"] for login in logins}) == len(logins)
    roles = {role for login in logins for role in login["roles"]}
    assert {"helpdesk", "privacy_officer", "approver", "collector", "releaser", "auditor", "operations"} <= roles
    assert sum(login["roles"] == ["approver"] for login in logins) == 2


def test_identity_is_given_public_keys_only(operator: Operator) -> None:
    registered = json.loads((operator.home.secrets("identity") / "clients.json").read_bytes())
    assert set(registered) == {known.id for known in clients.CLIENTS}
    for id, entry in registered.items():
        if "jwk" not in entry:
            assert entry["redirect_uris"]
            continue
        assert "d" not in entry["jwk"]
        private = ECKey.import_key(json.loads((clients.folder(operator.home) / f"{id}.jwk").read_bytes()))
        assert private.is_private and private.as_dict(private=False) == entry["jwk"]
