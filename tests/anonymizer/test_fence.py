"""Files have no transactions. A process that freezes after its last answer about holds, and is thawed when an order has come meanwhile:
the order is told nothing that is gone later, and what a killed run moved aside is back before anybody looks."""

import asyncio
import json
import wave
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import polars as pl
import pytest

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import Files, leaving
from services.anonymizer.connectors.guard import Lease
from services.anonymizer.contract import Correction, DisclosureRequest, HoldsUnreadable, Identifier, StoreUnavailable
from services.anonymizer.datamap import Table
from services.anonymizer.rules.person import Known, Person
from tests.anonymizer.directly import ALWAYS, NOW, TERMS, Guard, ago, collected, connector, person
from tests.anonymizer.test_faults import lake, login, logs

NUMBER = "46701740605"
ANNA = person(("email", "anna@epost.example"), ("msisdn", NUMBER))
RECORDINGS = """
store: recordings
label: {sv: Inspelningar, en: Recordings}
kind: folder
controller: operator
location: {folder: recordings}
tables:
  recording:
    label: {sv: Inspelning, en: Recording}
    element: helpdesk_recording
    store_class: business
    at: started_at
    anchors: {started_at: started_at}
    key: [recording]
    columns:
      recording: helpdesk_recording
      tenant: technical
      caller: {element: participants, identifies: {type: msisdn}}
      started_at: time_and_length
"""
STORES = ["logs", "lake", "recordings"]


def filled(tmp_path: Path, store: str) -> tuple[Files, Path, Known, str]:
    """The store, the file with Anna's record, by what she is known in it, and the category of an order."""
    if store == "logs":
        return *logs(tmp_path, login("anna"), login("bo")), ANNA.known[0], "authentication_log"
    if store == "lake":
        return *lake(tmp_path), ANNA.known[1], "traffic"
    files, folder = connector(tmp_path, RECORDINGS), tmp_path / "recordings" / str(PRIVATE.id) / "2027-01-19"
    folder.mkdir(parents=True)
    said = {"recording": "1", "tenant": str(PRIVATE.id), "caller": NUMBER, "started_at": ago(days=1)}
    (folder / "1.json").write_bytes(orjson.dumps(said))
    (folder / "1.wav").write_bytes(b"sound")
    return files, folder / "1.json", ANNA.known[1], "helpdesk_recording"


async def disclosed(files: Files, known: Known, category: str, *holds: Any) -> int:
    """How many records an order is given."""
    return sum(orjson.loads((await given(files, known, category, *holds)).splitlines()[-1])["counts"].values())


async def given(files: Files, known: Known, category: str, *holds: Any) -> bytes:
    since, until = ALWAYS
    wish = DisclosureRequest.model_validate(
        {
            "step": uuid4(),
            "store": files.store.store,
            "identifiers": [Identifier(type=known.type, value=known.value)],
            "categories": [category],
            "period": {"from": since, "to": until},
            "copies": ["business", "retention"],
            "holds": list(holds),
        }
    )
    asked = Person(uuid4(), PRIVATE.id, (known,))
    return b"".join([chunk async for chunk in files.disclose(known, asked, wish, TERMS.book)])


def freezing(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Any]) -> None:
    """After the last answer was taken, and what was held by it preserved, `meanwhile` happens before anything else."""
    during = Lease.during

    def frozen(lease: Lease, *told: Any, **more: Any) -> None:
        during(lease, *told, **more)
        asyncio.run_coroutine_threadsafe(meanwhile(), lease.loop).result()

    monkeypatch.setattr(Lease, "during", frozen)


@pytest.mark.parametrize("store", ["lake", "recordings"])
async def test_an_order_that_comes_while_an_erasure_is_frozen_is_given_nothing_that_is_gone_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
):
    files, _, known, category = filled(tmp_path, store)
    guard, given = Guard(), []
    assert await disclosed(files, known, category) == 1

    async def comes() -> None:
        hold = guard.hold(known, category)
        with pytest.raises(StoreUnavailable):
            given.append(await disclosed(files, known, category, hold))

    freezing(monkeypatch, comes)
    await files.erase(uuid4(), ANNA, TERMS, guard, None)
    assert given == [] and await disclosed(files, known, category, *(one.hold for one in guard.holds)) == 0


