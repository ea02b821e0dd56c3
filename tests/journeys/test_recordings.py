"""Case 9. Nadia's chat closed 91 days ago goes with the sweep; her recording 4711 goes today with all its versions, its siblings live on."""

from pathlib import Path
from uuid import uuid4

from sample.cases import CASES
from tests.journeys.conftest import Removal, Swept
from tests.journeys.eyes import Eyes
from tests.journeys.test_restored import decision
from tests.nordtel import Nordtel, until

FACTS = CASES[9].facts
SIBLINGS = str(FACTS["siblings"]).split(",")


def test_the_recording_and_all_its_versions_are_gone_today(removed: Removal):
    gone = removed.before - removed.after
    assert {path.rpartition("/")[2] for path in gone} == {
        f"4711{version}{ending}" for version in ("", ".1", ".2") for ending in (".wav", ".json")
    }
    assert len(gone) == 2 * (1 + int(FACTS["versions"]))


def test_no_other_recording_was_touched(removed: Removal):
    assert removed.after < removed.before
    assert {path.rpartition("/")[2].partition(".")[0] for path in removed.before - removed.after} == {
        FACTS["recording"]
    }


def test_she_was_answered_at_once_and_told_what_went(removed: Removal):
    nadia = removed.requests["nadia"]
    assert nadia.request["executes_at"] is None
    assert [(line["store"], line["action"]) for line in nadia.answer["outcomes"]] == [("recordings", "erase")]


def test_the_siblings_live_until_their_own_time_is_over(swept: Swept):
    for sibling in SIBLINGS:
        assert {path for path in swept.recordings if path.endswith(f"/{sibling}.wav")}, "swept before day 30"


async def test_the_old_chat_is_swept_with_its_messages_and_the_younger_one_stays(swept: Swept, eyes: Eyes):
    chats = {s.row["id"] for s in swept.seen_of("nadia") if s.where == "chat"}
    messages = {s.row["chat"] for s in swept.seen_of("nadia") if s.where == "chat_message"}
    assert chats == messages == {FACTS["kept_chat"]}
    assert await eyes.rows("helpdesk", "SELECT id FROM chat WHERE id = $1", FACTS["chat"]) == []


def test_a_sweep_takes_what_its_simulation_said_and_leaves_nothing_whose_time_is_over(swept: Swept):
    def counted(items: list[dict]) -> dict[tuple[str, str, str], int]:
        sums: dict[tuple[str, str, str], int] = {}
        for item in items:
            key = (item["store"], item["table"], item["rule"])
            sums[key] = sums.get(key, 0) + item["count"]
        return sums

    assert counted(swept.done["items"]) == counted(swept.expected["items"])
    assert swept.left["items"] == []


def test_what_rested_on_her_consent_alone_goes_when_she_withdraws_it_and_her_twin_s_stays(withdrew: Removal):
    gone = {Path(each).name for each in withdrew.before - withdrew.after}
    assert gone == {"4803.wav", "4803.json"} and withdrew.after < withdrew.before
    request = withdrew.requests["saga"].request
    assert (request["kind"], request["channel"]) == ("deletion", "consent")


def test_what_an_officer_says_somebody_withdrew_waits_for_a_colleague_and_he_may_say_that_he_did_not(nordtel: Nordtel):
    officer, helpdesk, lars = [nordtel.person(who) for who in ("privacy", "helpdesk", "lars")]
    wish = {"purpose": "communication", "principal": str(nordtel.principals["lars"])}
    record = officer.post("/staff/v1/withdrawals", wish).json()["record"]
    assert decision(nordtel, "lars", "communication", "recorded_call") == "withdrawn", "at once"

    def waits() -> bool:
        found = lars.get("/v1/requests").json()["items"]
        return (record, "previewed") in {(one["request"], one["state"]) for one in found}

    until("deletion that waits", waits)
    path = f"/staff/v1/requests/{record}"
    read = {"preview": officer.get(f"{path}/preview").json()["digest"]}
    alone = officer.try_to("POST", f"{path}/confirm", json=read, headers={"idempotency-key": str(uuid4())})
    assert alone.json()["code"] == "rights.another_confirms"
    assert helpdesk.post(f"{path}/confirm", read).json()["state"] == "cooling_off"
    assert lars.post(f"/v1/requests/{record}/withdraw", {}).json()["state"] == "withdrawn"
