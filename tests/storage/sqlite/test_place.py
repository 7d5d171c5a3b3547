"""The file is removed while it is served: nothing is accepted meanwhile, and everything continues when it is back."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from patience import PATIENCE_S, until
from sqlite_connections import writing
from storage.conftest import NOON, delivery, handle, leased, open_and_close, taken

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost, StorageMisplaced, StorageUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, Retry
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite import storage as sqlite_storage
from linqbot.storage.sqlite.file import Place
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.sqlite.upkeep import SQLiteContents, check_up
from linqbot.storage.sqlite.writer import TRUNCATE_AFTER_S

pytestmark = pytest.mark.process

ACK = Commit(Ack())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "bot.db"


@pytest.fixture
async def storage(
    path: Path, clock: MovableClock, opened: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Storage]:
    """A storage that checks its file only after commits, so that it does not notice a loss earlier."""
    monkeypatch.setattr(sqlite_storage, "LOOK_EVERY_S", 3600)
    async with SQLiteStorage(path, clock=clock) as storage:
        yield storage


def remove(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("away"))


def move_back(path: Path) -> None:
    path.with_name("away").rename(path)


@contextmanager
def away(path: Path) -> Iterator[None]:
    move(path)
    yield
    move_back(path)


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    move(path)
    # In another process: closing a file drops the locks that SQLite holds on it for its process.
    subprocess.run(["cp", path.with_name("away"), path], check=True)
    yield
    move_back(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def copy_in_place(path: Path) -> None:
    # In another process: closing a file drops the locks that SQLite holds on it for its process.
    subprocess.run(["cp", path, path.with_name("copy")], check=True)
    path.with_name("copy").rename(path)


def replace_by_other(path: Path) -> None:
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE songs (title)")
    other.rename(path)


async def refused(*calls: Awaitable[object]) -> None:
    """Check that these calls of a storage whose file is lost are refused."""
    for call in calls:
        with pytest.raises(StorageUnavailable):
            await call


def remove_wal(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def remove_shm(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def replace_wal(path: Path) -> None:
    path.with_name("new").touch()
    path.with_name("new").rename(f"{path}-wal")


def wal(path: Path) -> bytes:
    return Path(f"{path}-wal").read_bytes()


def assert_intact(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


WAYS = [remove, move, move_folder, copy_in_place, replace_by_other, remove_wal, remove_shm, replace_wal]


def sentence(storage: Storage) -> str:
    assert storage.trouble is not None
    return storage.trouble


@pytest.mark.parametrize("lose", WAYS)
async def test_no_delivery_is_accepted_that_would_be_lost_and_no_duplicate_is_answered(
    storage: Storage, path: Path, lose: Callable[[Path], None]
) -> None:
    receipt = Delivery("w.2", "r:1", "message.read", b'{"data":{"id":"msg"}}', NOON)
    storage.settled = [receipt.type]
    await storage.put(receipt)
    await storage.put(delivery("c:1", name="w.1"))
    lose(path)
    await refused(storage.put(receipt))
    outcomes = await asyncio.gather(*(storage.put(delivery(f"c:{n}")) for n in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    with pytest.raises(StorageUnavailable, match="Nothing is stored until it is back"):
        await storage.put(delivery("c:2"))
    await refused(storage.put(delivery("c:1", name="w.1")), storage.has_seen("w.1"))
    assert str(path) in sentence(storage)


@pytest.mark.parametrize("lose", [remove, move, copy_in_place])
async def test_a_running_turn_can_still_read(storage: Storage, path: Path, lose: Callable[[Path], None]) -> None:
    lose(path)
    assert await storage.entries("w.1") == []
    assert await storage.load("bot") == {}


async def test_the_error_says_what_happened_and_what_to_do(storage: Storage, path: Path) -> None:
    restart = "start it again, which alone uses the file that is there now"
    for lose, what, to_do in (
        (remove_shm, "bot.db-shm is gone", "Stop linqbot with SIGTERM"),
        (copy_in_place, "is not the file that linqbot opened", restart),
        (move, "bot.db is gone", "Put the same file back"),
    ):
        lose(path)
        await refused(storage.check())
        assert what in sentence(storage)
        assert to_do in sentence(storage)


async def test_a_file_that_cannot_be_looked_at_is_lost_too(storage: Storage, path: Path) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    move_folder(path)
    path.parent.touch()
    with pytest.raises(StorageUnavailable, match="cannot be looked at: Not a directory"):
        await storage.put(delivery())
    path.parent.unlink()
    elsewhere.rename(path.parent)
    assert await storage.put(delivery()) is True


async def test_the_loss_and_the_return_are_noticed_while_nothing_is_written_and_logged_once(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_storage, "LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(file, "log", structlog.get_logger("fresh"))
    async with SQLiteStorage(path, clock=clock) as storage:
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                with away(path):
                    await until(lambda: storage.trouble is not None)
                    await asyncio.sleep(0.05)
                await until(lambda: storage.trouble is None)
    noticed = [("storage.lost", "error"), ("storage.found", "info")]
    assert [(entry["event"], entry["log_level"]) for entry in logs] == noticed * 2
    assert "Put the same file back" in logs[0]["error"]


async def test_operations_refused_while_the_file_was_away_succeed_when_it_is_back(storage: Storage, path: Path) -> None:
    await storage.put(delivery("c:1", name="w.1"))
    lease = await leased(storage, delivery("c:2", name="w.2"))
    with away(path):
        await refused(storage.put(delivery("c:3", name="w.3")))
        for _ in range(2):
            await refused(storage.finish(lease, Commit(Retry(0.0, "Boom"))))
            await refused(storage.take(10, lease_s=60))
    await storage.finish(lease, Commit(Retry(0.0, "Boom")))
    # The delivery was stored before the loss was noticed, so the file holds it. Linq delivers it again after the 503.
    assert await storage.put(delivery("c:3", name="w.3")) is False
    assert await storage.put(delivery("c:4", name="w.4")) is True
    leases = await storage.take(10, lease_s=60)
    assert [(one.delivery.id, one.attempts) for one in leases] == [("w.1", 1), ("w.2", 0), ("w.3", 0), ("w.4", 0)]
    assert storage.trouble is None


async def test_nothing_is_written_to_the_lost_file_after_the_loss_was_noticed(storage: Storage, path: Path) -> None:
    lease = await leased(storage, delivery("c:1", name="w.1"))
    with away(path):
        await refused(storage.has_seen("w.1"))
        before = wal(path)
        await refused(storage.put(delivery("c:2", name="w.2")), storage.finish(lease, ACK), storage.check())
        assert wal(path) == before
    assert await storage.put(delivery("c:2", name="w.2")) is True
    await storage.finish(lease, ACK)


@pytest.mark.parametrize("commit", [ACK, Commit(Retry(0.0, "Boom"))], ids=["ack", "retry"])
async def test_the_end_of_a_turn_that_reached_the_lost_file_counts_once_and_wakes_a_worker_that_sleeps(
    storage: Storage, path: Path, commit: Commit
) -> None:
    await storage.put(delivery("c:1", name="w.1"))
    lease = await leased(storage, delivery("c:1", name="w.2"))
    await storage.changed()
    with away(path), pytest.raises(StorageUnavailable):
        await storage.finish(lease, commit)
    with pytest.raises(LeaseLost):
        await storage.finish(lease, commit)
    await asyncio.wait_for(storage.changed(), PATIENCE_S)
    (after,) = await storage.take(10, lease_s=60)
    assert (after.delivery.id, after.attempts) == (("w.2", 0) if commit is ACK else ("w.1", 1))


async def test_a_worker_is_woken_for_a_delivery_that_reached_the_lost_file(storage: Storage, path: Path) -> None:
    assert await storage.take(10, lease_s=60) == []
    with away(path), pytest.raises(StorageUnavailable):
        await storage.put(delivery("c:1", name="w.1"))
    assert await storage.put(delivery("c:1", name="w.1")) is False
    await asyncio.wait_for(storage.changed(), PATIENCE_S)
    assert await taken(storage) == ["w.1"]


async def test_a_burst_whose_join_reached_the_lost_file_is_not_acked_in_part(storage: Storage, path: Path) -> None:
    for name in ("w.1", "w.2"):
        await storage.put(delivery("c:1", name=name))
    (lease,) = await storage.take(10, lease_s=60)
    with away(path), pytest.raises(StorageUnavailable):
        await storage.join(lease, delivery("c:1", name="w.1", body=b"both"), ["w.2"])
    with pytest.raises(LeaseLost):
        await storage.finish(lease, ACK)
    (again,) = await storage.take(10, lease_s=60)
    assert (again.delivery.id, again.delivery.body) == ("w.1", b"both")


async def test_deliveries_leased_when_the_file_was_lost_are_leased_again(storage: Storage, path: Path) -> None:
    await storage.put(delivery("c:1", name="w.1"))
    with away(path), pytest.raises(StorageUnavailable):
        await storage.take(10, lease_s=60)
    (lease,) = await storage.take(10, lease_s=60)
    assert (lease.delivery.id, lease.crashes) == ("w.1", 0)
    await storage.finish(lease, ACK)


@pytest.mark.parametrize("is_noticed_first", [False, True])
async def test_what_was_prefetched_is_taken_when_it_is_back(
    storage: Storage, path: Path, is_noticed_first: bool
) -> None:
    assert await storage.take(10, lease_s=60) == []
    await storage.put(delivery("c:1", name="w.1"))  # prefetched
    with away(path):
        await refused(storage.put(delivery("c:2", name="w.2")))  # prefetched too
        if is_noticed_first:
            await refused(storage.take(10, lease_s=60))
    if is_noticed_first:
        await storage.check()
    assert await taken(storage) == ["w.1", "w.2"]


async def test_a_lane_is_free_though_its_lease_is_still_on_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.writer.BUSY_TIMEOUT_MS", 1)
    async with SQLiteStorage(path) as storage:
        assert await storage.take(5, lease_s=60) == []
        for name in ("w.1", "w.2"):
            await storage.put(delivery(f"c:{name}", name=name))  # prefetched
        await storage.finish(await leased(storage), Commit(Retry(0.0, "Boom")))
        with writing(path), pytest.raises(StorageUnavailable):
            await storage.take(5, lease_s=60)
        assert await taken(storage) == ["w.1", "w.2"]


@pytest.mark.parametrize("lose", [copy_in_place, remove_wal, remove_shm])
async def test_the_next_start_finds_all_accepted_deliveries(
    path: Path, clock: MovableClock, lose: Callable[[Path], None]
) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        await asyncio.gather(*(storage.put(delivery(f"c:{n}", name=f"w.{n}")) for n in range(50)))
        await storage.take(3, lease_s=60)
        lose(path)
        await refused(storage.put(delivery()))
    async with SQLiteStorage(path, clock=clock) as storage:
        assert {lease.delivery.id for lease in await storage.take(100, lease_s=60)} >= {f"w.{n}" for n in range(50)}
    assert_intact(path)


async def test_the_wal_of_a_file_that_was_replaced_by_its_copy_is_not_emptied(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_storage, "LOOK_EVERY_S", 0.001)
    check = Place.check

    def check_before_it_is_replaced(place: Place) -> None:
        check(place)
        monkeypatch.setattr(Place, "check", check)
        copy_in_place(path)

    async with SQLiteStorage(path, clock=clock) as storage:
        private = delivery(body=b'{"data":{"zero_retention":true}}')
        await handle(storage, private, commit=Commit(Ack(), off_the_record=True))
        before = wal(path)
        monkeypatch.setattr(Place, "check", check_before_it_is_replaced)
        clock.advance(TRUNCATE_AFTER_S)
        await until(lambda: storage.trouble is not None)
        assert wal(path) == before


async def test_an_older_copy_is_intact_once_the_files_next_to_it_are_moved_away(
    path: Path, clock: MovableClock, opened: list[sqlite3.Connection]
) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        opened[0].execute("PRAGMA wal_autocheckpoint = 10")
        await storage.put(delivery("c:0", name="w.0"))
        await storage.backup(path.with_name("monday.db"))
        for n in range(1, 100):
            await storage.put(delivery(f"c:{n}", name=f"w.{n}", body=b"x" * 5000))
        path.with_name("monday.db").rename(path)
        with pytest.raises(StorageUnavailable, match="away before the start"):
            await storage.put(delivery())
    remove_wal(path)
    remove_shm(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        assert await taken(storage) == ["w.0"]
    assert_intact(path)


async def test_a_file_that_is_away_when_its_server_stops_stays_intact(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as storage:
        assert await storage.take(10, lease_s=60) == []
        await storage.put(delivery("c:1", name="w.1"))  # prefetched; given back when the server stops
        before = wal(path)
        move(path)
    assert wal(path) == before
    move_back(path)
    async with SQLiteStorage(path, clock=clock) as storage:
        assert await taken(storage) == ["w.1"]


async def test_a_server_that_lost_its_file_does_not_touch_the_file_of_the_next_server(
    path: Path, clock: MovableClock, crashed: Callable[[Path], Path]
) -> None:
    old = await SQLiteStorage(path, clock=clock).__aenter__()
    await old.put(delivery(name="w.1"))
    remove(path)
    async with SQLiteStorage(path, clock=clock) as new:
        await new.put(delivery(name="w.2"))
        await old.__aexit__()
        await new.put(delivery(name="w.3"))
        image = crashed(path)
    async with SQLiteStorage(image, clock=clock) as storage:
        assert await storage.depth() == 2


@pytest.mark.parametrize("lose", [remove, replace_by_other])
async def test_methods_for_operators_are_refused_and_create_no_file(
    storage: Storage, path: Path, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    lose(path)
    before = {each.name for each in path.parent.iterdir()}
    await refused(storage.retry(["w.1"]), storage.backup(tmp_path / "copy.db"))
    assert {each.name for each in path.parent.iterdir()} == before


async def test_a_command_does_not_open_what_replaced_the_served_file(storage: Storage, path: Path) -> None:
    await storage.put(delivery("c:1", name="w.1"))
    with replaced(path):
        for opened in (SQLiteStorage(path, serving=False), SQLiteContents(path, "check")):
            with pytest.raises(StorageMisplaced, match="Put the former file back"):
                await opened.__aenter__()
        with pytest.raises(StorageMisplaced):
            check_up(path)
    assert await taken(storage) == ["w.1"]


async def test_a_file_that_was_put_in_place_of_one_whose_server_was_killed_is_opened(path: Path) -> None:
    async with SQLiteStorage(path):
        pass
    path.with_name(f"{path.name}.lock").write_text(f"{os.getpid()} 1\n")
    async with SQLiteStorage(path, serving=False) as storage:
        assert await storage.depth() == 0


async def test_a_file_that_is_replaced_during_the_opening_is_not_served(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_and_close(SQLiteStorage(path, clock=clock))
    opened = file.Place.opened

    def late(opening: file.Place) -> None:
        copy_in_place(path)
        opened(opening)

    with monkeypatch.context() as patch:
        patch.setattr(file.Place, "opened", late)
        with pytest.raises(StorageUnavailable, match="it was replaced"):
            await SQLiteStorage(path, clock=clock).__aenter__()
    async with SQLiteStorage(path, clock=clock) as storage:
        assert storage.trouble is None


@pytest.mark.parametrize("from_the_start", [True, False])
async def test_on_file_systems_without_inode_numbers_only_a_missing_file_is_noticed(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, from_the_start: bool
) -> None:
    real, has_numbers = os.stat, not from_the_start

    def stat(*args: Any, **how: Any) -> os.stat_result:
        found = list(real(*args, **how))
        if not has_numbers:
            found[1] = found[3] = 0  # st_ino, st_nlink
        return os.stat_result(found)

    monkeypatch.setattr(os, "stat", stat)
    async with SQLiteStorage(path, clock=clock) as storage:
        has_numbers = False
        assert await storage.put(delivery()) is True
        copy_in_place(path)
        assert await storage.put(delivery()) is True
        move(path)
        with pytest.raises(StorageUnavailable, match="is gone"):
            await storage.put(delivery())


# check


async def test_a_check_writes_durably_and_leaves_nothing(storage: Storage, opened: list[sqlite3.Connection]) -> None:
    made: list[str] = []
    (db,) = opened
    db.set_trace_callback(made.append)
    await storage.check()
    db.set_trace_callback(None)
    assert made.count("COMMIT") == 2
    assert db.execute("SELECT count(*) FROM meta WHERE key = 'check'").fetchone() == (0,)
