"""Anna: a consent and its withdrawal, her data, and their deletion."""

import io
import json
import zipfile
from collections import Counter
from typing import Any
from uuid import UUID

from sample.actors import Cast, Person
from sample.cases import PEOPLE
from sample.seeding import NOTICE
from sample.tour.narrator import Narrator, TourFailed
from services.consent import verify as receipt_verifier
from services.requests.rights import certificate
from services.requests.rights.contract import Certificate
from services.requests.rights.package.unlock import unlock

PASSPHRASE = "en hemlig mening om blåbär"
_PURPOSE, _DATA = "development", "traffic"


def consents(cast: Cast, tell: Narrator) -> None:
    tell.scene("Anna gives a consent, and takes it back")
    with cast.person("anna") as anna, cast.machine("callserver", tenant=_tenant(cast)) as decider:
        me = _principal(cast)
        tell.say(f"{anna.name} logs in with user name and password (code and PKCE, no password reaches a service)")
        if _decided(decider, me)["decision"]:
            # An earlier tour was interrupted between the two.
            anna.post("/v1/withdrawals", {"purpose": _PURPOSE})
        tell.must(
            not _decided(decider, me)["decision"],
            "before she is asked, her traffic data may not be used for development",
        )
        given = anna.post("/v1/consents", {"purpose": _PURPOSE, "notice": NOTICE, "notice_version": 1}).json()
        tell.until("decision that follows her consent", lambda: _decided(decider, me)["decision"])
        tell.say(f"✓ she consents, and the decision point says yes (record {given['record']})")
        path = tell.keep("anna-receipt.json", anna.get(f"/v1/receipts/{given['record']}").content)
        keys = tell.keep("consent-keys.json", json.dumps(_keys(anna, "consent")).encode())
        proven = receipt_verifier.proven(path.read_bytes(), json.loads(keys.read_bytes()))
        tell.must(
            proven["record_id"] == given["record"], f"her receipt verifies offline, ledger proof included ({path.name})"
        )
        tell.say(f"check it yourself: .venv/bin/python -m services.consent.verify {path} --keys {keys}")
        anna.post("/v1/withdrawals", {"purpose": _PURPOSE})
        answer = _decided(decider, me)
        tell.must(
            answer["decision"] is False,
            f"she withdraws: when that is acknowledged no decision point says yes any more (reason: {answer['context']['reason']})",
        )


def asks_for_her_data(cast: Cast, tell: Narrator) -> None:
    tell.scene("Anna asks for her data")
    with cast.person("anna") as anna:
        asked = anna.post("/v1/requests", {"kind": "access", "language": "sv", "passphrase": PASSPHRASE}).json()
        tell.say(f"asked on {asked['received_at'][:10]}, due on {asked['due_on']} (one calendar month)")
        _until_state(tell, anna, asked["request"], "answered")
        file = tell.keep("anna-package.html", anna.get(f"/v1/requests/{asked['request']}/package").content)
        found = anna.get(f"/v1/requests/{asked['request']}/answer").json()["found"]
    archive = unlock(file, PASSPHRASE).archive
    tell.say(
        f"{file.name} opens in any browser with her passphrase “{PASSPHRASE}” and shows the report: {len(file.read_bytes()):,} bytes"
    )
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        kinds = Counter(name.rpartition(".")[2] for name in opened.namelist())
        tell.say("inside it all files once more: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    tell.table(
        ("store", "records", "of"), [(s["label"]["en"], sum(s["counts"].values()), _tables(s["counts"])) for s in found]
    )
    tell.must(
        sum(sum(store["counts"].values()) for store in found) > 0,
        "her data were found in every store that has some",
    )


