"""A disk that is full while a file is rewritten: the store says so, nothing is half done, and the same step ends later."""

import errno
import json
import os
from pathlib import Path
from uuid import uuid4

import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import StoreUnavailable
from tests.anonymizer.directly import TERMS, Guard, ago, collected, connector, person

MAP = """
store: logs
label: {sv: Loggar, en: Logs}
kind: jsonlines
controller: operator
location: {folder: logs}
tables:
  login:
    label: {sv: Inloggning, en: Login}
    element: authentication_log
    store_class: system
    at: time
    anchors: {created_at: time}
    key: [time]
    columns:
      time: authentication_log
      tenant: technical
      email: {element: customer_email_address, identifies: {type: email}}
"""
ANNA = person(("email", "anna@epost.example"))


async def test_a_full_disk_leaves_the_file_as_it_was_and_the_step_ends_when_there_is_room(tmp_path: Path, monkeypatch):
    path = tmp_path / "logs" / "2027-01-19.jsonl"
    path.parent.mkdir()
    said = [
        {"time": ago(days=1, minutes=n), "tenant": str(PRIVATE.id), "email": f"{who}@epost.example"}
        for n, who in enumerate(("anna", "bo", "anna"))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in said))
    logs, step, before, sync = connector(tmp_path, MAP), uuid4(), path.read_bytes(), os.fsync

    def full(number: int) -> None:
        if "2027-01-19" in os.readlink(f"/proc/self/fd/{number}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable) as refused:
        await logs.erase(step, ANNA, TERMS, Guard(), None)
    assert "is full" in refused.value.detail
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir() if ".new" in one.name] == []
    monkeypatch.undo()
    done = await logs.erase(step, ANNA, TERMS, Guard(), None)
    assert [one.count for one in done.outcomes] == [2] and await collected(logs, ANNA) == []
    assert len(path.read_text().splitlines()) == 1
