"""An agent that is killed at any point goes on after the restart: nothing recorded is repeated, and everything is said once."""

from __future__ import annotations

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import bot_with, calls, kinds, says, tool

from linqbot import Context
from linqbot.events import ParticipantAdded
from linqbot.testing import Phone, killed_between_calls

pytestmark = pytest.mark.anyio


class Guest(BaseModel):
    likes: list[str] = []


@pytest.mark.slow
@pytest.mark.parametrize("approval", [False, True])
async def test_what_a_tool_writes_to_the_state_is_written_once(approval: bool) -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        done = sum(said.startswith("tool-return") for said in kinds(messages))
        return [calls(tool("like", "c1", dish="soup")), calls(tool("book", "c2")), says("Noted.")][done]

    agent = Agent(FunctionModel(respond), deps_type=Context)

    @agent.tool(metadata={"recorded": False})
    async def like(ctx: RunContext[Context], dish: str) -> str:
        guest = await ctx.deps.state.person(Guest)
        guest.likes.append(dish)
        return "noted"

    @agent.tool_plain(requires_approval=approval)
    def book() -> str:
        return "booked"

    async def scenario(phone: Phone) -> None:
        await phone.text("I like soup")
        if approval:
            await phone.next_reply()
            await phone.text("yes")

    async for phone in killed_between_calls(bot_with(agent), scenario):
        assert phone.messages[-1] == "Noted.", phone.killed
        assert await phone.state(Guest) == Guest(likes=["soup"]), phone.killed


@pytest.mark.slow
async def test_what_tools_say_is_said_once_for_each_call_also_in_the_same_words() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        done = sum(said.startswith("tool-return") for said in kinds(messages))
        return [calls(tool("look", "c1")), calls(tool("look", "c2")), says("It is free.")][done]

    agent = Agent(FunctionModel(respond), deps_type=Context)

    @agent.tool
    async def look(ctx: RunContext[Context]) -> str:
        await ctx.deps.reply("I look.")
        return "free"

    async for phone in killed_between_calls(bot_with(agent), lambda phone: phone.text("A table?")):
        assert phone.messages[1:] == ["I look.", "I look.", "It is free."], phone.killed


@pytest.mark.slow
async def test_what_a_tool_schedules_is_sent_once() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        done = sum(said.startswith("tool-return") for said in kinds(messages))
        return [calls(tool("remind", "c1")), calls(tool("book", "c2")), calls(tool("remind", "c3")), says("Noted.")][
            done
        ]

    agent = Agent(FunctionModel(respond), deps_type=Context)

    @agent.tool
    async def remind(ctx: RunContext[Context]) -> str:
        await ctx.deps.send_later("Your table waits.", after_s=3600)
        return "scheduled"

    @agent.tool_plain(requires_approval=True)
    def book() -> str:
        return "booked"

    async def scenario(phone: Phone) -> None:
        await phone.text("A table")
        await phone.next_reply()
        await phone.text("yes")
        await phone.quiet()
        await phone.advance(3601)

    async for phone in killed_between_calls(bot_with(agent), scenario):
        assert phone.messages[-3:] == ["Noted.", "Your table waits.", "Your table waits."], phone.killed
        assert len(phone.messages) == 6, phone.killed


@pytest.mark.slow
async def test_a_person_whom_a_tool_adds_is_welcomed_by_no_handler() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        done = sum(said.startswith("tool-return") for said in kinds(messages))
        return [calls(tool("bring", "c1")), says("Here is the waiter.")][done]

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
