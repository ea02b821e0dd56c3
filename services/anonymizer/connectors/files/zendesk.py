"""A helpdesk behind Zendesk's HTTP API: a ticket is a piece, each of its comments a record.

A person's own tickets are deleted, which can be taken back, and after the last look at holds for good; in somebody else's ticket the words that identify them are redacted,
which also works in closed and archived ones. A whole store is read through the incremental export, by the credential that only
reads; a person is found through their user. The vendor removes what was deleted for good within days: until then the step is pending.
"""

import errno
import html
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson

from chassis.identifiers import BadIdentifier, normalise
from services.anonymizer.connectors.files.formats import OWN, Edit, Edits, Folder, Leave, Marks, Row, replace, typed
from services.anonymizer.contract import StoreUnavailable
from services.anonymizer.datamap import DataMapFault, Store, Table
from services.anonymizer.rules.person import COUNTRY
from services.anonymizer.settings import Settings

_PATIENCE = 120.0  # seconds that one call may wait in all because the vendor says so
_PAGE = 100
_USER = {
    "requester_name": "name",
    "requester_email": "email",
    "requester_phone": "phone",
    "customer_number": "external_id",
}


class Zendesk(Folder):
    """The columns of a record: ticket, comment, tenant, customer_number, requester_name, requester_email, requester_phone, subject,
    body, attachments (the names of the files, each on a line of its own), created_at, closed_at. A file whose name speaks of somebody is
    redacted as a whole: nobody looks into it."""

    ending = ".jsonl"

    def __init__(self, store: Store, settings: Settings) -> None:
        place = store.location
        if not (place.url and place.user and place.tenant and place.folder):
            raise DataMapFault(
                f"{store.store}: a helpdesk needs url, user, tenant, and a folder for what is kept for orders"
            )
        self.store, self.settings, self.place = store, settings, place
        self.http = httpx2.Client(base_url=place.url, timeout=30, trust_env=False)
        settings.folder(place.folder).mkdir(parents=True, exist_ok=True)
        self._listed: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {}
        self._aside = settings.folder(place.folder) / OWN / "leaving"

    def pieces(self, root: Path, values: set[str] | None = None) -> Iterator[Path]:
        if OWN in root.parts:
            # What lies aside is called like its ticket.
            yield from sorted(root.glob("[0-9]*") if root == self._aside else root.rglob(f"*{self.ending}"))
            return
        tickets = self._all() if values is None else self._requested_by(values)
        yield from sorted({root / str(ticket) for ticket in tickets})

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> list[tuple[str, Row]]:
        kept = path.read_bytes() if OWN in path.parts else _copy(self._aside / path.name)
        if kept:
            rows = [typed(orjson.loads(line), table) for line in kept.splitlines() if line.startswith(b"{")]
            return [(str(row["comment"]), row) for row in rows]
        role = "verifier" if values is None else "wardline"
        found = self._listed.pop(path.name, None) or self._ticket(path.name, role)
        if found is None:
            return []
        ticket, requester, organization = found
        return [
            (str(comment["id"]), typed(_row(ticket, comment, requester, organization, self.place.tenant), table))
            for comment in self._paged(f"/api/v2/tickets/{path.name}/comments.json", "comments", missing=[], role=role)
        ]

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        self._alone(leave)
        rows = dict(self.read(path, table))
        if rows and gone >= rows.keys():
            self._delete(path, rows, leave)
            return
        if not rows:
            return
        # What is struck cannot be taken back. So it is kept aside before; and what is held then, or by the time all is struck, is preserved
        # from there: however long anybody froze in between.
        leave()
        if not leave.aside.exists():
            self._keep(leave.aside, str(leave.whose), rows)
        for mark in gone & rows.keys():
            self._redact(path.name, mark, [rows[mark]["body"]])
        for mark, columns in edits.items():
            if mark in rows:
                self._edit(path.name, mark, rows[mark], columns)
        leave()
        leave.aside.unlink()

    def _alone(self, leave: Leave) -> None:
        """The copy of a ticket in which words are being struck is one step's, whose name is its first line: what is held later is preserved
        from it, and nobody else may take it away. Raises StoreUnavailable."""
        if _whose(leave.aside) not in ("", str(leave.whose)):
            raise StoreUnavailable(f"{self.store.store} is just being changed; ask again.")

    def put_back(self, path: Path, aside: Path) -> None:
        """A ticket that was deleted, but not for good, by a run that was killed: its copy is nobody's. Words that were struck by such a run
        stand in that run's copy. Either is read in the ticket's place until that is back, or the run carried on with."""
        if not aside.name.isdecimal():
            aside.unlink(missing_ok=True)  # half a copy: nothing had been done yet
        elif aside.exists() and not _whose(aside):
            self._call("PUT", f"/api/v2/deleted_tickets/{path.name}/restore.json", expected=(404,))
            aside.unlink()

    def _delete(self, path: Path, rows: dict[str, Row], leave: Leave) -> None:
        self._keep(leave.aside, "", rows)
        try:
            self._call("DELETE", f"/api/v2/tickets/{path.name}.json", expected=(404,))
            leave()
        except BaseException:
            with suppress(OSError):  # else whoever looks next does
                self.put_back(path, leave.aside)
            raise
        self._call("DELETE", f"/api/v2/deleted_tickets/{path.name}.json", expected=(404,))
        leave.aside.unlink()

    def _keep(self, aside: Path, whose: str, rows: dict[str, Row]) -> None:
        """What a ticket says, for who preserves it, or copies it, while it is on its way."""
        aside.parent.mkdir(parents=True, exist_ok=True)
        kept = [whose.encode(), *map(orjson.dumps, rows.values())]
        replace(aside, lambda fresh: fresh.write_bytes(b"\n".join(kept)))

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        held = [orjson.dumps(row) for mark, row in self.read(path, table) if mark in marks]
        kept = target / f"{path.name}{self.ending}"
        if held and not kept.exists():
            replace(kept, lambda fresh: fresh.write_bytes(b"\n".join(held)))

    def pending(self, gone: list[str]) -> date | None:
        left = [one for one in self._paged("/api/v2/deleted_tickets.json", "deleted_tickets") if str(one["id"]) in gone]
        days = [
            datetime.fromisoformat(one["deleted_at"]).date() + timedelta(days=self.place.gone_within_days)
            for one in left
        ]
        return max(days, default=None)

    def close(self) -> None:
        self.http.close()

    # --- finding ---------------------------------------------------------------------------------------------------------

    def _all(self) -> Iterator[str]:
        """By the incremental export, cursor by cursor, with users and organisations beside."""
        answer = self._call(
            "GET", "/api/v2/incremental/tickets/cursor.json?start_time=0&include=users,organizations", role="verifier"
        )
        while True:
            users = {one["id"]: one for one in answer["users"]}
            organizations = {one["id"]: one for one in answer["organizations"]}
            for ticket in answer["tickets"]:
                if ticket["status"] != "deleted":
                    asked = users.get(ticket["requester_id"], {})
                    self._listed[str(ticket["id"])] = ticket, asked, organizations.get(ticket["organization_id"], {})
                    yield str(ticket["id"])
            if answer["end_of_stream"]:
                return
            answer = self._call("GET", answer["after_url"], role="verifier")

    def _requested_by(self, values: set[str]) -> Iterator[str]:
        """Of every user who is known by one of these: by the customer's number, an address, or a number in E.164."""
        users: set[int] = set()
        for value in sorted(values):
            query = {"query": f'email:"{value}"'} if "@" in value else {"external_id": value}
            users |= {user["id"] for user in self._paged("/api/v2/users/search.json", "users", query)}
            if value.isdigit():
                by_phone = self._paged("/api/v2/users/search.json", "users", {"query": f'phone:"+{value}"'})
                users |= {user["id"] for user in by_phone}
        for user in sorted(users):
            for ticket in self._paged(f"/api/v2/users/{user}/tickets/requested.json", "tickets", missing=[]):
                yield str(ticket["id"])

    def _ticket(
        self, ticket: str, role: str = "wardline"
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | None:
        path = f"/api/v2/tickets/{ticket}.json?include=users,organizations"
        answer = self._call("GET", path, expected=(404,), role=role)
        if answer is None:
            return None
        one = answer["ticket"]
        requester = next((user for user in answer["users"] if user["id"] == one["requester_id"]), {})
        organization = next((each for each in answer["organizations"] if each["id"] == one["organization_id"]), {})
        return one, requester, organization

    # --- changing --------------------------------------------------------------------------------------------------------

    def _edit(self, ticket: str, mark: str, row: Row, columns: dict[str, Edit]) -> None:
        for column, edit in columns.items():
            if column == "body":
                self._redact(ticket, mark, edit.struck or [row["body"]])
            elif column == "attachments":
                self._redact_files(ticket, mark, edit.struck)
            elif column == "subject":
                self._call("PUT", f"/api/v2/tickets/{ticket}.json", {"ticket": {"subject": edit.value}})
            elif column in _USER:
                user = self._ticket(ticket)
                requester = user[1]["id"] if user else None
                self._call("PUT", f"/api/v2/users/{requester}.json", {"user": {_USER[column]: edit.value}})

    def _redact(self, ticket: str, comment: str, words: list[str] | tuple[str, ...]) -> None:
        comments = self._paged(f"/api/v2/tickets/{ticket}/comments.json", "comments", missing=[])
        body = next((one["html_body"] for one in comments if str(one["id"]) == comment), "")
        for word in sorted(map(html.escape, words), key=len, reverse=True):
            body = body.replace(word, f"<redact>{word}</redact>")
        said = {"ticket_id": int(ticket), "html_body": body}
        self._call("PUT", f"/api/v2/comment_redactions/{comment}.json", said, expected=(404,))

    def _redact_files(self, ticket: str, comment: str, words: tuple[str, ...]) -> None:
        comments = self._paged(f"/api/v2/tickets/{ticket}/comments.json", "comments", missing=[])
        files = next((one["attachments"] for one in comments if str(one["id"]) == comment), [])
        for file in files:
            if any(word in file["file_name"] for word in words):
                path = f"/api/v2/tickets/{ticket}/comments/{comment}/attachments/{file['id']}/redact.json"
                self._call("PUT", path, expected=(404,))

    # --- the vendor's HTTP -----------------------------------------------------------------------------------------------

    def _paged(
        self,
        path: str,
        items: str,
        query: dict[str, str] | None = None,
        missing: list[Any] | None = None,
        role: str = "wardline",
    ) -> Iterator[dict[str, Any]]:
        """Cursor by cursor. `missing`: what stands for a thing that is gone."""
        asked = str(httpx2.URL(path, params={"page[size]": str(_PAGE)} | (query or {})))
        while True:
            answer = self._call("GET", asked, expected=() if missing is None else (404,), role=role)
            if answer is None:
                return
            yield from answer[items]
            if not answer["meta"]["has_more"]:
                return
            asked = answer["links"]["next"]

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        expected: tuple[int, ...] = (),
        role: str = "wardline",
    ) -> Any:
        """The JSON of the answer; None for an `expected` refusal. Whoever is asked to slow down waits as long as is said. Raises OSError."""
        secret = self.settings.password(f"stores/{self.store.store}.{role}")
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = self.http.request(method, path, json=body, auth=(f"{self.place.user}/token", secret))
            except httpx2.HTTPError:
                raise ConnectionError("the helpdesk does not answer") from None
            if answer.status_code in expected:
                return None
            if answer.status_code < 400:
                return orjson.loads(answer.content) if answer.content else {}
            pause = _pause(answer.headers.get("retry-after", "1"))
            if answer.status_code not in (429, 503) or time.monotonic() + pause > until:
                refused = answer.status_code in (401, 403)
                raise PermissionError(errno.EACCES, "refused") if refused else ConnectionError("the helpdesk failed")
            time.sleep(pause)


