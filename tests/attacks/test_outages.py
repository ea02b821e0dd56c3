"""A store that is away, a database that restarts: requests wait and go on by themselves; what was acknowledged is there, once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2

from chassis.errors import PROBLEM_JSON
from sample.cases import PRIVATE
from sample.seeding import NOTICE
from tests.attacks.mint import Mint
from tests.nordtel import Nordtel, request_of, until

WRITERS = 8
AWAY = "ALTER DATABASE sample_helpdesk ALLOW_CONNECTIONS false"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'sample_helpdesk'"
BACK = "ALTER DATABASE sample_helpdesk ALLOW_CONNECTIONS true"


async def test_a_request_waits_for_a_store_that_is_away_and_goes_on_by_itself(nordtel: Nordtel):
    erik = nordtel.person("erik")
    connection = await nordtel.stack.postgres.connect()
    try:
        await connection.execute(AWAY)
        await connection.execute(CUT)
        asked = erik.post("/v1/requests", {"kind": "deletion"}).json()["request"]
        waiting = until("step that waits", lambda: _waiting(request_of(erik, asked)))
        assert waiting["problem"] == "anonymizer.store_unavailable"
        assert waiting["state"] in ("pending", "running") and waiting["next_at"]
        others = until("other stores", lambda: _all_others_done(request_of(erik, asked)))
        assert request_of(erik, asked)["state"] == "identified", "it went on without having heard of every store"
        assert len(others) == 5
    finally:
        await connection.execute(BACK)
        await connection.close()
    until("preview of all stores", lambda: request_of(erik, asked)["state"] == "previewed")
    erik.post(f"/v1/requests/{asked}/withdraw")


async def test_a_database_that_restarts_under_load_loses_and_doubles_nothing(nordtel: Nordtel, mint: Mint):
    """Consents are written all the time, each tried under one key until it is acknowledged; the server ends and starts again."""
    writers = [Writer(mint, uuid4()) for _ in range(WRITERS)]
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        writing = [asyncio.create_task(writer.write(http)) for writer in writers]
        await asyncio.sleep(1)
        with restarting(nordtel):
            await asyncio.sleep(1)
        await asyncio.sleep(2)
        for writer in writers:
            writer.enough = True
        await asyncio.gather(*writing)
        answers = Counter(answer for writer in writers for answer in writer.answers)
        assert answers[201] > WRITERS, answers
        assert set(answers) <= {201, 503}, answers
        assert answers[503], "the restart was not noticed: nothing was tried here"
        for writer in writers:
            kept = await writer.kept(http)
            assert sorted(kept) == sorted(writer.acknowledged), "lost, or there twice"


class Writer:
    """One person who consents again and again. acknowledged: the records whose 201 arrived."""

    def __init__(self, mint: Mint, principal: UUID) -> None:
        self.mint, self.principal = mint, principal
        self.answers: list[int] = []
        self.acknowledged: list[str] = []
        self.enough = False
        self.url = f"{mint.edges['public']}/v1/consents"
        self.token = mint.token("public", {"consent.write", "consent.read"}, client_id="seeder", tenant=str(PRIVATE.id))

    async def write(self, http: httpx2.AsyncClient) -> None:
        while not self.enough:
            headers = {"authorization": f"Bearer {self.token}", "idempotency-key": str(uuid4())}
            while (answer := await http.post(self.url, json=self.wish(), headers=headers)).status_code == 503:
                self.answers.append(503)
                assert answer.headers["content-type"] == PROBLEM_JSON and answer.headers["retry-after"]
                assert answer.json()["code"].count(".") == 1
                await asyncio.sleep(0.1)
            self.answers.append(answer.status_code)
            if answer.status_code != 201:
                return
            self.acknowledged.append(answer.json()["record"])

    def wish(self) -> dict[str, Any]:
        return {"purpose": "communication", "notice": NOTICE, "notice_version": 1, "principal": str(self.principal)}

    async def kept(self, http: httpx2.AsyncClient) -> list[str]:
        records: list[str] = []
        after: str | None = None
        while True:
            query = {"principal": str(self.principal), "limit": 500} | ({"after": after} if after else {})
            page = (await http.get(self.url, params=query, headers={"authorization": f"Bearer {self.token}"})).json()
            records += [record["record"] for record in page["items"]]
            if not (after := page["next"]):
                return records


@contextmanager
def restarting(nordtel: Nordtel) -> Iterator[None]:
    nordtel.stack.postgres.stop()
    try:
        yield
    finally:
        nordtel.stack.postgres.start()


def _waiting(request: dict[str, Any]) -> dict[str, Any] | None:
    return next((step for step in request["steps"] if step["store"] == "helpdesk" and step["problem"]), None)


def _all_others_done(request: dict[str, Any]) -> list[dict[str, Any]] | None:
    done = [step for step in request["steps"] if step["store"] != "helpdesk" and step["state"] == "done"]
    return done if len(done) == len(request["steps"]) - 1 else None
