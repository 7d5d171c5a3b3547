"""Traces, metrics and counts of runs: each request and each tool call shows once, although a turn may run again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from answers import answers
from linqbot_agent import Counts, LinqAgent
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.usage import RequestUsage
from scripted_agents import bot_with, calls, kinds, says, steps, tool

from linqbot.testing import Phone, killed_between_calls, talking


class Telemetry:
    """OpenTelemetry in memory, and an agent of two requests and one tool, which reports to it."""

    def __init__(self) -> None:
        self.made = Counter[str]()
        self.fails = 0
        self.is_down = False
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        tracer_provider = TracerProvider()
        tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        settings = InstrumentationSettings(
            tracer_provider=tracer_provider, meter_provider=MeterProvider(metric_readers=[self.reader])
        )
        self.agent = Agent(FunctionModel(self.respond), capabilities=[Instrumentation(settings=settings)])
        self.agent.tool_plain(self.book)

    def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if self.is_down:
            raise ModelHTTPError(529, "model")
        self.made["chat"] += 1
        is_done = any(said.startswith("tool-return") for said in kinds(messages))
        response = says("Booked.") if is_done else calls(tool("book", "c1"))
        return replace(response, usage=RequestUsage(input_tokens=40, output_tokens=10))

    def book(self) -> str:
        self.made["execute_tool"] += 1
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        return "booked"

    @property
    def spans(self) -> Counter[str]:
        """The spans of requests that were answered, and of tools: by their first word, `chat` or `execute_tool`."""
        return Counter(
            span.name.split()[0]
            for span in self.exporter.get_finished_spans()
            if "gen_ai.usage.input_tokens" in (span.attributes or {}) or span.name.startswith("execute_tool")
        )

    @property
    def input_tokens(self) -> float:
        data: Any = self.reader.get_metrics_data()
        return sum(
            float(point.sum)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "gen_ai.client.token.usage"
            for point in metric.data.data_points
            if point.attributes["gen_ai.token.type"] == "input"
        )


async def test_a_run_that_is_cut_off_and_replayed_shows_each_request_once() -> None:
    telemetry = Telemetry()
    telemetry.fails = 1
    async with talking(bot_with(telemetry.agent)) as phone:
        await phone.text("A table")
        assert len(await phone.errors()) == 1
        await phone.restart()
        await phone.advance(600)
        assert await phone.replies() == ["Booked."]
    assert telemetry.made == {"chat": 2, "execute_tool": 2}
    assert telemetry.spans["chat"] == 2
    assert telemetry.input_tokens == 80


@pytest.mark.slow
async def test_no_request_shows_twice_wherever_the_bot_is_killed() -> None:
    telemetry = Telemetry()

    async def scenario(phone: Phone) -> None:
        telemetry.made.clear()
        telemetry.exporter.clear()
        await phone.text("A table")

    async for phone in killed_between_calls(bot_with(telemetry.agent), scenario):
        assert telemetry.spans["chat"] <= telemetry.made["chat"], phone.killed
        # A kill may come between the record of a request and the end of its span.
        assert telemetry.spans["chat"] >= 1, phone.killed


async def test_the_plugin_counts_what_was_done() -> None:
    telemetry, plugin = Telemetry(), LinqAgent()
    telemetry.fails = 1
    async with talking(bot_with(telemetry.agent, plugin)) as phone:
        await phone.text("A table")
        await phone.errors()
        await phone.advance(60)
        await phone.replies()
        assert plugin.counts == Counts(runs=1, requests=2, input_tokens=80, output_tokens=20, tool_calls=1)
        telemetry.is_down = True
        await phone.text("Another table")
        await phone.replies()
    assert (plugin.counts.runs, plugin.counts.outages) == (1, 1)


async def test_requests_for_a_summary_and_of_agents_that_tools_ask_are_counted() -> None:
    usage = RequestUsage(input_tokens=5, output_tokens=2)
    other = Agent(FunctionModel(lambda messages, info: says("Found.", usage=usage)))

    async def look_up(ctx: RunContext[Any]) -> str:
        return (await other.run("Look it up", usage=ctx.usage)).output

    asking = Agent(FunctionModel(steps(calls(tool("look_up", "c1"), usage=usage), says("Done.", usage=usage))))
    asking.tool(look_up)
    summary = FunctionModel(lambda messages, info: says("A summary.", usage=usage))
    for agent, plugin, texts, counts in (
        (asking, LinqAgent(), 1, Counts(runs=1, requests=3, input_tokens=15, output_tokens=6, tool_calls=1)),
        (
            Agent(summary),
            LinqAgent(history=1, summary_model=summary),
            2,
            Counts(runs=2, requests=3, input_tokens=15, output_tokens=6),
        ),
    ):
        async with talking(bot_with(agent, plugin)) as phone:
            await answers(phone, *(f"Text {n}." for n in range(texts)))
        assert plugin.counts == counts
