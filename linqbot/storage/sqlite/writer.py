"""The transactions of the process that serves a file: each writes one batch of operations that were queued.

The rows on disk are the truth. The index in memory (`transaction.py`) mirrors them. The writer collects the changes of a
transaction in `IndexChanges`, and `_follow` is the one place where the index follows. `storage/operations.py` has the order
of the operations, and `lanes.py` the SQL that moves lanes.

The event loop runs the statements. A separate thread runs COMMIT, the step that waits for the disk. The thread does not
run the statements too: the sqlite3 module releases the GIL at every step, and the thread must get it back each time
from a busy loop, which may keep it for 5 ms (`sys.getswitchinterval`). Measured with 64 turns in flight and 0.2 ms of
other work in each: a tenth fewer turns per second on idle cores, and half as many on busy ones. The statements
themselves take 3 to 10 µs per operation.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linqbot.clock import Clock
from linqbot.errors import StorageUnavailable
from linqbot.linq.events.delivery import OWN_DELIVERY
from linqbot.options import DAY_S
from linqbot.storage import conversation_table, edits, facts, hold_table, upkeep
from linqbot.storage.dialect import drive
from linqbot.storage.op_queue import (
    Op,
    OpQueue,
    OpsByKind,
    PutOp,
    PutReceiptOp,
    Unwritable,
    by_kind,
)
from linqbot.storage.operations import count_crash, run
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.commit_thread import CommitThread
from linqbot.storage.sqlite.file import BUSY_TIMEOUT_MS, Place, connect, primary_code, unusable
from linqbot.storage.sqlite.lanes import SQLiteLaneTransaction
from linqbot.storage.sqlite.transaction import Index, IndexChanges, SQLiteReader

TRUNCATE_AFTER_S = 60.0
"""Maximum time in seconds for which deleted text stays in the WAL, if no other connection reads from it then."""

_TRUNCATE_TIMEOUT_MS = 100
BUSY_PAUSE_S = 5.0
"""Seconds before the WAL is emptied after all, if another connection, such as a backup, still reads from it."""


class Writer(OpQueue):
    """Runs operations on one connection, and keeps what they change for the index."""

    _db: sqlite3.Connection

    def __init__(self, path: Path, index: Index, clock: Clock, keep_days: float) -> None:
        super().__init__(index)
        self._path = path
        self._clock = clock
        self._keep_s = keep_days * DAY_S
        self._index = index
        self._serving = True
        # The changes that the index applies once the open transaction is committed.
        self._changes = IndexChanges()

    def run(self, batch: list[Op[Any]]) -> OpsByKind:
        """Run the statements of the batch in the open transaction, and return its operations by kind.

        Raises Unwritable, if SQLite cannot hold one of the operations, or StorageUnavailable.
        """
        for op in batch:
            op.result = op.error = None
        ops = by_kind(batch)
        try:
            with self._translated():
                tx = self._transaction()
                drive(run(tx, ops, tx.index, purging=self._serving))
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            # Examples: a key that another journal entry has, half a surrogate pair, a number of 65 bits. SQLite's
            # message names only tables and columns; Python's may quote the value that was to be stored.
            why = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
            raise Unwritable(f"The storage cannot hold this: {why}. Nothing was stored.") from error
        return ops

    def roll_back(self) -> None:
        """Undo the transaction and release the leases that it made."""
        changes, self._changes = self._changes, IndexChanges()
        self._index.discard(changes)
        # SQLite rolls back by itself after some errors, and on a broken disk ROLLBACK itself fails.
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of the disk as StorageUnavailable. Errors that the operation causes stay as they are."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            message = f"{self._path.name} cannot be read or written: {error}. Nothing was stored."
            raise unusable(self._path, error, message) from error

    def _transaction(self) -> SQLiteLaneTransaction:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        return SQLiteLaneTransaction(self._db, self._index, self._changes, now, monotonic, self._keep_s)

    async def _count_crash(self) -> None:
        tx = self._transaction()
        await count_crash(tx, [seq for (seq,) in await tx.fetch("SELECT seq FROM delivery WHERE leased")])

    def load_index(self) -> None:
        reader = SQLiteReader(self._db)
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM seen").fetchone()
        noted_at = float(drive(facts.read(reader, "active_at")) or 0.0)
        rows = """SELECT seq, lane, not_before, max_concurrent_suspects, coalesce(waits, '') = 'gathering'
                  FROM delivery ORDER BY seq"""
        found = drive(conversation_table.summaries(reader))
        self._index.replace_holds(drive(hold_table.stored(reader)))
        self._index.replace_edited(drive(edits.lanes(reader)))
        # A separate connection may have forgotten a person.
        self._index.names.days.clear()
        # A separate connection may have stored a broadcast off the record.
        self._index.is_off_the_record = file.is_off_the_record(self._db)
        if self._index.is_off_the_record:
            file.overwrite_freed(self._db)
        self._index.reload(self._db.execute(rows), last_seq=last, noted_at=noted_at, conversations=found)


class SQLiteWriter(Writer):
    """The connection to a file through which operations of this process write, and the thread that waits for the disk.

    One transaction at a time, step by step. Everything runs on the event loop, except the steps that wait for a disk or
    for another process: `connect`, `disconnect`, and in the thread `commit` and `begin_slowly`.
    """

    def __init__(self, path: Path, index: Index, clock: Clock, keep_days: float, thread: CommitThread) -> None:
        super().__init__(path, index, clock, keep_days)
        self.place = Place(path)
        self._thread = thread
        # The data_version of the file that the index mirrors; None if the index did not follow a commit.
        self._version: int | None = None
        # True while the commit thread may replace the lanes of the index: then the event loop leaves them alone.
        self.is_reloading = False
        # The time at which the WAL shall be emptied, in Unix seconds, and True if the next commit does so.
        self.truncate_at = math.inf
        self.truncates = False

    def connect(self, *, serving: bool) -> str:
        """Connect, bring the schema up to date and load the index. Return the install id.

        `serving` is True for the server, which counts a crash for each lease that is left.
        """
        self._db = connect(self._path)
        self._serving = serving
        self._changes = IndexChanges()
        try:
            with self._translated():
                if serving:
                    # Before duplicates are answered: the 200 to a copy of a delivery that the WAL holds writes nothing, so
                    # no later fsync would make that delivery durable.
                    file.sync_wal(self._db)
                # A command that only reads must not wait for the transactions of the server, which a slow disk makes long.
                if serving or not file.is_up_to_date(self._db):
                    file.migrate(self._db, self._path)
                reader = SQLiteReader(self._db)
                drive(upkeep.refuse_unfinished(reader, str(self._path)))
                if serving:
                    drive(self._count_crash())
                self._reload()
                own = "SELECT EXISTS (SELECT 1 FROM journal WHERE turn >= ? AND turn < ?)"
                (has_own,) = self._db.execute(own, (OWN_DELIVERY, OWN_DELIVERY + "\uffff")).fetchone()
                self._index.has_own_entries = bool(has_own)
                self.place.opened()
                # From here on the event loop must not wait for another process that writes: see `begin`.
                self._db.execute("PRAGMA busy_timeout = 0")
                return str(drive(facts.read(reader, "install")))
        except BaseException:
            self._db.close()
            raise

    def disconnect(self) -> None:
        """Give back prefetched leases, and disconnect.

        Other leases stay on disk. A worker that stops finishes its turns first, so a lease that is left belongs to a
        turn that never ended. The next start counts it as a crash.
        """
        unbegun = self._index.release(self._index.give_back_prefetched())
        self._index.clear()
        try:
            self.place.check()
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            drive(self._transaction().give_back(unbegun))
            if self._serving and self._index.active_at is not None:
                at, noted_at = self._index.active_at, self._index.noted_at
                drive(upkeep.note_activity(self._transaction(), at, noted_at, after_s=0.0))
        except (sqlite3.Error, StorageUnavailable):
            # The file cannot be written: the next start counts these leases as crashes, which is the safe side.
            pass
        finally:
            self._db.close()

    def begin(self) -> bool:
        """Open the transaction. Return False if another process is writing or has written: then `begin_slowly`."""
        # Until the thread has opened the transaction, and perhaps reloaded the index there.
        self.is_reloading = True
        if self.place.lost:
            return False
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_BUSY:
                return False
            self.is_reloading = False
            raise
        self.is_reloading = self._data_version() != self._version
        return not self.is_reloading

    def begin_slowly(self) -> None:
        """Wait for the other process, open the transaction, and load what that process has written.

        Raises StorageUnavailable while the file is lost.
        """
        try:
            if self.place.lost:
                self.place.check()
            if not self._db.in_transaction:
                self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
                try:
                    self._db.execute("BEGIN IMMEDIATE")
                finally:
                    self._db.execute("PRAGMA busy_timeout = 0")
            if self._data_version() != self._version:
                self._reload()
        finally:
            self.is_reloading = False

    def commit(self) -> StorageUnavailable | None:
        """Write the transaction to the disk. Return an error if the file is not at its path: then the transaction does not count.

        Then empty the WAL if that was asked for, but not if the file was replaced: its WAL is still needed then.
        """
        self._db.execute("COMMIT")
        try:
            self.place.check()
        except StorageUnavailable as error:
            return error
        if self.truncates:
            self._truncate()
        return None

    def _follow(self, misplaced: StorageUnavailable | None) -> None:
        """Apply the transaction to the index: the one place where memory follows the disk.

        Raises:
            StorageUnavailable: the file is not at its path. It holds the transaction all the same. If the file comes
                back, the same delivery is a duplicate, and a `finish` of the same turn raises LeaseLost.
        """
        version, self._version = self._version, None
        self._index.apply(self._changes)
        changes, self._changes = self._changes, IndexChanges()
        if misplaced is not None:
            # The callers that asked for leases get an error, so no lease has a holder.
            self._index.revoke(changes)
            raise misplaced
        # Not reached after an error: then `begin` reads the file again.
        self._version = version
        if changes.leaves_text:
            self.truncate_soon()

    def truncate_soon(self) -> None:
        self.truncate_at = min(self.truncate_at, self._clock.now() + TRUNCATE_AFTER_S)

    def _truncate(self) -> None:
        # On this connection: a checkpoint by another one changes `_data_version`, and then the whole inbox would be
        # read again. It must not raise, because the transaction is on disk.
        self._db.execute(f"PRAGMA busy_timeout = {_TRUNCATE_TIMEOUT_MS}")
        is_empty = file.truncate(self._db)
        self.truncates, self.truncate_at = False, math.inf if is_empty else self._clock.now() + BUSY_PAUSE_S
        self._db.execute("PRAGMA busy_timeout = 0")

    @property
    def is_writing(self) -> bool:
        """True while operations are written, so that a transaction may be open."""
        return self._task is not None and not self._task.done()

    @property
    def is_outdated(self) -> bool:
        """True if the file holds what the index does not, and nothing is being written."""
        return not self.is_writing and self._data_version() != self._version

    def _data_version(self) -> int:
        """Return a number that changes when another process, or another connection of this process, has written."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _reload(self) -> None:
        # Known only at the end: after an error half-way, the next transaction reads the file again.
        version, self._version = self._data_version(), None
        self.load_index()
        self._version = version

    def open(self) -> None:
        super().open()
        self._thread.open()

    async def close(self) -> None:
        await super().close()
        self._thread.close()

    async def _write(self, batch: list[Op[Any]]) -> None:
        try:
            with self._translated():
                if not self.begin():
                    await self._thread.run(self.begin_slowly)
                    # Another process may have written, or the file has a transaction that failed here because the file was moved.
                    self._index.watched.note(None)
                    self._index.changed.set()
                before = self._db.total_changes
                ops = self.run(batch)
                misplaced = None
                # A duplicate changes nothing, but it is answered with 200, so the file with the first copy must be in its place.
                if self.truncates or self._db.total_changes != before or PutOp in ops or PutReceiptOp in ops:
                    misplaced = await self._thread.run(self.commit)
                else:
                    self._db.execute("COMMIT")
            self._follow(misplaced)
        except Exception:
            self.roll_back()
            raise
