"""Consents that an operator had before: taken over like every other statement, the refused ones told with their row and reason."""

import csv
import gc
import json
import time
from asyncio.events import Handle
from datetime import timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from fastapi import Request
from joserfc.jwk import ECKey

from chassis import clock
from chassis.ids import new_id
from services.consent import importing, receipts
from services.consent.commands import imports
from services.consent.contract import ChunkOutOfTurn, ImportEnded, UnknownImport
from services.consent.importing import Sender, send_file
from tests.consent.house import DATABASE, Tokens
from tests.patience import alone

COLUMNS = ("principal", "purpose", "state", "occurred_at", "notice", "notice_version", "valid_until", "evidence_ref")


class Behind(Sender):
    audience = "consent"


@pytest.fixture
def sender(company):
    return Behind(company.served.http, company.served.url, Tokens(company.served.issuer))


def quiet(_):
    pass


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
    state = await send_file(sender, company.tenant, path, say=quiet)
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


async def test_the_receipt_of_a_record_taken_over_is_the_same_each_time_and_none_is_made_for_one_that_was_changed(
    company, sender, anna, consent_house, tmp_path
):
    told = await company.notice()
    until = (clock.now() + timedelta(days=300)).astimezone(ZoneInfo("Europe/Stockholm")).isoformat()
    await send_file(
        sender,
        company.tenant,
        written(tmp_path / "old.csv", [row(told, principal=str(anna), valid_until=until)]),
        say=quiet,
    )
    (kept,) = (await company.service.records(company.tenant, anna)).items
    assert kept.receipt is None
    first = await company.service.receipt(company.tenant, kept.record)
    assert (await company.service.receipt(company.tenant, kept.record)).receipt == first.receipt
    record = receipts.verify(first, (await company.served.http.get(f"{company.served.url}/keys")).json())
    assert (
        record["actor"]["client"] == "public" and record["pii"] and record["event_time"] == kept.occurred_at.isoformat()
    )
    owner = await consent_house.postgres.connect(DATABASE)
    await owner.execute("UPDATE consent.statement SET valid_until = NULL WHERE id = $1", kept.record)
    await owner.close()
    answer = await company.served.http.get(
        f"{company.served.url}/v1/receipts/{kept.record}", headers=await company.headers()
    )
    assert (answer.status_code, answer.json()["code"]) == (500, "consent.record_differs")


async def test_the_receipt_of_a_record_taken_over_names_the_one_that_counted_before_it(company, sender, anna, tmp_path):
    told = await company.notice(valid_from=clock.now() - timedelta(days=3))
    given = await company.give(anna, told, at=clock.now() - timedelta(days=1))
    said = [row(told, principal=str(anna), occurred_at=clock.now() - timedelta(days=days)) for days in (2, 0)]
    await send_file(sender, company.tenant, written(tmp_path / "old.csv", said), say=quiet)
    jwks = (await company.served.http.get(f"{company.served.url}/keys")).json()
    *brought, _ = (await company.service.records(company.tenant, anna)).items
    made = [(await company.service.receipt(company.tenant, each.record)).receipt for each in brought]
    assert [receipts.opened(each, jwks)["supersedes"] for each in made] == [str(given.record), None]


async def test_an_import_that_was_cut_goes_on_where_it_stood(company, sender, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 4)
    told = await company.notice()
    path = written(tmp_path / "old.csv", [row(told) for _ in range(10)])
    state = await sender.start(company.tenant, "old.csv")
    first, *_ = importing.chunks(path)
    once = await sender.send(company.tenant, state.name, 0, first)
    assert (once.taken, once.next_chunk) == (4, 1)
    # The same chunk under another key, as after a restart of the sender.
    again = await company.served.http.put(
        f"{company.served.url}/v1/imports/{state.name}/chunks/0",
        json={"columns": first[0], "rows": first[1]},
        headers=await company.headers(),
    )
    assert again.json()["taken"] == 4
    with pytest.raises(ChunkOutOfTurn):
        await sender.send(company.tenant, state.name, 2, first)
    ended = await send_file(sender, company.tenant, path, resume=state.name, say=quiet)
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
    state = await send_file(sender, company.tenant, tmp_path / "old.parquet", say=quiet)
    assert (state.taken, state.refused) == (5, 0)


