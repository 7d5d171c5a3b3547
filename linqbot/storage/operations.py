"""The operations that a backend writes in shared transactions, the queue in front of them, and how a transaction runs them.

Those that every turn needs have a class, with their arguments and nothing else: a transaction runs all of a kind together. Any
other is a function with its SQL, in a `WorkOp`. `run` has their order, and what is the same for every backend. Lanes are not:
SQLite leases from an index in memory, PostgreSQL by functions in the database. So each backend has its `LaneTransaction`. The
rest is SQL that both share.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar

from linqbot.branch import leave_turn
from linqbot.characters import storable
from linqbot.error_details import stored_error
from linqbot.errors import BotError, StateConflict, StorageError, StorageUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import (
    acts,
    broadcasts,
    conversation_table,
    edits,
    facts,
    journal,
    outcomes,
    people,
    tally,
    timers,
    upkeep,
)
from linqbot.storage.acts import By
from linqbot.storage.dialect import Writable
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, InboxLimits, Lease, Retry, lease_over
from linqbot.storage.indexes import StorageMemory
from linqbot.storage.journal import JournalEntry, Receipt, with_result
from linqbot.storage.state import StateBatch, StateWrite

T = TypeVar("T")
OpT = TypeVar("OpT", bound="Op[Any]")


@dataclass(slots=True, eq=False)
class Op(Generic[T]):
    """One operation. The writer sets its `result` or its `error`."""

    future: asyncio.Future[T] | None = field(default=None, init=False)
    result: Any = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)


class Unwritable(Exception):
    """One operation of a batch cannot be written, so none was. The others can be written without it."""


@dataclass(slots=True, eq=False)
class PutOp(Op[bool]):
    delivery: Delivery


@dataclass(slots=True, eq=False)
class PutReceiptOp(PutOp):
    """Store what a receipt reports. The delivery itself is only remembered as known, for nothing else wants it."""

    receipt: Receipt


@dataclass(slots=True, eq=False)
class TakeOp(Op[list[Lease]]):
    limit: int
    lease_s: float


@dataclass(slots=True, eq=False)
class ReleaseOp(Op[None]):
    """Give back leases that no worker will use, because the `take` that asked for them was cancelled."""

    leases: Sequence[Lease]


@dataclass(slots=True, eq=False)
class FinishOp(Op[None]):
    lease: Lease
    commit: Commit


@dataclass(slots=True, eq=False)
class BeginOp(Op[None]):
    entry: JournalEntry
    lease: Lease | None = None
    state: Sequence[StateWrite] = ()
    changes: JournalEntry | None = None
    instead: JournalEntry | None = None

    @property
    def entries(self) -> Sequence[JournalEntry]:
        """The entries to store, by the `error` that was found."""
        if self.error is None:
            return (self.entry,) if self.changes is None else (self.entry, self.changes)
        return (self.instead,) if isinstance(self.error, StateConflict) and self.instead is not None else ()


@dataclass(slots=True, eq=False)
class SettleOp(Op[None]):
    entry: JournalEntry
    state: Sequence[StateWrite] = ()
    changes: JournalEntry | None = None


@dataclass(slots=True, eq=False)
class WorkOp(Op[T]):
    """Run `work` in the transaction. It must raise a StorageError before it writes, or not at all.

    `lane` is the lane that it holds, shortens or sorts, which PostgreSQL locks before the batch runs; None if it does none of that.
    """

    work: Callable[[Any], Awaitable[T]]
    lane: str | None = None


async def nothing(_: object) -> None:
    """Write nothing. The transaction still reads what other processes have stored, notifies them, and deletes old rows."""


OpsByKind: TypeAlias = dict[type[Op[Any]], list[Any]]
"""The operations of a batch by their classes, each list in the order in which they were queued."""


def by_kind(batch: Iterable[Op[Any]]) -> OpsByKind:
    """Return the operations of a batch by their classes, each list in the order in which they were queued."""
    ops: OpsByKind = {}
    for op in batch:
        ops.setdefault(type(op), []).append(op)
    return ops


def of(ops: OpsByKind, kind: type[OpT]) -> list[OpT]:
    return ops.get(kind, [])


MAX_BATCH: Final = 128
"""Maximum number of operations in one transaction. Their statements block the event loop for about a millisecond."""


WRITER: Final = "linqbot storage"
"""The name of the task that writes operations."""


class OpQueue(ABC):
    """The operations that wait for a transaction, and the task that writes them in batches.

    A commit costs as much for a hundred operations as for one. So those that arrive while a transaction is being
    written are queued, written together in the next one, and answered together once it is committed. One transaction
    runs at a time, so deliveries keep the order in which `put` was called. `memory` forgets leases that could not be
    given back: they have no holder any more.
    """

    _pause: ClassVar[int] = 1
    """Iterations of the event loop between two transactions: callers that were answered call their next operations."""

    def __init__(self, memory: StorageMemory) -> None:
        self._memory = memory
        self._waiting: list[Op[Any]] = []
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = Context()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """True if no operation is queued."""
        return not self._waiting

    def open(self) -> None:
        """Accept operations, from now on and in this event loop."""
        self._loop = asyncio.get_running_loop()
        # The task that writes belongs to the process that has opened the storage, and to no turn, whatever turn calls an operation.
        self._context = copy_context()
        self._context.run(leave_turn)
        self._is_open = True

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones were written or have failed."""
        self._is_open = False
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        self._refuse_waiting()

    def submit(self, op: Op[T]) -> asyncio.Future[T]:
        """Queue an operation, and return a future that has its result once it is committed.

        Cancelling the future ends the wait, but never cancels the operation. Raises StorageUnavailable if the storage
        is not open, and BotError in another event loop: a task that writes there would end with that loop, and everything
        that is stored later would wait for it.
        """
        if not self._is_open:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        loop = asyncio.get_running_loop()
        if loop is not self._loop and self._loop is not None:
            raise BotError(
                "A call runs in another event loop than the bot, such as that of asyncio.run(…), and was not made. "
                "Write the handler with async def and await the call, or let a plain def return its reply."
            )
        future = op.future = loop.create_future()
        self.post(op)
        return future

    def post(self, op: Op[Any]) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if not self._is_open:
            return
        begins = self._task is None or self._task.done()
        if begins and self._waiting:
            # The last task was cancelled before it had begun.
            self._refuse_waiting()
        self._waiting.append(op)
        if begins:
            create = asyncio.get_running_loop().create_task
            self._task = create(self._write_all(), name=WRITER, context=self._context)

    async def _write_all(self) -> None:
        batch: list[Op[Any]] = []
        try:
            # The task begins in the next iteration of the loop: operations that are called in this one belong to the same batch.
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                await self._settle(batch)
                for _ in range(self._pause):
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._waiting = batch + self._waiting
            self._refuse_waiting()
            raise

    def _refuse_waiting(self) -> None:
        """Fail the operations whose task was cancelled, because the event loop ends: no caller may wait for ever."""
        refused, self._waiting = self._waiting, []
        self._answer(refused, StorageUnavailable("The event loop has ended. Nothing was stored."))

    async def _settle(self, batch: list[Op[Any]]) -> None:
        try:
            await self._write(batch)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            if not isinstance(error, Unwritable) or len(batch) == 1:
                self._answer(batch, error)
                return
            # Split the batch until the operation that cannot be written is alone, and write all others.
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
        else:
            self._answer(batch)

    @abstractmethod
    async def _write(self, batch: list[Op[Any]]) -> None:
        """Write a batch in one transaction; memory follows it. Raises Unwritable if an operation cannot be stored."""

    def _answer(self, batch: list[Op[Any]], error: Exception | None = None) -> None:
        """Resolve the futures of a batch: with `error`, if there is one, or else with what each operation has."""
        if error is not None:
            for op in batch:
                op.error = _for_one(error)
                if isinstance(op, ReleaseOp):
                    self._memory.release(op.leases)
        for op in batch:
            if op.future is None or op.future.done():
                continue
            if op.error is None:
                op.future.set_result(op.result)
            else:
                op.future.set_exception(op.error)
        if error is None and self._memory.keep_outcomes_s:
            self._record_duplicates(batch)

    def _record_duplicates(self, batch: list[Op[Any]]) -> None:
        """Store the outcomes of deliveries that were known, in a transaction of their own: they had no other one."""
        known = [op.delivery for op in batch if type(op) is PutOp and op.result is False]
        if known and (found := [row for each in known if (row := outcomes.duplicate(each)) is not None]):
            self.post(WorkOp(lambda tx: outcomes.write(tx, found)))


