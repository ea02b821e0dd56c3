"""Durable work: find out who asks and plan, do one step, build the package; and the tick that minds the clock."""

import asyncio
import base64
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from chassis import clock, durable
from chassis.crowd import Crowd, Do
from chassis.db import Database, Transaction
from chassis.durable import Job, Jobs
from chassis.errors import Problem, Unavailable
from chassis.identifiers import BadIdentifier
from chassis.ledger.events import Event
from chassis.mail import MailAway, MailRefused
from chassis.together import Made
from chassis.trouble import Trouble
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import (
    CollectionsRequest,
    EndLine,
    FindPrincipal,
    IdentifiersConflict,
    OfStore,
    PrincipalUnknown,
    StepRequest,
    StepResult,
    StepState,
    Store,
    StoreDrifted,
    Subject,
    Verb,
)
from services.consent.client import ConsentClient
from services.consent.contract import (
    AlreadyRecorded,
    EndGuardian,
    NoRightToObject,
    NotAGuardian,
    ObjectionIsAbsolute,
    SetGuardian,
    SetObjection,
    SetRestriction,
    UnknownPurpose,
    WithdrawConsent,
)
from services.registry.contract import LimitKey, NotInBook
from services.requests.rights import queries
from services.requests.rights.commands import (
    answering,
    asking,
    cascades,
    clocks,
    deciding,
    doing,
    letters,
    proving,
    receiving,
    tickets,
    transferring,
)
from services.requests.rights.commands.answering import ToPack
from services.requests.rights.commands.asking import Asked
from services.requests.rights.commands.doing import Claim
from services.requests.rights.commands.transferring import Sending
from services.requests.rights.contract import Kind, State, Transferred
from services.requests.rights.helpdesk import Helpdesk
from services.requests.rights.office import Office
from services.requests.rights.package import lock, parts, spool
from services.requests.rights.package.build import Built, Contents, build
from services.requests.rights.package.builders import Builders
from services.requests.rights.package.parts import Written
from services.requests.rights.package.spool import Kept, Spool
from services.requests.rights.peers import NotTaken, Peers
from services.requests.rights.post import Post
from services.requests.rights.rules import helpdesk
from services.requests.rights.rules.kinds import PEOPLE, STANDING
from services.requests.rights.rules.proof import ONE_DAY
from services.requests.rights.tables import RequestRow, StepRow

TICK, _TIDY_EVERY = 1.0, 5.0
_ASK_AGAIN = 0.2
# Packages on their way to other operators, who may never answer.
HANDED_OVER_AT_ONCE = 16
_COLLECTED_AT_ONCE, _COLLECTED_TOGETHER = 50, 300
_A_MOMENT = 0.5
_FORESEEN = 5.0  # seconds after which the stores are asked for again

# Whose time has come, by what is to be done; one question, since it is asked every second. $1: now · $2: passphrases, $3: confirmations
# wait since then at the least, and $4: are reminded of · $5: who she is.
_DUE = f"""
SELECT CASE channel WHEN 'consent' THEN 'withdrawn' ELSE 'over' END AS what, id, tenant FROM request
    WHERE state = 'cooling_off' AND executes_at <= $1
UNION ALL SELECT 'expired', id, tenant FROM request WHERE state = 'answered' AND package_deleted_at <= $1
UNION ALL SELECT 'ended', id, tenant FROM ({receiving.ENDED}) reception
UNION ALL SELECT 'locked', id, tenant FROM request WHERE state = 'awaiting_passphrase' AND awaiting_since <= $2
UNION ALL SELECT 'unconfirmed', id, tenant FROM request WHERE state = 'previewed' AND channel <> 'consent'
    AND (awaiting_since IS NULL OR awaiting_since <= $3 OR (reminded_at IS NULL AND awaiting_since <= $4))
UNION ALL SELECT 'unproven', id, tenant FROM request
    WHERE state IN ('received', 'clarification') AND evidence_method IS NULL AND awaiting_since <= $5
UNION ALL SELECT 'lifted', id, tenant FROM request
    WHERE state = 'answered' AND kind = 'restriction' AND executes_at <= $1
UNION ALL SELECT 'idle', id, tenant FROM request WHERE state = 'lifting' AND NOT EXISTS (
    SELECT FROM request_step WHERE request = request.id AND state NOT IN ('done', 'failed', 'deferred'))
UNION ALL SELECT 'unpaid', id, tenant FROM request WHERE state = 'awaiting_fee' AND executes_at <= $1
UNION ALL SELECT 'deferred', id, tenant FROM request_step WHERE state = 'deferred' AND due_at <= $1
UNION ALL SELECT 'clocks', NULL, tenant FROM ({clocks.DUE}) of_tenant"""
_WITHDRAWN = "SELECT principal, purpose, received_at FROM request WHERE id = $1"

