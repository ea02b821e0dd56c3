"""Who proved once that she speaks for a child speaks for it at the other service as well, until that ends, wherever it ended."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sample.cases import PRIVATE
from sample.seeding import NOTICE
from tests.nordtel import Nordtel, until

PAPERS = {"papers": ["population_register"]}
SEEN = {"basis": "guardian", "evidence": {"method": "id_document"}} | PAPERS


def born(nordtel: Nordtel) -> str:
    return (nordtel.now().date() - timedelta(days=9 * 365)).isoformat()


def consents(nordtel: Nordtel, who: str, child: UUID) -> int:
    """What a parent's yes for a child is answered with."""
    wish = {"purpose": "development", "notice": NOTICE, "notice_version": 1, "expression": "parental"}
    headers = {"idempotency-key": str(uuid4())}
    said = nordtel.person(who).try_to("POST", "/v1/consents", json=wish | {"principal": str(child)}, headers=headers)
    return said.status_code


def asks(nordtel: Nordtel, who: str, child: UUID) -> int:
    wish, headers = {"kind": "access", "principal": str(child)}, {"idempotency-key": str(uuid4())}
    return nordtel.person(who).try_to("POST", "/v1/requests", json=wish, headers=headers).status_code


def second_look(nordtel: Nordtel, by: str, child: UUID, guardian: str) -> None:
    """Another of the staff than who recorded a guardian has looked at the papers."""
    staff, agent = nordtel.person(by), str(nordtel.principals[guardian])

    def waits() -> list[str]:
        found = staff.get("/staff/v1/mandates/waiting", limit=500).json()["items"]
        return [one["mandate"] for one in found if (one["principal"], one["agent"]) == (str(child), agent)]

    (mandate,) = until(f"mandate of {guardian}'s", waits)
    staff.post(f"/staff/v1/mandates/{mandate}/confirmation", PAPERS)


def told(nordtel: Nordtel, service: str, child: UUID, types: str) -> list[dict[str, Any]]:
    """What stands in a service's ledger of a child."""
    listener = nordtel.process("webhooks", service, PRIVATE.id)
    found, after = [], 0
    while page := listener.get("/events", types=types, after=after, limit=200).json():
        found += [each for each in page["items"] if each["subject"] == str(child)]
        if int(page["next"]) == after:
            return found
        after = int(page["next"])
    return found


def test_a_father_known_to_the_helpdesk_says_yes_for_his_daughter_until_his_mandate_is_revoked(nordtel: Nordtel):
    child, erik, helpdesk = uuid4(), nordtel.principals["erik"], nordtel.person("helpdesk")
    wish = {"principal": str(child), "agent": str(erik), "kinds": ["access", "withdrawal"], "born": born(nordtel)}
    assert consents(nordtel, "erik", child) == 404
    mandate = helpdesk.post("/staff/v1/mandates", wish | SEEN).json()
    assert (consents(nordtel, "erik", child), asks(nordtel, "erik", child)) == (404, 404), "one of the staff alone"
    second_look(nordtel, "privacy", child, "erik")
    until("yes of erik's", lambda: consents(nordtel, "erik", child) == 201)
    assert asks(nordtel, "erik", child) == 201
    assert consents(nordtel, "lars", child) == 404
    mandates = helpdesk.get("/staff/v1/mandates", principal=str(child)).json()["items"]
    assert [one["mandate"] for one in mandates] == [mandate["mandate"]], "what consent was told makes no second one"
    helpdesk.post(f"/staff/v1/mandates/{mandate['mandate']}/revocation", {})
    until("end of it", lambda: consents(nordtel, "erik", child) == 404)
    assert asks(nordtel, "erik", child) == 404
    ended = told(nordtel, "consent", child, "guardian.set,guardian.ended")
    assert [(each["type"], each["data"]["guardian"]) for each in ended] == [
        ("guardian.set", str(erik)),
        ("guardian.ended", str(erik)),
    ]
    assert ended[1]["data"]["why"] == "revoked"


def test_a_mother_known_to_consent_asks_for_her_son_until_consent_knows_her_no_more(nordtel: Nordtel):
    child, officer = uuid4(), nordtel.person("privacy")
    for who in ("ines", "erik"):
        guardian = {"guardian": str(nordtel.principals[who]), "born": born(nordtel), "evidence_ref": "crm/17"}
        officer.put(f"/staff/v1/guardians/{child}", guardian)
    for who in ("ines", "erik"):
        assert (asks(nordtel, who, child), consents(nordtel, who, child)) == (404, 404), "one of the staff alone"
        second_look(nordtel, "helpdesk", child, who)
        assert asks(nordtel, who, child) == 201
        until(f"yes of {who}'s", lambda who=who: consents(nordtel, who, child) == 201)
    officer.post(f"/staff/v1/guardians/{child}/end", {"guardian": str(nordtel.principals["ines"])})
    assert consents(nordtel, "ines", child) == 404
    until("end of it", lambda: asks(nordtel, "ines", child) == 404)
    assert (asks(nordtel, "erik", child), consents(nordtel, "erik", child)) == (201, 201), "the other parent goes on"
    mandates = told(nordtel, "rights", child, "mandate.recorded,mandate.revoked")
    assert [(each["type"], each["data"]["agent"], each["data"]["by"]) for each in mandates] == [
        ("mandate.recorded", str(nordtel.principals["ines"]), "consent"),
        ("mandate.recorded", str(nordtel.principals["erik"]), "consent"),
        ("mandate.revoked", str(nordtel.principals["ines"]), "consent"),
    ]
    recorded = officer.get("/staff/v1/mandates", principal=str(child)).json()["items"]
    vouched = {each["data"].get("by") for each in told(nordtel, "consent", child, "guardian.set")} - {None}
    assert vouched == {one["vouched_by"] for one in recorded}, "who recorded it there"


def test_whoever_staff_ends_at_consent_acts_in_no_mandate_of_theirs_any_more(nordtel: Nordtel):
    child, lars, helpdesk = uuid4(), str(nordtel.principals["lars"]), nordtel.person("helpdesk")
    wish = {"principal": str(child), "agent": lars, "kinds": ["access", "withdrawal"], "born": born(nordtel)}
    helpdesk.post("/staff/v1/mandates", wish | SEEN)
    second_look(nordtel, "privacy", child, "lars")
    until("yes of lars's", lambda: consents(nordtel, "lars", child) == 201)
    nordtel.person("privacy").post(f"/staff/v1/guardians/{child}/end", {"guardian": lars})
    until("end of it", lambda: asks(nordtel, "lars", child) == 404)
    [mandate] = helpdesk.get("/staff/v1/mandates", principal=str(child)).json()["items"]
    assert mandate["revoked_at"]
