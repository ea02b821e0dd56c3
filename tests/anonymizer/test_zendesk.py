"""A helpdesk behind Zendesk's dialect, as a person's deletion and an auditor see it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from sample.cases import FJALLRESOR, PRIVATE
from services.anonymizer.connectors.files import Files
from services.anonymizer.contract import (
    Correction,
    HoldsUnreadable,
    StoreDrifted,
    StoreUnavailable,
)
from services.anonymizer.rules.orders import Hold
from tests.anonymizer.directly import ALWAYS, TERMS, Guard, ago, collected, connector, person
from tests.anonymizer.test_fence import disclosed, freezing, given
from tests.anonymizer.vendor import BLOCK, Vendor
from tests.serving import serve

MAP = f"""
store: tickets
label: {{sv: Ärenden, en: Tickets}}
kind: zendesk
controller: operator
location: {{url: URL, user: privacy@nordtel.example, folder: kept/tickets, tenant: {PRIVATE.id}, gone_within_days: 30}}
tables:
  comment:
    label: {{sv: Inlägg, en: Comment}}
    element: helpdesk_ticket
    store_class: business
    at: created_at
    anchors: {{closed_at: closed_at}}
    key: [ticket, comment]
    columns:
      ticket: technical
      comment: technical
      tenant: technical
      customer_number: {{element: customer_number, identifies: {{type: customer}}}}
      requester_name: {{element: name, identifies: {{type: name}}}}
      requester_email: {{element: customer_email_address, identifies: {{type: email}}}}
      requester_phone: {{element: telephone_number, identifies: {{type: msisdn}}}}
      subject: {{element: helpdesk_ticket, text: true}}
      body: {{element: helpdesk_ticket, text: true}}
      attachments: {{element: helpdesk_ticket, text: true}}
      created_at: helpdesk_ticket
      closed_at: helpdesk_ticket
