"""Requests as the helpdesk opens them for a person, over the internal edge."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2

from benchmarks.house import House
from sample.actors import Refused
from services.requests.rights.package import passphrase

_PATIENCE = 120
_AGAIN = 0.06  # the edge lets one person ask twenty times a second
_WAIT = 3  # seconds in which the edge answers when something happened


class Desk:
    def __init__(self, house: House) -> None:
        self.staff = house.cast.person("helpdesk")

    def handed_over(self, person: UUID, rows: int) -> float:
        """Seconds from asking to the finished package. Raises RuntimeError unless it speaks of as many rows."""
        began = time.perf_counter()
        request = self.open(person)
        self.until(request, lambda seen: seen["state"] == "answered")
        seconds = time.perf_counter() - began
        found = self.staff.get(f"/staff/v1/requests/{request}/answer").json()["found"]
        if sum(count for each in found for count in each["counts"].values()) < rows:
            raise RuntimeError(f"the package speaks of fewer than {rows} rows: {found}")
        return seconds

    def open(self, person: UUID) -> str:
        wish = {
            "kind": "access",
            "principal": str(person),
            "channel": "telephone",
            "evidence": {"method": "call_back"},
            "passphrase": passphrase.draw(),
        }
        return self.staff.post("/staff/v1/requests", wish).json()["request"]

    def until(
        self, request: str, wanted: Callable[[dict[str, Any]], bool], *, of_steps: bool = False
    ) -> dict[str, Any]:
        """The request as soon as it is as wanted; an edge or service that does not answer is asked again. of_steps: what is wanted can
        come while the request's own state stays, so nobody waits for that."""
        until, query = time.monotonic() + _PATIENCE, ""
        while time.monotonic() < until:
            try:
                seen = self.staff.get(f"/staff/v1/requests/{request}{query}").json()
            except (Refused, httpx2.HTTPError) as failure:
                if isinstance(failure, Refused) and failure.status not in (429, 503):
                    raise
                time.sleep(_AGAIN)
            else:
                if wanted(seen):
                    return seen
                if of_steps:
                    time.sleep(_AGAIN)
                else:
                    query = f"?wait={_WAIT}&known={seen['state']}"
        raise RuntimeError(f"request {request} did not move on within {_PATIENCE} s")
