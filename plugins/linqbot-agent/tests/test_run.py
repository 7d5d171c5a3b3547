"""An agent that answers in a chat: what it says, what it does not say, and what it refuses."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from typing import Any

import pytest
from answers import answers
from linqbot_agent import LinqAgent, Poll, Say, Silence, Tapback, idempotency_key, run
from one_handler import bot_of, does
from pydantic_ai import Agent, CallDeferred, ModelMessage, ModelResponse, NativeOutput, RunContext
from pydantic_ai.messages import BinaryContent, TextPart, ThinkingPart, ToolCallPart, ToolReturn
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import FunctionToolset
from pydantic_core import to_json
from scripted_agents import Script, bot_with, calls, fixed, kinds, says, tool

from linqbot import Bot, BotError, Context, MessageReceived
from linqbot.errors import ConfigError
from linqbot.testing import talking


def book() -> None: ...


def cancel() -> None: ...


ANSWERING = "linqbot_agent.answering"


async def test_the_answer_is_said_in_bubbles_and_what_leads_to_it_is_not() -> None:
    script = Script(
        calls(tool("weather", "c1", city="Rome"), narration="Let me look that up."),
        says("It is **sunny** in Rome.\n\nTake a hat! And some water."),
    )
    agent = Agent(script.model)

    @agent.tool_plain
    def weather(city: str) -> dict[str, str]:
        return {city: "sunny"}

    async with talking(bot_with(agent)) as phone:
        assert await answers(phone, "Weather in Rome?") == ["It is sunny in Rome.", "Take a hat! And some water."]
    assert kinds(script.requests[1])[-1] == "tool-return: {'Rome': 'sunny'}"


async def test_an_empty_answer_says_nothing_with_any_output_types() -> None:
    empty = (says(""), says(" \n"), ModelResponse(parts=[]), ModelResponse(parts=[ThinkingPart("Hm.")]))
    every: list[Any] = [str, [str, Tapback, Silence], Tapback, [Say, Poll], NativeOutput([Say, Poll])]
    for types in every:
        script = Script(*empty, *(each for response in empty for each in (calls(tool("look", "c1")), response)))
        agent: Agent[None, Any] = Agent(script.model, output_type=types, tools=[fixed("look", "free")])
        async with talking(bot_with(agent, LinqAgent(memory="person", done=None))) as phone:
            for number, response in enumerate(empty, 1):
                assert await answers(phone, "Thanks!") == [], (types, response)
                assert len(script.requests) == number, (types, response)
            for number, response in enumerate(empty, 1):
                assert await answers(phone, "Look!") == [], (types, response)
                assert len(script.requests) == len(empty) + 2 * number, (types, response)


async def test_an_agent_with_an_output_validator_can_answer() -> None:
    agent = Agent(Script(says("hello")).model)

    @agent.output_validator
    def loud(output: str) -> str:
        return output.upper()

    async with talking(bot_with(agent)) as phone:
        assert await answers(phone, "Hi") == ["HELLO"]


async def test_a_model_that_does_not_answer_in_time_has_failed() -> None:
    async def hangs(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with talking(bot_with(Agent(FunctionModel(hangs)), timeout_s=0.01, sorry="Too slow.")) as phone:
        assert await answers(phone, "Hello?") == ["Too slow."]


async def test_a_run_without_await_is_a_dead_letter_that_names_its_line() -> None:
    agent = Agent(Script().model)

    async def forget(message: MessageReceived, ctx: Context) -> None:
        run(agent, ctx)  # type: ignore[unused-coroutine]

    async with talking(bot_of(forget, plugins=[LinqAgent()])) as phone:
        await phone.text("Hello?")
        (error,) = await phone.errors()
    assert re.search(r"test_run\.py:\d+ never awaited run\(\)\. Write: await run", str(error))


async def test_a_tool_that_finds_linq_away_is_deferred_and_goes_on() -> None:
    script, tapped = Script(calls(tool("tap", "c1")), says("Done.")), list[str]()
    agent = Agent(script.model, deps_type=Context)

    @agent.tool
    async def tap(ctx: RunContext[Context]) -> None:
        tapped.append("begun")
        await ctx.deps.react("like")

    async with talking(bot_with(agent)) as phone:
        phone.fail_next("messages.add_reaction", status=503, times=40)
        await phone.text("Tap it")
        await phone.quiet()
        assert await phone.replies() == []
        await phone.advance(3600)
        assert await phone.replies() == ["Done."]
        assert await phone.errors() == []
    assert len(script.requests) == 2
    assert len(tapped) > 1


async def test_after_a_deploy_the_model_is_asked_again_from_the_first_result_that_differs() -> None:
    script = Script(calls(tool("price", "c1")), calls(tool("book", "c2")), says("I cannot see prices any more."))
    booked = list[str]()

    def deployed(*, fails: bool) -> Bot:
        agent = Agent(script.model)

        @agent.tool_plain(name="price" if fails else "cost")
        def price() -> int:
            return 10

        @agent.tool_plain
        def book() -> None:
            booked.append("booked")
            raise ConnectionError

        return bot_with(agent)

    async with talking(deployed(fails=True)) as phone:
        await phone.text("Book it")
        await phone.errors()
        await phone.restart(bot=deployed(fails=False))
        await phone.advance(5)
        assert await phone.replies() == ["I cannot see prices any more."]
    assert kinds(script.requests[2])[-1].startswith("tool-return: Unknown tool name: 'price'")
    assert booked == ["booked"]


async def test_after_a_deploy_an_answer_on_record_is_still_said() -> None:
    old, new = Script(says("First.\n\nSecond.")), Script()

    def deployed(script: Script, *, fails: bool) -> Bot:
        async def answer(ctx: Context) -> None:
            await run(Agent(script.model), ctx)
            if fails:
                raise ConnectionError

        return bot_of(does(answer), plugins=[LinqAgent()])

    async with talking(deployed(old, fails=True)) as phone:
        await phone.text("Hi")
        await phone.errors()
        await phone.restart(bot=deployed(new, fails=False))
        await phone.advance(5)
        assert phone.messages == ["Hi", "First.", "Second."]
    assert new.requests == []


async def test_the_names_of_steps_never_change(monkeypatch: pytest.MonkeyPatch) -> None:
    script, names, once = Script(calls(tool("weather", "c1")), says("Sunny.")), list[str](), Context.once
    agent = Agent(script.model, name="any", tools=[fixed("weather", "sunny")])

    async def noted(ctx: Context, name: str, *arguments: Any, **options: Any) -> Any:
        names.append(name)
        return await once(ctx, name, *arguments, **options)

    monkeypatch.setattr(Context, "once", noted)
    async with talking(bot_with(agent)) as phone:
        await answers(phone, "Hi")
    # A name that changes loses the record of the turns that are under way during an upgrade.
    assert names == [
        "agent1/agent__model.request@9ab3ffdff328891a#0",
        "agent1/agent__function_toolset__<agent>.call_tool:weather@c1#0",
        "agent1/agent__model.request@8c1326301f51182c#0",
        "agent1/answer",
    ]


async def test_an_agent_that_a_tool_asks_does_not_speak() -> None:
    poet = Agent(Script(says("A rhyme.")).model)
    agent = Agent(Script(calls(tool("rhyme", "c1")), says("Here you are.")).model, deps_type=Context)

    @agent.tool
    async def rhyme(ctx: RunContext[Context]) -> str:
        with pytest.raises(BotError, match=r"another agent of this turn .* await other.run"):
            await run(poet, ctx.deps)
        return (await poet.run("Rhyme!")).output

    async with talking(bot_with(agent)) as phone:
        assert await answers(phone, "A rhyme, please") == ["Here you are."]


async def test_two_agents_answer_one_after_the_other() -> None:
    one, two = Agent(Script(says("One.")).model), Agent(Script(says("Two.")).model)

    async def both(ctx: Context) -> None:
        text = await run(one, ctx)
        await run(two, ctx, f"Go on after: {text}")

    async with talking(bot_of(does(both), plugins=[LinqAgent()])) as phone:
        assert await answers(phone, "Hi") == ["One.", "Two."]


NO_ID = r"FunctionToolset\(book, cancel\).*id='bookings'.*MCPToolset\(server, id='ledger'\)"


async def test_an_agent_whose_toolset_has_no_id_is_refused_when_the_bot_starts() -> None:
    agent = Agent(Script().model, toolsets=[FunctionToolset([book, cancel])])
    with pytest.raises(ConfigError, match=NO_ID):
        async with talking(bot_with(agent)):
            pass


async def test_what_cannot_run_in_a_turn_is_refused_with_what_to_write(subtests: pytest.Subtests) -> None:
    def ask() -> None:
        raise CallDeferred

    nameless = Agent(Script().model, toolsets=[FunctionToolset([book, cancel])])
    asking = Agent(Script(calls(tool("ask", "c1"))).model, tools=[ask])
    counting = Agent(Script(calls(tool("final_result", "c1", response=1))).model, output_type=int)
    for answer, plugins, error in (
        (partial(run, Agent(Script().model)), [], r"plugins=\[LinqAgent\(\)\]"),
        (partial(run, nameless), [LinqAgent()], NO_ID),
        (partial(run, asking), [LinqAgent()], 'ask raised CallDeferred without a question.*"question": "Which name'),
        (partial(run, counting), [LinqAgent()], "output is of type int.* Use an agent whose output_type is str"),
        (partial(run, Agent(output_type=NativeOutput(Tapback)), stream=True), [LinqAgent()], "leave out stream=True"),
    ):
        with subtests.test(error):
            async with talking(bot_of(does(answer), plugins=plugins)) as phone:
                await phone.text("Hi")
                (found,) = await phone.errors()
                with pytest.raises(BotError, match=error):
                    raise found


async def test_a_result_that_is_no_json_ends_the_turn() -> None:
    agent, count = Agent(Script(calls(tool("connect", "c1"))).model), list[int]()

    @agent.tool_plain
    def connect() -> object:
        count.append(1)
        return asyncio.Lock()

    async with talking(bot_with(agent)) as phone:
        await phone.text("Hi")
        (error,) = await phone.errors()
        await phone.advance(3600)
        with pytest.raises(BotError, match="The tool connect was called, but its result cannot be recorded as JSON"):
            raise error
    assert count == [1]


def test_a_key_exists_in_tools_only() -> None:
    with pytest.raises(BotError, match="inside a tool"):
        idempotency_key()


@pytest.mark.process
def test_a_bot_starts_without_importing_pydantic_ai() -> None:
    code = "import linqbot_agent, sys; linqbot_agent.LinqAgent(); print('pydantic_ai' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


async def test_a_result_that_is_too_long_is_cut_and_the_model_learns_how_much() -> None:
    long, results, acts = "é" * 300_000, list[Any](), Counter[str]()

    def fetch() -> Any:
        acts["fetch"] += 1
        return results[-1]

    for result, shown in (
        (long, "éé"),
        ({"page": long, "numbers": [1, 2]}, '{"page":"éé'),
        (list(range(100_000)), "[0,1,2,"),
        (ToolReturn(long, content=[long]), '{"return_value":"éé'),
        ([BinaryContent(b"1" * 300_000, media_type="image/png")], '[{"data":"MTEx'),
    ):
        script = Script(calls(tool("fetch", "c1")), says("Read."))
        results.append(result)
        async with talking(bot_with(Agent(script.model, tools=[fetch]))) as phone:
            assert await answers(phone, "Read it") == ["Read."], shown
            assert await phone.dead_letters() == [], shown
        last = kinds(script.requests[1])[-1]
        assert last.startswith(f"tool-return: {shown}"), last[:80]
        assert re.search(r"\n\[Too long, and cut here: \d+ more characters were left out\.\]$", last), last[-80:]
    assert acts["fetch"] == len(results)


async def test_a_tool_is_not_called_with_arguments_that_are_too_long() -> None:
    noted = list[str]()

    def note(text: str) -> None:
        noted.append(text)

    long: dict[str, Any] = {"text": "x" * 300_000}
    for arguments in (long, to_json(long).decode()):
        script = Script(calls(ToolCallPart("note", arguments, "c1")), says("It is too long."))
        async with talking(bot_with(Agent(script.model, tools=[note]))) as phone:
            assert await answers(phone, "Note it") == ["It is too long."]
        assert noted == []
        assert "Invalid JSON" in kinds(script.requests[1])[-1]


async def test_a_thought_that_is_too_long_is_dropped_and_the_answer_is_said() -> None:
    answer = ModelResponse(parts=[ThinkingPart("x" * 300_000, signature="s"), TextPart("Yes.")])
    async with talking(bot_with(Agent(Script(answer).model))) as phone:
        assert await answers(phone, "Well?") == ["Yes."]