"""
ANNA = person(("customer", "K1"), ("email", "anna@epost.example"), ("msisdn", "46701740605"), ("name", "Anna Testlind"))


@dataclass
class Desk:
    vendor: Vendor
    files: Files
    guard: Guard

    async def erase(self, step=None):
        return await self.files.erase(step or uuid4(), ANNA, TERMS, self.guard, None)

    async def left(self) -> int:
        return (await self.files.verify(ANNA, TERMS, None)).remaining


@pytest_asyncio.fixture(loop_scope="session")
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    vendor = Vendor()
    vendor.organizations[9] = {"id": 9, "external_id": str(FJALLRESOR.id)}
    vendor.user(1, name="Anna Testlind", email="Anna@epost.example", phone="+46701740605", external_id="K1")
    vendor.user(2, name="Bo Ek", email="bo@epost.example")
    vendor.ticket(11, 1, "My bill is wrong", "Call me", "Thanks", at=ago(days=20), status="solved")
    vendor.ticket(12, 1, "Once more", at=ago(days=90), status="closed")
    vendor.ticket(21, 2, "Anna Testlind gave me 070-174 06 05 & said <call>", "Nothing here", at=ago(days=9))
    vendor.ticket(22, 2, "Write to anna@epost.example", at=ago(days=80), status="closed", organization_id=9)
    async with serve(vendor.app()) as url:
        files = connector(tmp_path, MAP.replace("URL", url))
        yield Desk(vendor, files, Guard())
        await files.close()


async def test_a_person_is_found_through_every_page_and_however_often_the_vendor_says_wait(desk: Desk):
    desk.vendor.slow_down = 3
    rows = await collected(desk.files, ANNA)
    assert len(rows) == 4 and {row[2] for row in rows} == {"anna@epost.example"}


async def test_own_tickets_go_for_good_and_in_others_the_words_are_struck(desk: Desk):
    preview = await desk.files.preview(ANNA, TERMS, None)
    assert await desk.left() > 0
    effect = await desk.erase()
    assert effect.outcomes == preview and effect.pending is None
    assert {(one.action, one.count) for one in effect.outcomes} == {("erase", 4), ("redact", 2)}
    assert desk.vendor.tickets.keys() == {21, 22} and desk.vendor.deleted == {}
    texts = " ".join(one["html_body"] for ticket in (21, 22) for one in desk.vendor.comments[ticket])
    assert "Anna" not in texts and "174" not in texts and "anna@" not in texts and BLOCK in texts
    assert "Nothing here" in texts and "gave me" in texts
    assert await desk.left() == 0


async def test_what_the_vendor_keeps_for_a_while_is_pending_until_its_day(desk: Desk):
    desk.vendor.purges, step = False, uuid4()
    assert (await desk.erase(step)).pending == date(2027, 2, 19)
    deletions = [call for call in desk.vendor.calls if call.startswith("DELETE /api/v2/tickets")]
    desk.vendor.deleted.clear()
    done = await desk.erase(step)
    assert done.pending is None and sum(one.count for one in done.outcomes) == 6
    assert [call for call in desk.vendor.calls if call.startswith("DELETE /api/v2/tickets")] == deletions


async def test_a_vendor_that_fails_in_the_middle_is_carried_on_with_where_it_stopped(desk: Desk):
    step, calls = uuid4(), len(desk.vendor.calls)
    await desk.files.preview(ANNA, TERMS, None)
    desk.vendor.fails_after = len(desk.vendor.calls) + (len(desk.vendor.calls) - calls) + 4
    with pytest.raises(StoreUnavailable):
        await desk.erase(step)
    desk.vendor.fails_after = None
    assert sum(one.count for one in (await desk.erase(step)).outcomes) == 6
    assert desk.vendor.tickets.keys() == {21, 22} and await desk.left() == 0


async def test_a_credential_that_was_revoked_is_said_and_nothing_is_done(desk: Desk):
    desk.vendor.secret = "another"
    with pytest.raises(StoreUnavailable) as refused:
        await desk.erase()
    assert "credential" in refused.value.detail and len(desk.vendor.tickets) == 4


async def test_what_an_order_holds_is_kept_aside_before_the_ticket_goes(desk: Desk):
    known = ANNA.known[2]
    hold = desk.guard.hold(known, "helpdesk_ticket")
    desk.guard.holds.append(Hold(uuid4(), known, ("location",), *ALWAYS))
    effect = await desk.erase()
    assert effect.preserved == {hold: 4} and 11 not in desk.vendor.tickets
    assert await desk.files.release(hold) == 4


async def test_a_wrong_address_is_corrected_at_the_user(desk: Desk):
    change = Correction(element="customer_email_address", old="anna@epost.example", new="anna@rätt.example")
    done = await desk.files.correct(uuid4(), ANNA, TERMS, [change])
    assert done.outcomes[0].action == "correct" and desk.vendor.users[1]["email"] == "anna@rätt.example"


async def test_a_frozen_ticket_stays_until_it_is_lifted(desk: Desk):
    await desk.files.freeze(uuid4(), ANNA, TERMS)
    kept = await desk.erase()
    assert {one.action for one in kept.outcomes if one.rule == "restriction"} == {"keep"}
    assert {11, 12} <= desk.vendor.tickets.keys()
    await desk.files.unfreeze(uuid4(), ANNA, TERMS)
    await desk.erase()
    assert desk.vendor.tickets.keys() == {21, 22}


async def test_a_ticket_is_deleted_before_the_last_question_and_for_good_after_it(desk: Desk, monkeypatch):
    """An order that comes while the process is frozen between the two is told to ask again, and then that nothing is there."""
    known, told = ANNA.known[2], []

    async def comes() -> None:
        if 11 in desk.vendor.deleted:
            hold = desk.guard.hold(known, "helpdesk_ticket")
            with pytest.raises(StoreUnavailable):
                told.append(await disclosed(desk.files, known, "helpdesk_ticket", hold))
            desk.guard.holds.clear()
            told.append("again")

    freezing(monkeypatch, comes)
    await desk.erase()
    assert told == ["again"] and desk.vendor.tickets.keys() == {21, 22}
    assert await disclosed(desk.files, known, "helpdesk_ticket") == 0


BO = person(("email", "bo@epost.example"))


async def words_of_bo(desk: Desk, *holds: UUID) -> str:
    """What an order about Bo is given."""
    return (await given(desk.files, BO.known[0], "helpdesk_ticket", *holds)).decode()


async def test_words_are_struck_between_two_questions_and_what_is_held_by_the_second_is_kept_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """An order that comes while the process is frozen before the first word goes was shown all, and is given all later."""
    shown = []

    async def comes() -> None:
        if not shown and desk.vendor.tickets.keys() == {21, 22} and not desk.files.journal.moving():
            shown.append(await words_of_bo(desk))
            desk.guard.hold(BO.known[0], "helpdesk_ticket")

    freezing(monkeypatch, comes)
    effect = await desk.erase()
    [hold] = [one.hold for one in desk.guard.holds]
    assert "070-174 06 05" in shown[0] and effect.preserved[hold] > 0
    assert "070-174 06 05" in await words_of_bo(desk, hold) and "174" not in await words_of_bo(desk)
    assert desk.files.journal.moving() == []


async def test_who_was_killed_while_words_were_struck_is_carried_on_with_and_an_order_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.anonymizer.connectors.files._LOOKS", 1)
    step, redact = uuid4(), desk.files.format._redact

    def struck_and_killed(*told: Any) -> None:
        redact(*told)
        raise ConnectionError

    monkeypatch.setattr(desk.files.format, "_redact", struck_and_killed)
    with pytest.raises(StoreUnavailable):
        await desk.erase(step)
    assert any(BLOCK in one["plain_body"] for one in desk.vendor.comments[21]), "the first word went"
    hold = desk.guard.hold(BO.known[0], "helpdesk_ticket")
    with pytest.raises(StoreUnavailable):
        await words_of_bo(desk, hold)
    monkeypatch.undo()
    effect = await desk.erase(step)
    assert effect.preserved[hold] > 0 and "070-174 06 05" in await words_of_bo(desk, hold)
    assert desk.files.journal.moving() == [] and await desk.left() == 0


async def test_a_ticket_whose_words_a_killed_run_struck_waits_for_that_run_before_anybody_else_changes_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """The copy of what stood in it is that run's: what is held until it ends is preserved from there, whole."""
    step, other, redact = uuid4(), uuid4(), desk.files.format._redact
    calle = person(("email", "calle@epost.example"), ("name", "Calle Ny"))
    desk.vendor.ticket(23, 2, "Anna Testlind and Calle Ny asked, 070-174 06 05", at=ago(days=9), status="solved")

    def struck_and_killed(ticket: str, *told: Any) -> None:
        redact(ticket, *told)
        if ticket == "23":
            raise ConnectionError

    monkeypatch.setattr(desk.files.format, "_redact", struck_and_killed)
    with pytest.raises(StoreUnavailable):
        await desk.erase(step)
    monkeypatch.undo()
    with pytest.raises(StoreUnavailable):
        await desk.files.erase(other, calle, TERMS, desk.guard, None)
    with pytest.raises(StoreUnavailable):  # nor does it go as a whole
        await desk.files.erase(uuid4(), BO, TERMS, desk.guard, None)
    hold = desk.guard.hold(BO.known[0], "helpdesk_ticket")
    assert (await desk.erase(step)).preserved[hold] > 0
    assert "070-174 06 05" in await words_of_bo(desk, hold)
    done = await desk.files.erase(other, calle, TERMS, desk.guard, None)
    assert [(one.action, one.count) for one in done.outcomes] == [("redact", 1)]
    assert "Calle" not in desk.vendor.comments[23][0]["plain_body"] and desk.files.journal.moving() == []


