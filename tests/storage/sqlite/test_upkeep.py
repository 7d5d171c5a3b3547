"""The methods for operators on the SQLite file: next to a server, down to the bytes, and backups while in use."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import sqlite3
import stat
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from patience import PATIENCE_S, until
from sqlite_connections import bytes_of, largest_file, reading, writing
from storage.conftest import NOON, delivery, entry, handle, leased

from linqbot.clock import MovableClock
from linqbot.errors import ConfigError, StorageError, StorageUnavailable
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.dialect import Readable
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.personal import Found, Person
from linqbot.storage.sqlite import file, upkeep
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Selection

ANN = "+14155550142"
MARKER = b"planted-marker"
LIMITED = pytest.mark.skipif(sys.platform == "win32", reason="there no process can limit the size of its files")


async def dead_letter(storage: Storage, *deliveries: Delivery) -> None:
    await handle(storage, *deliveries, commit=Commit(DeadLetter("Boom")))


def from_ann(n: int, size: int = 100) -> Delivery:
    said = (MARKER * (size // len(MARKER) + 1)).decode()
    body = {"chat": {"id": "chat", "is_group": False}, "from": ANN, "text": said}
    return Delivery(f"w.ann-{n}", "c:chat", "message.received", json.dumps(body).encode(), NOON)


def wal_of(path: Path) -> bytes:
    return path.with_name(f"{path.name}-wal").read_bytes()


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# Next to a server


async def test_a_delivery_that_a_command_puts_back_wakes_the_server_and_keeps_its_lane(path: Path) -> None:
    async with SQLiteStorage(path, keep_days=1) as server, SQLiteStorage(path, serving=False) as command:
        await dead_letter(server, delivery("c:1", name="w.dead"))
        await handle(server, delivery("c:1", name="w.done"))
        running = await leased(server, delivery("c:1", name="w.now"))
        await server.changed()
        assert await command.retry(["w.dead"]) == 1
        await asyncio.wait_for(server.changed(), PATIENCE_S)
        assert await command.replay_live(["w.done"]) == 1
        await asyncio.wait_for(server.changed(), PATIENCE_S)
        assert (await server.depth(), await command.depth()) == (3, 3)
        assert await server.take(10, lease_s=60) == []
        await server.finish(running, Commit(Ack()))
        for name, run in (("w.dead", 0), ("w.done", 1)):
            lease = await leased(server)
            assert (lease.delivery.id, lease.replay) == (name, run)
            await server.finish(lease, Commit(Ack()))


async def test_a_timer_that_a_command_stores_is_known_when_the_server_wakes(path: Path) -> None:
    async with SQLiteStorage(path) as server, SQLiteStorage(path, serving=False) as command:
        assert await command.schedule(Timer("t", NOON, "c:1", "send", b"{}"))
        await asyncio.wait_for(server.changed(), PATIENCE_S)
        assert await server.next_timer() == NOON
        assert await command.next_timer() == NOON
        assert await command.cancel("t")
        assert await command.next_timer() is None
        assert await server.fire(NOON) == 0


async def test_a_command_does_not_purge_history(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock, keep_days=9) as server:
        await handle(server, delivery(name="w.1"))
        clock.advance(86_400)
        async with SQLiteStorage(path, clock=clock, serving=False) as command:
            await command.put(delivery("c:2"))
            await command.put(delivery("c:3"))
        assert await server.replayable(Selection()) == ["w.1"]


async def test_old_history_is_deleted_after_history_was_switched_off(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock, keep_days=9) as storage:
        sent = entry("w.1", status="accepted", answer=b'{"text":"said"}')
        await handle(storage, delivery(name="w.1"), commit=Commit(Ack(), entries=[sent]))
    clock.advance(1)
    async with SQLiteStorage(path, clock=clock) as storage:
        await storage.put(delivery("c:2"))
        assert await storage.replayable(Selection()) == []
        (kept,) = await storage.entries("w.1")
        assert kept.answer == b'{"text":""}'


async def test_a_command_that_cannot_write_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.BUSY_TIMEOUT_MS", 1)
    async with SQLiteStorage(path) as storage:
        await dead_letter(storage, delivery(name="w.1"))
        with writing(path), pytest.raises(StorageUnavailable, match="Try again"):
            await storage.retry(["w.1"])
        assert await storage.retry(["w.1"]) == 1


async def test_a_command_gets_its_transaction_while_the_server_is_busy(path: Path) -> None:
    async with SQLiteStorage(path, max_lane_backlog=10**6) as server, SQLiteStorage(path, serving=False) as command:
        await dead_letter(server, *(delivery(name=f"w.dead-{n}") for n in range(5)))
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                await server.put(delivery("c:load"))

        loads = [asyncio.ensure_future(load()) for _ in range(8)]
        try:
            for n in range(5):
                assert await asyncio.wait_for(command.retry([f"w.dead-{n}"]), PATIENCE_S) == 1
        finally:
            stop.set()
            await asyncio.gather(*loads)
        assert await server.depth() == await command.depth()


# Activity


async def test_after_a_crash_the_newest_webhook_is_known_to_the_minute(
    path: Path, clock: MovableClock, crashed: Callable[[Path], Path]
) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        for seconds in (0, 30, 70, 100):
            await handle(storage, Delivery(f"w.{seconds}", "c:1", "", b"", NOON + seconds))
        image = crashed(path)
        await storage.put(Delivery("w.waits", "c:1", "", b"", NOON + 110))
        waiting = crashed(path)
    async with SQLiteStorage(image, clock=clock) as storage:
        assert await storage.last_activity() == NOON + 70
    async with SQLiteStorage(waiting, clock=clock) as storage:
        assert await storage.last_activity() == NOON + 110


async def test_the_next_process_knows_the_first_webhook_and_what_is_due(path: Path, clock: MovableClock) -> None:
    broadcast = NewBroadcast("sale", "+15550001111", 60.0, b"[]", NOON)
    async with SQLiteStorage(path, clock=clock) as storage:
        for seconds in (0, 3600):
            await handle(storage, Delivery(f"w.{seconds}", "c:1", "", b"", NOON + seconds))
        await storage.schedule(Timer("t", NOON + 60, "c:1", "send", b"{}"))
        assert await storage.start_broadcast(broadcast, ["+15550002222", "+15550003333"])
        assert await storage.fire(NOON) == 1
        assert await storage.next_timer() == NOON + 1
    async with SQLiteStorage(path, clock=clock) as storage:
        assert (await storage.first_activity(), await storage.next_timer()) == (NOON, NOON + 1)
        await storage.order_broadcast("sale", "pause")
        assert await storage.next_timer() == NOON + 60


# Down to the bytes


async def test_forgotten_bytes_are_in_no_file_even_while_the_server_runs(path: Path) -> None:
    async with SQLiteStorage(path, keep_days=9) as server:
        # Bodies of many sizes and outcomes, so that they are in cells, in overflow pages and in freed pages.
        for n in range(30):
            await handle(server, from_ann(n, size=(50, 3000, 9000)[n % 3]))
        for n in range(30, 40):
            await dead_letter(server, from_ann(n, size=5000))
        state = [StateWrite("chat:chat", "said", MARKER), StateWrite(f"person:{ANN}", "said", MARKER)]
        sent = entry("w.ann-50", call=b'{"to":"' + ANN.encode() + b'","text":"' + MARKER + b'"}')
        await handle(server, from_ann(50), commit=Commit(Ack(), entries=[sent], state=state))
        await server.schedule(Timer("t", NOON, "c:chat", "send", MARKER))
        await server.put(from_ann(60, size=20_000))
        await server.put(delivery("c:bob", name="w.bob", body=b"others stay"))
        assert MARKER in bytes_of(path)
        async with SQLiteStorage(path, serving=False) as command:
            assert (await command.forget(ANN)).wiped
        assert MARKER not in bytes_of(path)
        assert ANN.encode() not in bytes_of(path)
        (lease,) = await server.take(10, lease_s=60)
        assert lease.delivery.body == b"others stay"
    assert MARKER not in bytes_of(path)


async def test_forget_reports_a_file_that_was_too_busy_to_wipe(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.BUSY_TIMEOUT_MS", 1)
    async with SQLiteStorage(path, keep_days=9) as storage:
        await handle(storage, from_ann(1))
        with reading(path):
            forgotten = await storage.forget(ANN)
        assert (forgotten.rows["done"], forgotten.wiped) == (1, False)
        assert (await storage.forget(ANN)).wiped
        assert MARKER not in bytes_of(path)


@LIMITED
async def test_a_purge_and_a_forget_that_lack_room_to_write_the_file_again_say_so(path: Path) -> None:
    async with SQLiteStorage(path) as storage:
        await dead_letter(storage, from_ann(1), Delivery("w.dead", "c:1", "", b"{}", NOON))
        for n in range(40):
            await storage.put(Delivery(f"w.{n}", "c:1", "", b"x" * 9000, NOON))
    async with SQLiteStorage(path) as storage:  # with an empty WAL
        with largest_file(200_000):
            forgotten = await storage.forget(ANN)
            assert (forgotten.rows["dead"], forgotten.wiped) == (1, False)
            assert await storage.purge(before=2 * NOON) == 1
            assert await storage.wipe() is False
        assert await storage.wipe()
        assert MARKER not in bytes_of(path)


async def test_a_large_file_is_not_written_again_next_to_a_server_until_that_is_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.WIPED_AT_ONCE", 1)
    rewritten: list[float] = []
    wipe = file.wipe

    def counted(db: sqlite3.Connection, patience_s: float) -> bool:
        rewritten.append(patience_s)
        return wipe(db, patience_s)

    monkeypatch.setattr(file, "wipe", counted)
    async with SQLiteStorage(path) as server, SQLiteStorage(path, serving=False) as command:
        await dead_letter(server, from_ann(1), delivery())
        forgotten = await command.forget(ANN)
        assert (forgotten.rows["dead"], forgotten.wiped) == (1, False)
        assert await command.purge(before=4e9) == 1
        assert not await command.wipe()
        assert rewritten == []
        assert MARKER not in wal_of(path)
        about = await command.room_to_compact()
        assert about is not None
        assert "MB in " in about
        assert await command.wipe(whole=True)
        assert len(rewritten) == 1
        assert MARKER not in bytes_of(path)
        assert await command.wipe()


async def test_the_file_is_not_written_again_without_room_and_the_reason_names_the_folders(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    async with SQLiteStorage(path) as storage:
        await dead_letter(storage, from_ann(1))
        lacks = rf"needs 0\.\d MB in {tmp_path}, the folder for temporary files, .*SQLITE_TMPDIR"
        for work in (storage.room_to_compact(), storage.wipe(whole=True)):
            with pytest.raises(StorageUnavailable, match=lacks):
                await work
        assert (await storage.forget(ANN)).wiped is False


def test_the_folder_for_temporary_files_is_the_one_that_sqlite_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert upkeep.temporary_folder() == tmp_path
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path.parent))
    assert upkeep.temporary_folder() == tmp_path.parent


async def test_the_wal_is_emptied_when_it_is_its_turn_and_not_asked_once(path: Path) -> None:
    async with SQLiteStorage(path) as server:
        await server.put(delivery())
        with reading(path) as other, closing(file.connect(path)) as db:
            tried = Counter[str]()

            def note(sql: str) -> None:
                tried[sql] += 1
                if tried["PRAGMA wal_checkpoint(TRUNCATE)"] == 3:
                    other.close()

            db.set_trace_callback(note)
            assert file.truncate_in_turn(db, 60.0)
        assert tried["PRAGMA wal_checkpoint(TRUNCATE)"] >= 3
        assert wal_of(path) == b""


async def test_space_of_purged_rows_is_taken_by_new_ones_and_goes_back_when_the_file_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.WIPED_AT_ONCE", 1)
    async with SQLiteStorage(path) as server, SQLiteStorage(path, serving=False) as command:
        await dead_letter(server, *(delivery(f"c:{n}", body=b"x" * 9000) for n in range(100)))
        await command.wipe()
        before = len(bytes_of(path))
        assert await command.purge(before=4e9) == 100
        await dead_letter(server, *(delivery(f"c:{n}", body=b"x" * 9000) for n in range(90)))
        await command.wipe()
        assert len(bytes_of(path)) < 1.1 * before
        assert await command.purge(before=4e9) == 90
        await command.wipe(whole=True)
        assert len(bytes_of(path)) < before / 2


async def test_records_stored_during_the_search_are_erased_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[Found] = []
    find = Person.find
    loop = asyncio.get_running_loop()

    async with SQLiteStorage(path, keep_days=9) as storage:
        lease = await leased(storage, from_ann(1))
        timer = Timer("t", NOON, "c:group", "send", json.dumps({"to": ANN, "text": MARKER.decode()}).encode())

        async def then_the_turn_ends(person: Person, db: Readable) -> Found:
            found = await find(person, db)
            if not searches:
                ended = storage.finish(lease, Commit(Ack(), timers=[timer]))
                asyncio.run_coroutine_threadsafe(ended, loop).result(30)
            searches.append(found)
            return found

        monkeypatch.setattr(Person, "find", then_the_turn_ends)
        await storage.put(from_ann(2))
        forgotten = await storage.forget(ANN)
        assert searches[0].left == {"w.ann-1"}
        assert [forgotten.rows[table] for table in ("delivery", "done", "timer")] == [1, 1, 1]
        assert forgotten.left == ()
        assert MARKER not in bytes_of(path)


async def test_forget_reports_what_comes_faster_than_it_erases(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = Person.find
    loop = asyncio.get_running_loop()
    numbers = itertools.count(1)

    async with SQLiteStorage(path) as storage:

        async def put_one_more() -> None:
            await storage.put(from_ann(next(numbers)))

        async def after_one_more_message(person: Person, db: Readable) -> Found:
            asyncio.run_coroutine_threadsafe(put_one_more(), loop).result(30)
            return await find(person, db)

        monkeypatch.setattr(Person, "find", after_one_more_message)
        forgotten = await storage.forget(ANN)
        assert (forgotten.rows["delivery"], forgotten.left) == (5, ("w.ann-6",))


async def test_purged_bytes_are_in_no_file_even_while_the_server_runs(path: Path) -> None:
    async with SQLiteStorage(path) as server:
        for n in range(40):
            one = from_ann(n, size=(50, 3000, 9000)[n % 3])
            await server.begin(entry(one.id, call=b'{"text":"' + MARKER * 50 + b'"}'))
            await handle(server, one, commit=Commit(DeadLetter(f"ValueError: {MARKER.decode()}")))
        await server.put(delivery("c:bob", name="w.bob", body=b"others stay"))
        assert MARKER in bytes_of(path)
        async with SQLiteStorage(path, serving=False) as command:
            assert await command.purge(before=4e9, limit=30) == 30
            assert await command.purge(before=4e9, limit=30) == 10
            assert await command.wipe()
        assert MARKER not in bytes_of(path)
        (lease,) = await server.take(10, lease_s=60)
        assert lease.delivery.body == b"others stay"
        assert len(await server.entries("w.ann-1")) == 1


async def test_what_could_not_be_wiped_after_a_purge_is_wiped_the_next_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.BUSY_TIMEOUT_MS", 1)
    async with SQLiteStorage(path) as storage:
        await dead_letter(storage, from_ann(1))
        with reading(path):
            assert await storage.purge(before=4e9) == 1
            assert not await storage.wipe()
        assert await storage.dead_letters() == []
        assert await storage.purge(before=4e9) == 0
        assert await storage.wipe()
        assert MARKER not in bytes_of(path)


async def test_a_purge_that_finds_nothing_does_not_write_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SQLiteStorage(path) as storage:
        await dead_letter(storage, from_ann(1))
        assert await storage.purge(before=4e9) == 1
        assert await storage.wipe()
        monkeypatch.setattr(file, "wipe", lambda *_: pytest.fail("There is nothing to wipe."))
        assert await storage.purge(before=4e9) == 0
        assert await storage.wipe()


# Backup


async def test_a_backup_made_while_serving_can_be_served(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    reported: list[tuple[int, int]] = []
    async with SQLiteStorage(path) as server:
        await asyncio.gather(*(server.put(delivery(f"c:{n}", body=b"x" * 9000)) for n in range(1000)))
        await server.begin(entry("w.1"))
        stop = asyncio.Event()

        async def load() -> int:
            for n in range(100_000):
                if stop.is_set():
                    return n
                await server.put(delivery(f"d:{n}"))
            return 100_000

        loading = asyncio.ensure_future(load())
        async with SQLiteStorage(path, serving=False) as command:
            await command.backup(copy, progress=lambda done, total: reported.append((done, total)))
        stop.set()
        assert await loading > 0
        install = server.install
    assert copy.stat().st_mode & 0o777 == 0o600
    assert reported[-1][0] == reported[-1][1] > 1000
    assert names_in(tmp_path) == ["bot.db", "bot.db.lock", "copy.db"]
    async with SQLiteStorage(copy) as restored:
        assert restored.install == install
        assert await restored.depth() >= 1000
        assert await restored.entries("w.1") == [entry("w.1")]
        (lease,) = await restored.take(1, lease_s=60)
        assert lease.delivery.body == b"x" * 9000


async def test_a_backup_overwrites_nothing_and_leaves_no_partial_file(path: Path, tmp_path: Path) -> None:
    async with SQLiteStorage(path) as storage:
        taken = tmp_path / "taken"
        taken.write_text("precious")
        with pytest.raises(ConfigError, match="overwrites nothing"):
            await storage.backup(taken)
        assert taken.read_text() == "precious"
        with pytest.raises(ConfigError, match="folder"):
            await storage.backup(tmp_path / "missing" / "copy.db")

        def stumble(done: int, total: int) -> None:
            raise StorageError("stop")

        with pytest.raises(StorageError):
            await storage.backup(tmp_path / "copy.db", progress=stumble)
    assert names_in(tmp_path) == ["bot.db", "bot.db.lock", "taken"]


@pytest.mark.skipif(sys.platform == "win32", reason="there no folder can be opened")
async def test_the_name_of_a_backup_is_durable_before_it_is_called_done(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[str]] = []

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            synced.append(names_in(tmp_path))

    monkeypatch.setattr(os, "fsync", fsync)
    async with SQLiteStorage(path) as storage:
        await storage.backup(tmp_path / "copy.db")
    assert "copy.db" in synced[-1]


@LIMITED
async def test_a_backup_without_room_names_its_folder_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    async with SQLiteStorage(path) as storage:
        for n in range(20):
            await storage.put(delivery(f"c:{n}", body=b"x" * 9000))
        with largest_file(100_000), pytest.raises(StorageUnavailable) as caught:
            await storage.backup(folder / "copy.db")
    assert str(caught.value).startswith(f"bot.db could not be copied into {folder}: ")
    assert names_in(folder) == []


async def test_memory_has_no_file_to_copy(tmp_path: Path) -> None:
    async with MemoryStorage() as storage:
        with pytest.raises(ConfigError, match="sqlite:///"):
            await storage.backup(tmp_path / "copy.db")


async def test_texts_leave_a_server_that_is_idle(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.storage.LOOK_EVERY_S", 0.005)
    async with SQLiteStorage(path, clock=clock) as server:
        lease = await leased(server, delivery())
        step = replace(entry(lease.delivery.id, status="accepted", answer=b'"said"'), safety="step")
        await server.begin(step, lease)
        await server.finish(lease, Commit(Ack(), [step]))
        await handle(server, delivery(), commit=Commit(Ack()))  # the purge of the first minute
        assert [each.answer for each in await server.entries(lease.delivery.id)] == [step.answer]
        clock.advance(61)

        async def are_gone() -> bool:
            return [each.answer for each in await server.entries(lease.delivery.id)] == [None]

        await until(are_gone)
