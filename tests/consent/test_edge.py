"""The cache beside a call server: the same answers as the decision point, at once after every change, and none when it cannot know."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import KeySet

from chassis import clock
from chassis.errors import Unavailable
from chassis.ids import new_id
from services.consent import edge, rules
from services.consent.contract import CallParty, Kind, Regulation, SetDuty, StartCall, State
from services.consent.edge import BadSnapshot, Copy, EdgeCache
from services.consent.jobs import Clockwork
from services.consent.rules import Ground, Matter, Said
from services.registry.contract import PolicyBook
from tests.backups import lose_what_came_after
from tests.consent.conftest import Company, key
from tests.consent.house import DATABASE
from tests.patience import PATIENCE, alone, slow
from tests.serving import slow_readers

ANNA, OMAR, NOBODY = (str(new_id()) for _ in range(3))
GROUND = Ground("communication", "consent", "weighed", True, False)


async def token_of(company):
    return (await company.headers())["authorization"].removeprefix("Bearer ")


class Behind:
    """The service itself stands where the edge would, and calls its keys by its own name."""

    def __init__(self, http):
        self.http = http

    async def get(self, url, **how):
        return await self.http.get(url.replace("/keys/consent", "/keys"), **how)

    def stream(self, *what, **how):
        return self.http.stream(*what, **how)


async def cache_of(company, **other):
    cache = EdgeCache(company.served.url, lambda: token_of(company), Behind(company.served.http), **other)
    await cache.load()
    await cache.follow(wait=0)
    return cache


def copy_of(*people, position=1):
    grounds = [[GROUND.purpose, "recorded_call", "consent", "weighed", True, False, [1]]]
    first = {
        "tenant": str(uuid4()),
        "position": position,
        "leaf": None,
        "policy_rows": "1",
        "max_staleness_ms": 30_000,
    }
    copy = Copy(first | {"notices": [["recordings", 1], ["recordings", 2]], "grounds": grounds})
    for principal, said in people:
        copy.add(principal, [[*map(str, each.matter), str(each.state), *_numbers(each)] for each in said])
    return copy


def _numbers(said):
    return said.occurred_at, said.valid_until or 0, said.notice or 0


async def test_a_cache_answers_as_the_decision_point_does_and_follows_every_change(company, anna):
    told, omar = await company.notice(), new_id()
    for who in (anna, omar):
        await company.until_known(await company.give(who, told))
    cache = await cache_of(company)
    asked = ("communication", "recorded_call", (str(omar),))
    assert cache.decide(str(anna), *asked).allowed
    assert cache.decide(str(anna), "communication", "recorded_call").reason == "participants_unknown"
    assert cache.decide(str(anna), "maintaining_service", "traffic").reason == "contract"
    assert cache.decide(str(anna), "development", "cctv_image").reason == "no_legal_basis"
    call = StartCall(
        call=uuid4(),
        participants=[CallParty(principal=who, role="other") for who in (anna, omar)],
    )
    assert (await company.service.start_call(company.tenant, call, key())).recording
    stopped = []
    cache._on_stop = lambda *what: stopped.append(what)
    await company.withdraw(omar)
    await cache.follow()
    assert stopped == [(str(call.call), "participant_has_not_consented")]
    assert cache.decide(str(anna), *asked).reason == "participant_has_not_consented"
    assert cache.decide(str(omar), "communication", "recorded_call", (str(anna),)).reason == "withdrawn"
    # A duty changes what rests on which basis: a new snapshot tells.
    duty = SetDuty(state="recorded", legal_ref="Lag (2007:528) 9 kap.")
    await company.service.set_duty(company.tenant, "communication", duty, key())
    await cache.follow()
    assert cache.decide(str(anna), *asked).reason == "tenant_legal_obligation"


async def test_a_row_of_the_book_that_ends_with_the_day_ends_in_a_cache_too(company, served, anna, monkeypatch):
    """The version stays the same, and nobody says anything."""
    told = await company.notice(purposes={"development": ["traffic"]})
    await company.until_known(await company.give(anna, told, "development"))
    cache = await cache_of(company)
    assert cache.decide(str(anna), "development", "traffic").allowed
    today = served.app.state.policy.current()
    rows = tuple(row for row in today.bases if row.purpose != "development")
    tomorrow = PolicyBook.model_construct(**dict(today) | {"bases": rows})
    monkeypatch.setattr(served.app.state.policy, "current", lambda: tomorrow)
    await cache.follow(wait=0)
    assert cache.decide(str(anna), "development", "traffic").reason == "no_legal_basis"


async def test_a_cache_that_hears_nothing_says_no_until_it_hears_again(company, anna):
    await company.until_known(await company.give(anna, await company.notice()))
    cache = await cache_of(company)
    asked = (str(anna), "development", "traffic")
    assert cache.decide(*asked).reason == "no_consent"
    cache._until = time.clock_gettime(edge._CLOCK) - 0.001
    assert (cache.decide(*asked).allowed, cache.decide(*asked).reason, cache.fresh) == (False, "stale", False)
    await cache.follow(wait=0)
    assert cache.decide(*asked).reason == "no_consent"
    running = asyncio.create_task(cache.run())
    cache.url = "http://127.0.0.1:9"
    cache._until = time.clock_gettime(edge._CLOCK) + 0.3
    await asyncio.sleep(0.6)
    assert cache.decide(*asked).reason == "stale" and not running.done()
    cache.url = company.served.url
    async with asyncio.timeout(PATIENCE):
        while cache.decide(*asked).reason != "no_consent":
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_whatever_a_cache_meets_it_hears_again_afterwards(company, anna):
    """An issuer that is away, and what a proxy answers in a service's place."""
    await company.until_known(await company.give(anna, await company.notice()))
    met: list = [Unavailable("The token issuer does not answer."), [], {}, {"items": [{}]}, None]

    async def token():
        if isinstance(met[0], Exception):
            raise met.pop(0)
        return await token_of(company)

    class Proxied(Behind):
        async def get(self, url, **how):
            if len(met) > 1:
                return httpx2.Response(200, json=met.pop(0), request=httpx2.Request("GET", url))
            return await super().get(url, **how)

    cache = EdgeCache(company.served.url, token, Proxied(company.served.http))
    running = asyncio.create_task(cache.run())
    async with asyncio.timeout(PATIENCE):
        while not cache.fresh and not running.done():
            await asyncio.sleep(0.05)
    met[:] = [{}, {"items": [{}], "tenant": str(company.tenant)}, None]
    async with asyncio.timeout(PATIENCE):
        while len(met) > 1 and not running.done():
            await asyncio.sleep(0.05)
    assert cache.decide(str(anna), "development", "traffic").reason == "no_consent" and not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_cache_that_hears_another_organisation_s_changes_says_no(company, served, anna):
    await company.until_known(await company.give(anna, await company.notice()))
    speaks_for = company

    async def token():
        return await token_of(speaks_for)

    cache = EdgeCache(company.served.url, token, Behind(company.served.http))
    await cache.load()
    await cache.follow(wait=0)
    speaks_for = Company(served)
    for what in (cache.follow, cache.load):
        with pytest.raises(BadSnapshot):
            await what()
        assert cache.decide(str(anna), "development", "traffic").reason == "stale"
    speaks_for = company
    await cache.follow(wait=0)
    assert cache.decide(str(anna), "development", "traffic").reason == "no_consent"


