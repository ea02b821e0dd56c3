"""A helpdesk vendor that speaks Zendesk's dialect: cursors, side-loading, 429 with Retry-After, redaction, deletion in two steps."""

import re
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

PER_PAGE = 2
BLOCK = "\u2587"


@dataclass
class Vendor:
    """slow_down: so many of the next calls are answered 429 · purges: whether deleting for good happens at once · readers: secrets
    that may only read · garbles: answers end in the middle."""

    secret: str = "wonderland"
    users: dict[int, dict[str, Any]] = field(default_factory=dict)
    organizations: dict[int, dict[str, Any]] = field(default_factory=dict)
    tickets: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    deleted: dict[int, dict[str, Any]] = field(default_factory=dict)
    kept: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = field(default_factory=dict)
    purging: set[int] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    slow_down: int = 0
    fails_after: int | None = None
    purges: bool = True
    retry_after: str = "0"
    garbles: bool = False
    readers: set[str] = field(default_factory=lambda: {"wonderland"})

    def user(self, id: int, **more: Any) -> None:
        self.users[id] = {"id": id, "name": f"User {id}", "email": None, "phone": None, "external_id": None} | more

    def ticket(self, id: int, requester: int, *bodies: str, status: str = "open", at: str, **more: Any) -> None:
        usual = {"subject": "Hello", "organization_id": None, "status": status, "created_at": at, "updated_at": at}
        self.tickets[id] = {"id": id, "requester_id": requester} | usual | more
        self.comments[id] = [
            {"id": id * 100 + n, "plain_body": body, "html_body": f"<div>{body}</div>", "attachments": []}
            for n, body in enumerate(bodies)
        ]

    def attach(self, ticket: int, comment: int, *names: str) -> None:
        files = [{"id": comment * 10 + n, "file_name": name} for n, name in enumerate(names)]
        next(one for one in self.comments[ticket] if one["id"] == comment)["attachments"] += files

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def admitted(request: Request, call: Any) -> Response:
            self.calls.append(f"{request.method} {request.url.path}")
            if self.fails_after is not None and len(self.calls) > self.fails_after:
                return JSONResponse({"error": "InternalError"}, 500)
            known = {self.secret} | (self.readers if request.method == "GET" else set())
            if not any(_knows(request, secret) for secret in known):
                return JSONResponse({"error": "Couldn't authenticate you"}, 401)
            if self.slow_down > 0:
                self.slow_down -= 1
                return JSONResponse({"error": "APIRateLimitExceeded"}, 429, {"retry-after": self.retry_after})
            return Response(b'{"users": [{"id"', media_type="application/json") if self.garbles else await call(request)

        app.get("/api/v2/incremental/tickets/cursor.json")(self._export)
        app.get("/api/v2/users/search.json")(self._search)
        app.get("/api/v2/users/{user}/tickets/requested.json")(self._requested)
        app.put("/api/v2/users/{user}.json")(self._change_user)
        app.get("/api/v2/tickets/{ticket}.json")(self._ticket)
        app.put("/api/v2/tickets/{ticket}.json")(self._change_ticket)
        app.delete("/api/v2/tickets/{ticket}.json")(self._delete)
        app.get("/api/v2/tickets/{ticket}/comments.json")(self._comments)
        app.put("/api/v2/comment_redactions/{comment}.json")(self._redact)
        app.put("/api/v2/tickets/{ticket}/comments/{comment}/attachments/{file}/redact.json")(self._redact_file)
        app.get("/api/v2/deleted_tickets.json")(self._deleted)
        app.delete("/api/v2/deleted_tickets/{ticket}.json")(self._purge)
        app.put("/api/v2/deleted_tickets/{ticket}/restore.json")(self._restore)
        return app

    async def _export(self, request: Request) -> Response:
        start = int(request.query_params.get("cursor", 0))
        items = sorted(self.tickets.values(), key=lambda one: one["id"])
        shown, end = items[start : start + PER_PAGE], start + PER_PAGE >= len(items)
        beside = request.query_params.get("include", "")
        next_ = str(request.url.include_query_params(cursor=start + PER_PAGE))
        return JSONResponse(
            {"tickets": shown, "after_url": next_, "end_of_stream": end}
            | ({"users": list(self.users.values())} if "users" in beside else {})
            | ({"organizations": list(self.organizations.values())} if "organizations" in beside else {})
        )

    async def _search(self, request: Request) -> Response:
        wanted = request.query_params
        if "external_id" in wanted:
            found = [one for one in self.users.values() if one["external_id"] == wanted["external_id"]]
        else:
            kind, value = re.fullmatch(r'(email|phone):"(.*)"', wanted["query"]).groups()
            found = [one for one in self.users.values() if one[kind] and one[kind].lower() == value.lower()]
        return self._page(request, "users", found)

    async def _requested(self, request: Request, user: int) -> Response:
        found = [one for one in self.tickets.values() if one["requester_id"] == user]
        return self._page(request, "tickets", found) if user in self.users else _missing()

    async def _ticket(self, request: Request, ticket: int) -> Response:
        if ticket not in self.tickets:
            return _missing()
        beside = {"users": list(self.users.values()), "organizations": list(self.organizations.values())}
        return JSONResponse({"ticket": self.tickets[ticket]} | beside)

    async def _comments(self, request: Request, ticket: int) -> Response:
        return self._page(request, "comments", self.comments[ticket]) if ticket in self.tickets else _missing()

    async def _change_user(self, request: Request, user: int) -> Response:
        self.users[user] |= (await request.json())["user"]
        return JSONResponse({"user": self.users[user]})

    async def _change_ticket(self, request: Request, ticket: int) -> Response:
        if self.tickets[ticket]["status"] == "closed":
            return JSONResponse({"error": "RecordInvalid"}, 422)
        self.tickets[ticket] |= (await request.json())["ticket"]
        return JSONResponse({"ticket": self.tickets[ticket]})

    async def _redact(self, request: Request, comment: int) -> Response:
        said = await request.json()
        for one in self.comments.get(said["ticket_id"], []):
            if one["id"] == comment:
                words = re.findall(r"<redact>(.*?)</redact>", said["html_body"])
                assert re.sub(r"</?redact>", "", said["html_body"]) == one["html_body"], "another body was sent"
                for word in words:
                    for part in ("plain_body", "html_body"):
                        one[part] = one[part].replace(word, BLOCK * len(word))
                return JSONResponse({"comment": one})
        return _missing()

    async def _redact_file(self, request: Request, ticket: int, comment: int, file: int) -> Response:
        for one in self.comments.get(ticket, []):
            for attached in one["attachments"] if one["id"] == comment else ():
                if attached["id"] == file:
                    attached["file_name"] = "redacted.txt"
                    return JSONResponse({"attachment": attached})
        return _missing()

    async def _delete(self, request: Request, ticket: int) -> Response:
        if ticket not in self.tickets:
            return _missing()
        self.delete(ticket)
        return Response(status_code=204)

    def delete(self, ticket: int) -> None:
        gone = self.tickets.pop(ticket)
        self.kept[ticket] = gone, self.comments.pop(ticket)
        self.deleted[ticket] = {"id": ticket, "subject": gone["subject"], "deleted_at": "2027-01-20T12:00:00Z"}

    async def _deleted(self, request: Request) -> Response:
        return self._page(request, "deleted_tickets", list(self.deleted.values()))

    async def _purge(self, request: Request, ticket: int) -> Response:
        if ticket not in self.deleted:
            return _missing()
        self.purging.add(ticket)
        if self.purges:
            del self.deleted[ticket]
        return JSONResponse({"job_status": {"id": f"job-{ticket}", "status": "queued"}})

    async def _restore(self, request: Request, ticket: int) -> Response:
        if ticket not in self.deleted or ticket in self.purging:
            return _missing()
        del self.deleted[ticket]
        self.tickets[ticket], self.comments[ticket] = self.kept.pop(ticket)
        return JSONResponse({})

    def _page(self, request: Request, name: str, items: list[dict[str, Any]]) -> Response:
        assert int(request.query_params["page[size]"]) <= 100
        start = int(request.query_params.get("page[after]", 0))
        more = start + PER_PAGE < len(items)
        next_ = str(request.url.include_query_params(**{"page[after]": start + PER_PAGE}))
        links = {"next": next_ if more else None}
        return JSONResponse({name: items[start : start + PER_PAGE], "meta": {"has_more": more}, "links": links})


def _missing() -> Response:
    return JSONResponse({"error": "RecordNotFound"}, 404)


def _knows(request: Request, secret: str) -> bool:
    import base64

    expected = base64.b64encode(f"privacy@nordtel.example/token:{secret}".encode()).decode()
    return request.headers.get("authorization") == f"Basic {expected}"
