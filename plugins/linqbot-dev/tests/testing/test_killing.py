"""`killed_between_calls`: one run of a scenario for each point at which the bot can be killed."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from linqbot_dev.testing.stage.bot_run import BotRun, CrashPoints
from linqbot_dev.testing.stage.connections import WRITES, WatchedStorage
from one_handler import bot_of, says
from starlette.applications import Starlette
from storage.conftest import delivery

from linqbot import Ambiguous, Bot, Context, MessageReceived, ScheduleDue
from linqbot.errors import StorageError, StorageUnavailable
from linqbot.linq.events.message import MessageDelivered
from linqbot.storage import backend
from linqbot.storage.op_queue import MAX_BATCH
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.testing import NothingCame, Phone, killed_between_calls, talking

PERSON, LINE = "+14155550142", "+12025550100"


def echo() -> Bot:
    return bot_of(says("{}"))


async def say_hi(phone: Phone) -> None:
    await phone.text("hi")
    assert await phone.next_reply() == "hi"


async def test_each_point_of_a_turn_has_one_run() -> None:
    seen = []

    async def second_message(phone: Phone) -> None:
        await phone.text("first")
        assert await phone.next_reply() == "first"
        await say_hi(phone)

    async for phone in killed_between_calls(echo(), second_message):
        assert phone.messages == ["first", "first", "hi", "hi"]
        assert repr(phone).endswith(f", killed={phone.killed!r})" if phone.killed else "+12025550100')")
        seen.append(phone.killed)
    turn = [
        "before storage.put",
        "after storage.put",
        "after storage.take",
        "before storage.begin",
        "before chats.messages.send",
        "after chats.messages.send",
        "before storage.finish",
    ]
    assert seen == [None, *turn, *turn, "after storage.finish"]


BY_OPERATORS = {
    "export", "forget", "import_consents", "name_send", "note_act", "purge", "put_order", "replay_live", "retry",
}  # fmt: skip


def test_each_method_with_which_a_bot_writes_to_its_storage_has_points() -> None:
    (storage,) = (
        each
        for each in ast.parse(inspect.getsource(backend)).body
        if isinstance(each, ast.ClassDef) and each.name == "Storage"
    )
    writing = {
        method.name
        for method in storage.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_")
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and node.attr in {"_write", "_operate", "_queue"}
    }
    # `check` writes for the health of the process, and what it writes is not kept.
    assert writing - vars(WatchedStorage).keys() - {"check"} == WRITES | BY_OPERATORS


async def test_what_a_handler_does_without_a_record_is_found_done_twice() -> None:
    shop: list[str] = []

    async def order(message: MessageReceived, ctx: Context) -> None:
        shop.append(message.text)
        await ctx.reply("Ordered.")

    async def scenario(phone: Phone) -> None:
        shop.clear()
        await phone.text("soup")
        assert await phone.next_reply() == "Ordered."

    doubled = [phone.killed async for phone in killed_between_calls(bot_of(order), scenario) if len(shop) > 1]
    assert doubled == [
        "before storage.begin",
        "before chats.messages.send",
        "after chats.messages.send",
        "before storage.finish",
    ]


async def test_what_is_recorded_by_once_is_done_at_most_once() -> None:
    shop: list[str] = []

    async def order(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.once("order", shop.append)
        except Ambiguous:
            await ctx.reply("I do not know.")
        else:
            await ctx.reply("Ordered.")

    async def scenario(phone: Phone) -> None:
        shop.clear()
        await phone.text("soup")
        assert await phone.next_reply() in ("Ordered.", "I do not know.")

    unknown = set()
    async for phone in killed_between_calls(bot_of(order), scenario):
        assert len(phone.messages) == 2
        if phone.messages[1] == "Ordered.":
            assert len(shop) == 1
        else:
            unknown.add((phone.killed, len(shop)))
    assert unknown == {("after storage.begin", 0), ("before storage.settle", 1)}


async def test_a_failed_scenario_says_where_the_bot_was_killed() -> None:
    runs: list[str] = []

    async def scenario(phone: Phone) -> None:
        await say_hi(phone)
        runs.append("done")
        if len(runs) == 3:
            await phone.next_reply()

    with pytest.raises(NothingCame) as caught:
        async for _ in killed_between_calls(echo(), scenario):
            pass
    assert "the bot is killed after storage.put" in str(caught.value)
    (note,) = caught.value.__notes__
    assert note.startswith("killed_between_calls: the bot was killed at point 2 of ")
    assert note.endswith(", after storage.put.")


async def test_a_scenario_that_fails_without_a_kill_says_so() -> None:
    async def scenario(phone: Phone) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        async for _ in killed_between_calls(echo(), scenario):
            pass
    assert caught.value.__notes__ == ["killed_between_calls: the bot was killed nowhere."]


@pytest.mark.slow
async def test_receipts_have_points_only_if_a_handler_takes_them() -> None:
    bot = echo()

    async def points(bot: Bot) -> int:
        return len([phone async for phone in killed_between_calls(bot, say_hi)])

    without = await points(bot)

    @bot.on(MessageDelivered)
    async def note(event: MessageDelivered, ctx: Context) -> None:
        await ctx.react("love", message_id=event.message_id)

    assert await points(bot) > without


async def test_the_clients_of_a_test_are_not_killed() -> None:
    async with talking(echo()) as phone:
        await say_hi(phone)
        await phone.restart()
        assert (await phone.client.chats.retrieve(phone.chat_id)).id == phone.chat_id


async def test_a_bot_can_be_killed_while_it_starts() -> None:
    bot = Bot()

    @bot.every("day 09:00")
    async def greet(event: ScheduleDue, ctx: Context) -> None:
        await ctx.bot.send(f"Good morning, day {event.due.day}!", to=PERSON, line=LINE)

    seen, start = [], datetime(2030, 1, 1, 8, 59, tzinfo=UTC)
    async for phone in killed_between_calls(bot, lambda phone: phone.advance(86_400 + 60), start=start):
        assert phone.messages == ["Good morning, day 1!", "Good morning, day 2!"]
        seen.append(phone.killed)
    assert seen[:3] == [None, "before storage.schedule", "after storage.schedule"]


@asynccontextmanager
async def run_on(storage: SQLiteStorage) -> AsyncIterator[BotRun]:
    """Run an app that opens a storage, and does nothing else."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with storage:
            yield

    run = BotRun(CrashPoints(), lambda: None)
    await run.start(Starlette(lifespan=lifespan))
    try:
        yield run
    finally:
        await run.kill()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_what_is_queued_at_a_kill_and_has_not_begun_is_not_written(tmp_path: Path, has_begun: bool) -> None:
    path = tmp_path / "bot.db"
    storage = SQLiteStorage(path)
    async with run_on(storage) as run:
        puts = [storage.put(delivery(f"c:{n}")) for n in range(MAX_BATCH + 1)]
        if has_begun:
            await asyncio.sleep(0)  # the first transaction, which has all operations but one
        await run.kill()
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert {type(each) for each in answers} == {StorageUnavailable}
    async with SQLiteStorage(path) as storage:
        assert await storage.depth() in ({0, MAX_BATCH} if has_begun else {0})


async def test_a_killed_bot_does_not_see_that_what_it_has_queued_is_not_written(tmp_path: Path) -> None:
    going = asyncio.Event()
    seen: list[str] = []

    async def order(message: MessageReceived, ctx: Context) -> None:
        going.set()
        try:
            await ctx.once("order", lambda _: None)
        except Ambiguous:
            seen.append("unknown")
        except StorageError as error:
            seen.append(type(error).__name__)
        else:
            seen.append("ordered")

    async with talking(bot_of(order), storage=f"sqlite:///{tmp_path / 'bot.db'}") as phone:
        await phone.text("soup")
        await going.wait()
        await phone.restart()
        await phone.quiet()
    assert seen == ["ordered"]


async def test_a_kill_cancels_the_tasks_of_a_run_in_the_order_of_their_making() -> None:
    ended: list[int] = []

    async def endless(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    run = BotRun(CrashPoints(), lambda: None)
    await run.start(Starlette())
    tasks = [run.spawn(endless(number)) for number in range(100)]
    await asyncio.sleep(0)
    await run.kill()
    assert ended == list(range(len(tasks)))