async def test_a_ticket_whose_holds_cannot_be_read_or_whose_run_was_killed_is_restored(desk: Desk):
    class Silent(Guard):
        async def held(self, step=None):
            raise HoldsUnreadable

    desk.guard = Silent()
    with pytest.raises(HoldsUnreadable):
        await desk.erase()
    assert {11, 12} <= desk.vendor.tickets.keys() and desk.vendor.deleted == {}
    aside = desk.files.journal.aside("11")
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.touch()
    desk.vendor.delete(11)
    half = aside.with_name(".12.new")
    half.write_bytes(b"\nhalf of what")
    assert await desk.left() > 0 and 11 in desk.vendor.tickets and desk.files.journal.moving() == []


class Copied(Guard):
    """Asked about holds, it first has another process make a copy of somebody's data. What it answers then is `silent`, or nothing held."""

    def __init__(self, desk: Desk, silent: bool) -> None:
        super().__init__()
        self.vendor, self.silent, self.copies = desk.vendor, silent, list[tuple[list[int], set[str]]]()
        self.another = Files(desk.files.store, desk.files.format.settings)

    async def held(self, step=None):
        said = {"Call me", "Once more"}.intersection(chain(*await collected(self.another, ANNA)))
        self.copies.append((sorted(self.vendor.tickets), said))
        if self.silent:
            raise HoldsUnreadable
        return await super().held(step)


