"""The SDK is set up from OTEL_* variables, and only if no provider is set."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from app_with_emulator import run_app
from linqbot_opentelemetry import OpenTelemetry, plugin
from linqbot_opentelemetry.plugin import flush, is_set, set_from_environment
from one_handler import bot_of, says
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from patience import PATIENCE_S

from linqbot.errors import ConfigError

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TracerProvider]]:
    """Return the providers that were set as global, which a real process can do only once."""
    providers: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", providers.append)
    yield providers
    for each in providers:
        each.shutdown()


@pytest.fixture
def exporters(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """Return the classes of the exporters that are added to a provider."""
    added: list[type] = []
    add = TracerProvider.add_span_processor

    def noted(of: TracerProvider, processor: Any) -> None:
        added.append(type(processor.span_exporter))
        add(of, processor)

    monkeypatch.setattr(TracerProvider, "add_span_processor", noted)
    return added


def test_a_provider_is_set_with_the_exporters_that_the_environment_names(
    made: list[TracerProvider], exporters: list[type], subtests: pytest.Subtests
) -> None:
    rows: list[tuple[dict[str, str], list[type]]] = [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}, [OTLPSpanExporter]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": NOWHERE}, [OTLPSpanExporter]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, [OTLPSpanExporter]),
        ({"OTEL_TRACES_EXPORTER": "console"}, [ConsoleSpanExporter]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, [OTLPSpanExporter, ConsoleSpanExporter]),
        ({}, []),
        ({"OTEL_SERVICE_NAME": "bot"}, []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}, []),
    ]
    for environ, kinds in rows:
        with subtests.test(**environ):
            exporters.clear()
            before = len(made)
            set_from_environment(environ)
            assert len(made) - before == (1 if kinds else 0)
            assert exporters == kinds


def test_a_provider_that_is_set_is_left_alone(made: list[TracerProvider], monkeypatch: pytest.MonkeyPatch) -> None:
    somebodys = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: somebodys)
    assert is_set()
    set_from_environment({"OTEL_TRACES_EXPORTER": "console"})
    assert made == []


def test_an_exporter_that_is_not_installed_is_named(made: list[TracerProvider]) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(ConfigError, match=r"otlp_proto_grpc is not installed\. Install"):
        set_from_environment(environ)
    assert made == []


async def test_a_missing_exporter_is_named_on_readyz_and_the_bot_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "carrier_pigeon")
    bot = bot_of(says("{}"), read=False, typing=False, plugins=[OpenTelemetry()])
    async with run_app(bot, tmp_path) as there:
        report = (await there.http.get("/readyz")).raise_for_status().json()["plugins"]
        assert await there.answers("hello") == ["hello"]
    assert "the exporter carrier_pigeon is not installed. Install" in report["opentelemetry"]


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match="opentelemetry-sdk is not installed"):
        set_from_environment({"OTEL_TRACES_EXPORTER": "console"})


class Stuck(SpanExporter):
    """An exporter whose collector accepts the connection and never responds."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.go_on.wait(PATIENCE_S)
        return SpanExportResult.SUCCESS


async def test_a_collector_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "FLUSH_S", 0.05)
    stuck, sdk = Stuck(), TracerProvider()
    sdk.add_span_processor(BatchSpanProcessor(stuck))
    sdk.get_tracer("bot").start_span("turn").end()
    await flush(sdk)
    assert stuck.asked.is_set()
    assert not stuck.go_on.is_set()
    stuck.go_on.set()
    sdk.shutdown()


async def test_the_last_spans_are_sent_before_the_end() -> None:
    memory, sdk = InMemorySpanExporter(), TracerProvider()
    sdk.add_span_processor(BatchSpanProcessor(memory, schedule_delay_millis=3_600_000))
    sdk.get_tracer("bot").start_span("turn").end()
    await flush(sdk)
    assert [span.name for span in memory.get_finished_spans()] == ["turn"]
    sdk.shutdown()


@pytest.mark.process
def test_importing_the_plugin_imports_no_sdk() -> None:
    code = "import sys, linqbot_opentelemetry; sys.exit(any('opentelemetry.sdk' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
