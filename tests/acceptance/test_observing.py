"""A real `linqbot serve` with both observing plugins, killed between webhook and handler: one trace and the metrics show it.

Spans arrive at an OTLP receiver of our own, as a collector would get them, configured by nothing but OTEL_* variables.
"""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import crash
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from patience import PATIENCE_S, until
from prometheus_client.parser import text_string_to_metric_families
from served_bot import deliver

pytestmark = pytest.mark.process

BOT = """
import asyncio
from pathlib import Path
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def slowly(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"begun {message.text}")
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    await ctx.reply(f"done {message.text}")
"""
TURN = "process message.received"
WEBHOOK = "POST /webhooks/linq"
SEND = "POST /v3/chats/{chat_id}/messages"


@dataclass(frozen=True)
class Seen:
    """A span as a collector receives it. `by` is the process, its service.instance.id."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    by: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    """An OTLP/HTTP receiver."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            by = _values(resource.resource.attributes)["service.instance.id"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(Seen(span.name, *ids, by, _values(span.attributes)))

    def of(self, chat: str, name: str) -> list[Seen]:
        return [
            s for s in self.spans if (s.name, s.attributes.get("messaging.message.conversation_id")) == (name, chat)
        ]

    async def until(self, count: int, chat: str, name: str) -> list[Seen]:
        await until(lambda: len(self.of(chat, name)) >= count, every_s=0.02)
        return self.of(chat, name)


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


async def scraped(http: httpx.AsyncClient, bot: crash.Served) -> dict[tuple[str, ...], float]:
    text = (await http.get(f"{bot.url}/plugins/prometheus/metrics")).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples if "le" not in s.labels}


@pytest.mark.slow
async def test_a_turn_interrupted_by_a_kill_is_one_trace_and_is_counted(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "LINQBOT_CONCURRENCY": "1",
        "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=first",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):
        first, second = await crash.chats(http, emulator.url, 2)
        await bot.up(http, "/readyz")
        # The handler of the first delivery has the only slot. The second is accepted, but its handler has not begun.
        await deliver(http, bot.url, first, "one")
        await deliver(http, bot.url, second, "two", traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
        await collector.until(1, second, WEBHOOK)
        async with asyncio.timeout(PATIENCE_S):
            while not (await crash.replies(http, emulator.url))[first]:
                await asyncio.sleep(0.02)
        found = await scraped(http, bot)
        assert found["linqbot_inbox_deliveries",] == 2
        assert found["linqbot_turns_busy",] == 1
        assert found["linqbot_deliveries_stored_total", "message.received"] == 2
        assert 0 < found["linqbot_inbox_oldest_seconds",] < 60

        await bot.kill()
        (tmp_path / "go").touch()
        bot.environ["OTEL_RESOURCE_ATTRIBUTES"] = "service.instance.id=second"
        await bot.start()
        await bot.up(http, "/readyz")
        (turn,) = await collector.until(1, second, TURN)
        (again,) = await collector.until(1, first, TURN)
        found = await scraped(http, bot)
        assert await crash.replies(http, emulator.url) == {
            first: ["begun one", "done one"],
            second: ["begun two", "done two"],
        }

    (webhook,) = collector.of(second, WEBHOOK)
    assert (webhook.by, turn.by) == ("first", "second")
    assert (webhook.trace_id, webhook.parent) == (trace_id, "b7ad6b7169203331")
    assert (turn.trace_id, turn.parent) == (trace_id, webhook.span_id)
    calls = [span for span in collector.spans if span.parent == turn.span_id]
    assert [(call.name, call.by, call.trace_id) for call in calls] == [(SEND, "second", trace_id)] * 2
    # The interrupted turn continues in its trace. The result of its first call was lost with the process, so the call is
    # repeated under its key, which sends no second message.
    (begun,) = collector.of(first, WEBHOOK)
    assert (again.trace_id, again.parent) == (begun.trace_id, begun.span_id)
    assert len([span for span in collector.spans if span.parent == again.span_id]) == 2

    assert found["linqbot_turns_total", "message.received", "ack"] == 2
    assert found["linqbot_api_calls_total", "chats.messages.send", "none", "202"] == 4
    assert (found["linqbot_inbox_deliveries",], found["linqbot_turns_busy",]) == (0, 0)
    assert ("linqbot_deliveries_received_total", "message.received") not in found
