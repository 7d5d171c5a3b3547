"""Schedules are durable: each due time has one event, across crashes, restarts and changes of the code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import pytest
from clock_changes import clock_changes
from engine_turns import turns_of
from fakes import Linq
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import MovableClock
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turn import Turns
from linqbot.engine.worker import Worker
from linqbot.features.schedules import start_schedules
from linqbot.linq.events.proactive import ScheduleDue
from linqbot.parse.recurrences import recurrence
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import PARKED_S, Timer

pytestmark = pytest.mark.anyio

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
Handle = Callable[[ScheduleDue, Context], Awaitable[None]]


class Storage(SQLiteStorage):
    """A storage at which the process can die before the end of a turn is stored."""

    dies_at_finish = False
    died: asyncio.Event

    async def finish(self, lease: Lease, commit: Commit) -> None:
        if self.dies_at_finish:
            self.died.set()
            await asyncio.Event().wait()
        await super().finish(lease, commit)


def bot_with(spec: str, handler: Handle, name: str = "report") -> Bot:
    bot = Bot()
    bot.every(spec, timezone="Europe/Paris", name=name)(handler)
    return bot


class Process:
    """A process that serves a bot from a storage file."""

    def __init__(self, folder: Path, clock: MovableClock, bot: Bot) -> None:
        self.clock = clock
        self.storage = Storage(folder / "bot.db", clock=clock)
        self.storage.died = asyncio.Event()
        self.dispatcher = Dispatcher(bot, clock)
        turns = Turns(self.dispatcher, Linq().client, self.storage, clock, SendRateLimit(clock))
        self.worker = Worker(turns, self.storage, clock)

    async def idle(self) -> None:
        """Wait until nothing is due and no turn runs."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.storage.depth() or self.worker.busy or await self._is_due():
                await asyncio.sleep(0.001)

    async def _is_due(self) -> bool:
        due = await self.storage.next_timer()
        return due is not None and due <= self.clock.now()


@contextlib.asynccontextmanager
async def process(folder: Path, clock: MovableClock, bot: Bot) -> AsyncIterator[Process]:
    served = Process(folder, clock, bot)
    async with served.storage:
        await start_schedules(served.storage, clock, served.dispatcher.schedules)
        served.worker.start()
        try:
            yield served
        finally:
            await served.worker.stop(0)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(MONDAY, frozen=True)


