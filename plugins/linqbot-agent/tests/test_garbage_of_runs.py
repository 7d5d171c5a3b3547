"""A run that has ended leaves nothing of its turn to the garbage collector, so that memory stays flat between collections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from linqbot_agent import Budget, LinqAgent
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from reference_cycles import counting_cycles
from scripted_agents import bot_with, calls, kinds, says, tool

from linqbot.testing import talking

RUNS = 5


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("approval", [False, True])
async def test_only_small_objects_without_the_turn_wait_for_the_garbage_collector(stream: bool, approval: bool) -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        is_done = kinds(messages)[-1].startswith("tool-return")
        return says("Done.") if is_done else calls(tool("act", f"c{len(messages)}"))

    async def write(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        if kinds(messages)[-1].startswith("tool-return"):
            yield "Done."
        else:
            yield {0: DeltaToolCall(name="act", json_args="{}", tool_call_id=f"c{len(messages)}")}

    agent = Agent(FunctionModel(respond, stream_function=write))

    @agent.tool_plain(requires_approval=approval)
    async def act() -> str:
        return "acted"

    bot = bot_with(agent, LinqAgent(budget=Budget(requests=100)), stream=stream)
    bot.loop_breaker = False  # this test repeats itself
    async with talking(bot) as phone:

        async def talk() -> None:
            await phone.text("Hi")
            if approval:
                await phone.next_reply()
                await phone.text("yes")
            assert await phone.replies() == ["Done."]
            await phone.quiet()

        await talk()
        with counting_cycles() as cycles:
            for _ in range(RUNS):
                await talk()

    # pydantic-ai ties cycles around what it gets for a run.
    of_pydantic_ai = {"LinqDurability", "_RecordingModel", "_Steps"}
    assert set(cycles) <= of_pydantic_ai, cycles
