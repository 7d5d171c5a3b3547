"""A lease of the storages that one process uses is as long as `take` asked for, whatever the clock of the machine is set to."""

from __future__ import annotations

from pathlib import Path

import pytest
from storage.conftest import NOON, delivery

from linqbot.clock import MovableClock
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage


class SetClock(MovableClock):
    """A wall clock that is set to another time, and by which no time passes."""

    def __init__(self) -> None:
        super().__init__(NOON, frozen=True)
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s


@pytest.mark.parametrize("set_by_s", [10_000_000.0, -10_000_000.0])
@pytest.mark.parametrize("prefetched", [False, True])
async def test_a_lease_lasts_its_time_when_the_clock_is_set(
    tmp_path: Path, set_by_s: float, *, prefetched: bool
) -> None:
    clock = SetClock()
    for storage in (MemoryStorage(clock=clock), SQLiteStorage(tmp_path / "bot.db", clock=clock)):
        async with storage:
            if prefetched:
                assert await storage.take(5, lease_s=60) == []
            await storage.put(delivery())
            (lease,) = await storage.take(5, lease_s=60)
            clock.advance(set_by_s)
            assert await storage.take(5, lease_s=60) == []
            assert await storage.next_due() == clock.now() + 60
            clock.passed_s += 60
            (again,) = await storage.take(5, lease_s=60)
            assert (again.delivery.id, again.crashes) == (lease.delivery.id, 1)
