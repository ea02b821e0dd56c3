"""Decisions beside a call server: a signed snapshot of one tenant, kept fresh by its changes, answered in process.

    cache = EdgeCache("https://edge.example", tokens, http, on_stop=stop_recording)
    asyncio.create_task(cache.run())
    cache.decide(caller, "communication", "recorded_call", participants=(callee,))   # a Verdict

It answers by the very rules of the decision point. Once it has not heard for the policy book's `consent_max_staleness` whether
anything changed, it says no to everything, with the reason `stale`, until it has. A snapshot says nothing of how old it is, for
clocks differ and it may have lain somewhere: only the changes after it make it fresh.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import httpx2
import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.consent import rules
from services.consent.contract import Kind, Reason, Regulation, State
from services.consent.rules import LEFT_OPEN, Ground, Matter, Said, Verdict

# Goes on while the machine is suspended; macOS's monotonic clock does so too, and has no name for it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_WAIT = 5
_AGAIN = 0.5

_STALE = Verdict(False, Reason.stale)
_NO_BASIS = Verdict(False, Reason.no_legal_basis)
_UNKNOWN_PARTIES = Verdict(False, Reason.participants_unknown)
_NOT_ALL = Verdict(False, Reason.participant_has_not_consented)
_NEVER = 1 << 62


class BadSnapshot(ValueError):
    """Why a snapshot is not believed."""


About = tuple[str, str, str | None]  # purpose, category, operation


class Follows(NamedTuple):
    """bearing: the place of the only statement that bears on a question, None where there is none, -1 for several · standing, over:
    the answer while it lasts and afterwards, but for the statement's own instants."""

    bearing: int | None
    standing: Verdict
    over: Verdict


class Person:
    """follows: what all who said the same as she, whenever it was, are answered; one for all of them · concluded: from several of her
    statements that bear on one question, and until when."""

    __slots__ = ("concluded", "follows", "said")

    def __init__(self, said: list[Said], follows: dict[About, Follows]) -> None:
        self.said, self.follows = said, follows
        self.concluded: dict[About, tuple[Verdict, int]] | None = None


