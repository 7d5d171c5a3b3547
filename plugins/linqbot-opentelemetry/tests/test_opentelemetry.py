"""Traces of an app that talks to the emulator: one message is one trace, from the webhook to the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_with_emulator import ANN, LINE, run_app
from linqbot_dev.emulator.model.faults import Fault
from linqbot_opentelemetry import OpenTelemetry
from one_handler import says
from opentelemetry import baggage, trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from patience import PATIENCE_S

from linqbot import Bot, Context, Draft, LinqApiError, MessageReceived, Running
from linqbot.client.call import prepare
from linqbot.engine.failure import RetryPolicy
from linqbot.events import Delivery
from linqbot.turn_events import (
    CallMade,
    DeliveryReceived,
    DeliveryStored,
    TurnEnded,
    TurnReport,
    TurnTaken,
    WebhookRefused,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROXY = f"00-{TRACE}-b7ad6b7169203331-01"
NOT_SAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"
SERVER = "POST /webhooks/linq"
TURN = "process message.received"
SEND = "POST /v3/chats/{chat_id}/messages"
CALL = prepare("chats.retrieve", path={"chat_id": "1"})
DELIVERY = Delivery("w.1", "c:1", "message.received", b"{}", 0.0)
NOW = RetryPolicy(first_s=0, most_s=0)


class Spans:
    """An exporter and the spans that it received."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def of(self, trace_id: int) -> list[ReadableSpan]:
        return [span for span in self.all() if span.context.trace_id == trace_id]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def bot_of(spans: Spans | None = None) -> Bot:
    return Bot(read=False, typing=False, max_age_s=None, plugins=[OpenTelemetry(spans.provider if spans else None)])


def echo(spans: Spans | None = None) -> Bot:
    bot = bot_of(spans)
    bot.on_message(says("{}"))
    return bot


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.context.span_id


async def test_a_message_is_one_trace_from_the_webhook_to_the_reply(spans: Spans, tmp_path: Path) -> None:
    async with run_app(echo(spans), tmp_path) as there:
        chat = there.text("hello")
        await there.quiet()
        base_port = int(there.emulator.public_url.rpartition(":")[2])
    turn, call = spans.one(TURN), spans.one(SEND)
    (webhook,) = [span for span in spans.named(SERVER) if is_child(turn, span)]
    assert webhook.parent is None
    assert is_child(call, turn)
    assert {span.context.trace_id for span in (webhook, turn, call)} == {webhook.context.trace_id}
    assert [span.kind for span in (webhook, turn, call)] == [SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.CLIENT]
    assert facts(webhook)["http.route"] == "/webhooks/linq"
    assert facts(webhook)["http.response.status_code"] == 200
    event_id = facts(webhook)["messaging.message.id"]
    assert {
        "messaging.system": "linq",
        "messaging.operation.type": "process",
        "messaging.destination.name": "message.received",
        "messaging.message.id": event_id,
        "messaging.message.conversation_id": chat,
        "linqbot.attempts": 0,
        "linqbot.outcome": "ack",
    }.items() <= facts(turn).items()
    assert str(facts(turn)["linqbot.handler"]).endswith("answer")
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "url.template": "/v3/chats/{chat_id}/messages",
        "server.address": "127.0.0.1",
        "server.port": base_port,
        "linqbot.call": "chats.messages.send",
    }.items() <= facts(call).items()
    times = [turn.start_time, call.start_time, call.end_time, turn.end_time]
    assert times == sorted(time or 0 for time in times)


async def test_a_trace_that_a_proxy_began_goes_on_and_of_its_headers_the_ids_only(spans: Spans, tmp_path: Path) -> None:
    """Check a span processor that copies baggage into attributes, as OpenTelemetry's own does."""
    parents: list[TraceContext] = []

    class Seen(SpanProcessor):
        def on_start(self, span: Span, parent_context: TraceContext | None = None) -> None:
            parents.append(parent_context or TraceContext())

    spans.provider.add_span_processor(Seen())
    own = {"tracestate": "vendor=planted", "baggage": "name=planted", "user-agent": "planted"}
    async with run_app(echo(spans), tmp_path) as there:
        there.headers.update({"traceparent": PROXY} | own)
        await there.answers("hello")
    ours = spans.of(int(TRACE, 16))
    assert {SERVER, TURN, SEND} <= {span.name for span in ours}
    for span in ours:
        assert not span.context.trace_state
        assert "planted" not in span.to_json()
    assert not any(baggage.get_all(parent) for parent in parents)


