"""The plugin: spans for each webhook, for each turn of a delivery, for each call to Linq, and for each step.

The spans of one delivery are one trace, also across a restart. The context of the webhook's span is stored with the
delivery, in its carrier, as W3C traceparent; every turn continues from this context.

If the bot has set no tracer provider, the SDK is set up from the standard OTEL_* variables, so that a bot needs no code for
tracing. It is imported only then, and only if the environment asks for traces.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from linqbot import Running, hookimpl
from linqbot.errors import ConfigError, error_name
from linqbot.turn_events import (
    CallMade,
    DeliveryReceived,
    DeliveryStored,
    Observers,
    StepEnded,
    TurnEnded,
    TurnTaken,
    WebhookRefused,
)
from linqbot_opentelemetry import attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider

ROUTE: Final = "/webhooks/linq"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.27.0"

# Always W3C format in the inbox, whatever format proxies use: a later release with another setup may read it.
_carrying: Final = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class _Turn:
    span: Span
    token: Token[Context]


def _of_ids(parent: Context) -> Context:
    """Return a context with the ids and flags of `parent`'s span alone.

    The sender of a request chooses its tracestate and baggage. They would be part of every span of the trace, and would
    be stored with the delivery.
    """
    seen = trace.get_current_span(parent).get_span_context()
    ids = SpanContext(seen.trace_id, seen.span_id, seen.is_remote, seen.trace_flags)
    return trace.set_span_in_context(NonRecordingSpan(ids), Context()) if ids.is_valid else Context()


class OpenTelemetry:
    """Traces one app. Without a tracer provider it does nothing.

    Once the package is installed, nothing needs to be configured. A plugin given in code, with
    `Bot(plugins=[OpenTelemetry(provider)])`, replaces the installed one.

    Args:
        tracer_provider: Provider that receives the spans. None means OpenTelemetry's global provider, which is looked up
            once, after `on_start`. If it is not set then, it is made from the standard OTEL_* variables, provided that
            these name an exporter or its endpoint.
    """

    name: Final = "opentelemetry"

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._given = tracer_provider
        self._made: SdkTracerProvider | None = None
        self._tracer = self._find_tracer()
        self._linq: attributes.Attributes = {}
        self._receiving: ContextVar[Span | None] = ContextVar("receiving", default=None)
        self._turn: ContextVar[_Turn | None] = ContextVar("turn", default=None)

    @hookimpl(trylast=True)
    def started(self, running: Running) -> None:
        self._linq = attributes.of_server(running.client.base_url)
        if self._given is None:
            self._made = set_from_environment()
        self._tracer = self._find_tracer()

    @hookimpl
    def register_observers(self) -> Observers:
        return {
            DeliveryReceived: self.delivery_received,
            DeliveryStored: self.delivery_stored,
            WebhookRefused: self.webhook_refused,
            TurnTaken: self.turn_taken,
            CallMade: self.call_made,
            StepEnded: self.step_ended,
            TurnEnded: self.turn_ended,
        }

    def delivery_received(self, event: DeliveryReceived) -> None:
        if (tracer := self._tracer) is None:
            return
        # If the ASGI server is instrumented, its span is the span of the request, and this span is a part of it.
        is_inside = trace.get_current_span().get_span_context().is_valid
        span = tracer.start_span(
            f"POST {ROUTE}",
            _of_ids(context.get_current() if is_inside else propagate.extract(event.headers, Context())),
            SpanKind.INTERNAL if is_inside else SpanKind.SERVER,
            attributes.of_request(event.delivery, ROUTE),
        )
        _carrying.inject(event.carrier, trace.set_span_in_context(span))
        self._receiving.set(span)

    def delivery_stored(self, event: DeliveryStored) -> None:
        if self._tracer is not None and (span := self._take_webhook_span()) is not None:
            span.set_attributes({"http.response.status_code": 200, "linqbot.is_new": event.is_new})
            span.end()

    def webhook_refused(self, event: WebhookRefused) -> None:
        # A POST that is refused before it is verified, such as a forgery, makes no span: strangers could fill the backend.
        if (span := self._take_webhook_span()) is not None:
            span.set_attributes(
                {"http.response.status_code": 503, "error.type": "503", "linqbot.refused": event.reason}
            )
            span.set_status(StatusCode.ERROR, event.reason)
            span.end()

    def turn_taken(self, event: TurnTaken) -> None:
        if (tracer := self._tracer) is None:
            return
        report = event.report
        facts = attributes.of_turn(report)
        parent = _carrying.extract(event.carrier, Context())
        span = tracer.start_span(f"process {attributes.destination(report.delivery)}", parent, SpanKind.CONSUMER, facts)
        self._turn.set(_Turn(span, context.attach(trace.set_span_in_context(span))))

    def call_made(self, event: CallMade) -> None:
        if (tracer := self._tracer) is None:
            return
        if event.from_journal:
            trace.get_current_span().add_event("linqbot.remembered", {"linqbot.call": event.call.name})
            return
        end = time.time_ns()
        span = tracer.start_span(
            attributes.call_name(event.call),
            kind=SpanKind.CLIENT,
            attributes=attributes.of_call(event.call) | self._linq,
            start_time=end - int(event.took_s * 1e9),
        )
        span.set_attributes(attributes.of_answer(event.answer, event.error))
        if event.error is not None:
            span.set_status(StatusCode.ERROR, error_name(event.error))
        span.end(end)

    def step_ended(self, step: StepEnded) -> None:
        if (tracer := self._tracer) is None:
            return
        facts = attributes.of_step(step.name, step.usage)
        if step.from_journal:
            trace.get_current_span().add_event("linqbot.remembered", facts)
            return
        end = time.time_ns()
        start = end - int(step.took_s * 1e9)
        span = tracer.start_span(attributes.step_name(step.name), attributes=facts, start_time=start)
        if step.error is not None:
            span.set_attributes(attributes.of_error(step.error))
            span.set_status(StatusCode.ERROR, error_name(step.error))
        span.end(end)

    def turn_ended(self, turn: TurnEnded) -> None:
        if (running := self._turn.get()) is None:
            return
        self._turn.set(None)
        running.span.set_attributes(attributes.of_end(turn))
        if turn.error is not None:
            running.span.set_status(StatusCode.ERROR, f"{error_name(turn.error)}: {turn.outcome}")
        elif turn.outcome == "dead_letter":
            running.span.set_status(StatusCode.ERROR, turn.outcome)
        running.span.end()
        context.detach(running.token)

    @hookimpl
    async def stopped(self) -> None:
        if self._made is not None:
            await flush(self._made)

    def _find_tracer(self) -> Tracer | None:
        if self._given is None and not is_set():
            return None
        return trace.get_tracer("linqbot", version("linqbot"), self._given, SCHEMA)

    def _take_webhook_span(self) -> Span | None:
        span = self._receiving.get()
        self._receiving.set(None)
        return span


EXPORTERS = "OTEL_TRACES_EXPORTER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

FLUSH_S: Final = 3.0
"""Seconds that a bot that stops waits until its last spans are sent."""


def is_set() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def set_from_environment(environ: Mapping[str, str] = os.environ) -> SdkTracerProvider | None:
    """Set the SDK's provider, unless a provider is set or the environment names no exporter and no endpoint.

    The SDK itself reads sampler, resource, limits, batches and the settings of exporters from OTEL_*.

    Returns:
        The provider, which must be flushed when the app stops; None if none was set here.

    Raises:
        ConfigError: the SDK or an exporter is not installed.
    """
    names = tuple(_names(environ))
    if not names or is_set():
        return None
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(_advice("opentelemetry-sdk")) from error
    exporters = [_exporter(name) for name in names]
    # No shutdown at exit: the exporter would keep trying an unreachable collector for ten more seconds.
    provider = TracerProvider(shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    trace.set_tracer_provider(provider)
    return provider


async def flush(provider: SdkTracerProvider) -> None:
    """Send the remaining spans, and give up after `FLUSH_S` seconds."""
    # A daemon thread, because only the end of the process stops a running export.
    flushing = threading.Thread(target=provider.force_flush, daemon=True)
    flushing.start()
    await asyncio.to_thread(flushing.join, FLUSH_S)


def _names(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the entry points of the exporters in OTEL_TRACES_EXPORTER. An endpoint without this variable means OTLP."""
    default = "otlp" if any(environ.get(name) for name in ENDPOINTS) else ""
    listed = (environ.get(EXPORTERS) or default).split(",")
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), "http/protobuf")
    for name in filter(None, map(str.strip, listed)):
        if name == "otlp":
            yield "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
        elif name != "none":
            yield name


def _exporter(name: str) -> Any:
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        return found.load()
    raise ConfigError(_advice(f"the exporter {name}"))


def _advice(what: str) -> str:
    return (
        f"The OTEL_* variables ask for traces, but {what} is not installed. "
        "Install opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http, or the exporter's own package; "
        "OTEL_TRACES_EXPORTER=none turns this off."
    )