async def test_instants_finer_than_ours_are_read_from_parquet(company, sender, anna, tmp_path):
    """As pandas writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = await company.notice()
    at = int((clock.now() - timedelta(days=3)).timestamp()) * 1_000_000_000 + 123_456_789
    columns = {name: [value] for name, value in row(told, principal=str(anna)).items()}
    columns["occurred_at"] = pa.array([at], pa.timestamp("ns", "Europe/Stockholm"))
    pq.write_table(pa.table(columns), tmp_path / "old.parquet")
    state = await send_file(sender, company.tenant, tmp_path / "old.parquet", say=quiet)
    assert (state.taken, state.refused) == (1, 0)
    (hers,) = (await company.service.standing(company.tenant, anna)).consents
    assert hers.since.microsecond == 123_456


async def test_people_are_found_by_any_identifier_as_it_was_theirs_at_that_instant(company, sender, anna, tmp_path):
    petra, asked = new_id(), []

    async def known(request: Request):
        asked.extend((await request.json())["identifiers"])
        whose = {"K1000001": str(anna), "+46701740605": str(petra)}
        return {"principals": [whose.get(each["value"]) for each in asked]}

    app = company.served.issuer.app
    app.router.routes = [route for route in app.router.routes if route.path != "/v1/principals/known"]
    app.add_api_route("/v1/principals/known", known, methods=["POST"])
    company.served.app.state.settings.peers["anonymizer"] = company.served.issuer_url
    company.served.app.state.tokens = Tokens(company.served.issuer)
    told = await company.notice()
    rows = [
        row(told, principal="", identifier_type="customer", identifier="K1000001"),
        row(told, principal="", identifier_type="msisdn", identifier="+46701740605"),
        row(told, principal="", identifier_type="email", identifier="nobody@post.example"),
        row(told, principal="", identifier_type="shoe_size", identifier="43"),
        row(told, principal="", identifier_type="customer"),
        row(told, principal=str(petra), identifier_type="customer", identifier="K1000001"),
    ]
    path = written(tmp_path / "old.csv", rows, (*COLUMNS, "identifier_type", "identifier"))
    state = await send_file(sender, company.tenant, path, say=quiet)
    assert (state.taken, state.refused) == (2, 4)
    assert [each["from_"] for each in asked[:3]] == [each["occurred_at"].replace("+00:00", "Z") for each in rows[:3]]
    for who in (anna, petra):
        assert (await company.service.standing(company.tenant, who)).consents[0].state == "given"
    report = (tmp_path / "old.csv.refused.csv").read_text()
    assert "3,consent.unknown_person" in report and '6,consent.row_malformed,"It names two people' in report
    assert "nobody@" not in report and "shoe" not in report


async def test_a_row_with_a_fault_costs_its_neighbours_nothing(company, sender, tmp_path):
    told = await company.notice()
    head = ";".join(COLUMNS)
    sound = ";".join(row(told, valid_until="")[each] for each in COLUMNS)
    faults = [
        sound + ";;one cell too many",
        sound.replace("given", "maybe"),
        "",
        sound.replace("given", "20240101"),
        ";".join(row(told, occurred_at="20240101", valid_until="")[each] for each in COLUMNS),
    ]
    (tmp_path / "old.csv").write_text("\ufeff" + "\r\n".join([head, *faults, sound]), encoding="utf-8")
    state = await send_file(sender, company.tenant, tmp_path / "old.csv", say=quiet)
    assert (state.taken, state.refused) == (1, len(faults))


async def test_nothing_of_a_chunk_waits_for_the_collector_once_it_was_taken(company, sender, tmp_path):
    """Which comes seldom: a refused row had kept its whole chunk, and a file of some hundred thousand rows took a hundred megabytes more."""
    told = await company.notice()
    gc.collect()
    gc.disable()
    try:
        path = written(tmp_path / "old.csv", [row(told), row(told, purpose="astrology")])
        done = await send_file(sender, company.tenant, path, say=quiet)
        assert (done.taken, done.refused) == (1, 1)
        assert [each for each in gc.get_objects() if isinstance(each, imports._Reader)] == []
    finally:
        gc.enable()


async def test_what_no_cell_may_hold_costs_its_own_row_and_no_row_after_it(company, sender, tmp_path):
    told = await company.notice()

    def line(**other):
        return ",".join((row(told, valid_until="") | other)[each] for each in COLUMNS)

    faults = [
        line(evidence_ref='"crm/1'),  # a quotation mark that is not closed
        line(evidence_ref="crm/\0"),
        line(evidence_ref="x" * 200_000),
        line(evidence_ref="x" * 2_000_000),
        line(principal="\0" * 300_000),
    ]
    lines = [",".join(COLUMNS), *(each for fault in faults for each in (fault, line()))]
    (tmp_path / "old.csv").write_text("\n".join(lines))
    state = await send_file(sender, company.tenant, tmp_path / "old.csv", say=quiet)
    assert (state.taken, state.refused) == (len(faults), len(faults))
    report = csv.DictReader((tmp_path / "old.csv.refused.csv").read_text().splitlines())
    assert [each["row"] for each in report] == ["1", "3", "5", "7", "9"]


async def test_a_consent_that_was_cut_is_refused_since_its_end_is_not_known_and_a_no_counts(company, sender, tmp_path):
    told, (anna, petra) = await company.notice(), (new_id(), new_id())
    lines = [
        ",".join(
            row(told, principal=str(who), state=state, valid_until="2026-12-24T00:00:00Z")[each] for each in COLUMNS
        )
        for who, state in ((anna, "given"), (petra, "refused"))
    ]
    cut = "\n".join([",".join(COLUMNS), *(each.rpartition(",2026-12")[0] for each in lines)])
    (tmp_path / "old.csv").write_text(cut)
    state = await send_file(sender, company.tenant, tmp_path / "old.csv", say=quiet)
    assert (state.taken, state.refused) == (1, 1)
    assert not (await company.service.standing(company.tenant, anna)).consents
    assert (await company.service.standing(company.tenant, petra)).consents[0].state == "refused"


async def test_no_consent_taken_over_lasts_longer_than_the_book_lets_one(company, sender, tmp_path):
    told, (anna, petra) = await company.notice(), (new_id(), new_id())
    soon = (clock.now() + timedelta(days=30)).isoformat()
    rows = [
        row(told, principal=str(anna), valid_until="2899-12-31T00:00:00Z"),
        row(told, principal=str(petra), valid_until=soon),
    ]
    await send_file(sender, company.tenant, written(tmp_path / "old.csv", rows), say=quiet)
    (hers,) = (await company.service.standing(company.tenant, anna)).consents
    book = company.served.app.state.policy.current()
    assert hers.valid_until == book.consent_validity("communication").after(hers.since, book.tz)
    assert (await company.service.standing(company.tenant, petra)).consents[0].valid_until.isoformat() == soon


async def test_a_file_that_cannot_be_read_is_told_in_a_sentence_that_repeats_nothing_of_it(
    company, sender, tmp_path, monkeypatch
):
    key = tmp_path / "key.jwk"
    key.write_text(json.dumps(ECKey.generate_key("P-256").as_dict(private=True)))
    monkeypatch.setattr(importing, "Sender", lambda *_: sender)
    options = [f"--{name}=x" for name in ("url", "issuer", "client")]
    for name, content, told in (
        ("twice.csv", b"purpose,purpose\nanna@post.example,b\n", "each column once"),
        ("old.csv", "principal\nÅsa\n".encode("latin-1"), "not written in UTF-8"),
        ("cut.parquet", b"PAR1anna@post.example", "cannot be read to its end (ArrowInvalid)"),
        ("away.csv", None, "cannot be read to its end (FileNotFoundError)"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        asked = [str(tmp_path / name), *options, f"--key={key}", f"--tenant={company.tenant}"]
        with pytest.raises(SystemExit) as ended:
            await importing.main(importing._arguments(asked))
        assert told in str(ended.value) and "anna@" not in str(ended.value)


async def test_a_chunk_is_at_most_so_many_rows_each_column_once(company, sender):
    state = await sender.start(company.tenant, "x.csv")
    path = f"{company.served.url}/v1/imports/{state.name}/chunks/0"
    for columns, rows in ((["purpose"], [["x"]] * 2001), (["purpose", "purpose"], [["x", "y"]]), ([], [[]])):
        body = {"columns": columns, "rows": rows}
        assert (await company.served.http.put(path, json=body, headers=await company.headers())).status_code == 422


async def test_while_a_chunk_is_taken_others_are_answered(company, sender, monkeypatch):
    """No stretch of work keeps the process from everybody else for long; counted in its own processor time."""
    told = await company.notice()
    rows = [[str(new_id()), "communication", "given", clock.now().isoformat(), told.notice, "1"] for _ in range(2000)]
    name = (await company.post("/v1/imports", '{"source": "crm"}')).json()["name"]
    chunk, longest, work = json.dumps({"columns": COLUMNS[:6], "rows": rows}), 0.0, Handle._run

    def timed(handle):
        nonlocal longest
        began = time.thread_time()
        work(handle)
        longest = max(longest, time.thread_time() - began)

    headers = await company.headers()
    alone()
    monkeypatch.setattr(Handle, "_run", timed)
    answer = await company.served.http.put(
        f"{company.served.url}/v1/imports/{name}/chunks/0", content=chunk, headers=headers
    )
    monkeypatch.undo()
    assert answer.json()["taken"] == 2000
    assert longest < 0.03
