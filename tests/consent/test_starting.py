"""Where a decision point begins: from an image, or from what counts; either way it knows what the whole ledger would have told it."""

import asyncio
from collections.abc import Callable

import pytest

from chassis.db import Database
from chassis.ids import new_id
from services.consent import image
from services.consent.contract import SetDuty, SetObjection
from services.consent.leases import Replica
from services.consent.memory import Memory
from tests.consent.conftest import key
from tests.patience import PATIENCE

LEDGER = """
SELECT l.position, e.type, e.tenant, e.subject, e.body FROM ledger_entry l JOIN event e ON e.id = l.event_id
WHERE l.position <= $1 ORDER BY l.position"""


def known(memory: Memory) -> tuple:
    """Everything, free of the numbers a memory gives to notices."""
    named = [(notice.name, notice.version, notice.purposes) for notice in memory.notices]
    said = {
        whose: {each._replace(notice=named[each.notice][:2] if each.notice else None) for each in hers}
        for whose, hers in memory.everything().items()
    }
    return said, sorted(named[1:], key=repr), memory._duties, memory.position


async def test_without_an_image_it_begins_with_what_counts(company, served, anna):
    """Of all that every test of this session has said so far."""
    told = await company.notice(purposes={"development": ["traffic"]})
    await company.give(anna, told, "development")
    await company.withdraw(anna, "development")
    await company.give(anna, told, "development")
    await company.service.set_objection(company.tenant, anna, "development", SetObjection(state="raised"), key())
    await company.service.set_duty(company.tenant, "communication", SetDuty(state="recorded", legal_ref="LVM"), key())
    database: Database = served.app.state.database
    begun, whole = Memory(), Memory()
    async with database.system() as connection:
        await image._take_standing(connection, "consent", begun)
        for row in await connection.fetch(LEDGER, begun.position):
            whole.read(*row)
    # What was committed since the head was read may be in one and not in the other; of this company nothing was.
    said, notices, duties, position = known(begun)
    assert known(whole) == (said, notices, duties, position) and (company.tenant, anna.bytes) in said
    assert len(said[company.tenant, anna.bytes]) == 2


async def test_a_ledger_that_lost_its_last_entries_is_read_anew(company, served, anna):
    """As after a backup or a standby took the database's place: what it never had is forgotten, and what comes now is not passed over."""
    await company.give(anna, await company.notice(purposes={"development": ["traffic"]}), "development")
    replica = Replica(served.app.state.database, Memory(), lambda: None)
    await _held(replica, lambda: replica.memory.said(company.tenant, anna.bytes, "development"))
    lost = new_id()
    replica.memory.hear(company.tenant, lost, ("consent", "gdpr", "development"), "given", 1, None, None)
    replica.memory.position, replica._leaf = replica.memory.position + 100, b"of an entry that is gone"
    taken = await company.withdraw(anna, "development")
    await _held(replica, lambda: replica.memory.said(company.tenant, anna.bytes, "development")[0].state == "withdrawn")
    assert taken.current and replica.memory.said(company.tenant, lost.bytes, "development") == []
    await replica.give_up()


async def test_an_image_that_lost_a_part_is_none(company, served, anna, monkeypatch):
    """What others objected to and withdrew was then not known: the parts behind the lost one stood for other people."""
    monkeypatch.setattr(image, "EVERY", 0)
    database: Database = served.app.state.database
    await company.give(anna, await company.notice(purposes={"development": ["traffic"]}), "development")
    async with database.system() as connection:
        held = Memory()
        await image._take_standing(connection, "consent", held)
        assert await image.keep(connection, held)
        await connection.execute("DELETE FROM memory_image WHERE part = 7")
    async with database.system() as connection, connection.transaction():
        begun = Memory()
        assert not await image.recall(connection, begun)
        assert begun.everything() == {} and begun.position == 0
        await connection.execute("DELETE FROM memory_image")


async def _held(replica: Replica, known: Callable[[], object]) -> None:
    """Its lease is held until it may answer and this is known."""
    holding = asyncio.create_task(replica.run())
    async with asyncio.timeout(PATIENCE):
        while not (replica.may_answer() and known()):
            await asyncio.sleep(0.01)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


async def test_a_beginning_that_was_cut_off_leaves_nothing(company, served, anna, monkeypatch):
    await company.give(anna, await company.notice())
    memory, hear = Memory(), Memory.hear

    def cut_off(self, *said):
        hear(self, *said)
        raise ConnectionResetError

    monkeypatch.setattr(Memory, "hear", cut_off)
    connection = await served.app.state.database.connect_system()
    with pytest.raises(ConnectionResetError):
        await image.begin(connection, "consent", memory)
    await connection.close()
    assert memory.everything() == {} and memory.position == 0 and len(memory.notices) == 1
