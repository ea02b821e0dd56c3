"""Orders over HTTP on a real database: intake, refusal with a trace, four eyes, changes, secrecy between authorities."""

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

from tests.disclosure.house import NUMBER, Desk, a_preservation, an_order


async def test_an_authority_places_an_order_and_reads_it_again(desk: Desk) -> None:
    order = await desk.placed()
    assert (order["status"], order["authority"], order["errors"]) == ("AwaitingApproval", desk.authority, [])
    read = (await desk.own("GET", f"/v1/orders/{order['order']}")).json()
    assert read["content"]["identifiers"] == [{"type": "InternationalE164", "value": NUMBER, "at": None}]
    assert read["order_hash"] == order["order_hash"]


async def test_a_refused_order_is_answered_with_its_faults_and_leaves_a_trace(desk: Desk) -> None:
    order = await desk.placed(
        identifiers=[{"type": "InternationalE164", "value": "4670174*"}], issuer={"kind": "police", "name": "P"}
    )
    assert order["status"] == "Rejected" and order["tasks"] == []
    assert {(fault["code"], fault["etsi_code"]) for fault in order["errors"]} == {
        ("AUTHORITY_NOT_COMPETENT", 3000),
        ("WILDCARD", 3007),
    }
    listed = (await desk.person("rut", "GET", "/v1/orders")).json()["items"]
    assert [line["status"] for line in listed] == ["Rejected"]
    told = [event for event in await desk.events() if event["type"] == "order.refused"]
    assert told[0]["data"]["codes"] == ["AUTHORITY_NOT_COMPETENT", "WILDCARD"]


async def test_no_identifier_and_no_name_stands_in_an_event_or_a_stored_reply(desk: Desk, served) -> None:
    await desk.approved(**a_preservation())
    assert NUMBER not in str(await desk.events())
    admin = await served.house.postgres.connect("disclosure_tests")
    for table in ("idempotency", "disclosure_order", "order_version", "task", "hold", "event"):
        rows = await admin.fetch(f"SELECT * FROM disclosure.{table}")
        assert rows and not [row for row in rows for value in row.values() if NUMBER.encode() in _bytes(value)]
    await admin.close()


async def test_staff_intake_names_the_authority_and_where_its_letter_lies(desk: Desk) -> None:
    bare = await desk.person("isa", "POST", "/v1/orders", an_order())
    assert (bare.status_code, bare.json()["code"]) == (422, "request.invalid")
    taken = await desk.person(
        "isa", "POST", "/v1/orders", an_order(authority=desk.authority, intake_reference="Pärm 12, blad 4")
    )
    assert taken.json()["status"] == "AwaitingApproval"
    own = await desk.review("isa", taken.json())
    assert (own.status_code, own.json()["code"]) == (409, "disclosure.four_eyes")


async def test_an_authority_is_unknown_until_a_second_person_confirmed_it(desk: Desk) -> None:
    other = desk.beside("SE-polisen")
    made = await other.person("ingrid", "POST", "/v1/authorities", other.registration())
    assert made.status_code == 201 and made.json()["confirmed_by"] is None
    too_soon = await other.own("POST", "/v1/orders", an_order())
    assert (too_soon.status_code, too_soon.json()["code"]) == (403, "disclosure.auth_mismatch")
    herself = await other.person("ingrid", "POST", "/v1/authorities/SE-polisen/confirmation", {})
    assert (herself.status_code, herself.json()["code"]) == (409, "disclosure.four_eyes")
    await other.person("konrad", "POST", "/v1/authorities/SE-polisen/confirmation", {})
    assert (await other.own("POST", "/v1/orders", an_order())).status_code == 201


async def test_a_private_key_is_refused_for_an_authority(desk: Desk) -> None:
    wish = desk.registration(id="SE-polisen", clients=[], encryption_key=desk.recipient.as_dict(private=True))
    answer = await desk.person("ingrid", "POST", "/v1/authorities", wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "disclosure.bad_key")


async def test_another_authoritys_order_looks_as_if_it_did_not_exist(desk: Desk) -> None:
    order = await desk.placed()
    other = desk.beside("SE-polisen")
    await other.register()
    theirs, nobodys = f"/v1/orders/{order['order']}", f"/v1/orders/{uuid4()}"
    for method, suffix, body in (
        ("GET", "", None),
        ("PUT", "", {"generation": 1, "order": an_order()}),
        ("GET", "/packages", None),
        ("POST", "/cancellation", {"reason_code": "withdrawn", "reference": "B 1"}),
    ):
        real, unreal = [await other.own(method, path + suffix, body) for path in (theirs, nobodys)]
        assert (real.status_code, real.json()) == (404, unreal.json()), method + suffix
    assert (await other.own("GET", "/v1/orders")).json()["items"] == []


