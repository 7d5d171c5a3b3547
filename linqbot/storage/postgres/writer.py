"""The order of the SQL in a transaction, and the memory of this process that follows it after COMMIT.

The rows in the database are the truth. This process remembers the deliveries that it stored last, its leases, and the
conversations. `Memory.apply` is the one place where they follow a commit. `operations.py` calls the writer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from linqbot.clock import Clock
from linqbot.errors import StorageError, StorageUnavailable
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.indexes import LaneWatch, OpenConversations, Recent, Row
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
    ProgressOp,
    PutOp,
    PutReceiptOp,
    ReceiptOp,
    ReleaseOp,
    ScheduleOp,
    SettleOp,
    TakeOp,
    Unwritable,
    by_kind,
    of,
)
from linqbot.storage.postgres import accept, leases, turns
from linqbot.storage.postgres.accept import InboxRoom
from linqbot.storage.postgres.leases import Held
from linqbot.storage.postgres.news import News
from linqbot.storage.postgres.server.address import (
    Address,
    Connection,
    is_known,
    is_of_closed,
    is_of_values,
    is_to_repeat,
    unavailable,
)
from linqbot.storage.postgres.server.link import ServerLink, ServerTime
from linqbot.storage.postgres.transaction import Statement, Taken, Transaction, TransactionChanges, WorkOp
from linqbot.storage.tables import deliveries, journal, meta, timers

_TRIES: Final = 5
_ACTIVITY_EVERY_S: Final = 60.0
_OLD_IDS: Final = """DELETE FROM seen WHERE id = ANY(ARRAY(
    SELECT id FROM seen WHERE at < $1 AND NOT EXISTS (SELECT FROM delivery WHERE id = seen.delivery_id)
    ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))"""


@dataclass(slots=True)
class Earliest:
    """The earliest time in a table, as it was read last. It must be read again if it `has_changed`."""

    has_changed: bool = True
    at: float | None = None


@dataclass(slots=True, eq=False)
class Memory:
    """The memory of this process.

    Attributes:
        process: The id of this process.
        sender: The id of this process and its connections, as notifications name it. After a reconnection it is another
            one, because a transaction whose answer was lost may still be committed.
        held: Its leases, by token.
        watched: The lanes that running turns watch.
        conversations: The conversations on record.
        room: How many deliveries fit into the inbox.
        server_time: The clock of the database.
        active_at: See `Inbox.last_activity`.
        noted_at: The `active_at` in the table `meta`.
        has_own_entries: See `Journal.has_made_scheduled_sends`.
        news: Number of times that a `take` became able to find something new.
        taken: The last `take`.
        timers: When the earliest timer is due.
        broadcasts: When the next step of a broadcast is due.
        purge_at: Time before which no purge needs to run.
        leaving: True if this process leases nothing more.
        refused: Lanes of which this process has refused a delivery, with the number of times, until the others know it.
        has_suspects: True if there were suspects at the last `take`.
        types: The types of columns, by their tables and names.
    """

    process: str
    room: InboxRoom
    server_time: ServerTime
    sender: str = ""
    held: dict[int, Held] = field(default_factory=dict)
    recent: Recent = field(default_factory=Recent)
    watched: LaneWatch = field(default_factory=LaneWatch)
    conversations: OpenConversations = field(default_factory=OpenConversations)
    active_at: float | None = None
    noted_at: float = 0.0
    has_own_entries: bool = False
    news: int = 0
    taken: Taken = field(default_factory=Taken)
    timers: Earliest = field(default_factory=Earliest)
    broadcasts: Earliest = field(default_factory=Earliest)
    purge_at: float = 0.0
    leaving: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    has_suspects: bool = False
    types: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def ahead_s(self) -> float:
        """Seconds by which the clock of the database is ahead of the storage's clock."""
        return self.server_time.ahead_s

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
        self._follow_conversations(changes)
        self.room.left = max((self.room.left if changes.room is None else changes.room) - changes.accepted, 0)
        self.active_at = max(filter(None, (self.active_at, changes.received_at)), default=None)
        if changes.noted_at is not None:
            self.noted_at = changes.noted_at
        self.has_own_entries |= changes.own_entries
        self.taken = changes.taken or self.taken
        self.timers.has_changed |= changes.timers
        self.broadcasts.has_changed |= changes.broadcasts
        self.purge_at = self.purge_at if changes.purge_at is None else changes.purge_at
        for lane, times in changes.refused.items():
            # A delivery that was refused while the transaction ran is not among those that the others know.
            if self.refused[lane] == times:
                del self.refused[lane]
        self.has_suspects = self.has_suspects if changes.has_suspects is None else changes.has_suspects

    def _follow_conversations(self, changes: TransactionChanges) -> None:
        if changes.all_conversations is not None:
            self.conversations = OpenConversations(changes.all_conversations)
        for chat, found in changes.refreshed.items():
            self._replace_chat(chat, found)
        for chat, conversation_id in changes.ended:
            self.conversations.remove(chat, conversation_id)
        for conversation in changes.conversations:
            self.conversations.add(conversation)

    def _replace_chat(self, chat: str, found: Iterable[ConversationSummary]) -> None:
        """Replace the conversations of a chat."""
        for old in self.conversations.in_chat(chat):
            self.conversations.remove(chat, old.id)
        for each in found:
            self.conversations.add(each)


