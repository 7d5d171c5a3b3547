"""Budgets: each person has one for a day, every request counts once, and its end is said once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from linqbot_agent import Budget, LinqAgent
from linqbot_agent.budget import USED, Used
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from scripted_agents import bot_with, calls, kinds, says, tool

from linqbot import Bot, BotError
from linqbot.testing import Phone, killed_between_calls, talking

pytestmark = pytest.mark.anyio

NOTICE = "That is all I can do for you today. Please write again tomorrow."
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def bot(budget: Budget, *, approval: bool = False) -> Bot:
    """Return a bot whose agent makes two requests to its model for each message."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        is_done = kinds(messages)[-1].startswith("tool-return")
        response = says("Done.") if is_done else calls(tool("act", f"c{len(messages)}"))
        return replace(response, usage=RequestUsage(input_tokens=40, output_tokens=10))

    agent = Agent(FunctionModel(respond))

    @agent.tool_plain(requires_approval=approval)
    def act() -> str:
        return "acted"

    return bot_with(agent, LinqAgent(budget=budget))


@pytest.mark.parametrize("budget", [Budget(requests=4), Budget(tokens=200)])
async def test_a_person_is_answered_until_the_budget_of_the_day_is_used_up(budget: Budget) -> None:
    async with talking(bot(budget), start=NOON) as ann:
        for said in (["Done."], ["Done."], [NOTICE], []):
            await ann.text("Hi")
            assert await ann.replies() == said
        bob = ann.person("+14155550143")
        await bob.text("Hi")
        assert await bob.replies() == ["Done."]
        await ann.advance(12 * 3600)
        await ann.text("Hi")
        assert await ann.replies() == ["Done."]


@pytest.mark.parametrize("approval", [False, True])
async def test_every_request_is_booked_once_wherever_the_bot_is_killed(approval: bool) -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("Hi")
        if approval:
            await phone.next_reply()
            await phone.text("yes")

    async for phone in killed_between_calls(bot(Budget(requests=9), approval=approval), scenario, start=NOON):
        used = await phone.state(Used, name=USED)
        assert used == Used(day="2026-11-20", requests=2, tokens=100), phone.killed


def test_a_budget_needs_a_limit() -> None:
    for limit in (None, 0, -1):
        with pytest.raises(BotError, match="1 or more"):
            Budget(requests=limit)