def test_an_error_is_named_as_in_the_code(spans: Spans, subtests: pytest.Subtests) -> None:
    class NoOrder(KeyError): ...

    plugin, seen = OpenTelemetry(spans.provider), 0
    made = [type(named, (KeyError,), {}) for named in ("a" * 65, "meet", "meet me at nine", ANN, "Grüße", "")]
    for kind in (NoOrder, *made):
        expected = "KeyError" if kind in made else "NoOrder"
        with subtests.test(named=kind.__name__):
            error = kind("a secret")
            plugin.turn_taken(TurnTaken(TurnReport(DELIVERY, 0.0, 0, 0, 0), {}))
            plugin.call_made(CallMade(CALL, None, error, 0.1, from_journal=False))
            plugin.turn_ended(TurnEnded(DELIVERY, 0, 0, 0, "retry", None, None, "answer", None, error, 0.1))
            new, seen = spans.all()[seen:], len(spans.all())
            assert len(new) == 2
            for span in new:
                assert facts(span)["error.type"] == expected
                assert (span.status.description or "").partition(":")[0] == expected
                assert "a secret" not in span.to_json()


def test_an_error_that_is_said_to_be_linqs_brings_no_text_as_its_trace_id(spans: Spans) -> None:
    plugin = OpenTelemetry(spans.provider)
    for trace_id in ("8af9171a45022df2eb74ba4e4c83be0f", "meet me at nine"):
        error = LinqApiError("no", status=400, trace_id=trace_id)
        plugin.call_made(CallMade(CALL, None, error, 0.1, from_journal=False))
    first, second = map(facts, spans.all())
    assert first["linqbot.linq.trace_id"] == "8af9171a45022df2eb74ba4e4c83be0f"
    assert "linqbot.linq.trace_id" not in second


async def test_what_the_proxy_does_not_sample_is_not_sampled(spans: Spans, tmp_path: Path) -> None:
    async with run_app(echo(spans), tmp_path) as there:
        there.headers["traceparent"] = NOT_SAMPLED
        assert await there.answers("hello") == ["hello"]
    assert spans.all() == []


async def test_a_turn_that_runs_again_is_another_span_of_the_same_trace(spans: Spans, tmp_path: Path) -> None:
    bot = bot_of(spans)
    runs: list[str] = []

    @bot.on_message
    async def flaky(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("one")
        runs.append(message.text)
        if len(runs) == 1:
            raise ValueError(f"{message.text} is too much")
        await ctx.reply("two")

    async with run_app(bot, tmp_path, retry_policy=NOW) as there:
        assert await there.answers("hello") == ["one", "two"]
    failed, done = spans.named(TURN)
    (webhook,) = [span for span in spans.named(SERVER) if is_child(done, span)]
    assert is_child(failed, webhook)
    assert failed.status.status_code is StatusCode.ERROR
    assert (facts(failed)["error.type"], facts(failed)["linqbot.outcome"]) == ("ValueError", "retry")
    assert (facts(done)["linqbot.attempts"], facts(done)["linqbot.outcome"]) == (1, "ack")
    # The message of the first run is not sent again, and the span of the second run shows this.
    first, second = spans.named(SEND)
    assert (is_child(first, failed), is_child(second, done)) == (True, True)
    assert [event.name for event in done.events] == ["linqbot.remembered"]


async def test_a_trace_goes_on_after_a_restart(spans: Spans, tmp_path: Path) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    bot = bot_of(spans)

    @bot.on_message
    async def slow(message: MessageReceived, ctx: Context) -> None:
        begun.set()
        await go.wait()

    async with run_app(bot, tmp_path, drain_s=0) as there:
        there.headers["traceparent"] = PROXY
        there.text("hello")
        await begun.wait()
    interrupted = spans.one(TURN)
    assert facts(interrupted)["linqbot.outcome"] == "defer"
    go.set()
    async with run_app(bot, tmp_path) as there:
        async with asyncio.timeout(PATIENCE_S):
            while await there.storage.depth():
                await asyncio.sleep(0)
    _, done = spans.named(TURN)
    assert done.context.trace_id == interrupted.context.trace_id == int(TRACE, 16)
    assert done.parent == interrupted.parent


async def test_a_step_is_a_span_with_its_tokens_and_a_remembered_one_is_none(spans: Spans, tmp_path: Path) -> None:
    bot, runs = bot_of(spans), list[int]()

    async def ask(draft: Draft) -> dict[str, Any]:
        return {"text": "Hi", "usage": {"input_tokens": 7, "output_tokens": 2}}

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        runs.append(1)
        step = await ctx.model_step("answer", ask)

        def pay(key: str) -> None:
            if len(runs) == 1:
                raise OSError(message.text)

        await ctx.once("pay", pay)
        await ctx.reply(step.response["text"])

    async with run_app(bot, tmp_path, retry_policy=NOW) as there:
        assert await there.answers("Hello") == ["Hi"]
    asked, failed, paid = spans.one("step answer"), *spans.named("step pay")
    usage = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 2}
    assert asked.attributes == {"linqbot.step": "answer", **usage}
    assert failed.status.status_code == StatusCode.ERROR
    assert failed.attributes == {"linqbot.step": "pay", "error.type": "OSError"}
    assert paid.status.status_code == StatusCode.UNSET
    again = spans.named(TURN)[-1]
    assert [event.name for event in again.events] == ["linqbot.remembered"]
    assert all(span.parent is not None for span in (asked, failed, paid))


