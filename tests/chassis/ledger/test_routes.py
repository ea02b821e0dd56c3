"""A ledger as others see it over HTTP, and a follower whose effects happen once."""

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from joserfc.jwk import ECKey, OKPKey

import chassis.ledger.schema
from chassis import schema
from chassis.app import about_to_end, create_app
from chassis.client import ServiceClient, trust
from chassis.db import Database, Transaction
from chassis.errors import Conflict
from chassis.ledger import checkpoint, merkle, queries
from chassis.ledger.contract import Consistency, Feed, Inclusion
from chassis.ledger.events import Event
from chassis.ledger.follow import Follower, RunFollower
from chassis.ledger.verify import verify_ledger, verify_receipt
from chassis.settings import Settings
from tests.backups import lose_what_came_after
from tests.patience import PATIENCE, busy
from tests.serving import Issuer, serve

ALPHA, BETA, ANNA = uuid4(), uuid4(), uuid4()


@dataclass
class Source:
    """A running service with a ledger, and a token issuer that both sides trust."""

    app: FastAPI
    http: httpx2.AsyncClient
    issuer: Issuer
    settings: Settings

    @property
    def service(self) -> str:
        return self.app.state.service

    async def token(self, _audience: str, tenant: UUID | None = None) -> str:
        return self.issuer.token(self.service, "events.read ledger.read", tenant)

    async def get(self, path: str, tenant: UUID | None = None, scope: str = "events.read ledger.read", **query):
        headers = {"authorization": f"Bearer {self.issuer.token(self.service, scope, tenant)}"}
        return await self.http.get(path, params=query or None, headers=headers, timeout=40)

    async def write(self, count: int = 1, type: str = "thing.done", tenant: UUID = ALPHA) -> list[Event]:
        async with self.app.state.database.transaction(tenant) as tx:
            return [await tx.emit(type, {"n": n}, subject=ANNA) for n in range(count)]

    async def leaf(self, position: int) -> bytes | None:
        async with self.app.state.database.system() as connection:
            [leaf] = await queries.leaves(connection, self.service, position)
            return leaf

    async def lose_what_came_after(self, cluster, position: int) -> None:
        admin = await cluster.connect("postgres")
        await lose_what_came_after(admin, self.service, position)
        await admin.close()

    async def reaches(self, size: int) -> None:
        """Until the ledger has `size` entries."""
        async with asyncio.timeout(PATIENCE):
            while True:
                turn = self.app.state.sequencer.grown.turn()
                async with self.app.state.database.system() as connection:
                    if await queries.head(connection, self.service) >= size:
                        return
                await turn.wait()


@pytest_asyncio.fixture(loop_scope="session")
async def source(cluster, house, tmp_path: Path, monkeypatch) -> AsyncIterator[Source]:
    made = await asyncio.to_thread(house, chassis.ledger.schema.create)
    for name in ("db", "db_system"):
        (tmp_path / f"{name}.password").write_text("trusted here")
    (tmp_path / "retired").mkdir()
    for path, key in (
        ("client.jwk", ECKey.generate_key("P-256", {"kid": "toy"}, private=True)),
        ("ledger.jwk", OKPKey.generate_key("Ed25519", {"kid": "toy-ledger"}, private=True)),
        ("retired/old.jwk", OKPKey.generate_key("Ed25519", {"kid": "old-ledger"}, private=True)),
    ):
        (tmp_path / path).write_text(json.dumps(key.as_dict(private=True)))
    monkeypatch.setattr("chassis.schema.at_head", _yes)
    issuer = Issuer()
    async with serve(issuer.app) as issuer_url:
        settings = Settings(
            secrets_dir=tmp_path,
            issuer=issuer.name,
            jwks_url=f"{issuer_url}/jwks",
            database_host=str(cluster.socket),
            database_name="postgres",
        )
        app = create_app(made.service, settings, package="services.toy", clients={"tester"})
        async with serve(app) as url, httpx2.AsyncClient(base_url=url, verify=trust()) as http:
            yield Source(app, http, issuer, settings)


