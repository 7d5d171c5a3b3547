"""A newer message interrupts an agent: it begins again with both, and knows what the person has already read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from answers import answers
from linqbot_agent import Budget, LinqAgent, run
from linqbot_agent.budget import USED, Used
from one_handler import bot_of, does
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import Script, bot_with, calls, kinds, says, tool
from slow_work import Work

from linqbot import Context, MessageEdited
from linqbot.testing import Phone, killed_between_calls, talking


class Listener:
    """A bot whose agent is slow to answer the first request.

    Attributes:
        requests: The messages of each request, in short.
        work: The work of the first request, or of its tool.
    """

    def __init__(self, *, stream: bool = False, uses_tool: bool = False) -> None:
        self.requests: list[list[str]] = []
        self.work = Work()
        self.booked: list[str] = []
        self.uses_tool = uses_tool
        agent = Agent(FunctionModel(self.respond, stream_function=self.write))
        answer = does(lambda ctx: run(agent, ctx, stream=stream, progress=None))
        self.bot = bot_of(answer, overlap="restart", plugins=[LinqAgent()])

        @agent.tool_plain
        async def book() -> str:
            self.booked.append("booked")
            await self.work()
            return "booked"

    async def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = kinds(messages)
        self.requests.append(said)
        asked = [each.removeprefix("user-prompt: ") for each in said if each.startswith("user-prompt: ")][-1]
        if self.uses_tool and not self.booked:
            return calls(tool("book", "c1"))
        if not self.uses_tool and "for two" not in asked:
            await self.work()
        return says(f"Heard: {asked}")

    async def write(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.requests.append(kinds(messages))
        if len(self.requests) > 1:
            yield "For two, then."
            return
        yield "I look for a table.\n\n"
        await self.work()


async def test_a_newer_message_interrupts_the_model_which_is_asked_again_with_both() -> None:
    listener = Listener()
    async with talking(listener.bot) as phone:
        await phone.text("A table")
        await listener.work.begun.wait()
        assert await answers(phone, "for two") == ["Heard: A table\nfor two"]
    assert len(listener.requests) == 2


async def test_an_edit_interrupts_the_model_which_is_asked_again_with_the_new_text() -> None:
    listener = Listener()
    async with talking(listener.bot) as phone:
        wrote = await phone.text("A table")
        await listener.work.begun.wait()
        await phone.edit(wrote, "A table for two")
        assert await phone.replies() == ["Heard: A table for two [edited]"]
    assert len(listener.requests) == 2


async def test_an_edit_of_an_answered_message_is_answered_if_the_bot_has_a_handler_for_it() -> None:
    script = Script(says("For two."), says("For three, then."), says("See you."))
    agent = Agent(script.model)
    bot = bot_with(agent)

    @bot.on(MessageEdited)
    async def corrected(edit: MessageEdited, ctx: Context) -> None:
        await run(agent, ctx)

    async with talking(bot) as phone:
        wrote = await phone.text("A table for two")
        await phone.next_reply()
        await phone.edit(wrote, "A table for three [sic]")
        assert await phone.replies() == ["For three, then."]
        await answers(phone, "Thanks")
    assert kinds(script.requests[1]) == [
        "user-prompt: A table for three (sic) [edited]",
        "text: For two.",
        "user-prompt: [The person has edited a message. It says now: A table for three (sic)]",
    ]


async def test_the_new_run_knows_what_was_delivered_of_the_old_one() -> None:
    listener = Listener(stream=True)
    async with talking(listener.bot) as phone:
        await phone.text("A table")
        assert await phone.next_reply() == "I look for a table."
        await listener.work.begun.wait()
        assert await answers(phone, "for two") == ["For two, then."]
    assert listener.requests[1][:2] == ["user-prompt: [You are shown a part of the chat.]", "text: I look for a table."]
    assert listener.requests[1][-1] == (
        "user-prompt: A table\nfor two\n\n[The last message interrupted your answer. The person has already read:\n"
        "I look for a table.]"
    )


async def test_after_a_tool_call_a_newer_message_waits_for_its_own_turn() -> None:
    listener = Listener(uses_tool=True)
    async with talking(listener.bot) as phone:
        await phone.text("A table")
        await listener.work.begun.wait()
        await phone.text("for two")
        listener.work.end.set()
        assert await phone.replies() == ["Heard: A table", "Heard: for two"]
    assert listener.booked == ["booked"]


class TwoAgents:
    """A bot whose first agent answers at once, and whose second one is slow.

    Attributes:
        answered: The requests that the models answered.
        work: The work of the second agent.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.work = Work()
        quick, slow = Agent(FunctionModel(self.respond)), Agent(FunctionModel(self.respond_slowly))

        async def chat(ctx: Context) -> None:
            await run(quick, ctx, progress=None)
            await run(slow, ctx, progress=None)

        self.bot = bot_of(does(chat), overlap="restart", plugins=[LinqAgent(budget=Budget(requests=100))])

    def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.answered += 1
        return says("")

    async def respond_slowly(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked = kinds(messages)[-1].removeprefix("user-prompt: ")
        if asked == "A table":
            await self.work()
        self.answered += 1
        return says(f"Heard: {asked}")


@pytest.mark.parametrize("is_file", [False, True])
async def test_requests_of_an_interrupted_run_are_booked(is_file: bool, tmp_path: Path) -> None:
    two = TwoAgents()
    async with talking(two.bot, storage=f"sqlite:///{tmp_path / 'bot.db'}" if is_file else "memory://") as phone:
        await phone.text("A table")
        await two.work.begun.wait()
        assert await answers(phone, "for two") == ["Heard: A table\nfor two"]
        assert (two.answered, (await phone.state(Used, name=USED)).requests) == (3, 3)


@pytest.mark.slow
async def test_no_message_is_lost_and_each_request_booked_once_wherever_an_interrupted_bot_is_killed() -> None:
    two = TwoAgents()

    async def scenario(phone: Phone) -> None:
        two.answered = 0
        two.work.begun.clear()
        two.work.end.clear()
        await phone.text("A table")
        await two.work.begun.wait()
        await phone.text("for two")
        two.work.end.set()
        await phone.quiet()

    async for phone in killed_between_calls(two.bot, scenario):
        heard = [message for message in phone.messages if message not in ("A table", "for two")]
        assert heard in (["Heard: A table\nfor two"], ["Heard: A table", "Heard: for two"]), phone.killed
        booked = (await phone.state(Used, name=USED)).requests
        # A request whose answer was not on record when the bot was killed is made again.
        assert two.answered - 1 <= booked <= two.answered, phone.killed
