"""A newcomer's connector, as docs/connectors.md tells to write one: CSV files, each line a record. One class, one line in `kinds`."""

import csv
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import kinds
from services.anonymizer.connectors.files.formats import Edits, Folder, Leave, Marks, Row, replace, typed
from services.anonymizer.contract import Correction, StoreDrifted, Verb
from services.anonymizer.datamap import DataMapFault, Table
from tests.anonymizer.directly import TERMS, Guard, ago, collected, connector, person

MAP = """
store: letters
label: {sv: Brevlista, en: List of letters}
kind: csv
controller: operator
location: {folder: letters}
tables:
  letter:
    label: {sv: Brev, en: Letter}
    element: helpdesk_email
    store_class: business
    at: sent
    anchors: {closed_at: closed}
    key: [id]
    columns:
      id: technical
      tenant: technical
      email: {element: customer_email_address, identifies: {type: email}}
      subject: {element: helpdesk_email, text: true}
      sent: helpdesk_email
      closed: helpdesk_email
"""
ANNA = person(("email", "anna@epost.example"), ("name", "Anna Testlind"))


class Csv(Folder):
    ending = ".csv"

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> list[tuple[str, Row]]:
        return [(row["id"], typed(row, table)) for row in self._rows(path)]

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        rows = self._rows(path)
        kept = [
            row | {column: edit.value for column, edit in edits.get(row["id"], {}).items()}
            for row in rows
            if row["id"] not in gone
        ]
        if kept != rows:
            self.swap(path, leave, (lambda fresh: self._write(fresh, kept)) if kept else None)

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        replace(target / path.name, lambda fresh: self._write(fresh, [r for r in self._rows(path) if r["id"] in marks]))

    def _rows(self, path: Path) -> list[Row]:
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, path: Path, rows: list[Row]) -> None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(kinds.FORMATS, "csv", Csv)


@pytest.fixture
def letters(tmp_path: Path, known: None) -> Path:
    folder = tmp_path / "letters"
    folder.mkdir()
    rows = [
        [1, PRIVATE.id, "anna@epost.example", "My bill", ago(days=9), ago(days=8)],
        [2, PRIVATE.id, "bo@epost.example", "Anna Testlind asked", ago(days=9), ago(days=8)],
    ]
    with (folder / "2027-01.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "tenant", "email", "subject", "sent", "closed"], *rows])
    return folder


async def test_all_that_a_store_can_do_is_there_with_one_class(tmp_path: Path, letters: Path):
    files = connector(tmp_path, MAP)
    assert [row[0] for row in await collected(files, ANNA)] == ["anna@epost.example"]
    change = Correction(element="helpdesk_email", old="My bill", new="My invoice")
    rehearsed = await files.preview(ANNA, TERMS, None, Verb.correct, [change])
    assert (await files.correct(uuid4(), ANNA, TERMS, [change])).outcomes == rehearsed
    await files.freeze(uuid4(), ANNA, TERMS)
    assert {str(one.action) for one in (await files.erase(uuid4(), ANNA, TERMS, Guard(), None)).outcomes} >= {"keep"}
    await files.unfreeze(uuid4(), ANNA, TERMS)
    preview, guard, step = await files.preview(ANNA, TERMS, None), Guard(), uuid4()
    hold = guard.hold(ANNA.known[0], "helpdesk_email")
    effect = await files.erase(step, ANNA, TERMS, guard, None)
    assert effect.outcomes == preview and effect.preserved == {hold: 1}
    assert await files.erase(step, ANNA, TERMS, guard, None) == effect
    assert (await files.verify(ANNA, TERMS, None)).remaining == 0
    assert "Anna" not in (text := (letters / "2027-01.csv").read_text()) and "bo@epost.example" in text
    assert await files.release(hold) == 1 and set((await files.discover())["letter"]) >= {"email", "subject"}


async def test_what_changed_under_the_map_is_said_without_a_word_of_its_own(tmp_path: Path, letters: Path):
    (letters / "2027-01.csv").write_text("id,who\n1,anna@epost.example\n")
    with pytest.raises(StoreDrifted):
        await connector(tmp_path, MAP).erase(uuid4(), ANNA, TERMS, Guard(), None)


def test_a_kind_that_nobody_knows_stops_the_start(tmp_path: Path):
    with pytest.raises(DataMapFault, match="csv"):
        connector(tmp_path, MAP)