class Replaying(Behind):
    """Somebody between who offers what was answered once, in place of the service's own answers."""

    def __init__(self, http):
        super().__init__(http)
        self.snapshot: bytes | None = None
        self.changes: list[dict] = []
        self.cut = self.refused = False
        self.offered = 0

    async def get(self, url, **how):
        if url.endswith("/v1/changes"):
            if self.cut:
                raise httpx2.ConnectError("nobody there")
            if self.refused:
                return httpx2.Response(409, request=httpx2.Request("GET", url))
            if self.changes:
                return httpx2.Response(200, json=self.changes[0], request=httpx2.Request("GET", url))
        return await super().get(url, **how)

    @asynccontextmanager
    async def stream(self, method, url, **how):
        self.offered += 1
        if self.snapshot is not None:
            yield httpx2.Response(200, content=self.snapshot, request=httpx2.Request(method, url))
            return
        async with super().stream(method, url, **how) as answer:
            yield answer


@pytest.fixture
async def withdrawn(company, anna):
    """Anna said yes, which a snapshot has; then she said no. A cache behind somebody who kept that snapshot."""
    told = await company.notice(purposes={"development": ["traffic"]})
    await company.until_known(await company.give(anna, told, "development"))
    cache = EdgeCache(company.served.url, lambda: token_of(company), Replaying(company.served.http))
    kept = await company.served.http.get(f"{company.served.url}/v1/snapshot", headers=await company.headers())
    cache._http.snapshot = kept.content
    await cache.load()
    await cache.follow(wait=0)
    assert cache.decide(str(anna), "development", "traffic").allowed
    await company.until_known(await company.withdraw(anna, "development"))
    return cache