class Copy:
    """One tenant's standing as a snapshot had it and the changes after it went on. It knows no clock and no network."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.tenant, self.position = UUID(first["tenant"]), int(first["position"])
        self.leaf: str | None = first["leaf"]  # of the entry at `position`: which ledger it was
        self.policy_rows: str = first["policy_rows"]
        self.max_staleness = first["max_staleness_ms"] / 1000
        self.notices = {(name, version): number for number, (name, version) in enumerate(first["notices"], start=1)}
        self._named = {number: notice for notice, number in self.notices.items()}
        # Each ground as it is, and as if nobody else were concerned.
        self.grounds = {
            (purpose, category): (
                Ground(purpose, basis, objection, content, by_duty),
                Ground(purpose, basis, objection, False, by_duty),
                frozenset(covering),
            )
            for purpose, category, basis, objection, content, by_duty, covering in first["grounds"]
        }
        self._people: dict[str, Person] = {}
        self._alike: dict[tuple, dict[About, Follows]] = {}
        self._nobody = self._person([])
        self._matters: dict[tuple[str, str, str], Matter] = {}

    def add(self, principal: str, said: list[list[Any]]) -> None:
        self._people[principal] = self._person([self._said(*each) for each in said])

    def said(self, principal: str) -> Sequence[Said]:
        return self._people.get(principal, self._nobody).said

    def decide(
        self,
        principal: str,
        purpose: str,
        category: str,
        participants: Sequence[str | None] | None = None,
        *,
        operation: str | None = None,
        now: int,
    ) -> Verdict:
        known = self.grounds.get((purpose, category))
        if known is None:
            return _NO_BASIS
        ground = known[0]
        operation = operation if operation in LEFT_OPEN else None
        own, said, until = self._alone(principal, purpose, category, operation, now)
        if own.allowed and ground.content and ground.basis == "consent":
            if participants is None or None in participants:
                return _UNKNOWN_PARTIES
            for other in participants:
                theirs, _, ends = self._alone(other, purpose, category, None, now)
                if not theirs.allowed:
                    return _NOT_ALL
                if ends < until:
                    until = ends
        return Verdict(own.allowed, own.reason, said, None if until == _NEVER else until, own.obligations)

    def apply(self, event: dict[str, Any]) -> bool:
        """Takes in one change; False when it is of a kind that only a new snapshot can tell."""
        kind = event["type"].partition(".")[0]
        if kind in ("notice", "duty"):
            return False
        if kind in ("consent", "objection", "restriction"):
            self._state(event["subject"], event["data"])
        return True

    def _alone(
        self, principal: str | None, purpose: str, category: str, operation: str | None, now: int
    ) -> tuple[Verdict, Said | None, int]:
        """The answer as if nobody else were in it; the statement that it rests on, and until when it is yes."""
        person, about = self._people.get(principal, self._nobody), (purpose, category, operation)
        found = person.follows.get(about)
        if found is None:
            found = person.follows[about] = self._follows(person.said, about, now)
        place, verdict, over = found
        if place is None:
            return verdict, None, _NEVER
        if place < 0:
            return self._of_several(person, about, now)
        said = person.said[place]
        until = said.valid_until
        if until is not None and until <= now:
            verdict = over
        _, _, named, ends, _ = verdict
        return verdict, None if named is None else said, _NEVER if ends is None else until

    def _follows(self, said: list[Said], about: About, now: int) -> Follows:
        bearing = _bearing(said, about[0])
        if not bearing:
            verdict = self._decided([], about, now)
            return Follows(None, verdict, verdict)
        if len(bearing) > 1:
            return Follows(-1, _STALE, _STALE)
        (only,) = bearing
        lasting = only._replace(valid_until=None if only.valid_until is None else now + 1)
        over = self._decided([only._replace(valid_until=now)], about, now)
        return Follows(said.index(only), self._decided([lasting], about, now), over)

    def _of_several(self, person: Person, about: About, now: int) -> tuple[Verdict, Said | None, int]:
        """Remembered until it ends by itself or she says something."""
        if person.concluded is None:
            person.concluded = {}
        held = person.concluded.get(about)
        if held is None or now >= held[1]:
            bearing = _bearing(person.said, about[0])
            ends = [each.valid_until for each in bearing if each.valid_until is not None and each.valid_until > now]
            held = person.concluded[about] = self._decided(bearing, about, now), min(ends, default=_NEVER)
        verdict = held[0]
        return verdict, verdict.said, _NEVER if verdict.until is None else verdict.until

    def _decided(self, said: list[Said], about: About, now: int) -> Verdict:
        purpose, category, operation = about
        _, alone, covering = self.grounds[purpose, category]
        return rules.decide(alone, said, None, operation=operation, covering=covering, now=now)

    def _rank(self, principal: str, said: Said) -> rules.Rank:
        named = self._named[said.notice] if said.notice else None
        record = rules.record_id(self.tenant, UUID(principal), said.matter, said.state, named, said.occurred_at)
        return rules.rank(said.occurred_at, said.state, record)

    def _person(self, said: list[Said]) -> Person:
        # A copy keeps one object of each matter.
        terms = tuple([(id(each.matter), each.state, each.notice, each.valid_until is None) for each in said])
        return Person(said, self._alike.setdefault(terms, {}))

    def _state(self, principal: str, told: dict[str, Any]) -> None:
        said = self._said(
            told["kind"],
            told["regulation"],
            told["purpose"],
            told["state"],
            rules.microseconds(datetime.fromisoformat(told["occurred_at"])),
            rules.microseconds(datetime.fromisoformat(told["valid_until"])) if told["valid_until"] else 0,
            self.notices.get((told["notice"], told["notice_version"]), 0),
        )
        held = self.said(principal)
        before = next((each for each in held if each.matter == said.matter), None)
        kept = [each for each in held if each is not before]
        if before is None or self._rank(principal, before) <= self._rank(principal, said):
            before = said
        self._people[principal] = self._person([*kept, before])

    def _said(
        self, kind: str, regulation: str, purpose: str, state: str, occurred_at: int, valid_until: int, notice: int
    ) -> Said:
        matter = self._matters.get((kind, regulation, purpose))
        if matter is None:
            matter = self._matters[kind, regulation, purpose] = Matter(Kind(kind), Regulation(regulation), purpose)
        return Said(matter, State(state), occurred_at, valid_until or None, notice or None)


def _bearing(said: list[Said], purpose: str) -> list[Said]:
    return [each for each in said if each.matter.purpose == purpose or each.matter.kind is Kind.restriction]


async def read(lines: AsyncIterator[bytes], keys: KeySet) -> Copy:
    """A snapshot, once its last line proves every byte before. Raises BadSnapshot."""
    digest, copy, people, last = sha256(), None, 0, None
    async for line in lines:
        if last is not None:
            raise BadSnapshot("it goes on after its end")
        try:
            said = orjson.loads(line)
            if isinstance(said, dict) and "end" in said:
                last = said
                continue
            if copy is None:
                copy = Copy(said)
            else:
                copy.add(*said)
                people += 1
        except (ValueError, TypeError, KeyError, AttributeError) as nonsense:
            raise BadSnapshot("it has a line that says nothing") from nonsense
        digest.update(line + b"\n")
    if copy is None or last is None:
        raise BadSnapshot("it was cut")
    try:
        signed = jws.deserialize_compact(last["signature"], keys, algorithms=["Ed25519"])
    except (JoseError, ValueError, TypeError, KeyError) as refused:
        raise BadSnapshot("the signature does not verify") from refused
    told = orjson.loads(signed.payload)
    found = {"tenant": str(copy.tenant), "position": copy.position, "people": people, "sha256": digest.hexdigest()}
    if signed.headers().get("typ") != "wardline-snapshot+jws" or {name: told.get(name) for name in found} != found:
        raise BadSnapshot("the signature is over something else")
    return copy


class EdgeCache:
    """A `Copy` and how fresh it is.

    url: of the public edge · token: a bearer token that speaks for the tenant, for each call · on_stop(call id, reason): told of each
    recording that must stop · now: business time in microseconds.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], Awaitable[str]],
        http: httpx2.AsyncClient,
        *,
        on_stop: Callable[[str, str], None] = lambda call, reason: None,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.url, self._token, self._http, self._on_stop, self._now = url.rstrip("/"), token, http, on_stop, now
        self.copy: Copy | None = None
        self._until = float("-inf")
        # Whose changes the service itself told, and up to which position.
        self._tenant: UUID | None = None
        self._heard = 0

    @property
    def fresh(self) -> bool:
        return time.clock_gettime(_CLOCK) < self._until

    def decide(
        self,
        principal: str,
        purpose: str,
        category: str,
        participants: Sequence[str | None] | None = None,
        *,
        operation: str | None = None,
    ) -> Verdict:
        if time.clock_gettime(_CLOCK) >= self._until or self.copy is None:
            return _STALE
        return self.copy.decide(principal, purpose, category, participants, operation=operation, now=self._now())

    async def run(self) -> None:
        """Until cancelled. What fails is tried again; meanwhile answers go on until they are too old."""
        while True:
            try:
                if self.copy is None:
                    await self.load()
                await self.follow(_WAIT if self.fresh else 0)
            except Exception:  # noqa: BLE001 - a cache that ended would say no for ever, whatever it was that it met
                await asyncio.sleep(_AGAIN)

    async def load(self) -> None:
        """A copy that is at least as new as the one before: it is fresh as long as that one was, and the first one not yet."""
        keys = KeySet.import_key_set((await self._ask("/keys/consent")).json())
        headers = {"authorization": f"Bearer {await self._token()}"}
        async with self._http.stream("GET", f"{self.url}/v1/snapshot", headers=headers, timeout=120) as answer:
            answer.raise_for_status()
            copy = await read(_lines(answer.aiter_bytes(1 << 16)), keys)
        if self._tenant not in (None, copy.tenant):
            raise BadSnapshot("it is another organisation's")
        if copy.position < self._heard:
            raise BadSnapshot("it is older than what was heard since")
        self.copy = copy

    async def follow(self, wait: float = _WAIT) -> None:
        """One page of changes. Only a page that leaves nothing behind makes the copy fresh."""
        copy, began = self.copy, time.clock_gettime(_CLOCK)
        assert copy is not None, "a snapshot is loaded before its changes are followed"
        try:
            known = {"leaf": copy.leaf} if copy.leaf else {}
            answer = (await self._ask("/v1/changes", after=copy.position, wait=wait, **known)).json()
        except httpx2.HTTPStatusError as refused:
            if refused.response.status_code != 409:
                raise
            # The ledger is another one than the copy was made from: no until there is a new copy.
            self._until, self._heard = float("-inf"), 0
            await asyncio.sleep(_AGAIN)  # The new copy may be the old one once more.
            return await self.load()
        if answer["tenant"] != str(copy.tenant):
            # By another organisation's token nothing is heard of what this one's people say; or the snapshot was another's.
            self._until = float("-inf")
            self.copy = copy if self._tenant else None
            raise BadSnapshot("the changes are another organisation's")
        if int(answer["next"]) < copy.position:
            raise BadSnapshot("the changes are of an earlier time")
        self._tenant, self._heard = copy.tenant, int(answer["next"])
        for event in answer["items"]:
            if event["type"] == "recording.stop":
                self._on_stop(event["data"]["call"], event["data"]["reason"])
            if not copy.apply(event):
                return await self.load()
        # Only now, and both together: what a page that was not taken to its end says is told again, which changes nothing.
        copy.position, copy.leaf = int(answer["next"]), answer["leaf"]
        if answer["policy_rows"] != copy.policy_rows:
            return await self.load()
        if answer["complete"]:
            self._until = began + copy.max_staleness

    async def _ask(self, path: str, **query: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {await self._token()}"}
        answer = await self._http.get(self.url + path, params=query, headers=headers, timeout=_WAIT + 5)
        answer.raise_for_status()
        return answer


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest
