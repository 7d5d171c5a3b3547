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
from linqbot.events.delivery import Delivery
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
from linqbot.storage.postgres.transaction import Transaction, TransactionChanges, WorkOp
from linqbot.storage.tables import deliveries, journal, meta, timers

_TRIES: Final = 5
_ACTIVITY_EVERY_S: Final = 60.0
_OLD_IDS: Final = """DELETE FROM seen WHERE id = ANY(ARRAY(
    SELECT id FROM seen WHERE at < $1 AND NOT EXISTS (SELECT FROM delivery WHERE id = seen.delivery_id)
    ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))"""


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
        taken_at: The time of the last `take`, on the clock of the database.
        next_timer: When the earliest timer is due, as it was read last.
        timers_changed: True if it must be read again.
        next_broadcast: When the next step of a broadcast is due, as it was read last.
        broadcasts_changed: True if it must be read again.
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
    taken_at: float = 0.0
    timers_changed: bool = True
    next_timer: float | None = None
    broadcasts_changed: bool = True
    next_broadcast: float | None = None
    purge_at: float = 0.0
    leaving: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    has_suspects: bool = False
    types: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def ahead_s(self) -> float:
        """Seconds by which the clock of the database is ahead of the storage's clock."""
        return self.server_time.ahead_s

    def apply(self, changes: TransactionChanges, stored: Iterable[tuple[int, Delivery]]) -> None:
        """Follow a transaction that is committed."""
        for seq, delivery in stored:
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
        self.taken_at = changes.taken_at or self.taken_at
        self.timers_changed |= changes.timers
        self.broadcasts_changed |= changes.broadcasts
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
        return Transaction(connection, memory.ahead_s, self._address, memory.process, now, self._keep_s, memory.types)

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
            stored = await self._run_one(tx, ops)
        else:
            async with connection.transaction():
                if self._movable_clock:
                    await tx.value("SELECT set_config('linqbot.now', $1, true)", repr(tx.now))
                stored = await (self._run_one(tx, ops) if is_one else self._run(tx, batch, ops))
        self._memory.apply(tx.changes, stored)
        # To choose among suspects takes a second statement in the transaction of the first.
        return [*of(ops, TakeOp)] if is_one and tx.changes.has_suspects else []

    def _is_one_statement(self, tx: Transaction, batch: list[Op], ops: OpsByKind) -> bool:
        """Return True for most batches of a busy process: deliveries, journal entries, or a `take` and ends of turns that write nothing."""
        memory = self._memory
        if memory.refused or (self._serving and tx.now >= memory.purge_at):
            return False
        puts, ends, takes = of(ops, PutOp), of(ops, FinishOp), of(ops, TakeOp)
        if len(puts) == len(batch):
            at = accept.received_at(op.delivery for op in puts)
            is_noted = at is None or at < memory.noted_at + _ACTIVITY_EVERY_S
            return is_noted and memory.room.left >= len(puts) and len(accept.rounds(puts)) == 1
        if len(begins := of(ops, BeginOp)) == len(batch):
            return not any(op.state for op in begins) and (
                memory.has_own_entries or not any(journal.is_own(op.entry) for op in begins)
            )
        if len(ends) + len(takes) < len(batch) or len(takes) > 1 or memory.has_suspects or memory.leaving:
            return False
        return turns.is_plain((), ends, self._keep_s)

    async def _run_one(self, tx: Transaction, ops: OpsByKind) -> list[tuple[int, Delivery]]:
        ends = of(ops, FinishOp)
        if puts := of(ops, PutOp):
            expected = TransactionChanges(work=True, lanes={op.delivery.lane for op in puts})
            return await accept.put(tx, puts, self._memory.room, news=self._payload(expected))
        if begins := of(ops, BeginOp):
            await turns.begin(tx, begins)
        elif takes := of(ops, TakeOp):
            await turns.finish_and_take(tx, ends, takes[0], self._memory.recent)
        else:
            await turns.finish(tx, (), ends, leaving=False)
        return []

    async def _run(self, tx: Transaction, batch: list[Op], ops: OpsByKind) -> list[tuple[int, Delivery]]:
        # Only puts must keep their order: the operations of a batch are in flight together, and each caller has one at a
        # time. Begin comes before settle and finish, so that an outcome finds its row. Nearly every batch locks its lanes
        # first, then state. Two that wait for each other nevertheless are a deadlock: the server ends one, which is repeated.
        await accept.lock(tx, batch)
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
        stored = await accept.put(tx, [*of(ops, PutOp), *wanted], self._memory.room, news=None)
        for order in of(ops, OrderOp):
            await accept.put_in_order(tx, order)
        await accept.fire(tx, of(ops, FireOp))
        await accept.advance_broadcasts(tx, of(ops, AdvanceOp))
        for taking in of(ops, TakeOp):
            await leases.take(tx, taking, self._held(tx), self._memory.recent)
        await self._check(tx, of(ops, CheckOp))
        if self._serving and tx.now >= self._memory.purge_at:
            await deliveries.purge(tx, _OLD_IDS)
        if tx.changes.received_at is not None:
            noted_at = self._memory.noted_at
            await meta.note_activity(tx, tx.changes.received_at, noted_at, after_s=_ACTIVITY_EVERY_S)
        if (payload := self._payload(tx.changes)) is not None:
            await tx.value("SELECT pg_notify($1, $2)", self._address.channel, payload)
        return stored

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
