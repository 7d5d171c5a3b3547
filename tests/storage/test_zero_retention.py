"""Lines that keep nothing: the bytes of a handled text leave the file and the WAL while the server runs."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from sqlite_connections import bytes_of, reading
from storage.conftest import NOON, handle, leased

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.storage.broadcasts import NewBroadcast, RecipientUpdate
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease, Retry
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.sqlite.writer import BUSY_PAUSE_S, TRUNCATE_AFTER_S
from linqbot.storage.timers import Timer

MARKER = b"planted-marker"
SIZES = (100, 900, 3000, 5000, 20_000)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.storage.LOOK_EVERY_S", 0.001)


def wal_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


def text(size: int) -> str:
    return (MARKER * (size // len(MARKER) + 1)).decode()


def said(name: str, size: int = 100, *, lane: str = "c:1", zero_retention: bool = True) -> Delivery:
    words = text(size) if zero_retention else "y" * size
    data = {"zero_retention": zero_retention, "parts": [{"type": "text", "value": words}]}
    return Delivery(f"w.{name}", lane, "message.received", json.dumps({"data": data}).encode(), NOON)


def call(turn: str, size: int, *, zero_retention: bool = True) -> JournalEntry:
    words = text(size) if zero_retention else "y" * size
    said = json.dumps({"noun": "n", "verb": "v", "body": words}).encode()
    return JournalEntry(turn, 0, "0", f"key-{turn}", "keyed", said, "attempting", NOON, off_the_record=zero_retention)


def accepted(entry: JournalEntry) -> JournalEntry:
    return replace(entry, status="accepted", answer=entry.call, message_id=f"m-{entry.turn}")


def ack(*entries: JournalEntry) -> Commit:
    return Commit(Ack(), entries=list(entries), off_the_record=True)


async def is_gone_after_a_minute(path: Path, clock: MovableClock) -> None:
    """Let a minute pass, wait until the WAL is empty, and check that no disk has the text."""
    clock.advance(TRUNCATE_AFTER_S)
    await until(lambda: not wal_size(path))
    assert MARKER not in bytes_of(path)


async def a_few_turns_of_the_loop() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_a_scheduled_text_is_on_no_disk_a_minute_after_its_end(path: Path, clock: MovableClock) -> None:
    payload = json.dumps({"calls": text(6000), "data": {"zero_retention": True}}).encode()
    async with SQLiteStorage(path, clock=clock) as storage:
        await storage.schedule(Timer("sent", NOON, "c:1", "send", payload))
        await storage.schedule(Timer("gone", NOON + 99, "c:2", "send", payload))
        assert await storage.cancel("gone")
        await storage.fire(NOON)
        lease = await leased(storage)
        assert lease.delivery.is_off_the_record
        await storage.finish(lease, ack())
        await is_gone_after_a_minute(path, clock)


@pytest.mark.parametrize("people", [0, 3])
async def test_the_text_of_a_broadcast_leaves_a_minute_after_its_end(
    path: Path, clock: MovableClock, people: int
) -> None:
    content = json.dumps([{"parts": [{"type": "text", "value": text(6000)}]}]).encode()
    new = NewBroadcast("july", "+12025550100", 60_000, content, NOON, off_the_record=True)
    async with SQLiteStorage(path, clock=clock, keep_days=9) as storage:
        await storage.start_broadcast(new, [f"+1415555010{n}" for n in range(people)])
        assert MARKER in bytes_of(path)
        for n in range(1, people + 1):
            await storage.fire(clock.now())
            lease = await leased(storage)
            entry = call(lease.delivery.id, 6000)
            await storage.begin(entry)
            await storage.finish(lease, replace(ack(accepted(entry)), recipients=[RecipientUpdate("july", n, "sent")]))
            clock.advance(0.01)
        assert await storage.fire(clock.now()) == 1
        await storage.finish(await leased(storage), Commit(Ack()))
        await is_gone_after_a_minute(path, clock)


async def test_a_retried_dead_letter_is_on_no_disk_a_minute_after_its_ack(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        for n, size in enumerate(SIZES):
            lease = await leased(storage, said(f"{n}", size))
            await storage.finish(lease, Commit(Retry(NOON, "Boom")))
            await storage.finish(await leased(storage), Commit(DeadLetter(f"Boom {text(5000)}"), off_the_record=True))
        async with SQLiteStorage(path, clock=clock, serving=False) as command:
            assert await command.retry([f"w.{n}" for n in range(len(SIZES))]) == len(SIZES)
        while await storage.depth() < len(SIZES):
            await storage.changed()
        for _ in SIZES:
            await storage.finish(await leased(storage), ack())
        await is_gone_after_a_minute(path, clock)


async def test_the_wal_is_emptied_once_a_minute_and_not_for_other_lines(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    truncate = file.truncate

    def noted(db: sqlite3.Connection) -> bool:
        threads.append(threading.current_thread().name)
        return truncate(db)

    monkeypatch.setattr(file, "truncate", noted)
    async with SQLiteStorage(path, clock=clock) as storage:
        await handle(storage, said("public", zero_retention=False))
        clock.advance(10 * TRUNCATE_AFTER_S)
        await a_few_turns_of_the_loop()
        assert threads == []
        for n in range(50):
            await handle(storage, said(f"{n}"), commit=ack())
            clock.advance(TRUNCATE_AFTER_S / 25)
            await a_few_turns_of_the_loop()
        # Never on the event loop, which it would block.
        assert set(threads) == {"linqbot-storage-commit"}
        assert 1 <= len(threads) <= 2


async def test_a_wal_that_another_connection_reads_is_emptied_soon_afterwards(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        await storage.put(said("1"))
        with reading(path):
            await storage.finish(await leased(storage), ack())
            clock.advance(TRUNCATE_AFTER_S)
            # This put returns after the attempt, because both use the same connection.
            await a_few_turns_of_the_loop()
            assert await storage.put(said("2", lane="c:2", zero_retention=False))
            assert MARKER in bytes_of(path)
        async with asyncio.timeout(PATIENCE_S):
            while wal_size(path):
                clock.advance(BUSY_PAUSE_S)
                await asyncio.sleep(0.01)
        assert MARKER not in bytes_of(path)


async def test_text_that_a_killed_process_left_is_gone_a_minute_after_the_next_start(
    path: Path, clock: MovableClock, crashed: Callable[[Path], Path]
) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        await handle(storage, said("1"), commit=ack())
        image = crashed(path)
    assert MARKER in bytes_of(image)
    async with SQLiteStorage(image, clock=clock):
        await is_gone_after_a_minute(image, clock)


async def test_a_server_that_is_stopped_leaves_no_text(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        await handle(storage, said("1", 9000), commit=ack())
    assert MARKER not in bytes_of(path)


@pytest.mark.parametrize(("seed", "keep_days"), [(100, 0), (111, 9), (199, 9), (262, 0)])
async def test_no_order_of_turns_leaves_a_byte_of_text_and_rows_that_sqlite_moves_between_pages_leave_no_copy(
    path: Path, clock: MovableClock, seed: int, keep_days: float
) -> None:
    # Without padding, each of these seeds left text in the unused space of pages.
    chance = random.Random(seed)
    sizes = chance.choice(
        [(20, 40), (200, 900), (20, 100, 700, 1500, 3900), (1300, 1400), (60, 300, 1500, 5000, 12_000)]
    )
    most_open, share = chance.choice([5, 50, 200]), chance.choice([0.1, 0.5, 1.0])
    async with SQLiteStorage(path, clock=clock, keep_days=keep_days) as storage:
        await handle(storage, said("first", lane="c:first"), commit=ack())
        open_turns: list[tuple[Lease, Commit]] = []
        count = 0
        for _ in range(40):
            new: dict[str, tuple[Delivery, JournalEntry]] = {}
            for _ in range(chance.randint(1, 20)):
                count += 1
                is_private = chance.random() < share
                one = said(f"{count}", chance.choice(sizes), lane=f"c:{count}", zero_retention=is_private)
                new[one.id] = one, call(one.id, chance.choice(sizes), zero_retention=is_private)
            await asyncio.gather(*(storage.put(one) for one, _ in new.values()))
            leases: list[Lease] = []
            while len(leases) < len(new):
                leases += await storage.take(100, lease_s=60)
            await asyncio.gather(*(storage.begin(entry) for _, entry in new.values()))
            by_id = {lease.delivery.id: lease for lease in leases}
            for name, (one, entry) in new.items():
                finish = Commit(Ack(), entries=[accepted(entry)], off_the_record=one.is_off_the_record)
                open_turns.append((by_id[name], finish))
            over = []
            while len(open_turns) > chance.randint(0, most_open):
                over.append(open_turns.pop(chance.randrange(len(open_turns))))
            await asyncio.gather(*(storage.finish(*turn) for turn in over))
        await asyncio.gather(*(storage.finish(*turn) for turn in open_turns if turn[1].off_the_record))
        await is_gone_after_a_minute(path, clock)
        assert MARKER[:12] not in bytes_of(path)
