"""One step: one verb, for one person, in one store. Asked again it carries on, or answers what was done.

Read top to bottom: note what is asked → who is the person → what may stay → do it in the store → tell disclosure → note the result
with its event. The effect and its own record commit together in the store, so whatever dies in between, asking again is enough.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import orjson

from chassis import clock
from chassis.db import Database
from chassis.ledger.canonical import canonical
from services.anonymizer.commands import backups, byhand
from services.anonymizer.commands.people import People
from services.anonymizer.commands.replays import leave_marks
from services.anonymizer.connectors.protocol import Connector
from services.anonymizer.contract import (
    RECORDINGS,
    Action,
    DataCorrected,
    DataFrozen,
    ErasureDone,
    ErasureVerified,
    StepConflict,
    StepRequest,
    StepResult,
    StepState,
    Verb,
    VerbUnsupported,
    Waiting,
)
from services.anonymizer.datamap import Store
from services.anonymizer.holds import Holds
from services.anonymizer.house import House
from services.anonymizer.rules.person import Person
from services.registry.contract import PolicyBook

PATIENCE = 8.0  # seconds a caller is kept waiting before it is told to ask again

_CHANGED = {
    Verb.correct: ("data.corrected", DataCorrected),
    Verb.freeze: ("data.frozen", DataFrozen),
    Verb.unfreeze: ("data.unfrozen", DataFrozen),
}
_GONE = (Action.erase, Action.redact)
# What was asked before steps could correct anything, and before anything but an erasure had a dry run.
_USUAL = {"changes": None, "of": Verb.erase.value}
_NOTED = "SELECT asked, result FROM step WHERE id = $1"
_NOTE = """
INSERT INTO step (tenant, id, asked, principal, state, begun_at) VALUES ($1, $2, $3, $4, 'running', $5)
ON CONFLICT DO NOTHING"""
_DONE = "UPDATE step SET state = $2, result = $3, done_at = $4 WHERE id = $1 AND state <> 'done' RETURNING true"


@dataclass
class Steps:
    database: Database
    house: House
    people: People
    holds: Holds
    running: dict[UUID, "asyncio.Task[StepResult]"] = field(default_factory=dict)

    async def take(self, tenant: UUID, step: UUID, wish: StepRequest, book: PolicyBook) -> StepResult:
        """Works for some seconds, then answers `running` and goes on. Raises what contract.StepRequest says."""
        source = self.house.manual(wish.store)
        if source:
            byhand.must_be_doable(source, wish)
        else:
            _must_be_able(self.house.connector(wish.store), wish)
        done = await self._note(tenant, step, wish)
        if done:
            return done
        if source:
            async with self.database.transaction(tenant) as tx:
                return await byhand.take(tx, source, step, wish, book)
        connector = self.house.connector(wish.store)
        return await self._within_patience(step, wish, lambda: self._work(tenant, step, wish, connector, book))

    async def _work(
        self, tenant: UUID, step: UUID, wish: StepRequest, connector: Connector, book: PolicyBook
    ) -> StepResult:
        person = await self.people.person(tenant, wish.principal)
        # A verification decides by all open invoices, not only by those that the erasure thought of.
        invoices = None if wish.verb == Verb.verify else await connector.invoices(person)
        terms = await self.house.terms(book, clock.now(), invoices)
        match wish.verb:
            case Verb.preview:
                found = await connector.preview(person, terms, wish.scope, wish.of, wish.changes)
                result = _done(step, wish, outcomes=found)
            case Verb.erase:
                effect = await connector.erase(step, person, terms, self.holds, wish.scope)
                await self.holds.settle(step, wish.store, effect.preserved)
                result = _done(step, wish, outcomes=effect.outcomes, evidence_sha256=effect.evidence)
                if any(one.action in _GONE for one in effect.outcomes):
                    result = result.model_copy(update={"backups_until": backups.until(book, clock.now())})
                if effect.pending:
                    result = result.model_copy(update=_waiting(connector.store, effect.pending))
            case Verb.correct:
                changed = await connector.correct(step, person, terms, wish.changes)
                result = _done(step, wish, outcomes=changed.outcomes)
            case Verb.freeze:
                result = _done(step, wish, outcomes=(await connector.freeze(step, person, terms)).outcomes)
            case Verb.unfreeze:
                result = _done(step, wish, outcomes=(await connector.unfreeze(step, person, terms)).outcomes)
            case Verb.verify:
                seen = await connector.verify(person, terms, wish.scope)
                state = StepState.incomplete if seen.remaining else StepState.done
                result = _done(step, wish, state=state, remaining=seen.remaining, findings=seen.findings)
        await self._conclude(tenant, wish, person, book, result)
        return result

    async def _note(self, tenant: UUID, step: UUID, wish: StepRequest) -> StepResult | None:
        """Writes down what is asked; the result when it is done already. Raises StepConflict."""
        asked = self._asked(tenant, wish)
        async with self.database.transaction(tenant) as tx:
            await tx.connection.execute(_NOTE, tenant, step, asked, wish.principal, clock.now())
            row = await tx.connection.fetchrow(_NOTED, step)
        if _USUAL | row["asked"] != orjson.loads(asked):
            raise StepConflict
        result = StepResult.model_validate(row["result"], strict=False) if row["result"] else None
        return result if result and result.state == StepState.done else None

    def _asked(self, tenant: UUID, wish: StepRequest) -> str:
        """What is asked, as it is written down: of a correction only a keyed digest, since it says what people are called."""
        digest = None
        if wish.changes:
            said = orjson.dumps([change.model_dump(mode="json") for change in wish.changes]).decode()
            digest = self.people.sealer.blind_index(tenant, "correction", said).hex()
        return orjson.dumps(wish.model_dump(mode="json") | {"changes": digest}).decode()

    async def _conclude(
        self, tenant: UUID, wish: StepRequest, person: Person, book: PolicyBook, result: StepResult
    ) -> None:
        """The result and its event, once; and of an erasure what it takes to do it again after a restore."""
        async with self.database.transaction(tenant) as tx:
            noted = (result.step, result.state.value, result.model_dump_json(), clock.now())
            is_first = await tx.connection.fetchval(_DONE, *noted)
            if is_first and result.verb == Verb.erase:
                await leave_marks(tx, self.people.sealer, result.step, wish, person, book)
                if result.backups_until:
                    until = result.backups_until
                    await backups.note(tx, result.step, wish.store, "erasure", clock.now(), until)
            if is_first and (event := _event(result, wish, book)):
                await tx.emit(*event, subject=wish.principal)

    async def _within_patience(
        self, step: UUID, wish: StepRequest, work: Callable[[], Coroutine[Any, Any, StepResult]]
    ) -> StepResult:
        task = self.running.get(step)
        if task is None:
            task = self.running[step] = asyncio.create_task(work())
            task.add_done_callback(lambda ended: self._ended(step, ended))
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        return task.result() if done else _done(step, wish, state=StepState.running)

    def _ended(self, step: UUID, task: "asyncio.Task[StepResult]") -> None:
        """Whoever asks again reads the row, or begins anew; a failure that nobody waited for was only that."""
        del self.running[step]
        if not task.cancelled():
            task.exception()


def _must_be_able(connector: Connector, wish: StepRequest) -> None:
    """Raises VerbUnsupported."""
    if not {wish.verb, wish.of if wish.verb == Verb.preview else wish.verb} <= connector.verbs:
        raise VerbUnsupported
    if wish.scope and wish.scope.recording and connector.store.kind not in RECORDINGS:
        raise VerbUnsupported("Only a store of recordings can remove a single recording.")


def _done(step: UUID, wish: StepRequest, state: StepState = StepState.done, **found: Any) -> StepResult:
    return StepResult(step=step, verb=wish.verb, store=wish.store, state=state, **found)


def _waiting(store: Store, until: date) -> dict[str, Any]:
    """The vendor was told, and takes its time: ask again then."""
    waiting = Waiting(owner=store.store, due=until, pending_until=until, instructions=store.label, by_hand=False)
    return {"state": StepState.waiting, "waiting": waiting}


def _event(result: StepResult, wish: StepRequest, book: PolicyBook) -> tuple[str, dict[str, Any]] | None:
    if result.state == StepState.waiting:
        return None
    if result.verb == Verb.erase:
        asked = wish.model_dump(mode="json", include={"verb", "store", "principal", "scope"})
        done = ErasureDone(
            step=result.step,
            store=result.store,
            outcomes=result.outcomes,
            policy_version=book.version,
            asked_sha256=hashlib.sha256(canonical(asked)).hexdigest(),
            backups_until=result.backups_until,
            evidence_sha256=result.evidence_sha256,
        )
        return "erasure.done", done.model_dump(mode="json")
    if result.verb == Verb.verify and result.state == StepState.done:
        seen = ErasureVerified(step=result.step, store=result.store, policy_version=book.version)
        return "erasure.verified", seen.model_dump(mode="json")
    if told := _CHANGED.get(result.verb):
        event, model = told
        return event, model(step=result.step, store=result.store, outcomes=result.outcomes).model_dump(mode="json")
    return None
