"""The public edge: customers, the operator's systems, regulators."""

from fastapi import FastAPI

from gateway import edge
from gateway.routes import PUBLIC
from services.consent.contract import CONSENT_INFO, camara_refusal


def create_app() -> FastAPI:
    return edge.create_app("public", PUBLIC, front="/privacy", dialects={CONSENT_INFO: camara_refusal})