async def _yes(*_args) -> bool:
    return True


async def test_whoever_waits_for_an_event_is_answered_when_the_process_ends(source):
    waiting = asyncio.create_task(source.get("/events", after=0, wait=20))
    while not source.app.state.sequencer.grown.turn()._waiters:
        await asyncio.sleep(0.01)
    about_to_end(source.app)
    async with asyncio.timeout(2 * busy()):
        answer = await waiting
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next": "0", "leaf": None})


async def test_the_feed_shows_cloud_events_in_order_page_by_page(source):
    written = await source.write(5)
    await source.reaches(5)
    first = Feed.model_validate((await source.get("/events", limit=3)).json(), strict=False)
    rest = Feed.model_validate((await source.get("/events", limit=3, after=first.next)).json(), strict=False)
    shown = [*first.items, *rest.items]
    assert [item.id for item in shown] == [event.id for event in written]
    assert [item.position for item in shown] == [1, 2, 3, 4, 5]
    assert (shown[0].specversion, shown[0].source) == ("1.0", f"/wardline/{source.service}")
    assert (shown[0].tenant, shown[0].subject, shown[0].data) == (ALPHA, ANNA, {"n": 0})
    assert shown[0].dataschema.endswith("/v1")
    end = (await source.get("/events", after=rest.next, leaf=rest.leaf)).json()
    assert end == {"items": [], "next": "5", "leaf": rest.leaf}
    assert rest.leaf == shown[4].leaf == (await source.leaf(5)).hex()


async def test_the_feed_can_be_limited_to_types_and_its_cursor_goes_past_the_others(source):
    await source.write(3, "dull.thing")
    await source.write(1, "rare.thing")
    await source.write(3, "dull.thing")
    await source.reaches(7)
    page = (await source.get("/events", types="rare.thing,other.thing")).json()
    assert ([item["position"] for item in page["items"]], page["next"]) == ([4], "7")


async def test_a_token_of_one_tenant_sees_its_own_events_and_can_still_check_the_tree(source):
    await source.write(2)
    [other] = await source.write(1, tenant=BETA)
    await source.reaches(3)
    assert [item["position"] for item in (await source.get("/events", BETA)).json()["items"]] == [3]
    entries = (await source.get("/ledger/entries", BETA)).json()["items"]
    assert [entry["body"] is None for entry in entries] == [True, True, False]
    assert (await source.get(f"/ledger/inclusion/{other.id}", ALPHA)).status_code == 404
    note = (await source.get("/ledger/checkpoint", BETA)).text
    keys = checkpoint.public_keys((await source.http.get("/keys")).json())
    assert verify_ledger(map(json.dumps, entries), [note], keys).holds


async def test_waiting_answers_as_soon_as_something_happens_and_at_last_with_nothing(source):
    began = time.monotonic()
    waiting = asyncio.create_task(source.get("/events", wait=20))
    await asyncio.sleep(0.3)
    await source.write()
    assert len((await waiting).json()["items"]) == 1
    assert time.monotonic() - began < 2 * busy()
    began = time.monotonic()
    assert (await source.get("/events", wait=0.5, after=1)).json()["items"] == []
    assert 0.5 <= time.monotonic() - began < 2 * busy()


async def test_only_a_transaction_that_told_something_wakes_the_sequencer(source, monkeypatch):
    database, woken = source.app.state.database, []
    monkeypatch.setattr(database, "on_told", lambda: woken.append(True))
    async with database.transaction(ALPHA) as tx:
        await tx.connection.execute("SELECT 1")
    assert woken == []
    await source.write()
    assert woken == [True]


