"""The operations of one transaction: their order, and what is the same for every backend.

Lanes are not: SQLite leases from an index in memory, PostgreSQL by functions in the database. So each backend gives its
`Lanes`. The rest is SQL that both share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from linqbot.errors import StorageError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.storage import broadcasts, conversations, journal, meta, timers, upkeep
from linqbot.storage.dialect import Writable
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Lease, Retry, lease_over
from linqbot.storage.indexes import StorageMemory
from linqbot.storage.journal import with_result
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
    WorkOp,
    of,
)
from linqbot.storage.state import StateBatch

ACTIVITY_EVERY_S: Final = 60.0
"""Seconds between two notes in the table `meta` of when a webhook was last accepted."""

Step: TypeAlias = Callable[[Any, list[Any]], Awaitable[None]]
"""Runs the operations of one kind in a transaction, and sets the result or the error of each."""


# Only puts must keep their order: the operations of a batch are in flight together, and each caller has one at a time. Begin
# comes before settle and finish, so that an outcome finds its row.
_BEFORE_FINISH: Final[Sequence[type[Op[Any]]]] = (ReleaseOp, HoldOp, JoinOp, ProgressOp, BeginOp)
_AFTER_FINISH: Final[Sequence[type[Op[Any]]]] = (
    *(ReceiptOp, CancelOp, ScheduleOp, WorkOp),
    *(PutOp, PutReceiptOp, OrderOp, FireOp, AdvanceOp, TakeOp, CheckOp),
)


@dataclass(frozen=True, slots=True)
class Lanes:
    """What a backend does in its own way.

    Attributes:
        steps: For each kind of operations that moves a lane or checks a lease. The steps that all backends share are added.
        held: Returns the sequence numbers of the deliveries under leases that are in force, by token.
        postpone: Ends the leases of turns that run again. The deliveries are given by sequence number.
        remove: Ends the leases of turns that are over, and removes their deliveries. For those that `ends_its_turn` names,
            given as the last argument, it stores the outcomes too. It also ends the turns that were acked.
        store: Stores new deliveries at the tails of their lanes. Backlog limits do not apply: Linq does not deliver them
            again if they are refused.
        old_ids: The SQL that deletes the ids of deliveries that left the inbox before $1, at most $2.
    """

    steps: dict[type[Op[Any]], Step]
    held: Callable[[Any, Sequence[Lease]], Awaitable[dict[int, int]]]
    postpone: Callable[[Any, Mapping[int, FinishOp]], Awaitable[None]]
    remove: Callable[[Any, Mapping[int, FinishOp], Collection[int]], Awaitable[None]]
    store: Callable[[Any, Sequence[Delivery]], Awaitable[object]]
    old_ids: str

    def __post_init__(self) -> None:
        self.steps[ReceiptOp] = _receive
        self.steps[CancelOp] = _cancel
        self.steps[ScheduleOp] = timers.schedule_all
        self.steps[WorkOp] = _work
        self.steps[FireOp] = self.steps[AdvanceOp] = self._store_due

    async def _store_due(self, tx: Writable, ops: Sequence[FireOp | AdvanceOp]) -> None:
        """Move due timers, and the next people of broadcasts, into their lanes."""
        for op in ops:
            due = await (
                timers.take_due(tx, op.now, op.limit) if isinstance(op, FireOp) else broadcasts.advance(tx, op)
            )
            await self.store(tx, due)
            op.result = len(due)


async def run(tx: Writable, ops: OpsByKind, lanes: Lanes, memory: StorageMemory, *, purging: bool) -> None:
    """Run the operations of a batch in the open transaction, and delete old rows now and then.

    Args:
        purging: True for a process that serves: a command does not know for how long history is kept.
    """
    for kind in _BEFORE_FINISH:
        if kind in ops:
            await lanes.steps[kind](tx, ops[kind])
    if FinishOp in ops or SettleOp in ops:
        await _finish(tx, of(ops, SettleOp), of(ops, FinishOp), lanes)
    for kind in _AFTER_FINISH:
        if kind in ops:
            await lanes.steps[kind](tx, ops[kind])
    if purging and tx.now >= memory.purge_at:
        await upkeep.purge(tx, lanes.old_ids)
    if tx.changes.received_at is not None:
        await meta.note_activity(tx, tx.changes.received_at, memory.noted_at, after_s=ACTIVITY_EVERY_S)


def ends_its_turn(op: FinishOp) -> bool:
    """Return True if the outcomes of a turn are stored as those of one that is over: no later run needs them.

    A conversation is a turn of several deliveries.
    """
    end, turn = op.commit, op.lease.delivery.id
    if not isinstance(end.outcome, Ack) or end.conversations:
        return False
    slots = {entry.slot for entry in end.entries if entry.turn == turn}
    return len(slots) == len(end.entries) and (end.has_all_entries or not slots)


async def _finish(tx: Writable, settles: Sequence[SettleOp], ops: Sequence[FinishOp], lanes: Lanes) -> None:
    """End turns, and set the error of each that cannot end; see `Storage.finish`."""
    state = StateBatch(tx)
    await state.read([*(op.state for op in settles), *(op.commit.state for op in ops)])
    entries = await state.settled(settles)
    seqs = await lanes.held(tx, [op.lease for op in ops])
    ended: dict[int, FinishOp] = {}
    ending: set[int] = set()
    for op in ops:
        seq = seqs.get(op.lease.token)
        if seq is None or seq in ended:
            op.error = lease_over(op.lease)
        elif (conflict := state.add(op.commit.state)) is not None:
            op.error = conflict
        else:
            ended[seq] = op
            if ends_its_turn(op):
                ending.add(seq)
            else:
                entries += op.commit.entries
    await journal.settle(tx, entries)
    await state.write()
    commits = [op.commit for op in ended.values()]
    await conversations.write(tx, commits)
    await broadcasts.update(tx, [update for commit in commits for update in commit.recipients])
    stays = {seq: op for seq, op in ended.items() if isinstance(op.commit.outcome, Retry | Defer)}
    if stays:
        await lanes.postpone(tx, stays)
    if len(stays) < len(ended):
        await _remove(tx, {seq: op for seq, op in ended.items() if seq not in stays}, ending, lanes)
    await timers.write(tx, commits)


async def _remove(tx: Writable, gone: Mapping[int, FinishOp], ending: Collection[int], lanes: Lanes) -> None:
    """Remove deliveries that were acked or given up, and keep what must be kept of them."""
    acked = {seq: op for seq, op in gone.items() if isinstance(op.commit.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.commit.off_the_record}
    for seq, op in gone.items():
        if isinstance(op.commit.outcome, DeadLetter):
            await _dead_letter(tx, seq, op.commit.outcome)
    if tx.keep_s and (kept := sorted(acked.keys() - private.keys())):
        await tx.run("DELETE FROM done WHERE id IN (SELECT id FROM delivery WHERE seq = ANY($1))", kept)
        await tx.run(
            """INSERT INTO done (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
               SELECT id, lane, type, message_key, carrier, received_at, replay, $2, body
               FROM delivery JOIN body USING (seq) WHERE seq = ANY($1) ORDER BY seq""",
            kept,
            tx.now,
        )
    await lanes.remove(tx, gone, ending)
    # The turns of conversations that go on with these deliveries.
    others = {each.turn for op in acked.values() for each in op.commit.entries if each.turn != op.lease.delivery.id}
    await journal.end(tx, others)
    if private:
        await journal.forget_texts(tx, [op.lease.delivery.id for op in private.values()])


async def _dead_letter(tx: Writable, seq: int, outcome: DeadLetter) -> None:
    await tx.run("DELETE FROM dead WHERE id = (SELECT id FROM delivery WHERE seq = $1)", seq)
    await tx.run(
        f"""INSERT INTO dead (id, lane, type, message_key, carrier, received_at, error, handler,
                              replay, delivery_count, attempts, crashes, dead_lettered_at, body{tx.padding})
            SELECT id, lane, type, message_key, carrier, received_at, $2, $3,
                   replay, delivery_count, attempts + $4, crashes, $5, body{tx.padding}
            FROM delivery JOIN body USING (seq) WHERE seq = $1""",  # noqa: S608 - constant texts
        seq,
        storable(outcome.error),
        None if outcome.handler is None else storable(outcome.handler),
        int(outcome.failed),
        tx.now,
    )


def storable(text: str) -> str:
    """Return a message in a form that every backend can hold: without U+0000 and half surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def _receive(tx: Writable, ops: Sequence[ReceiptOp]) -> None:
    for op in ops:
        (op.result,) = await journal.receive(tx, (op.receipt,))


async def _cancel(tx: Writable, ops: Sequence[CancelOp]) -> None:
    for op in ops:
        op.result = await timers.cancel(tx, op.timer_id)
        if op.record is not None:
            await journal.settle(tx, [with_result(op.record, op.result)])


async def _work(tx: Writable, ops: Sequence[WorkOp]) -> None:
    for op in ops:
        try:
            op.result = await op.work(tx)
        except StorageUnavailable:
            raise
        except StorageError as error:
            op.error = error
