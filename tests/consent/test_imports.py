"""Consents that an operator had before: taken over like every other statement, the refused ones told with their row and reason."""

import csv
from datetime import timedelta
from uuid import uuid4

import pytest

from chassis import clock
from chassis.ids import new_id
from services.consent import importing, receipts
from services.consent.contract import ChunkOutOfTurn, ImportEnded, UnknownImport
from services.consent.importing import Sender, send_file
from tests.consent.house import Tokens

COLUMNS = ("principal", "purpose", "state", "occurred_at", "notice", "notice_version", "valid_until", "evidence_ref")


class Behind(Sender):
    audience = "consent"


@pytest.fixture
def sender(company):
    return Behind(company.served.http, company.served.url, Tokens(company.served.issuer))


def row(told, **other):
    long_ago = (clock.now() - timedelta(days=30)).isoformat()
    usual = {"principal": str(new_id()), "purpose": "communication", "state": "given", "occurred_at": long_ago}
    usual |= {"notice": told.notice, "notice_version": "1", "evidence_ref": "crm/1"}
    return usual | other


def written(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        sheet = csv.DictWriter(file, columns)
        sheet.writeheader()
        sheet.writerows(rows)
    return path


async def test_every_row_is_taken_or_refused_with_its_reason(company, sender, anna, tmp_path):
    told = await company.notice()
    future, early = (clock.now() + timedelta(days=1)).isoformat(), "2019-01-01T00:00:00Z"
    good = [
        row(told, principal=str(anna)),
        row(
            told,
            state="withdrawn",
            notice="",
            notice_version="",
            principal=str(anna),
            occurred_at=clock.now().isoformat(),
        ),
        row(told, valid_until="2030-01-01T00:00:00Z"),
    ]
    bad = {
        "consent.row_malformed": row(told, principal="K1000001"),
        "consent.unknown_purpose": row(told, purpose="astrology"),
        "consent.not_by_consent": row(told, purpose="maintaining_service"),
        "consent.unknown_notice": row(told, notice="other"),
        "consent.notice_not_in_force": row(told, occurred_at=early),
        "consent.in_the_future": row(told, state="withdrawn", notice="", notice_version="", occurred_at=future),
        "consent.already_recorded": good[0],
    }
    told_all = await company.notice("all", purposes={"maintaining_service": ["traffic"]})
    bad["consent.not_by_consent"]["notice"] = told_all.notice
    rows = [*good, *bad.values()]
    path = written(tmp_path / "old.csv", rows)
    state = await send_file(sender, company.tenant, path, say=lambda _: None)
    assert (state.taken, state.refused, state.state) == (3, len(bad), "ended")
    report = (tmp_path / "old.csv.refused.csv").read_text()
    found = {each["row"]: each["code"] for each in csv.DictReader(report.splitlines())}
    assert found == {str(number): code for number, code in enumerate(bad, start=len(good) + 1)}
    assert "K1000001" not in report and str(anna) not in report
    statements = (await company.service.records(company.tenant, anna)).items
    assert {each.state for each in statements} == {"given", "withdrawn"}
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    await company.until_known(statements[0])
    record = receipts.verify(await company.service.receipt(company.tenant, statements[-1].record), jwks)
    assert (record["import"], record["evidence_ref"]) == (str(state.name), "crm/1")


async def test_an_import_that_was_cut_goes_on_where_it_stood(company, sender, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 4)
    told = await company.notice()
    path = written(tmp_path / "old.csv", [row(told) for _ in range(10)])
    state = await sender.start(company.tenant, "old.csv")
    (first, *_) = importing.chunks(path)
    once = await sender.send(company.tenant, state.name, 0, first)
    assert (once.taken, once.next_chunk) == (4, 1)
    # The same chunk under another key, as after a restart of the sender.
    again = await company.served.http.put(
        f"{company.served.url}/v1/imports/{state.name}/chunks/0", json={"rows": first}, headers=await company.headers()
    )
    assert again.json()["taken"] == 4
    with pytest.raises(ChunkOutOfTurn):
        await sender.send(company.tenant, state.name, 2, first)
    ended = await send_file(sender, company.tenant, path, resume=state.name, say=lambda _: None)
    assert (ended.taken, ended.refused) == (10, 0)
    with pytest.raises(ImportEnded):
        await sender.send(company.tenant, state.name, 3, first)
    with pytest.raises(UnknownImport):
        await sender.state(company.tenant, uuid4())


async def test_parquet_is_read_like_csv(company, sender, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = await company.notice()
    rows = [row(told) | {"notice_version": 1, "occurred_at": clock.now() - timedelta(days=3)} for _ in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "old.parquet")
    state = await send_file(sender, company.tenant, tmp_path / "old.parquet", say=lambda _: None)
    assert (state.taken, state.refused) == (5, 0)
