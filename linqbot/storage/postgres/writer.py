"""The transactions of a process, and the memory of this process that follows them after COMMIT.

The rows in the database are the truth. This process remembers the deliveries that it stored last, its leases, and the
conversations. `Memory.apply` is the one place where they follow a commit. `storage/operations.py` has the order of the operations.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.storage import journal, meta, operations
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.indexes import OpenConversations, Row, StorageMemory
from linqbot.storage.operations import Op, OpQueue, OpsByKind, of
from linqbot.storage.postgres import accept, leases
from linqbot.storage.postgres.accept import InboxRoom
from linqbot.storage.postgres.address import (
    Address,
    Connection,
    is_known,
    is_of_closed,
    is_of_values,
    is_to_repeat,
    unavailable,
)
from linqbot.storage.postgres.leases import Held
from linqbot.storage.postgres.link import ServerLink, ServerTime
from linqbot.storage.postgres.transaction import News, Statement, Taken, Transaction, TransactionChanges

_TRIES: Final = 5
_ITERATIONS: Final = 4
"""Iterations of the event loop between two transactions."""


@dataclass(slots=True)
class Earliest:
    """The earliest time in a table, as it was read last. It must be read again if it `has_changed`."""

    has_changed: bool = True
    at: float | None = None


class Memory(StorageMemory):
    """The memory of this process."""

    def __init__(self, address: Address, clock: Clock, room: InboxRoom, *, serving: bool, keep_s: float) -> None:
        super().__init__()
        self.address = address
        self.clock = clock
        # True for a process that serves: only it purges, because a command does not know how long history is kept.
        self.serving = serving
        self.keep_s = keep_s  # seconds of history; 0 keeps none
        self.process = ""
        self.room = room  # how many deliveries fit into the inbox
        self.server_time = ServerTime(clock.now)
        # The id of this process and its connections, as notifications name it. After a reconnection it is another one,
        # because a transaction whose answer was lost may still be committed.
        self.sender = ""
        self.held: dict[int, Held] = {}
        self.news = 0  # number of times that a `take` became able to find something new
        self.taken = Taken()
        self.timers = Earliest()
        self.broadcasts = Earliest()
        self.leaving = False  # True if this process leases nothing more
        # Lanes of which this process has refused a delivery, with the number of times, until the others know it.
        self.refused: Counter[str] = Counter()
        self.has_suspects = False
        self.types: dict[tuple[str, str], str] = {}  # the types of columns, by their tables and names

    @property
    def ahead_s(self) -> float:
        """Seconds by which the clock of the database is ahead of the storage's clock."""
        return self.server_time.ahead_s

    @property
    def now(self) -> float:
        """The time of the database's clock, in Unix seconds."""
        return self.clock.now() + self.server_time.ahead_s

    def apply(self, changes: TransactionChanges) -> None:
        """Follow a transaction that is committed."""
        for seq, delivery in changes.stored:
            self.recent.add(seq, Row(delivery))
        self.watched.note(changes.lanes)
        for seq, joined, others, again in changes.joined:
            self.recent.replace(seq, joined, again=again)
            for other in others:
                self.recent.drop(other)
        for token in changes.ended_leases:
            self.held.pop(token, None)
        for lease, until, suspects in changes.leased:
            self.held[lease.token] = Held(until, suspects)
        if changes.all_conversations is not None:
            self.conversations = OpenConversations(changes.all_conversations)
        for chat, found in changes.refreshed.items():
            self._replace_chat(chat, found)
        self.follow(changes)
        self.room.left = max((self.room.left if changes.room is None else changes.room) - changes.accepted, 0)
        self.taken = changes.taken or self.taken
        self.timers.has_changed |= changes.timers
        self.broadcasts.has_changed |= changes.broadcasts
        for lane, times in changes.refused.items():
            # A delivery that was refused while the transaction ran is not among those that the others know.
            if self.refused[lane] == times:
                del self.refused[lane]
        self.has_suspects = self.has_suspects if changes.has_suspects is None else changes.has_suspects

    def _replace_chat(self, chat: str, found: Iterable[ConversationSummary]) -> None:
        """Replace the conversations of a chat."""
        for old in self.conversations.in_chat(chat):
            self.conversations.remove(chat, old.id)
        for each in found:
            self.conversations.add(each)