class Notes:
    """A handler that notes the events it gets."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def take(self, event: ScheduleDue, ctx: Context) -> None:
        self.events.append(f"{event.due:%a %H:%M}" + (f" +{event.missed}" if event.missed else ""))


async def test_a_restart_after_a_day_merges_the_due_times_that_were_missed(tmp_path: Path, clock: MovableClock) -> None:
    notes = Notes()
    bot = bot_with("9:30 and 17:00", notes.take)
    async with process(tmp_path, clock, bot) as served:
        clock.advance(2 * 3600)
        await served.idle()
        assert notes.events == ["Mon 09:30"]
    clock.advance(DAY_S)
    async with process(tmp_path, clock, bot) as served:
        await served.idle()
        assert notes.events[1:] == ["Tue 09:30 +1"]
        clock.advance(DAY_S)
        await served.idle()
    assert notes.events[2:] == ["Wed 09:30 +1"]


async def test_a_crash_before_the_ack_runs_the_same_event_again_and_loses_none(
    tmp_path: Path, clock: MovableClock
) -> None:
    notes = Notes()
    bot = bot_with("hour", notes.take)
    first = Process(tmp_path, clock, bot)
    async with first.storage as storage:
        await start_schedules(storage, clock, first.dispatcher.schedules)
        storage.dies_at_finish = True
        first.worker.start()
        clock.advance(3600)
        await asyncio.wait_for(storage.died.wait(), PATIENCE_S)
        await first.worker.stop(0)
    assert notes.events == ["Mon 10:00"]
    clock.advance(4000)
    async with process(tmp_path, clock, bot) as served:
        await served.idle()
        assert notes.events == ["Mon 10:00", "Mon 10:00", "Mon 11:00"]
        clock.advance(3600)
        await served.idle()
    assert notes.events[3:] == ["Mon 12:00"]


async def test_due_times_that_pass_while_the_handler_runs_become_one(tmp_path: Path, clock: MovableClock) -> None:
    notes, may_end, has_begun = Notes(), asyncio.Event(), asyncio.Event()

    async def handle(event: ScheduleDue, ctx: Context) -> None:
        await notes.take(event, ctx)
        has_begun.set()
        await may_end.wait()

    async with process(tmp_path, clock, bot_with("5 min", handle)) as served:
        clock.advance(300)
        await asyncio.wait_for(has_begun.wait(), PATIENCE_S)
        clock.advance(850)
        assert await served.storage.next_timer() is None
        may_end.set()
        await served.idle()
        assert notes.events == ["Mon 09:05", "Mon 09:15 +1"]
        clock.advance(60)
        await served.idle()
    assert notes.events[2:] == ["Mon 09:20"]


async def test_a_schedule_that_left_the_code_leaves_no_timer(tmp_path: Path, clock: MovableClock) -> None:
    notes = Notes()
    async with process(tmp_path, clock, bot_with("hour", notes.take)) as served:
        assert [timer.id for timer in await served.storage.scheduled()] == ["report"]
    async with process(tmp_path, clock, bot_with("9:30", notes.take, name="other")) as served:
        assert [timer.id for timer in await served.storage.scheduled()] == ["other"]
    async with process(tmp_path, clock, Bot()) as served:
        assert await served.storage.recurring("schedule") == []
        clock.advance(DAY_S)
        await served.idle()
    assert notes.events == []


async def test_a_schedule_whose_rhythm_changed_follows_the_new_one(tmp_path: Path, clock: MovableClock) -> None:
    notes = Notes()
    async with process(tmp_path, clock, bot_with("9:30", notes.take)) as served:
        await served.idle()
    clock.advance(3600)
    async with process(tmp_path, clock, bot_with("13:00", notes.take)) as served:
        await served.idle()
        assert notes.events == []
        clock.advance(DAY_S)
        await served.idle()
    assert notes.events == ["Mon 13:00"]


async def test_a_schedule_that_ran_under_a_clock_of_another_year_goes_on_with_the_next_start(
    tmp_path: Path, clock: MovableClock
) -> None:
    notes = Notes()
    async with process(tmp_path, clock, bot_with("hour", notes.take)) as served:
        clock.advance(10 * 365 * DAY_S)
        await served.idle()
        clock.stop_at(MONDAY + 60)
    notes.events.clear()
    async with process(tmp_path, clock, bot_with("hour", notes.take)) as served:
        for _ in range(3):
            clock.advance(3600)
            await served.idle()
    assert notes.events == ["Mon 11:00", "Mon 12:00"]  # 10:00 had its event, late, in the other year


async def test_a_parked_timer_whose_delivery_is_lost_is_started_again(tmp_path: Path, clock: MovableClock) -> None:
    notes = Notes()
    bot = bot_with("hour", notes.take)
    async with process(tmp_path, clock, bot) as served:
        (timer,) = await served.storage.recurring("schedule")
        await served.storage.cancel("report")
        await served.storage.schedule(Timer(timer.id, timer.due + PARKED_S, timer.lane, timer.kind, timer.payload, 0.0))
    async with process(tmp_path, clock, bot) as served:
        clock.advance(3600)
        await served.idle()
    assert notes.events == ["Mon 10:00"]


@contextlib.asynccontextmanager
async def rolling_update(
    folder: Path, clock: MovableClock, handler: Handle
) -> AsyncIterator[tuple[Storage, Callable[[Bot], Awaitable[None]], Bot]]:
    """Let a release with an hourly schedule begin while a process of the old one runs, and let the schedule be due.

    Yields:
        The storage; a function that runs the event in a process with a bot; and the bot of the new release.
    """
    new = bot_with("hour", handler)
    async with Storage(folder / "bot.db", clock=clock) as storage:
        began_at = clock.now()

        async def run_in_process_with(bot: Bot) -> None:
            turns = turns_of(bot, Linq(), storage, clock, shared_since=began_at)
            for lease in await storage.take(1, lease_s=60):
                await turns.run(lease)

        await start_schedules(storage, clock, Dispatcher(new, clock).schedules)
        clock.advance(3600)
        await storage.fire(clock.now())
        yield storage, run_in_process_with, new


async def test_a_due_schedule_of_the_new_release_is_left_to_a_process_that_serves_it(
    tmp_path: Path, clock: MovableClock
) -> None:
    notes = Notes()
    async with rolling_update(tmp_path, clock, notes.take) as (storage, run_in_process_with, new):
        await run_in_process_with(Bot())
        assert await storage.depth() == 1
        clock.advance(1)
        await run_in_process_with(new)
        assert (notes.events, await storage.depth()) == (["Mon 10:00"], 0)


@pytest.mark.parametrize("is_withdrawn", [True, False], ids=["withdrawn", "without the schedule"])
async def test_a_due_schedule_that_no_process_has_is_acked(
    tmp_path: Path, clock: MovableClock, *, is_withdrawn: bool
) -> None:
    async def handle(event: ScheduleDue, ctx: Context) -> None: ...

    async with rolling_update(tmp_path, clock, handle) as (storage, run_in_process_with, _):
        if is_withdrawn:
            await run_in_process_with(Bot())
            clock.advance(60)
        else:
            await start_schedules(storage, clock, ())
        await run_in_process_with(Bot())
        assert await storage.depth() == 0


ZONES = (
    "UTC", "Europe/Paris", "Europe/London", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kolkata",
    "Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Troll",
)  # fmt: skip
SPECS = ("02:30", "weekdays 00:00, 23:59", "sun 01:30", "hour", "90 min", "30 2 1 * *")
PAUSES_S = st.sampled_from([60.0, 1800.0, 3600.0, 11 * 3600.0, DAY_S, 3 * DAY_S, 40 * DAY_S])


def near_changes(zone: str) -> list[float]:
    """Return a time shortly before each change of a zone's clocks in 50 years, in Unix seconds."""
    days = clock_changes(zone) or [datetime(1995, 1, 1, 3, tzinfo=UTC), datetime(2044, 12, 31, 3, tzinfo=UTC)]
    return [(day - timedelta(hours=3)).timestamp() for day in days]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(ZONES), st.sampled_from(SPECS))