async def test_another_tenants_staff_sees_nothing(desk: Desk) -> None:
    order = await desk.placed()
    elsewhere = await desk.person("rut", "GET", f"/v1/orders/{order['order']}", tenant=uuid4())
    assert elsewhere.status_code == 404


async def test_the_same_reference_twice_at_once_is_carried_out_once(desk: Desk) -> None:
    wish = an_order()
    answers = await asyncio.gather(*(desk.own("POST", "/v1/orders", wish) for _ in range(8)))
    found = sorted(answer.json()["status"] for answer in answers)
    assert found == ["AwaitingApproval"] + ["Rejected"] * 7
    codes = {fault["code"] for answer in answers for fault in answer.json()["errors"]}
    assert codes == {"DUPLICATE"}


async def test_two_different_people_approve_and_neither_alone(desk: Desk) -> None:
    order = await desk.placed()
    first = (await desk.review("gunilla", order)).json()
    assert (first["status"], first["approvals"], first["approvals_needed"]) == ("AwaitingApproval", 1, 2)
    again = await desk.review("gunilla", order)
    assert (again.status_code, again.json()["code"]) == (409, "disclosure.four_eyes")
    second = (await desk.review("gosta", order)).json()
    assert (second["status"], second["stage"]) == ("Approved", "approved")
    assert [task["status"] for task in second["tasks"]] == ["AwaitingDisclosure"]


