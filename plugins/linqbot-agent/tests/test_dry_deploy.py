"""New code of an agent runs on what was handled: the model and the tools are answered from the record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dry_deploys import Day, texts, the_group
from linqbot_agent import LinqAgent, run
from one_handler import bot_of
from pydantic_ai import Agent, RunContext, Tool
from scripted_agents import Script, bot_with, calls, says, tool
from simulated_crash import begun

from linqbot import Bot, Context, MessageReceived

booked: list[str] = []


def book(day: str) -> str:
    booked.append(day)
    return f"Booked for {day}."


@pytest.fixture
async def day(tmp_path: Path) -> AsyncIterator[Day]:
    booked.clear()
    async with begun(Day, tmp_path) as opened:
        yield opened


def agent_bot(*responses: Any, tools: Sequence[Any] = (book,), **how: Any) -> tuple[Bot, Script]:
    script = Script(*responses)
    return bot_with(Agent(script.model, tools=tools, **how)), script


ANSWERS = (calls(tool("book", "c1", day="Friday")), says("Your table is booked."))


async def test_a_changed_prompt_goes_on_using_the_record(day: Day) -> None:
    day.bot, _ = agent_bot(*ANSWERS, instructions="You are a waiter.", system_prompt="Be polite.")
    await day.say("A table on Friday!")
    assert day.said == ["Your table is booked."]
    new, script = agent_bot(instructions="You are a pirate.", system_prompt="Be rude.")
    report = await day.compared(new)
    assert report.counts == {"same": 1}
    assert script.requests == []
    assert booked == ["Friday"]


async def test_a_removed_tool_is_reported(day: Day) -> None:
    day.bot, _ = agent_bot(*ANSWERS)
    await day.say("A table on Friday!")
    new, script = agent_bot(tools=())
    group = the_group(await day.compared(new))
    assert group.kind == "different answer"
    assert "book" in group.cause
    assert "not recorded" in group.cause
    assert script.requests == []


async def test_what_the_bot_says_around_the_agent_is_compared(day: Day) -> None:
    day.bot, _ = agent_bot(says("One."))
    await day.say("Count!")
    agent = Agent(Script().model)

    async def chat(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hello!")
        await run(agent, ctx)

    assert (await day.compared(agent_bot()[0])).counts == {"same": 1}
    new = bot_of(chat, plugins=[LinqAgent()])
    assert texts(the_group(await day.compared(new))) == [(None, "Hello!")]


async def test_a_tool_that_was_approved_is_answered_from_the_record(day: Day) -> None:
    tools = [Tool(book, requires_approval=True)]
    day.bot, _ = agent_bot(*ANSWERS, tools=tools)
    await day.say("A table on Friday!", "yes", service="SMS")
    assert booked == ["Friday"]
    new, script = agent_bot(tools=tools)
    report = await day.compared(new)
    assert (report.counts, report.answers) == ({"same": 1}, 1)
    assert (script.requests, booked) == ([], ["Friday"])


async def test_what_a_recorded_tool_has_said_is_no_difference(day: Day) -> None:
    async def look(ctx: RunContext[Context]) -> str:
        await ctx.deps.reply("One moment.")
        return "free"

    day.bot, _ = agent_bot(calls(tool("look", "c1")), calls(tool("look", "c2")), says("It is free."), tools=[look])
    await day.say("A table on Friday!")
    assert day.said == ["One moment.", "One moment.", "It is free."]
    assert (await day.compared(agent_bot(tools=[look])[0])).counts == {"same": 1}