def _whose(aside: Path) -> str:
    """The step that strikes words in a ticket; nobody's, where it is being deleted or is in its place."""
    return _copy(aside).partition(b"\n")[0].decode()


def _copy(aside: Path) -> bytes:
    """What a ticket said that is on its way; the first line is whose that is."""
    try:
        return aside.read_bytes()
    except FileNotFoundError:
        return b""


def _pause(said: str) -> float:
    """Seconds; a vendor's proxies may name the moment instead (RFC 9110, 10.2.3). What cannot be read is a second."""
    try:
        return max(0.0, float(said) if said.isdecimal() else parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 1.0


def _row(
    ticket: dict[str, Any],
    comment: dict[str, Any],
    requester: dict[str, Any],
    organization: dict[str, Any],
    tenant: Any,
) -> Row:
    return {
        "ticket": ticket["id"],
        "comment": comment["id"],
        "tenant": organization.get("external_id") or str(tenant),
        "customer_number": requester.get("external_id"),
        "requester_name": requester.get("name"),
        "requester_email": _spelled("email", requester.get("email")),
        "requester_phone": _spelled("msisdn", requester.get("phone")),
        "subject": ticket["subject"],
        "body": comment["plain_body"],
        "attachments": "\n".join(one["file_name"] for one in comment.get("attachments", ())) or None,
        "created_at": ticket["created_at"],
        "closed_at": ticket["updated_at"] if ticket["status"] in ("solved", "closed") else None,
    }


def _spelled(type: str, value: str | None) -> str | None:
    """In one spelling; what is no number is left as it was written, and found in texts only."""
    try:
        return normalise(type, value, COUNTRY) if value else None
    except BadIdentifier:
        return value