async def test_the_name_of_a_span_has_no_ids_of_an_agents_steps(spans: Spans, tmp_path: Path) -> None:
    bot, steps = bot_of(spans), ("agent1/model@4f2a#0", "agent1/model@4f2a#0/cut0", "agent1/tool:book@call_7#0")

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        for step in steps:
            await ctx.once(step, lambda _: None)

    async with run_app(bot, tmp_path) as there:
        await there.answers("Hello")
    for name, step in zip(("model", "model/cut0", "tool:book"), steps, strict=True):
        assert facts(spans.one(f"step agent1/{name}")) == {"linqbot.step": step}


async def test_a_refused_call_is_an_error_with_linqs_number_and_the_turn_is_none(spans: Spans, tmp_path: Path) -> None:
    async with run_app(echo(spans), tmp_path) as there:
        there.emulator.world.faults.add(Fault(on="api", match="chats.messages.send", status=403, code=2024))
        await there.answers("hello")
    call, turn = spans.one(SEND), spans.one(TURN)
    assert call.status.status_code is StatusCode.ERROR
    assert {"error.type": "403", "linqbot.linq.code": 2024}.items() <= facts(call).items()
    assert turn.status.status_code is StatusCode.UNSET


async def test_a_span_says_nothing_a_person_is_or_says(spans: Spans, tmp_path: Path) -> None:
    bot = bot_of(spans)

    @bot.on_message("fail", attempts=2)
    async def broken(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("a secret reply")
        raise ValueError(f"{message.actor} wrote {message.text}")

    @bot.on_message
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.capability.check_i_message(address=message.actor or "")
        await ctx.client.phone_numbers.get_reputation_audit("1", phone_number=LINE)

    async with run_app(bot, tmp_path, retry_policy=NOW) as there:
        for text in ("fail", "hello"):
            there.text(text)
        await there.quiet()
        letters = await there.storage.dead_letters()
        keys = [effect.key for each in letters for effect in await there.storage.entries(each.delivery.id)]
    text = "".join(span.to_json() for span in spans.all())
    assert len(letters) == 2
    assert "ValueError" in text
    assert keys
    for private in (ANN, ANN[1:], LINE[1:], "a secret reply", "wrote", *keys):
        assert private not in text


async def test_a_forgery_makes_no_span(spans: Spans, tmp_path: Path) -> None:
    async with run_app(echo(spans), tmp_path) as there:
        assert (await there.http.post("/webhooks/linq", content=b"{}")).status_code == 401
    assert spans.all() == []


def test_within_an_instrumented_server_the_webhook_is_a_part_of_its_span(spans: Spans) -> None:
    plugin = OpenTelemetry(spans.provider)
    with spans.provider.get_tracer("asgi").start_as_current_span("asgi", kind=SpanKind.SERVER):
        plugin.delivery_received(DeliveryReceived(DELIVERY, {"traceparent": PROXY}, {}))
        plugin.delivery_stored(DeliveryStored(DELIVERY, True, 0.1))
    webhook = spans.one(SERVER)
    assert webhook.kind is SpanKind.INTERNAL
    assert is_child(webhook, spans.one("asgi"))


def test_a_delivery_that_could_not_be_stored_is_an_error_of_the_server(spans: Spans) -> None:
    plugin = OpenTelemetry(spans.provider)
    plugin.delivery_received(DeliveryReceived(DELIVERY, {}, {}))
    plugin.webhook_refused(WebhookRefused("unavailable", 503))
    webhook = spans.one(SERVER)
    assert webhook.status.status_code is StatusCode.ERROR
    assert (facts(webhook)["linqbot.refused"], facts(webhook)["error.type"]) == ("unavailable", "503")


def test_without_a_provider_nothing_is_traced_and_nothing_is_stored() -> None:
    plugin = OpenTelemetry()
    carrier: dict[str, str] = {}
    plugin.delivery_received(DeliveryReceived(DELIVERY, {"traceparent": PROXY}, carrier))
    plugin.delivery_stored(DeliveryStored(DELIVERY, True, 0.1))
    plugin.turn_taken(TurnTaken(TurnReport(DELIVERY, 0.0, 0, 0, 0), carrier))
    assert not trace.get_current_span().get_span_context().is_valid
    plugin.turn_ended(TurnEnded(DELIVERY, 0, 0, 0, "ack", None, None, None, None, None, 0.1))
    assert carrier == {}


async def test_a_provider_of_on_start_is_used(spans: Spans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = echo()

    @bot.on_start
    async def trace_here(running: Running) -> None:
        # A real process can set its global provider only once.
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)

    async with run_app(bot, tmp_path) as there:
        await there.answers("hello")
    assert spans.named(TURN)


async def test_without_a_provider_no_turn_looks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    none = trace.get_tracer_provider()

    def noted() -> trace.TracerProvider:
        looked.append("")
        return none

    monkeypatch.setattr(trace, "get_tracer_provider", noted)
    async with run_app(echo(), tmp_path) as there:
        assert looked
        looked.clear()
        assert await there.answers("hello") == ["hello"]
    assert looked == []