async def test_a_copy_made_while_a_ticket_is_deleted_so_that_it_can_be_restored_has_it(desk: Desk):
    before, step = sorted(await collected(desk.files, ANNA)), uuid4()
    desk.guard = silent = Copied(desk, silent=True)
    with pytest.raises(HoldsUnreadable):
        await desk.erase(step)
    assert (
        silent.copies == [([12, 21, 22], {"Call me", "Once more"})]
        and sorted(await collected(desk.files, ANNA)) == before
    )
    desk.guard = heard = Copied(desk, silent=False)
    await desk.erase(step)
    assert heard.copies[:2] == [([12, 21, 22], {"Call me", "Once more"}), ([21, 22], {"Once more"})]
    assert await collected(desk.files, ANNA) == [] and desk.files.journal.moving() == []
    heard.another.format.close()
    silent.another.format.close()


async def test_what_is_held_of_a_ticket_is_kept_whichever_process_preserves_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """All that there is of it lies in the folder, where the ticket was before it was deleted."""
    kept, another = list[list[str]](), Files(desk.files.store, desk.files.format.settings)

    async def comes() -> None:
        if 11 in desk.vendor.deleted:
            kept.append([row["body"] for _, row in another.format.read(another.journal.aside("11"), another.table)])

    freezing(monkeypatch, comes)
    await desk.erase()
    another.format.close()
    assert kept == [["My bill is wrong", "Call me", "Thanks"]]


@pytest.mark.parametrize("said", ["0", "Sun, 06 Nov 1994 08:49:37 GMT", "soon"])
async def test_however_the_vendor_says_how_long_to_wait_it_is_understood(desk: Desk, said: str):
    desk.vendor.slow_down, desk.vendor.retry_after = 1, said
    assert len(await collected(desk.files, ANNA)) == 4


async def test_an_answer_that_is_cut_off_or_no_json_is_said_and_nothing_is_done(desk: Desk):
    desk.vendor.garbles = True
    with pytest.raises(StoreDrifted):
        await desk.erase()
    assert len(desk.vendor.tickets) == 4


async def test_whoever_verifies_uses_the_credential_that_only_reads(desk: Desk):
    (desk.files.format.settings.secrets_dir / "stores" / "tickets.verifier.password").write_text("another")
    desk.vendor.readers = {"another"}
    assert await desk.left() > 0
    desk.vendor.readers = set()
    with pytest.raises(StoreUnavailable):
        await desk.left()


async def test_a_file_whose_name_speaks_of_the_person_is_redacted_in_somebody_else_s_ticket_and_others_stay(desk: Desk):
    desk.vendor.attach(11, 1100, "bill.pdf")
    desk.vendor.attach(22, 2200, "contract Anna Testlind 070-174 06 05.pdf", "photo.jpg")
    assert "bill.pdf" in str(await collected(desk.files, ANNA))
    assert "attachments" in {one.column for one in (await desk.files.verify(ANNA, TERMS, None)).findings}
    await desk.erase()
    [comment] = desk.vendor.comments[22]
    assert [one["file_name"] for one in comment["attachments"]] == ["redacted.txt", "photo.jpg"]
    assert await desk.left() == 0