class Asked(Guard):
    """seen: at each question, whether the record still stood in its place."""

    def __init__(self, path: Path, known: Known) -> None:
        super().__init__()
        self.path, self.known, self.seen = path, known, list[bool]()

    async def held(self, step=None):
        self.seen.append(self.path.exists() and self.known.value.encode() in self.path.read_bytes())
        return await super().held(step)


@pytest.mark.parametrize("store", STORES)
async def test_a_hold_that_comes_before_the_record_left_its_place_is_kept_whenever_the_question_was_meant(
    tmp_path: Path, store: str
):
    """The question is asked after the move: nothing is gone by an answer from before it."""
    files, path, known, category = filled(tmp_path, store)
    guard = Asked(path, known)
    hold = guard.hold(known, category)
    effect = await files.erase(uuid4(), ANNA, TERMS, guard, None)
    assert not any(guard.seen) and effect.preserved == {hold: 1}
    if store != "logs":  # of which no order is given anything
        assert await disclosed(files, known, category, hold) == 1 and await disclosed(files, known, category) == 0


def old(tmp_path: Path, store: str) -> tuple[Files, Path, Known, str]:
    """As `filled`, with a record whose time is over."""
    files, path, known, category = filled(tmp_path, store)
    if store == "lake":
        pl.read_parquet(path).with_columns(started_at=pl.lit(NOW - timedelta(days=1100))).write_parquet(path)
    elif store == "logs":
        path.write_text(json.dumps(login("anna", time=ago(days=60))) + "\n")
    else:
        path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"started_at": ago(days=400)}))
    return files, path, known, category


async def swept(files: Files, guard: Guard) -> dict[UUID, int]:
    """What was preserved, by hold."""
    preserved = Counter[UUID]()
    async for piece in files.sweep(uuid4(), TERMS, guard, lambda: {}):
        assert sum(one.count for one in piece.swept) > 0
        preserved.update(piece.preserved)
    return preserved


@pytest.mark.parametrize("store", STORES)
async def test_a_sweep_asks_after_the_record_left_its_place_and_keeps_what_is_held_then(tmp_path: Path, store: str):
    files, path, known, category = old(tmp_path, store)
    guard = Asked(path, known)
    hold = guard.hold(known, category)
    assert await swept(files, guard) == {hold: 1} and guard.seen and not any(guard.seen)
    assert files.journal.moving() == [] and known.value.encode() not in (path.read_bytes() if path.exists() else b"")


@pytest.mark.parametrize("store", ["lake", "recordings"])
async def test_an_order_that_comes_while_a_sweep_is_frozen_is_given_nothing_that_is_gone_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
):
    files, _, known, category = old(tmp_path, store)
    guard, given = Guard(), []

    async def comes() -> None:
        hold = guard.hold(known, category)
        with pytest.raises(StoreUnavailable):
            given.append(await disclosed(files, known, category, hold))

    freezing(monkeypatch, comes)
    await swept(files, guard)
    assert guard.holds and given == []
    assert await disclosed(files, known, category, *(one.hold for one in guard.holds)) == 0


async def test_an_answer_serves_for_nothing_that_moved_after_it_whatever_the_machine_s_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.anonymizer.connectors.guard.time.monotonic", lambda: 1.0)
    monkeypatch.setattr(leaving, "PIECES", 1)
    files, path, known, category = old(tmp_path, "logs")
    path.with_name("2027-01-20.jsonl").write_bytes(path.read_bytes())

    class Late(Guard):
        asked = 0

        async def held(self, step=None):
            self.asked += 1
            if self.asked == 2:
                self.hold(known, category)
            return await super().held(step)

    guard = Late()
    assert list((await swept(files, guard)).values()) == [1] and guard.asked == 2


