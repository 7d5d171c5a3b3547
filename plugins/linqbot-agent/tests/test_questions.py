"""Tools that ask the person: the answer is the result of the call, after restarts too."""

from __future__ import annotations

import pytest
from answers import answers
from linqbot_agent import LinqAgent
from pydantic_ai import Agent, CallDeferred
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import bot_with, calls, fixed, kinds, says, tool

from linqbot.testing import Phone, killed_between_calls, talking


def agent_that_asks() -> Agent[None, str]:
    """Return an agent with a tool that asks, and another that needs approval."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        results = [said for said in kinds(messages) if said.startswith("tool-return")]
        if not results:
            return calls(tool("guest_name", "c1"), tool("book", "c2"))
        return says(" ".join(results))

    agent = Agent(FunctionModel(respond), tools=[fixed("book", "booked", requires_approval=True)])

    @agent.tool_plain
    def guest_name() -> str:
        raise CallDeferred(metadata={"question": "Which name?"}, kind="question")

    return agent


@pytest.mark.slow
async def test_the_answer_of_the_person_is_the_result_of_the_tool_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("A table")
        for _ in range(2):
            asked = await phone.next_reply()
            await phone.text("Ann" if asked == "Which name?" else "yes")

    async for phone in killed_between_calls(bot_with(agent_that_asks()), scenario):
        assert {"Which name?", "May I book? 👍 or yes, 👎 or no"} < set(phone.messages), phone.killed
        assert phone.messages[-1] == "tool-return: Ann tool-return: booked", phone.killed
        assert len(phone.messages) == 6


async def test_a_person_need_not_answer() -> None:
    async with talking(bot_with(agent_that_asks())) as phone:
        await phone.text("A table")
        for _ in range(2):
            asked = await phone.next_reply()
            await phone.text("never mind" if asked == "Which name?" else "yes")
        assert await phone.replies() == ["tool-return: The person does not want to answer. tool-return: booked"]


async def test_a_person_with_an_open_question_is_asked_no_other_one() -> None:
    bot = bot_with(agent_that_asks(), LinqAgent(other_topic="postpone"))
    async with talking(bot) as phone:
        (asked,) = await answers(phone, "A table")
        await phone.text("What about the menu?")
        answer, asked_again = await phone.replies()
        assert answer.count("Not now: the person has not answered another question yet.") == 2
        assert asked_again == asked
        assert await answers(phone, "yes") == ["Which name?"]
        await phone.text("Ann")
        assert (await phone.next_reply()).endswith("tool-return: Ann tool-return: booked")