def _for_one(error: Exception) -> StorageError:
    """Return the error for one operation: an exception raised in two tasks would carry both tracebacks."""
    if isinstance(error, StorageError):
        one = type(error)(*error.args)
        one.__cause__ = error.__cause__
    elif isinstance(error, Unwritable):
        one = StorageError(str(error))
    else:
        one = StorageError(f"The storage failed in an unforeseen way: {type(error).__name__}.")
        one.__cause__ = error
    return one


ACTIVITY_EVERY_S: Final = 60.0
"""Seconds between two notes in the table `meta` of when a webhook was last accepted."""


class LaneTransaction(Writable, Protocol):
    """An open transaction that also moves lanes, which each backend does in its own way.

    A step that gets all operations of a kind sets the result or the error of each. A step of one operation may raise an error
    before it writes: then this operation alone has failed. For `hold` and `put_in_order` see the methods of `Storage`.
    """

    old_ids: ClassVar[str]
    """The SQL that deletes the ids of deliveries that left the inbox before $1, at most $2."""

    async def release(self, ops: Sequence[ReleaseOp]) -> None: ...
    async def hold(self, lease: Lease, until: float, known: int) -> None: ...
    async def put(self, ops: Sequence[PutOp]) -> None: ...
    async def put_receipts(self, ops: Sequence[PutReceiptOp]) -> None: ...
    async def put_in_order(self, lane: str, missed: Sequence[Delivery], lease: Lease | None, *, keep: bool) -> int: ...
    async def take(self, ops: Sequence[TakeOp]) -> None: ...

    async def join(self, lease: Lease, ids: Sequence[str], head: int) -> None:
        """Remove the deliveries with these ids, which have joined the leased one with the sequence number `head`."""
        ...

    async def has_room(self) -> bool:
        """Return False if the inbox is full."""
        ...

    async def in_force(self, leases: Sequence[Lease]) -> dict[int, int]:
        """Return the sequence numbers of the deliveries under leases that are in force, by token."""
        ...

    async def postpone(self, ops: Mapping[int, FinishOp]) -> None:
        """Note that the leases of turns that run again are over. The deliveries are given by sequence number."""
        ...

    async def remove(self, ops: Mapping[int, FinishOp], ending: Collection[int]) -> None:
        """End the leases of turns that are over, and remove their deliveries. Turns that were acked end too.

        For `ending`, those that `ends_its_turn` names, the outcomes of journal entries are stored.
        """
        ...

    async def store(self, deliveries: Sequence[Delivery]) -> object:
        """Store new deliveries at the tails of their lanes.

        Backlog limits do not apply: Linq does not deliver them again if they are refused.
        """
        ...

    async def number(self, deliveries: Sequence[Delivery]) -> Sequence[int]:
        """Give deliveries that come back numbers at the tails of their lanes, and remember their ids."""
        ...

    async def forget(self, ids: Collection[str]) -> int:
        """Remove those of these deliveries that wait, whatever their lanes, and return how many there were."""
        ...


