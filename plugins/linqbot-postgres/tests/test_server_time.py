"""The clock of the machine is set while a storage in PostgreSQL is open: what is due stays due at the same moment."""

from __future__ import annotations

import asyncio
import time

import pytest
from linqbot_postgres import processes
from linqbot_postgres.link import ServerTime, steady
from linqbot_postgres.storage import PostgresStorage
from patience import PATIENCE_S, until
from postgres_server import connected, empty_storage_url
from storage.conftest import delivery, open_and_close
from structlog.testing import capture_logs

from linqbot.clock import SystemClock
from linqbot.errors import ConfigError
from linqbot.storage.inbox import Ack, Commit, Retry


class WallClock:
    """The clock of the machine, which can be set.

    Attributes:
        set_by_s: Seconds by which it was set.
    """

    def __init__(self) -> None:
        self._real = time.time
        self.set_by_s = 0.0

    def time(self) -> float:
        return self._real() + self.set_by_s


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The clock of the machine. No sweep compares it with the clock of the database while a test runs."""
    monkeypatch.setattr(processes, "SWEEP_S", 3600.0)
    clock = WallClock()
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(SystemClock, "now", staticmethod(clock.time))
    return clock


def test_the_distance_to_the_database_follows_when_the_clock_is_set(wall: WallClock) -> None:
    server_time = ServerTime(time.time)
    wall.set_by_s = 5.0
    assert (server_time.ahead_s, server_time.set_by_s) == (0.0, 0.0)
    server_time.note(2.0)
    wall.set_by_s = 3605.0
    assert server_time.set_by_s == pytest.approx(3600.0, abs=0.1)
    assert server_time.ahead_s == pytest.approx(-3598.0, abs=0.1)
    wall.set_by_s = -5.0
    assert server_time.ahead_s == pytest.approx(12.0, abs=0.1)
    server_time.note(1.0)
    # Exactly: what differs because two clocks are not read at the same time is no step.
    assert (server_time.ahead_s, server_time.set_by_s) == (1.0, 0.0)


def test_the_steady_clock_does_not_follow_the_clock_of_the_machine(wall: WallClock) -> None:
    before = steady()
    wall.set_by_s = 3600.0
    assert 0.0 <= steady() - before < 60.0


@pytest.mark.process
@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
async def test_a_retry_is_due_at_the_same_moment_whenever_the_clock_was_set(wall: WallClock, step_s: float) -> None:
    url = empty_storage_url("clocks")
    waits = "SELECT extract(epoch FROM free_at - clock_timestamp())::float8 FROM queue"
    async with PostgresStorage(url) as opened:
        for lane in ("c:1", "c:2"):
            await opened.put(delivery(lane))
        first, second = await opened.take(2, lease_s=600)
        await opened.finish(first, Commit(Retry(time.time() + 300.0, "later")))
        wall.set_by_s = step_s
        await opened.finish(second, Commit(Retry(time.time() + 300.0, "later")))
        due = await opened.next_due()
        assert due is not None
        assert due - time.time() == pytest.approx(300.0, abs=60.0)
        async with connected(url) as database:
            assert [row[0] for row in await database.fetch(waits)] == pytest.approx([300.0, 300.0], abs=60.0)


@pytest.mark.process
async def test_a_waiting_worker_is_woken_when_the_clock_is_set(
    wall: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "TICK_S", 0.01)
    with capture_logs() as logs:
        async with PostgresStorage(empty_storage_url("clocks")) as opened, asyncio.timeout(PATIENCE_S):
            woken = asyncio.ensure_future(opened.changed())
            wall.set_by_s = -3600.0
            await woken
            # Read once: the clock was set once.
            assert [line["by_s"] for line in logs] == [-3600.0]


@pytest.mark.process
async def test_what_another_process_stored_is_known_with_a_clock_days_ahead(wall: WallClock) -> None:
    url = empty_storage_url("clocks")
    async with PostgresStorage(url) as one, PostgresStorage(url) as two:
        await one.put(delivery(name="w.1"))
        (lease,) = await one.take(1, lease_s=600)
        await one.finish(lease, Commit(Ack()))
        wall.set_by_s = 2 * 86_400.0
        for n in range(3):
            await two.put(delivery(name=f"w.later-{n}"))
        assert await two.has_seen("w.1")


@pytest.mark.process
async def test_a_process_whose_clock_is_wrong_does_not_serve_until_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead_s = 0.0

    async def ahead(_: object) -> float:
        return ahead_s

    monkeypatch.setattr(processes, "ahead", ahead)
    monkeypatch.setattr(processes, "SWEEP_S", 0.01)
    url = empty_storage_url("clocks")
    async with PostgresStorage(url) as storage:
        # Of 301 s on, a receiver would refuse each webhook by the time of its signature, and yet be ready.
        for wrong_s, said in ((301.0, "is 301 s behind"), (-90_000.0, "is 90000 s ahead of")):
            ahead_s = wrong_s
            await until(lambda: storage.trouble is not None)
            assert (said in str(storage.trouble), ".." in str(storage.trouble)) == (True, False)
            with pytest.raises(ConfigError, match=f"{said} the clock of the database. Set both by NTP"):
                await open_and_close(PostgresStorage(url))
            async with PostgresStorage(url, serving=False) as command:
                assert await command.depth() == 0
            ahead_s = 0.0
            await until(lambda: storage.trouble is None)