class Counting(Guard):
    """Asked for the first time, an order names somebody; for the second time, `second` happens. seen: what still stood in its place."""

    def __init__(self, folder: Path, known: Known, category: str, second: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.folder, self.known, self.category, self.second, self.seen = folder, known, category, second, list[int]()

    async def held(self, step=None):
        self.seen.append(len(list(self.folder.glob("*.json"))))
        if len(self.seen) == 2:
            self.second()
        elif not self.holds:
            self.hold(self.known, self.category)
        return await super().held(step)


def many(tmp_path: Path, number: int) -> tuple[Files, Path, Known, str]:
    """As `old`, with so many recordings."""
    files, path, known, category = old(tmp_path, "recordings")
    for n in range(2, number + 1):
        path.with_name(f"{n}.json").write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"recording": str(n)}))
        path.with_name(f"{n}.wav").write_bytes(b"sound")
    return files, path, known, category


async def test_many_files_go_by_few_answers_each_of_which_comes_after_all_of_them_had_moved(tmp_path: Path):
    files, path, known, category = many(tmp_path, 250)
    guard = Counting(path.parent, known, category)
    assert list((await swept(files, guard)).values()) == [250]
    assert guard.seen == [150, 50, 0] and files.journal.moving() == []
    assert await disclosed(files, known, category, guard.holds[0].hold) == 250


async def test_what_lay_aside_is_all_back_when_holds_cannot_be_read_and_goes_when_they_can(tmp_path: Path):
    files, path, known, category = many(tmp_path, 130)

    def silent() -> None:
        raise HoldsUnreadable

    guard, sweep = Counting(path.parent, known, category, silent), uuid4()
    with pytest.raises(HoldsUnreadable):
        [piece async for piece in files.sweep(sweep, TERMS, guard, lambda: {})]
    assert files.journal.moving() == [] and len(list(path.parent.glob("*.json"))) == 30
    assert len(list(path.parent.glob("*.wav"))) == 30
    [piece] = [piece async for piece in files.sweep(sweep, TERMS, guard, lambda: {})]
    assert list(piece.preserved.values()) == [130] and not path.parent.exists()


class Silent(Guard):
    async def held(self, step=None):
        raise HoldsUnreadable


@pytest.mark.parametrize("store", STORES)
async def test_a_restriction_waits_for_an_erasure_that_was_begun_and_says_nothing_was_frozen_that_goes(
    tmp_path: Path, store: str
):
    files, path, known, _ = filled(tmp_path, store)
    step, freezing = uuid4(), uuid4()
    with pytest.raises(HoldsUnreadable):
        await files.erase(step, ANNA, TERMS, Silent(), None)
    with pytest.raises(StoreUnavailable):
        await files.freeze(freezing, ANNA, TERMS)
    effect = await files.erase(step, ANNA, TERMS, Guard(), None)
    assert sum(one.count for one in effect.outcomes) == 1 and await collected(files, ANNA) == []
    assert (await files.freeze(freezing, ANNA, TERMS)).outcomes == [] and files.journal.frozen() == set()


async def test_a_line_that_was_frozen_stays_so_when_it_is_corrected(tmp_path: Path):
    files, path = logs(tmp_path, login("anna"), login("bo"))
    known = person(*(("email", f"{name}@epost.example") for name in ("anna", "ny")))
    await files.freeze(uuid4(), known, TERMS)
    element = files.table.columns["email"].element
    change = Correction(element=element, old="anna@epost.example", new="ny@epost.example")
    done = await files.correct(uuid4(), known, TERMS, [change])
    assert [one.count for one in done.outcomes] == [1]
    kept = await files.erase(uuid4(), known, TERMS, Guard(), None)
    assert [(one.action, one.rule) for one in kept.outcomes] == [("keep", "restriction")]
    assert "ny@epost.example" in path.read_text()
    await files.unfreeze(uuid4(), known, TERMS)
    await files.erase(uuid4(), known, TERMS, Guard(), None)
    assert await collected(files, known) == [] and b"bo@" in path.read_bytes()


