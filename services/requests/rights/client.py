"""How others call rights: one method per endpoint."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from pydantic import BaseModel

from chassis.client import ServiceClient
from services.requests.rights.contract import (
    Answer,
    Ask,
    AskCode,
    Certificate,
    Charge,
    CheckCode,
    CodeAsked,
    CodeChecked,
    Confirm,
    ConfirmMandate,
    Controller,
    DrawnPassphrase,
    Extend,
    Letter,
    Letters,
    Mandate,
    Mandates,
    MonthReport,
    NameController,
    OpenReception,
    OpenRequest,
    OtherOperator,
    Paid,
    Post,
    PostTicket,
    Preview,
    Propose,
    Protection,
    ProtectPerson,
    ProveIdentity,
    PutOperator,
    Reception,
    ReceptionOpened,
    RecordMandate,
    Refuse,
    Replied,
    Request,
    Requests,
    Review,
    SetKey,
    SetPassphrase,
    State,
    Task,
    Tasks,
    TicketTaken,
    WaitsFor,
    Worklist,
)

_PATIENCE = 10


class RightsClient(ServiceClient):
    """`tenant` is asked of identity when this process speaks for itself; a key makes a write safe to send twice."""

    audience = "rights"

    async def open(self, wish: OpenRequest, *, key: str, tenant: UUID | None = None) -> Request:
        return await self.ask(Request, "POST", "/v1/requests", body=wish, idempotency_key=key, tenant=tenant)

    async def post_ticket(self, ticket: PostTicket, *, key: str, tenant: UUID | None = None) -> TicketTaken:
        return await self.ask(TicketTaken, "POST", "/v1/tickets", body=ticket, idempotency_key=key, tenant=tenant)

    async def request(self, request: UUID, *, tenant: UUID | None = None) -> Request:
        return await self.ask(Request, "GET", f"/v1/requests/{request}", tenant=tenant)

    async def moved(self, request: UUID, known: State, wait: float, *, tenant: UUID | None = None) -> Request:
        """As soon as it stands elsewhere than where it is known to, or after `wait` seconds as it stands then."""
        query = {"known": known.value, "wait": wait}
        return await self.ask(
            Request, "GET", f"/v1/requests/{request}", query=query, tenant=tenant, timeout=wait + _PATIENCE
        )

    async def requests(
        self, *, principal: UUID | None = None, after: str | None = None, limit: int = 50, tenant: UUID | None = None
    ) -> Requests:
        query = {"limit": limit} | ({"after": after} if after else {}) | ({"principal": principal} if principal else {})
        return await self.ask(Requests, "GET", "/v1/requests", query=query, tenant=tenant)

    async def prove_identity(
        self, request: UUID, proof: ProveIdentity, *, key: str, tenant: UUID | None = None
    ) -> Request:
        return await self._do(request, "identity", key, tenant, proof)

    async def drawn_passphrase(self, *, tenant: UUID | None = None) -> str:
        return (await self.ask(DrawnPassphrase, "GET", "/v1/passphrase", tenant=tenant)).passphrase

    async def set_key(self, request: UUID, wish: SetKey, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "key", key, tenant, wish)

    async def set_passphrase(
        self, request: UUID, wish: SetPassphrase, *, key: str, tenant: UUID | None = None
    ) -> Request:
        return await self._do(request, "passphrase", key, tenant, wish)

    async def question(self, request: UUID, wish: Ask, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "questions", key, tenant, wish)

    async def reply(self, request: UUID, wish: Replied, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "replies", key, tenant, wish)

    async def extend(self, request: UUID, wish: Extend, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "extension", key, tenant, wish)

    async def letters(self, request: UUID, *, tenant: UUID | None = None) -> Letters:
        return await self.ask(Letters, "GET", f"/v1/requests/{request}/letters", tenant=tenant)

    async def preview(self, request: UUID, *, tenant: UUID | None = None) -> Preview:
        return await self.ask(Preview, "GET", f"/v1/requests/{request}/preview", tenant=tenant)

    async def confirm(self, request: UUID, wish: Confirm, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "confirm", key, tenant, wish)

    async def withdraw(self, request: UUID, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "withdraw", key, tenant, None)

    async def refuse(self, request: UUID, wish: Refuse, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "refusal", key, tenant, wish)

    async def charge(self, request: UUID, wish: Charge, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "fee", key, tenant, wish)

    async def paid(self, request: UUID, wish: Paid, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "payment", key, tenant, wish)

    async def on_paper(self, request: UUID, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "paper", key, tenant, None)

    def printed(
        self, request: UUID, *, tenant: UUID | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The page to print; each call stands in the ledger."""
        return self.stream("GET", f"/v1/requests/{request}/print", tenant=tenant)

    async def posted(self, request: UUID, wish: Post, *, key: str, tenant: UUID | None = None) -> Request:
        return await self._do(request, "posting", key, tenant, wish)

    async def letter_posted(
        self, request: UUID, letter: UUID, wish: Post, *, key: str, tenant: UUID | None = None
    ) -> Letter:
        path = f"/v1/requests/{request}/letters/{letter}/posting"
        return await self.ask(Letter, "POST", path, body=wish, idempotency_key=key, tenant=tenant)

    async def worklist(
        self,
        *,
        waits_for: WaitsFor | None = None,
        after: str | None = None,
        limit: int = 50,
        tenant: UUID | None = None,
    ) -> Worklist:
        query = {"limit": str(limit)} | {
            name: said for name, said in (("waits_for", waits_for), ("after", after)) if said
        }
        return await self.ask(Worklist, "GET", "/v1/worklist", query=query, tenant=tenant)

    async def tasks(self, *, state: str | None = None, tenant: UUID | None = None) -> Tasks:
        return await self.ask(Tasks, "GET", "/v1/tasks", query={"state": state} if state else None, tenant=tenant)

    async def propose(self, task: UUID, wish: Propose, *, key: str, tenant: UUID | None = None) -> Task:
        path = f"/v1/tasks/{task}/proposal"
        return await self.ask(Task, "POST", path, body=wish, idempotency_key=key, tenant=tenant)

    async def review(self, task: UUID, wish: Review, *, key: str, tenant: UUID | None = None) -> Task:
        path = f"/v1/tasks/{task}/review"
        return await self.ask(Task, "POST", path, body=wish, idempotency_key=key, tenant=tenant)

    async def name_controller(self, wish: NameController, *, key: str, tenant: UUID | None = None) -> Controller:
        return await self.ask(Controller, "PUT", "/v1/controller", body=wish, idempotency_key=key, tenant=tenant)

    async def code(self, request: UUID, wish: AskCode, *, key: str, tenant: UUID | None = None) -> CodeAsked:
        path = f"/v1/requests/{request}/code"
        return await self.ask(CodeAsked, "POST", path, body=wish, idempotency_key=key, tenant=tenant)

    async def check_code(self, request: UUID, wish: CheckCode, *, key: str, tenant: UUID | None = None) -> CodeChecked:
        path = f"/v1/requests/{request}/code/check"
        return await self.ask(CodeChecked, "POST", path, body=wish, idempotency_key=key, tenant=tenant)

    async def record_mandate(self, wish: RecordMandate, *, key: str, tenant: UUID | None = None) -> Mandate:
        return await self.ask(Mandate, "POST", "/v1/mandates", body=wish, idempotency_key=key, tenant=tenant)

    async def confirm_mandate(
        self, mandate: UUID, wish: ConfirmMandate, *, key: str, tenant: UUID | None = None
    ) -> Mandate:
        path = f"/v1/mandates/{mandate}/confirmation"
        return await self.ask(Mandate, "POST", path, body=wish, idempotency_key=key, tenant=tenant)

    async def waiting_mandates(self, *, tenant: UUID | None = None) -> Mandates:
        return await self.ask(Mandates, "GET", "/v1/mandates/waiting", tenant=tenant)

    async def revoke_mandate(self, mandate: UUID, *, key: str, tenant: UUID | None = None) -> Mandate:
        path = f"/v1/mandates/{mandate}/revocation"
        return await self.ask(Mandate, "POST", path, idempotency_key=key, tenant=tenant)

    async def protect(
        self, principal: UUID, wish: ProtectPerson, *, key: str, tenant: UUID | None = None
    ) -> Protection:
        path = f"/v1/people/{principal}/protection"
        return await self.ask(Protection, "PUT", path, body=wish, idempotency_key=key, tenant=tenant)

    async def report(self, month: str, *, tenant: UUID | None = None) -> MonthReport:
        return await self.ask(MonthReport, "GET", f"/v1/reports/{month}", tenant=tenant)

    async def put_operator(
        self, operator: str, wish: PutOperator, *, key: str, tenant: UUID | None = None
    ) -> OtherOperator:
        path = f"/v1/operators/{operator}"
        return await self.ask(OtherOperator, "PUT", path, body=wish, idempotency_key=key, tenant=tenant)

    async def open_reception(self, wish: OpenReception, *, key: str, tenant: UUID | None = None) -> ReceptionOpened:
        return await self.ask(ReceptionOpened, "POST", "/v1/receptions", body=wish, idempotency_key=key, tenant=tenant)

    async def reception(self, reception: UUID, *, tenant: UUID | None = None) -> Reception:
        return await self.ask(Reception, "GET", f"/v1/receptions/{reception}", tenant=tenant)

    def received(
        self, reception: UUID, *, tenant: UUID | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The ZIP that another operator brought."""
        return self.stream("GET", f"/v1/receptions/{reception}/content", tenant=tenant)

    async def answer(self, request: UUID, *, tenant: UUID | None = None) -> Answer:
        return await self.ask(Answer, "GET", f"/v1/requests/{request}/answer", tenant=tenant)

    async def certificate(self, request: UUID, *, tenant: UUID | None = None) -> Certificate:
        return await self.ask(Certificate, "GET", f"/v1/requests/{request}/certificate", tenant=tenant)

    def package(
        self, request: UUID, *, tenant: UUID | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The locked file's bytes; each call counts as a download."""
        return self.stream("GET", f"/v1/requests/{request}/package", tenant=tenant)

    async def _do(
        self,
        request: UUID,
        verb: str,
        key: str,
        tenant: UUID | None,
        body: BaseModel | None,
    ) -> Request:
        path = f"/v1/requests/{request}/{verb}"
        return await self.ask(Request, "POST", path, body=body, idempotency_key=key, tenant=tenant)
