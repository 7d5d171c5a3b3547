"""New code runs on all that a day of a bot left behind: broadcasts, notices of dead letters, and answers of questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from dry_deploys import Day, texts, the_group
from fakes import LINE, tapback, text_body
from one_handler import says

from linqbot import (
    Bot,
    Context,
    Failure,
    MessageReceived,
    ReactionAdded,
    Refused,
    hookimpl,
    in_direct,
    in_group,
    to_line,
)
from linqbot.turn_events import Observers, TurnEnded, TurnTaken

PEOPLE = ["+14155552001", "+14155552002"]


async def announce(message: MessageReceived, ctx: Context) -> None:
    for _ in range(2):
        await ctx.bot.broadcast(PEOPLE, "News!", name="news")
    begun = await ctx.bot.find_broadcast("news")
    assert begun is not None
    assert {one.outcome async for one in ctx.bot.recipients("news")} == {"pending"}
    await ctx.reply(f"{begun.people} people")


async def test_a_broadcast_that_would_begin_is_shown_and_not_stored(day: Day) -> None:
    day.deploy(says())
    await day.say("now")
    group = the_group(await day.compared(announce))
    assert texts(group) == [(None, "[broadcast news]"), (None, "2 people")]
    assert await day.storage.broadcasts() == []


@pytest.mark.parametrize("raised", [SystemExit(2), asyncio.CancelledError(), GeneratorExit()])
async def test_a_handler_that_exits_or_cancels_itself_is_a_failure_and_the_run_goes_on(
    day: Day, raised: BaseException
) -> None:
    async def leave(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("leaving")
        raise raised

    day.deploy(says())
    await day.say("one", "two")
    group = the_group(await day.compared(leave))
    assert (group.kind, group.count, texts(group)) == ("new failure", 2, [(None, "leaving")])
    assert group.cause.startswith(type(raised).__name__)


class NoBroadcasts:
    name = "no-broadcasts"

    @hookimpl
    def register_broadcast_checks(self) -> list[Callable[[str, Sequence[str]], None]]:
        def veto(name: str, people: Sequence[str]) -> None:
            raise Refused(f"{name} is not for {len(people)} people")

        return [veto]


async def test_a_broadcast_that_a_plugin_vetoes_would_not_begin(day: Day) -> None:
    day.deploy(announce, plugins=[NoBroadcasts()])
    await day.say("now")
    assert (await day.compared(day.bot)).counts == {"same": 1}
    (dead,) = await day.storage.dead_letters()
    assert "refused by no-broadcasts" in dead.error


class Watching:
    name = "watching"

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnTaken: self.turn_taken, TurnEnded: self.turn_ended}

    def turn_taken(self, _: TurnTaken) -> None:
        self.seen.append("taken")

    def turn_ended(self, turn: TurnEnded) -> None:
        self.seen.append(turn.outcome)


async def test_plugins_that_observe_turns_do_not_observe_a_dry_run(day: Day) -> None:
    plugin = Watching()
    day.deploy(says("Hello."), plugins=[plugin])
    await day.say("hi")
    assert plugin.seen == ["taken", "ack"]
    assert (await day.compared(day.bot)).counts == {"same": 1}
    assert plugin.seen == ["taken", "ack"]


async def test_a_dead_letter_notice_runs_the_handler_of_dead_letters(day: Day) -> None:
    async def fail(message: MessageReceived, ctx: Context) -> None:
        raise ValueError

    day.deploy(fail)
    reasons: list[Any] = []

    @day.bot.on_dead_letter
    async def apologise(failure: Failure, message: MessageReceived, ctx: Context) -> None:
        reasons.append((failure.attempts, message.text))
        await ctx.reply("Sorry, a person will look at it.")

    await day.say("boom")
    assert (await day.compared(day.bot)).counts == {"same": 2}
    assert reasons == [(1, "boom")] * 2


@pytest.mark.parametrize("is_group", [True, False])
async def test_a_reaction_is_of_the_group_or_person_of_the_messages_in_its_chat(day: Day, is_group: bool) -> None:
    bot = day.deploy(says("Tell me more."), groups="all")

    @bot.on_reaction(in_group)
    async def of_groups(event: ReactionAdded, ctx: Context) -> None:
        await ctx.reply("A group likes it.")

    @bot.on_reaction(in_direct, to_line(LINE))
    async def of_people(event: ReactionAdded, ctx: Context) -> None:
        await ctx.reply("One person likes it.")

    await day.put(text_body("hello", is_group=is_group))
    await day.receive(tapback("love", "10000000-0000-4000-8000-000000000001"))
    assert day.said[-1] == ("A group likes it." if is_group else "One person likes it.")
    assert (await day.compared(bot)).counts == {"same": 2}


async def test_an_answer_that_a_predicate_did_not_take_aside_is_no_message_of_its_own(day: Day) -> None:
    bot = day.bot = Bot(read=False, typing=False)

    async def is_aside(message: MessageReceived, ctx: Context) -> bool:
        return message.text == "aside"

    bot.on_message(when=is_aside, during_ask=True)(says("Yes?"))

    @bot.on_message
    async def ask(message: MessageReceived, ctx: Context) -> None:
        people = await ctx.ask("How many?", kind=int, repeat=False)
        await ctx.reply(f"{people} people.")

    await day.say("hi", "a few", "aside", "4")
    assert (await day.compared(bot)).counts == {"same": 3}
