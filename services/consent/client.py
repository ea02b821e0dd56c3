"""The consent service as other services call it."""

from datetime import datetime
from uuid import UUID

from chassis.client import ServiceClient
from services.consent.contract import (
    AskAgain,
    AskConsent,
    Call,
    Consequence,
    Decision,
    Decisions,
    Duty,
    EndCall,
    EndConsent,
    EndGuardian,
    Evaluation,
    Evaluations,
    GiveConsent,
    Guardian,
    GuardianEnded,
    Indicate,
    Notice,
    Notices,
    PublishNotice,
    Receipt,
    Recorded,
    Records,
    RefuseConsent,
    SetDuty,
    SetGuardian,
    SetObjection,
    SetRestriction,
    Standing,
    StartCall,
    WithdrawConsent,
)


class ConsentClient(ServiceClient):
    """One method per endpoint. Writes take the idempotency key under which repeating them changes nothing."""

    audience = "consent"

    async def publish_notice(self, tenant: UUID, notice: PublishNotice, key: str) -> Notice:
        return await self.ask(Notice, "POST", "/v1/notices", tenant=tenant, body=notice, idempotency_key=key)

    async def notices(self, tenant: UUID) -> list[Notice]:
        """The versions in force now."""
        return (await self.ask(Notices, "GET", "/v1/notices", tenant=tenant)).items

    async def notice(self, tenant: UUID, notice: str, version: int) -> Notice:
        return await self.ask(Notice, "GET", f"/v1/notices/{notice}/versions/{version}", tenant=tenant)

    async def give(self, tenant: UUID, wish: GiveConsent, key: str) -> Recorded:
        return await self.ask(Recorded, "POST", "/v1/consents", tenant=tenant, body=wish, idempotency_key=key)

    async def withdraw(self, tenant: UUID, wish: WithdrawConsent, key: str) -> Recorded:
        """Returns once no decision point can say yes; NotYetEverywhere after some seconds, then repeat with the same key."""
        return await self.ask(Recorded, "POST", "/v1/withdrawals", tenant=tenant, body=wish, idempotency_key=key)

    async def refuse(self, tenant: UUID, wish: RefuseConsent, key: str) -> Recorded:
        return await self.ask(Recorded, "POST", "/v1/refusals", tenant=tenant, body=wish, idempotency_key=key)

    async def ask_for_consent(self, tenant: UUID, wish: AskConsent, key: str) -> Recorded:
        return await self.ask(Recorded, "POST", "/v1/asks", tenant=tenant, body=wish, idempotency_key=key)

    async def end(self, tenant: UUID, wish: EndConsent, key: str) -> Recorded:
        return await self.ask(Recorded, "POST", "/v1/invalidations", tenant=tenant, body=wish, idempotency_key=key)

    async def set_guardian(self, tenant: UUID, child: UUID, wish: SetGuardian, key: str) -> Guardian:
        return await self.ask(Guardian, "PUT", f"/v1/guardians/{child}", tenant=tenant, body=wish, idempotency_key=key)

    async def end_guardian(self, tenant: UUID, child: UUID, wish: EndGuardian, key: str) -> GuardianEnded:
        path = f"/v1/guardians/{child}/end"
        return await self.ask(GuardianEnded, "POST", path, tenant=tenant, body=wish, idempotency_key=key)

    async def consequence(self, tenant: UUID, principal: UUID, purpose: str) -> Consequence:
        query = {"principal": str(principal)}
        return await self.ask(Consequence, "GET", f"/v1/consequences/{purpose}", tenant=tenant, query=query)

    async def records(self, tenant: UUID, principal: UUID, after: str | None = None) -> Records:
        query = {"principal": str(principal)} | ({"after": after} if after else {})
        return await self.ask(Records, "GET", "/v1/consents", tenant=tenant, query=query)

    async def receipt(self, tenant: UUID, record: UUID) -> Receipt:
        return await self.ask(Receipt, "GET", f"/v1/receipts/{record}", tenant=tenant)

    async def standing(self, tenant: UUID, principal: UUID, as_of: datetime | None = None) -> Standing:
        """`as_of`: as it was known at that instant."""
        query = {"as_of": as_of.isoformat()} if as_of else None
        return await self.ask(Standing, "GET", f"/v1/standing/{principal}", tenant=tenant, query=query)

    async def set_objection(
        self, tenant: UUID, principal: UUID, purpose: str, objection: SetObjection, key: str
    ) -> Recorded:
        """Returns once every decision point knows it, like `withdraw`."""
        path = f"/v1/standing/{principal}/objections/{purpose}"
        return await self.ask(Recorded, "PUT", path, tenant=tenant, body=objection, idempotency_key=key)

    async def set_restriction(self, tenant: UUID, principal: UUID, restriction: SetRestriction, key: str) -> Recorded:
        """Returns once every decision point knows it, like `withdraw`."""
        path = f"/v1/standing/{principal}/restriction"
        return await self.ask(Recorded, "PUT", path, tenant=tenant, body=restriction, idempotency_key=key)

    async def set_duty(self, tenant: UUID, purpose: str, duty: SetDuty, key: str) -> Duty:
        return await self.ask(Duty, "PUT", f"/v1/duties/{purpose}", tenant=tenant, body=duty, idempotency_key=key)

    async def start_call(self, tenant: UUID, call: StartCall, key: str) -> Call:
        return await self.ask(Call, "POST", "/v1/calls", tenant=tenant, body=call, idempotency_key=key)

    async def call_of(self, tenant: UUID, call: UUID) -> Call:
        return await self.ask(Call, "GET", f"/v1/calls/{call}", tenant=tenant)

    async def indicate(self, tenant: UUID, call: UUID, said: Indicate, key: str) -> Call:
        path = f"/v1/calls/{call}/indications"
        return await self.ask(Call, "POST", path, tenant=tenant, body=said, idempotency_key=key)

    async def end_call(self, tenant: UUID, call: UUID, key: str) -> Call:
        path = f"/v1/calls/{call}/end"
        return await self.ask(Call, "POST", path, tenant=tenant, body=EndCall(), idempotency_key=key)

    async def ask_again(self, tenant: UUID, asked: AskAgain) -> Decision:
        """A past decision, as it was answered then."""
        return await self.ask(Decision, "POST", "/v1/replays", tenant=tenant, body=asked)

    async def decide(self, tenant: UUID, question: Evaluation) -> Decision:
        return await self.ask(Decision, "POST", "/access/v1/evaluation", tenant=tenant, body=question)

    async def decide_many(self, tenant: UUID, questions: Evaluations) -> Decisions:
        """`questions` names at least one evaluation."""
        return await self.ask(Decisions, "POST", "/access/v1/evaluations", tenant=tenant, body=questions)