class PostgresWriter:
    """Writes batches of operations.

    Args:
        serving: True for a process that serves: only it purges, because a command does not know how long history is kept.
        movable_clock: True if the transactions run at the time of `clock` instead of that of the database.
    """

    def __init__(
        self,
        link: ServerLink,
        address: Address,
        memory: Memory,
        clock: Clock,
        *,
        keep_s: float,
        serving: bool,
        movable_clock: bool,
    ) -> None:
        self._link = link
        self._address = address
        self._memory = memory
        self._clock = clock
        self._keep_s = keep_s
        self._serving = serving
        self._movable_clock = movable_clock

    def begin(self, connection: Connection) -> Transaction:
        """Return a transaction at the present time."""
        memory = self._memory
        now = self._clock.now() + memory.ahead_s
        changes = TransactionChanges(news=memory.news)
        ahead_s, process, types = memory.ahead_s, memory.process, memory.types
        return Transaction(connection, ahead_s, self._address, process, now, self._keep_s, types, changes)

    async def write(self, batch: list[Op]) -> None:
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
                    rest = await self._write(connection, rest)
            except StorageError:
                raise
            except Exception as error:
                if is_to_repeat(error) and not last:
                    continue
                if is_of_values(error):
                    why = type(error).__name__
                    raise Unwritable(f"The storage cannot hold this: {why}. Nothing was stored.") from error
                if not is_known(error) and not is_of_closed(connection, error):
                    raise
                self._link.note(error)
                raise unavailable(self._address.name, error) from error
            else:
                return

    async def _write(self, connection: Connection, batch: list[Op]) -> list[Op]:
        """Run a batch in one transaction. Return the operations that need another one."""
        tx = self.begin(connection)
        ops = by_kind(batch)
        is_one = self._is_one_statement(tx, batch, ops)
        if is_one and not self._movable_clock:
            # It is a transaction by itself: no BEGIN, no COMMIT.
            await self._run_one(tx, ops)
        else:
            async with connection.transaction():
                if self._movable_clock:
                    await tx.value("SELECT set_config('linqbot.now', $1, true)", repr(tx.now))
                await (self._run_one(tx, ops) if is_one else self._run(tx, ops))
        self._memory.apply(tx.changes)
        # To choose among suspects takes a second statement in the transaction of the first.
        return [*of(ops, TakeOp)] if is_one and tx.changes.has_suspects else []

    def _is_one_statement(self, tx: Transaction, batch: list[Op], ops: OpsByKind) -> bool:
        """Return True for most batches of a busy process: deliveries, journal entries, ends of turns, and a `take`."""
        memory = self._memory
        begins, ends, puts, takes = of(ops, BeginOp), of(ops, FinishOp), of(ops, PutOp), of(ops, TakeOp)
        if len(begins) + len(ends) + len(puts) + len(takes) < len(batch) or len(takes) > 1:
            return False
        if memory.refused or memory.leaving or memory.has_suspects or (self._serving and tx.now >= memory.purge_at):
            return False
        at = accept.received_at(op.delivery for op in puts)
        is_noted = at is None or at < memory.noted_at + _ACTIVITY_EVERY_S
        if not is_noted or memory.room.left < len(puts) or len(accept.rounds(puts)) > 1:
            return False
        begun = [op.entry for op in begins]
        entries = [*begun, *(entry for op in ends for entry in op.commit.entries)]
        if any(op.state for op in begins) or not (memory.has_own_entries or not any(map(journal.is_own, entries))):
            return False
        # One statement cannot change a row twice: a turn may end although the journal entry that it began is still queued.
        is_apart = {entry.turn for entry in begun}.isdisjoint(op.lease.delivery.id for op in ends)
        return is_apart and turns.is_plain(ends, self._keep_s)

    async def _run_one(self, tx: Transaction, ops: OpsByKind) -> None:
        memory, statement = self._memory, Statement(tx)
        accept.lock(statement, ops)
        if begins := of(ops, BeginOp):
            turns.add_begins(statement, begins)
        if ends := of(ops, FinishOp):
            turns.add_ends(statement, ends)
        for arrivals in accept.rounds(of(ops, PutOp)):
            lanes = {first.delivery.lane for first, *_ in arrivals}
            news = self._payload(TransactionChanges(work=True, lanes=lanes))
            accept.add_arrivals(statement, arrivals, memory.room, memory.room.left, news)
        for taking in of(ops, TakeOp):
            leases.take(statement, taking, memory.recent)
        await statement.run()

    async def _run(self, tx: Transaction, ops: OpsByKind) -> None:
        # Only puts must keep their order: the operations of a batch are in flight together, and each caller has one at a
        # time. Begin comes before settle and finish, so that an outcome finds its row. Nearly every batch locks its lanes
        # first, then state. Two that wait for each other nevertheless are a deadlock: the server ends one, which is repeated.
        locks = Statement(tx)
        accept.lock(locks, ops)
        await locks.run()
        await leases.release(tx, of(ops, ReleaseOp))
        await leases.hold(tx, of(ops, HoldOp))
        await leases.join(tx, of(ops, JoinOp))
        await leases.note_progress(tx, of(ops, ProgressOp))
        await turns.begin(tx, of(ops, BeginOp))
        settles, finishes = of(ops, SettleOp), of(ops, FinishOp)
        if settles or finishes:
            await turns.finish(tx, settles, finishes, leaving=self._memory.leaving)
        for noted in of(ops, ReceiptOp):
            (noted.result,) = await journal.receive(tx, (noted.receipt,))
        for cancel in of(ops, CancelOp):
            cancel.result = await timers.cancel(tx, cancel.timer_id)
            await journal.settle(tx, cancel.recorded())
        await timers.schedule_all(tx, of(ops, ScheduleOp))
        for work in of(ops, WorkOp):
            await _work(tx, work)
        wanted = await accept.settle(tx, of(ops, PutReceiptOp))
        await accept.put(tx, [*of(ops, PutOp), *wanted], self._memory.room)
        for order in of(ops, OrderOp):
            await accept.put_in_order(tx, order)
        await accept.put_due(tx, [*of(ops, FireOp), *of(ops, AdvanceOp)])
        for taking in of(ops, TakeOp):
            statement = Statement(tx)
            leases.take(statement, taking, self._memory.recent, self._held(tx))
            await statement.run()
        await self._check(tx, of(ops, CheckOp))
        if self._serving and tx.now >= self._memory.purge_at:
            await deliveries.purge(tx, _OLD_IDS)
        if tx.changes.received_at is not None:
            noted_at = self._memory.noted_at
            await meta.note_activity(tx, tx.changes.received_at, noted_at, after_s=_ACTIVITY_EVERY_S)
        if (payload := self._payload(tx.changes)) is not None:
            await tx.value("SELECT pg_notify($1, $2)", self._address.channel, payload)

    def _held(self, tx: Transaction) -> dict[int, Held]:
        """Return the leases of this process as they are within the transaction."""
        held = {token: one for token, one in self._memory.held.items() if token not in tx.changes.ended_leases}
        return held | {lease.token: Held(until, suspects) for lease, until, suspects in tx.changes.leased}

    async def _check(self, tx: Transaction, ops: list[CheckOp]) -> None:
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
        news = News(
            by=self._memory.sender,
            work=changes.work,
            times=times,
            own=own,
            chats=sorted(changes.chats),
            lanes=sorted(changes.lanes),
            refused=sorted(changes.refused),
            gap=changes.gap,
        )
        return news.to_payload()


async def _work(tx: Transaction, op: WorkOp) -> None:
    try:
        op.result = await op.work(tx)
    except StorageUnavailable:
        raise
    except StorageError as error:
        op.error = error