def test_each_due_time_of_50_years_is_in_one_event_whenever_the_bot_looks(
    data: st.DataObject, zone: str, spec: str
) -> None:
    clock = MovableClock(data.draw(st.sampled_from(near_changes(zone))), frozen=True)
    began, seen = clock.now(), list[tuple[datetime, int]]()
    bot = Bot()

    @bot.every(spec, timezone=zone)
    async def note(event: ScheduleDue, ctx: Context) -> None:
        seen.append((event.due, event.missed))

    async def run(pauses: list[tuple[float, bool]]) -> None:
        storage, dispatcher = MemoryStorage(clock=clock), Dispatcher(bot, clock)
        turns = Turns(dispatcher, Linq().client, storage, clock, SendRateLimit(clock))
        await start_schedules(storage, clock, dispatcher.schedules)
        for pause_s, restarts in pauses:
            clock.advance(pause_s)
            if restarts:
                await start_schedules(storage, clock, dispatcher.schedules)
            await storage.fire(clock.now())
            for lease in await storage.take(1, lease_s=60):
                await turns.run(lease)

    asyncio.run(run(data.draw(st.lists(st.tuples(PAUSES_S, st.booleans()), min_size=1, max_size=12))))
    due_times = recurrence(spec, timezone=zone).after(datetime.fromtimestamp(began, UTC))
    wanted = [at.astimezone(UTC) for at in takewhile(lambda at: at.timestamp() <= clock.now(), due_times)]
    assert sum(1 + missed for _, missed in seen) == len(wanted)
    last = 0
    for due, missed in seen:
        last += 1 + missed
        assert due.astimezone(UTC) == wanted[last - 1]


async def test_an_unchanged_schedule_keeps_its_due_time_over_restarts(tmp_path: Path, clock: MovableClock) -> None:
    async def handle(event: ScheduleDue, ctx: Context) -> None: ...

    for _ in range(3):
        async with process(tmp_path, clock, bot_with("hour", handle)) as served:
            assert await served.storage.next_timer() == MONDAY + 3600
        clock.advance(600)
