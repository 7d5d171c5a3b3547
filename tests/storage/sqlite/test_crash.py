"""The file after a process was killed: it holds everything acknowledged, and shows which deliveries were leased."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from forked_code import forked
from storage.conftest import delivery

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.storage.inbox import Ack, Commit, Retry
from linqbot.storage.sqlite.storage import SQLiteStorage

CHILD = """
import asyncio, itertools, os, sys
from linqbot.events import Delivery
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite.storage import SQLiteStorage

def tell(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

async def putting(storage, lane):
    for n in itertools.count():
        await storage.put(Delivery(f"w.{lane}.{n}", f"c:{lane}", "t", b"body %d" % n, 0.0, f"m.{lane}.{n}"))
        tell("put", f"w.{lane}.{n}")

async def acking(storage):
    while True:
        for lease in await storage.take(3, lease_s=900):
            tell("finishing", lease.delivery.id)
            await storage.finish(lease, Commit(Ack()))
            tell("acked", lease.delivery.id)
        await storage.changed()

async def main():
    async with SQLiteStorage(sys.argv[1]) as storage:
        await asyncio.gather(*(putting(storage, lane) for lane in range(8)), acking(storage))

asyncio.run(main())
"""


def killed_while_busy(path: Path, lines: int) -> dict[str, set[str]]:
    """Run a process that puts and acks, kill it after `lines` reports, and return the names it reported, by word."""
    reported: dict[str, set[str]] = {"put": set(), "finishing": set(), "acked": set()}
    child, said = forked(CHILD, path)
    with said:
        for number, line in enumerate(said):
            if number == lines:
                child.kill()
            # Reports in the pipe when the process died were acknowledged too.
            if line.endswith("\n"):
                word, name = line.split()
                reported[word].add(name)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    return reported


@pytest.mark.process
@pytest.mark.parametrize("lines", [50, 1000])
async def test_everything_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    reported = killed_while_busy(tmp_path / "bot.db", lines)
    assert len(reported["put"]) > 20
    async with SQLiteStorage(tmp_path / "bot.db") as storage:
        for name in sorted(reported["put"]):
            assert await storage.put(Delivery(name, "c:again", "t", b"", 0.0)) is False
        found: dict[str, Delivery] = {}
        crashes = 0
        while leases := await storage.take(100, lease_s=900):
            for lease in leases:
                _, lane, number = lease.delivery.id.split(".")
                previous = [int(n.split(".")[2]) for n in found if n.split(".")[1] == lane]
                assert all(int(number) > n for n in previous)
                assert lease.delivery.body == b"body %d" % int(number)
                found[lease.delivery.id] = lease.delivery
                crashes += lease.crashes
                await storage.finish(lease, Commit(Ack()))
        assert reported["put"] - reported["finishing"] <= found.keys()
        assert reported["acked"].isdisjoint(found)
        assert crashes <= 3


async def test_what_a_killed_server_left_in_the_wal_is_in_the_file_before_the_next_one_answers(
    path: Path, tmp_path: Path, crashed: Callable[[Path], Path]
) -> None:
    """The fsync of the last commit may be missing. Linq delivers again, and the 200 to a duplicate syncs nothing."""
    async with SQLiteStorage(path) as storage:
        await storage.put(delivery("c:1", name="w.1"))
        path = crashed(path)
    async with SQLiteStorage(path) as storage:
        without_wal = shutil.copy(path, tmp_path / "without-wal.db")
        assert await storage.put(delivery("c:1", name="w.1")) is False
    async with SQLiteStorage(without_wal) as storage:
        assert await storage.has_seen("w.1")


async def test_a_crash_with_many_in_flight_counts_for_none_but_after_a_second_one_each_runs_alone(
    path: Path, clock: MovableClock, crashed: Callable[[Path], Path]
) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        for n in range(1, 4):
            await storage.put(delivery(f"c:{n}", name=f"w.{n}"))
        await storage.take(3, lease_s=900)
        path = crashed(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        leases = await storage.take(10, lease_s=900)
        assert [(lease.crashes, lease.delivery_count) for lease in leases] == [(0, 1)] * 3
        path = crashed(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        (first,) = await storage.take(10, lease_s=900)
        assert (first.delivery.id, first.crashes) == ("w.1", 0)
        await storage.finish(first, Commit(Ack()))
        (second,) = await storage.take(10, lease_s=900)
        path = crashed(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        (second,) = await storage.take(10, lease_s=900)
        assert (second.delivery.id, second.crashes) == ("w.2", 1)


async def test_a_run_that_ends_clears_the_suspicion(
    path: Path, clock: MovableClock, crashed: Callable[[Path], Path]
) -> None:
    for _ in range(2):
        async with SQLiteStorage(path, clock=clock) as storage:
            for n in (1, 2):
                await storage.put(delivery(f"c:{n}", name=f"w.{n}"))
            assert len(await storage.take(2, lease_s=900)) == 2
            path = crashed(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        for _ in range(2):
            (alone,) = await storage.take(10, lease_s=900)
            await storage.finish(alone, Commit(Retry(clock.now(), "Boom")))
        assert len(await storage.take(2, lease_s=900)) == 2
        path = crashed(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        assert [lease.crashes for lease in await storage.take(10, lease_s=900)] == [0, 0]


async def test_a_command_that_runs_next_to_the_server_counts_no_crash(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as server:
        await server.put(delivery())
        (lease,) = await server.take(1, lease_s=900)
        async with SQLiteStorage(path, clock=clock, serving=False) as command:
            assert await command.depth() == 1
        await server.finish(lease, Commit(Ack()))