async def test_an_old_snapshot_says_nothing_before_what_came_after_it_is_known(company, anna, withdrawn):
    cache = EdgeCache(company.served.url, lambda: token_of(company), withdrawn._http)
    cache._http.cut = True
    running = asyncio.create_task(cache.run())
    async with asyncio.timeout(PATIENCE):
        while cache.copy is None:
            await asyncio.sleep(0.01)
    assert cache.decide(str(anna), "development", "traffic").reason == "stale"
    cache._http.cut = False
    async with asyncio.timeout(PATIENCE):
        while not cache.fresh:
            await asyncio.sleep(0.01)
    assert cache.decide(str(anna), "development", "traffic").reason == "withdrawn"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_snapshot_older_than_what_was_heard_since_takes_no_copy_s_place(company, anna, withdrawn):
    cache = withdrawn
    await cache.follow(wait=0)
    assert cache.decide(str(anna), "development", "traffic").reason == "withdrawn"
    await company.notice(purposes={"development": ["traffic"]})  # only a new snapshot can tell
    with pytest.raises(BadSnapshot):
        async with asyncio.timeout(PATIENCE):
            while True:
                await cache.follow(wait=0.1)
    assert cache.decide(str(anna), "development", "traffic").reason == "withdrawn"
    cache._http.snapshot = None
    await cache.follow(wait=0)
    await cache.follow(wait=0)
    assert cache.fresh and cache.decide(str(anna), "development", "traffic").reason == "withdrawn"


async def test_a_snapshot_that_stays_the_old_one_is_not_asked_for_without_a_pause(withdrawn):
    between = withdrawn._http
    between.refused, between.offered = True, 0
    running = asyncio.create_task(withdrawn.run())
    await asyncio.sleep(1.2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert 1 <= between.offered <= 3 and not withdrawn.fresh


async def test_changes_of_an_earlier_time_make_no_copy_fresh(company, anna, withdrawn):
    cache, headers = withdrawn, await company.headers()
    url = f"{company.served.url}/v1/changes?after={cache.copy.position}"
    earlier = (await company.served.http.get(url, headers=headers)).json() | {"items": [], "complete": True}
    earlier |= {"next": str(cache.copy.position), "leaf": cache.copy.leaf}
    await cache.follow(wait=0)
    position, cache._until = cache.copy.position, float("-inf")
    cache._http.changes = [earlier]
    with pytest.raises(BadSnapshot):
        await cache.follow(wait=0)
    assert (cache.fresh, cache.copy.position) == (False, position)


async def test_a_cache_that_was_offered_another_organisation_s_snapshot_begins_anew(company, served, anna):
    told = await company.notice(purposes={"development": ["traffic"]})
    await company.until_known(await company.give(anna, told, "development"))
    other = await Company(served).headers()
    between = Replaying(company.served.http)
    between.snapshot = (await served.http.get(f"{served.url}/v1/snapshot", headers=other)).content
    cache = EdgeCache(company.served.url, lambda: token_of(company), between)
    await cache.load()
    with pytest.raises(BadSnapshot):
        await cache.follow(wait=0)
    between.snapshot = None
    running = asyncio.create_task(cache.run())
    async with asyncio.timeout(PATIENCE):
        while not cache.decide(str(anna), "development", "traffic").allowed:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_cache_whose_clock_is_a_year_behind_hears_that_a_consent_is_over(company, anna, monkeypatch):
    """And one whose clock is ahead says no before its time, which harms nobody."""
    told = await company.notice(purposes={"development": ["traffic"]})
    given = await company.give(anna, told, "development")
    await company.until_known(given)
    year = 366 * 24 * 3600 * 1_000_000
    slow, fast = await cache_of(company), await cache_of(company)
    slow._now, fast._now = (lambda: time.time_ns() // 1000 - year), (lambda: time.time_ns() // 1000 + 3 * year)
    asked = (str(anna), "development", "traffic")
    assert (slow.decide(*asked).allowed, fast.decide(*asked).allowed) == (True, False)
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=800))
    state = company.served.app.state
    await Clockwork(state.database, state.own_desk).tick()
    async with asyncio.timeout(PATIENCE):
        while slow.decide(*asked).allowed:
            await slow.follow(wait=1)
    assert slow.decide(*asked).reason == "expired"


