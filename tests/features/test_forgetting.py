"""`forget` removes a person from the file to the last byte, including messages sent to them and scheduled for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from engine_turns import run_worker
from fakes import CHAT, LINE, NOW, PERSON, Linq, delivery, envelope, handle, text_body
from patience import PATIENCE_S

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.clock import MovableClock
from linqbot.engine.parts import origin_of
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import parse
from linqbot.storage.sqlite.storage import SQLiteStorage

pytestmark = pytest.mark.anyio

WORDS = "meet me at nine"
BOB = "+14155550187"
GROUP = "00000000-0000-4000-9000-000000000001"
Handler = Callable[[MessageReceived, Context], Awaitable[None]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW, frozen=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@contextlib.asynccontextmanager
async def serving(path: Path, clock: MovableClock, linq: Linq, handler: Handler) -> AsyncIterator[SQLiteStorage]:
    bot = Bot(read=False, typing=False, groups="all", max_age_s=None)
    bot.on_message(handler)
    async with SQLiteStorage(path, clock=clock) as storage, run_worker(bot, linq, storage, clock):
        yield storage


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.001)


async def handled(storage: SQLiteStorage, one: Delivery) -> None:
    async def is_over() -> bool:
        return await storage.depth() == 0

    await storage.put(one)
    await until(is_over)


async def remind(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later(f"You said: {message.text}", after_s=50)


async def test_a_send_scheduled_for_a_person_in_a_group_is_removed_and_not_sent(
    path: Path, clock: MovableClock
) -> None:
    linq = Linq()
    async with serving(path, clock, linq, remind) as storage:
        for sender, text in ((PERSON, WORDS), (BOB, "others stay")):
            await handled(storage, delivery(text_body(text, chat=GROUP, sender=sender, is_group=True)))
        forgotten = await storage.forget(PERSON)
        assert (forgotten.rows["timer"], forgotten.chats, forgotten.left, forgotten.wiped) == (1, (), (), True)
        assert WORDS.encode() not in on_disk(path)
        assert PERSON.encode() not in on_disk(path)
        clock.advance(60)

        async def is_sent() -> bool:
            return bool(linq.calls)

        await until(is_sent)
    assert linq.said() == ["You said: others stay"]


async def test_a_direct_chat_is_found_by_its_timer_after_its_deliveries_are_gone(
    path: Path, clock: MovableClock
) -> None:
    async with serving(path, clock, Linq(), remind) as storage:
        await handled(storage, delivery(text_body(WORDS)))
        forgotten = await storage.forget(PERSON)
        assert (forgotten.rows["timer"], forgotten.chats) == (1, (CHAT,))
        assert await storage.scheduled() == []
        for one in (WORDS, PERSON, CHAT):
            assert one.encode() not in on_disk(path)


async def test_a_direct_chat_is_found_by_the_journal_after_its_deliveries_are_gone(
    path: Path, clock: MovableClock
) -> None:
    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(WORDS)

    async with serving(path, clock, Linq(), answer) as storage:
        await handled(storage, delivery(text_body("hi")))
        assert CHAT.encode() in on_disk(path)
        forgotten = await storage.forget(PERSON)
        assert (forgotten.rows["journal"], forgotten.chats) == (1, (CHAT,))
        for one in (WORDS, PERSON, CHAT):
            assert one.encode() not in on_disk(path)


async def test_data_that_a_turn_stores_during_a_forget_is_removed_by_the_next_one(
    path: Path, clock: MovableClock
) -> None:
    runs, go = asyncio.Event(), asyncio.Event()

    async def slow(message: MessageReceived, ctx: Context) -> None:
        runs.set()
        await go.wait()
        await remind(message, ctx)

    async with serving(path, clock, Linq(), slow) as storage:
        one = delivery(text_body(WORDS))
        await storage.put(one)
        await runs.wait()
        first = await storage.forget(PERSON)
        assert (first.left, first.chats, first.rows["timer"]) == ((one.id,), (CHAT,), 0)
        go.set()

        async def is_over() -> bool:
            return await storage.depth() == 0

        await until(is_over)
        second = await storage.forget(PERSON)
        assert (second.left, second.rows["timer"]) == ((), 1)
        assert await storage.scheduled() == []
        for word in (WORDS, PERSON, CHAT):
            assert word.encode() not in on_disk(path)


def origin(body: bytes) -> dict[str, object] | None:
    found = origin_of(parse(delivery(body)))
    return None if found is None else dict(json.loads(found))


def test_the_origin_of_a_turn_is_its_sender_and_never_a_line_of_ours() -> None:
    assert origin(text_body()) == {"handles": [PERSON], "chat_id": CHAT, "is_group": False}
    assert origin(text_body(is_group=True)) == {"handles": [PERSON], "chat_id": CHAT, "is_group": True}
    assert origin(text_body(sender=LINE, direction="outbound")) is None


def test_the_origin_of_a_turn_includes_the_participant_and_the_handle_of_a_new_direct_chat() -> None:
    added = {"chat_id": CHAT, "participant": handle(PERSON)}
    assert origin(envelope("participant.added", added)) == {"handles": [PERSON], "chat_id": CHAT, "is_group": True}
    assert origin(envelope("participant.added", {"chat_id": CHAT, "participant": handle(LINE, is_me=True)})) is None
    chat = {"id": CHAT, "is_group": False, "handles": [handle(PERSON), handle(LINE, is_me=True)]}
    assert origin(envelope("chat.created", chat)) == {"handles": [PERSON], "chat_id": CHAT, "is_group": False}
    assert origin(envelope("chat.created", chat | {"is_group": True})) is None
