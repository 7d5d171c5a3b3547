from __future__ import annotations

import asyncio
import contextlib
import errno
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from engine_turns import run_worker
from fakes import NOW, Linq, delivery, settled, text_body
from patience import PATIENCE_S
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived
from linqbot.clock import MovableClock
from linqbot.engine.feature import Feature
from linqbot.engine.worker import AlarmClock, Worker
from linqbot.errors import StorageError, StorageUnavailable
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Waiting


class Faulty(MemoryStorage):
    """A storage that raises the errors that `fault` returns for the ends of turns."""

    fault: Callable[[Commit], Exception | None] | None = None
    tries = 0

    async def finish(self, lease: Lease, commit: Commit) -> None:
        self.tries += 1
        if self.fault is not None and (error := self.fault(commit)) is not None:
            raise error
        await super().finish(lease, commit)


def unforeseen() -> StorageError:
    return StorageError("The storage failed in an unforeseen way.")


@contextlib.asynccontextmanager
async def working(
    bot: Bot, *, kind: type[Faulty] = Faulty, **options: Any
) -> AsyncIterator[tuple[Faulty, MovableClock, Worker]]:
    clock = MovableClock(NOW, frozen=True)
    async with kind(clock=clock) as storage, run_worker(bot, Linq(), storage, clock, **options) as worker:
        yield storage, clock, worker


@pytest.fixture
def bot() -> Bot:
    return Bot(read=False, typing=False)


def noting(bot: Bot) -> list[str]:
    """Let a handler of the bot note the texts of messages, and return the list of them."""
    noted: list[str] = []

    @bot.on_message
    async def note(message: MessageReceived, ctx: Context) -> None:
        noted.append(message.text)

    return noted


async def until(storage: MemoryStorage, depth: int = 0) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await storage.depth() > depth:
            await settled(1)


async def test_each_chat_stays_in_order_while_chats_run_concurrently(bot: Bot) -> None:
    seen: defaultdict[str, list[str]] = defaultdict(list)
    at_once = most = 0

    @bot.on_message
    async def note(message: MessageReceived, ctx: Context) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await settled(3)
        seen[message.chat.id].append(message.text)
        at_once -= 1

    async with working(bot, concurrency=4) as (storage, _, _):
        for n in range(20):
            for chat in "abcdefgh":
                await storage.put(delivery(text_body(str(n), chat=chat)))
        await until(storage)
    assert dict(seen) == {chat: [str(n) for n in range(20)] for chat in "abcdefgh"}
    assert most == 4


async def test_a_chat_waiting_for_its_retry_holds_no_other_chat(bot: Bot) -> None:
    @bot.on_message("bad")
    async def bad(message: MessageReceived, ctx: Context) -> None:
        seen.append("bad")
        raise ValueError

    seen = noting(bot)
    async with working(bot) as (storage, clock, _):
        await storage.put(delivery(text_body("bad", chat="a")))
        await storage.put(delivery(text_body("behind", chat="a")))
        await storage.put(delivery(text_body("elsewhere", chat="b")))
        await until(storage, depth=2)
        assert seen == ["bad", "elsewhere"]
        for _ in range(8):
            clock.advance(300)
            await settled(50)
        await until(storage)
        assert seen == ["bad", "elsewhere", "bad", "bad", "bad", "bad", "behind"]
        assert len(await storage.dead_letters()) == 1


async def test_a_handler_that_fails_while_the_worker_wakes_up_is_retried_like_any_other(bot: Bot) -> None:
    @bot.on_message
    async def fail(message: MessageReceived, ctx: Context) -> None:
        await wakes.wait()
        await settled(int(message.text))
        raise ValueError

    wrong = {}
    for passes in range(20):
        wakes = asyncio.Event()
        async with working(bot) as (storage, clock, _):
            await storage.put(delivery(text_body(str(passes))))
            await storage.schedule(Timer("t", NOW + 60, "t", "test", b"{}"))
            await settled(50)
            wakes.set()
            clock.advance(60)
            await settled(100)
            attempts = [each.attempts for each in await storage.waiting() if each.type == "message.received"]
            if attempts != [1]:
                wrong[passes] = attempts
    assert wrong == {}


async def test_an_idle_worker_does_not_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    async with working(Bot()) as (storage, _, _):
        takes = 0
        take = storage.take

        async def counted(limit: int, *, lease_s: float) -> object:
            nonlocal takes
            takes += 1
            return await take(limit, lease_s=lease_s)

        await settled(1)
        monkeypatch.setattr(storage, "take", counted)
        await settled(200)
        assert takes == 0
        await storage.put(delivery(text_body()))
        await until(storage)
        await settled(200)
        assert takes <= 3