async def test_who_waits_for_changes_at_a_process_that_ends_is_answered_at_once(company, served, anna, monkeypatch):
    await company.until_known(await company.give(anna, await company.notice()))
    cache = await cache_of(company)
    waiting = asyncio.create_task(cache.follow(wait=20))
    await asyncio.sleep(0.5)
    monkeypatch.setattr(served.app.state.sequencer.grown, "silenced", True)
    await asyncio.wait_for(waiting, 15)
    assert cache.fresh


async def test_a_cache_that_knows_more_than_the_ledger_says_no_until_it_has_a_new_copy(company, anna, monkeypatch):
    """As after a backup of the database was brought back."""
    await company.until_known(await company.give(anna, await company.notice()))
    cache = await cache_of(company)
    position, cache.copy.position = cache.copy.position, 10**9
    await _refused_then_loaded(cache, anna, monkeypatch)
    assert position <= cache.copy.position < 10**9


async def test_a_cache_of_a_ledger_that_lost_its_end_and_grew_past_it_says_no_until_it_has_a_new_copy(
    company, served, anna, monkeypatch
):
    told, omar = await company.notice(purposes={"development": ["traffic"]}), new_id()
    await company.until_known(await company.give(anna, told, "development"))
    caches = [await cache_of(company)]
    restored = caches[0].copy.position
    await company.until_known(await company.give(omar, told, "development"))
    caches.append(await cache_of(company))  # knows by its snapshot what is lost in a moment
    await caches[0].follow(wait=0)  # and this one by following
    assert [cache.decide(str(omar), "development", "traffic").allowed for cache in caches] == [True, True]
    await _lose_what_came_after(served, restored)
    while await _head(served) <= max(cache.copy.position for cache in caches):
        await company.give(new_id(), told, "development")
        await asyncio.sleep(0.1)
    for cache in caches:
        await _refused_then_loaded(cache, omar, monkeypatch)
        assert cache.decide(str(omar), "development", "traffic").reason == "no_consent"
        assert cache.decide(str(anna), "development", "traffic").allowed


async def _refused_then_loaded(cache, who, monkeypatch):
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(cache, "load", _not_now)
        with pytest.raises(BadSnapshot):
            await cache.follow(wait=0)
    assert cache.decide(str(who), "development", "traffic").reason == "stale"
    await cache.follow(wait=0)
    assert not cache.fresh, "a new copy of what may be an old time"
    await cache.follow(wait=0)
    assert cache.fresh


async def _lose_what_came_after(served, position):
    """A database that comes back as it was, with every connection to it broken."""
    admin = await served.house.postgres.connect(DATABASE)
    async with admin.transaction():
        gone = "(SELECT event_id FROM consent.ledger_entry WHERE position > $1)"
        for table, which in (
            ("standing", f"statement IN (SELECT id FROM consent.statement WHERE event IN {gone})"),
            ("statement", f"event IN {gone}"),
        ):
            await admin.execute(f"DELETE FROM consent.{table} WHERE {which}", position)
        await lose_what_came_after(admin, "consent", position)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1",
            DATABASE,
        )
    await admin.close()
    async with asyncio.timeout(PATIENCE):
        while (await served.http.get(f"{served.url}/health/ready")).status_code != 200:
            await asyncio.sleep(0.05)