async def test_a_line_that_was_frozen_stays_so_when_who_corrects_it_is_killed_before_saying_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files, path = logs(tmp_path, login("anna"), login("bo"))
    known, step, later = person(*(("email", f"{name}@epost.example") for name in ("anna", "ny"))), uuid4(), uuid4()
    await files.freeze(uuid4(), known, TERMS)
    change = Correction(element=files.table.columns["email"].element, old="anna@epost.example", new="ny@epost.example")

    def killed(*_: Any) -> None:
        raise OSError

    with monkeypatch.context() as dying:
        dying.setattr(files.journal, "freeze", killed)
        with pytest.raises(StoreUnavailable):
            await files.correct(step, known, TERMS, [change])
    assert "ny@epost.example" in path.read_text(), "it was corrected"
    kept = await files.erase(later, known, TERMS, Guard(), None)
    assert [(one.action, one.rule) for one in kept.outcomes] == [("keep", "restriction")]
    assert (await files.verify(known, TERMS, None)).remaining == 0, "what is frozen may be there"
    terms = replace(TERMS, now=TERMS.now + timedelta(days=9000))
    [piece] = [one async for one in files.sweep(uuid4(), terms, Guard(), lambda: {})]
    assert [one.count for one in piece.swept] == [1], "only Bo's goes"
    assert "ny@epost.example" in path.read_text()
    assert [one.count for one in (await files.correct(step, known, TERMS, [change])).outcomes] == [1]
    await files.unfreeze(uuid4(), known, TERMS)
    await files.erase(uuid4(), known, TERMS, Guard(), None)
    assert await collected(files, known) == []


@pytest.mark.parametrize("store", STORES)
async def test_restrictions_and_erasures_at_once_in_files_are_one_after_the_other(tmp_path: Path, store: str):
    files, path, known, _ = filled(tmp_path, store)
    before = {one: one.read_bytes() for one in path.parent.glob("*") if one.is_file()}
    for _ in range(10):
        for one, content in before.items():
            one.parent.mkdir(parents=True, exist_ok=True)
            one.write_bytes(content)
        froze, erased = await asyncio.gather(
            files.freeze(uuid4(), ANNA, TERMS), files.erase(uuid4(), ANNA, TERMS, Guard(), None)
        )
        frozen = sum(one.count for one in froze.outcomes)
        assert len(await collected(files, ANNA)) == frozen
        assert [(one.action, one.count) for one in erased.outcomes] == [("keep" if frozen else "erase", 1)]
        await files.unfreeze(uuid4(), ANNA, TERMS)


@pytest.mark.parametrize("store", STORES)
async def test_what_a_killed_run_moved_aside_is_back_before_anybody_looks(tmp_path: Path, store: str):
    files, path, *_ = filled(tmp_path, store)
    aside = files.journal.aside(str(path.relative_to(files.root)))
    aside.parent.mkdir(parents=True)
    for part in path.parent.glob("1.*") if store == "recordings" else [path]:
        part.rename(aside.with_suffix(part.suffix))
    assert (await files.verify(ANNA, TERMS, None)).remaining == 1
    assert path.exists() and files.journal.moving() == []
    effect = await files.erase(uuid4(), ANNA, TERMS, Guard(), None)
    assert sum(one.count for one in effect.outcomes) == 1 and await collected(files, ANNA) == []
    assert files.journal.moving() == [] and NUMBER.encode() not in b"".join(
        one.read_bytes() for one in files.root.rglob("*") if one.is_file()
    )


class Copied(Guard):
    """Asked about holds, when all lies aside: first a copy of somebody's data is made. What is answered then is `silent`, or nothing held."""

    def __init__(self, files: Files, silent: bool, who: Person = ANNA) -> None:
        super().__init__()
        self.files, self.silent, self.who, self.copies = files, silent, who, list[list]()

    async def held(self, step=None):
        assert self.files.journal.moving()
        self.copies.append(await collected(self.files, self.who))
        if self.silent:
            raise HoldsUnreadable
        return await super().held(step)


