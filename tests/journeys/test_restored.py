"""The consent service comes back from a backup, and what the rights service knows of people since is told to it again."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from ops.catalogue import BY_NAME
from sample.cases import PRIVATE
from sample.seeding import NOTICE
from tests import backups
from tests.journeys.test_guardian import SEEN, asks, born, consents, second_look
from tests.nordtel import Nordtel, request_of, running, until
from tests.overseer import Overseer
from tests.patience import busy

DATABASE = BY_NAME["consent"].database
# Whether rights has read the last word that it told consent.
HEARD = """
SELECT (SELECT position FROM rights.feed_cursor WHERE name = 'cascades') >= max(l.position) AS heard
FROM consent.ledger_entry l JOIN consent.event e ON e.id = l.event_id WHERE e.type = 'restriction.set'"""


@pytest.fixture(scope="module")
def nordtel() -> Iterator[Nordtel]:
    """A house of its own: what others of the package said to consent would be lost as well."""
    with running() as nordtel:
        yield nordtel


def decision(nordtel: Nordtel, who: str, purpose: str, category: str) -> str:
    """Why it is so."""
    question = {
        "subject": {"type": "principal", "id": str(nordtel.principals[who])},
        "action": {"name": purpose},
        "resource": {"type": category, "id": "any"},
    }
    told = nordtel.machine("callserver", tenant=PRIVATE.id).post("/access/v1/evaluation", question).json()
    return told["context"]["reason"]


def asked(nordtel: Nordtel, who: str, **wish: str) -> str:
    """A right that consent is told of, and its request once it was told."""
    request = nordtel.person(who).post("/v1/requests", wish).json()["request"]

    def told() -> bool:
        steps = request_of(nordtel.person(who), request)["steps"]
        return any(step["store"] == "standing" and step["state"] == "done" for step in steps)

    until("word to consent", told)
    return request


async def test_a_consent_service_that_came_back_from_a_backup_hears_again_what_rights_had_told_it(
    nordtel: Nordtel, tmp_path: Path
):
    helpdesk, officer, people = nordtel.person("helpdesk"), nordtel.person("privacy"), nordtel.principals
    of_two, proven_since, revoked_since = uuid4(), uuid4(), uuid4()

    def at_consent(child: UUID, guardian: str) -> None:
        said = {"guardian": str(people[guardian]), "born": born(nordtel), "evidence_ref": "crm/17"}
        officer.put(f"/staff/v1/guardians/{child}", said)
        second_look(nordtel, "helpdesk", child, guardian)
        until(f"request of {guardian}'s", lambda: asks(nordtel, guardian, child) == 201)
        until(f"yes of {guardian}'s", lambda: consents(nordtel, guardian, child) == 201)

    def at_rights(child: UUID, guardian: str) -> str:
        wish = {"principal": str(child), "agent": str(people[guardian]), "kinds": ["access", "withdrawal"]}
        mandate = helpdesk.post("/staff/v1/mandates", wish | SEEN | {"born": born(nordtel)}).json()["mandate"]
        second_look(nordtel, "privacy", child, guardian)
        until(f"yes of {guardian}'s", lambda: consents(nordtel, guardian, child) == 201)
        return mandate

    at_consent(of_two, "erik")
    revoked = at_rights(revoked_since, "lars")
    nordtel.person("ines").post("/v1/consents", {"purpose": "development", "notice": NOTICE, "notice_version": 1})
    until("consent of hers", lambda: decision(nordtel, "ines", "development", "traffic") == "consent")
    backups.back_up(nordtel.stack.postgres, DATABASE, "consent", tmp_path / "consent.dump")

    at_consent(of_two, "ines")
    officer.post(f"/staff/v1/guardians/{of_two}/end", {"guardian": str(people["erik"])})
    until("end of it", lambda: asks(nordtel, "erik", of_two) == 404)
    at_rights(proven_since, "erik")
    helpdesk.post(f"/staff/v1/mandates/{revoked}/revocation", {})
    until("end of it", lambda: consents(nordtel, "lars", revoked_since) == 404)
    asked(nordtel, "ines", kind="withdrawal", purpose="development")
    asked(nordtel, "anna", kind="objection", purpose="development")
    asked(nordtel, "petra", kind="restriction", ground="correctness_disputed")

    def stands() -> dict[str, Any]:
        return {
            "Erik ended": consents(nordtel, "erik", of_two),
            "Ines came": consents(nordtel, "ines", of_two),
            "Lars revoked": consents(nordtel, "lars", revoked_since),
            "Anna objected": decision(nordtel, "anna", "development", "usage_statistics"),
            "Petra restricted": decision(nordtel, "petra", "maintaining_service", "traffic"),
            "Ines withdrew": decision(nordtel, "ines", "development", "traffic"),
        }

    before = stands()
    assert before == {
        "Erik ended": 404,
        "Ines came": 201,
        "Lars revoked": 404,
        "Anna objected": "objected",
        "Petra restricted": "restricted",
        "Ines withdrew": "withdrawn",
    }
    overseer = Overseer(nordtel.stack.postgres)
    began = time.monotonic()
    while not (await overseer.rows(DATABASE, HEARD))[0]["heard"]:
        assert time.monotonic() - began < 5 * busy(), "what it told itself is heard at once as well"
        await asyncio.sleep(0.05)
    await overseer.close()

    nordtel.stack.kill("consent", signal.SIGKILL)
    await backups.restore(nordtel.stack.postgres, DATABASE, "consent", tmp_path / "consent.dump")
    nordtel.stack.restart("consent")
    until("standing as before", lambda: stands() == before)
    # Her day of birth is nowhere any more: nobody says yes for that child until staff record it again.
    until("guardian", lambda: consents(nordtel, "erik", proven_since) == 409)
    at_rights(proven_since, "erik")
