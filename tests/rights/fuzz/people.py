"""The people of a fuzz, and the staff who deal with what they ask. Each has a tenant of her own, in which two hands act at once."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5
from zoneinfo import ZoneInfo

import httpx2

from chassis.errors import Problem
from services.registry.contract import Text
from services.requests.rights import contract
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import Kind, Verdict
from services.requests.rights.package import passphrase
from services.requests.rights.rules.kinds import PACKED, VERDICTS
from tests.rights.conftest import House
from tests.rights.fuzz.facts import Violation
from tests.rights.operator import Row

ANSWERED = 90  # seconds within which one of two replicas answers, whatever is killed
ENDED = ("closed", "withdrawn", "duplicate")
NAME, WORDS = "Anna Testlind", Text(sv="Så här är det", en="So it is")
REASONED = {"reason": "excessive", "text": WORDS}
FEE, REFUSAL = contract.Charge(**REASONED, fee_ore=100), contract.Refuse(**REASONED)
LONGER, QUESTION = contract.Extend(reason="complexity", text=WORDS), contract.Ask(about="clarification", text=WORDS)
PASSPHRASE = contract.SetPassphrase(passphrase="fyra gröna hästar i rad")
PROOF = {"evidence_sha256": "ab" * 32, "evidence_at": "parm"}
ANYBODY, ASKER = {"herself": 80, "officer": 14, "contact": 3, "desk": 3}, {"herself": 70, "desk": 30}

Answered = TypeVar("Answered")
Speaker = Callable[[House], RightsClient]


@dataclass
class Run:
    """What all share. calls: how often, by what was asked and its outcome · done: to whom what was done, in order · said_ended: what callers were
    told of requests that ended · faults: what no caller should meet."""

    houses: list[House]
    seed: int
    kinds: list[Kind]
    known: contract.PutOperator
    large: bool = False
    over: bool = False
    began: float = field(default_factory=time.monotonic)
    kills: int = 0
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    done: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    said_ended: dict[UUID, str] = field(default_factory=dict)
    faults: list[Violation] = field(default_factory=list)

    async def ask(self, what: str, whose: UUID, call: Callable[[House, str], Awaitable[Answered]]) -> Answered | None:
        """Of either replica, under one key, until there is an answer. None if that refuses, or is a fault."""
        key, end = str(uuid4()), time.monotonic() + ANSWERED
        while time.monotonic() < end:
            try:
                said = await call(random.choice(self.houses), key)
            except httpx2.TransportError:
                pass
            except Problem as problem:
                if problem.status not in (502, 503):
                    self._note(what, whose, problem.code)
                    if problem.status >= 500:
                        self.faults.append(Violation(str(whose), f"{what}: an answer or a refusal", problem.body()))
                    return None
            else:
                state = said.state if isinstance(said, contract.Request) else ""
                self._note(what, said.request if state else whose, "ok", state)
                return said
            await asyncio.sleep(0.03)
        self.faults.append(Violation(str(whose), f"{what}: an answer", f"none for {ANSWERED} s"))
        return None

    def _note(self, what: str, whose: UUID, outcome: str, state: str = "") -> None:
        self.calls[what, outcome] += 1
        self.done[str(whose)].append(f"{time.monotonic() - self.began:7.2f} s {what}: {outcome} {state}".rstrip())
        if state in ENDED:
            self.said_ended[whose] = state


async def lives(run: Run, number: int) -> None:
    """She is somebody else at another operator, which is the same house."""
    house, tenant, there = run.houses[0], uuid4(), uuid4()
    kept = {"keep": "accounting_records", "until": (house.now() + timedelta(days=20)).date()}
    rows = [("billing", Row("customer", "1", NAME)), ("billing", Row("invoice", "2", **kept))]
    rows += [("helpdesk", Row("chat", "3")), ("recordings", Row("recording", "4"))]
    if run.large:
        rows += [("billing", Row("blob", "9", "å" * 200_000)), ("helpdesk", Row("blob", "9", "ä" * 400_000))]
    if Random(f"{run.seed} {number}").random() < 0.3:
        named = contract.NameController(name="Kund AB", contact="dpo@kund.example")
        await run.ask("name a controller", tenant, lambda at, key: at.contact(tenant).name_controller(named, key=key))
    await run.ask("register", tenant, lambda at, key: at.officer(tenant).put_operator("sydtel", run.known, key=key))
    await run.ask("register", there, lambda at, key: at.officer(there).put_operator("nordtel", run.known, key=key))
    principal = house.operator.person(*rows)
    async with asyncio.TaskGroup() as hands:
        for hand in "left", "right":
            hands.create_task(Hand(run, principal, tenant, there, Random(f"{run.seed} {number} {hand}")).acts())


@dataclass
class Hand:
    """One that acts, whoever's it is at the moment: hers, or that of somebody who deals with what she asked."""

    run: Run
    principal: UUID
    tenant: UUID
    there: UUID
    dice: Random

    async def acts(self) -> None:
        query = "SELECT id, state FROM rights.request WHERE tenant = $1 ORDER BY id"
        while not self.run.over:
            # Those that were parted from others as well, and now and then one that is over.
            found = await self.run.houses[0].rows(query, self.tenant)
            requests = [row["id"] for row in found if row["state"] not in ENDED or self.dice.random() < 0.1]
            if not requests or (self.dice.random() < 0.15 and len(requests) < 8):
                await self._asks()
            elif self.dice.random() < 0.3:
                await self._decides()
            else:
                await self._does(self.dice.choice(requests))
            await asyncio.sleep(self.dice.uniform(0, 0.25))

    def _one(self, weights: dict[Any, int]) -> Any:
        return self.dice.choices([*weights], [*weights.values()])[0]

    def _speaker(self, roles: str | dict[str, int]) -> Speaker:
        """The same person, however often it must be said."""
        role = roles if isinstance(roles, str) else self._one(roles)
        clerk, officer = self.dice.choice(["hilda", "hugo"]), self.dice.choice(["pontus", "petronella"])
        return {
            "herself": lambda house: house.person(self.principal, self.tenant),
            "herself there": lambda house: house.person(uuid5(self.principal, "there"), self.there),
            "desk": lambda house: house.helpdesk(self.tenant, clerk),
            "officer": lambda house: house.officer(self.tenant, officer),
            "contact": lambda house: house.contact(self.tenant),
        }[role]

    async def _asks(self) -> None:
        kind, by_herself = self.dice.choice(self.run.kinds), self.dice.random() < 0.75
        who, wish = self._speaker("herself" if by_herself else "desk"), self._particulars(kind)
        if kind in PACKED:
            wish = await self._way(kind, by_herself)
        if not by_herself:
            evidence = contract.Evidence(method="registered_letter")
            wish |= {"channel": contract.Channel.letter, "principal": self.principal, "evidence": evidence}
        asked = contract.OpenRequest(kind=kind, **wish)
        await self.run.ask(f"ask {kind}", self.tenant, lambda house, key: who(house).open(asked, key=key))

    def _particulars(self, kind: Kind) -> dict[str, Any]:
        number = self.dice.randrange(99)
        match kind:
            case Kind.correction:
                return {"changes": [contract.Correction(element="name", old=NAME, new=f"Anna {number}")]}
            case Kind.restriction:
                return {"ground": self.dice.choice(["correctness_disputed", "unlawful", "legal_claims"])}
            case Kind.objection | Kind.withdrawal:
                return {"purpose": self.dice.choice(["development", "communication"])}
            case Kind.damages | Kind.human_review | Kind.complaint:
                return {"text": f"Jag kräver {number}"}
            case Kind.deletion if number < 30:
                return {"scope": contract.Scope(recording="4")}
        return {}

    async def _way(self, kind: Kind, by_herself: bool) -> dict[str, Any]:
        """Of a package: by her own words or drawn ones, on paper, through another operator; or it is not said yet."""
        way = self._one({"own": 30, "drawn": 20, "paper": 15, "other": 35})
        if way == "paper":
            return {"by_post": True}
        if not by_herself or (way == "other" and kind != Kind.portability):
            return {}
        if way != "other":
            return {"passphrase": "en hemlig mening om blåbär" if way == "own" else passphrase.draw()}
        who, wish = self._speaker("herself there"), contract.OpenReception(operator="nordtel")
        to = await self.run.ask("open a reception", self.there, lambda at, key: who(at).open_reception(wish, key=key))
        return {"transfer": contract.Transfer(operator="sydtel", reception=to.reception, code=to.code)} if to else {}

    async def _does(self, request: UUID) -> None:
        [(_, what, roles, deed)] = self.dice.choices(DEEDS, [weight for weight, *_ in DEEDS])
        who, today = self._speaker(roles), self.run.houses[0].now().astimezone(ZoneInfo("Europe/Stockholm")).date()
        await self.run.ask(what, request, lambda house, key: deed(who(house), request, key, today))

    async def _decides(self) -> None:
        looks = self._speaker({"officer": 2, "contact": 1})
        tasks = await self.run.ask("look at tasks", self.tenant, lambda house, key: looks(house).tasks())
        fit = [task for task in tasks.items if task.state in ("open", "proposed")] if tasks else []
        if not fit:
            return
        task, proposes = self.dice.choice(fit), self.dice.random() < 0.5
        who = self._speaker({"contact": 90, "officer": 10} if task.party == "tenant" else "officer")
        if proposes:
            said = self._proposal(VERDICTS[task.matter])
            what = f"propose {said.verdict}"
            await self.run.ask(what, task.request, lambda at, key: who(at).propose(task.task, said, key=key))
        elif task.digest:
            seen = contract.Review(proposal=task.digest, agreed=self.dice.random() < 0.8)
            await self.run.ask("review", task.request, lambda at, key: who(at).review(task.task, seen, key=key))

    def _proposal(self, fitting: frozenset[Verdict]) -> contract.Propose:
        """One that fits, mostly."""
        verdict = self.dice.choice(list(Verdict) if self.dice.random() < 0.1 else sorted(fitting))
        reason = "excessive" if verdict in (Verdict.refused, Verdict.charged) else None
        return contract.Propose(verdict=verdict, reason=reason, text=WORDS)