async def test_everything_shown_verifies_offline_with_the_published_keys(source):
    events = [event for _ in range(4) for event in await source.write(70)]
    await source.reaches(280)
    jwks = (await source.http.get("/keys")).json()
    assert {key["kid"] for key in jwks["keys"]} == {"toy-ledger", "old-ledger"}
    assert not any("d" in key for key in jwks["keys"])
    keys = checkpoint.public_keys(jwks)

    entries, after = [], "0"
    while after is not None:
        page = (await source.get("/ledger/entries", after=after, limit=100)).json()
        entries, after = entries + page["items"], page["next"]
    note = (await source.get("/ledger/checkpoint")).text
    report = verify_ledger(map(json.dumps, entries), [note], keys)
    assert report.holds and report.size == report.signed == 280

    for event in (events[0], events[150], events[-1]):
        told = (await source.get(f"/ledger/inclusion/{event.id}")).json()
        assert verify_receipt(Inclusion.model_validate(told, strict=False), keys).holds

    leaves = [merkle.leaf_hash(entry["body"].encode()) for entry in entries]
    told = (await source.get("/ledger/consistency", **{"from": 100, "to": 280})).json()
    path = [b64decode(hash) for hash in Consistency.model_validate(told).path]
    assert merkle.verify_consistency(100, 280, merkle.root(leaves[:100]), merkle.root(leaves), path)


