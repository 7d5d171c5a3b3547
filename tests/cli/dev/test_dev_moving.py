"""Moving the clocks of emulator and bot: in steps, in order, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from linqbot.cli.dev import runner
from linqbot.cli.dev.bot_process import BotProcess
from linqbot.cli.dev.runner import DevRunner, Work
from linqbot.clock import MovableClock
from linqbot.emulator.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock=MovableClock(0.0, frozen=True)) as running:
        yield running


class Runner(DevRunner):
    """One whose bot has work at some times, and does it as soon as it is asked about its work."""

    def __init__(self, emulator: Emulator, *times: float) -> None:
        super().__init__(emulator, BotProcess("bot.py", "", 0, Path()), emulator.flush)
        self.emulator = emulator
        self.times = list(times)
        self.done: list[float] = []
        self.seen: list[float] = []
        self.is_stuck = False
        self.on_work: Callable[[float], object] = lambda _: None

    async def work(self) -> Work:
        now = self.emulator.clock.now()
        for time in [time for time in self.times if time <= now]:
            self.times.remove(time)
            self.done.append(now)
            self.on_work(time)
            return Work(is_busy=True, next_at=None)
        return Work(is_busy=self.is_stuck, next_at=min(self.times, default=None))

    async def follow_clock(self) -> None:
        self.seen.append(self.emulator.clock.now())


async def test_the_clocks_stop_at_each_time_at_which_something_is_due(emulator: Emulator) -> None:
    bot = Runner(emulator, 10, 3600, 90_000)
    due: list[float] = []
    emulator.world.timers.at(60, lambda _: due.append(emulator.clock.now()))
    stopped = await bot.move_to(86_400)
    assert (stopped, bot.done, due) == (None, [10, 3600], [60])
    assert bot.seen == [10, 60, 3600, 86_400]


async def test_work_that_work_causes_on_the_way_happens_too(emulator: Emulator) -> None:
    bot = Runner(emulator, 10)
    bot.on_work = lambda time: bot.times.extend([time + 10] if time < 40 else [])
    await bot.move_to(100)
    assert bot.done == [10, 20, 30, 40]


async def test_a_bot_that_is_at_work_for_too_long_stops_the_clock_where_it_is(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BUSY_S", 0.0)
    bot = Runner(emulator, 10)
    bot.on_work = lambda _: setattr(bot, "is_stuck", True)
    stopped = await bot.move_to(100)
    assert emulator.clock.now() == 0
    assert "at work" in str(stopped)


async def test_a_move_that_takes_too_long_stops_on_the_way(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LONGEST_S", -1.0)
    stopped = await Runner(emulator).move_to(100)
    assert emulator.clock.now() == 0
    assert "move it again" in str(stopped)


async def test_a_reset_ends_a_move(emulator: Emulator) -> None:
    bot = Runner(emulator, 10, 20)
    bot.on_work = lambda _: bot.stop_moving()
    stopped = await bot.move_to(100)
    assert (emulator.clock.now(), stopped) == (10, "The state was reset or restarted meanwhile.")