class PostgresWriter(OpQueue):
    """The queue of operations, which it writes in batches.

    Deliveries keep the order in which `put` was called, because one transaction runs at a time.
    """

    def __init__(self, link: ServerLink, memory: Memory, settled: Callable[[list[Op[Any]]], None]) -> None:
        super().__init__(settled)
        self._link = link
        self._memory = memory
        self._task: asyncio.Task[None] | None = None
        self._lanes = operations.LaneSteps(
            steps={
                operations.ReleaseOp: leases.release,
                operations.HoldOp: leases.hold,
                operations.JoinOp: leases.join,
                operations.ProgressOp: leases.note_progress,
                operations.BeginOp: leases.begin,
                operations.PutOp: self._put,
                operations.PutReceiptOp: self._put_receipts,
                operations.OrderOp: accept.put_in_order,
                operations.TakeOp: self._take,
                operations.CheckOp: self._check,
            },
            held=leases.held,
            postpone=leases.postpone,
            remove=leases.remove,
            store=accept.store,
            old_ids="""DELETE FROM seen WHERE id = ANY(ARRAY(
                SELECT id FROM seen WHERE at < $1 AND NOT EXISTS (SELECT FROM delivery WHERE id = seen.delivery_id)
                ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))""",
        )

    @property
    def is_idle(self) -> bool:
        """True if no operation is queued."""
        return not self._waiting

    def open(self) -> None:
        """Accept operations."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones were written or have failed."""
        self._is_open = False
        while self._task is not None:
            await asyncio.wait([self._task])

    def post(self, op: Op[Any]) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if not self._is_open:
            return
        self._waiting.append(op)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write_all(), name="linqbot storage")

    async def _write_all(self) -> None:
        try:
            # The operations that are called in this iteration of the loop belong to the same batch.
            await asyncio.sleep(0)
            while self._waiting:
                batch, self._waiting = self._waiting[: operations.MAX_BATCH], self._waiting[operations.MAX_BATCH :]
                await self._settle(batch)
                # After the callers that were just answered have run: their next operations belong to the next batch. A worker
                # leases again three iterations after a turn has ended: the task of the turn ends, then its callbacks run, then
                # the worker.
                for _ in range(_ITERATIONS):
                    await asyncio.sleep(0)
        finally:
            self._task = None

    async def _settle(self, batch: list[Op[Any]]) -> None:
        try:
            await self._write(batch)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            if isinstance(error, StorageError) or len(batch) == 1:
                self._answer(batch, error)
                return
            # One operation must not fail the others.
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
        else:
            self._answer(batch)

    def begin(self, connection: Connection) -> Transaction:
        """Return a transaction at the present time."""
        memory = self._memory
        place = (memory.ahead_s, memory.address, memory.process)
        changes = TransactionChanges(news=memory.news)
        return Transaction(connection, *place, memory.now, memory.keep_s, memory.types, changes)

    async def _write(self, batch: list[Op[Any]]) -> None:
        """Run a batch in one transaction. If two transactions were in each other's way, run it again.

        Raises:
            Unwritable: PostgreSQL cannot hold one of the operations; nothing was stored.
            StorageUnavailable: the server does not answer.
        """
        rest, connection = batch, self._link.writer
        for last in (False,) * (_TRIES - 1) + (True,):
            for op in rest:
                op.result = op.error = None
            try:
                while rest:
                    rest = await self._transact(connection, rest)
            except StorageError:
                raise
            except Exception as error:
                if is_to_repeat(error) and not last:
                    continue
                if is_of_values(error):
                    why = type(error).__name__
                    raise operations.Unwritable(f"The storage cannot hold this: {why}. Nothing was stored.") from error
                if not is_known(error) and not is_of_closed(connection, error):
                    raise
                self._link.note(error)
                raise unavailable(self._memory.address.name, error) from error
            else:
                return

    async def _transact(self, connection: Connection, batch: list[Op[Any]]) -> list[Op[Any]]:
        """Run a batch in one transaction. Return the operations that need another one."""
        tx = self.begin(connection)
        ops = operations.by_kind(batch)
        is_one = self._is_one_statement(tx, batch, ops)
        if is_one and not self._memory.address.movable_clock:
            # It is a transaction by itself: no BEGIN, no COMMIT.
            await self._run_one(tx, ops)
        else:
            async with connection.transaction():
                if self._memory.address.movable_clock:
                    await tx.value("SELECT set_config('linqbot.now', $1, true)", repr(tx.now))
                await (self._run_one(tx, ops) if is_one else self._run(tx, ops))
        self._memory.apply(tx.changes)
        # To choose among suspects takes a second statement in the transaction of the first.
        return [*of(ops, operations.TakeOp)] if is_one and tx.changes.has_suspects else []

    def _is_one_statement(self, tx: Transaction, batch: list[Op[Any]], ops: OpsByKind) -> bool:
        """Return True for most batches of a busy process: deliveries, journal entries, ends of turns, and a `take`."""
        memory = self._memory
        begins, ends = of(ops, operations.BeginOp), of(ops, operations.FinishOp)
        puts, takes = of(ops, operations.PutOp), of(ops, operations.TakeOp)
        if len(begins) + len(ends) + len(puts) + len(takes) < len(batch) or len(takes) > 1:
            return False
        if memory.refused or memory.leaving or memory.has_suspects or (memory.serving and tx.now >= memory.purge_at):
            return False
        at = accept.received_at(op.delivery for op in puts)
        is_noted = at is None or at < memory.noted_at + operations.ACTIVITY_EVERY_S
        if not is_noted or memory.room.left < len(puts) or len(accept.rounds(puts)) > 1:
            return False
        begun = [op.entry for op in begins]
        entries = [*begun, *(entry for op in ends for entry in op.commit.entries)]
        if any(op.state for op in begins) or not (memory.has_own_entries or not any(map(journal.is_own, entries))):
            return False
        # One statement cannot change a row twice: a turn may end although the journal entry that it began is still queued.
        is_apart = {entry.turn for entry in begun}.isdisjoint(op.lease.delivery.id for op in ends)
        return is_apart and leases.is_plain(ends, self._memory.keep_s)

    async def _run_one(self, tx: Transaction, ops: OpsByKind) -> None:
        memory, statement = self._memory, Statement(tx)
        accept.lock(statement, ops)
        if begins := of(ops, operations.BeginOp):
            leases.add_begins(statement, begins)
        if ends := of(ops, operations.FinishOp):
            leases.add_ends(statement, ends)
        for arrivals in accept.rounds(of(ops, operations.PutOp)):
            lanes = {first.delivery.lane for first, *_ in arrivals}
            news = self._payload(TransactionChanges(work=True, lanes=lanes))
            accept.add_arrivals(statement, arrivals, memory.room, memory.room.left, news)
        for taking in of(ops, operations.TakeOp):
            leases.take(statement, taking, memory.recent)
        await statement.run()

    async def _run(self, tx: Transaction, ops: OpsByKind) -> None:
        # Nearly every batch locks its lanes first, then state. Two that wait for each other nevertheless are a deadlock: the
        # server ends one, which is repeated.
        locks = Statement(tx)
        accept.lock(locks, ops)
        await locks.run()
        await operations.run(tx, ops, self._lanes, self._memory, purging=self._memory.serving)
        # The lanes go on, but not in this process.
        tx.changes.work |= self._memory.leaving
        if (payload := self._payload(tx.changes)) is not None:
            await tx.value("SELECT pg_notify($1, $2)", self._memory.address.channel, payload)

    async def _put(self, tx: Transaction, ops: list[operations.PutOp]) -> None:
        await accept.put(tx, ops, self._memory.room)

    async def _put_receipts(self, tx: Transaction, ops: list[operations.PutReceiptOp]) -> None:
        await accept.put_receipts(tx, ops, self._memory.room)

    async def _take(self, tx: Transaction, ops: list[operations.TakeOp]) -> None:
        for op in ops:
            statement = Statement(tx)
            leases.take(statement, op, self._memory.recent, self._held(tx))
            await statement.run()

    def _held(self, tx: Transaction) -> dict[int, Held]:
        """Return the leases of this process as they are within the transaction."""
        held = {token: one for token, one in self._memory.held.items() if token not in tx.changes.ended_leases}
        return held | {lease.token: Held(until, suspects) for lease, until, suspects in tx.changes.leased}

    async def _check(self, tx: Transaction, ops: list[operations.CheckOp]) -> None:
        for op in ops:
            if not op.size:
                await meta.remove(tx, f"check {tx.process}")
            elif not await self._memory.room.ensure(tx, 1):
                op.error = self._memory.room.full()
            else:
                await meta.write(tx, f"check {tx.process}", "0" * op.size)

    def _payload(self, changes: TransactionChanges) -> str | None:
        """Return what other processes must know of these changes; None if it is nothing."""
        own = changes.own_entries and not self._memory.has_own_entries
        times = changes.timers or changes.broadcasts
        # All of them: if one was left for a later transaction, another process could lease the next delivery of its lane before.
        changes.refused.update(self._memory.refused)
        if not (changes.work or times or changes.chats or own or changes.refused or changes.gap is not None):
            return None
        chats, lanes, refused = map(sorted, (changes.chats, changes.lanes, changes.refused))
        return News(self._memory.sender, changes.work, times, own, chats, lanes, refused, changes.gap).to_payload()
