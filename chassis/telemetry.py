"""Traces, metrics and logs, none of which may hold a person's data.

Traces follow W3C `traceparent` through gateway, service, transaction and job; they leave the process only when an OTLP
endpoint is set. Logs are one JSON object a line; what looks like a person is struck out before it is written.
"""

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import structlog
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import RandomIdGenerator, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import Counter, Histogram

_tracer = trace.get_tracer("wardline")
_ids = RandomIdGenerator()
_nobody_listens = False
_handed_on: ContextVar[str | None] = ContextVar("traceparent", default=None)

requests_total = Counter("wardline_requests_total", "Requests answered", ["service", "method", "route", "status"])
request_seconds = Histogram("wardline_request_seconds", "Time to answer", ["service", "method", "route"])
troubles_total = Counter("wardline_troubles_total", "Troubles that pass by themselves, met", ["event", "error"])
refusals_total = Counter("wardline_refusals_total", "Denied authentication or scope", ["service", "reason"])

_personal = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]+"  # e-mail
    r"|\b(?:19|20)?\d{6}[-+ ]?\d{4}\b"  # personnummer
    r"|\+?\b\d[\d -]{6,14}\d\b"  # E.164 and how people write it
    r"|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b",  # MAC
    re.IGNORECASE,
)
# What the database's driver quotes of a row or an argument, and a model of what it was given: no pattern tells a name in it.
_quoted = re.compile(r"(DETAIL:  |for query argument \$\d+: |input_value=)[^\n]*")
_instant_or_id = re.compile(r"^\d{4}-\d\d-\d\dT|^[0-9a-f]{8}-[0-9a-f]{4}-|^[0-9a-f]{16,64}$")


def configure(service: str, otlp_endpoint: str | None) -> None:
    """Set up tracing and logging; tracing once per process, as OpenTelemetry allows it."""
    _trace_as(service, otlp_endpoint)
    _log_as(service)


def _trace_as(service: str, otlp_endpoint: str | None) -> None:
    global _nobody_listens
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    _nobody_listens = otlp_endpoint is None
    provider = TracerProvider(
        sampler=None if otlp_endpoint else ALWAYS_OFF,
        resource=OTELResourceDetector().detect().merge(Resource({"service.name": f"wardline-{service}"})),
    )
    if otlp_endpoint:
        # Imported here: the exporter costs 10 MB and most single machines have no collector.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp_endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)


def _log_as(service: str) -> None:
    shared = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(_Out()),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)


class _Out:
    """Standard output as it is at the moment. What cannot be written, on a full disk, is lost; what it tells of goes on."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stdout.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stdout.flush()


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Strike out whatever looks like a person in every text of a log line, stack traces included."""
    for name, value in event.items():
        if isinstance(value, str) and not _instant_or_id.match(value):
            event[name] = _personal.sub("[redacted]", _quoted.sub(r"\1[redacted]", value))
    return event


def log() -> Any:
    return structlog.get_logger()


@contextmanager
def span(name: str, carrier: MutableMapping[str, str] | None = None, **attributes: str) -> Iterator[None]:
    """A span under the current one, or under the `traceparent` a carrier brings. Exceptions end it without their text.

    Where no collector listens nothing is measured: whose trace this is goes on from hand to hand, for a tenth of the time.
    """
    if _nobody_listens:
        before = _handed_on.get()
        _handed_on.set(_brought(carrier) or before or _begun())
        try:
            yield
        finally:
            # Not by its token: what is left unfinished may be ended in another context, which knows none of ours.
            _handed_on.set(before)
        return
    parent = propagate.extract(carrier) if carrier else None
    with _tracer.start_as_current_span(name, context=parent, attributes=attributes, record_exception=False):
        yield


def traceparent() -> str | None:
    """The W3C header of the current span, to be carried by calls, events and jobs."""
    return _handed_on.get() if _nobody_listens else _spelled(trace.get_current_span())


def _brought(carrier: MutableMapping[str, str] | None) -> str | None:
    if carrier is None or "traceparent" not in carrier:
        return None
    return _spelled(trace.get_current_span(propagate.extract(carrier)))


def _begun() -> str:
    return f"00-{_ids.generate_trace_id():032x}-{_ids.generate_span_id():016x}-00"


def _spelled(span: trace.Span) -> str | None:
    here = span.get_span_context()
    if not here.is_valid:
        return None
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"