async def _head(served):
    admin = await served.house.postgres.connect(DATABASE)
    head = await admin.fetchval("SELECT max(position) FROM consent.ledger_entry")
    await admin.close()
    return head


async def _not_now() -> None:
    raise BadSnapshot("nobody signs one now")


async def test_a_snapshot_that_was_cut_bent_or_signed_by_somebody_else_is_not_believed(company, anna):
    await company.until_known(await company.give(anna, await company.notice()))
    other = type(company)(company.served)
    served, headers = company.served, await company.headers()
    lines = (await served.http.get(f"{served.url}/v1/snapshot", headers=headers)).content.split(b"\n")[:-1]
    theirs = (await served.http.get(f"{served.url}/v1/snapshot", headers=await other.headers())).content.split(b"\n")
    keys = KeySet.import_key_set((await served.http.get(f"{served.url}/keys")).json())
    strangers = KeySet.import_key_set((await served.http.get(f"{served.issuer_url}/jwks")).json())

    async def read(lines, keys=keys):
        async def given_lines():
            for line in lines:
                yield line

        return await edge.read(given_lines(), keys)

    assert (await read(lines)).tenant == company.tenant
    bent = [line.replace(b'"given"', b'"lifted"') for line in lines]
    assert bent != lines and str(anna).encode() in lines[1]
    cut, twice, no_end = (
        [*lines[:-1], lines[-1][:-20]],
        [lines[0], *lines],
        [*lines[:-1], b'{"end":true,"signature":5}'],
    )
    for bad in (
        *(lines[:-1], lines[:1] + lines[2:], bent, [*lines, lines[1]], [*lines[:-1], theirs[-2]], lines[:1], []),
        *(cut, twice, no_end, [b"[]", *lines[1:]], [b"{}", *lines[1:]], [lines[0], b"7", *lines[1:]], [b"\xff"]),
    ):
        with pytest.raises(BadSnapshot):
            await read(bad)
    with pytest.raises(BadSnapshot):
        await read(lines, strangers)


_CROWD = """
INSERT INTO consent.standing (tenant, principal, kind, regulation, purpose, statement, state, occurred_at)
SELECT $1, md5(n::text)::uuid, 'consent', regulation, repeat('x', 1000), gen_random_uuid(), 'given', now()
FROM generate_series(1, 5000) n, unnest(ARRAY['gdpr', 'eprivacy']) regulation"""


async def test_who_reads_a_snapshot_slowly_keeps_nobody_from_writing_and_gets_it_whole(company, anna):
    told, served = await company.notice(), company.served
    admin = await served.house.postgres.connect(DATABASE)
    await admin.execute(_CROWD, company.tenant)
    try:
        async with slow_readers([f"{served.url}/v1/snapshot"] * 5, await company.headers()) as readers:
            record = await company.give(anna, told)
            keys = KeySet.import_key_set((await served.http.get(f"{served.url}/keys")).json())
            copy = await edge.read(_each((await readers[0].reads_on()).split(b"\n")[:-1]), keys)
            assert len(copy._people) >= 5000
    finally:
        await admin.execute("DELETE FROM consent.standing WHERE tenant = $1 AND purpose LIKE 'x%'", company.tenant)
        await admin.close()
    await company.until_known(record)


async def _each(lines):
    for line in lines:
        yield line


consents = st.builds(
    Said,
    st.builds(Matter, st.just(Kind.consent), st.sampled_from(Regulation), st.just("communication")),
    st.sampled_from([State.given, State.withdrawn, State.refused, State.expired, State.requested]),
    st.integers(1, 50),
    st.none() | st.integers(60, 140),
    st.sampled_from([None, 1, 2]),
)
others = st.builds(
    Said,
    st.sampled_from(
        [Matter(Kind.restriction, Regulation.gdpr, "any"), Matter(Kind.objection, Regulation.gdpr, "communication")]
    ),
    st.sampled_from([State.set, State.lifted, State.raised]),
    st.integers(1, 50),
    st.none(),
    st.none(),
)
statements = st.lists(consents | others, max_size=3, unique_by=lambda said: said.matter)


