"""Restarting the bot in a test: what a kill leaves is the storage, and nothing of the old run speaks again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from answers import answers
from one_handler import bot_of, does, says
from patience import PATIENCE_S
from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived
from linqbot.errors import BotError
from linqbot.testing import talking

START = datetime(2030, 1, 1, tzinfo=UTC)


class Visits(BaseModel):
    count: int = 0


def counting() -> Bot:
    bot = Bot()
    bot.on_message("remind me")(does(lambda ctx: ctx.send_later("It is time.", after_s=60)))

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        name = await ctx.ask("Your name?")
        await ctx.reply(f"Booked, {name}.")

    @bot.on_message
    async def count(message: MessageReceived, ctx: Context) -> None:
        visits = await ctx.state.person(Visits)
        visits.count += 1
        await ctx.reply(f"Visit {visits.count}")

    return bot


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'bot.db'}"


async def test_state_questions_and_scheduled_sends_survive(storage: str) -> None:
    async with talking(counting(), storage=storage, start=START) as phone:
        assert await answers(phone, "hi", "remind me", "book") == ["Visit 1", "Your name?"]
        await phone.restart()
        assert await answers(phone, "Ada") == ["Booked, Ada."]
        await phone.restart()
        assert await answers(phone, "hi") == ["Visit 2"]
        await phone.restart(down_s=61)
        assert await phone.next_reply() == "It is time."
        assert phone.now >= START.timestamp() + 61
        assert (await phone.state(Visits)).count == 2


async def test_a_handler_that_was_cut_off_runs_again_and_its_cleanup_sends_nothing(storage: str) -> None:
    never = asyncio.Event()
    runs: list[int] = []

    async def work(message: MessageReceived, ctx: Context) -> None:
        runs.append(len(runs))
        await ctx.reply("Working …")
        try:
            if len(runs) == 1:
                await never.wait()
        except asyncio.CancelledError:
            # Code that ignores a cancellation comes no further either.
            await ctx.reply("cancelled")
            await ctx.reply("not cancelled")
        finally:
            await ctx.reply("Cleaned up.")

    async with talking(bot_of(work), storage=storage) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "Working …"
        await phone.restart()
        assert await phone.replies() == ["Cleaned up."]
        assert phone.messages == ["hi", "Working …", "Cleaned up."]
    assert runs == [0, 1]


async def test_tasks_of_the_old_run_end_with_it() -> None:
    go = asyncio.Event()
    ended: list[object] = []

    async def speak_later(ctx: Context) -> None:
        try:
            await go.wait()
            await ctx.reply("too late")
        finally:
            ended.append(asyncio.current_task())

    async def start(message: MessageReceived, ctx: Context) -> None:
        tasks.append(asyncio.create_task(speak_later(ctx)))

    tasks: list[asyncio.Task[None]] = []
    async with talking(bot_of(start, "start")) as phone:
        await answers(phone, "start")
        await phone.restart()
        assert ended == tasks
        assert tasks[0].cancelled()
        go.set()
        assert await phone.replies() == []


async def test_another_version_of_the_bot_goes_on() -> None:
    async def count(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Before: {(await ctx.state.person(Visits)).count}")

    async with talking(counting()) as phone:
        assert await answers(phone, "hi") == ["Visit 1"]
        for bot in (bot_of(count), None):
            await phone.restart(bot=bot)
            assert await answers(phone, "hi") == ["Before: 1"]


async def test_a_file_goes_on_in_another_test_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    for visit in (1, 2):
        async with talking(counting(), storage=url) as phone:
            assert await answers(phone, "hi") == [f"Visit {visit}"]


async def test_copies_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="copies=0 delivers no webhook"):
        async with talking(Bot(), copies=0):
            raise AssertionError


async def test_a_bot_that_can_never_run_is_refused_and_the_old_one_goes_on() -> None:
    broken = Bot()

    @broken.on_message
    async def first(message: MessageReceived, ctx: Context) -> None: ...

    @broken.on_message("never")
    async def second(message: MessageReceived, ctx: Context) -> None: ...

    async with talking(counting()) as phone:
        with pytest.raises(BotError, match="second"):
            await phone.restart(bot=broken)
        assert await answers(phone, "hi") == ["Visit 1"]


async def test_a_restart_in_a_busy_bot_loses_and_repeats_nothing(storage: str) -> None:
    async with talking(counting(), storage=storage) as phone:
        for _ in range(4):  # a message in whose turn the process dies five times is given up
            await phone.text("hi")
            await phone.restart()
        assert sorted(await phone.replies()) == [f"Visit {visit + 1}" for visit in range(4)]


async def test_a_restart_ends_while_something_has_just_become_due() -> None:
    async with talking(bot_of(says("{}"))) as phone, asyncio.timeout(PATIENCE_S):
        for n in range(6):
            phone.drop_next("read")
            await phone.text(f"{n}")
            if n % 2:
                await asyncio.sleep(0.01)
            await phone.restart(down_s=1)


async def test_each_run_uses_the_task_factory_of_the_first_run() -> None:
    async with talking(bot_of(says("Hi"))) as phone:
        factory = asyncio.get_running_loop().get_task_factory()
        await phone.restart()
        assert asyncio.get_running_loop().get_task_factory() is factory
