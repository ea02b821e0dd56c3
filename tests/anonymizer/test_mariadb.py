"""A store in MariaDB: real server, two tables that hang together, one role that works and one that only reads."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import journal
from services.anonymizer.connectors.mysql import MySQL
from services.anonymizer.connectors.mysql.rows import Rows
from services.anonymizer.contract import Correction, CorrectionRefused, Scope, StoreDrifted, StoreUnavailable
from tests.anonymizer import mariadb
from tests.anonymizer.directly import NOW, TERMS, Guard, collected, person, store_of

MAP = """
store: chats
label: {sv: Chattar, en: Chats}
kind: mysql
controller: operator
location: {database: DATABASE, host: 127.0.0.1, port: PORT, folder: kept/chats}
tables:
  chat:
    label: {sv: Chatt, en: Chat}
    element: helpdesk_chat
    store_class: business
    at: started_at
    anchors: {closed_at: closed_at}
    key: [id]
    columns:
      id: technical
      tenant: technical
      customer_number: {element: customer_number, identifies: {type: customer}}
      visitor_name: {element: name, identifies: {type: name}}
      visitor_email: {element: customer_email_address, identifies: {type: email}}
      started_at: helpdesk_chat
      closed_at: helpdesk_chat
  message:
    label: {sv: Meddelande, en: Message}
    element: helpdesk_chat
    store_class: business
    at: sent_at
    anchors:
      closed_at: {table: chat, column: closed_at, key: id, by: chat}
    key: [id]
    links: [{column: chat, table: chat}]
    columns:
      id: technical
      tenant: technical
      chat: technical
      body: {element: helpdesk_chat, text: true}
      sent_at: helpdesk_chat
"""
DDL = """
CREATE TABLE chat (id BIGINT PRIMARY KEY, tenant CHAR(36) NOT NULL, customer_number VARCHAR(20), visitor_name VARCHAR(100),
  visitor_email VARCHAR(100), started_at DATETIME(6) NOT NULL, closed_at DATETIME(6), INDEX (customer_number), INDEX (visitor_email));
