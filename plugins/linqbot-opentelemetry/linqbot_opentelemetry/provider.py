"""Sets up the OpenTelemetry SDK from the standard OTEL_* variables, so that a bot needs no code for tracing.

A tracer provider that is set in the bot's file or by `opentelemetry-instrument` is kept. The SDK is imported only here,
and only if the environment asks for traces.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from linqbot.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORTERS = "OTEL_TRACES_EXPORTER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


FLUSH_S: Final = 3.0
"""Seconds that a bot that stops waits until its last spans are sent."""


def is_set() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def set_from_environment(environ: Mapping[str, str] = os.environ) -> TracerProvider | None:
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


async def flush(provider: TracerProvider) -> None:
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
        "Install linqbot-opentelemetry[otlp], or the exporter's own package; OTEL_TRACES_EXPORTER=none turns this off."
    )
