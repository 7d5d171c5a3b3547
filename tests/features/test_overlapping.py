"""Messages that come while a handler runs, at the worst moments: as a call, a question or the turn ends, or the storage fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from engine_turns import run_worker
from fakes import NOW, Linq, delivery, settled, text_body
from one_handler import bot_of, says
from patience import PATIENCE_S
from slow_work import Work

from linqbot import Bot, Context, MessageReceived
from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.errors import StorageUnavailable
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite.memory import MemoryStorage


class Timed(MemoryStorage):
    """A storage with a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        super().__init__(clock=self.clock)


def lose_answer(storage: MemoryStorage, name: str, *, fails: bool = True) -> asyncio.Event:
    """Let the first answer of an operation be lost: it fails, or never comes. Return what is set when it is lost."""
    operation, is_lost = getattr(storage, name), asyncio.Event()

    async def lose(*arguments: Any, **options: Any) -> Any:
        answer = await operation(*arguments, **options)
        if not is_lost.is_set():
            is_lost.set()
            if fails:
                raise StorageUnavailable("The connection was lost.")
            await asyncio.Event().wait()
        return answer

    setattr(storage, name, lose)
    return is_lost


def before(storage: MemoryStorage, name: str, act: Callable[[], Awaitable[object]]) -> None:
    """Let something happen before each use of an operation."""
    operation = getattr(storage, name)

    async def do(*arguments: Any, **options: Any) -> Any:
        await act()
        return await operation(*arguments, **options)

    setattr(storage, name, do)


def one_handler(handler: Any, overlap: str = "steer") -> Bot:
    return bot_of(handler, overlap=overlap, read=False, typing=False)


@asynccontextmanager
async def working(bot: Bot, storage: Timed, linq: Linq | None = None) -> AsyncIterator[None]:
    """Run a bot, and advance the clock, until its deliveries are handled."""
    async with run_worker(bot, linq or Linq(), storage, storage.clock):
        yield
        async with asyncio.timeout(PATIENCE_S):
            while await storage.depth():
                storage.clock.advance(1)
                await asyncio.sleep(0)


async def put_two(storage: Timed, work: Work, later: str = "two") -> None:
    """Let a message come, and a later one while work is done for the first; then let the work end."""
    await storage.put(delivery(text_body("one")))
    await work.begun.wait()
    await storage.put(delivery(text_body(later)))
    await settled(20)  # the running turn notices what has come
    work.end.set()


async def test_a_handler_that_ignores_a_lost_answer_runs_again_with_the_messages_that_have_joined() -> None:
    work, runs = Work(), list[list[str]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        await work()
        with suppress(StorageUnavailable):
            words += [each.text async for each in ctx.incoming()]
        runs.append(words)

    async with Timed() as storage, working(one_handler(answer), storage):
        lose_answer(storage, "join")
        await put_two(storage, work)
    assert runs == [["one"], ["one", "two"]]


@pytest.mark.parametrize("fails", [True, False])
async def test_the_next_call_takes_what_a_failed_or_cancelled_one_may_have_joined(fails: bool) -> None:
    work, words = Work(), list[str]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        async def take() -> None:
            words.extend([each.text async for each in ctx.incoming()])

        words.append(message.text)
        await work()
        taking = asyncio.ensure_future(take())
        await is_joined.wait()
        taking.cancel()
        await asyncio.wait([taking])
        assert taking.cancelled() is not fails
        await storage.put(delivery(text_body("three")))
        await take()
        await take()

    async with Timed() as storage, working(one_handler(answer), storage):
        is_joined = lose_answer(storage, "join", fails=fails)
        await put_two(storage, work)
    assert words == ["one", "two", "three"]


async def test_a_message_is_handled_once_although_the_answer_to_its_return_into_the_lane_is_lost() -> None:
    work, runs = Work(), list[list[str]]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        words = [message.text]
        runs.append(words)
        await work()
        if len(runs) != 2:
            words += [each.text async for each in ctx.incoming()]
        if len(runs) == 1:
            raise ValueError

    async with Timed() as storage, working(one_handler(answer), storage):
        is_put_back = lose_answer(storage, "put_in_order")
        await put_two(storage, work)
    assert is_put_back.is_set()
    # The third run does not get it at its call: it is in the lane already, for a turn of its own or for a later call.
    assert runs[:2] == [["one", "two"], ["one"]]
    assert [word for run in runs[2:] for word in run].count("two") == 1


async def test_a_call_under_way_ends_before_the_restart_and_no_further_one_begins() -> None:
    work, linq = Work(), Linq()

    async def hold(call: Call) -> None:
        await work()

    linq.before = hold
    bot = one_handler(says("I read: {}", "I am done."), "restart")
    async with Timed() as storage, working(bot, storage, linq):
        await put_two(storage, work)
    assert linq.said() == ["I read: one", "I read: one\ntwo", "I am done."]


async def test_a_message_that_comes_while_the_end_of_a_turn_is_stored_gets_a_turn_of_its_own() -> None:
    linq, ending = Linq(), Work()
    async with Timed() as storage, working(one_handler(says("{}"), "restart"), storage, linq):
        before(storage, "finish", ending)
        await put_two(storage, ending)
    assert linq.said() == ["one", "two"]


async def test_a_handler_that_has_asked_takes_no_message_from_its_question() -> None:
    work, answers, taken = Work(), list[str](), list[str]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await work()
        try:
            answers.append(await ctx.ask("Which day?"))
        finally:
            taken.extend([each.text async for each in ctx.incoming()])

    async with Timed() as storage, working(one_handler(answer), storage):
        await put_two(storage, work, "Friday")
    assert (answers, taken) == (["Friday"], [])


@pytest.mark.parametrize(("is_taken_over", "handled"), [(False, ["one", "two"]), (True, ["one"])])
async def test_what_a_failed_run_has_taken_is_handled_by_a_corrected_bot_unless_another_worker_has_handled_it(
    is_taken_over: bool, handled: list[str]
) -> None:
    """The corrected bot has no handler that takes messages."""
    work, failed, seen = Work(), asyncio.Event(), list[str]()

    async def steered(message: MessageReceived, ctx: Context) -> None:
        await work()
        [each.text async for each in ctx.incoming()]
        failed.set()
        raise ValueError

    async def queued(message: MessageReceived, ctx: Context) -> None:
        seen.append(message.text)

    async def take_over() -> None:
        """Let another worker take the lane over and end the turn."""
        storage.clock.advance(24 * 3600)
        (other,) = await storage.take(1, lease_s=60)
        await storage.finish(other, Commit(Ack()))

    async with Timed() as storage:
        if is_taken_over:
            before(storage, "put_in_order", take_over)
        async with run_worker(one_handler(steered), Linq(), storage, storage.clock) as worker:
            await put_two(storage, work)
            await failed.wait()
            await worker.stop(10)
        async with working(bot_of(queued, read=False, typing=False, max_age_s=None), storage):
            pass
    assert seen == handled
