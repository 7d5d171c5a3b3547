"""The transactions of a process: each writes one batch of operations, in the order of `storage/operations.py`."""

from __future__ import annotations

from typing import Any, Final

from linqbot.errors import StorageError
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage import hold_table, journal, operations
from linqbot.storage.op_queue import BeginOp, FinishOp, Op, OpQueue, OpsByKind, PutOp, TakeOp, Unwritable, by_kind, of
from linqbot_postgres import lanes
from linqbot_postgres.address import (
    Connection,
    is_known,
    is_of_values,
    is_to_repeat,
    unavailable,
)
from linqbot_postgres.lanes import PostgresLaneTransaction
from linqbot_postgres.link import ServerLink
from linqbot_postgres.transaction import Memory, News, Statement, Transaction, TransactionChanges

_TRIES: Final = 5


class PostgresWriter(OpQueue):
    # A worker leases again three iterations after a turn has ended: the task of the turn ends, then its callbacks run, then the
    # worker.
    _pause = 4
    _memory: Memory

    def __init__(self, link: ServerLink, memory: Memory) -> None:
        super().__init__(memory)
        self._link = link

    def begin(self, connection: Connection) -> PostgresLaneTransaction:
        memory = self._memory
        return PostgresLaneTransaction(
            connection, memory.ahead_s, memory, memory.now, TransactionChanges(wakes_before=memory.wakes)
        )

    async def _write(self, batch: list[Op[Any]]) -> None:
        """Run a batch in one transaction. If two transactions were in each other's way, run it again."""
        rest, connection = batch, self._link.writer
        for attempt in range(1, _TRIES + 1):
            for op in rest:
                op.result = op.error = None
            try:
                while rest:
                    rest = await self._transact(connection, rest)
            except StorageError:
                raise
            except Exception as error:
                if is_to_repeat(error) and attempt < _TRIES:
                    continue
                if is_of_values(error):
                    why = type(error).__name__
                    raise Unwritable(f"The storage cannot hold this: {why}. Nothing was stored.") from error
                if not is_known(error, connection):
                    raise
                self._link.note(error)
                raise unavailable(self._memory.address.name, error) from error
            else:
                return

    async def _transact(self, connection: Connection, batch: list[Op[Any]]) -> list[Op[Any]]:
        tx = self.begin(connection)
        ops = by_kind(batch)
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
        return [*of(ops, TakeOp)] if is_one and tx.changes.has_suspects else []

    def _is_one_statement(self, tx: Transaction, batch: list[Op[Any]], ops: OpsByKind) -> bool:
        """Return True for most batches of a busy process: deliveries, journal entries, ends of turns, and a `take`.

        Above each condition stand the steps of `operations.run` that would need a second statement.
        """
        memory = self._memory
        begins, ends = of(ops, BeginOp), of(ops, FinishOp)
        puts, takes = of(ops, PutOp), of(ops, TakeOp)
        # release, settle, put_receipts, work. And take: a second one would find the queue as it was before the first.
        if len(begins) + len(ends) + len(puts) + len(takes) < len(batch) or len(takes) > 1:
            return False
        # begin and finish: state is read before it is written, and no row is changed twice: a turn may end although the journal
        # entry that it began is still queued.
        begun = [op.entry for op in begins]
        is_apart = {entry.turn for entry in begun}.isdisjoint(op.lease.delivery.id for op in ends)
        if not is_apart or any(op.state for op in begins) or not lanes.is_plain(ends, memory.keep_s):
            return False
        # put: the inbox is counted if it may be full, and copies of a delivery are stored one after the other.
        if memory.room_left < len(puts) or len(lanes.rounds(puts)) > 1:
            return False
        # take, which chooses among suspects, note_activity and purge.
        noted_until = memory.noted_at + operations.ACTIVITY_EVERY_S
        is_noted = all(op.delivery.received_at < noted_until or op.delivery.is_internal for op in puts)
        if memory.has_suspects or not is_noted or (memory.serving and tx.now >= memory.next_upkeep):
            return False
        # The notification at the end of `_run`: in one statement, only what is put is notified.
        entries = [*begun, *(entry for op in ends for entry in op.commit.entries)]
        is_own_new = not memory.has_own_entries and any(map(journal.is_own, entries))
        return not (memory.refused or memory.leaving or is_own_new)

    async def _run_one(self, tx: Transaction, ops: OpsByKind) -> None:
        memory, statement = self._memory, Statement(tx)
        lanes.lock(statement, ops)
        if begins := of(ops, BeginOp):
            lanes.add_begins(statement, begins)
        if ends := of(ops, FinishOp):
            lanes.add_ends(statement, ends)
            lanes.add_outcomes(statement, ends)
        if puts := of(ops, PutOp):
            payload = self._payload(TransactionChanges(wakes_others=True, lanes={op.delivery.lane for op in puts}))
            lanes.add_arrivals(statement, puts, memory.limits, memory.room_left, payload)
        for taking in of(ops, TakeOp):
            lanes.add_take(statement, taking, may_choose=False)
        lanes.add_names(statement)
        await statement.run()

    async def _run(self, tx: PostgresLaneTransaction, ops: OpsByKind) -> None:
        # Nearly every batch locks its lanes first, then state. Two that wait for each other nevertheless are a deadlock: the
        # server ends one, which is repeated.
        locks = Statement(tx)
        lanes.lock(locks, ops)
        await locks.run()
        await operations.run(tx, ops, self._memory, purging=self._memory.serving)
        if begins := [op.lease for op in of(ops, BeginOp) if op.lease is not None]:
            await hold_table.read(
                tx, [chat for lease in begins if (chat := chat_of_lane(lease.delivery.lane)) is not None]
            )
        # The lanes go on, but not in this process.
        tx.changes.wakes_others |= self._memory.leaving
        if (payload := self._payload(tx.changes)) is not None:
            await tx.value("SELECT pg_notify($1, $2)", self._memory.address.channel, payload)

    def _payload(self, changes: TransactionChanges) -> str | None:
        """Return what other processes must know of these changes; None if it is nothing."""
        own = changes.own_entries and not self._memory.has_own_entries
        # All of them: if one was left for a later transaction, another process could lease the next delivery of its lane before.
        changes.refused.update(self._memory.refused)
        wakes, times = changes.wakes_others, changes.timers or changes.steps
        if not (
            wakes
            or times
            or own
            or changes.chats
            or changes.refused
            or changes.forgets_names
            or changes.gap is not None
        ):
            return None
        chats, grown, refused = map(sorted, (changes.chats, changes.lanes, changes.refused))
        every = None if changes.forgets_names else chats
        return News(self._memory.sender, wakes, times, own, every, grown, refused, changes.gap).to_payload()