@pytest.mark.parametrize("store", STORES)
async def test_a_copy_made_while_a_record_lies_aside_has_it_once_until_it_was_let_go(tmp_path: Path, store: str):
    files, *_ = filled(tmp_path, store)
    before, step = await collected(files, ANNA), uuid4()
    silent, heard = Copied(files, silent=True), Copied(files, silent=False)
    with pytest.raises(HoldsUnreadable):
        await files.erase(step, ANNA, TERMS, silent, None)
    assert len(before) == 1 and silent.copies == [before] and await collected(files, ANNA) == before
    await files.erase(step, ANNA, TERMS, heard, None)
    assert heard.copies == [before] and await collected(files, ANNA) == []


async def test_a_copy_for_who_stays_in_a_file_that_somebody_else_is_taken_from_has_each_line_once(tmp_path: Path):
    files, _ = logs(tmp_path, login("anna"), login("bo"))
    bo = person(("email", "bo@epost.example"))
    before, guard = await collected(files, bo), Copied(files, silent=False, who=bo)
    await files.erase(uuid4(), ANNA, TERMS, guard, None)
    assert len(before) == 1 and guard.copies == [before] and await collected(files, bo) == before


async def test_a_copy_made_while_a_recording_lies_aside_has_its_sound(tmp_path: Path):
    files, path, *_ = filled(tmp_path, "recordings")
    files.table = files.table.model_copy(update={"voices": [["caller"], []]})
    with wave.open(str(path.with_suffix(".wav")), "wb") as sound:
        sound.setparams((2, 2, 8000, 9, "NONE", "not compressed"))
        sound.writeframes(b"anna" * 9)
    before, guard = await collected(files, ANNA), Copied(files, silent=True)
    with pytest.raises(HoldsUnreadable):
        await files.erase(uuid4(), ANNA, TERMS, guard, None)
    assert before[0][-1] == "1.wav" and len(before) > 1 and guard.copies == [before]


@pytest.mark.parametrize("store", STORES)
async def test_what_an_organisation_is_given_back_while_a_record_lies_aside_has_it_once_until_it_was_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
):
    monkeypatch.setattr(Table, "for_tenants", lambda *_: True)
    files, *_ = filled(tmp_path, store)
    files.table = files.table.model_copy(update={"voices": [["caller"]]} if store == "recordings" else {})

    async def returned() -> list[bytes]:
        return sorted(b"".join([one async for one in files.give_back(PRIVATE.id, TERMS.book)]).splitlines())

    class Returned(Guard):
        async def held(self, step=None):
            given.append(await returned())
            return await super().held(step)

    before, given = await returned(), list[list[bytes]]()
    await files.erase(uuid4(), ANNA, TERMS, Returned(), None)
    after = await returned()
    assert given == [before] and len(before) > len(after)


@pytest.mark.parametrize("looking", ["_pieces", "read"])
@pytest.mark.parametrize("store", STORES)
async def test_a_copy_looks_again_for_what_is_put_back_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, looking: str
):
    """In its place it is looked for while it lies aside, and aside when it is back."""
    files, path, *_ = filled(tmp_path, store)
    before, aside = await collected(files, ANNA), files.journal.aside(str(path.relative_to(files.root)))
    of = files if looking == "_pieces" else files.format
    look, looks = getattr(of, looking), list[object]()

    def late(*told: Any, **more: Any) -> Any:
        looks.append(told)
        if len(looks) > 1:
            return look(*told, **more)
        aside.parent.mkdir(parents=True)
        path.rename(aside)
        found = list(look(*told, **more))
        files.format.put_back(path, aside)
        return found

    monkeypatch.setattr(of, looking, late)
    assert await collected(files, ANNA) == before and len(before) == 1 and len(looks) == 2
