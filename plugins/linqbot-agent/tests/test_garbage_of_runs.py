"""A run that has ended leaves nothing of its turn to the garbage collector, so that memory stays flat between collections."""

from __future__ import annotations

import pytest
from linqbot_agent import Budget, LinqAgent
from pydantic_ai import Agent
from reference_cycles import counting_cycles
from scripted_agents import BotClock, bot_with, calls, says, steps, streamed, tool

from linqbot.testing import talking

RUNS = 5


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("approval", [False, True])
async def test_only_small_objects_without_the_turn_wait_for_the_garbage_collector(stream: bool, approval: bool) -> None:
    clock = BotClock()
    agent = Agent(streamed(steps(calls(tool("act", "c1")), says("Done.")), clock))

    @agent.tool_plain(requires_approval=approval)
    async def act() -> str:
        return "acted"

    bot = clock.of(bot_with(agent, LinqAgent(budget=Budget(requests=100)), stream=stream))
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
