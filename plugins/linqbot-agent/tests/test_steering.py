"""Messages that come while an agent works: the next request has them, none is lost, and each is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from answers import answers
from linqbot_agent import LinqAgent, run
from one_handler import bot_of, does
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from scripted_agents import Script, calls, kinds, says, tool
from slow_work import Work

from linqbot import Bot
from linqbot.options import OverlapMode
from linqbot.testing import Bubble, Phone, killed_between_calls, talking


def add_look(agent: Agent[Any, str], *, requires_approval: bool = False) -> Work:
    """Give an agent a tool `look`. Return the work of the tool."""
    work = Work()

    @agent.tool_plain(requires_approval=requires_approval)
    async def look() -> str:
        await work()
        return "free"

    return work


async def meanwhile(phone: Phone, work: Work, text: str) -> list[Bubble]:
    """Ask for a table, and write a text while the tool works. Return what the bot says."""
    await phone.text("A table")
    await work.begun.wait()
    await phone.text(text)
    work.end.set()
    return await phone.replies()


def steered(
    agent: Agent[Any, str], plugin: LinqAgent | None = None, *, overlap: OverlapMode = "steer", **arguments: Any
) -> Bot:
    """Return a bot whose agent is given the messages that come while it works."""
    answer = does(lambda ctx: run(agent, ctx, progress=None, **arguments))
    return bot_of(answer, overlap=overlap, plugins=[plugin or LinqAgent()])


class Waiter:
    """A bot whose agent looks something up, and then says what it was asked since.

    Attributes:
        requests: The messages of each request, in short.
        work: The work of the tool.
    """

    def __init__(self, overlap: OverlapMode, *, approval: bool = False) -> None:
        self.requests: list[list[str]] = []
        self.during_last: Phone | None = None
        agent = Agent(FunctionModel(self.respond))
        self.work = add_look(agent, requires_approval=approval)
        self.bot = steered(agent, overlap=overlap)

    async def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = kinds(messages)
        self.requests.append(said)
        asked = [each.removeprefix("user-prompt: ") for each in said if each.startswith("user-prompt: ")]
        asked = [each for each in asked if not each.startswith("[")]
        if not any(each.startswith("tool-return") for each in said) and asked[-1] != "Thanks":
            return calls(tool("look", "c1"))
        if self.during_last is not None:
            phone, self.during_last = self.during_last, None
            await phone.text("Thanks")
        return says(f"Heard: {', '.join(asked)}")


async def test_a_message_that_comes_during_a_tool_reaches_the_next_request() -> None:
    waiter = Waiter("steer")
    async with talking(waiter.bot) as phone:
        assert await meanwhile(phone, waiter.work, "for two") == ["Heard: A table, for two"]
    assert waiter.requests[1][-2:] == ["tool-return: free", "user-prompt: for two"]
    assert len(waiter.requests) == 2


async def test_an_edit_that_comes_during_a_tool_reaches_the_next_request() -> None:
    waiter = Waiter("steer")
    async with talking(waiter.bot) as phone:
        wrote = await phone.text("A table for two")
        await waiter.work.begun.wait()
        await phone.edit(wrote, "A table for three")
        waiter.work.end.set()
        assert await phone.replies() == ["Heard: A table for two, A table for three [edited]"]
    assert waiter.requests[1][-2:] == ["tool-return: free", "user-prompt: A table for three [edited]"]
    assert len(waiter.requests) == 2


async def test_a_message_that_comes_during_the_last_request_is_answered_too() -> None:
    waiter = Waiter("steer")
    waiter.work.end.set()
    async with talking(waiter.bot) as phone:
        waiter.during_last = phone
        assert await answers(phone, "A table") == ["Heard: A table", "Heard: A table, Thanks"]


async def test_a_request_after_a_failure_has_each_message_once() -> None:
    requests: list[list[str]] = []
    failures = [RuntimeError("no connection")]

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = kinds(messages)
        requests.append([each.removeprefix("user-prompt: ") for each in said if each.startswith("user-prompt")])
        tools = ["look", "book"]
        return calls(tool(tools[len(requests) - 1], f"c{len(requests)}")) if len(requests) < 3 else says("Done.")

    agent = Agent(FunctionModel(respond))
    work = add_look(agent)

    @agent.tool_plain
    async def book() -> str:
        if failures:
            raise failures.pop()
        return "booked"

    async with talking(steered(agent)) as phone:
        await phone.text("A table")
        await work.begun.wait()
        await phone.text("for two")
        work.end.set()
        assert [str(error) for error in await phone.errors()] == ["no connection"]
        await phone.advance(10)
        assert await phone.replies() == ["Done."]
    assert requests == [["A table"], ["A table", "for two"], ["A table", "for two"]]


async def test_a_message_reaches_a_run_that_goes_on_behind_a_summary_of_an_earlier_run() -> None:
    script = Script(says("Fine."), calls(tool("look", "c1")), says("Booked."))
    agent, failures = Agent(script.model), [RuntimeError("no connection")]

    @agent.tool_plain
    async def look() -> str:
        await phone.text("for two")
        return "free"

    @agent.instructions
    def menu() -> str:
        if len(script.requests) == 1 and failures:
            raise failures.pop()
        return "Soup or trout."

    plugin = LinqAgent(history=1, summary_model=Script(says("They like soup.")).model)
    async with talking(steered(agent, plugin)) as phone:
        assert await answers(phone, "I like soup") == ["Fine."]
        await phone.text("A table")
        assert [str(error) for error in await phone.errors()] == ["no connection"]
        await phone.advance(10)
        assert await phone.replies() == ["Booked."]
    assert kinds(script.requests[-1])[-1] == "user-prompt: for two"
    assert kinds(script.requests[-1])[0] == "user-prompt: [Summary of what was said before: They like soup.]"


@pytest.mark.slow
async def test_no_message_is_lost_or_heard_twice_wherever_the_bot_is_killed() -> None:
    waiter = Waiter("steer", approval=True)

    async def scenario(phone: Phone) -> None:
        waiter.work.begun.clear()
        waiter.work.end.clear()
        await phone.text("A table")
        await phone.next_reply()
        await phone.text("yes")
        await waiter.work.begun.wait()
        await phone.text("for two")
        waiter.work.end.set()
        await phone.quiet()

    points = 0
    async for phone in killed_between_calls(waiter.bot, scenario):
        points += 1
        last = [message for message in phone.messages if message.startswith("Heard")]
        assert last == ["Heard: A table, for two"], phone.killed
    assert points > 15


@pytest.mark.slow
async def test_a_model_that_was_cut_off_reads_what_came_meanwhile_before_its_own_words() -> None:
    requests: list[list[str]] = []

    async def write(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        said = kinds(messages)
        requests.append(said)
        if not any(each.startswith("tool-return") for each in said):
            yield {0: DeltaToolCall(name="look", json_args="{}", tool_call_id="c1")}
        elif "You were cut off" in said[-1]:
            yield "See you!"
        else:
            yield "It is free.\n\nSee you!"

    agent = Agent(FunctionModel(stream_function=write))
    work = add_look(agent)

    async def scenario(phone: Phone) -> None:
        work.begun.clear()
        work.end.clear()
        await meanwhile(phone, work, "for two")

    async for phone in killed_between_calls(steered(agent, stream=True), scenario):
        assert phone.messages == ["A table", "for two", "It is free.", "See you!"], phone.killed
    cut_off = [said for said in requests if any("You were cut off" in each for each in said)]
    assert cut_off
    for said in cut_off:
        assert said[-3:-1] == ["user-prompt: for two", "text: It is free."]


async def test_an_address_that_came_meanwhile_may_be_said() -> None:
    async def write(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        if any(each.startswith("tool-return") for each in kinds(messages)):
            yield "I read https://example.com/menu now."
        else:
            yield {0: DeltaToolCall(name="look", json_args="{}", tool_call_id="c1")}

    agent = Agent(FunctionModel(stream_function=write))
    work = add_look(agent)
    async with talking(steered(agent, LinqAgent(known_links=True), stream=True)) as phone:
        said = await meanwhile(phone, work, "from https://example.com/menu")
        assert said[0] == "I read https://example.com/menu now."


async def test_the_memory_of_a_person_has_what_came_meanwhile() -> None:
    script = Script(calls(tool("look", "c1")), says("Free."), says("For two."))
    agent = Agent(script.model)
    work = add_look(agent)
    async with talking(steered(agent, LinqAgent(memory="person"))) as phone:
        assert await meanwhile(phone, work, "for two") == ["Free."]
        assert await answers(phone, "For how many?") == ["For two."]
    assert kinds(script.requests[-1]) == [
        "user-prompt: A table",
        "tool-call: look",
        "tool-return: free",
        "user-prompt: for two",
        "text: Free.",
        "user-prompt: For how many?",
    ]


async def test_a_handler_that_is_not_steered_leaves_messages_for_their_own_turns() -> None:
    waiter = Waiter("queue")
    async with talking(waiter.bot) as phone:
        assert await meanwhile(phone, waiter.work, "Thanks") == ["Heard: A table", "Heard: A table, Thanks"]