def asks_for_deletion(cast: Cast, tell: Narrator) -> None:
    tell.scene("Anna asks for deletion")
    with cast.person("anna") as anna, cast.person("operations") as operations:
        asked = anna.post("/v1/requests", {"kind": "deletion", "language": "sv"}).json()["request"]
        _until_state(tell, anna, asked, "previewed")
        preview = anna.get(f"/v1/requests/{asked}/preview").json()
        tell.say(f"first she sees what she will lose: {preview['erased']} records go, {preview['kept']} stay for now")
        tell.say(f"“{preview['warning']['sv']}”")
        _desk_sees(cast, tell, asked)
        confirmed = anna.post(f"/v1/requests/{asked}/confirm", {"preview": preview["digest"]}).json()
        tell.say(
            f"she confirms, and may change her mind until {confirmed['executes_at'][:16]}; nobody waits 72 hours here,"
        )
        tell.say("so operations moves the business clock of this development house three days ahead")
        operations.put("/v1/clock", {"offset_seconds": _offset(cast) + 72 * 3600 + 60})
        _until_state(tell, anna, asked, "answered")
        answer = anna.get(f"/v1/requests/{asked}/answer").json()
        tell.table(
            ("store", "what", "until", "why", "law"),
            sorted(
                {
                    (
                        line["label"]["en"],
                        f"{line['action']} {line['category']}",
                        line["until"] or "",
                        line["reason"]["en"].split(". ")[0].removesuffix("."),
                        line["legal_ref"],
                    )
                    for line in answer["outcomes"]
                }
            ),
        )
        counted = Counter(line["action"] for line in answer["outcomes"])
        tell.must(
            counted["erase"] > 0 and counted["keep"] > 0, "part goes, part stays by a named rule with a legal reference"
        )
        tell.must(
            "hold" not in json.dumps(answer).lower(), "the answer says nothing about the order that came in between"
        )
        proof = tell.keep("anna-certificate.json", anna.get(f"/v1/requests/{asked}/certificate").content)
        keys = tell.keep("rights-keys.json", json.dumps(_keys(anna, "rights")).encode())
        said = certificate.verify(Certificate.model_validate_json(proof.read_bytes()), json.loads(keys.read_bytes()))
        tell.must(bool(said), "her certificate verifies offline, with the ledger's proof")
        tell.say(f"check it yourself: .venv/bin/python -m services.requests.rights.certificate {proof} --keys {keys}")
        steps = anna.get(f"/v1/requests/{asked}").json()["steps"]
        verified = [step for step in steps if step["verb"] == "verify"]
        tell.must(
            bool(verified) and all(step["state"] == "done" for step in verified),
            f"each of the {len(verified)} stores was scanned again with another credential, and holds only what the rules keep",
        )


def _desk_sees(cast: Cast, tell: Narrator, request: str) -> None:
    with cast.person("helpdesk") as desk:
        listed = desk.get("/staff/v1/worklist").json()["items"]
    mine = next((item for item in listed if item["request"] == request), None)
    tell.must(
        mine is not None and mine["waits_for"] == "person",
        "the helpdesk has it in its list of what is open, and sees that nobody but Anna is waited for",
    )
    tell.say(f"there it is due on {mine['due_on']}, in {mine['days_left']} days")


def _decided(decider: Any, principal: UUID) -> dict[str, Any]:
    question = {
        "subject": {"type": "principal", "id": str(principal)},
        "action": {"name": _PURPOSE},
        "resource": {"type": _DATA, "id": "any"},
    }
    return decider.post("/access/v1/evaluation", question).json()


def _until_state(tell: Narrator, who: Person, request: str, state: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        seen = who.get(f"/v1/requests/{request}").json()
        failed = [step for step in seen["steps"] if step["state"] == "failed"]
        if failed:
            raise TourFailed(
                f"The tour stops here: {failed[0]['verb']} in {failed[0]['store']} failed ({failed[0]['problem']})."
            )
        # A deletion is closed as soon as it is answered: nothing of ours is left to keep.
        return seen if seen["state"] == state or (state == "answered" and seen["state"] == "closed") else None

    def explain() -> str:
        seen = who.get(f"/v1/requests/{request}").json()
        waiting = [step for step in seen["steps"] if step["state"] != "done"]
        said = (
            f"{s['verb']} in {s['store']} is {s['state']} after {s['tries']} tries ({s['problem']})" for s in waiting
        )
        return f" It is {seen['state']}; {'; '.join(said) or 'no step is open'}."

    return tell.until(f"request that is {state}", look, explain=explain)


def _tables(counts: dict[str, int]) -> str:
    return ", ".join(f"{table} {count}" for table, count in counts.items() if count)


def _principal(cast: Cast) -> UUID:
    return UUID(json.loads((cast.home / "sample" / "principals.json").read_text())["anna"])


def _tenant(cast: Cast) -> UUID:
    return PEOPLE["anna"].tenant.id


def _keys(who: Person, service: str) -> dict[str, Any]:
    return who.get(f"/keys/{service}").json()


def _offset(cast: Cast) -> float:
    """How far the business clock of this house is ahead already."""
    return float((cast.home / "clock").read_text())