async def run(tx: LaneTransaction, ops: OpsByKind, memory: StorageMemory, *, purging: bool) -> None:
    """Run the operations of a batch in the open transaction, and delete old rows now and then.

    Only a process that serves is `purging`: a command does not know for how long history is kept.
    """
    # Only puts must keep their order: the operations of a batch are in flight together, and each caller has one at a time.
    if ReleaseOp in ops:
        await tx.release(of(ops, ReleaseOp))
    # Begin comes before settle and finish, so that an outcome finds its row.
    if BeginOp in ops:
        await _begin(tx, of(ops, BeginOp))
    if FinishOp in ops or SettleOp in ops:
        await _finish(tx, of(ops, SettleOp), of(ops, FinishOp))
    # Work comes after the deliveries that are put: it may put others into the same lanes, or hold a lane that has grown.
    if PutOp in ops:
        await tx.put(of(ops, PutOp))
    if PutReceiptOp in ops:
        await tx.put_receipts(of(ops, PutReceiptOp))
    await _work(tx, of(ops, WorkOp))
    await people.write(tx)
    if TakeOp in ops:
        await tx.take(of(ops, TakeOp))
    if tx.changes.received_at is not None:
        await upkeep.note_activity(tx, tx.changes.received_at, memory.noted_at, after_s=ACTIVITY_EVERY_S)
    if purging and tx.now >= memory.next_upkeep:
        await _keep_up(tx, memory)


