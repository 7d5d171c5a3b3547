"""A call that was not made affects its turn even if the handler swallows the error. No call is made after its turn."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
import structlog
from asking_talk import Talk
from fakes import CHAT
from one_handler import does

from linqbot import BotError, Context, LinqApiError, LinqUnavailable, RateLimited
from linqbot.branch import follow_tasks
from linqbot.client.call import Call

AWAY = [RateLimited("slow down", status=429, retry_after_s=120), LinqUnavailable("away", status=503)]
REFUSED = LinqApiError("no", status=403, code=2005)


def runs(talk: Talk, handler: Callable[[Context], Awaitable[Any]]) -> None:
    """Let a handler run from now on that only looks at its context."""
    follow_tasks(asyncio.get_running_loop())  # as a worker does
    talk.deploy(does(handler))


def rows(talk: Talk, sql: str) -> list[Any]:
    """Return what is in the file."""
    with closing(sqlite3.connect(talk.path)) as db:
        return db.execute(sql).fetchall()


async def gather_and_look_away(ctx: Context) -> None:
    await asyncio.gather(ctx.reply("a"), ctx.reply("b"), return_exceptions=True)


async def start_and_forget(ctx: Context) -> None:
    asyncio.create_task(ctx.reply("a"))  # noqa: RUF006
    asyncio.create_task(ctx.reply("b"))  # noqa: RUF006


async def wait_and_not_ask(ctx: Context) -> None:
    await asyncio.wait([asyncio.create_task(ctx.reply("a")), asyncio.create_task(ctx.reply("b"))])


async def return_in_finally(ctx: Context) -> None:
    for text in ("a", "b"):
        with contextlib.suppress(BaseException):
            await ctx.reply(text)


async def raise_something_else(ctx: Context) -> None:
    try:
        await ctx.reply("a")
        await ctx.reply("b")
    except BaseException:  # noqa: BLE001
        raise ValueError from None


async def call_the_client(ctx: Context) -> None:
    content = [{"parts": [{"type": "text", "value": text}]} for text in ("a", "b")]
    sends = [ctx.client.chats.messages.send(CHAT, message=each) for each in content]
    await asyncio.gather(*sends, return_exceptions=True)


@pytest.mark.parametrize("error", AWAY, ids=["429", "503"])
@pytest.mark.parametrize(
    "handler",
    [
        gather_and_look_away,
        start_and_forget,
        wait_and_not_ask,
        return_in_finally,
        raise_something_else,
        call_the_client,
    ],
    ids=lambda handler: handler.__name__.replace("_", " "),
)
async def test_a_swallowed_deferral_defers_the_turn(talk: Talk, handler: Callable[..., Any], error: Exception) -> None:
    async def away(_: Call) -> None:
        talk.clock.advance(30)
        raise error

    runs(talk, handler)
    talk.linq.before = away
    await talk.say("hello")
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("deferred", 0)
    talk.linq.before = None
    await talk.pass_time(200)
    assert talk.linq.said() == ["a", "b"]
    assert (await talk.storage.depth(), await talk.storage.dead_letters()) == (0, [])


async def test_after_a_deferred_call_no_further_call_is_made_so_the_order_stays(talk: Talk) -> None:
    refused = [RateLimited("slow down", status=429, retry_after_s=120)]

    async def first_only(_: Call) -> None:
        if refused:
            raise refused.pop()

    runs(talk, return_in_finally)
    talk.linq.before = first_only
    await talk.say("hello")
    assert talk.linq.said() == []
    await talk.pass_time(200)
    assert talk.linq.said() == ["a", "b"]


async def test_a_read_that_fails_in_a_task_which_is_never_awaited_fails_the_handler(talk: Talk) -> None:
    async def look(ctx: Context) -> None:
        await asyncio.wait([asyncio.create_task(ctx.client.chats.retrieve(CHAT))])

    talk.linq.will_answer("chats.retrieve", REFUSED)
    runs(talk, look)
    await talk.say("hello")
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("retrying", 1)


@pytest.mark.parametrize("handler", [start_and_forget, wait_and_not_ask], ids=["forgotten", "waited for"])
async def test_a_refused_call_that_is_never_awaited_fails_the_handler(talk: Talk, handler: Callable[..., Any]) -> None:
    talk.linq.will_answer("chats.messages.send", REFUSED)
    runs(talk, handler)
    await talk.say("hello")
    (waiting,) = await talk.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("retrying", 1)
    await talk.pass_time(10)
    assert sorted(talk.linq.said()) == ["a", "a", "b"]  # the first call was refused, and is made again
    assert await talk.storage.depth() == 0


async def test_a_refused_call_whose_error_was_retrieved_is_no_failure(talk: Talk) -> None:
    talk.linq.will_answer("chats.messages.send", REFUSED)
    runs(talk, gather_and_look_away)
    await talk.say("hello")
    assert (await talk.storage.depth(), await talk.storage.dead_letters()) == (0, [])


async def test_calls_under_way_when_the_handler_returns_are_part_of_its_turn(talk: Talk) -> None:
    async def two(ctx: Context) -> None:
        await ctx.reply("a")
        await ctx.reply("b")

    async def leave(ctx: Context) -> None:
        asyncio.create_task(two(ctx))  # noqa: RUF006

    runs(talk, leave)
    await talk.say("hello")
    assert talk.linq.said() == ["a", "b"]
    ((turn,),) = rows(talk, "SELECT DISTINCT turn FROM journal")
    assert turn.startswith("w.")


async def test_a_call_after_the_end_of_its_turn_is_refused_and_logged_with_its_line(talk: Talk) -> None:
    errors: list[BotError] = []
    end = asyncio.Event()

    async def late(ctx: Context) -> None:
        await end.wait()
        with pytest.raises(BotError, match=r"was called at test_swallowed\.py:\d+ when its turn had ended") as caught:
            await ctx.reply("too late")
        errors.append(caught.value)
        with pytest.raises(BotError, match="send_later"):
            await ctx.send_later("too late", after_s=1)
        # Reads have no order and are not journalled.
        await ctx.client.messages.retrieve("35179424-9c87-5f09-a3f3-60d07a9171ab")

    tasks: list[asyncio.Task[None]] = []

    async def leave(ctx: Context) -> None:
        tasks.append(asyncio.create_task(late(ctx)))

    runs(talk, leave)
    with structlog.testing.capture_logs() as logs:
        await talk.say("hello")
        end.set()
        await tasks[0]
    assert talk.linq.said() == []
    assert len(errors) == 1
    refusals = [entry for entry in logs if entry["event"] == "call.too_late"]
    assert [entry["call"] for entry in refusals] == ["chats.messages.send", "send_later"]
    assert all(entry["at"].startswith("test_swallowed.py:") for entry in refusals)


async def test_a_stored_context_makes_no_calls_in_a_later_turn(talk: Talk) -> None:
    kept: list[Context] = []

    async def keep(ctx: Context) -> None:
        kept.append(ctx)
        await kept[0].reply("from the first context")

    runs(talk, keep)
    await talk.say("one")
    await talk.say("two")
    assert talk.linq.said() == ["from the first context"]
    (waiting,) = await talk.storage.waiting()
    assert waiting.error is not None
    assert waiting.error.startswith("BotError at test_swallowed.py:")


async def test_a_task_that_outlives_its_turn_keeps_no_text_of_it(talk: Talk) -> None:
    runs(talk, start_and_forget)
    await talk.say("hello")
    assert rows(talk, "SELECT texts, ended_at IS NOT NULL FROM journal") == [(0, 1), (0, 1)]
