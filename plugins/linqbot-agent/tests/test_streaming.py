"""An agent that speaks while its model writes: bubbles come early, in order and once, wherever the bot is killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from answers import answers
from linqbot_agent import LinqAgent, Tapback, run
from linqbot_agent.requests import GO_ON
from one_handler import bot_of, does
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import BotClock, Script, bot_with, calls, kinds, says, streamed, tool

from linqbot import Bot, Context
from linqbot.testing import Phone, killed_between_calls, talking

NARRATION = "One moment, I look."
BUBBLES = ["A table is free at 8.", "It is booked for two.", "The weather is fine.", "Enjoy your meal!"]


class Restaurant:
    """A bot whose agent makes three model requests and calls two tools, one of which asks the model to try again.

    Its model obeys: after it was cut off, it writes the rest in other words.

    Attributes:
        acts: What was done in this run of the scenario, repetitions included.
        said: The text that the last run has returned.
        seen: The messages of the last request.
    """

    def __init__(self, *, approval: bool = False) -> None:
        self.acts = Counter[str]()
        self.bubbles = BUBBLES[:2] if approval else BUBBLES
        self.said: str | None = None
        self.seen: list[ModelMessage] = []
        clock = BotClock()
        agent = Agent(streamed(self.respond, clock), deps_type=Context, output_type=[str, Tapback])

        async def chat(ctx: Context) -> None:
            self.said = await run(agent, ctx, stream=True)

        self.bot = clock.of(bot_of(does(chat), plugins=[LinqAgent()]))

        @agent.tool_plain
        async def book(hour: int) -> str:
            self.acts[f"book {hour}"] += 1
            if hour == 7:
                raise ModelRetry("Taken. Try 8.")
            return "booked"

        @agent.tool(requires_approval=approval)
        async def weather(ctx: RunContext[Context]) -> str:
            self.acts["weather"] += 1
            return "fine"

    def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.seen = messages
        if GO_ON in kinds(messages)[-1]:
            said = kinds(messages)[-2].removeprefix("text: ")
            messages = messages[:-2]
        else:
            said = ""
        step = sum(isinstance(message, ModelResponse) for message in messages)
        self.acts[f"request {step}"] += 1
        left = [bubble for bubble in (NARRATION, *self.bubbles) if bubble not in said]
        match step:
            case 0:
                narration = NARRATION if NARRATION in left else ""
                return calls(tool("book", "c1", hour=7), tool("weather", "c2"), narration=narration)
            case 1:
                return calls(tool("book", "c3", hour=8))
            case _:
                return says("\n\n".join(left[1:] if NARRATION in left else left))


async def test_bubbles_come_while_the_model_writes() -> None:
    restaurant = Restaurant()
    async with talking(restaurant.bot) as phone:
        await phone.text("A table for two, please")
        assert await phone.next_reply() == NARRATION
        assert restaurant.acts == {"request 0": 1}
        assert await phone.replies() == BUBBLES
        await phone.text("Thanks")
        await phone.quiet()
        # The next run is shown what was delivered.
        assert [said for said in kinds(restaurant.seen) if said.startswith("text")][:5] == [
            f"text: {bubble}" for bubble in (NARRATION, *BUBBLES)
        ]


@pytest.mark.slow
async def test_a_run_that_is_killed_while_it_speaks_says_each_bubble_once_before_and_after_an_approval() -> None:
    restaurant, cuts = Restaurant(approval=True), 0

    async def scenario(phone: Phone) -> None:
        restaurant.acts.clear()
        await phone.text("A table for two, please")
        assert await phone.next_reply() == NARRATION
        await phone.next_reply()
        await phone.text("yes")

    async for phone in killed_between_calls(restaurant.bot, scenario):
        asked = "May I weather? 👍 or yes, 👎 or no"
        assert phone.messages[1:] == [NARRATION, asked, "yes", *restaurant.bubbles], phone.killed
        acts = restaurant.acts
        assert acts.keys() == {"request 0", "request 1", "request 2", "book 7", "book 8", "weather"}
        # A kill between an act and its record repeats that act.
        assert sum(acts.values()) <= len(acts) + 1, phone.killed
        cuts += any(GO_ON in said for said in kinds(restaurant.seen))
    assert cuts > 1


async def test_a_run_that_is_cut_off_twice_goes_on_behind_what_was_said() -> None:
    restaurant = Restaurant()
    async with talking(restaurant.bot) as phone:
        await phone.text("A table for two, please")
        for bubble in (NARRATION, *BUBBLES[:3]):
            assert await phone.next_reply() == bubble
            if bubble in BUBBLES[:2]:
                await phone.restart()
        assert await phone.replies() == BUBBLES[3:]
    assert restaurant.said == "\n\n".join(BUBBLES)
    assert restaurant.acts == {"request 0": 1, "book 7": 1, "weather": 1, "request 1": 1, "book 8": 1, "request 2": 3}


async def test_a_model_that_fails_again_behind_what_was_said_is_not_asked_a_third_time() -> None:
    clock, requests = BotClock(), list[str]()

    async def breaks(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        requests.append(kinds(messages)[-1])
        if GO_ON not in requests[-1]:
            yield "It is sunny.\n\n"
            await clock.wait(3)
        yield "And "
        raise ModelHTTPError(529, "model")

    bot = clock.of(bot_with(Agent(FunctionModel(stream_function=breaks)), stream=True, sorry="Sorry."))
    async with talking(bot) as phone:
        assert await answers(phone, "Weather?") == ["It is sunny.", "Sorry."]
        assert await phone.errors() == []
    assert requests == ["user-prompt: Weather?", f"user-prompt: {GO_ON}"]


async def test_a_model_that_fails_before_a_bubble_was_said_is_asked_once_more() -> None:
    requests = list[str]()

    async def breaks(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        requests.append(kinds(messages)[-1])
        yield "It is"
        raise ModelHTTPError(529, "model")

    bot = bot_with(Agent(FunctionModel(stream_function=breaks)), stream=True, sorry="Sorry.")
    async with talking(bot) as phone:
        assert await answers(phone, "Weather?") == ["Sorry."]
    assert requests == ["user-prompt: Weather?"] * 2


class Recovering(AbstractCapability[Any]):
    async def on_model_request_error(self, ctx: Any, *, request_context: Any, error: Exception) -> ModelResponse:
        return says("The kitchen is closed.")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_hook_of_the_agent_answers_in_place_of_the_model_is_said(stream: bool) -> None:
    agent = Agent(streamed(Script(OSError()), BotClock()), capabilities=[Recovering()])
    async with talking(bot_with(agent, stream=stream)) as phone:
        assert await answers(phone, "A table?") == ["The kitchen is closed."]


async def test_after_a_deploy_that_needs_no_approval_any_more_the_answer_is_said_and_the_tool_called_once() -> None:
    script, clock, acts = Script(calls(tool("cancel", "c1")), says("Done."), says("You are welcome.")), BotClock(), []

    def deployed(*, asks: bool) -> Bot:
        agent = Agent(streamed(script, clock))

        @agent.tool_plain(requires_approval=asks)
        def cancel() -> str:
            acts.append("cancelled")
            return "cancelled"

        return clock.of(bot_with(agent, stream=True))

    async with talking(deployed(asks=True)) as phone:
        await answers(phone, "Cancel it")
        await phone.restart(bot=deployed(asks=False))
        assert await answers(phone, "yes") == ["Done."]
        assert await answers(phone, "Thanks") == ["You are welcome."]
    assert acts == ["cancelled"]
    assert len(script.requests) == 3
