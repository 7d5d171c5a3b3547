"""The SQL of each batch of operations, in one transaction.

The rows on disk are the truth. The index in memory (`index.py`) mirrors them. The writer collects the changes of a
transaction in `IndexChanges`, and `after_commit` is the one place where the index follows. `group_commit.py` calls the
steps.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from linqbot.clock import Clock
from linqbot.errors import LaneFull, StorageBusy, StorageUnavailable
from linqbot.events.delivery import OWN_DELIVERY, Delivery
from linqbot.storage.inbox import SEEN_KEPT_S, Ack, DeadLetter, Defer, Finish, Lease, Retry, keys_of, lease_over
from linqbot.storage.indexes.lanes import LaneLease
from linqbot.storage.indexes.recent import Row
from linqbot.storage.journal import JournalEntry
from linqbot.storage.operations import (
    AdvanceOp,
    BeginOp,
    CancelOp,
    CheckOp,
    FinishOp,
    FireOp,
    HoldOp,
    JoinOp,
    Op,
    OpsByKind,
    OrderOp,
    PutOp,
    ReceiptOp,
    ReleaseOp,
    ScheduleOp,
    SettleOp,
    TakeOp,
    Unwritable,
    by_kind,
    of,
)
from linqbot.storage.sqlite import queries, wipe
from linqbot.storage.sqlite.disk.file import (
    BUSY_TIMEOUT_MS,
    connect,
    install_of,
    migrate,
    primary_code,
    refuse_unfinished,
    unusable,
)
from linqbot.storage.sqlite.disk.place import Place
from linqbot.storage.sqlite.index import (
    Gathering,
    Index,
    IndexChanges,
    IndexFacts,
    JoinedRow,
    Postponed,
    Reordered,
)
from linqbot.storage.sqlite.operations import TruncateOp
from linqbot.storage.sqlite.queries import DELIVERY
from linqbot.storage.sqlite.statements import among, insert
from linqbot.storage.sqlite.tables import broadcasts, conversations, journal, timers
from linqbot.storage.sqlite.tables.state import SQLiteStateBatch

DAY_S = 24 * 3600.0
_ACTIVITY_EVERY_S = 60.0
_PURGE_EVERY_S = 60.0
_SOON_S = 60.0
"""Seconds within which nearly every delivery leaves the inbox. Then `seen.at` stays the time when it was stored, so the
ack need not change these rows."""
_PURGE_ROWS = 200
_RENUMBER = (
    ("UPDATE delivery SET seq = -? WHERE seq = ?", "UPDATE delivery SET seq = ? WHERE seq = -?"),
    ("UPDATE body SET seq = -? WHERE seq = ?", "UPDATE body SET seq = ? WHERE seq = -?"),
    ("UPDATE seen SET seq = -? WHERE seq = ?", "UPDATE seen SET seq = ? WHERE seq = -?"),
)
_TRUNCATE_TIMEOUT_MS = 100


Numbered: TypeAlias = tuple[tuple[int, Delivery], ...]
"""Deliveries with their sequence numbers, in order."""


class SQLiteWriter:
    """The connection through which the operations of this process write; see `group_commit.BatchWriter`.

    Everything runs on the event loop, except the steps that wait for a disk or for another process: `open`, `close`,
    `commit`, and `begin` with `wait`.
    """

    def __init__(
        self,
        path: Path,
        *,
        index: Index,
        place: Place,
        clock: Clock,
        max_backlog: int,
        max_lane_backlog: int,
        keep_days: float,
    ) -> None:
        self._path = path
        self._place = place
        self._clock = clock
        self._keep_s = keep_days * DAY_S
        self._max_backlog = max_backlog
        self._max_lane_backlog = max_lane_backlog
        self._db: sqlite3.Connection
        self._index = index
        self._batch_first = 1
        # The data_version of the file that the index mirrors; None if the index did not follow a commit.
        self._version: int | None = None
        self._serving = False
        # True while the commit thread may replace the lanes of the index: then the event loop leaves them alone.
        self.is_reloading = False
        # True after the index was read from the file again, until the storage has woken those who wait.
        self.has_reloaded = False
        # The changes that the index applies once the open transaction is on disk.
        self._changes = IndexChanges()
        self._truncations: list[TruncateOp] = []
        # True if the transaction counts only while the file is at its path; and the error if the file was not there.
        self._to_check = False
        self._misplaced: StorageUnavailable | None = None

    def open(self, *, serving: bool) -> str:
        """Connect, bring the schema up to date and load the index. Return the install id.

        Args:
            serving: True for the server, which counts a crash for each lease that is left.
        Raises:
            ConfigError: the file belongs to another program, or holds an unfinished copy.
            NewerSchema: a newer linqbot has written the file.
            StorageUnavailable: the file cannot be read or written.
        """
        self._db = connect(self._path)
        self._serving = serving
        self._changes = IndexChanges()
        try:
            migrate(self._db, self._path)
            with self._translated():
                refuse_unfinished(self._db, self._path)
                if serving:
                    self._count_crash()
                self._reload()
                self.has_reloaded = False  # nothing waits for it yet
                self._index.is_off_the_record = wipe.is_off_the_record(self._db)
                self._index.has_own_entries = journal.has_own(self._db)
                if self._index.is_off_the_record:
                    wipe.overwrite_freed(self._db)
                self._place.opened()
                # From here on the event loop must not wait for another process that writes: see `begin`.
                self._db.execute("PRAGMA busy_timeout = 0")
                return install_of(self._db)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Give back prefetched leases, and disconnect.

        Other leases stay on disk. A worker that stops finishes its turns first, so a lease that is left belongs to a
        turn that never ended. The next start counts it as a crash.
        """
        unbegun = self._index.release(self._index.give_back_prefetched())
        self._index.clear()
        try:
            self._place.check()
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            among(
                self._db,
                "UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq IN (*)",
                unbegun,
            )
            if self._serving and self._index.active_at is not None:
                self._note_activity(self._index.active_at, after_s=0.0)
        except (sqlite3.Error, StorageUnavailable):
            # The file cannot be written: the next start counts these leases as crashes, which is the safe side.
            pass
        finally:
            self._db.close()

    def _count_crash(self) -> None:
        """Count the crash of the last process for the deliveries that it had leased; see `crashes` in the schema."""
        (count,) = self._db.execute("SELECT count(*) FROM delivery WHERE leased").fetchone()
        self._db.execute(
            """UPDATE delivery SET crashes = crashes + ?, crashed_with_others = crashed_with_others + ?, leased = 0,
                   max_concurrent_suspects = CASE WHEN crashes + crashed_with_others > 0 THEN ? ELSE 0 END
               WHERE leased""",
            (count == 1, count > 1, max(1, count // 4)),
        )

    def begin(self, *, wait: bool) -> bool:
        """Open the transaction. Return False if another process is writing or has written, so that it takes longer.

        Raises:
            StorageUnavailable: the file cannot be read or written, or with `wait` it is not at its path.
        """
        with self._translated():
            if wait:
                try:
                    self._begin_slowly()
                finally:
                    self.is_reloading = False
                return True
            # Until the thread has opened the transaction, and perhaps reloaded the index there.
            self.is_reloading = True
            if self._place.lost:
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

    def write(self, batch: list[Op]) -> bool:
        """Run the statements of the batch.

        Returns:
            False if no row changed and no 200 depends on this transaction: then `commit` writes nothing to the disk.
        Raises:
            Unwritable: SQLite cannot hold one of the operations; nothing was stored.
            StorageUnavailable: the file cannot be read or written.
        """
        before = self._db.total_changes
        for op in batch:
            op.result = op.error = None
        try:
            with self._translated():
                self._write_all(batch, self._clock.now())
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            # Examples: a key that another journal entry has, half a surrogate pair, a number of 65 bits. SQLite's
            # message names only tables and columns; Python's may quote the value that was to be stored.
            why = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
            raise Unwritable(f"The storage cannot hold this: {why}. Nothing was stored.") from error
        # A duplicate changes nothing, but it is answered with 200, so the file with the first copy must be in its place.
        self._to_check = (
            self._db.total_changes != before or any(isinstance(op, PutOp) for op in batch) or bool(self._truncations)
        )
        return self._to_check

    def commit(self) -> None:
        """Write the transaction to the disk, and check that the file is still at its path.

        Then empty the WAL if an operation asked for it, but not if the file was replaced: its WAL is still needed then.
        """
        with self._translated():
            self._db.execute("COMMIT")
        if self._to_check:
            try:
                self._place.check()
            except StorageUnavailable as error:
                self._misplaced = error
        if self._truncations and self._misplaced is None:
            self._truncate()

    def after_commit(self) -> None:
        """Apply the transaction to the index: the one place where memory follows the disk.

        Raises:
            StorageUnavailable: the file is not at its path. It holds the transaction all the same. If the file comes
                back, the same delivery is a duplicate, and a `finish` of the same turn raises LeaseLost.
        """
        version, self._version = self._version, None
        self._index.apply(self._changes)
        misplaced, self._misplaced = self._misplaced, None
        if misplaced is not None:
            # The callers that asked for leases get an error, so no lease has a holder.
            self._index.revoke(self._changes)
            self._changes = IndexChanges()
            raise misplaced
        # Not reached after an error: then `begin` reads the file again.
        self._version = version
        self._changes = IndexChanges()

    def roll_back(self) -> None:
        """Undo the transaction and release the leases that it made."""
        changes, self._changes = self._changes, IndexChanges()
        self._index.discard(changes)
        self._truncations.clear()
        # SQLite rolls back by itself after some errors, and on a broken disk ROLLBACK itself fails.
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _truncate(self) -> None:
        # On this connection: a checkpoint by another one changes `_data_version`, and then the whole inbox would be
        # read again. It must not raise, because the transaction is on disk.
        self._db.execute(f"PRAGMA busy_timeout = {_TRUNCATE_TIMEOUT_MS}")
        emptied = wipe.truncate(self._db)
        self._db.execute("PRAGMA busy_timeout = 0")
        for op in self._truncations:
            op.result = emptied
        self._truncations.clear()

    def _begin_slowly(self) -> None:
        """Wait for the other process, open the transaction, and load what that process has written."""
        if self._place.lost:
            self._place.check()
        if not self._db.in_transaction:
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            try:
                self._db.execute("BEGIN IMMEDIATE")
            finally:
                self._db.execute("PRAGMA busy_timeout = 0")
        if self._data_version() != self._version:
            self._reload()

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

    def _write_all(self, batch: list[Op], now: float) -> None:
        # Only puts must keep their order: the operations of a batch are in flight together, and each caller has one
        # at a time. Begin comes before settle and finish, so that an outcome finds its row.
        self._batch_first = self._index.next_seq
        ops = by_kind(batch)
        self._truncations = of(ops, TruncateOp)
        self._go_off_the_record(ops)
        self._release(of(ops, ReleaseOp))
        self._begin(of(ops, BeginOp))
        timers_changed = self._finish(of(ops, SettleOp), of(ops, FinishOp), now)
        self._hold(of(ops, HoldOp))
        for join in of(ops, JoinOp):
            self._join(join)
        journal.receive(self._db, of(ops, ReceiptOp))
        timers_changed |= self._set_timers(of(ops, ScheduleOp), of(ops, CancelOp))
        self._put(of(ops, PutOp))
        for order in of(ops, OrderOp):
            self._put_in_order(order)
        timers_changed |= self._fire(of(ops, FireOp))
        self._advance_broadcasts(of(ops, AdvanceOp), [op.finish for op in of(ops, FinishOp) if op.error is None], now)
        self._take(of(ops, TakeOp), now)
        self._check(of(ops, CheckOp))
        self._purge(now)
        if self._changes.received_at is not None:
            self._note_activity(self._changes.received_at, after_s=_ACTIVITY_EVERY_S)
        if timers_changed:
            self._changes.timers_changed = True
            self._changes.next_timer = timers.earliest(self._db)

    def _begin(self, ops: list[BeginOp]) -> None:
        for op in ops:
            if op.lease is not None and self._index.lanes.leased_by(op.lease.token) is None:
                op.error = lease_over(op.lease)
        entries = [op.entry for op in ops if op.error is None]
        journal.begin(self._db, entries)
        if not self._index.has_own_entries:
            self._index.has_own_entries = any(entry.turn.startswith(OWN_DELIVERY) for entry in entries)

    def _go_off_the_record(self, ops: OpsByKind) -> None:
        """Overwrite the pages that are freed from now on, if this is the first text off the record in the file."""
        if self._index.is_off_the_record:
            return
        if not (
            any(op.delivery.is_off_the_record for op in of(ops, PutOp))
            or any(op.timer.is_off_the_record for op in of(ops, ScheduleOp))
        ):
            return
        self._begin_off_the_record()

    def _begin_off_the_record(self) -> None:
        wipe.overwrite_freed(self._db)
        wipe.note_off_the_record(self._db)
        self._changes.off_the_record = True

    # Inbox

    def _put(self, ops: list[PutOp]) -> None:
        if not ops:
            return
        numbered = self._index.number([op.delivery for op in ops])
        fresh = self._remember(numbered)
        lanes = self._index.lanes
        room = self._max_backlog - lanes.depth
        depths: dict[str, int] = {}
        new: list[tuple[int, Delivery]] = []
        duplicates: list[PutOp] = []
        refused: list[int] = []
        for op, (seq, delivery) in zip(ops, numbered, strict=True):
            lane = delivery.lane
            depth = depths[lane] if lane in depths else lanes.depth_of(lane)
            if seq not in fresh:
                duplicates.append(op)
            elif len(new) >= room:
                op.error = self._backlog_full()
                refused.append(seq)
            elif depth >= self._max_lane_backlog:
                op.error = LaneFull(f"The lane of {delivery.id} is full: {self._max_lane_backlog} deliveries wait.")
                refused.append(seq)
            else:
                op.result = True
                depths[lane] = depth + 1
                new.append((seq, delivery))
        among(self._db, "DELETE FROM seen WHERE seq IN (*)", refused)
        self._answer_duplicates(duplicates)
        self._accept(tuple(new), prefetch=True)

    def _answer_duplicates(self, ops: list[PutOp]) -> None:
        """Set the results of deliveries whose id or message key is known. A copy of one that was refused is refused too."""
        known = queries.seen(self._db, [key for op in ops for key in keys_of(op.delivery)])
        for op in ops:
            if known.keys().isdisjoint(keys_of(op.delivery)):
                op.error = LaneFull(f"Another copy of {op.delivery.id} was refused at the same time.")
            else:
                op.result = False

    def _backlog_full(self) -> StorageBusy:
        return StorageBusy(f"The backlog is full: {self._max_backlog} deliveries wait.")

    def _remember(self, numbered: Numbered) -> set[int]:
        """Store the ids and message keys of deliveries. Return the numbers of those that were not known."""
        now = self._clock.now()
        rows = [(seq, d.id, d.message_key, now) for seq, d in numbered]
        before = self._db.total_changes
        insert(self._db, "seen (seq, id, message_key, at)", rows, "ON CONFLICT DO NOTHING")
        if self._db.total_changes - before == len(rows):
            return {seq for seq, _ in numbered}
        stored = self._db.execute("SELECT seq FROM seen WHERE seq >= ?", (numbered[0][0],))
        return {seq for (seq,) in stored}

    def _new(self, deliveries: Sequence[Delivery]) -> Numbered:
        """Number deliveries and remember them. Return those that were not known."""
        numbered = self._index.number(deliveries)
        fresh = self._remember(numbered)
        return tuple(one for one in numbered if one[0] in fresh)

    def _accept(self, new: Numbered, *, prefetch: bool = False) -> None:
        """Store new deliveries at the tails of their lanes.

        Args:
            prefetch: True to store them as leased, as far as the last `take` had capacity for them.
        """
        if not new:
            return
        prefetched = self._index.prefetchable(new) if prefetch else set()
        rows = [
            (seq, d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, leased, leased)
            for seq, d in new
            for leased in (int(seq in prefetched),)
        ]
        insert(
            self._db, "delivery (seq, id, lane, type, message_key, carrier, received_at, leased, delivery_count)", rows
        )
        bodies = [(seq, wipe.padding(d.is_off_the_record), d.body) for seq, d in new]
        insert(self._db, "body (seq, padding, body)", bodies)
        gathering = {head for _, d in new if (head := self._index.lanes.gathering_head(d.lane)) is not None}
        among(self._db, "UPDATE delivery SET not_before = 0 WHERE seq IN (*)", gathering)
        self._changes.accepted += new
        self._changes.prefetched |= prefetched
        webhooks = [d.received_at for _, d in new if not d.is_own]
        self._changes.received_at = max([*webhooks, self._changes.received_at or 0.0]) or None

    def _put_in_order(self, op: OrderOp) -> None:
        given_back: tuple[int, int] | None = None
        if op.lease is not None:
            head = self._index.lanes.leased_by(op.lease.token)
            if head is None:
                op.error = lease_over(op.lease)
                return
            if not op.keep:
                self._db.execute(
                    "UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq = ?", (head,)
                )
                given_back = head, op.lease.token
        new = self._new(op.missed)
        self._accept(new)
        op.result = len(new)
        # The index does not know yet which deliveries this batch stores in the lane.
        fresh = self._db.execute("SELECT seq FROM delivery WHERE seq >= ? AND lane = ?", (self._batch_first, op.lane))
        seqs = [*self._index.lanes.waiting(op.lane), *(seq for (seq,) in fresh)]
        numbers = self._numbers_in_order(seqs)
        for aside, back in _RENUMBER:
            # In two steps: a number is free only after the row that had it got another one.
            self._db.executemany(aside, [(new, old) for old, new in numbers.items()])
            self._db.executemany(back, [(new, new) for new in numbers.values()])
        self._changes.orders += (Reordered(op.lane, given_back, numbers),)

    def _numbers_in_order(self, seqs: list[int]) -> dict[int, int]:
        """Return new sequence numbers by the old ones, in the order in which the deliveries were sent.

        Leased deliveries, those that wait for a time, and those whose turns have journal entries are left out.
        """
        sql = f"""SELECT seq, {DELIVERY} FROM delivery JOIN body USING (seq)
                  WHERE NOT leased AND coalesce(waits, 'gathering') = 'gathering'
                      AND NOT EXISTS (SELECT 1 FROM journal WHERE turn = id)
                      AND seq IN (*)"""  # noqa: S608 - constant text
        rows = sorted((seq, Delivery(*row).sent_at) for seq, *row in among(self._db, sql, seqs))
        in_order = sorted(rows, key=lambda row: (row[1], row[0]))
        return {old: new for (old, _), (new, _) in zip(in_order, rows, strict=True) if old != new}

    def _take(self, ops: list[TakeOp], now: float) -> None:
        leased: list[LaneLease] = []
        monotonic = self._clock.monotonic()
        for op in ops:
            leases = self._index.lease(
                op.limit, self._changes, now=now, monotonic=monotonic, until=monotonic + op.lease_s
            )
            rows = self._rows([lease.seq for lease in leases])
            op.result = []
            for lease in leases:
                row = rows[lease.seq]
                crashes = row.crashes + lease.overdue
                counts = row.attempts, crashes, row.delivery_count, row.replay
                op.result.append(Lease(row.delivery, lease.token, *counts, row.put_back))
                self._changes.leased_rows.append(row)
            leased += leases
            self._changes.capacity = op.limit - len(leases)
        if not leased:
            return
        seqs = [lease.seq for lease in leased]
        overdue = [lease.seq for lease in leased if lease.overdue]
        among(self._db, "UPDATE delivery SET leased = 1, delivery_count = delivery_count + 1 WHERE seq IN (*)", seqs)
        among(self._db, "UPDATE delivery SET crashes = crashes + 1 WHERE seq IN (*)", overdue)

    def _rows(self, seqs: list[int]) -> dict[int, Row]:
        """Return the rows of these deliveries: recent ones from memory, others from disk."""
        rows = {seq: row for seq in seqs if (row := self._index.recent.get(seq))}
        if missing := [seq for seq in seqs if seq not in rows]:
            sql = """SELECT seq, id, lane, type, body, received_at, message_key, carrier,
                         delivery_count, attempts, crashes, replay, put_back
                     FROM delivery JOIN body USING (seq) WHERE seq IN (*)"""
            for seq, *columns, delivery_count, attempts, crashes, replay, put_back in among(self._db, sql, missing):
                rows[seq] = Row(Delivery(*columns), delivery_count, attempts, crashes, replay, bool(put_back))
        return rows

    def _release(self, ops: list[ReleaseOp]) -> None:
        """Release leases, first in the index, so that a `take` in the same batch can lease these lanes, then in the rows."""
        seqs = self._index.release(lease for op in ops for lease in op.leases)
        among(self._db, "UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq IN (*)", seqs)

    def _hold(self, ops: list[HoldOp]) -> None:
        """Give back leases that were not used. Their lanes wait for more deliveries; see `Inbox.hold`."""
        for op in ops:
            if (seq := self._leased_seq(op)) is not None:
                has_grown = self._index.lanes.depth_of(op.lease.delivery.lane) > 1 + op.known
                self._db.execute(
                    """UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1, waits = 'gathering',
                           not_before = ? WHERE seq = ?""",
                    (0.0 if has_grown else op.until, seq),
                )
                self._changes.gathering.append(Gathering(seq, op.lease.token, op.until, op.known))

    def _join(self, op: JoinOp) -> None:
        """Put one delivery in the place of several; see `Inbox.join`."""
        if (head := self._leased_seq(op)) is None:
            return
        lane = op.lease.delivery.lane
        behind = self._index.lanes.behind(lane, self._max_backlog)
        rows = among(self._db, "SELECT seq, id FROM delivery WHERE seq IN (*)", behind)
        gone = [seq for seq, one in rows if one in op.ids]
        among(self._db, "UPDATE seen SET at = ? WHERE seq IN (*)", gone, self._clock.now())
        self._db.execute("UPDATE body SET body = ? WHERE seq = ?", (op.joined.body, head))
        if op.again:
            self._db.execute("UPDATE delivery SET replay = replay + 1 WHERE seq = ?", (head,))
        among(self._db, "DELETE FROM delivery WHERE seq IN (*)", gone)
        among(self._db, "DELETE FROM body WHERE seq IN (*)", gone)
        self._changes.joined.append(JoinedRow(head, op.lease.token, op.joined, gone, op.again))

    def _leased_seq(self, op: HoldOp | JoinOp) -> int | None:
        """Return the sequence number of the leased delivery; None, with the error of the operation, if the lease is over."""
        seq = self._index.lanes.leased_by(op.lease.token)
        if seq is None:
            op.error = lease_over(op.lease)
        return seq

    def _finish(self, settles: list[SettleOp], ops: list[FinishOp], now: float) -> bool:
        """End turns. Rare outcomes are written one by one, common ones in one statement for all.

        Returns:
            True if timers may have changed.
        """
        state = SQLiteStateBatch(self._db)
        entries = self._settled(settles, state)
        ended: list[JournalEntry] = []
        timed: list[Finish] = []
        gone: dict[int, FinishOp] = {}
        finished: set[int] = set()
        ending: set[int] = set()
        for op in ops:
            seq = self._index.lanes.leased_by(op.lease.token)
            if seq is None or seq in finished:
                op.error = lease_over(op.lease)
                continue
            finish, outcome = op.finish, op.finish.outcome
            if (conflict := state.add(finish.state)) is not None:
                op.error = conflict
                continue
            finished.add(seq)
            if _ends_its_turn(op):
                ended += finish.entries
                ending.add(seq)
            else:
                entries += finish.entries
            if finish.timers or finish.cancelled or finish.rearmed:
                timed.append(finish)
            if isinstance(outcome, Retry | Defer):
                self._postpone(seq, op.lease, outcome)
            else:
                if isinstance(outcome, DeadLetter):
                    self._dead_letter(seq, outcome, now)
                gone[seq] = op
        keep_texts = self._keep_s > 0
        journal.settle(self._db, entries, keep_texts=keep_texts)
        journal.settle(self._db, ended, keep_texts=keep_texts, ended_at=now)
        state.write()
        self._write_conversations([op.finish for op in ops if op.error is None], now)
        self._remove(gone, ending, now)
        self._finish_timers(timed)
        return bool(timed)

    def _settled(self, ops: list[SettleOp], state: SQLiteStateBatch) -> list[JournalEntry]:
        """Return the entries to settle, and add the state that is written with them."""
        entries = []
        for op in ops:
            if op.state and not journal.is_accepted(self._db, op.entry):
                op.error = state.add(op.state)
            if op.error is None:
                entries.append(op.entry)
        return entries

    def _finish_timers(self, finishes: list[Finish]) -> None:
        for finish in finishes:
            for timer_id in finish.cancelled:
                timers.cancel(self._db, timer_id)
            for timer in finish.timers:
                timers.schedule(self._db, timer)
            for again in finish.rearmed:
                timers.rearm(self._db, again)

    def _postpone(self, seq: int, lease: Lease, outcome: Retry | Defer) -> None:
        failed = isinstance(outcome, Retry)
        reason = outcome.error if isinstance(outcome, Retry) else outcome.reason
        self._db.execute(
            """UPDATE delivery SET attempts = attempts + ?, waits = ?, not_before = ?, error = ?, leased = 0,
                   crashed_with_others = 0, max_concurrent_suspects = 0 WHERE seq = ?""",
            (int(failed), "retrying" if failed else "deferred", outcome.at, reason, seq),
        )
        self._changes.postponed.append(Postponed(seq, lease.token, outcome.at, int(failed)))

    def _dead_letter(self, seq: int, outcome: DeadLetter, now: float) -> None:
        self._db.execute(
            """INSERT OR REPLACE INTO dead
                   (id, lane, type, message_key, carrier, received_at, error, handler,
                    replay, delivery_count, attempts, crashes, dead_lettered_at, padding, body)
               SELECT id, lane, type, message_key, carrier, received_at, ?, ?,
                      replay, delivery_count, attempts + ?, crashes, ?, padding, body
               FROM delivery JOIN body USING (seq) WHERE seq = ?""",
            (outcome.error, outcome.handler, int(outcome.failed), now, seq),
        )

    def _remove(self, gone: dict[int, FinishOp], ending: set[int], now: float) -> None:
        """Remove deliveries that were acked or given up.

        Args:
            ending: The deliveries whose turns need no entries any more; see `_ends_its_turn`.
        """
        if not gone:
            return
        acked = {seq: op for seq, op in gone.items() if isinstance(op.finish.outcome, Ack)}
        private = {seq: op for seq, op in acked.items() if op.finish.off_the_record}
        if self._keep_s:
            keep = """INSERT OR REPLACE INTO done
                          (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
                      SELECT id, lane, type, message_key, carrier, received_at, replay, ?, body
                      FROM delivery JOIN body USING (seq) WHERE seq IN (*)"""
            among(self._db, keep, acked.keys() - private.keys(), now)
        among(self._db, "DELETE FROM delivery WHERE seq IN (*)", gone)
        among(self._db, "DELETE FROM body WHERE seq IN (*)", gone)
        stayed = [seq for seq, op in gone.items() if now - op.lease.delivery.received_at > _SOON_S]
        among(self._db, "UPDATE seen SET at = ? WHERE seq IN (*)", stayed, now)
        turns = {
            turn
            for seq, op in acked.items()
            if not (op.finish.has_all_entries and seq in ending)
            for turn in (op.lease.delivery.id, *(entry.turn for entry in op.finish.entries))
        }
        journal.end(self._db, turns, now)
        for op in private.values():
            journal.forget_texts(self._db, op.lease.delivery.id)
        self._changes.removed = tuple((seq, op.lease.token) for seq, op in gone.items())

    # Conversations and timers

    def _write_conversations(self, finishes: list[Finish], now: float) -> None:
        for finish in finishes:
            if finish.conversations or finish.ended:
                self._changes.ended += conversations.write(self._db, finish.conversations, finish.ended, now)
                self._changes.conversations += [each.summary for each in finish.conversations]

    def _set_timers(self, schedules: list[ScheduleOp], cancels: list[CancelOp]) -> bool:
        for cancel in cancels:
            cancel.result = timers.cancel(self._db, cancel.timer_id)
        earliest = timers.earliest(self._db) if schedules else None
        for op in schedules:
            op.result = timers.schedule(self._db, op.timer)
            op.is_earliest = op.result and (earliest is None or op.timer.due < earliest)
            if op.is_earliest:
                earliest = op.timer.due
        return any(op.result for op in (*schedules, *cancels))

    def _fire(self, ops: list[FireOp]) -> bool:
        for op in ops:
            due = timers.take_due(self._db, op.now, op.limit)
            # Backlog limits do not apply: Linq does not deliver a timer again if it is refused.
            self._accept(self._new(due))
            op.result = len(due)
        return any(op.result for op in ops)

    def _advance_broadcasts(self, ops: list[AdvanceOp], finishes: list[Finish], now: float) -> None:
        updates = [update for finish in finishes for update in finish.recipients]
        if not (ops or updates):
            return
        broadcasts.update(self._db, updates, now)
        if ops and not self._index.is_off_the_record and wipe.is_off_the_record(self._db):
            # A separate connection has stored a broadcast off the record.
            self._begin_off_the_record()
        for op in ops:
            due, op.leaves_text = broadcasts.advance(self._db, op.now)
            self._accept(self._new(due))
            op.result = len(due)
        self._changes.broadcasts_changed = True
        self._changes.next_broadcast = broadcasts.next_at(self._db, now)

    # Housekeeping

    def _check(self, ops: list[CheckOp]) -> None:
        for op in ops:
            if op.size and self._index.lanes.depth >= self._max_backlog:
                op.error = self._backlog_full()
            elif op.size:
                self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('check', ?)", ("0" * op.size,))
            else:
                self._db.execute("DELETE FROM meta WHERE key = 'check'")

    def _purge(self, now: float) -> None:
        """Delete old rows, a few at a time, in the transaction of other operations."""
        # Only the server: a command does not know for how long the server keeps history.
        if now < self._index.purge_at or not self._serving:
            return
        # The ids of what is still in the inbox are as young as its first delivery, or younger.
        seen = """DELETE FROM seen WHERE at < ? AND seq IN (
            SELECT seq FROM seen WHERE seq < ifnull((SELECT min(seq) FROM delivery), 1 << 62) ORDER BY seq LIMIT ?)"""
        done = "DELETE FROM done WHERE n IN (SELECT n FROM done WHERE acked_at < ? ORDER BY acked_at LIMIT ?)"
        purged = max(
            self._db.execute(seen, (now - SEEN_KEPT_S - _SOON_S, _PURGE_ROWS)).rowcount,
            self._db.execute(done, (now - self._keep_s, _PURGE_ROWS)).rowcount,
            journal.purge(self._db, now, keep_s=self._keep_s, limit=_PURGE_ROWS),
        )
        self._changes.ended += conversations.purge(self._db, now)
        if purged < _PURGE_ROWS:
            self._changes.purge_at = now + _PURGE_EVERY_S

    def _note_activity(self, at: float, *, after_s: float) -> None:
        """Write when a webhook was last accepted, if that is at least `after_s` later than the time on disk."""
        if at <= self._index.noted_at or at < self._index.noted_at + after_s:
            return
        self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('active_at', ?)", (repr(at),))
        self._db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('first_active_at', ?)", (repr(at),))
        self._changes.noted_at = at

    @property
    def is_outdated(self) -> bool:
        """True if the file holds what the index does not. To be asked while no transaction is open."""
        return self._data_version() != self._version

    def _data_version(self) -> int:
        """Return a number that changes when another process, or another connection of this process, has written."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _reload(self) -> None:
        """Read the index from the file again."""
        # Known only at the end: after an error half-way, the next transaction reads the file again.
        version, self._version = self._data_version(), None
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM seen").fetchone()
        (received_at,) = self._db.execute("SELECT max(received_at) FROM delivery WHERE id LIKE 'w.%'").fetchone()
        meta = "SELECT CAST(value AS REAL) FROM meta WHERE key = ?"
        (noted_at,) = self._db.execute(meta, ("active_at",)).fetchone() or (0.0,)
        (first_active_at,) = self._db.execute(meta, ("first_active_at",)).fetchone() or (None,)
        self._index.reload(
            self._db.execute(
                """SELECT seq, lane, not_before, max_concurrent_suspects, coalesce(waits, '') = 'gathering'
                   FROM delivery ORDER BY seq"""
            ),
            IndexFacts(
                last,
                timers.earliest(self._db),
                received_at,
                noted_at,
                first_active_at,
                conversations.summaries(self._db),
                broadcasts.next_at(self._db, self._clock.now()),
            ),
        )
        self._version, self.has_reloaded = version, True


def _ends_its_turn(op: FinishOp) -> bool:
    """Return True if no later run needs the entries of the turn. A conversation is a turn of several deliveries."""
    finish, turn = op.finish, op.lease.delivery.id
    if not isinstance(finish.outcome, Ack) or finish.conversations:
        return False
    return all(entry.turn == turn for entry in finish.entries)