CREATE TABLE message (id BIGINT PRIMARY KEY, tenant CHAR(36) NOT NULL, chat BIGINT NOT NULL REFERENCES chat (id), body TEXT,
  sent_at DATETIME(6) NOT NULL, INDEX (chat))"""
NINA = person(("customer", "K7"), ("email", "nina@epost.example"), ("name", "Nina Prov"))


@dataclass
class Chats:
    store: MySQL
    guard: Guard
    connection: Any
    name: str

    def rows(self, statement: str) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def chat(self, id: int, customer: str, email: str, *bodies: str, days: int, closed: bool = True) -> None:
        at = (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S")
        name = "Nina Prov" if customer == "K7" else "Olof Annan"
        self.rows(
            f"INSERT INTO chat VALUES ({id}, '{PRIVATE.id}', '{customer}', '{name}', '{email}', '{at}', "
            f"{repr(at) if closed else 'NULL'})"
        )
        for n, body in enumerate(bodies):
            self.rows(f"INSERT INTO message VALUES ({id * 10 + n}, '{PRIVATE.id}', {id}, '{body}', '{at}')")

    async def erase(self, step=None):
        return await self.store.erase(step or uuid4(), NINA, TERMS, self.guard, None)


@pytest.fixture(scope="module")
def port(tmp_path_factory) -> Iterator[int]:
    with mariadb.server(tmp_path_factory.mktemp("m")) as port:
        yield port


@pytest_asyncio.fixture(loop_scope="session")
async def chats(port: int, tmp_path: Path) -> AsyncIterator[Chats]:
    name = f"chats_{uuid4().hex[:8]}"
    connection = mariadb.admin(port)
    written = MAP.replace("DATABASE", name).replace("PORT", str(port))
    chats = Chats(MySQL(*store_of(tmp_path, written)), Guard(), connection, name)
    chats.rows(f"CREATE DATABASE {name}")
    connection.select_db(name)
    for statement in DDL.split(";"):
        chats.rows(statement)
    for role, may in (("wardline", "SELECT, INSERT, UPDATE, DELETE"), ("verifier", "SELECT")):
        chats.rows(f"CREATE OR REPLACE USER chats_{role}@'127.0.0.1' IDENTIFIED BY 'wonderland'")
        chats.rows(f"GRANT {may} ON {name}.* TO chats_{role}@'127.0.0.1'")
    chats.chat(1, "K7", "nina@epost.example", "Hej", "Det är Nina", days=30)
    chats.chat(2, "K7", "nina@epost.example", "Pågår", days=2, closed=False)
    chats.chat(12_003, "K8", "olof@epost.example", "Nina Prov säger hej, nina@epost.example", "Annat", days=200)
    yield chats
    connection.close()


async def nobody_known() -> dict:
    return {}


async def test_own_rows_are_found_in_every_table_through_what_they_hang_on(chats: Chats):
    rows = await collected(chats.store, NINA)
    assert len(rows) == 5 and not any("Annat" in str(row) for row in rows)


async def test_what_the_preview_says_goes_and_an_open_case_stays(chats: Chats):
    preview, step = await chats.store.preview(NINA, TERMS, None), uuid4()
    assert (await chats.store.verify(NINA, TERMS, None)).remaining > 0
    effect = await chats.erase(step)
    assert effect.outcomes == preview
    counts = {(one.table, str(one.action)): one.count for one in effect.outcomes if one.action != "redact"}
    assert counts == {("chat", "erase"): 1, ("message", "erase"): 2, ("chat", "keep"): 1, ("message", "keep"): 1}
    assert chats.rows("SELECT id FROM chat ORDER BY id") == [(2,), (12_003,)]
    assert chats.rows("SELECT body FROM message WHERE chat = 12003 ORDER BY id") == [
        ("[…] säger hej, […]",),
        ("Annat",),
    ]
    assert (await chats.store.verify(NINA, TERMS, None)).remaining == 0
    assert await chats.erase(step) == effect, "the same step does nothing twice"


async def test_what_an_order_holds_is_kept_aside_and_released(chats: Chats):
    hold = chats.guard.hold(NINA.known[1], "helpdesk_chat")
    effect = await chats.erase()
    # Her chat, its two messages, and the one in which somebody else writes of her.
    assert effect.preserved == {hold: 4} and chats.rows("SELECT count(*) FROM message WHERE chat = 1") == [(0,)]
    assert await chats.store.release(hold) == 4


async def test_a_sweep_keeps_aside_what_hangs_on_a_held_row(chats: Chats):
    olof = person(("email", "olof@epost.example"))
    hold = chats.guard.hold(olof.known[0], "helpdesk_chat")
    pieces = [piece async for piece in chats.store.sweep(uuid4(), TERMS, chats.guard, nobody_known)]
    assert sum(piece.preserved.get(hold, 0) for piece in pieces) == 3


async def test_a_sweep_takes_what_is_over_by_windows_of_keys_and_once(chats: Chats):
    expected = {(one.table, one.count) for one in await chats.store.simulate(TERMS)}
    assert expected == {("chat", 1), ("message", 2)}
    sweep = uuid4()
    pieces = [piece async for piece in chats.store.sweep(sweep, TERMS, chats.guard, nobody_known)]
    assert sum(one.count for piece in pieces for one in piece.swept) == 3
    assert chats.rows("SELECT id FROM chat ORDER BY id") == [(1,), (2,)]
    assert [piece async for piece in chats.store.sweep(sweep, TERMS, chats.guard, nobody_known)] == pieces


async def test_what_rested_on_a_consent_goes_from_every_table_and_a_column_from_what_is_kept(
    chats: Chats, port: int, tmp_path: Path
):
    scope = Scope(elements=["helpdesk_chat"])
    assert (await chats.store.verify(NINA, TERMS, scope)).remaining > 0
    effect = await chats.store.erase(uuid4(), NINA, TERMS, chats.guard, scope)
    assert {(one.table, str(one.action)) for one in effect.outcomes if one.action != "keep"} == {
        ("chat", "erase"),
        ("message", "erase"),
    }
    assert chats.rows("SELECT body FROM message WHERE id = 120030") == [("Nina Prov säger hej, nina@epost.example",)]
    assert (await chats.store.verify(NINA, TERMS, scope)).remaining == 0
    chats.chat(3, "K7", "nina@epost.example", "Om annat", days=30)
    told = MAP.replace("DATABASE", chats.name).replace("PORT", str(port))
    told = told.replace("body: {element: helpdesk_chat,", "body: {element: usage_statistics,")
    store, part = MySQL(*store_of(tmp_path / "other", told)), Scope(elements=["usage_statistics"])
    assert (await store.verify(NINA, TERMS, part)).remaining > 0
    effect = await store.erase(uuid4(), NINA, TERMS, chats.guard, part)
    assert [(one.element, one.count) for one in effect.outcomes if one.action == "redact"] == [("usage_statistics", 1)]
    assert chats.rows("SELECT body FROM message WHERE chat IN (2, 3)") == [("Pågår",), (None,)]
    assert (await store.verify(NINA, TERMS, part)).remaining == 0


async def test_corrected_and_frozen_like_everywhere(chats: Chats):
    change = Correction(element="customer_email_address", old="nina@epost.example", new="nina@ny.example")
    await chats.store.correct(uuid4(), NINA, TERMS, [change])
    assert chats.rows("SELECT DISTINCT visitor_email FROM chat WHERE customer_number = 'K7'") == [("nina@ny.example",)]
    await chats.store.freeze(uuid4(), NINA, TERMS)
    kept = await chats.erase()
    assert {one.rule for one in kept.outcomes if one.action == "keep"} == {"restriction"}
    assert chats.rows("SELECT count(*) FROM chat WHERE customer_number = 'K7'") == [(2,)]


async def test_a_schema_that_changed_under_the_map_is_said_and_nothing_is_done(chats: Chats):
    chats.rows("ALTER TABLE chat RENAME COLUMN visitor_email TO mail")
    with pytest.raises(StoreDrifted):
        await chats.erase()
    assert chats.rows("SELECT count(*) FROM chat") == [(3,)]


async def test_a_value_that_the_store_does_not_take_changes_nothing_and_stands_in_nobody_s_way(chats: Chats):
    before = chats.rows("SELECT * FROM chat")
    change = Correction(
        element="customer_email_address", old="nina@epost.example", new=f"{'n' * 60}@{'y' * 60}.example"
    )
    with pytest.raises(CorrectionRefused):
        await chats.store.correct(uuid4(), NINA, TERMS, [change])
    assert chats.rows("SELECT * FROM chat") == before
    assert (await chats.store.freeze(uuid4(), NINA, TERMS)).outcomes


@pytest.fixture
def written_twice(chats: Chats, port: int, tmp_path: Path) -> Chats:
    """Her address stands in both tables; the one that is done last takes fewer letters."""
    chats.rows("ALTER TABLE message ADD COLUMN reply_to VARCHAR(200)")
    chats.rows("UPDATE message SET reply_to = 'nina@epost.example' WHERE chat IN (1, 2)")
    written = MAP.replace("DATABASE", chats.name).replace("PORT", str(port))
    written = written.rstrip() + "\n      reply_to: {element: customer_email_address}\n"
    (tmp_path / "twice").mkdir()
    chats.store = MySQL(*store_of(tmp_path / "twice", written))
    assert list(chats.store.tables) == ["message", "chat"]
    return chats


def addresses(chats: Chats) -> set[str]:
    both = (
        "SELECT reply_to FROM message WHERE chat IN (1, 2) UNION ALL SELECT visitor_email FROM chat WHERE id IN (1, 2)"
    )
    found = [value for (value,) in chats.rows(both)]
    assert len(found) == 5
    return set(found)


def address(new: str) -> Correction:
    return Correction(element="customer_email_address", old="nina@epost.example", new=new)


async def test_a_value_that_one_table_takes_and_another_refuses_is_put_right_in_none(written_twice: Chats):
    step = uuid4()
    with pytest.raises(CorrectionRefused):
        await written_twice.store.correct(step, NINA, TERMS, [address(f"{'n' * 60}@{'y' * 60}.example")])
    assert addresses(written_twice) == {"nina@epost.example"}
    effect = await written_twice.store.correct(step, NINA, TERMS, [address("nina@ny.example")])
    assert {one.table: one.count for one in effect.outcomes} == {"message": 3, "chat": 2}
    assert addresses(written_twice) == {"nina@ny.example"}
    assert await written_twice.store.correct(step, NINA, TERMS, [address("nina@ny.example")]) == effect


class Killed(BaseException):
    pass


def killed_at(monkeypatch: pytest.MonkeyPatch, of: Any, name: str, nth: int) -> None:
    work, calls = getattr(of, name), count(1)

    def killed(*told: Any) -> Any:
        if next(calls) == nth:
            raise Killed
        return work(*told)

    monkeypatch.setattr(of, name, killed)


@pytest.mark.parametrize(
    ("where", "nth", "done"),
    [
        ((Rows, "rewrite"), 2, False),  # one table is changed, and nothing committed
        ((journal, "_write"), 3, True),  # all is committed, and nothing noted
        ((journal, "sync"), 1, True),  # one table is noted as done
        ((journal, "sync"), 2, True),  # all are, and nothing was answered
    ],
)
async def test_a_correction_of_several_tables_that_was_killed_anywhere_is_carried_on_with_as_a_whole(
    written_twice: Chats, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], nth: int, done: bool
):
    step, change = uuid4(), address("nina@ny.example")
    with monkeypatch.context() as patched:
        killed_at(patched, *where, nth)
        with pytest.raises(Killed):
            await written_twice.store.correct(step, NINA, TERMS, [change])
    assert addresses(written_twice) == ({"nina@ny.example"} if done else {"nina@epost.example"})
    effect = await written_twice.store.correct(step, NINA, TERMS, [change])
    assert {one.table: one.count for one in effect.outcomes} == {"message": 3, "chat": 2}
    assert addresses(written_twice) == {"nina@ny.example"}


async def test_a_reference_that_nobody_declared_is_said_and_nothing_is_done(chats: Chats):
    chats.rows("CREATE TABLE stars (message BIGINT REFERENCES message (id))")
    chats.rows("INSERT INTO stars SELECT id FROM message")
    with pytest.raises(StoreDrifted):
        await chats.erase()
    assert chats.rows("SELECT count(*) FROM message") == [(chats.rows("SELECT count(*) FROM stars")[0][0],)]
    chats.rows("DROP TABLE stars")
    assert (await chats.erase()).outcomes


async def test_a_credential_that_was_revoked_is_said_and_nothing_is_done(chats: Chats):
    chats.rows(f"REVOKE ALL ON {chats.name}.* FROM chats_wardline@'127.0.0.1'")
    with pytest.raises(StoreUnavailable) as refused:
        await chats.erase()
    assert "credential" in refused.value.detail


async def test_a_server_that_is_away_is_said_and_two_erasures_at_once_are_one(chats: Chats, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        away = MAP.replace("DATABASE", chats.name).replace("PORT", str(nobody.getsockname()[1]))
    (tmp_path / "away").mkdir()
    with pytest.raises(StoreUnavailable):
        await MySQL(*store_of(tmp_path / "away", away)).erase(uuid4(), NINA, TERMS, Guard(), None)
    done = await asyncio.gather(*(chats.erase() for _ in range(3)))
    erased = [sum(one.count for one in each.outcomes if one.action == "erase") for each in done]
    assert sorted(erased) == [0, 0, 3]


async def test_a_server_that_is_cut_off_or_whoever_froze_after_the_last_answer_changes_nothing(
    chats: Chats, monkeypatch
):
    monkeypatch.setattr("services.anonymizer.connectors.mysql.rows.COMMIT_WITHIN", 1)

    class Slow(Guard):
        async def held(self, step=None):
            if step:
                await asyncio.sleep(1.5)
            return await super().held(step)

    with pytest.raises(StoreUnavailable):
        await chats.store.erase(uuid4(), NINA, TERMS, Slow(), None)
    assert chats.rows("SELECT count(*) FROM chat WHERE customer_number = 'K7'") == [(2,)]
    assert chats.rows("SELECT count(*) FROM message WHERE chat = 1") == [(2,)]