async def _keep_up(tx: LaneTransaction, memory: StorageMemory) -> None:
    if tx.now >= memory.fill_at:
        await upkeep.fill_index(tx)
    if tx.now >= memory.purge_at:
        await tally.add(tx)
        await upkeep.purge(tx, memory.keep_outcomes_s)
        if memory.edited:
            tx.changes.all_edited = await edits.lanes(tx)


async def _work(tx: LaneTransaction, ops: Iterable[WorkOp[Any]]) -> None:
    for op in ops:
        try:
            op.result = await op.work(tx)
        except StorageUnavailable:
            raise
        except StorageError as error:
            op.error = error


def ends_its_turn(op: FinishOp) -> bool:
    """Return True if no later run needs the outcomes of a turn. A conversation is a turn of several deliveries."""
    end, turn = op.commit, op.lease.delivery.id
    if not isinstance(end.outcome, Ack) or end.conversations:
        return False
    slots = {entry.slot for entry in end.entries if entry.turn == turn}
    return len(slots) == len(end.entries) and (end.has_all_entries or not slots)


async def join(
    tx: LaneTransaction, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool, is_recorded: bool
) -> None:
    """Replace the leased delivery, and the deliveries with these ids, by one delivery; see `Storage.join`."""
    head = await leased(tx, lease)
    if is_recorded:
        await outcomes.write_joined(tx, joined.lane, ids, joined.id)
    await tx.join(lease, ids, head)
    await edits.remove_kept(tx, ids)
    await tx.run("UPDATE body SET body = $1 WHERE seq = $2", joined.body, head)
    if again:
        await tx.run("UPDATE delivery SET replay = replay + 1 WHERE seq = $1", head)


async def _begin(tx: LaneTransaction, ops: Sequence[BeginOp]) -> None:
    state = StateBatch(tx)
    await state.read([op.state for op in ops])
    held = await tx.in_force([op.lease for op in ops if op.lease is not None])
    for op in ops:
        if op.lease is not None and op.lease.token not in held:
            op.error = lease_over(op.lease)
        elif op.state and await journal.status_of(tx, op.entry) is None:
            op.error = state.add(op.state)
    await state.write()
    await journal.begin(tx, [entry for op in ops for entry in op.entries])


