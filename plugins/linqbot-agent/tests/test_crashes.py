"""An agent that is killed at any point goes on after the restart: nothing recorded is repeated, and everything is said once."""

from __future__ import annotations

import pytest
from linqbot_agent import LinqAgent, run
from one_handler import bot_of, does
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.function import FunctionModel
from scripted_agents import bot_with, calls, fixed, says, steps, tool

from linqbot import Context
from linqbot.events import ParticipantAdded
from linqbot.testing import Phone, killed_between_calls

BOOK = fixed("book", "booked", requires_approval=True)


class Guest(BaseModel):
    likes: list[str] = []
    visits: int = 0


@pytest.mark.slow
async def test_what_a_tool_writes_to_the_state_is_written_once_and_seen_by_the_handler() -> None:
    soup, cake = (calls(tool("like", dish, dish=dish)) for dish in ("soup", "cake"))
    respond = steps(soup, calls(tool("book", "c2")), cake, says("Noted."))
    agent = Agent(FunctionModel(respond), deps_type=Context, tools=[BOOK])

    @agent.tool(metadata={"recorded": False})
    async def like(ctx: RunContext[Context], dish: str) -> str:
        guest = await ctx.deps.state.person(Guest)
        guest.likes.append(dish)
        return "noted"

    async def chat(ctx: Context) -> None:
        await run(agent, ctx)
        (await ctx.state.person(Guest)).visits += 1

    async def scenario(phone: Phone) -> None:
        await phone.text("I like soup and cake")
        await phone.next_reply()
        await phone.text("yes")

    async for phone in killed_between_calls(bot_of(does(chat), plugins=[LinqAgent()]), scenario):
        assert phone.messages[-1] == "Noted.", phone.killed
        assert await phone.state(Guest) == Guest(likes=["soup", "cake"], visits=1), phone.killed


@pytest.mark.slow
async def test_what_tools_say_and_schedule_is_said_once_for_each_call_also_in_the_same_words() -> None:
    called = [calls(tool("remind", "c1")), calls(tool("book", "c2")), calls(tool("remind", "c3"))]
    agent = Agent(FunctionModel(steps(*called, says("Noted."))), deps_type=Context, tools=[BOOK])

    @agent.tool
    async def remind(ctx: RunContext[Context]) -> str:
        await ctx.deps.reply("I note it.")
        await ctx.deps.send_later("Your table waits.", after_s=3600)
        return "scheduled"

    async def scenario(phone: Phone) -> None:
        await phone.text("A table")
        assert await phone.next_reply() == "I note it."
        await phone.next_reply()
        await phone.text("yes")
        await phone.quiet()
        await phone.advance(3601)

    async for phone in killed_between_calls(bot_with(agent), scenario):
        asked = "May I book? 👍 or yes, 👎 or no"
        later = ["Your table waits."] * 2
        assert phone.messages[1:] == ["I note it.", asked, "yes", "I note it.", "Noted.", *later], phone.killed


@pytest.mark.slow
async def test_a_person_whom_a_tool_adds_is_welcomed_by_no_handler() -> None:
    respond = steps(calls(tool("bring", "c1")), says("Here is the waiter."))
    agent = Agent(FunctionModel(respond), deps_type=Context)

    @agent.tool
    async def bring(ctx: RunContext[Context]) -> str:
        await ctx.deps.chat.add("+14155550187")
        return "added"

    bot = bot_with(agent)

    @bot.on_group_change("added")
    async def welcome(change: ParticipantAdded, ctx: Context) -> None:
        await ctx.send("Welcome!")

    groups: list[Phone] = []

    async def scenario(phone: Phone) -> None:
        groups.append(phone.group("+14155550143"))
        await groups[-1].text("A waiter, please")

    async for phone in killed_between_calls(bot, scenario):
        assert groups[-1].messages[1:] == ["Here is the waiter."], phone.killed