class HeldTimer(MemoryStorage):
    """A storage with a due timer that another process holds, as PostgreSQL skips it."""

    fired = 0

    async def next_timer(self) -> float | None:
        return NOW

    async def fire(self, now: float, *, limit: int = 500) -> int:
        self.fired += 1
        return 0


async def test_a_worker_waits_between_looks_at_a_due_timer_that_another_process_holds() -> None:
    clock = MovableClock(NOW, frozen=True)
    async with HeldTimer(clock=clock) as storage, run_worker(Bot(), Linq(), storage, clock):
        for looks in (1, 2, 3):
            await settled(50)
            assert storage.fired == looks
            clock.advance(1)


async def test_a_stop_waits_for_a_running_turn(bot: Bot) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @bot.on_message
    async def slow(message: MessageReceived, ctx: Context) -> None:
        started.set()
        await settled(10)
        ended.set()

    async with working(bot) as (storage, _, worker):
        await storage.put(delivery(text_body()))
        await started.wait()
        await storage.put(delivery(text_body(chat="later")))
        await worker.stop(5)
        assert ended.is_set()
        assert not worker.is_running
        assert await storage.depth() == 1


async def test_a_stop_releases_turns_that_do_not_end_in_time(bot: Bot) -> None:
    started = asyncio.Event()

    @bot.on_message
    async def endless(message: MessageReceived, ctx: Context) -> None:
        started.set()
        await asyncio.Event().wait()

    async with working(bot) as (storage, _, worker):
        await storage.put(delivery(text_body()))
        await started.wait()
        await worker.stop(0)
        assert await storage.depth() == 1
        (lease,) = await storage.take(1, lease_s=30)
        assert (lease.attempts, lease.crashes) == (0, 0)


async def test_a_stop_cancels_turns_in_the_order_in_which_they_began(bot: Bot) -> None:
    begun: list[str] = []
    cancelled: list[str] = []

    @bot.on_message
    async def endless(message: MessageReceived, ctx: Context) -> None:
        begun.append(message.text)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(message.text)

    async with working(bot) as (storage, _, worker):
        for n in range(100):
            await storage.put(delivery(text_body(str(n), chat=str(n))))
        await until_begun(begun, 100)
        await worker.stop(0)
    assert cancelled == begun