async def _finish(tx: LaneTransaction, settles: Sequence[SettleOp], ops: Sequence[FinishOp]) -> None:
    """End turns, and set the error of each that cannot end; see `Storage.finish`."""
    state = StateBatch(tx)
    await state.read([*(op.state for op in settles), *(op.commit.state for op in ops)])
    entries = await _settled(tx, settles, state)
    seqs = await tx.in_force([op.lease for op in ops])
    ended: dict[int, FinishOp] = {}
    ending: set[int] = set()
    for op in ops:
        seq = seqs.get(op.lease.token)
        if seq is None or seq in ended:
            op.error = lease_over(op.lease)
        elif op.commit.state and (conflict := state.add(op.commit.state)) is not None:
            op.error = conflict
        else:
            ended[seq] = op
            if ends_its_turn(op):
                ending.add(seq)
            else:
                entries += op.commit.entries
    tx.changes.wakes_worker |= bool(ended)
    tx.changes.leaves_text |= any(op.commit.off_the_record for op in ops)
    await journal.settle(tx, entries)
    await state.write()
    commits = [op.commit for op in ended.values()]
    await _write_conversations(tx, commits)
    await broadcasts.update(tx, [update for commit in commits for update in commit.recipients])
    await outcomes.write(tx, [commit.record for commit in commits if commit.record is not None])
    gone = {seq: op for seq, op in ended.items() if not isinstance(op.commit.outcome, Retry | Defer)}
    if gone:
        await _remove(tx, gone, ending)
    if len(gone) < len(ended):
        stays = {seq: op for seq, op in ended.items() if seq not in gone}
        await _postpone(tx, stays)
        await tx.postpone(stays)
    await _write_timers(tx, commits)


async def _write_conversations(tx: Writable, commits: Iterable[Commit]) -> None:
    for commit in commits:
        if commit.ended or commit.conversations:
            await conversation_table.write(tx, commit.ended, commit.conversations)


async def _write_timers(tx: Writable, commits: Iterable[Commit]) -> None:
    for commit in commits:
        if commit.cancelled or commit.timers or commit.rearmed:
            await timers.write(tx, commit.cancelled, commit.timers, commit.rearmed)


async def _settled(tx: Writable, ops: Sequence[SettleOp], state: StateBatch) -> list[JournalEntry]:
    """Add what operations write of the state. Return the journal entries of those without a conflict."""
    entries = []
    for op in ops:
        # No other transaction can accept the entry meanwhile: it would write the same state, which is locked.
        is_new = bool(op.state) and await journal.status_of(tx, op.entry) != "accepted"
        if is_new:
            op.error = state.add(op.state)
        if op.error is None:
            entries += [op.entry, op.changes] if is_new and op.changes is not None else [op.entry]
    return entries


async def _postpone(tx: Writable, stays: Mapping[int, FinishOp]) -> None:
    rows = []
    for seq, op in stays.items():
        end = op.commit.outcome
        if isinstance(end, Retry):
            rows.append((seq, 1, "retrying", stored_error(end.error, end.details), end.at))
        elif isinstance(end, Defer):
            rows.append((seq, 0, "deferred", stored_error(end.reason, end.details), end.at))
    sql = f"""UPDATE delivery SET attempts = attempts + $2, waits = $3, error = $4, not_before = $5, {tx.freed},
                  crashed_with_others = 0, max_concurrent_suspects = 0 WHERE seq = $1"""
    await tx.run_each(sql, rows)


