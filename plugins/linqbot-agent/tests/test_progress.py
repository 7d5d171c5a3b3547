"""A run that takes long says so, once and before its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from answers import answers
from linqbot_agent import LinqAgent, run
from one_handler import bot_of, does
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import BotClock, bot_with, calls, says, steps, tool

from linqbot import Context
from linqbot.testing import killed_between_calls, talking


class Slow:
    """A bot whose agent has a tool that takes `seconds` of the bot's clock, in steps of one second. It may fail then."""

    def __init__(
        self,
        seconds: int,
        *,
        approval: bool = False,
        speaks: bool = False,
        recorded: bool = True,
        fails: bool = False,
        **arguments: Any,
    ) -> None:
        self.seconds = seconds
        self.looks = 0
        self.fails = fails
        respond = steps(calls(tool("look", "c1")), says("A table is free."))
        agent = Agent(FunctionModel(respond), deps_type=Context)
        clock = BotClock()

        async def chat(ctx: Context) -> None:
            await run(agent, ctx, **arguments)
            if self.fails:
                raise ConnectionError

        self.bot = clock.of(bot_of(does(chat), plugins=[LinqAgent()]))

        @agent.tool(requires_approval=approval, metadata={"recorded": recorded})
        async def look(ctx: RunContext[Context]) -> str:
            self.looks += 1
            if speaks:
                await ctx.deps.reply("I look into the book.")
            for _ in range(self.seconds):
                await clock.wait(1)
            return "free"


async def test_after_five_seconds_of_silence_a_run_says_so_once() -> None:
    for slow, said in (
        (Slow(3), []),
        (Slow(20), ["One moment …"]),
        (Slow(20, progress=None), []),
        (Slow(20, progress="Just a second.", progress_after_s=15), ["Just a second."]),
        (Slow(20, speaks=True), ["I look into the book."]),
    ):
        async with talking(slow.bot) as phone:
            assert await answers(phone, "A table?") == [*said, "A table is free."]


async def test_no_progress_is_said_directly_before_a_text_that_already_comes() -> None:
    clock = BotClock()

    async def writes(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for word in ["Our", *["very"] * 20, "best soup. "]:
            yield f"{word} "
            await clock.wait(1)

    async with talking(clock.of(bot_with(Agent(FunctionModel(stream_function=writes)), stream=True))) as phone:
        (said,) = await answers(phone, "What is good?")
        assert said.startswith("Our very very")


@pytest.mark.slow
async def test_a_run_that_is_killed_anywhere_says_its_progress_once_and_before_its_answer() -> None:
    async for phone in killed_between_calls(Slow(8).bot, lambda phone: phone.text("A table?")):
        assert phone.messages[1:] == ["One moment …", "A table is free."], phone.killed


async def test_the_wait_begins_again_with_an_approval() -> None:
    async with talking(Slow(8, approval=True).bot) as phone:
        assert await answers(phone, "A table?") == ["May I look? 👍 or yes, 👎 or no"]
        assert await answers(phone, "yes") == ["One moment …", "A table is free."]


async def test_an_answer_on_record_is_said_without_progress() -> None:
    slow = Slow(3, recorded=False, fails=True)
    async with talking(slow.bot) as phone:
        await phone.text("A table?")
        await phone.errors()
        slow.seconds, slow.fails = 20, False
        await phone.advance(60)
        assert slow.looks == 2
        assert phone.messages == ["A table?", "A table is free."]


async def test_a_progress_that_linq_refuses_does_not_cost_the_answer() -> None:
    async with talking(Slow(20).bot) as phone:
        phone.fail_next("chats.messages.send", status=400, code=1005)
        assert await answers(phone, "A table?") == ["A table is free."]
        assert await phone.errors() == []
