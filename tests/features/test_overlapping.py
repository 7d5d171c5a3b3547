"""Messages that come while a handler runs, at the worst moments: as a call, a question or the turn ends, or the storage fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from engine_turns import run_worker
from fakes import NOW, Linq, delivery, text_body
from one_handler import says
from patience import PATIENCE_S

from linqbot import Bot, Context, MessageReceived
from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.errors import StorageUnavailable
from linqbot.events import Delivery
from linqbot.storage.inbox import Ack, Commit, Lease
from linqbot.storage.sqlite.memory import MemoryStorage

Handler = Callable[[MessageReceived, Context], Awaitable[None]]


class Losing(MemoryStorage):
    """A storage that joins deliveries, and whose first answer to that is lost: it fails, or never comes."""

    def __init__(self, clock: MovableClock, *, fails: bool) -> None:
        super().__init__(clock=clock)
        self.fails = fails
        self.joined = asyncio.Event()

    async def join(self, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool = False) -> None:
        await super().join(lease, joined, ids, again=again)
        if not self.joined.is_set():
            self.joined.set()
            if self.fails:
                raise StorageUnavailable("The connection was lost.")
            await asyncio.Event().wait()


class SlowEnd(MemoryStorage):
    """A storage that takes its time to store the end of a turn."""

    def __init__(self, clock: MovableClock) -> None:
        super().__init__(clock=clock)
        self.ending = asyncio.Event()
        self.go_on = asyncio.Event()

    async def finish(self, lease: Lease, commit: Commit) -> None:
        self.ending.set()
        await self.go_on.wait()
        await super().finish(lease, commit)


class LosingPutBack(MemoryStorage):
    """A storage that puts deliveries back into their lane, and whose first answer to that is lost."""

    is_lost = False

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        count = await super().put_in_order(lane, missed, lease, keep=keep)
        if not self.is_lost:
            self.is_lost = True
            raise StorageUnavailable("The connection was lost.")
        return count


class TakenOver(MemoryStorage):
    """A storage on which another worker takes the lane over and ends the turn, just before messages are put back into it."""

    def __init__(self, clock: MovableClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        self.clock.advance(24 * 3600)
        (other,) = await self.take(1, lease_s=60)
        await self.finish(other, Commit(Ack()))
        return await super().put_in_order(lane, missed, lease, keep=keep)


@asynccontextmanager
async def working(
    bot: Bot, storage: MemoryStorage, clock: MovableClock, linq: Linq | None = None
) -> AsyncIterator[None]:
    """Run a bot, and advance the clock, until its deliveries are handled."""
    async with run_worker(bot, linq or Linq(), storage, clock):
        yield
        async with asyncio.timeout(PATIENCE_S):
            while await storage.depth():
                clock.advance(1)
                await asyncio.sleep(0)


@asynccontextmanager
async def steering(handler: Handler, *, fails: bool) -> AsyncIterator[Losing]:
    """Handle a first message with a handler that takes further ones."""
    clock = MovableClock(NOW, frozen=True)
    bot = Bot(read=False, typing=False)
    bot.on_message(overlap="steer")(handler)
    async with Losing(clock, fails=fails) as storage, run_worker(bot, Linq(), storage, clock):
        await storage.put(delivery(text_body("one")))
        yield storage
        async with asyncio.timeout(PATIENCE_S):
            while await storage.depth():
                await asyncio.sleep(0)


async def test_a_handler_that_ignores_a_lost_answer_runs_again_with_the_messages_that_have_joined() -> None:
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), list[list[str]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        begun.set()
        await go_on.wait()
        with suppress(StorageUnavailable):
            words += [each.text async for each in ctx.incoming()]
        runs.append(words)

    async with steering(answer, fails=True) as storage:
        await begun.wait()
        await storage.put(delivery(text_body("two")))
        go_on.set()
    assert runs == [["one"], ["one", "two"]]


@pytest.mark.parametrize("fails", [True, False])
async def test_the_next_call_takes_what_a_failed_or_cancelled_one_may_have_joined(fails: bool) -> None:
    begun, go_on, words = asyncio.Event(), asyncio.Event(), list[str]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        async def take() -> None:
            words.extend([each.text async for each in ctx.incoming()])

        words.append(message.text)
        begun.set()
        await go_on.wait()
        taking = asyncio.ensure_future(take())
        await storage.joined.wait()
        taking.cancel()
        await asyncio.wait([taking])
        assert taking.cancelled() is not fails
        await storage.put(delivery(text_body("three")))
        await take()
        await take()

    async with steering(answer, fails=fails) as storage:
        await begun.wait()
        await storage.put(delivery(text_body("two")))
        go_on.set()
    assert words == ["one", "two", "three"]


async def test_a_message_is_handled_once_although_the_answer_to_its_return_into_the_lane_is_lost() -> None:
    clock = MovableClock(NOW, frozen=True)
    begun, go_on, runs = asyncio.Event(), asyncio.Event(), list[list[str]]()
    bot = Bot(read=False, typing=False)

    @bot.on_message(overlap="steer")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        runs.append(words)
        begun.set()
        await go_on.wait()
        if len(runs) != 2:
            words += [each.text async for each in ctx.incoming()]
        if len(runs) == 1:
            raise ValueError

    async with LosingPutBack(clock=clock) as storage, working(bot, storage, clock):
        await storage.put(delivery(text_body("one")))
        await begun.wait()
        await storage.put(delivery(text_body("two")))
        go_on.set()
    # The third run does not get it at its call: it is in the lane already, for a turn of its own or for a later call.
    assert runs[:2] == [["one", "two"], ["one"]]
    assert [word for run in runs[2:] for word in run].count("two") == 1


async def notice() -> None:
    """Let a running turn notice what has come."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_call_under_way_ends_before_the_restart_and_no_further_one_begins() -> None:
    clock, linq = MovableClock(NOW, frozen=True), Linq()
    begun, end = asyncio.Event(), asyncio.Event()
    bot = Bot(read=False, typing=False)

    @bot.on_message(overlap="restart")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"I read: {message.text}")
        await ctx.reply("I am done.")

    async def hold(call: Call) -> None:
        begun.set()
        await end.wait()

    linq.before = hold
    async with MemoryStorage(clock=clock) as storage, working(bot, storage, clock, linq):
        await storage.put(delivery(text_body("one")))
        await begun.wait()
        await storage.put(delivery(text_body("two")))
        await notice()
        end.set()
    assert linq.said() == ["I read: one", "I read: one\ntwo", "I am done."]


