"""Filters and `allow` that fail where the worker asks them before the turn runs a handler.

That is while it gathers a burst, while it looks at the open questions of a chat, and while a handler takes later messages.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from asking_talk import Talk, asking
from engine_turns import run_worker
from fakes import CHAT, NOW, PERSON, Linq, delivery, handle, poll_made, poll_vote, settled, text_body
from patience import PATIENCE_S, until

from linqbot import Bot, Context, Event, MessageReceived, hookimpl
from linqbot.client.call import ApiResponse
from linqbot.clock import MovableClock
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.turn_events import Observers, TurnEnded

OTHER_CHAT = "4d99d589-8d03-5753-96bd-addff71de8c3"


def leave() -> None:
    sys.exit("no such thing")


def cancel() -> None:
    raise asyncio.CancelledError


def fail() -> None:
    raise ValueError("private")


FAULTS = [leave, cancel, fail]


def unless_bad(fault: Callable[[], None]) -> Callable[[MessageReceived], bool]:
    def fits(message: MessageReceived) -> bool:
        if message.text == "bad":
            fault()
        return True

    return fits


@asynccontextmanager
async def serving(bot: Bot) -> AsyncIterator[tuple[MemoryStorage, MovableClock, Linq]]:
    """Let the worker of a bot run, over a storage in memory; in the end, wait for its turns."""
    clock, linq = MovableClock(NOW, frozen=True), Linq()
    storage = MemoryStorage(clock=clock)
    async with run_worker(bot, linq, storage, clock) as worker:
        yield storage, clock, linq
        await worker.stop(5)


async def until_failed(storage: MemoryStorage) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any(each.attempts for each in await storage.waiting()):
            await asyncio.sleep(0)


async def say(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(message.text)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_filter_that_fails_while_a_burst_is_gathered_counts_as_an_attempt(fault: Callable[[], None]) -> None:
    bot = Bot(read=False, typing=False, gather_s=2)
    bot.on_message(unless_bad(fault))(say)
    async with serving(bot) as (storage, clock, linq):
        await storage.put(delivery(text_body("bad")))
        await storage.put(delivery(text_body("good", chat=OTHER_CHAT, sender="+15550001111")))
        clock.advance(3)
        await until_failed(storage)
        await until(linq.said)
    assert linq.said() == ["good"]
    (bad,) = await storage.waiting()
    assert (bad.lane, bad.state) == (f"c:{CHAT}", "retrying")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("overlap", "where"), [("steer", "filter"), ("steer", "allow"), ("restart", "filter")])
async def test_a_later_message_that_no_filter_can_judge_neither_joins_nor_restarts_the_running_turn(
    overlap: Literal["steer", "restart"], where: str, fault: Callable[[], None]
) -> None:
    fits = unless_bad(fault)

    def allow(event: Event) -> bool:
        return not isinstance(event, MessageReceived) or fits(event)

    bot = Bot(read=False, typing=False, allow=allow if where == "allow" else None)
    began, stored = asyncio.Event(), asyncio.Event()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        began.set()
        await stored.wait()
        if overlap == "steer":
            async for later in ctx.incoming():
                await ctx.reply(f"later: {later.text}")
        await ctx.reply(message.text)

    bot.on_message(*([fits] if where == "filter" else []), overlap=overlap)(answer)
    async with serving(bot) as (storage, _, linq):
        await storage.put(delivery(text_body("good")))
        await began.wait()
        await storage.put(delivery(text_body("bad")))
        await settled(20)
        stored.set()
        await until_failed(storage)
    assert linq.said() == ["good"]
    assert [each.attempts for each in await storage.waiting()] == [1]


class Failures:
    """Notes the failures that plugins are notified of."""

    name = "failures"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None:
        if turn.error is not None:
            self.seen.append((type(turn.error).__name__, turn.outcome))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_filter_that_fails_leaves_an_open_question_open(fault: Callable[[], None], talk: Talk) -> None:
    plugin = Failures()
    bot = talk.deploy(plugins=[plugin])
    bot.on_message(unless_bad(fault), lambda message: message.text == "help", during_ask=True)(say)
    bot.on_message(asking("Your name?"))
    await talk.say("hello", "bad")
    assert [each.attempts for each in await talk.storage.waiting()] == [1]
    for _ in range(4):
        await talk.pass_time(60)
    (dead,) = await talk.storage.dead_letters()
    assert "test_failing_filters.py" in dead.error
    assert [outcome for _, outcome in plugin.seen] == ["retry"] * 4 + ["dead_letter"]
    await talk.say("Ann")
    assert talk.said == ["Your name?", "Ann"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_vote_that_allow_cannot_judge_is_retried_and_not_counted(fault: Callable[[], None], talk: Talk) -> None:
    is_broken = False

    def allow(event: Event) -> bool:
        if is_broken:
            fault()
        return True

    async def vote(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=3600)
        await ctx.send(f"{dict(result.counts)}")

    talk.deploy(vote, allow=allow, groups="all")
    chat = {"id": CHAT, "handles": [handle(PERSON)]}
    talk.linq.will_answer("chats.retrieve", ApiResponse(200, chat))
    talk.linq.will_answer("chats.polls.create", poll_made("t", "p"))
    await talk.say("lunch", is_group=True)
    is_broken = True
    await talk.receive(poll_vote("t"))
    assert [each.attempts for each in await talk.storage.waiting()] == [1]
    is_broken = False
    await talk.pass_time(60)
    assert talk.said[-1] == "{'Thai': 1, 'Pizza': 0}"
