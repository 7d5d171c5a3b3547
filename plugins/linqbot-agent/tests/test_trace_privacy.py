"""No text of a conversation is in a span or in a log, in any framework, unless the author wants it; never with zero retention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from frameworks import FRAMEWORKS, Answer, Call, Outside, bot_of, each_framework  # noqa: F401 - a fixture
from linqbot_agent import LinqAgent
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from linqbot.testing import talking

linqbot_opentelemetry = pytest.importorskip("linqbot_opentelemetry")

WRITTEN, ORDERED, ARGUMENT, RESULT, ERROR, SAID = TEXTS = (
    "A table for Zebra",
    "You are Walrus",
    "the Argument of Yak",
    "the result: Lynx",
    "the error: Okapi",
    "Your table is Ibex",
)
ASKED: Final = "May I look"


class Texts(Outside):
    """An agent with one tool, which fails at first. Each text of its conversation is one of `TEXTS`."""

    def __init__(self) -> None:
        super().__init__(instructions=ORDERED, paragraphs=[SAID])
        self.has_failed = False

    def calls(self, results: int) -> list[Call]:
        return [] if results else [Call("look", "c1", f'{{"what": "{ARGUMENT}"}}')]

    def tools(self) -> list[Callable[..., Any]]:
        async def look(what: str) -> str:
            """Look."""
            if not self.has_failed:
                self.has_failed = True
                raise OSError(ERROR)
            return RESULT

        return [look]


async def traced(
    with_framework: Callable[..., Any],
    *,
    stream: bool,
    plugin: LinqAgent,
    zero_retention: bool = False,
    instrumented: Callable[[TracerProvider], dict[str, Any]] = lambda _: {},
) -> str:
    """Return the spans and the logs of a conversation, in which a call is asked for and fails, and its turn runs again."""
    exporter, provider, texts = InMemorySpanExporter(), TracerProvider(), Texts()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bot = bot_of(texts, with_framework(texts, stream=stream, **instrumented(provider)), plugin)
    bot.plugins = (*bot.plugins, linqbot_opentelemetry.OpenTelemetry(provider))
    with capture_logs() as log:
        async with talking(bot) as phone:
            phone.emulator.state.lines[phone.line].zero_retention = zero_retention
            await phone.text(WRITTEN)
            assert (await phone.next_reply()).startswith(ASKED)
            await phone.text("yes")
            assert len(await phone.errors()) == 1
            await phone.advance(60)
            assert (await phone.replies())[-1].startswith(SAID)
    spans = exporter.get_finished_spans()
    assert any("model" in span.name for span in spans)
    return "\n".join([*(span.to_json() for span in spans), *map(str, log)])


def found_in(trace: str) -> list[str]:
    return [text for text in TEXTS if text.split()[-1] in trace or ASKED in trace]


async def test_no_text_of_a_conversation_is_in_a_span_or_a_log(framework: Answer, subtests: pytest.Subtests) -> None:
    for stream in (False, True):
        with subtests.test(stream=stream):
            plugin = LinqAgent(needs_approval=["look"])
            assert found_in(await traced(framework, stream=stream, plugin=plugin)) == []


async def test_spans_of_pydantic_ai_have_texts_only_if_the_author_wants_them_and_never_with_zero_retention(
    subtests: pytest.Subtests,
) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.capabilities import Instrumentation
    from pydantic_ai.models.instrumented import InstrumentationSettings

    def by_capability(provider: TracerProvider) -> dict[str, Any]:
        return {"capabilities": [Instrumentation(settings=InstrumentationSettings(tracer_provider=provider))]}

    def for_all(provider: TracerProvider) -> dict[str, Any]:
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
        return {}

    try:
        for instrumented in (by_capability, for_all):
            for trace_content, zero_retention in ((False, False), (True, False), (True, True)):
                with subtests.test(instrumented.__name__, trace_content=trace_content, zero_retention=zero_retention):
                    plugin = LinqAgent(needs_approval=["look"], trace_content=trace_content)
                    trace = await traced(
                        FRAMEWORKS["pydantic-ai"],
                        stream=False,
                        plugin=plugin,
                        zero_retention=zero_retention,
                        instrumented=instrumented,
                    )
                    assert "invoke_agent" in trace
                    wanted = trace_content and not zero_retention
                    assert set(found_in(trace)) == ({*TEXTS} if wanted else set())
    finally:
        Agent.instrument_all(False)