async def until_begun(begun: list[str], count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(begun) < count:
            await settled(1)


async def test_the_end_of_a_turn_waits_for_a_storage_that_is_away_which_is_logged_once(bot: Bot) -> None:
    handled = noting(bot)
    async with working(bot) as (storage, clock, _):
        with capture_logs() as logs:
            storage.fault = lambda _: StorageUnavailable("The database is away.")
            await storage.put(delivery(text_body("hi")))
            for _ in range(5):
                await settled(3)
                clock.advance(10)
            assert storage.tries > 2
            storage.fault = None
            clock.advance(10)
            await until(storage)
    assert [line["event"] for line in logs].count("turn.unfinished") == 1
    assert handled == ["hi"]


async def postponed(storage: MemoryStorage) -> Waiting:
    """Wait until the only delivery is to be handled later, and return it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await storage.waiting()
            if found and found[0].not_before is not None:
                return found[0]
            await asyncio.sleep(0)


class BrokenAdmission(Feature):
    """A feature that fails with an error before each first run."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def admit(self, lease: Lease) -> Lease | None:
        if lease.is_first_run:
            raise self.error
        return lease


@pytest.mark.parametrize("error", [KeyError("a mistake"), unforeseen()])
async def test_a_turn_that_cannot_begin_is_deferred_without_an_attempt(bot: Bot, error: Exception) -> None:
    handled = noting(bot)
    clock = MovableClock(NOW, frozen=True)
    storage = MemoryStorage(clock=clock)
    async with storage, run_worker(bot, Linq(), storage, clock, features=lambda _: [BrokenAdmission(error)]):
        with capture_logs() as logs:
            await storage.put(delivery(text_body("hi")))
            waiting = await postponed(storage)
        assert waiting.attempts == 0
        assert handled == []
        assert waiting.not_before is not None
        assert NOW < waiting.not_before <= NOW + 1
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["turn.crashed"]
        clock.advance(1)
        await until(storage)
    assert handled == ["hi"]


@pytest.mark.parametrize(
    "errors", [[OSError(errno.EMFILE, "Too many open files")], [unforeseen(), unforeseen()]], ids=["files", "storage"]
)
async def test_a_turn_whose_end_cannot_be_stored_runs_again_soon(bot: Bot, errors: list[Exception]) -> None:
    handled, left = noting(bot), [*errors]
    async with working(bot) as (storage, clock, _):
        storage.fault = lambda _: left.pop() if left else None
        await storage.put(delivery(text_body("hi")))
        waiting = await postponed(storage)
        assert (waiting.attempts, handled) == (1, ["hi"])
        clock.advance(1)
        await until(storage)
    assert handled == ["hi", "hi"]


async def test_a_turn_whose_calls_cannot_be_stored_is_a_dead_letter_with_the_reason(bot: Bot) -> None:
    handled: list[str] = []

    @bot.on_message
    async def reply(message: MessageReceived, ctx: Context) -> None:
        handled.append(message.text)
        await ctx.reply("hello")

    async with working(bot) as (storage, _, _):
        storage.fault = lambda commit: unforeseen() if commit.entries else None
        await storage.put(delivery(text_body("hi")))
        await until(storage)
        (letter,) = await storage.dead_letters()
        assert letter.error.startswith("Its outcome could not be stored")
        (kept,) = await storage.outcomes_of([letter.delivery.id])
        assert kept.why == "StorageError"
    assert handled == ["hi"]


async def test_between_two_tries_to_store_no_more_than_an_outcome_there_is_a_pause(bot: Bot) -> None:
    noting(bot)
    async with working(bot) as (storage, clock, _):
        # Without a pause, no other task would run again.
        storage.fault = lambda _: unforeseen() if storage.tries < 20 else None
        await storage.put(delivery(text_body("hi")))
        for tries in (3, 4, 5):
            await settled(50)
            assert storage.tries == tries
            clock.advance(1)
        storage.fault = None
        clock.advance(1)
        assert (await postponed(storage)).attempts == 1


@pytest.mark.parametrize(
    ("error", "logged"),
    [(StorageUnavailable("The database is away."), ["storage.failed"]), (KeyError("a mistake"), ["worker.failed"] * 3)],
)
async def test_a_worker_that_cannot_lease_tries_again_after_a_pause_and_logs_an_outage_once(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, error: Exception, logged: list[str]
) -> None:
    handled = noting(bot)
    fails = [error] * 3
    pauses: list[float] = []
    sleep = asyncio.sleep

    class Failing(Faulty):
        async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
            if fails:
                raise fails.pop()
            return await super().take(limit, lease_s=lease_s)

    async def pause(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)
    with capture_logs() as logs:
        async with working(bot, kind=Failing) as (storage, _, _):
            await storage.put(delivery(text_body("hi")))
            await until(storage)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == logged
    assert pauses == [1.0] * 3
    assert handled == ["hi"]


async def test_the_alarm_ends_a_wait_and_keeps_the_earlier_of_two_times() -> None:
    clock = MovableClock(NOW, frozen=True)
    alarm = AlarmClock(clock)
    alarm.set(NOW + 10)
    alarm.set(NOW + 20)
    waiting = asyncio.ensure_future(alarm.wait_for(asyncio.Event().wait()))
    await settled(3)
    clock.advance(9)
    await settled(3)
    assert not waiting.done()
    clock.advance(1)
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    alarm.set(NOW + 30)
    alarm.set(NOW + 20)
    waiting = asyncio.ensure_future(alarm.wait_for(asyncio.Event().wait()))
    await settled(9)
    assert not waiting.done()  # the later time, which the alarm was set to before, ends nothing
    clock.advance(10)
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    alarm.set(NOW + 30)
    await alarm.wait_for(asyncio.sleep(0))
    alarm.cancel()


async def test_a_handler_that_awaits_a_task_which_raises_generator_exit_does_not_hold_its_chat(bot: Bot) -> None:
    async def leave() -> None:
        raise GeneratorExit

    @bot.on_message("leave", attempts=2)
    async def broken_off(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("leaving")
        await asyncio.create_task(leave())

    seen = noting(bot)

    async with working(bot) as (storage, clock, _):
        await storage.put(delivery(text_body("leave")))
        await storage.put(delivery(text_body("next")))
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(5):
                while not any(each.state == "retrying" for each in await storage.waiting()) and not seen:
                    await settled(1)
                clock.advance(400)
                await settled(20)
        await until(storage)
        (dead,) = await storage.dead_letters()
    assert seen == ["next"]
    assert dead.error.startswith("GeneratorExit at test_worker.py:")
    assert dead.whole_error.splitlines()[-1] == "GeneratorExit"
