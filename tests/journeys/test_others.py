"""Cases 2 and 7: a father asks about his daughter's number; an agent asks, and his employer decides about its part."""

import wave
import zipfile
from pathlib import Path

import pytest

from sample.cases import CASES, KUSTBANKEN, PEOPLE
from services.requests.rights.package.unlock import unlock
from tests.journeys.conftest import PASSPHRASE, Act, Employed, ask
from tests.journeys.test_anna import rows_of
from tests.nordtel import Nordtel, request_of, until


@pytest.fixture(scope="module")
def eriks(nordtel: Nordtel, filled: Act, tmp_path_factory: pytest.TempPathFactory) -> Path:
    erik = ask(nordtel, "erik", {"kind": "access", "language": "sv", "passphrase": PASSPHRASE})
    request = erik.request["request"]
    until("answer to erik", lambda: request_of(erik.who, request)["state"] == "answered")
    locked = tmp_path_factory.mktemp("erik") / "package.html"
    locked.write_bytes(erik.who.get(f"/v1/requests/{request}/package").content)
    archive = locked.with_suffix(".zip")
    archive.write_bytes(unlock(locked, PASSPHRASE).archive)
    return archive


def test_erik_gets_his_contract_and_invoices_and_none_of_his_daughter_s_calls(eriks: Path):
    assert rows_of(eriks, "billing/agreement") and rows_of(eriks, "billing/invoice")
    own, hers = PEOPLE["erik"].msisdn, CASES[2].facts["number"]
    calls = [row for table in ("calls/call_record", "lake/call_record") for row in rows_of(eriks, table)]
    assert calls, "his own calls are his"
    assert not [row for row in calls if hers in row.values() and own not in row.values()]


def test_a_helpline_appears_nowhere_in_what_he_gets(eriks: Path):
    tables = ("calls/call_record", "lake/call_record", "billing/invoice")
    assert not [row for table in tables for row in rows_of(eriks, table) if CASES[2].facts["helpline"] in row.values()]


def test_omar_s_employer_decides_about_its_part_and_both_clocks_are_visible(employed: Employed):
    assert employed.part["party"] == "tenant"
    assert employed.part["clocks"][0]["due_on"] == employed.operators["clocks"][0]["due_on"]
    assert "recordings" not in {step["store"] for step in employed.operators["steps"]}


def test_omar_gets_his_recordings_from_his_employer(employed: Employed):
    assert employed.answer["controller"] == KUSTBANKEN.name
    found = {each["store"]: each["counts"] for each in employed.answer["found"]}
    assert found["recordings"] == {"recording": CASES[7].facts["recordings"]}, "collected once the employer had decided"


def test_in_his_package_are_his_own_recordings_with_his_voice_and_nobody_else_s(employed: Employed, tmp_path: Path):
    locked, archive = tmp_path / "package.html", tmp_path / "package.zip"
    locked.write_bytes(employed.package)
    archive.write_bytes(unlock(locked, PASSPHRASE).archive)
    rows = rows_of(archive, "recordings/recording")
    assert len(rows) == CASES[7].facts["recordings"]
    assert {row["agent_number"] for row in rows} == {CASES[7].facts["agent_number"]}
    assert not {row["caller"] for row in rows} & {PEOPLE["cilla"].msisdn}, "who called him is no matter of his"
    with zipfile.ZipFile(archive) as opened:
        sounds = [name for name in opened.namelist() if name.startswith("files/recordings/")]
        assert {Path(name).name for name in sounds} == {row["sound"] for row in rows}
        for name in sounds:
            with wave.open(opened.open(name)) as heard:
                frames = heard.readframes(heard.getnframes())
                left, right = frames[0::4] + frames[1::4], frames[2::4] + frames[3::4]
                assert heard.getnchannels() == 2 and not any(left) and any(right)