async def test_of_many_simultaneous_approvals_each_person_counts_once(desk: Desk) -> None:
    order = await desk.placed(**a_preservation())
    answers = await asyncio.gather(*(desk.review("gunilla", order) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert (await desk.person("rut", "GET", f"/v1/orders/{order['order']}")).json()["status"] == "AwaitingApproval"


async def test_of_many_simultaneous_approvers_exactly_one_is_the_last_one_needed(desk: Desk) -> None:
    order = await desk.placed(**a_preservation())
    answers = await asyncio.gather(*(desk.review(f"approver-{number}", order) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201, 201] + [409] * 8
    told = [event["type"] for event in await desk.events()]
    assert (told.count("order.approved"), told.count("hold.placed"), told.count("order.reviewed")) == (1, 1, 2)


async def test_a_change_voids_what_was_approved_before(desk: Desk) -> None:
    order = await desk.placed()
    await desk.review("gunilla", order)
    wider = an_order(reference=order["reference"], identifiers=[{"type": "InternationalE164", "value": "46701740612"}])
    changed = (await desk.own("PUT", f"/v1/orders/{order['order']}", {"generation": 1, "order": wider})).json()
    assert changed["order_hash"] != order["order_hash"] and changed["approvals"] == 0
    stale = await desk.review("gosta", order)
    assert (stale.status_code, stale.json()["code"]) == (409, "disclosure.stale_generation")
    assert (await desk.review("gosta", changed)).json()["status"] == "AwaitingApproval"
    assert (await desk.review("gunilla", changed)).json()["status"] == "Approved"


async def test_a_change_with_faults_changes_nothing_and_says_them(desk: Desk) -> None:
    order = await desk.placed()
    answer = await desk.own("PUT", f"/v1/orders/{order['order']}", {"generation": 1, "order": an_order(identifiers=[])})
    assert [fault["code"] for fault in answer.json()["errors"]] == ["NO_TARGET"]
    assert (answer.json()["order_hash"], answer.json()["status"]) == (order["order_hash"], "AwaitingApproval")


async def test_an_approved_order_can_no_longer_be_changed(desk: Desk) -> None:
    order = await desk.approved()
    answer = await desk.own("PUT", f"/v1/orders/{order['order']}", {"generation": 1, "order": an_order()})
    assert (answer.status_code, answer.json()["code"]) == (409, "disclosure.state_forbidden")


async def test_a_rejected_order_stands_rejected_with_its_reason(desk: Desk) -> None:
    order = await desk.placed(**a_preservation())
    rejected = (await desk.review("gunilla", order, verdict="reject", reason_code="not_genuine")).json()
    assert (rejected["status"], rejected["reviews"][0]["reason_code"]) == ("Rejected", "not_genuine")
    assert [task["status"] for task in rejected["tasks"]] == ["Rejected"]
    assert (await desk.review("gosta", order)).status_code == 409


async def test_who_approved_neither_collects_nor_releases(desk: Desk) -> None:
    order = await desk.approved()
    answer = await desk.person("gosta", "POST", f"/v1/orders/{order['order']}/collection", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "disclosure.four_eyes")


async def test_the_database_itself_refuses_a_second_duty(desk: Desk, served) -> None:
    order = await desk.approved()
    admin = await served.house.postgres.connect("disclosure_tests")
    keys = await admin.fetch(
        "SELECT array_agg(a.attname::text ORDER BY a.attname) AS columns FROM pg_constraint c "
        "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) "
        "WHERE c.conrelid = 'disclosure.order_duty'::regclass AND c.contype = 'p' GROUP BY c.oid"
    )
    granted = await admin.fetch(
        "SELECT privilege_type FROM information_schema.table_privileges "
        "WHERE table_schema = 'disclosure' AND table_name = 'order_duty' AND grantee = 'disclosure'"
    )
    await admin.close()
    assert [row["columns"] for row in keys] == [["order_id", "person", "tenant"]] and order
    assert {row["privilege_type"] for row in granted} == {"SELECT", "INSERT"}


async def test_an_authoritys_client_cannot_approve(desk: Desk) -> None:
    order = await desk.placed()
    said = {"order_hash": order["order_hash"], "verdict": "approve"}
    answer = await desk.own("POST", f"/v1/orders/{order['order']}/reviews", said)
    assert answer.status_code == 403
    forged = await desk.own("POST", f"/v1/orders/{order['order']}/reviews", said, scope="order.approve")
    assert forged.status_code == 403


async def test_an_emergency_goes_ahead_on_one_word_and_is_reviewed_by_a_second(desk: Desk) -> None:
    emergency = {"instrument": "emergency_call", "emergency": True, "issuer": {"kind": "police", "name": "RLC"}}
    order = await desk.placed(**emergency, tasks=[{"kind": "LD", "category": "location"}])
    approved = (await desk.review("gunilla", order)).json()
    assert approved["status"] == "Approved"
    assert (await desk.review("gosta", order)).json()["approvals"] == 2
    refused = await desk.placed(**emergency, tasks=[{"kind": "LD", "category": "traffic"}])
    assert [fault["code"] for fault in refused["errors"]] == ["EMERGENCY_SCOPE"]


async def test_a_german_prosecutors_order_case_11(desk: Desk) -> None:
    german = desk.beside("DE-sta-muenchen")
    await german.register(country="DE", instruments=["epoc_subscriber", "epoc_traffic"])
    issued = {
        "issuer": {"kind": "prosecutor", "name": "StA München I"},
        "legal_provision": "Art. 4",
        "offence": {"max_years": 5},
    }
    traffic = await german.placed(**issued, instrument="epoc_traffic")
    assert [(fault["code"], fault["etsi_code"]) for fault in traffic["errors"]] == [("AUTHORITY_NOT_COMPETENT", 3000)]
    about = {"instrument": "epoc_subscriber", "tasks": [{"kind": "LD", "category": "subscriber"}]}
    subscriber = await german.placed(**issued, **about)
    assert subscriber["status"] == "AwaitingApproval"
    left = datetime.fromisoformat(subscriber["due_at"]) - datetime.fromisoformat(subscriber["served_at"])
    assert timedelta(days=10) <= left < timedelta(days=11, hours=2)


async def test_every_reading_is_an_event_of_custody(desk: Desk) -> None:
    order = await desk.placed()
    await desk.person("rut", "GET", f"/v1/orders/{order['order']}")
    await desk.own("GET", f"/v1/orders/{order['order']}")
    readers = [event["data"]["by"] for event in await desk.events() if event["type"] == "order.read"]
    assert readers == ["rut", desk.client]


async def test_a_service_that_is_not_listed_gets_nowhere(desk: Desk) -> None:
    for client in ("public", "rights", "webhooks", "consent"):
        answer = await desk.person("rut", "GET", "/v1/orders", act={"sub": client})
        assert answer.status_code == 403


async def test_bad_input_is_a_clear_refusal(desk: Desk) -> None:
    for body in (
        {},
        {**an_order(), "status": "Approved"},
        {**an_order(), "served_at": "yesterday"},
        {**an_order(), "tasks": []},
    ):
        answer = await desk.own("POST", "/v1/orders", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")
    assert (await desk.own("GET", "/v1/orders?after=x")).status_code == 400
    assert (await desk.own("GET", "/v1/orders/4711")).status_code == 422


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