# The policy book's grounds of a restriction in the consent service's words, and our verbs of an objection.
_GROUNDS = {"correctness_disputed": "accuracy", "unlawful": "unlawful", "legal_claims": "claims"}
_OBJECTIONS = {"object": "raised", "overrule": "overruled", "unobject": "lifted"}


# What everybody of a store is given, the place of one of them there, and how many they are.
Collected = tuple["asyncio.Task[Sequence[Kept]]", int, int]


class Work:
    def __init__(
        self,
        database: Database,
        office: Office,
        anonymizer: AnonymizerClient,
        consent: ConsentClient,
        post: Post,
        helpdesk: Helpdesk,
        peers: Peers,
        builders: Builders,
    ) -> None:
        self.database, self.office, self.anonymizer, self.consent = database, office, anonymizer, consent
        self.post, self.helpdesk, self.peers, self.builders = post, helpdesk, peers, builders
        # Many requests move at the same moment: what they write shares transactions.
        self._plan = Crowd(self._planned_together)
        self.trouble = Trouble("what comes by itself could not be done")
        self._foreseen: dict[UUID, tuple[float, asyncio.Task[Sequence[Store]]]] = {}
        self._claim = Crowd(self._in_one(doing.claim))
        self._record = Crowd(self._recorded)
        # By kind of copy; nobody waits for those who came before, whose copies may be long.
        self._collect = defaultdict[bool, Crowd[Claim, Collected]](
            lambda: Crowd(self._collected, _COLLECTED_AT_ONCE, _COLLECTED_TOGETHER)
        )
        # Little packages are many and soon built: threads would fight for the interpreter, and none waits for a large one.
        self._threads = ThreadPoolExecutor(2, "package")
        self._to_pack = Crowd(self._in_one(answering.to_pack_of))
        self._built = Crowd(self._in_one(answering.packages_built))

    def register(self, jobs: Jobs) -> None:
        # A source may be away for weeks: a step counts its own tries, and no job is given up for their number.
        jobs.on("rights.prepare", self.prepare, deliveries=None)
        jobs.on("rights.step", self.step, deliveries=None)
        jobs.on("rights.pack", self.pack, deliveries=None)
        jobs.on("rights.transfer", self.transfer, deliveries=None, abreast=HANDED_OVER_AT_ONCE)
        jobs.on("rights.code", self.code)
        jobs.on("rights.over", self.over)
        jobs.on(proving.TELL_CONSENT, self.guardian, deliveries=None)
        jobs.on(proving.TELL_AGAIN, self.guardian_again, deliveries=None, abreast=2)
        jobs.on(doing.STAND_AGAIN, self.stand_again, deliveries=None, abreast=2)
        jobs.on("rights.letter", self.letter, deliveries=None)
        jobs.on("rights.ticket", self.ticket, deliveries=None)
        jobs.every("rights.clock", TICK, self.tick)
        jobs.every("rights.codes", _TIDY_EVERY, self.tidy)

    async def prepare(self, job: Job) -> None:
        """From who asks to the first try of everything that is to be done; killed anywhere, it goes on where the rows stand."""
        claims = await self._planned(job)
        if not claims:
            await self._packed(job.tenant, job.id)
        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(self._try(job.tenant, claim))

    async def _planned(self, job: Job) -> list[Claim]:
        try:
            planned = await self._plan(job.tenant, doing.Wanted(job.id))
            while isinstance(planned, doing.Unnamed):
                principal = await self._found(job.tenant, planned)
                planned = await self._plan(job.tenant, doing.Wanted(job.id, principal, planned.sealed))
            return planned
        except (IdentifiersConflict, BadIdentifier, PrincipalUnknown):
            async with self.database.transaction(job.tenant) as tx:
                await doing.clarification_needed(tx, job.id)
        except Unavailable:
            async with self.database.transaction(job.tenant) as tx:
                await doing.prepare_later(tx, job.id)
        return []

    async def step(self, job: Job) -> None:
        claim = await self._claim(job.tenant, job.id)
        if claim is not None:
            await self._try(job.tenant, claim)
            return
        async with self.database.transaction(job.tenant) as tx:
            step = await tx.session.get(StepRow, job.id)
        if step is not None:
            await self._packed(job.tenant, step.request)

    async def _try(self, tenant: UUID, claim: Claim) -> None:
        """Whoever does a request's last step goes on with its package; killed before it is there, whoever takes the job over does."""
        result: doing.Result
        try:
            result = await self._done(tenant, claim)
        except PrincipalUnknown as unknown:
            result = await self._nothing(tenant, claim) or unknown
        except Problem as trouble:
            result = trouble
        to_pack = await self._record(tenant, (claim, result))
        if to_pack is not None:
            await self._pack(tenant, to_pack)

    async def _recorded(self, tenant: UUID, results: Sequence[tuple[Claim, doing.Result]]) -> Sequence[ToPack | None]:
        on_disk: list[asyncio.Future[None]] = []
        async with self.database.transaction(tenant) as tx:
            to_pack = await doing.record(tx, self.office, results, partial(self._built_at_once, on_disk))
            await asyncio.gather(*on_disk)
            return to_pack

    async def _built_at_once(
        self, on_disk: "list[asyncio.Future[None]]", packages: Iterable[ToPack]
    ) -> dict[UUID, Built]:
        """Those that take some milliseconds, by request: a transaction waits for them. Of one that cannot be written the steps are recorded
        as they are, and only the package is tried again. on_disk: gets what the transaction has to wait for before it ends."""
        soon = [(contents, words) for contents, words in packages if contents.is_soon_built and lock.is_quick(words)]
        if not soon:
            return {}
        built, waiting = await self.builders.build(soon)
        on_disk.append(waiting)
        return {contents.request: each for (contents, _), each in zip(soon, built, strict=True) if each}

    def _in_one(self, command: Callable[[Transaction, Office, Sequence[Any]], Awaitable[Any]]) -> Do[Any, Any]:
        """A command for many, in one transaction; a command that answers nothing answers None for each."""

        async def do(tenant: UUID, items: Sequence[Any]) -> Sequence[Any]:
            async with self.database.transaction(tenant) as tx:
                return await command(tx, self.office, items) or [None] * len(items)

        return do

    async def _planned_together(
        self, tenant: UUID, wanted: Sequence[doing.Wanted]
    ) -> Sequence[list[Claim] | doing.Unnamed]:
        stores = await self._stores(tenant, wanted)
        async with self.database.transaction(tenant) as tx:
            return await doing.plan(tx, self.office, stores, wanted)

    async def receive(self, tx: Transaction, asked: Sequence[Asked]) -> Sequence[Made | Problem]:
        """Which stores there are is asked meanwhile, so that a plan need not wait for that."""
        foreseen = time.monotonic(), asyncio.create_task(self._asked_for_stores(tx.tenant), name="stores")
        received = await asking.open_requests(tx, self.office, asked)
        for wanted in tx.jobs:
            self._foreseen[wanted.id] = foreseen
            asyncio.get_running_loop().call_later(_FORESEEN, self._foreseen.pop, wanted.id, None)
        return received

    async def _stores(self, tenant: UUID, wanted: Sequence[doing.Wanted]) -> Sequence[Store]:
        """As they were after each of these was received, and lately. Raises Unavailable."""
        foreseen = [self._foreseen.pop(one.request, None) for one in wanted]
        if all(foreseen):
            _, asking = max(foreseen, key=itemgetter(0))
            if stores := await asyncio.shield(asking):
                return stores
        return (await self.anonymizer.stores(tenant=tenant)).items

    async def _asked_for_stores(self, tenant: UUID) -> Sequence[Store]:
        """Nothing when nobody answers: whoever plans asks then."""
        try:
            return (await self.anonymizer.stores(tenant=tenant)).items
        except Problem:
            return []

    async def pack(self, job: Job) -> None:
        await self._packed(job.tenant, job.id)

    async def _packed(self, tenant: UUID, request: UUID) -> None:
        """Nothing for a request that waits for no package."""
        to_pack = await self._to_pack(tenant, request)
        if to_pack is not None:
            await self._pack(tenant, to_pack)

    async def _pack(self, tenant: UUID, to_pack: ToPack) -> None:
        contents, words = to_pack
        request, lost = contents.request, contents.lost()
        if lost:
            async with self.database.transaction(tenant) as tx:
                await doing.collect_again(tx, request, lost)
            return
        threads = self._threads if contents.is_little else None
        build_it = partial(build, self.office.fresh(request), contents, words)
        built = await asyncio.get_running_loop().run_in_executor(threads, build_it)
        await self._built(tenant, (request, built))
        self._remove_spools(contents)

    async def transfer(self, job: Job) -> None:
        """Sealed once, and handed over again until there is a receipt. The other operator is away: later, as long as a package can be
        fetched by anybody else."""
        async with self.database.transaction(job.tenant) as tx:
            row = await tx.session.get(RequestRow, job.id, with_for_update=True)
            sending = await transferring.to_send(tx, self.office, row)
        if sending is None:
            return
        if isinstance(sending, Transferred):
            await self._transferred(job, sending)
            return
        lost = sending.contents.lost()
        if lost:
            async with self.database.transaction(job.tenant) as tx:
                await doing.collect_again(tx, job.id, lost)
            return
        folder = self.office.folder(job.id) / "transfer"
        written = await asyncio.to_thread(parts.write, folder, sending.transfer.reception, sending.contents)
        async with self.database.transaction(job.tenant) as tx:
            # She may have changed her mind while it was written, and what is removed then was not there yet.
            row = await tx.session.get(RequestRow, job.id, with_for_update=True)
            if not transferring.is_wanted(self.office, row):
                return
        receipt = None
        try:
            with suppress(NotTaken):
                receipt = await self._handed_over(job, sending, written, folder)
        except Unavailable:
            if sending.since > self._since("package_link_expiry"):
                raise
        async with self.database.transaction(job.tenant) as tx:
            row = await tx.session.get(RequestRow, job.id, with_for_update=True)
            if row.state != State.transferring:
                return
            if receipt is None:
                await transferring.not_taken(tx, self.office, row, sending.name)
                return
            to = await transferring.taken(tx, self.office, row, sending, written, receipt)
        await self._transferred(job, to)

    async def _transferred(self, job: Job, to: Transferred) -> None:
        async with self.database.transaction(job.tenant) as tx:
            row = await tx.session.get(RequestRow, job.id, with_for_update=True)
            if row.state == State.transferring:
                await transferring.done(tx, self.office, row, to)

    async def _handed_over(self, job: Job, sending: Sending, written: Written, folder: Path) -> str:
        """The other operator's receipt. Raises NotTaken, and Unavailable."""
        reception = str(sending.transfer.reception)
        for place in range(written.parts):
            content = parts.place_of(folder, place).read_bytes()
            said = transferring.handing_of_part(self.office, sending, place, content)
            body = {"handing": said, "content": base64.b64encode(content).decode()}
            await self.peers.hand_part(sending.url, reception, place, body)
        async with self.database.transaction(job.tenant) as tx:
            row = await tx.session.get(RequestRow, job.id, with_for_update=True)
            if row.state != State.transferring:
                raise NotTaken
            await transferring.handing_over(tx, row, sending, written)
        body = {"handing": transferring.last_word(self.office, sending, written)}
        receipt = (await self.peers.hand_over(sending.url, reception, body)).receipt
        if not transferring.acknowledged(sending, written, receipt):
            raise NotTaken
        return receipt

    async def code(self, job: Job) -> None:
        """A one-time code goes to a contact that is on file for whom the request names, and to nobody else."""
        async with self.database.transaction(job.tenant) as tx:
            wanted = await proving.to_send(tx, self.office, job.id)
        if wanted is None or not await self._is_on_file(job.tenant, wanted):
            return
        async with self.database.transaction(job.tenant) as tx:
            drawn = await proving.make_code(tx, self.office, job.id)
        if drawn is not None:
            await self.post.code(wanted, drawn, self.office.book)

    async def letter(self, job: Job) -> None:
        """One of our letters goes by mail; a server that is away is seen in the letter, and tried again."""
        async with self.database.transaction(job.tenant) as tx:
            mailing = await letters.to_mail(tx, self.office, job.id)
        if mailing is None:
            return
        state, problem = "sent", None
        if not await self._is_hers(job.tenant, mailing):
            state = "kept"
        else:
            try:
                await self.post.letter(mailing)
            except MailRefused as refused:
                state, problem = "failed", refused.code
            except MailAway as away:
                state, problem = "queued", away.code
        async with self.database.transaction(job.tenant) as tx:
            await letters.mailed(tx, job.id, state, problem)
        if state == "queued":
            raise MailAway

    async def ticket(self, job: Job) -> None:
        """How it stands now is told once; what changes meanwhile has a job of its own."""
        if not self.helpdesk.is_set_up:
            return
        async with self.database.transaction(job.tenant) as tx:
            row, stands = await tickets.to_tell(tx, job.id)
        if row.ticket_told == str(stands):
            return
        update = helpdesk.update(str(row.id), stands, row.language)
        try:
            await self.helpdesk.tell(row.ticket.removeprefix(helpdesk.PREFIX), update)
        except Unavailable:
            async with self.database.transaction(job.tenant) as tx:
                await tickets.unsure(tx, job.id)
            raise
        async with self.database.transaction(job.tenant) as tx:
            await tickets.told(tx, job.id, stands)

    async def guardian(self, job: Job, again: bool = False) -> None:
        """Whoever proved here that she speaks for a child need not prove it to the consent service; whoever does no more ends there."""
        async with self.database.transaction(job.tenant) as tx:
            tell = await proving.to_tell_consent(tx, self.office, job.id)
        if tell is None or (tell.speaks and tell.born is None and not again):
            return
        proof, once = f"mandate/{job.id}", f"mandate/{job.id}/{uuid4()}"
        if not tell.speaks:
            # Who is none there is none any more, and nothing is left to tell.
            with suppress(NotAGuardian):
                end = EndGuardian(guardian=tell.guardian)
                await self.consent.end_guardian(job.tenant, tell.child, end, key=once)
            return
        with suppress(NotAGuardian):
            who = SetGuardian(guardian=tell.guardian, born=tell.born, evidence_ref=proof, until=tell.until)
            await self.consent.set_guardian(job.tenant, tell.child, who, key=proof if tell.born else once)
        async with self.database.transaction(job.tenant) as tx:
            await proving.consent_told(tx, job.id)

    async def guardian_again(self, job: Job) -> None:
        """Without the day of birth, which is not kept: consent may know it still, and else says no until somebody records it."""
        await self.guardian(job, again=True)

    async def over(self, job: Job) -> None:
        async with self.database.transaction(job.tenant) as tx:
            await doing.forget_who_waited(tx, job.id)

    async def tick(self) -> None:
        """Whatever's time has come, on any replica: each row is looked at again under its lock."""
        office, now = self.office, clock.now()
        limits: tuple[LimitKey, ...] = ("passphrase_awaited", "confirmation_awaited", "confirmation_reminder")
        waited, unproven = [self._since(limit) for limit in limits], None
        with suppress(NotInBook):  # a book from before it waits for ever
            unproven = self._since("identity_awaited")
        async with self.database.system_look() as connection:
            due = await connection.fetch(_DUE, now, *waited, unproven)
        in_time: dict[str, Callable[[Transaction, UUID], Awaitable[None]]] = {
            "over": lambda tx, id: doing.execute(tx, office, id),
            "expired": lambda tx, id: answering.close_expired(tx, office, id),
            "ended": lambda tx, id: receiving.close_ended(tx, office, id),
            "locked": lambda tx, id: answering.give_up_waiting(tx, office, id),
            "unconfirmed": lambda tx, id: answering.mind_confirmation(tx, office, id),
            "unproven": lambda tx, id: answering.give_up_unproven(tx, office, id),
            "lifted": lambda tx, id: doing.lift_in_time(tx, office, id),
            "idle": lambda tx, id: doing.end_idle(tx, office, id),
            "unpaid": lambda tx, id: deciding.give_up_fee(tx, office, id),
            "deferred": doing.resume_deferred,
        }
        went = [
            await durable.alone(self.trouble, self.database, tenant, act, id)
            for what, act in in_time.items()
            for id, tenant in [each[1:] for each in due if each["what"] == what]
        ]
        if all(went):
            self.trouble.over()
        for id, tenant in [each[1:] for each in due if each["what"] == "withdrawn"]:
            with suppress(Problem):  # Where consent is away nobody knows whether she said yes again: later.
                goes = cascades.spare if await self._consents_again(tenant, id) else doing.execute
                async with self.database.transaction(tenant) as tx:
                    await goes(tx, office, id)
        for tenant in [each["tenant"] for each in due if each["what"] == "clocks"]:
            looked_at = clocks.AT_ONCE
            while looked_at == clocks.AT_ONCE:
                async with self.database.transaction(tenant) as tx:
                    looked_at = await clocks.tell(tx, office)

    async def tidy(self) -> None:
        """A code of yesterday proves nothing, and counts no more."""
        async with self.database.system() as connection:
            await connection.execute(proving.OVER, clock.now() - ONE_DAY)

    def _since(self, limit: LimitKey) -> datetime:
        """Whatever waits since then has waited as long as the book lets it."""
        return self.office.book.period(limit).cutoff(clock.now(), self.office.book.tz)

    async def cascade(self, tx: Transaction, event: Event) -> None:
        await cascades.follow(tx, self.office, event)

    async def _is_on_file(self, tenant: UUID, wanted: proving.ToSend) -> bool:
        """Whose the contact is now: a number that was given on to somebody else proves nothing about its former user."""
        try:
            claimed = await self.anonymizer.lookup(wanted.claimed, tenant=tenant)
            owner = await self.anonymizer.lookup(wanted.contact, tenant=tenant)
        except (IdentifiersConflict, BadIdentifier):
            return False
        return owner is not None and owner == claimed

    async def _is_hers(self, tenant: UUID, mailing: letters.Mailing) -> bool:
        try:
            owner = await self.anonymizer.lookup(mailing.to, tenant=tenant)
            if mailing.principal is not None or mailing.claimed is None:
                return owner is not None and owner == mailing.principal
            return owner is not None and owner == await self.anonymizer.lookup(mailing.claimed, tenant=tenant)
        except (IdentifiersConflict, BadIdentifier):
            return False

    async def _found(self, tenant: UUID, unnamed: doing.Unnamed) -> UUID:
        """Somebody unknown gets a principal too, and the same answer as anybody else: that nothing is there. Who proved nothing but that
        she reads what is sent to a contact on file is whose that is: what she named beside it may be anybody's, and is not made hers.
        Raises IdentifiersConflict, BadIdentifier and PrincipalUnknown."""
        named = FindPrincipal.model_validate_json(unnamed.identifiers)
        if not unnamed.by_code:
            return await self.anonymizer.principal(named, tenant=tenant)
        found = await self.anonymizer.lookup(named, tenant=tenant)
        if found is None:
            raise PrincipalUnknown
        return found

    async def _done(self, tenant: UUID, claim: Claim) -> StepResult | Kept:
        if claim.store == STANDING:
            await self._stand(tenant, claim)
            return Kept({})
        if claim.store == PEOPLE:
            await self.anonymizer.forget(claim.principal, claim.request, tenant=tenant)
            return Kept({})
        if claim.verb == "collect":
            keeping, place, many = await self._collect[claim.kind == Kind.portability](tenant, claim)
            # Waited for and not awaited: a step that is stopped takes nobody else's with it.
            await asyncio.wait({keeping})
            if many > 1 and isinstance(keeping.exception(), StoreDrifted):
                # One whose record cannot be read would stop all who are tried again with her.
                [(keeping, place, _)] = await self._collected(tenant, [claim])
                await asyncio.wait({keeping})
            return keeping.result()[place]
        wish = StepRequest(
            verb=Verb(claim.verb),
            store=claim.store,
            principal=claim.principal,
            scope=claim.scope,
            changes=claim.changes,
        )
        while True:
            result = await self.anonymizer.step(claim.step, wish, tenant=tenant)
            if result.state is not StepState.running:
                return result
            await asyncio.sleep(_ASK_AGAIN)

    async def _nothing(self, tenant: UUID, claim: Claim) -> StepResult | Kept | None:
        """Of whom the data plane forgot, since nothing of hers was left, there is nothing, and so she is answered: her login outlives that.
        None for whom it merely does not know, which may pass: it may have come back from a backup."""
        async with self.database.transaction(tenant) as tx:
            if not await queries.was_forgotten(tx, claim.principal):
                return None
        if claim.verb == "collect":
            [nothing] = await self._kept([claim], _no_rows())
            return nothing
        return StepResult(step=claim.step, verb=Verb(claim.verb), store=claim.store, state=StepState.done, remaining=0)

    async def stand_again(self, job: Job) -> None:
        """As of then: what she said to consent itself since counts. What the policy book of today does not know stands in nobody's way."""
        async with self.database.transaction(job.tenant) as tx:
            told = await doing.stood(tx, job.id)
        if told is not None and not await self._has_withdrawn(job.tenant, told[0]):
            with suppress(AlreadyRecorded, UnknownPurpose, NoRightToObject, ObjectionIsAbsolute):
                await self._stand(job.tenant, *told)

    async def _has_withdrawn(self, tenant: UUID, claim: Claim) -> bool:
        """Said twice it would be two withdrawals, and what rested on the consent erased once more."""
        if claim.verb != "withdraw":
            return False
        consents = (await self.consent.standing(tenant, claim.principal)).consents
        return any(one.purpose == claim.purpose and one.state == "withdrawn" for one in consents)

    async def _consents_again(self, tenant: UUID, request: UUID) -> bool:
        async with self.database.system_look() as connection:
            principal, purpose, withdrawn_at = await connection.fetchrow(_WITHDRAWN, request)
        consents = (await self.consent.standing(tenant, principal)).consents
        stand = [one for one in consents if one.purpose == purpose and one.state in ("given", "renewed_given")]
        return any(one.since > withdrawn_at for one in stand)

    async def _stand(self, tenant: UUID, claim: Claim, at: datetime | None = None) -> None:
        """Consent answers once no decision point says otherwise any more. at: when it was told before."""
        key, case = f"{claim.step}{'/again' if at else ''}", claim.request
        match claim.verb:
            case "withdraw":
                wish = WithdrawConsent(
                    purpose=claim.purpose, principal=claim.principal, occurred_at=at, vouched=claim.vouched
                )
                await self.consent.withdraw(tenant, wish, key)
            case "restrict" | "lift":
                state = "set" if claim.verb == "restrict" else "lifted"
                ground = _GROUNDS.get(claim.ground or "") if state == "set" else None
                restriction = SetRestriction(state=state, ground=ground, case=case, occurred_at=at)
                await self.consent.set_restriction(tenant, claim.principal, restriction, key)
            case _:
                objection = SetObjection(state=_OBJECTIONS[claim.verb], case=case, occurred_at=at)
                await self.consent.set_objection(tenant, claim.principal, claim.purpose, objection, key)

    async def _collected(self, tenant: UUID, claims: Sequence[Claim]) -> Sequence[Collected]:
        """What several people have in several stores, in one call and one scan of each. Stores that are read within a moment are answered
        at once, so that they are recorded together; of the others each when it is."""
        begun: asyncio.Future[list[Collected]] = asyncio.get_running_loop().create_future()
        reading = asyncio.create_task(self._read(tenant, claims, begun))
        await asyncio.wait({reading, begun}, return_when=asyncio.FIRST_COMPLETED)
        collected = begun.result() if begun.done() else reading.result()
        await asyncio.wait({keeping for keeping, *_ in collected}, timeout=_A_MOMENT)
        return collected

    async def _read(self, tenant: UUID, claims: Sequence[Claim], begun: "asyncio.Future[list[Collected]]") -> None:
        of: dict[str, list[Claim]] = {}
        for claim in claims:
            of.setdefault(claim.store, []).append(claim)
        wish = CollectionsRequest(
            stores=[
                OfStore(store=store, of=[Subject(step=one.step, principal=one.principal) for one in theirs])
                for store, theirs in of.items()
            ],
            portable=claims[0].kind == Kind.portability,
        )
        async with self.anonymizer.collect_together(wish, tenant=tenant) as streams:
            kept = [asyncio.create_task(self._kept(*each)) for each in zip(of.values(), streams, strict=True)]
            keeping = dict(zip(of, kept, strict=True))
            begun.set_result([(keeping[one.store], of[one.store].index(one), len(of[one.store])) for one in claims])
            await asyncio.wait(kept)

    async def _kept(self, claims: Sequence[Claim], stream: AsyncGenerator[bytes]) -> Sequence[Kept]:
        spools = [Spool(self.office.spool(one.request, one.step), one.spool_key, one.step) for one in claims]
        async with aclosing(stream):
            return await spool.keep(spools, stream)

    def _remove_spools(self, contents: Contents) -> None:
        """Unreadable since the key was shredded; killed before this line, they go with the package's folder."""
        for source in contents.sources:
            if isinstance(source.kept, Path):
                source.kept.unlink(missing_ok=True)


async def _no_rows() -> AsyncGenerator[bytes]:
    yield EndLine(end=True, counts={}).model_dump_json().encode() + b"\n"
