"""The anonymizer as the registry sees it: says whether a book fits the stores, and what it would change in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from services.registry.contract import PolicyBook, faults
from tests.serving import serve, until_some

CHANGE = {
    "store": "recordings",
    "table": "recording",
    "element": "helpdesk_recording",
    "category": "service_specific",
    "before": {"action": "delete", "rule": "helpdesk_recordings"},
    "after": {"action": "keep", "rule": "helpdesk_recordings"},
    "count": 12,
}


class DataPlane:
    """fields: the elements that the stores hold · changes: its answer to every simulation · events: its feed · deliveries: the feed of webhooks · held, lines: what stores have of a tenant, and hand back · drift: what its stores look like · asked: what it was asked."""

    def __init__(self) -> None:
        self.fields = {"name", "helpdesk_recording"}
        self.changes: list[dict[str, Any]] = [CHANGE]
        self.asked: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.held: dict[str, int] = {"helpdesk": 0, "recordings": 0}
        self.lines: dict[str, bytes] = {}
        self.drift: dict[str, Any] = {"items": [], "unread": []}
        self.url = ""
        self.app = FastAPI()
        self.app.add_api_route("/token", self._token, methods=["POST"])
        self.app.add_api_route("/v1/datamap", self._data_map)
        self.app.add_api_route("/v1/drift", self._drift)
        self.app.add_api_route("/v1/holdings", self._holdings)
        self.app.add_api_route("/v1/returns/{store}", self._give_back)
        self.app.add_api_route("/events", self._events)
        self.app.add_api_route("/webhooks/events", self._delivered)
        self.app.add_api_route("/v1/simulations", self._simulate, methods=["POST"])

    @property
    def peers(self) -> dict[str, str]:
        return {"anonymizer": self.url, "identity": self.url, "webhooks": f"{self.url}/webhooks"}

    async def _token(self) -> dict[str, Any]:
        return {"access_token": "any", "expires_in": 300}

    async def _data_map(self) -> dict[str, Any]:
        held = [{"store": "crm", "table": "person", "column": field, "element": field} for field in sorted(self.fields)]
        return {"items": held}

    async def _drift(self) -> dict[str, Any]:
        return self.drift

    async def _holdings(self) -> dict[str, Any]:
        label = {"sv": "Ett register", "en": "A store"}
        items = [{"store": store, "label": label, "count": n, "can_return": True} for store, n in self.held.items()]
        return {"items": [*items, {"store": "cellar", "label": label, "count": None, "can_return": False}]}

    async def _give_back(self, store: str) -> Response:
        return Response(self.lines[store], media_type="application/x-ndjson")

    async def _events(self, request: Request, after: int, wait: float) -> dict[str, Any]:
        return await _fresh(request, self.events, after, wait)

    async def _delivered(self, request: Request, after: int, wait: float) -> dict[str, Any]:
        return await _fresh(request, self.deliveries, after, wait)

    async def _simulate(self, request: Request) -> Any:
        raw = await request.json()
        self.asked.append(raw)
        book = PolicyBook.model_validate_json(
            PolicyBook.model_validate(raw["proposed"], strict=False).model_dump_json()
        )
        known = {element.key for category in book.categories for element in category.elements}
        wrong = [{"path": fault.where, "problem": fault.what} for fault in faults(book)]
        wrong += [{"path": "data map", "problem": f"{field} is held"} for field in sorted(self.fields - known)]
        if wrong:
            return JSONResponse({"code": "anonymizer.book_misfits", "status": 409, "title": "-", "errors": wrong}, 409)
        changes = self.changes if raw["stores"] is None else []
        return {"as_of": raw["as_of"], "policy_version": "2026.1", "items": [], "changes": changes}


async def _fresh(request: Request, events: list[dict[str, Any]], after: int, wait: float) -> dict[str, Any]:
    await until_some(request, lambda: any(event["position"] > after for event in events), wait)
    fresh = [event for event in events if event["position"] > after]
    position = max((event["position"] for event in fresh), default=after)
    items = [event | {"leaf": f"{event['position']:064x}"} for event in fresh]
    return {"items": items, "next": position, "leaf": f"{position:064x}" if position else None}


@asynccontextmanager
async def data_plane() -> AsyncIterator[DataPlane]:
    plane = DataPlane()
    async with serve(plane.app) as plane.url:
        yield plane
