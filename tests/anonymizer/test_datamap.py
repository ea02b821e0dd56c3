"""The data map: complete for the sample operator, and refused with a clear sentence when it is not right."""

import json
import re
from collections import Counter
from pathlib import Path

import orjson
import pyarrow.parquet
import pytest
import yaml

from services.anonymizer import datamap
from services.anonymizer.connectors.ndjson import table_line
from services.anonymizer.datamap import DataMapFault
from tests.anonymizer.conftest import House
from tests.anonymizer.test_retention import BOOK, MAP, ROOT


def test_the_map_names_only_what_the_policy_book_knows():
    assert MAP.check(BOOK) == []


@pytest.mark.parametrize("language", ["sv", "en"])
def test_a_person_can_tell_the_columns_of_each_table_apart(language: str):
    alike = []
    for store in MAP.stores.values():
        for name, table in store.tables.items():
            if table.store_class != "retention":  # kept for authorities alone
                line = orjson.loads(table_line(name, table, BOOK))
                heads = Counter(column["label"][language] for column in line["columns"])
                alike += [(store.store, name, head) for head, times in heads.items() if times > 1]
    assert alike == []


def test_the_map_that_the_readme_shows_is_one(tmp_path: Path):
    shown = re.search(r"```yaml\n(store: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "newsletter.yaml").write_text(shown[1])
    read = datamap.load(tmp_path)
    assert read.check(BOOK) == []
    assert list(read.stores["newsletter"].tables) == ["subscriber"]


async def test_every_column_of_every_store_is_declared(house: House):
    columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    partitions = {
        row["relname"]
        for store in ("billing", "calls", "helpdesk")
        for row in await house.rows(store, "SELECT relname FROM pg_class WHERE relispartition")
    }
    for store in ("billing", "calls", "helpdesk"):
        found = {(row["table_name"], row["column_name"]) for row in await house.rows(store, columns)}
        declared = {(name, column) for name, table in MAP.stores[store].tables.items() for column in table.columns}
        assert {pair for pair in found if pair[0] not in partitions} == declared


def test_every_field_of_every_file_is_declared(house: House):
    def declared(store: str) -> set[str]:
        return set(next(iter(MAP.stores[store].tables.values())).columns)

    for path in (house.stores / "recordings").rglob("*.json"):
        if ".wardline" not in path.parts:  # what another test's erasure wrote down
            assert set(json.loads(path.read_bytes())) == declared("recordings")
    for path in (house.stores / "authlog").glob("*.jsonl"):
        assert all(set(json.loads(line)) == declared("authlog") for line in path.read_bytes().splitlines())
    for path in (house.stores / "calls" / "lake").rglob("*.parquet"):
        assert set(pyarrow.parquet.read_schema(path).names) == declared("lake")


def changed(tmp_path: Path, change) -> Path:
    told = yaml.safe_load((ROOT / "policy" / "stores" / "helpdesk.yaml").read_text())
    change(told)
    (tmp_path / "helpdesk.yaml").write_text(yaml.safe_dump(told))
    return tmp_path


def undeclared(told):
    del told["tables"]["ticket"]["columns"]["closed_at"]


def no_such_table(told):
    told["tables"]["chat_message"]["links"][0]["table"] = "talk"


def misspelled(told):
    told["tables"]["ticket"]["colums"] = {}


def no_such_type(told):
    told["tables"]["ticket"]["columns"]["requester_email"]["identifies"]["type"] = "fax"


def rows_remain(told):
    told["tables"]["chat_message"]["remains"] = {"rows": {"created_at": "hour"}}


def remains_of_another_kind(told):
    told["kind"] = "mysql"


@pytest.mark.parametrize(
    "change", [undeclared, no_such_table, misspelled, no_such_type, rows_remain, remains_of_another_kind]
)
def test_a_map_with_a_fault_is_refused_and_the_file_named(tmp_path, change):
    with pytest.raises(DataMapFault, match=r"helpdesk\.yaml"):
        datamap.load(changed(tmp_path, change))


def test_an_element_the_book_does_not_have_is_told(tmp_path):
    def unknown(told):
        told["tables"]["ticket"]["columns"]["body"] = "horoscope"

    faults = datamap.load(changed(tmp_path, unknown)).check(BOOK)
    assert faults == ["helpdesk.ticket.body: the policy book has no element horoscope"]


def test_an_empty_folder_is_no_map(tmp_path):
    with pytest.raises(DataMapFault):
        datamap.load(tmp_path)
