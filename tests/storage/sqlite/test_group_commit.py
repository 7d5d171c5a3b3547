"""Group commit: shared transactions, operations that fail alone, full disks and cancelled callers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE_S
from sqlite_connections import fill_disk, free_disk, largest_file
from storage.conftest import NOON, delivery, entry, handle_all, leased, taken

from linqbot.clock import MovableClock
from linqbot.errors import StorageError, StorageUnavailable
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.dialect import drive
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Retry
from linqbot.storage.indexes import Lanes
from linqbot.storage.op_queue import Op
from linqbot.storage.sqlite import upkeep
from linqbot.storage.sqlite.file import transaction
from linqbot.storage.sqlite.lanes import outside
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.sqlite.writer import SQLiteWriter
from linqbot.storage.state import StateWrite
from linqbot.storage.upkeep import put_back

ACK = Commit(Ack())


@pytest.fixture
async def storage(tmp_path: Path, clock: MovableClock, opened: list[sqlite3.Connection]) -> AsyncIterator[Storage]:
    async with SQLiteStorage(tmp_path / "bot.db", clock=clock) as storage:
        yield storage


@pytest.fixture
def db(storage: Storage, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    """The connection through which `storage` writes."""
    (writing,) = opened
    return writing


@contextmanager
def commits(db: sqlite3.Connection) -> Iterator[list[str]]:
    """Collect the COMMITs that are made in the block."""
    made: list[str] = []
    db.set_trace_callback(lambda sql: made.append(sql) if sql == "COMMIT" else None)
    yield made
    db.set_trace_callback(None)


@contextmanager
def failing_writes(path: Path) -> Iterator[None]:
    """Let the operating system allow no file larger than the WAL is now, so that COMMIT itself fails."""
    with largest_file(Path(f"{path}-wal").stat().st_size):
        yield


async def test_turns_in_flight_together_share_their_commits(storage: Storage, db: sqlite3.Connection) -> None:
    async def turn(n: int) -> None:
        lease = await leased(storage, delivery(f"c:{n}"))
        await storage.begin(entry(lease.delivery.id))
        accepted = entry(lease.delivery.id, status="accepted")
        await storage.finish(lease, Commit(Ack(), entries=[accepted], state=[StateWrite("bot", str(n), b"1")]))

    with commits(db) as made:
        await asyncio.gather(*(turn(n) for n in range(100)))
    assert await storage.depth() == 0
    assert len(await storage.load("bot")) == 100
    assert len(made) < 40


async def test_a_new_delivery_is_leased_by_the_commit_that_stores_it(storage: Storage, db: sqlite3.Connection) -> None:
    assert await storage.take(2, lease_s=60) == []
    for number in range(2):
        await storage.put(delivery(f"c:{number}", name=f"w.{number}"))
    with commits(db) as made:
        leases = await storage.take(2, lease_s=60)
        assert ([lease.delivery.id for lease in leases], made) == (["w.0", "w.1"], [])
        assert leases[0].is_first_run
        await storage.put(delivery("c:2", name="w.2"))
        (late,) = await storage.take(2, lease_s=60)
        assert (late.delivery.id, made) == ("w.2", ["COMMIT"] * 2)


async def test_the_file_is_opened_with_full_synchronous_commits(db: sqlite3.Connection) -> None:
    full = 2
    assert db.execute("PRAGMA synchronous").fetchone() == (full,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_value_sqlite_cannot_hold_fails_alone(storage: Storage) -> None:
    names = [f"w.{n}" for n in range(10)]
    names[4] = "w.\ud800"
    outcomes = await asyncio.gather(*(storage.put(delivery(name=name)) for name in names), return_exceptions=True)
    assert [outcome for n, outcome in enumerate(outcomes) if n != 4] == [True] * 9
    assert type(outcomes[4]) is StorageError
    assert await handle_all(storage) == names[:4] + names[5:]


async def test_an_operation_that_fails_takes_no_place_in_the_backlog(tmp_path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(tmp_path / "small.db", clock=clock, max_backlog=2) as storage:
        lanes = ("c:1", "c:\ud800", "c:2")
        outcomes = await asyncio.gather(*(storage.put(delivery(lane)) for lane in lanes), return_exceptions=True)
        assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (True, StorageError, True)


async def test_a_full_disk_refuses_all_and_leaves_nothing_half_written(
    storage: Storage, db: sqlite3.Connection, clock: MovableClock
) -> None:
    lease = await leased(storage, delivery("c:1", name="w.1"))
    await storage.put(delivery("c:2", name="w.2"))
    big = b"x" * 100_000
    fill_disk(db)
    outcomes = await asyncio.gather(
        storage.put(delivery("c:3", name="w.3", body=big)),
        storage.take(1, lease_s=60),
        storage.begin(entry("w.1", call=big)),
        storage.finish(lease, ACK),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 4
    assert await storage.depth() == 2
    assert await storage.entries("w.1") == []
    with pytest.raises(StorageUnavailable):
        await storage.put(delivery("c:3", name="w.3", body=big))
    free_disk(db)
    # The disk has space again: nothing of the failed operations is known, and everything stored before still is.
    assert await storage.put(delivery("c:3", name="w.3", body=big)) is True
    await storage.finish(lease, Commit(Retry(at=clock.now(), error="Boom")))
    leases = await storage.take(10, lease_s=60)
    assert [(one.delivery.id, one.delivery_count) for one in leases] == [("w.1", 1), ("w.2", 0), ("w.3", 0)]


async def test_a_commit_that_the_disk_refuses_fails_its_batch_only(storage: Storage, tmp_path: Path) -> None:
    await storage.put(delivery("c:1", name="w.1"))
    with failing_writes(tmp_path / "bot.db"):
        outcomes = await asyncio.gather(
            *(storage.put(delivery(f"c:{n}", name=f"w.{n}")) for n in range(2, 5)),
            storage.take(1, lease_s=60),
            return_exceptions=True,
        )
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 4
    assert await storage.depth() == 1
    assert await storage.put(delivery("c:2", name="w.2")) is True
    (first, second) = await storage.take(10, lease_s=60)
    assert (first.delivery.id, first.is_first_run, second.delivery.id) == ("w.1", True, "w.2")


@pytest.mark.parametrize("step", ["begin", "run", "commit"])
async def test_a_bug_in_the_writer_fails_no_later_caller(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteWriter, step, stumble)
        with pytest.raises(StorageError):
            await storage.put(delivery("c:1"))
    assert await storage.put(delivery("c:2")) is True


async def test_an_index_that_could_not_follow_the_disk_is_read_again_and_the_worker_is_woken(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError("a bug")

    lease = await leased(storage, delivery("c:1", name="w.1"))
    await storage.changed()
    with monkeypatch.context() as patch:
        patch.setattr(Lanes, "add", stumble)
        with pytest.raises(StorageError):
            await storage.put(delivery("c:2", name="w.2"))
    assert await storage.put(delivery("c:2", name="w.2")) is False
    await asyncio.wait_for(storage.changed(), PATIENCE_S)
    assert await storage.put(delivery("c:2", name="w.3")) is True
    assert await storage.depth() == 3
    await storage.finish(lease, ACK)
    assert await taken(storage) == ["w.2"]


async def test_a_take_that_finds_no_free_lane_needs_no_transaction(storage: Storage, db: sqlite3.Connection) -> None:
    lease = await leased(storage, delivery("c:1", name="w.1"), limit=10)
    with commits(db) as made:
        assert await storage.take(9, lease_s=60) == []
    assert made == []
    await storage.put(delivery("c:2", name="w.2"))
    await storage.finish(lease, Commit(Retry(0.0, "Boom")))
    assert await taken(storage) == ["w.1", "w.2"]


@pytest.mark.parametrize("outcome", [Ack(), Retry(NOON + 100, "Boom")], ids=["ack", "retry"])
async def test_a_lease_that_ran_out_is_ended_in_the_transaction_of_a_take(
    storage: Storage, clock: MovableClock, outcome: Ack | Retry
) -> None:
    for name in ("w.1", "w.2"):
        await storage.put(delivery("c:1", name=name))
    (lease,) = await storage.take(1, lease_s=60)
    clock.advance(61)
    _, leases, put = await asyncio.gather(
        storage.finish(lease, Commit(outcome)),
        storage.take(10, lease_s=60),
        storage.put(delivery("c:2", name="w.3")),
    )
    assert ([one.delivery.id for one in leases], put) == (["w.3"], True)
    after = await taken(storage)
    assert after == (["w.2"] if isinstance(outcome, Ack) else [])


async def retried_elsewhere(storage: Storage, db: sqlite3.Connection, given_up: Delivery) -> None:
    """Make a delivery a dead letter, and put it back through another connection."""
    await storage.finish(await leased(storage, given_up, limit=10), Commit(DeadLetter("Boom")))
    await storage.changed()
    (_, _, path) = db.execute("PRAGMA database_list").fetchone()

    def retry(other: sqlite3.Connection) -> None:
        with transaction(other):
            drive(put_back(outside(other, NOON), [given_up.id], ["dead"], again=False))

    await asyncio.to_thread(upkeep.on_own_connection, Path(path), retry)


async def test_an_index_that_could_not_be_read_again_is_read_by_the_next_transaction(
    storage: Storage, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await retried_elsewhere(storage, db, delivery("c:1", name="w.1"))

    def unreadable(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr("linqbot.storage.sqlite.writer.hold_table.stored", unreadable)
        with pytest.raises(StorageUnavailable):
            await storage.check()
    await storage.check()
    assert await taken(storage) == ["w.1"]


async def test_a_prefetched_delivery_that_is_erased_is_not_handed_out(storage: Storage, db: sqlite3.Connection) -> None:
    assert await storage.take(10, lease_s=60) == []
    for name in ("w.1", "w.2"):
        await storage.put(delivery(f"c:{name}", name=name))  # prefetched
    (_, _, path) = db.execute("PRAGMA database_list").fetchone()
    with closing(sqlite3.connect(path, isolation_level=None)) as command:
        command.execute("DELETE FROM body WHERE seq = (SELECT seq FROM delivery WHERE id = 'w.1')")
        command.execute("DELETE FROM delivery WHERE id = 'w.1'")
    await storage.check()
    assert await taken(storage) == ["w.2"]


@pytest.mark.parametrize("committed_first", [False, True])
async def test_a_cancelled_take_gives_its_leases_back_uncounted(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, committed_first: bool
) -> None:
    await storage.put(delivery())
    await storage.changed()
    submitted: list[asyncio.Future[object]] = []
    submit = SQLiteWriter.submit

    def recorded_submit(commits: SQLiteWriter, op: Op[object]) -> asyncio.Future[object]:
        submitted.append(submit(commits, op))
        return submitted[-1]

    monkeypatch.setattr(SQLiteWriter, "submit", recorded_submit)
    taking = asyncio.ensure_future(storage.take(1, lease_s=900))
    await asyncio.sleep(0)
    if committed_first:
        # The future has its result, but the task that called `take` has not run yet.
        submitted[0].add_done_callback(lambda _: taking.cancel())
    else:
        taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await asyncio.wait_for(storage.changed(), PATIENCE_S)
    (lease,) = await storage.take(1, lease_s=60)
    assert lease.is_first_run is True
    await storage.finish(lease, ACK)
    assert await storage.depth() == 0


async def test_a_cancelled_finish_is_written_or_not_but_never_half(storage: Storage) -> None:
    lease = await leased(storage, delivery())
    finishing = asyncio.ensure_future(storage.finish(lease, Commit(Ack(), state=[StateWrite("bot", "a", b"1")])))
    await asyncio.sleep(0)
    finishing.cancel()
    await asyncio.wait([finishing])
    # Writes keep their order, so the finish is over once this one is.
    await storage.put(delivery("c:2"))
    assert (await storage.depth(), await storage.load("bot")) == (1, {"a": b"1"})


async def test_operations_queued_when_the_storage_closes_are_written(tmp_path: Path, clock: MovableClock) -> None:
    storage = SQLiteStorage(tmp_path / "closing.db", clock=clock)
    async with storage:
        putting = [asyncio.ensure_future(storage.put(delivery(f"c:{n}"))) for n in range(300)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*putting) == [True] * 300
    with pytest.raises(StorageUnavailable):
        await storage.put(delivery())
    async with storage:
        assert await storage.depth() == 300


@pytest.mark.parametrize("lanes", [1, 2000])
async def test_taking_costs_the_same_however_long_the_backlog(
    tmp_path: Path, clock: MovableClock, opened: list[sqlite3.Connection], lanes: int
) -> None:
    async with SQLiteStorage(tmp_path / "long.db", clock=clock, max_lane_backlog=10_000) as storage:
        (db,) = opened

        async def steps_of_a_turn() -> int:
            counted = [0]
            db.set_progress_handler(lambda: counted.__setitem__(0, counted[0] + 1), 1)
            await storage.finish(await leased(storage), ACK)
            db.set_progress_handler(None, 0)
            return counted[0]

        await asyncio.gather(*(storage.put(delivery(f"c:{n}")) for n in range(3)))
        await steps_of_a_turn()  # newer releases of SQLite do a little more for the first one
        short = await steps_of_a_turn()
        await asyncio.gather(*(storage.put(delivery(f"d:{n % lanes}")) for n in range(2000)))
        assert await steps_of_a_turn() == short


async def test_memory_of_recent_deliveries_is_bounded(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.storage.indexes.MAX_BYTES", 1000)
    await asyncio.gather(*(storage.put(delivery(f"c:{n}", name=f"w.{n}", body=b"x" * 300)) for n in range(10)))
    leases = await storage.take(10, lease_s=60)
    assert [lease.delivery.id for lease in leases] == [f"w.{n}" for n in range(10)]
    assert [lease.delivery.decoded is None for lease in leases] == [True] * 7 + [False] * 3
    assert all(lease.delivery.body == b"x" * 300 for lease in leases)