async def _confirm(to: RightsClient, request: UUID, key: str, _: date) -> contract.Request:
    read = contract.Confirm(preview=(await to.preview(request)).digest)
    return await to.confirm(request, read, key=key)


async def _read(content: AbstractAsyncContextManager[Any]) -> None:
    async with content as stream:
        async for _ in stream:
            pass


# How often beside the others, what, by whom, and how: of which request, under which key, on which day.
DEEDS: list[tuple[int, str, str | dict[str, int], Callable[[RightsClient, UUID, str, date], Awaitable[Any]]]] = [
    (3, "withdraw", ANYBODY, lambda to, id, key, _: to.withdraw(id, key=key)),
    (4, "confirm", ASKER, _confirm),
    (2, "set a passphrase", "herself", lambda to, id, key, _: to.set_passphrase(id, PASSPHRASE, key=key)),
    (1, "refuse", "officer", lambda to, id, key, _: to.refuse(id, REFUSAL, key=key)),
    (1, "charge", "officer", lambda to, id, key, _: to.charge(id, FEE, key=key)),
    (2, "pay", "officer", lambda to, id, key, _: to.paid(id, contract.Paid(reference="abc"), key=key)),
    (1, "extend", "officer", lambda to, id, key, _: to.extend(id, LONGER, key=key)),
    (1, "question", "desk", lambda to, id, key, _: to.question(id, QUESTION, key=key)),
    (1, "reply", "desk", lambda to, id, key, _: to.reply(id, contract.Replied(text="jo"), key=key)),
    (1, "want paper", "herself", lambda to, id, key, _: to.on_paper(id, key=key)),
    (2, "print", "officer", lambda to, id, key, _: _read(to.printed(id))),
    (2, "post", "officer", lambda to, id, key, day: to.posted(id, contract.Post(posted_on=day, **PROOF), key=key)),
    (1, "download", "herself", lambda to, id, key, _: _read(to.package(id))),
]