async def test_what_cannot_be_asked_is_a_clear_refusal(source):
    for path, status in {
        "/events?after=-1": 422,
        "/events?after=99999999999999999999999": 422,
        "/events?limit=501": 422,
        "/events?wait=31": 422,
        "/events?wait=nan": 422,
        "/events?after=77": 409,
        "/events?leaf=none": 422,
        f"/events?leaf={'0' * 64}": 409,
        "/ledger/entries?limit=0": 422,
        f"/ledger/inclusion/{uuid4()}": 404,
        "/ledger/inclusion/none": 422,
        "/ledger/consistency?from=2&to=1": 404,
        "/ledger/consistency?from=1&to=999": 404,
        "/ledger/consistency": 422,
    }.items():
        answer = await source.get(path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_the_wrong_scope_and_no_token_are_refused(source):
    for path in ("/events", "/ledger/checkpoint", "/ledger/entries", f"/ledger/inclusion/{ANNA}"):
        wrong = "ledger.read" if path == "/events" else "events.read"
        assert (await source.get(path, scope=wrong)).status_code == 403
        assert (await source.http.get(path)).status_code == 401


def create_heard(op, _service) -> None:
    op.execute("CREATE TABLE heard (tenant uuid NOT NULL, event uuid NOT NULL, position bigint NOT NULL)")
    schema.tenant_table(op, "heard")


@pytest_asyncio.fixture(loop_scope="session")
async def listener(house, source) -> AsyncIterator[Database]:
    made = await asyncio.to_thread(house, chassis.ledger.schema.create, create_heard)
    database = Database(source.settings, made.service)
    yield database
    await database.close()


def follower(source: Source, database: Database, handle, kind=Follower, **how) -> Follower:
    client = ServiceClient(source.http, "", source, "source")
    return kind(client, database, "source", handle, **how)


async def hear(tx: Transaction, event: Event) -> None:
    await tx.connection.execute("INSERT INTO heard VALUES ($1, $2, $3)", tx.tenant, event.id, event.seq)


async def hear_all(tx: Transaction, *events: Event) -> None:
    for event in events:
        await hear(tx, event)


async def heard(database: Database, tenant: UUID = ALPHA) -> list[UUID]:
    async with database.transaction(tenant) as tx:
        return [row["event"] for row in await tx.connection.fetch("SELECT event FROM heard ORDER BY position")]


async def test_a_follower_handles_each_event_once_in_its_own_tenants_transaction(source, listener):
    written = await source.write(3)
    await source.write(1, tenant=BETA)
    await source.reaches(4)
    one = follower(source, listener, hear)
    assert [await one.follow(), await one.follow()] == [4, 0]
    assert await heard(listener) == [event.id for event in written]
    assert len(await heard(listener, BETA)) == 1


async def test_two_replicas_of_a_follower_share_the_events_and_none_is_handled_twice(source, listener):
    written = await source.write(30)
    await source.reaches(30)
    took = await asyncio.gather(*(follower(source, listener, hear).follow() for _ in range(3)))
    assert sum(took) == 30
    assert await heard(listener) == [event.id for event in written]


async def test_events_of_one_tenant_in_a_row_take_effect_together_and_once_whoever_is_among_them(source, listener):
    written = await source.write(20)
    await source.write(5, tenant=BETA)
    await source.reaches(25)
    one_by_one, *runs = (follower(source, listener, hear_all, kind) for kind in (Follower, RunFollower, RunFollower))
    one_by_one.page = 7  # ends in the middle of a run
    took = await asyncio.gather(one_by_one.follow(), *(each.follow() for each in runs))
    assert sum(took) == 25
    assert await heard(listener) == [event.id for event in written]
    assert len(await heard(listener, BETA)) == 5


async def test_a_run_of_which_one_event_fails_leaves_no_effect_at_all(source, listener):
    await source.write(3)
    await source.reaches(3)

    async def fail_at_the_last(tx: Transaction, *events: Event) -> None:
        await hear_all(tx, *events)
        raise Conflict

    with pytest.raises(Conflict):
        await follower(source, listener, fail_at_the_last, RunFollower).follow()
    assert await heard(listener) == []
    assert await follower(source, listener, hear_all, RunFollower).follow() == 3


async def test_a_handler_that_fails_leaves_no_effect_and_gets_the_same_event_again(source, listener):
    written = await source.write(3)
    await source.reaches(3)
    failing = True

    async def stumble(tx: Transaction, event: Event) -> None:
        await hear(tx, event)
        if event.seq == 2 and failing:
            raise Conflict

    one = follower(source, listener, stumble)
    with pytest.raises(Conflict):
        await one.follow()
    assert await heard(listener) == [written[0].id]
    failing = False
    assert await one.follow() == 2
    assert await heard(listener) == [event.id for event in written]


async def test_a_running_follower_hears_at_once_and_only_the_types_it_asked_for(source, listener):
    await source.write(2, "dull.thing")
    hear_of_it = asyncio.Event()

    async def note(tx: Transaction, event: Event) -> None:
        await hear(tx, event)
        hear_of_it.set()

    running = asyncio.create_task(follower(source, listener, note, types=("rare.thing",)).run())
    await asyncio.sleep(0.5)
    [rare] = await source.write(1, "rare.thing")
    async with asyncio.timeout(3 * busy()):
        await hear_of_it.wait()
    await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await heard(listener) == [rare.id]


@pytest.mark.parametrize("kind", [Follower, RunFollower])
async def test_a_feed_that_came_back_from_a_backup_and_grew_past_the_cursor_is_heard_anew(
    source, listener, cluster, capsys, kind
):
    async def hear_once(tx: Transaction, *events: Event) -> None:
        for event in events:
            if not await tx.connection.fetchval("SELECT true FROM heard WHERE event = $1", event.id):
                await hear(tx, event)

    before = await source.write(4)
    await source.reaches(4)
    one = follower(source, listener, hear_once, kind)
    assert await one.follow() == 4
    await source.lose_what_came_after(cluster, 2)
    instead = await source.write(5, "other.thing")
    await source.reaches(7)
    assert [await one.follow(), await one.follow()] == [0, 7]
    assert "heard anew" in capsys.readouterr().out
    assert set(await heard(listener)) == {event.id for event in [*before, *instead]}
    # Also one that begins in a new process, in a ledger that has only shrunk.
    await source.lose_what_came_after(cluster, 5)
    other = follower(source, listener, hear_once, kind)
    assert [await other.follow(), await other.follow(), await other.follow()] == [0, 5, 0]


async def test_the_cursor_of_a_feed_whose_last_events_were_of_another_type_names_their_ledger_too(
    source, listener, cluster
):
    await source.write(3, "dull.thing")
    await source.reaches(3)
    one = follower(source, listener, hear, types=("rare.thing",))
    assert await one.follow() == 0
    await source.lose_what_came_after(cluster, 1)
    [rare] = await source.write(1, "rare.thing")
    await source.write(3, "dull.thing")
    await source.reaches(5)
    assert [await one.follow(), await one.follow()] == [0, 1]
    assert await heard(listener) == [rare.id]
