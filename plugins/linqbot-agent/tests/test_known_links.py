"""Addresses and phone numbers that a model invents: it is asked again, and then they are cut."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from answers import answers
from linqbot_agent import LinqAgent, Poll, Say
from linqbot_agent.links import Shown, without_invented
from linqbot_agent.requests import GO_ON
from pydantic_ai import Agent, ModelResponse, ToolCallPart, ToolReturn
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import BotClock, Script, bot_with, calls, fixed, kinds, says, streamed, tool

from linqbot.testing import killed_between_calls, talking

INVENTED = "The menu:\n\nhttps://shop.example/menu\n\nOr [this](https://evil.example/x), evil.example.com/menu.\n\nCall 0049 89 1234567"
CHECKED = ["The menu:", "https://shop.example/menu", "Or this, [address removed].", "Call [number removed]"]


async def test_a_model_that_invents_an_address_is_asked_again() -> None:
    script = Script(says("See https://made-up.example/menu"), says("I do not know the address."))
    async with talking(bot_with(Agent(script.model), LinqAgent(known_links=True))) as phone:
        assert await answers(phone, "Where is the menu?") == ["I do not know the address."]
    assert kinds(script.requests[1])[-1].count("Your answer has a web address or a phone number") == 1


async def test_the_report_of_a_failed_tool_does_not_make_an_address_known() -> None:
    evil = "https://evil.example/?secret=4711"
    script = Script(calls(tool("look_up", "c1", url=evil)), says(f"See {evil}"), says("There is no such page."))
    agent = Agent(script.model)

    @agent.tool_plain
    def look_up(url: str) -> str:
        raise ToolFailed(f"There is nothing at {url}")

    async with talking(bot_with(agent, LinqAgent(known_links=True))) as phone:
        assert await answers(phone, "Where is the menu?") == ["There is no such page."]


async def test_what_a_tool_repeats_in_another_form_is_not_known() -> None:
    said = says("Call 0049 89 5550199 or 415 555 0142, or see 4711.evil.example.com.")
    written = {"phones": ["+49 (0)89 5550199", 14155550142], "https://4711.evil.example.com/x": True}
    script = Script(calls(tool("look_up", "c1", **written)), said, said)
    result = {"nobody at": ["004989 5550199", "(415) 555-0142"], "nothing at": "4711.evil.example.com"}
    agent = Agent(script.model)

    @agent.tool_plain
    def look_up(**names: object) -> object:
        return result

    async with talking(bot_with(agent, LinqAgent(known_links=True))) as phone:
        (reply,) = await answers(phone, "Where is the menu?")
    assert reply == "Call [number removed] or [number removed], or see [address removed]."


async def test_what_a_tool_adds_to_its_result_does_not_make_known_what_the_model_made_up() -> None:
    evil = "https://evil.example/?secret=4711"
    text = f"See https://shop.example/a or {evil}"
    script = Script(calls(tool("look_up", "c1", url=evil)), says(text), says(text))
    agent = Agent(script.model)

    @agent.tool_plain
    def look_up(url: str) -> ToolReturn[str]:
        return ToolReturn("Nothing.", content=[f"There is nothing at {url}, but see https://shop.example/a"])

    async with talking(bot_with(agent, LinqAgent(known_links=True))) as phone:
        assert await answers(phone, "Where is the menu?") == ["See https://shop.example/a or [address removed]"]


async def test_what_a_tool_returns_as_data_is_known_in_each_field() -> None:
    found = {"text": "See https://shop.example/a\nBye", "phone": 4155550142, "https://shop.example/b": 1}
    text = "See https://shop.example/a or https://shop.example/b, or call +1 415 555 0142."
    script = Script(calls(tool("find", "c1")), says(text))
    agent = Agent(script.model, tools=[fixed("find", found)])
    async with talking(bot_with(agent, LinqAgent(known_links=True))) as phone:
        assert await answers(phone, "Where is the menu?") == [text]


async def test_what_a_model_invents_in_things_to_say_is_cut_too() -> None:
    outputs = ModelResponse(
        parts=[
            ToolCallPart(
                "final_result",
                {
                    "response": [
                        {"text": "Pay at https://evil.example/pay", "effect": "confetti"},
                        {"options": ["Call 0049 89 1234567", "Wait"]},
                    ]
                },
            )
        ]
    )
    agent = Agent(Script(outputs, outputs).model, output_type=list[Say | Poll])
    async with talking(bot_with(agent, LinqAgent(known_links=True))) as phone:
        assert await answers(phone, "How do I pay?") == ["Pay at [address removed]", ""]
        assert list(phone.messages[-1].votes) == ["Call [number removed]", "Wait"]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_what_a_model_invents_while_it_speaks_is_cut_at_once(size: int) -> None:
    async def respond(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        requests.append(messages)
        for start in range(0, len(INVENTED), size):
            yield INVENTED[start : start + size]

    requests: list[list[ModelMessage]] = []
    agent = Agent(FunctionModel(stream_function=respond), instructions="The menu: https://shop.example/menu")
    async with talking(bot_with(agent, LinqAgent(known_links=True), stream=True)) as phone:
        assert await answers(phone, "Where is the menu?") == CHECKED
    assert len(requests) == 1


@pytest.mark.slow
async def test_a_text_that_is_checked_while_it_is_said_is_said_once_wherever_the_bot_is_killed() -> None:
    clock = BotClock()

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """Go on behind what was said, if the model was cut off."""
        said = kinds(messages)[-2] if GO_ON in kinds(messages)[-1] else ""
        parts = zip(INVENTED.split("\n\n"), CHECKED, strict=True)
        return says("\n\n".join(written for written, checked in parts if checked not in said))

    agent = Agent(streamed(respond, clock), instructions="The menu: https://shop.example/menu")
    bot = clock.of(bot_with(agent, LinqAgent(known_links=True), stream=True))
    points = 0
    async for phone in killed_between_calls(bot, lambda phone: phone.text("Where is the menu?")):
        points += 1
        assert phone.messages[1:] == CHECKED, phone.killed
    assert points > 10


async def test_without_the_option_everything_is_said() -> None:
    async with talking(bot_with(Agent(Script(says("Call +14155550199.")).model))) as phone:
        assert await answers(phone, "Your number?") == ["Call +14155550199."]


async def test_an_address_that_the_model_was_shown_is_said() -> None:
    script = Script(
        calls(tool("find", "c1")),
        says("Mine: +1 (415) 555-0142. Theirs: tool.example.com/a. Yours: user.example.com. Also told.example.com/b"),
        says("Again: tool.example.com/a and +14155550142"),
    )
    found = fixed("find", {"url": "https://tool.example.com/a"})
    instructions = "Our number is 415-555-0142. Read https://told.example.com/b."
    agent = Agent(script.model, tools=[found], instructions=instructions)
    async with talking(bot_with(agent, LinqAgent(known_links=True))) as phone:
        first = " ".join(await answers(phone, "I am at https://user.example.com/me"))
        second = " ".join(await answers(phone, "Again, please"))
    assert "removed" not in first + second
    assert len(script.requests) == 3


def test_only_what_was_shown_is_kept(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str | None]] = [
        ("https://shop.example/menu", "https://shop.example/menu"),
        ("shop.example", "shop.example"),
        ("https://www.shop.example/menu/.", "https://www.shop.example/menu/."),
        ("See `https://shop.example/menu` and `tel:+14155550142`…", None),
        ("https://shop.example/menu… 请看https://shop.example/menu。谢谢", None),
        ("`https://shop.example/pay`, 请看https://shop.example/pay。", "`[address removed]`, 请看[address removed]。"),
        ("电话415-555-0199谢谢, 电话+1 415 555 0142谢谢", "电话[number removed]谢谢, 电话+1 415 555 0142谢谢"),
        ("https://shop.example/pay", "[address removed]"),
        ("https://shop.example@evil.com", "[address removed]"),
        ("https://shop.example.evil.com/menu", "[address removed]"),
        ("https://:4711@shop.example/menu", "[address removed]"),
        ("(see evil.com/x)", "(see [address removed])"),
        ("[shop.example](https://evil.com)", "shop.example"),
        ("[menu](https://shop.example/menu)", "[menu](https://shop.example/menu)"),
        ("[menu](https://shop.example/menu!!.;)", "menu"),
        ("+1 415 555 0142", "+1 415 555 0142"),
        ("(415) 555-0142", "(415) 555-0142"),
        ("tel:+14155550142", "tel:+14155550142"),
        ("tel:+14155550199", "[number removed]"),
        ("0049 89 1234567", "[number removed]"),
        ("2026-11-20 18:30, 12.50 $, 1,234,567 people, code 123456", None),
        ("Write to ann@shop.example, e.g. today.", None),
    ]
    for text, cut in rows:
        with subtests.test(text=text):
            shown = Shown.of(["Menu: https://shop.example/menu", "Call 415 555 0142"])
            assert without_invented(text, shown) == (text if cut is None else cut)


def test_a_long_text_is_checked_in_time_that_grows_with_its_length() -> None:
    shown = Shown.of([])
    for text in ("a." * 50_000, "1 " * 50_000, "[" * 50_000, "www." * 25_000, "((((" * 25_000):
        assert without_invented(text, shown)
        assert Shown.of([text])
