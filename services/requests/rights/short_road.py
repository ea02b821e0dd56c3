"""Requests that come in great number: the ordinary route of the same path asks the same code."""

from fastapi import FastAPI

from chassis import bodies, idempotency, telemetry
from chassis.auth import Caller
from chassis.hot import Answer, Headers, Hot, carried, text, written
from services.requests.rights.commands.asking import Asked
from services.requests.rights.contract import OpenRequest

OPEN = "/v1/requests"
ASKS = ("rights.request", "rights.handle")


async def open_request(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    state = app.state
    with telemetry.span(f"rights POST {OPEN}", carried(headers)):
        bodies.must_be_json(text(headers, b"content-type"))
        wish = bodies.read(OpenRequest, raw)
        key = text(headers, b"idempotency-key")
        sent = idempotency.write(state.settings, caller, key, f"POST {OPEN}", raw, status=201)
        return written(await state.intake(caller.tenant, sent, Asked(caller, wish, telemetry.traceparent())))


PATHS = {("POST", OPEN): Hot(ASKS, open_request)}
