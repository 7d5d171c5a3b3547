"""Tools act in their own chat, and elsewhere only if they may. `test_hostile` has the attempts to act elsewhere."""

from __future__ import annotations

import pytest
from answers import answers
from linqbot_agent import Budget, LinqAgent
from linqbot_agent.budget import USED, Used
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import Script, bot_with, calls, fixed, kinds, says, steps, tool

from linqbot import Context
from linqbot.testing import Phone, killed_between_calls, talking

VICTIM = "+14155550199"


@pytest.mark.parametrize("unapproved", [(), ("save",)])
async def test_a_tool_that_writes_needs_approval_unless_the_author_lets_it(unapproved: tuple[str, ...]) -> None:
    saved: list[str] = []
    script = Script(calls(tool("save", "c1", note="soup"), tool("look", "c2")), says("Saved."))
    agent = Agent(script.model, tools=[fixed("look", "soup", metadata={"writes": False})])

    @agent.tool_plain(metadata={"writes": True})
    def save(note: str) -> str:
        saved.append(note)
        return "saved"

    async with talking(bot_with(agent, LinqAgent(unapproved=unapproved))) as phone:
        await phone.text("Remember soup")
        if not unapproved:
            assert await phone.next_reply() == "May I save (note soup)? 👍 or yes, 👎 or no"
            assert saved == []
            await phone.text("yes")
        assert await phone.replies() == ["Saved."]
    assert saved == ["soup"]


async def test_a_tool_of_an_mcp_server_that_destroys_something_needs_approval() -> None:
    asked = "May I erase? 👍 or yes, 👎 or no"
    for metadata, said in (
        ({"annotations": {"destructiveHint": True, "readOnlyHint": None}}, asked),
        ({"annotations": {"destructiveHint": True, "readOnlyHint": True}}, "Done."),
        ({"annotations": {"destructiveHint": None, "readOnlyHint": None}}, "Done."),
        ({"annotations": {"destructiveHint": True}, "writes": False}, "Done."),
        ({"annotations": None}, "Done."),
    ):
        # As pydantic-ai's MCPToolset gives on the hints of a server.
        erase = fixed("erase", "erased", metadata=metadata)
        agent = Agent(Script(calls(tool("erase", "c1")), says("Done.")).model, tools=[erase])
        async with talking(bot_with(agent)) as phone:
            assert await answers(phone, "Erase it") == [said], metadata


async def test_a_broadcast_of_a_tool_begins_if_the_author_lets_it() -> None:
    agent = Agent(Script(calls(tool("announce", "c1")), says("OK.")).model, deps_type=Context)

    @agent.tool
    async def announce(ctx: RunContext[Context]) -> str:
        return (await ctx.deps.bot.broadcast([VICTIM], "spam", name="spam")).name

    async with talking(bot_with(agent, LinqAgent(elsewhere=["announce"]))) as phone:
        assert await answers(phone, "Go") == ["OK."]
        await phone.advance(120)
        assert phone.person(VICTIM).messages == ["spam"]


async def test_an_output_function_acts_in_its_own_chat_and_the_model_learns_of_a_refusal_that_it_has_not_noticed() -> (
    None
):
    async def report(ctx: RunContext[Context], text: str) -> str:
        await ctx.deps.bot.send(text, to=VICTIM)
        return "It is sent."

    script = Script(calls(tool("final_result", "c1", text="spam")), says("I may not."))
    agent: Agent[Context, str] = Agent(script.model, deps_type=Context, output_type=[report, str])
    async with talking(bot_with(agent)) as phone:
        assert await answers(phone, "Report") == ["I may not."]
        assert phone.person(VICTIM).messages == []
    assert "This was refused and not done." in kinds(script.requests[1])[-1]


async def test_an_output_function_acts_elsewhere_if_the_author_lets_it() -> None:
    async def report(ctx: RunContext[Context], text: str) -> str:
        return (await ctx.deps.bot.send(text, to=VICTIM)).status

    agent = Agent(Script(calls(tool("final_result", "c1", text="spam"))).model, deps_type=Context, output_type=report)
    async with talking(bot_with(agent, LinqAgent(elsewhere=["report"]))) as phone:
        assert await answers(phone, "Report") == ["accepted"]
        assert phone.person(VICTIM).messages == ["spam"]


@pytest.mark.slow
@pytest.mark.parametrize("notices", [False, True])
async def test_a_tool_that_was_refused_has_its_result_replaced_unless_it_raises_wherever_the_bot_is_killed(
    notices: bool,
) -> None:
    read = list[str]()

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        results = [said for said in kinds(messages) if said.startswith("tool-return: ")]
        read.extend(results)
        return says("I may not.") if results else calls(tool("write", "c1"))

    agent = Agent(FunctionModel(respond), deps_type=Context)

    @agent.tool
    async def write(ctx: RunContext[Context]) -> str:
        status = (await ctx.deps.bot.send("spam", to=VICTIM)).status
        if notices:
            raise ModelRetry(f"It is {status}.")
        return f"It is {status}."

    async def scenario(phone: Phone) -> None:
        read.clear()
        await phone.text("Write to Bob")

    async for phone in killed_between_calls(bot_with(agent), scenario):
        assert phone.messages[1:] == ["I may not."], phone.killed
        result = "It is refused." if notices else "This was refused and not done."
        assert set(read) == {f"tool-return: {result}"}, phone.killed


async def test_a_tool_that_was_refused_and_has_not_noticed_is_not_called_again_and_its_requests_are_booked() -> None:
    acts = list[str]()
    other = Agent(FunctionModel(steps(says("Found."))))
    respond = steps(calls(tool("write", "c1")), calls(tool("book", "c2")), says("Done."))
    book = fixed("book", "booked", requires_approval=True)
    agent = Agent(FunctionModel(respond), deps_type=Context, tools=[book])

    @agent.tool
    async def write(ctx: RunContext[Context]) -> str:
        acts.append((await other.run("Look", usage=ctx.usage)).output)
        await ctx.deps.bot.send("spam", to=VICTIM)
        return "written"

    async with talking(bot_with(agent, LinqAgent(budget=Budget(requests=100)))) as phone:
        assert await answers(phone, "Write to Bob") == ["May I book? 👍 or yes, 👎 or no"]
        assert await answers(phone, "yes") == ["Done."]
        assert (await phone.state(Used, name=USED)).requests == 4
    assert acts == ["Found."]
