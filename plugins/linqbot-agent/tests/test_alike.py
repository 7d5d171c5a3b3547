"""The abilities of agents of each framework: the table in docs/agents.md says what these tests find, cell by cell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from answers import answers
from every_output import EVERYTHING
from frameworks import FRAMEWORKS, PACKAGES, Call, Outside, bot_of
from linqbot_agent import LinqAgent
from one_handler import bot_of as bot_with_handler
from one_handler import does
from test_openai import kitchen
from test_outputs_alike import EVIL, Saying
from test_steering_alike import Waiting, meanwhile

from linqbot import Bot, BotError
from linqbot.testing import talking

PAGE: Final = Path(__file__).parents[3] / "docs" / "agents.md"
COLUMNS: Final = {
    "pydantic-ai": "pydantic-ai",
    "anthropic": "Anthropic",
    "openai": "OpenAI",
    "langgraph": "LangGraph",
}
YES: Final = "yes"
NO: Final = "no"


class Calling(Outside):
    """A model that makes some calls, one in each request, and then says a text.

    Args:
        tools: The tools of the agent; None are those of every `Outside`.
    """

    def __init__(self, *script: Call, tools: Sequence[Any] | None = None, **facts: Any) -> None:
        super().__init__(paragraphs=["Done"], **facts)
        self.script, self.own = script, tools

    def calls(self, results: int) -> list[Call]:
        return [self.script[results]] if results < len(self.script) else []

    def tools(self) -> list[Any]:
        return super().tools() if self.own is None else [*self.own]


async def said_by(bot: Bot, *texts: str) -> list[Any]:
    """Return what a bot says to texts, one after the other."""
    async with talking(bot) as phone:
        return [said for text in texts for said in await answers(phone, text)]


async def _outputs(name: str) -> str:
    texts: dict[str, tuple[str, Any]] = {
        "Hi": ("Several", {"outputs": EVERYTHING[1:]}),
        "Thanks": ("Tapback", {"name": "love"}),
        "Bye": ("Silence", {}),
    }
    outside = Saying(texts)
    async with talking(bot_of(outside, FRAMEWORKS[name](outside))) as phone:
        said = await answers(phone, "Hi")
        can = said[0].effect == "confetti" and list(said[2].votes) == ["Friday", "Saturday"] and bool(said[3].media)
        await phone.text("Thanks")
        can = can and await phone.next_tapback() == "love"
        can = can and await answers(phone, "Bye") == []
    where = {"langgraph": "`response_format=ToolStrategy(…)`", "anthropic": "`run(output_type=…)`"}
    return where.get(name, "`Agent(output_type=…)`") if can else NO


async def _invented_file(name: str) -> str:
    outside = Saying({"Hi": ("Several", {"outputs": [{"text": "Look:"}, {"url": EVIL}]})})
    async with talking(bot_of(outside, FRAMEWORKS[name](outside))) as phone:
        await answers(phone, "Hi")
        assert not any(message.media for message in phone.messages)
    return "asks again" if len(outside.requests) > 2 else "left out"


async def _invented_link(name: str) -> str:
    outside = Outside(names=(), paragraphs=[f"See {EVIL} !"])
    bot = bot_of(outside, FRAMEWORKS[name](outside), LinqAgent(known_links=True))
    assert EVIL not in str(await said_by(bot, "Hi"))
    return "asks once more, then cuts" if len(outside.requests) > 1 else "cuts"


async def _steering(name: str) -> str:
    outside = Waiting()
    bot = bot_with_handler(does(FRAMEWORKS[name](outside)), overlap="steer", plugins=[LinqAgent()])
    async with talking(bot) as phone:
        return YES if await meanwhile(phone, outside, "for two") == ["Heard: A table, for two"] else NO


async def _streaming(name: str) -> str:
    outside = Outside(names=(), paragraphs=["One", "Two", "Three"])
    pause, said = outside.pause, list[int]()
    async with talking(bot_of(outside, FRAMEWORKS[name](outside, stream=True))) as phone:

        async def noting() -> None:
            await pause()
            said.append(len(phone.messages))

        outside.pause = noting  # type: ignore[method-assign]
        assert len(await answers(phone, "Hi")) == 3
    return YES if max(said, default=0) > 1 else NO  # a bubble was there before the response had ended


async def _prompt(name: str) -> str:
    outside = Outside(names=())
    await said_by(bot_of(outside, FRAMEWORKS[name](outside, prompt="What is new?")), "Hi")
    return YES if outside.requests[0][-1][1].endswith("What is new?") else NO


async def _progress(name: str) -> str:
    outside = Calling(Call("reserve", "c1"))

    async def wait() -> None:
        assert outside.clock is not None
        for _ in range(10):
            await outside.clock.wait_until(outside.clock.now() + 1)

    outside.acts = wait
    run = FRAMEWORKS[name](outside, progress="Just a second.", progress_after_s=4)
    return YES if (await said_by(bot_of(outside, run), "Hi"))[0] == "Just a second." else NO


def _noting(name: str, found: list[Any]) -> Any:
    """Return a tool that notes the dependencies of the run."""
    if name == "pydantic-ai":
        from pydantic_ai import RunContext

        def of_pydantic_ai(ctx: Any) -> str:
            found.append(ctx.deps)
            return "seen"

        of_pydantic_ai.__annotations__["ctx"] = RunContext[Any]
        return of_pydantic_ai
    if name == "openai":
        from agents import RunContextWrapper

        def of_openai(wrapper: Any) -> str:
            found.append(wrapper.context)
            return "seen"

        of_openai.__annotations__["wrapper"] = RunContextWrapper[Any]
        return of_openai
    from langchain.tools import ToolRuntime

    def of_langgraph(runtime: Any) -> str:
        """Look something up."""
        found.append(runtime.context)
        return "seen"

    of_langgraph.__annotations__["runtime"] = ToolRuntime[Any, Any]
    return of_langgraph


async def _deps(name: str) -> str:
    found, given = list[Any](), object()
    if name == "anthropic":
        outside = Calling()
        async with talking(bot_of(outside, FRAMEWORKS[name](outside, deps=given), attempts=1)) as phone:
            await phone.text("Hi")
            (error,) = await phone.errors()
            assert isinstance(error, BotError)
        return NO
    tool = _noting(name, found)
    outside = Calling(Call(tool.__name__, "c1"), tools=[tool])
    await said_by(bot_of(outside, FRAMEWORKS[name](outside, deps=given)), "Hi")
    read = {"pydantic-ai": "`ctx.deps`", "openai": "`wrapper.context`", "langgraph": "`runtime.context`"}
    return read[name] if found == [given] else NO


async def _mark(name: str) -> str:
    outside = Calling(Call("charge", "c1"))
    charge = next(each for each in outside.tools() if each.__name__ == "charge")
    if name == "pydantic-ai":
        from pydantic_ai import Tool

        outside.own, mark = [Tool(charge, requires_approval=True)], "`requires_approval=True`"
    elif name == "openai":
        from agents import function_tool

        outside.own, mark = [function_tool(charge, needs_approval=True)], "`needs_approval=True`"
    elif name == "langgraph":
        from langchain.agents.middleware import HumanInTheLoopMiddleware

        outside.middleware = [HumanInTheLoopMiddleware({"charge": True})]
        mark = "`HumanInTheLoopMiddleware`"
    else:
        return NO  # a tool is a function and has no marks
    said = await said_by(bot_of(outside, FRAMEWORKS[name](outside)), "Hi", "yes")
    is_asked = said == ["May I charge? 👍 or yes, 👎 or no", "Done (2)."]
    return mark if is_asked and len(outside.effects) == 1 else NO


async def _question(name: str) -> str:
    if name == "pydantic-ai":
        from pydantic_ai import CallDeferred

        def ask() -> str:
            raise CallDeferred(metadata={"question": "Which name?"})

        outside, means = Calling(Call("ask", "c1"), tools=[ask]), "`CallDeferred`"
    elif name == "langgraph":
        from langgraph.types import interrupt

        def asking() -> str:
            """Ask for the name."""
            return str(interrupt("Which name?"))

        outside, means = Calling(Call("asking", "c1"), tools=[asking]), "`interrupt`"
    else:
        return NO  # neither has a way to end a tool with a question
    said = await said_by(bot_of(outside, FRAMEWORKS[name](outside)), "Hi", "Ann")
    return means if said == ["Which name?", "Done (2)."] else NO


async def _results(name: str) -> str:
    outside = Calling(Call("reserve", "c1"))
    async with talking(bot_of(outside, FRAMEWORKS[name](outside))) as phone:
        await answers(phone, "A table")
        outside.script = ()
        await answers(phone, "Thanks")
    is_text = "[You have called the tool reserve with {}. Its result was: reserve is done]" in str(outside.requests[-1])
    return "as texts" if is_text else "as calls"


async def _handoffs(name: str) -> str:
    if name != "openai":
        return NO
    from linqbot_agent.openai import run

    host = kitchen()
    said = await said_by(bot_of(Outside(), lambda ctx: run(host, ctx)), "How is the soup?", "Salty?")
    return YES if said == ["cook here."] * 2 else NO


async def _limit(name: str) -> str:
    outside = Outside()
    outside.calls = lambda results: [Call("reserve", f"c{results}")]  # type: ignore[method-assign]
    bot = bot_of(outside, FRAMEWORKS[name](outside), LinqAgent(sorry="Sorry."))
    assert await said_by(bot, "Hi") == ["Sorry."]
    return str(len(outside.requests))


async def _crash(name: str) -> str:
    failures = [OSError()]

    class Failing(Calling):
        def note(self, tool: str) -> str:
            if tool == "charge" and failures:
                raise failures.pop()
            return super().note(tool)

    outside = Failing(Call("reserve", "c1"), Call("charge", "c2"))
    async with talking(bot_of(outside, FRAMEWORKS[name](outside))) as phone:
        await phone.text("Hi")
        assert len(await phone.errors()) == 1
        await phone.advance(60)
        assert await phone.replies() == ["Done (3)."]
    is_once = sorted(outside.effects.values()) == [1, 1] and len(outside.requests) == 3
    return "not repeated" if is_once else "repeated"


ROWS: Final[dict[str, Callable[[str], Awaitable[str]]]] = {
    "requests and calls on record, after a crash": _crash,
    "`Say`, `Tapback`, `Poll`, `Media`, `Silence`": _outputs,
    "a file at an address that the model made up": _invented_file,
    "`known_links=True`": _invented_link,
    '`overlap="steer"`: what comes meanwhile': _steering,
    "`run(stream=True)`": _streaming,
    "a prompt: `run(agent, ctx, prompt)`": _prompt,
    "`progress=`, `progress_after_s=`": _progress,
    "`deps=`, as a tool reads it": _deps,
    "a mark for approval at the tool": _mark,
    "a tool asks the person": _question,
    "results of earlier tools are shown": _results,
    "the agent that took over answers the next message": _handoffs,
    "requests until a loop of tools ends": _limit,
}


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the table in the docs, by row and framework."""
    lines = PAGE.read_text().split("\n")
    begin = lines.index(f"| | {' | '.join(COLUMNS.values())} |")
    end = lines.index("", begin)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[begin + 2 : end]]
    return {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", COLUMNS)
async def test_the_table_of_the_docs_says_what_agents_of_a_framework_do(name: str) -> None:
    pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")
    found = {row: await probe(name) for row, probe in ROWS.items()}
    assert {row: cells[name] for row, cells in table().items()} == found


def test_the_table_of_the_docs_has_each_row() -> None:
    assert [*table()] == [*ROWS]
