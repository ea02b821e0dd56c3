"""Whatever day the stores are filled on, each planted case lies on its side of the boundary."""

from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import pytest

from sample import authlog, billing, calls, helpdesk, recordings
from sample.cases import CASES, HELPLINE, OMAR, PEOPLE, RECYCLED_NUMBER, SEED
from sample.dates import LAKE_MONTHS, TABLE_MONTHS, Calendar
from sample.people import crowd

DAYS = [date(2027, 1, 15), date(2026, 9, 1), date(2027, 3, 1), date(2028, 2, 29), date(2026, 12, 31), date(2027, 1, 1)]


@pytest.fixture(params=DAYS, ids=str)
def calendar(request: pytest.FixtureRequest) -> Calendar:
    return Calendar(request.param)


@pytest.fixture
def planted(calendar: Calendar) -> dict[str, list[dict]]:
    return calls.planted(calendar, SEED)


def of(rows: list[dict], id: object) -> dict:
    return next(row for row in rows if row["id"] == id)


def less_months(at: datetime, months: int) -> datetime:
    """The same day `months` earlier, or the month's last (written anew here, to check the sample's own)."""
    absolute = at.year * 12 + at.month - 1 - months
    following = datetime((absolute + 1) // 12, (absolute + 1) % 12 + 1, 1, tzinfo=UTC)
    return min(
        datetime(absolute // 12, absolute % 12 + 1, 1, tzinfo=UTC) + timedelta(days=at.day - 1),
        following - timedelta(days=1),
    )


def test_every_personnummer_has_its_checksum_and_belongs_to_nobody() -> None:
    numbers = [p.personnummer for p in PEOPLE.values()] + crowd(SEED, 2000).personnummer
    for number in numbers:
        digits = [int(d) for d in number[2:]]
        doubled = [d * 2 if i % 2 == 0 else d for i, d in enumerate(digits)]
        assert sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0, number
        assert 980 <= int(number[8:11]) <= 999
        date(int(number[:4]), int(number[4:6]), int(number[6:8]))
    assert len(set(numbers)) == len(numbers)


def test_two_thousand_subscribers_make_two_hundred_thousand_calls_in_27_months(calendar: Calendar) -> None:
    people = crowd(SEED, 2000)
    known = calls.numbers(people)
    sizes = [len(calls.month(SEED, calendar, people, known, age)) for age in range(TABLE_MONTHS)]
    assert sum(sizes) >= 200_000


def test_nothing_happened_after_the_reference_day(calendar: Calendar, planted: dict[str, list[dict]]) -> None:
    people = crowd(SEED, 50)
    assert all(row["started_at"] < calendar.now for rows in planted.values() for row in rows)
    newest = calls.month(SEED, calendar, people, calls.numbers(people), 0)["started_at"].to_pylist()
    assert all(at < calendar.now for at in newest)
    assert all(r.started_at < calendar.now for r in recordings.planted(calendar))
    assert all(t["created_at"] < calendar.now for t in helpdesk.planted(calendar)["ticket"])


def test_planted_calls_have_a_month_in_the_table_or_in_the_lake(
    calendar: Calendar, planted: dict[str, list[dict]]
) -> None:
    first = calendar.month(TABLE_MONTHS - 1)
    assert all(row["started_at"] >= first for row in planted["call_record"])
    assert all(calendar.month(TABLE_MONTHS + LAKE_MONTHS - 1) <= row["started_at"] < first for row in planted["lake"])
    for table in ("retained_call_record", "location_record"):
        assert all(row["started_at"] >= calendar.month(calls.months_of(table) - 1) for row in planted[table])


def test_case_2_majas_calls_are_on_eriks_invoices_and_some_went_to_a_helpline(planted: dict[str, list[dict]]) -> None:
    majas = [row for row in planted["call_record"] if row["caller"] == PEOPLE["maja"].msisdn]
    assert any(row["callee"] == HELPLINE for row in majas)
    assert {row["invoice"] // 100_000 for row in majas if row["invoice"]} == {PEOPLE["erik"].id}
    assert any(row["caller"] == PEOPLE["erik"].msisdn for row in planted["lake"])


def test_case_3_one_invoice_is_disputed_under_a_dated_claim_and_one_forgotten(
    calendar: Calendar, planted: dict[str, list[dict]]
) -> None:
    invoices = billing.planted(calendar)["invoice"]
    disputed = next(i for i in invoices if i.get("claim_reference"))
    assert disputed["claim_reference"] == CASES[3].facts["claim"] and disputed["paid_at"] is None
    assert disputed["claim_until"] > calendar.now
    traffic = [row for row in planted["call_record"] if row["invoice"] == disputed["id"]]
    assert traffic and all(row["started_at"] < less_months(calendar.now, 24) for row in traffic)
    forgotten = next(
        i for i in invoices if i["customer"] == PEOPLE["ulf"].id and not i["paid_at"] and i["due_at"] < calendar.now
    )
    traffic = [row for row in planted["call_record"] if row["invoice"] == forgotten["id"]]
    oldest, newest = less_months(calendar.now, 16), less_months(calendar.now, 13)
    assert traffic and all(oldest < row["started_at"] < newest for row in traffic)


def test_case_4_bos_calls_stand_on_both_sides_of_each_boundary(
    calendar: Calendar, planted: dict[str, list[dict]]
) -> None:
    facts, now = CASES[4].facts, calendar.now
    assert of(planted["location_record"], facts["location_call"])["started_at"] < less_months(now, 2)
    assert of(planted["location_record"], facts["kept_location_call"])["started_at"] > less_months(now, 1) - timedelta(
        days=28
    )
    assert (
        less_months(now, 7)
        <= of(planted["retained_call_record"], facts["mobile_call"])["started_at"]
        < less_months(now, 6)
    )
    fixed = of(planted["call_record"], facts["fixed_call"])
    assert of(billing.planted(calendar)["invoice"], fixed["invoice"])["paid_at"] < now
    assert facts["fixed_call"] not in {row["id"] for row in planted["retained_call_record"]}


def test_case_5_the_twins_differ_in_nothing_but_who_they_are(
    calendar: Calendar, planted: dict[str, list[dict]]
) -> None:
    saga, sara = PEOPLE["saga"], PEOPLE["sara"]

    def seen(person: object) -> list[dict]:
        own = {"id", "caller", "msisdn", "invoice", "ip", "cell"}
        rows = [row for table in planted.values() for row in table]
        mine = [row for row in rows if person.msisdn in (row.get("caller"), row.get("msisdn"))]
        return [{key: value for key, value in row.items() if key not in own} for row in mine]

    assert seen(saga) == seen(sara) != []
    tables = [*billing.planted(calendar).values(), *helpdesk.planted(calendar).values()]
    counts = [
        [
            sum(any(v in (p.id, p.name, p.email, p.customer_number) for v in row.values()) for row in rows)
            for rows in tables
        ]
        for p in (saga, sara)
    ]
    assert counts[0] == counts[1]


def test_case_7_omar_has_five_recordings_at_his_employers(calendar: Calendar) -> None:
    his = [r for r in recordings.planted(calendar) if r.agent_number == OMAR.number]
    assert len(his) == CASES[7].facts["recordings"]
    assert {r.tenant for r in his} == {OMAR.tenant}


def test_case_9_the_chat_is_one_day_too_old_and_recording_4711_eighteen_too_young(calendar: Calendar) -> None:
    chat = of(helpdesk.planted(calendar)["chat"], CASES[9].facts["chat"])
    assert timedelta(days=90) < calendar.now - chat["closed_at"] < timedelta(days=91)
    by_id = {r.id: r for r in recordings.planted(calendar)}
    wanted = by_id["4711"]
    assert len(wanted.stems()) == 3
    for sibling in ("4710", "4712"):
        assert by_id[sibling].folder == wanted.folder
        assert timedelta(days=11) < calendar.now - by_id[sibling].started_at < timedelta(days=12)


def test_case_11_one_address_is_known_from_the_copy_kept_by_law_alone(planted: dict[str, list[dict]]) -> None:
    facts = CASES[11].facts
    retained = of(planted["retained_call_record"], facts["retention_only_call"])
    assert retained["ip"] == facts["retention_only_ip"]
    assert retained["id"] not in {row["id"] for row in planted["call_record"]}


def test_case_12_olle_left_over_a_year_ago_and_day_8_of_the_log_stands(calendar: Calendar) -> None:
    olle = PEOPLE["olle"]
    agreement = next(a for a in billing.planted(calendar)["agreement"] if a["customer"] == olle.id)
    assert less_months(calendar.now, 14) < agreement["ended_at"] < less_months(calendar.now, 12)
    assert any(i["customer"] == olle.id for i in billing.planted(calendar)["invoice"])
    assert any(line["account"] == olle.account for line in authlog.planted(calendar, 8))


def test_case_12_the_recycled_number_is_never_two_peoples_at_once(
    calendar: Calendar, planted: dict[str, list[dict]]
) -> None:
    periods = [p for p in billing.planted(calendar)["number_period"] if p["msisdn"] == RECYCLED_NUMBER]
    petra, rasmus = sorted(periods, key=lambda p: p["valid_from"])
    assert petra["valid_to"] < rasmus["valid_from"] and rasmus["valid_to"] is None
    used = sorted(
        r["started_at"] for t in ("call_record", "lake") for r in planted[t] if r["caller"] == RECYCLED_NUMBER
    )
    owners = [owner for owner, _ in groupby(used, lambda at: "petra" if at < petra["valid_to"] else "rasmus")]
    assert owners == ["petra", "rasmus"]
    assert all(at < petra["valid_to"] or at >= rasmus["valid_from"] for at in used)
