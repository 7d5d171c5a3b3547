"""Budgets: each person has one for a day, every request counts once, and its end is said once."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import structlog
from answers import answers
from frameworks import Outside, bot_of
from linqbot_agent import Budget, LinqAgent, run
from linqbot_agent.budget import USED, Period, Used
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from scripted_agents import bot_with, calls, fixed, kinds, says, steps, tool

from linqbot import Bot, BotError, Context, MessageReceived
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking

NOTICE = "That is all I can do for you today. Please write again tomorrow."
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
USAGE = RequestUsage(input_tokens=40, output_tokens=10)


def bot(budget: Budget) -> Bot:
    """Return a bot whose agent makes two requests to its model for each message."""
    respond = steps(calls(tool("act", "c1"), usage=USAGE), says("Done.", usage=USAGE))
    agent = Agent(FunctionModel(respond), tools=[fixed("act", "acted")])
    return bot_with(agent, LinqAgent(budget=budget))


@pytest.mark.parametrize("budget", [Budget(requests=4), Budget(tokens=200)])
async def test_a_person_is_answered_until_the_budget_of_the_day_is_used_up(budget: Budget) -> None:
    async with talking(bot(budget), start=NOON) as ann:
        for said in (["Done."], ["Done."], [NOTICE], []):
            assert await answers(ann, "Hi") == said
        bob = ann.person("+14155550143")
        assert await answers(bob, "Hi") == ["Done."]
        await ann.advance(12 * 3600)
        assert await answers(ann, "Hi") == ["Done."]


async def test_the_first_message_of_a_day_runs_the_handler_once() -> None:
    runs, agent = list[str](), Agent(FunctionModel(steps(says("Done."))))

    async def chat(ctx: Context) -> None:
        runs.append("run")
        await run(agent, ctx)

    plugin = LinqAgent(budget=Budget(requests=9))
    async with talking(bot_of(Outside(), chat, plugin), start=NOON) as phone:
        for text in ("first", "second"):
            assert await answers(phone, text) == ["Done."]
    assert len(runs) == 2


async def test_the_budget_holds_for_a_person_who_writes_in_several_chats_at_once() -> None:
    asked, refused, goes_on = list[str](), list[str](), asyncio.Event()

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append("request")
        if len(asked) == 5:
            goes_on.set()  # none is refused
        await goes_on.wait()
        return says("Done.")

    agent = Agent(FunctionModel(respond))

    async def chat(ctx: Context) -> None:
        if await run(agent, ctx) is None:
            refused.append("turn")
        if len(refused) == 3:
            goes_on.set()

    async with talking(bot_of(Outside(), chat, LinqAgent(budget=Budget(requests=2))), start=NOON) as ann:
        chats = [ann, *(ann.group(f"+1415555018{number}") for number in range(4))]
        for each in chats:
            await each.text("Hi")
        replies = sorted([str(said) for each in chats for said in await each.replies()])
        assert replies == ["Done.", "Done.", NOTICE]
        assert len(asked) == 2
        used = await ann.state(Used, name=USED)
        assert (used.requests, used.reserved) == (2, {})


@pytest.mark.slow
async def test_the_notice_is_said_once_although_a_killed_turn_had_begun_with_an_apology() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if kinds(messages)[-1] == "user-prompt: Fail":
            raise ConnectionError
        return says("Done.")

    agent = Agent(FunctionModel(respond))

    async def chat(ctx: Context) -> None:
        await run(agent, ctx, "Fail", sorry="Sorry.")
        await run(agent, ctx, "Go on")

    async def scenario(phone: Phone) -> None:
        await phone.text("Hi")
        await phone.quiet()
        await phone.text("Hi")

    twice = bot_of(Outside(), chat, LinqAgent(budget=Budget(requests=1)))
    async for phone in killed_between_calls(twice, scenario, start=NOON):
        said = [each for each in phone.messages if each.from_bot]
        assert sorted(said) == sorted(["Sorry.", "Done.", NOTICE]), (phone.killed, said)


@pytest.mark.slow
async def test_agents_that_tools_ask_are_booked_once_wherever_the_bot_is_killed() -> None:
    asks = calls(tool("look_up", "c1"), tool("look_up", "c2"), tool("rest", "c3"), usage=USAGE)
    respond = steps(asks, says("Done.", usage=USAGE))
    agent = Agent(FunctionModel(respond), deps_type=Context, tools=[fixed("rest", "rested")])
    usage = RequestUsage(input_tokens=5, output_tokens=2, cost=Decimal("0.001"))
    other = Agent(FunctionModel(steps(says("Found.", usage=usage))))

    @agent.tool
    async def look_up(ctx: RunContext[Context]) -> str:
        return (await other.run("Look it up", usage=ctx.usage)).output

    bot = bot_with(agent, LinqAgent(budget=Budget(requests=9)))
    async for phone in killed_between_calls(bot, lambda phone: phone.text("Hi"), start=NOON):
        used = await phone.state(Used, name=USED)
        assert used == Used(period="2026-11-20", requests=4, tokens=114, cost=Decimal("0.002")), phone.killed


@pytest.mark.slow
async def test_requests_of_a_turn_that_is_given_up_are_booked_once_wherever_the_bot_is_killed() -> None:
    agent = Agent(FunctionModel(steps(calls(tool("act", "c1")))))

    @agent.tool_plain
    def act() -> str:
        raise RuntimeError("The booking system is broken.")

    async def scenario(phone: Phone) -> None:
        await phone.text("Hi")
        await phone.errors()
        for _ in range(3):  # the handler runs twice, and once more where the bot was killed
            with contextlib.suppress(HandlerFailed):
                await phone.advance(600)
            await phone.errors()

    plugin = LinqAgent(budget=Budget(requests=9))
    given_up = bot_of(Outside(), lambda ctx: run(agent, ctx), plugin, attempts=2)
    async for phone in killed_between_calls(given_up, scenario, start=NOON):
        assert len(await phone.dead_letters()) == 1, phone.killed
        assert (await phone.state(Used, name=USED)).requests == 1, phone.killed


def test_a_budget_needs_a_limit() -> None:
    for limit in (None, 0, -1):
        with pytest.raises(BotError, match="1 or more"):
            Budget(requests=limit)
    for wrong in ({"cost": 0}, {"requests": 1, "per": "year"}, {"requests": 1, "timezone": "Mars/Base"}):
        with pytest.raises(BotError, match=r"more than 0|'month'|no time zone 'Mars/Base'"):
            Budget(**wrong)


@pytest.mark.parametrize(
    ("per", "next_period_s", "notice"),
    [
        ("hour", 3600, "for now"),
        ("day", 12 * 3600, "today"),
        ("week", 60 * 3600, "this week"),
        ("month", 10.5 * 24 * 3600, "this month"),
    ],
)
async def test_a_budget_begins_again_with_its_period(per: Period, next_period_s: float, notice: str) -> None:
    async with talking(bot(Budget(requests=2, per=per)), start=NOON) as phone:
        assert await answers(phone, "Hi") == ["Done."]
        await phone.advance(next_period_s - 600)
        await phone.text("Hi")
        assert notice in (await phone.next_reply())
        await phone.advance(600)
        assert await answers(phone, "Hi") == ["Done."]


async def test_a_budget_of_an_hour_begins_again_in_the_hour_that_the_clocks_show_twice() -> None:
    budget = Budget(requests=2, per="hour", timezone="Europe/Paris")
    async with talking(bot(budget), start=datetime(2026, 10, 25, 0, 10, tzinfo=UTC)) as phone:
        for _ in ("02:10 in summer", "02:10 in winter", "03:10"):
            assert await answers(phone, "Hi") == ["Done."]
            await phone.advance(3600)


async def test_a_price_that_is_unknown_counts_nothing_and_is_logged_once() -> None:
    agent = Agent(FunctionModel(lambda messages, info: says("Done."), model_name="unheard-of"))
    with structlog.testing.capture_logs() as logs:
        async with talking(bot_with(agent, LinqAgent(budget=Budget(cost=0.01)))) as phone:
            for n in range(3):
                assert await answers(phone, f"Hi {n}") == ["Done."]
            assert (await phone.state(Used, name=USED)).cost == 0
    (warning,) = [each for each in logs if each["event"] == "agent.unknown_price"]
    assert warning["model"] == "unheard-of"


async def test_a_run_is_ended_by_its_limit_of_requests_and_the_chat_goes_on() -> None:
    endless: list[str] = []

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if "user-prompt: Stop" in kinds(messages):
            return says("Done.")
        endless.append("asked")
        return calls(tool("again", f"c{len(messages)}"))

    async with talking(bot_with(Agent(FunctionModel(respond), tools=[fixed("again", "")]))) as phone:
        assert [each[:5] for each in await answers(phone, "Go on for ever")] == ["Sorry"]
        assert len(endless) == 50
        assert await answers(phone, "Stop") == ["Done."]


@pytest.mark.slow
async def test_a_turn_of_more_questions_than_a_run_may_make_requests_goes_on() -> None:
    agent = Agent(FunctionModel(lambda messages, info: says(f"Done {kinds(messages)[-1][-2:]}.")))
    bot = Bot(plugins=[LinqAgent(budget=Budget(requests=100))], loop_breaker=False)

    @bot.on_message
    async def tutor(message: MessageReceived, ctx: Context) -> None:
        text = message.text
        while True:
            await run(agent, ctx, text)
            text = await ctx.ask("Next?")

    async with talking(bot, start=NOON) as phone:
        for n in range(51):
            assert await answers(phone, f"{n:02}") == [f"Done {n:02}.", "Next?"]
            await phone.advance(10)  # the line sends at most 30 messages in a minute
        await phone.text("never mind")
        await phone.quiet()
        assert (await phone.state(Used, name=USED)).requests == 51