@given(
    statements, statements, st.sampled_from([None, "storage", "analysis"]), st.lists(st.integers(40, 160), min_size=1)
)
def test_whatever_was_said_the_cache_concludes_what_the_rules_do_at_any_time(mine, theirs, operation, times):
    copy = copy_of((ANNA, mine), (OMAR, theirs))
    for now in sorted(times):
        for named, parties in (((OMAR,), [theirs]), ((OMAR, NOBODY), [theirs, []]), (None, None)):
            asked = copy.decide(ANNA, "communication", "recorded_call", named, operation=operation, now=now)
            wanted = rules.decide(GROUND, mine, parties, operation=operation, covering=frozenset({1}), now=now)
            assert (asked.allowed, asked.reason, asked.until, asked.obligations) == (
                wanted.allowed, wanted.reason, wanted.until, wanted.obligations,
            )  # fmt: skip


def told(said: Said) -> dict:
    """An item of `GET /v1/changes`."""
    version = said.notice
    data = {"kind": said.matter.kind.value, "regulation": said.matter.regulation.value, "purpose": said.matter.purpose}
    data |= {"state": said.state.value, "occurred_at": rules.instant(said.occurred_at).isoformat()}
    data |= {"valid_until": rules.instant(said.valid_until).isoformat() if said.valid_until else None}
    data |= {"notice": "recordings" if version else None, "notice_version": version}
    return {"type": f"{said.matter.kind}.{said.state}", "subject": ANNA, "data": data}


# Few instants, so that there are ties. Two records differ in more than how long they last.
alike = consents.map(lambda said: said._replace(occurred_at=said.occurred_at % 2 + 1))
recorded = st.lists(alike, max_size=8, unique_by=lambda said: (said.matter, said.state, said.occurred_at, said.notice))


@given(recorded.flatmap(lambda history: st.tuples(st.just(history), st.permutations(history))))
def test_changes_in_any_order_end_in_the_same_standing(histories):
    standings, first = [], copy_of()
    for history in histories:
        copy = copy_of()
        copy.tenant = first.tenant
        for said in history:
            copy.apply(told(said))
        standings.append(set(copy.said(ANNA)))
    assert standings[0] == standings[1]


def test_people_who_said_the_same_are_answered_each_by_her_own_statement():
    def said(at, until, state=State.given):
        return [Said(Matter(Kind.consent, Regulation.gdpr, "communication"), state, at, until, 1)]

    people = {str(new_id()): said(at, until) for at, until in [(1, 60), (2, 80), (3, 80), (4, None)]}
    people |= {str(new_id()): said(5, 40, State.withdrawn), str(new_id()): []}
    copy = copy_of((OMAR, said(1, 70)), *people.items())
    for now in (50, 65, 75, 90):
        for who, hers in people.items():
            asked = copy.decide(who, "communication", "recorded_call", (OMAR,), now=now)
            assert asked == rules.decide(GROUND, hers, [said(1, 70)], operation=None, covering=frozenset({1}), now=now)


def test_a_decision_costs_a_few_microseconds():
    """Also about people of whom nothing was asked before."""
    until = 2**61
    said = [Said(Matter(Kind.consent, Regulation.gdpr, "communication"), State.given, 1, until, 1)]

    def microseconds():
        people = [(str(new_id()), str(new_id())) for _ in range(2000)]
        cache = EdgeCache("http://nowhere", None, None)
        cache.copy, cache._until = copy_of(*((who, said) for pair in people for who in pair)), float("inf")
        began = time.thread_time_ns()
        for caller, callee in people:
            assert cache.decide(caller, "communication", "recorded_call", (callee,)).allowed
        return (time.thread_time_ns() - began) / len(people) / 1000

    alone()
    microseconds()
    # The least: whoever else uses the processor's caches makes it no dearer.
    assert min(microseconds() / slow() for _ in range(9)) < 5
