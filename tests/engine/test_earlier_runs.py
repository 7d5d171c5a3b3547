"""The calls of a second run are matched with those of the first, even if concurrent tasks run in another order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog
from engine_turns import TurnByTurn, send_of
from fakes import CHAT, NOW, Linq, settled
from hypothesis import given, settings
from hypothesis import strategies as st
from one_handler import does
from patience import PATIENCE_S

from linqbot import BotError, Context
from linqbot.branch import follow_tasks
from linqbot.client.call import Call
from linqbot.engine.earlier_runs import JournalMatcher
from linqbot.engine.slots import digest
from linqbot.storage.journal import JournalEntry

Handle = Callable[[Context, int], Awaitable[None]]


async def run_twice(handle: Handle) -> Linq:
    """Run a turn whose handler fails and runs again. The handler gets the number of the run."""
    follow_tasks(asyncio.get_running_loop())
    count = iter(range(2))

    turns = TurnByTurn(does(lambda ctx: handle(ctx, next(count))), attempts=2, first_s=0)
    await turns.text()
    await turns.run()
    assert await turns.storage.depth() == 0
    assert await turns.storage.dead_letters() == []
    return turns.linq


async def test_tasks_that_swap_their_order_send_each_message_once() -> None:
    async def handle(ctx: Context, run: int) -> None:
        async def weather() -> None:
            await settled(1 if run == 0 else 50)
            await ctx.reply("weather: sunny")

        async def news() -> None:
            await settled(50 if run == 0 else 1)
            if run == 0:
                raise ValueError
            await ctx.reply("news: none")

        await asyncio.gather(weather(), news())

    assert (await run_twice(handle)).said() == ["weather: sunny", "news: none"]


async def test_answers_sent_in_the_order_of_arrival_are_sent_once_each() -> None:
    async def handle(ctx: Context, run: int) -> None:
        async def ask(what: str, wait: int) -> str:
            await settled(wait)
            return what

        waits = [1, 20, 40] if run == 0 else [40, 20, 1]
        asking = [ask(what, wait) for what, wait in zip("abc", waits, strict=True)]
        for n, answer in enumerate(asyncio.as_completed(asking)):
            await ctx.reply(await answer)
            if run == 0 and n == 1:
                raise ValueError

    assert sorted((await run_twice(handle)).said()) == ["a", "b", "c"]


async def test_a_reply_in_the_place_of_an_earlier_tapback_is_sent() -> None:
    async def handle(ctx: Context, run: int) -> None:
        await ctx.reply("first")
        if run == 0:
            await ctx.react("love")
            raise ValueError
        await ctx.reply("second")

    assert (await run_twice(handle)).said() == ["first", "second"]


async def test_a_new_wording_of_a_sent_message_is_not_sent() -> None:
    async def handle(ctx: Context, run: int) -> None:
        first = await ctx.reply(f"thought {run}")
        assert first.id == "sent-1"
        await asyncio.wait_for(ctx.reply(f"in a task {run}"), PATIENCE_S)
        if run == 0:
            raise ValueError
        await ctx.reply("end")

    with structlog.testing.capture_logs() as logs:
        assert (await run_twice(handle)).said() == ["thought 0", "in a task 0", "end"]
    assert [entry["event"] for entry in logs].count("send.diverged") == 2


async def test_concurrent_tasks_with_new_wordings_are_distinguished_by_their_functions() -> None:
    async def handle(ctx: Context, run: int) -> None:
        async def weather() -> None:
            await settled(1 if run == 0 else 50)
            await ctx.reply(f"weather, as of run {run}")

        async def news() -> None:
            await settled(50 if run == 0 else 1)
            await ctx.reply(f"news, as of run {run}")

        async with asyncio.TaskGroup() as group:
            group.create_task(weather())
            group.create_task(news())
        if run == 0:
            raise ValueError

    assert (await run_twice(handle)).said() == ["weather, as of run 0", "news, as of run 0"]


async def test_a_key_identifies_a_call_with_any_number_and_any_wording() -> None:
    async def handle(ctx: Context, run: int) -> None:
        if run == 1:
            await ctx.reply("more today", key="news")
        await ctx.reply(f"weather {run}", "tomorrow too", key="weather")
        await ctx.react("love", key="heart")
        content = {"parts": [{"type": "text", "value": f"raw {run}"}]}
        await ctx.client.named("raw").chats.messages.send(CHAT, message=content)
        if run == 0:
            raise ValueError

    linq = await run_twice(handle)
    assert linq.said() == ["weather 0", "tomorrow too", "raw 0", "more today"]
    assert linq.names().count("messages.add_reaction") == 1


def test_a_key_has_a_limited_length() -> None:
    for key in ("", "x" * 129):
        with pytest.raises(BotError, match="cannot name a call"):
            Linq().client.named(key)


async def test_tasks_started_by_libraries_shift_no_number() -> None:
    async def handle(ctx: Context, run: int) -> None:
        if run == 0:  # like a pool, which opens a connection only the first time
            await asyncio.create_task(settled(1))

        async def say() -> None:
            await ctx.reply(f"answer {run}")

        await asyncio.create_task(say())
        if run == 0:
            raise ValueError

    assert (await run_twice(handle)).said() == ["answer 0"]


def record(slot: str, text: str) -> JournalEntry:
    call = send_of(text).with_key(f"key-{slot}")
    return JournalEntry("w.1", 0, slot, f"key-{slot}", "keyed", call.to_json(), "accepted", NOW)


@given(sent=st.lists(st.sampled_from("abc"), max_size=6), again=st.permutations(range(9)), more=st.integers(0, 3))
@settings(deadline=None)
def test_of_calls_in_any_order_only_new_ones_are_made_once(sent: list[str], again: list[int], more: int) -> None:
    matcher = JournalMatcher([record(str(n), text) for n, text in enumerate(sent)])
    new = [f"new {n}" for n in range(more)]
    calls = [send_of(text) for text in (*sent, *new)]
    made: list[Call] = []
    for number, n in enumerate(n for n in again if n < len(calls)):
        match = matcher.match(str(number), calls[n], is_named=False)
        made += [match.still_to_make] if match.still_to_make is not None else []
        made += [calls[n]] if match.entry is None else []
    assert sorted(digest(call) for call in made) == sorted(digest(send_of(text)) for text in new)


def test_a_digest_does_not_depend_on_the_key_and_is_the_one_that_older_releases_have_stored() -> None:
    assert digest(send_of("a")) == digest(send_of("a").with_key("k")) == "9b8830368a43fcc9" != digest(send_of("b"))
    assert digest(Call.from_json(record("0", "a").call)) == digest(send_of("a"))