async def count_crash(tx: Writable, leased: Sequence[int]) -> None:
    """Count the crash of a process for all the deliveries that it had leased; see `crashes` in the schema."""
    count = len(leased)
    sql = f"""UPDATE delivery SET crashes = crashes + $2, crashed_with_others = crashed_with_others + $3, {tx.freed},
                  max_concurrent_suspects = CASE WHEN crashes + crashed_with_others > 0 THEN $4 ELSE 0 END
              WHERE seq = ANY($1)"""
    await tx.run(sql, leased, int(count == 1), int(count > 1), max(1, count // 4))


async def _remove(tx: LaneTransaction, gone: Mapping[int, FinishOp], ending: Collection[int]) -> None:
    """Remove deliveries that were acked or given up, and keep what must be kept of them."""
    acked = {seq: op for seq, op in gone.items() if isinstance(op.commit.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.commit.off_the_record}
    for seq, op in gone.items():
        if isinstance(op.commit.outcome, DeadLetter):
            await _dead_letter(tx, seq, op.commit.outcome)
    if tx.keep_s and (kept := sorted(acked.keys() - private.keys())):
        await tx.run("DELETE FROM done WHERE id IN (SELECT id FROM delivery WHERE seq = ANY($1))", kept)
        sql = """INSERT INTO done (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
                 SELECT id, lane, type, message_key, carrier, received_at, replay, $2, body
                 FROM delivery JOIN body USING (seq) WHERE seq = ANY($1) ORDER BY seq"""
        await tx.run(sql, kept, tx.now)
    await tx.remove(gone, ending)
    # The turns of conversations that go on with these deliveries.
    others = {each.turn for op in acked.values() for each in op.commit.entries if each.turn != op.lease.delivery.id}
    await journal.end(tx, others)
    if private:
        turns = {each.turn for op in private.values() for each in op.commit.entries}
        await journal.forget_texts(tx, turns | {op.lease.delivery.id for op in private.values()})


async def _dead_letter(tx: Writable, seq: int, outcome: DeadLetter) -> None:
    await tx.run("DELETE FROM dead WHERE id = (SELECT id FROM delivery WHERE seq = $1)", seq)
    sql = f"""INSERT INTO dead (id, lane, type, message_key, carrier, received_at, error, handler,
                                replay, delivery_count, attempts, crashes, dead_lettered_at, body{tx.padding})
              SELECT id, lane, type, message_key, carrier, received_at, $2, $3,
                     replay, delivery_count, attempts + $4, crashes, $5, body{tx.padding}
              FROM delivery JOIN body USING (seq) WHERE seq = $1"""
    handler = None if outcome.handler is None else storable(outcome.handler)
    await tx.run(sql, seq, stored_error(outcome.error, outcome.details), handler, int(outcome.failed), tx.now)


async def fire(tx: LaneTransaction, now: float, limit: int, *, has_steps: bool) -> int:
    """Move due timers, and with `has_steps` due steps of broadcasts; see `Storage.fire`."""
    steps = await broadcasts.advance(tx, now) if has_steps else []
    due = [*steps, *await timers.take_due(tx, now, limit)]
    await tx.store(due)
    return len(due)


async def cancel(tx: Writable, timer_id: str, record: JournalEntry | None, by: By | None) -> bool:
    timer = None if by is None else await timers.find(tx, timer_id)
    is_gone = await timers.cancel(tx, timer_id)
    if by is not None and timer is not None:
        await acts.note(tx, by, "cancel", [acts.of_lane(timer_id, timer.lane)])
    tx.changes.leaves_text |= is_gone
    if record is not None:
        await journal.settle(tx, [with_result(record, is_gone)])
    return is_gone


async def leased(tx: LaneTransaction, lease: Lease) -> int:
    """Return the sequence number of the leased delivery. Raises LeaseLost if the lease is over."""
    seq = (await tx.in_force([lease])).get(lease.token)
    if seq is None:
        raise lease_over(lease)
    return seq


async def note_progress(tx: LaneTransaction, lease: Lease, progress: int) -> int:
    """Note how far a turn has come that has crashed, and return its crashes before. Raises LeaseLost."""
    seq = await leased(tx, lease)
    sql = "UPDATE delivery SET progress = $2, crashes_before_progress = crashes WHERE seq = $1 AND progress <> $2"
    await tx.run(sql, seq, progress)
    return int(await tx.value("SELECT crashes_before_progress FROM delivery WHERE seq = $1", seq))


async def write_check(tx: LaneTransaction, limits: InboxLimits, size: int) -> None:
    """Write `size` bytes without a meaning; with 0 delete them again. Raises StorageBusy if the backlog is full."""
    if not size:
        await facts.remove(tx, upkeep.CHECK)
    elif not await tx.has_room():
        raise limits.full()
    else:
        await facts.write(tx, upkeep.CHECK, "0" * size)