async def test_a_message_that_comes_while_the_end_of_a_turn_is_stored_gets_a_turn_of_its_own() -> None:
    clock, linq = MovableClock(NOW, frozen=True), Linq()
    bot = Bot(read=False, typing=False)

    bot.on_message(overlap="restart")(says("{}"))

    async with SlowEnd(clock) as storage, working(bot, storage, clock, linq):
        await storage.put(delivery(text_body("one")))
        await storage.ending.wait()
        await storage.put(delivery(text_body("two")))
        await notice()
        storage.go_on.set()
    assert linq.said() == ["one", "two"]


async def test_a_handler_that_has_asked_takes_no_message_from_its_question() -> None:
    clock = MovableClock(NOW, frozen=True)
    begun, go_on, answers, taken = asyncio.Event(), asyncio.Event(), list[str](), list[str]()
    bot = Bot(read=False, typing=False)

    @bot.on_message(overlap="steer")
    async def answer(message: MessageReceived, ctx: Context) -> None:
        begun.set()
        await go_on.wait()
        try:
            answers.append(await ctx.ask("Which day?"))
        finally:
            taken.extend([each.text async for each in ctx.incoming()])

    async with MemoryStorage(clock=clock) as storage, working(bot, storage, clock):
        await storage.put(delivery(text_body("one")))
        await begun.wait()
        await storage.put(delivery(text_body("Friday")))
        go_on.set()
    assert (answers, taken) == (["Friday"], [])


async def handle_after_a_failed_run_has_taken(storage: MemoryStorage, clock: MovableClock) -> list[str]:
    """Let a run take the message "two" and fail, and a corrected bot go on. Return what the corrected bot has handled."""
    begun, go_on, failed, seen = asyncio.Event(), asyncio.Event(), asyncio.Event(), list[str]()
    bot, corrected = Bot(read=False, typing=False), Bot(read=False, typing=False, max_age_s=None)

    @bot.on_message(overlap="steer")
    async def steered(message: MessageReceived, ctx: Context) -> None:
        begun.set()
        await go_on.wait()
        [each.text async for each in ctx.incoming()]
        failed.set()
        raise ValueError

    @corrected.on_message
    async def queued(message: MessageReceived, ctx: Context) -> None:
        seen.append(message.text)

    async with storage:
        async with run_worker(bot, Linq(), storage, clock) as worker:
            await storage.put(delivery(text_body("one")))
            await begun.wait()
            await storage.put(delivery(text_body("two")))
            go_on.set()
            await failed.wait()
            await worker.stop(10)
        async with working(corrected, storage, clock):
            pass
    return seen


async def test_what_a_failed_run_has_taken_is_handled_although_no_handler_of_the_corrected_bot_takes_messages() -> None:
    clock = MovableClock(NOW, frozen=True)
    assert await handle_after_a_failed_run_has_taken(MemoryStorage(clock=clock), clock) == ["one", "two"]


async def test_a_turn_whose_lease_was_lost_puts_no_message_back_that_the_other_worker_has_handled() -> None:
    clock = MovableClock(NOW, frozen=True)
    assert await handle_after_a_failed_run_has_taken(TakenOver(clock), clock) == ["one"]
