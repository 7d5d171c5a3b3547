"""The contract of a storage: one object that is the inbox and everything else that a turn writes, because one commit ends a turn.

`Storage` is the base class of every backend. It has the methods that only queue an operation (`op_queue.py`) or read
rows by the SQL that backends share. A backend adds what opens it, its lanes, and what it keeps in memory. The next step of an
event: a worker leases deliveries with `Storage.take` (`engine/worker.py`).
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from linqbot.clock import Clock, SystemClock
from linqbot.errors import ConfigError, StorageError
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.types.proactive import Broadcast, Recipient, RecipientOutcome
from linqbot.options import DAY_S
from linqbot.storage import (
    acts,
    broadcasts,
    consents,
    conversation_table,
    decisions,
    edits,
    facts,
    hold_table,
    journal,
    operations,
    outcomes,
    state,
    tally,
    timers,
    upkeep,
)
from linqbot.storage.acts import THE_BOT, ActedOn, By, OperatorAct, What
from linqbot.storage.broadcasts import NewBroadcast, Order
from linqbot.storage.consents import Consent, ConsentState
from linqbot.storage.conversations import Conversation, ConversationSummary
from linqbot.storage.decisions import AskedCall, Decision, Standing
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.holds import Change, Changed, Hold
from linqbot.storage.inbox import Commit, DeadDelivery, Lease
from linqbot.storage.indexes import Earliest, StorageMemory
from linqbot.storage.journal import JournalEntry, Receipt
from linqbot.storage.op_queue import (
    BeginOp,
    FinishOp,
    LaneTransaction,
    OpQueue,
    PutOp,
    PutReceiptOp,
    ReleaseOp,
    SettleOp,
    TakeOp,
    WorkOp,
)
from linqbot.storage.outcomes import OutcomeRow, Result
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Exported, Forgotten, InboxCounts, Progress, Selection, Waiting

if TYPE_CHECKING:
    from linqbot.storage.contents import Contents, Role  # only commands read a storage as a whole

T = TypeVar("T")

CHECK_BYTES = 1 << 16
"""Bytes that `check` writes: as many as several deliveries."""


class NewerSchema(StorageError):
    """A newer linqbot has written the storage; this release cannot use it."""

    @classmethod
    def refuse(cls, have: int, newest: int, name: str, *, instead: str) -> None:
        """Raise it if the number of a schema is greater than the `newest` that this release knows."""
        if have > newest:
            raise cls(
                f"{name} has schema {have}, written by a newer linqbot; this one knows schemas up to {newest}. "
                f"Upgrade linqbot, or use another {instead}."
            )


class Storage(ABC):
    """Inbox, journal, conversations, state, timers, broadcasts and their upkeep in one place. Use it with `async with`.

    Every method that reads or writes raises StorageUnavailable if the backend cannot do it now; a lease is still held
    then. A method with a lease raises LeaseLost if the lease is over, and one that writes state raises StateConflict if
    another value than an expected one is stored. After each of these errors nothing was stored or changed, and a call
    that was to be recorded must not be made. `by` is the operator, for the log.

    A lease that is not finished when the storage closes counts as a crash, like the lease of a process that died,
    because a worker finishes its turns before it stops. A prefetched lease that `take` has not returned counts as
    nothing.

    Attributes:
        settled: The types of receipts that nothing in this process wants as events. `put` stores what such a receipt
            reports in the journal, and the delivery has no turn. Set it before the storage is opened.
        keep_outcomes_days: Days for which it is kept what became of each delivery, with ids only; 0 keeps nothing. Set
            it before the storage is opened.
        holds: The holds by chat, from memory, with those that have ended a short time ago. Only for the process that
            serves.
        edited: The lanes in which edits wait, from memory, with some in which none waits any more. It is complete for the
            lanes that this process leases, and only for the process that serves.
    """

    _queue: OpQueue
    _memory: StorageMemory
    holds: Mapping[str, Hold]
    edited: Collection[str]

    def __init__(self, clock: Clock | None, *, serving: bool) -> None:
        self.settled: Collection[str] = ()
        self._clock = clock or SystemClock()
        self._serving = serving
        self._install = ""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @property
    def keep_outcomes_days(self) -> float:
        return self._memory.keep_outcomes_s / DAY_S

    @keep_outcomes_days.setter
    def keep_outcomes_days(self, days: float) -> None:
        self._memory.keep_outcomes_s = days * DAY_S

    @property
    def install(self) -> str:
        """128 random bits, created once with the storage, as 32 hex digits; part of every idempotency key."""
        return self._install

    @property
    def is_shared(self) -> bool:
        """True if several processes may serve this storage at the same time."""
        return False

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """The reason why nothing can be stored now, as a sentence; None if none is known. It is found without a write."""

    async def check(self) -> None:
        """Write something durably, as `put` does, to find out if deliveries can be stored again. Raises StorageBusy if not."""
        for size in (CHECK_BYTES, 0):
            await self._write(partial(operations.write_check, limits=self._memory.limits, size=size))

    @abstractmethod
    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        """Run a query, and return its result."""

    async def _write(self, work: Callable[[Any], Coroutine[Any, Any, T]], *, lane: str | None = None) -> T:
        """Run `work` in a transaction of other operations, and return its result. For `lane` see `WorkOp`."""
        return await self._queue.submit(WorkOp(work, lane))

    @abstractmethod
    async def _operate(self, work: Callable[[LaneTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run `work`, which may take long, in a transaction, let memory follow it, and return its result."""

    # Inbox

    def put(self, delivery: Delivery) -> Awaitable[bool]:
        """Store a delivery durably.

        Returns:
            True once it is on disk; False if its id or its message_key was stored before.
        Raises:
            StorageBusy: the inbox is full, or the lane (LaneFull); nothing was stored. For a duplicate the call
                returns False even then.

        Deliveries are accepted in the order in which the calls began. A cancelled call stores the delivery or not,
        but never half of it.
        """
        if delivery.type in self.settled and (receipt := Receipt.of(delivery)) is not None:
            return self._queue.submit(PutReceiptOp(delivery, receipt))
        return self._queue.submit(PutOp(delivery))

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Lease the oldest delivery of each lane that is not leased, at most `limit`.

        A lane whose oldest delivery waits for its retry is not ready, even if other deliveries wait behind it. The
        call never waits for deliveries. A cancelled call gives its leases back, and they count as nothing.

        Args:
            lease_s: Seconds until the lease ends and another worker may take the lane.
        Returns:
            The leases to finish; empty when every lane is empty, waiting or leased. With fewer than `limit`, the next
            deliveries may be prefetched: leased in the transaction that stores them, for the next `take`. A delivery
            that this process stored recently is the same object, with `decoded`; if it was read from disk, `decoded`
            is None.
        Raises:
            StorageError: the storage was opened with `serving=False`.
        """
        if not self._serving:
            raise StorageError(
                "take() was called on a storage that was opened with serving=False. Only a serving process can lease "
                "deliveries: open the storage with serving=True."
            )
        if (leases := self._take_at_once(limit, lease_s)) is not None:
            return leases
        future = self._queue.submit(TakeOp(limit, lease_s))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The commit may be over already, or still to come. No worker will use these leases.
            future.add_done_callback(self._give_back)
            raise

    @abstractmethod
    def _take_at_once(self, limit: int, lease_s: float) -> list[Lease] | None:
        """Return leases that need no transaction, perhaps none; None if a transaction must look for them."""

    def _give_back(self, future: asyncio.Future[list[Lease]]) -> None:
        if not future.cancelled() and future.exception() is None and future.result():
            self._queue.post(ReleaseOp(future.result()))

    def note_refused(self, lane: str) -> None:  # noqa: B027 - a storage of one process has nothing to do
        """Note that this process has refused a delivery of a lane. The other processes learn it with this one's next write."""

    async def announce_gap(self, since: float) -> None:  # noqa: B027 - a storage of one process has nothing to do
        """Let the other processes know that deliveries of any lane may have been refused since a Unix time."""

    def follow_gaps(self, found: Callable[[str | None, float | None], None]) -> None:  # noqa: B027 - a storage of one process has nothing to do
        """Call `found` when another process has refused deliveries, or none may have received them.

        It is called with the lane, None for any lane, and with the Unix time since when, None for now.
        """

    def end_leasing(self) -> None:  # noqa: B027 - a storage of one process has nothing to do
        """Note that this process calls `take` no more, because it stops.

        From now on, the end of each turn of this process wakes the other processes, so that they go on with the lane.
        """

    async def changed(self) -> None:
        """Wait until a `take` may find something new, or until a timer is stored that is due before all others.

        That is when a delivery was stored, finished or given back since the last call, also by a command in another
        process; if one already was, return at once. The end of a wait or of a lease does not wake it: see `next_due`.
        Only one task may wait at a time.
        """
        await self._memory.changed.wait()
        self._memory.changed.clear()

    @abstractmethod
    async def next_due(self) -> float | None:
        """Return the Unix time at which a `take` may find something without `changed`; None if there is no such time.

        It is the earliest retry or deferred turn, or the earliest end of a lease: so a lane goes on by itself when its
        worker is lost or could not write its `finish`. The time may be in the past until the next `take`.
        """

    async def finish(self, lease: Lease, commit: Commit) -> None:
        """End a turn in one commit: outcome, journal entries, state and timers.

        A lease that has run out stays valid until the lane is leased again. After a StateConflict the lease is still
        held: `finish` again without the state. After StorageUnavailable `finish` again, or let it run out.
        """
        await self._queue.submit(FinishOp(lease, commit))

    @abstractmethod
    async def following(self, lane: str, limit: int) -> list[Delivery]:
        """Return the deliveries that wait behind the head of a lane, in order, at most `limit`."""

    async def gather(self, lease: Lease, until: float, *, known: int) -> None:
        """Give back a lease that was not used: it counts as nothing, and the lane waits for more deliveries.

        The wait ends at a Unix time, or earlier with the next `put` into the lane. The next lease of the head is a
        first run again. The lane does not wait with more than `known` deliveries behind the head, as `following`
        returned them.
        """
        await self._write(lambda tx: tx.gather(lease, until, known), lane=lease.delivery.lane)

    def watch(self, lane: str) -> AbstractContextManager[asyncio.Event]:
        """Watch a lane: the event is set whenever a delivery is put into it, by whatever process."""
        return self._memory.watched.watch(lane)

    async def join(self, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool = False) -> None:
        """Put one delivery in the place of several of a lane, in one commit. The lease stays in force, on that delivery.

        Args:
            joined: The leased delivery with another body, which holds the others too.
            ids: The others, which wait in the lane, or edits that were kept. They leave the inbox as after an ack.
            again: True adds 1 to `replay`, for a turn that begins again with other content and its own keys.
        """
        is_recorded = self._memory.keep_outcomes_s > 0
        work = partial(operations.join, lease=lease, joined=joined, ids=ids, again=again, is_recorded=is_recorded)
        await self._write(work, lane=lease.delivery.lane)

    async def edits(self, lane: str, *, only_early: bool = False) -> list[Delivery]:
        """Return the edits that wait in a lane, in order, and before them those that were kept until their message comes.

        An edit that was kept has an id of linqbot's own; `join` takes it too. With `only_early`, the others are those that
        waited when the head of the lane was first leased.
        """
        return await self._read(lambda db: edits.in_lane(db, lane, only_early=only_early))

    async def has_begun(self, message_key: str) -> bool:
        """Return True if the turn of a message has begun or is over; False if it waits for its first run, or is not known."""
        return await self._read(lambda db: edits.has_begun(db, message_key))

    async def note_progress(self, lease: Lease, progress: int) -> int:
        """Note how far the turn of a delivery has come that has crashed, and return its crashes before it came that far.

        The progress is a number that changes whenever the journal of the turn does. Returned is how many of
        `Lease.crashes` the turn had when it had just come that far: the runs of the others added nothing.
        """
        return await self._write(lambda tx: operations.note_progress(tx, lease, progress))

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        """Store missed deliveries of a lane, and sort the lane by the time at which its deliveries were sent.

        Deliveries that wait for a retry, or whose turns have journal entries, are not moved: the others are sorted
        among themselves. Backlog limits do not apply. Returns the number of deliveries that were not known.

        Args:
            lease: A lease on the head of the lane. Unless `keep`, it is given back in the same commit, and does not count.
        """
        return await self._write(lambda tx: tx.put_in_order(lane, missed, lease, keep=keep), lane=lane)

    @abstractmethod
    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        """Return the ids and message_keys that are known. The value is True if the delivery has left the inbox."""

    async def has_seen(self, delivery_id: str) -> bool:
        """Return True if a delivery with this id is stored, or left the inbox in the last 24 hours."""
        return delivery_id in await self.seen([delivery_id])

    async def first_activity(self) -> float | None:
        """Return the Unix time at which the first webhook ever was accepted; None if none was."""
        first = await self._read(lambda db: facts.read(db, "first_active_at"))
        return None if first is None else float(first)

    async def last_activity(self) -> float | None:
        """Return the Unix time at which the newest webhook was accepted, whatever its outcome; None if none was.

        After a crash the time may be up to a minute too early, never too late.
        """
        stored = await self._read(upkeep.last_activity)
        return max(filter(None, (stored, self._memory.active_at)), default=None)

    async def depth(self) -> int:
        """Return the number of deliveries that are stored and not finished."""
        return int(await self._read(lambda db: db.value("SELECT count(*) FROM delivery")))

    # Journal

    async def begin(
        self,
        entry: JournalEntry,
        lease: Lease | None = None,
        *,
        state: Sequence[StateWrite] = (),
        changes: JournalEntry | None = None,
        instead: JournalEntry | None = None,
    ) -> None:
        """Store a journal entry durably before the first attempt of its call, and the state that was changed before it.

        An entry that is on record for the same (turn, replay, slot) stays as it is, and then no state is written: it
        was written with the entry.

        Args:
            lease: The lease of the turn that makes the call.
            state: Values to write in the same commit.
            changes: An entry that records these changes; stored with `entry`.
            instead: An entry that is stored after a StateConflict.
        Raises:
            StorageError: another entry has this key.
        """
        await self._queue.submit(BeginOp(entry, lease, state, changes, instead))

    async def settle(
        self, entry: JournalEntry, state: Sequence[StateWrite] = (), changes: JournalEntry | None = None
    ) -> None:
        """Store the outcome of a journal entry durably now, without waiting for the `finish` of its turn.

        Key, safety class, first attempt, origin and off_the_record stay as `begin` stored them. State is written in the
        same commit, with `changes`, an entry that records it. If the entry is accepted already, both were written with it.
        """
        await self._queue.submit(SettleOp(entry, state, changes))

    async def entries(self, turn: str, replay: int = 0) -> list[JournalEntry]:
        """Return the journal entries of a turn, in the order in which they were begun."""
        return await self._read(lambda db: journal.of_turn(db, turn, replay))

    async def settle_receipt(self, receipt: Receipt) -> JournalEntry | None:
        """Store the state that a receipt reports about a message, durably.

        The journal entry that made the message is found by `message_id`; by `key`, as long as its message is not known.
        If its outcome is not known yet, it becomes `accepted` with this `message_id` and without an answer. Receipts
        come in any order: `delivery` rises from `sent` over `failed` and `delivered` to `read`, and never falls.

        Returns:
            The updated entry; None if no entry on record made this message.
        """
        (entry,) = await self._write(lambda tx: journal.receive(tx, [receipt]))
        return entry

    @property
    def has_made_scheduled_sends(self) -> bool:
        """False if no entry on record belongs to a scheduled send. Then `answers` of an event needs no look-up."""
        return self._memory.has_own_entries

    async def entry_of(self, message_id: str) -> JournalEntry | None:
        """Return the journal entry that made this message; None if none on record did."""
        return await self._read(lambda db: journal.of_message(db, message_id))

    async def entries_of(self, turns: Collection[str], messages: Collection[str]) -> list[JournalEntry]:
        """Return the journal entries of turns with all their replays, and those of messages, in the order of their calls."""
        return await self._read(lambda db: journal.of_turns(db, turns, messages))

    async def labelled(self, messages: Collection[str], label: str) -> frozenset[str]:
        """Return those of some messages that calls with a label have made, as far as they are on record."""
        return await self._read(lambda db: journal.labelled(db, messages, label)) if messages else frozenset()

    async def has_sent(self, message_id: str) -> bool:
        """Return True if a journal entry on record made this message, so that the bot is its sender."""
        return await self._read(lambda db: journal.has_sent(db, message_id))

    # Conversations

    def conversations_in(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the conversations of a chat, from memory. Only for the process that serves."""
        return self._memory.conversations.in_chat(chat_id)

    def conversations_of(self, person: str) -> Sequence[ConversationSummary]:
        """Return the conversations in which this person must answer, from memory. Only for the process that serves."""
        return self._memory.conversations.of_person(person)

    async def conversation(self, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
        """Return a conversation and all its journal entries, in one read; None if it is not on record."""
        return await self._read(lambda db: conversation_table.with_entries(db, conversation_id))

    async def note_opening(self, row: Conversation) -> None:
        """Store that a turn opens the direct chat with a person. The commit that ends the turn deletes the row."""
        await self._write(lambda tx: conversation_table.note_opening(tx, row))

    async def waiting_by_handler(self) -> dict[str, int]:
        """Return the number of questions that wait for an answer, by the name of the handler that asked."""
        return await self._read(conversation_table.waiting_by_handler)

    async def conversations(self, *, chat_id: str | None = None, limit: int = 100) -> list[Conversation]:
        """Return the conversations on record, of one chat or of all, without `root`, the oldest question first.

        Rows of turns that open a chat are left out.
        """
        return await self._read(lambda db: conversation_table.oldest_first(db, chat_id, limit))

    # Holds

    async def change_holds(
        self,
        chats: Sequence[str],
        to: Change,
        *,
        unless_sent: str | None = None,
        put_again: Sequence[tuple[Delivery, int]] = (),
        act: tuple[By, What] | None = None,
    ) -> list[Changed]:
        """Store what a function makes of the holds of chats, and return each before and after. It sees the stored ones.

        Args:
            unless_sent: The id of a message. Nothing is changed, and nothing returned, if a turn has sent it.
            put_again: Deliveries to be handled again in the same commit, each with the number of its replay.
            act: The operator and what they do, for the log, if a hold was changed.
        """
        targets = [ActedOn(chat, chat) for chat in chats]
        # Not a first run: else a message would be too old for its handlers.
        moved = [(delivery, replay, 1) for delivery, replay in put_again]

        async def work(tx: LaneTransaction) -> list[Changed]:
            await upkeep.put_again(tx, moved)
            return await change(tx)

        async def change(tx: Writable) -> list[Changed]:
            if unless_sent is not None and await journal.has_sent(tx, unless_sent):
                return []
            changed = await hold_table.change(tx, chats, to)
            if act is not None and any(after is not before for before, after in changed):
                await acts.note(tx, *act, targets)
            return changed

        return await (self._operate(work) if moved else self._write(change))

    async def stored_holds(self) -> list[Hold]:
        """Return the holds as they are stored, with those that have ended a short time ago."""
        return await self._read(hold_table.stored)

    # Decisions

    async def decide(self, decision: Decision) -> None:
        """Store a decision durably, in place of an earlier one about the same call."""
        await self._write(lambda tx: decisions.write(tx, decision))

    async def decisions(self, *, limit: int = 100) -> list[Decision]:
        """Return decisions, the newest first."""
        return await self._read(lambda db: decisions.newest(db, limit))

    async def standing(self, asked: AskedCall) -> Standing:
        """Return what was decided about a call of a turn, and about its person and its line."""
        return await self._read(lambda db: decisions.standing(db, asked))

    async def judge(self, asked: AskedCall, decide: Callable[[Standing], tuple[Decision, Timer | None]]) -> Decision:
        """Store what a function makes of the standing of a call, durably: a decision, and the timer of a call that waits.

        Meanwhile no other process decides about the same person or line.
        """

        async def run(tx: Any) -> Decision:
            await decisions.lock(tx, asked)
            made, timer = decide(await decisions.standing(tx, asked))
            if timer is not None:
                await timers.schedule_now(tx, timer)
            await decisions.write(tx, made)
            return made

        return await self._write(run)

    async def note_wrote(self, person: str, at: float) -> None:
        """Note a sign of life of a person, a handle in lower case."""
        if await self._read(lambda db: decisions.is_news(db, person, at)):  # else a write for each message
            await self._write(lambda tx: decisions.note_wrote(tx, person, at))

    # Outcomes

    async def outcomes(
        self, chats: Collection[str], *, since: float | None = None, until: float | None = None, limit: int = 500
    ) -> list[OutcomeRow]:
        """Return what became of the deliveries of chats, in the order in which their turns ended; of too many, the newest.

        Args:
            since, until: Unix seconds of the time of acceptance; `until` is excluded.
        """
        return await self._read(lambda db: outcomes.of_chats(db, chats, since, until, limit))

    async def recent_outcomes(self, *, limit: int) -> list[OutcomeRow]:
        """Return the newest outcomes of all chats, the newest first."""
        return await self._read(lambda db: outcomes.recent(db, limit))

    async def outcome_counts(self, *, since: float, width_s: float) -> list[tuple[int, str, int, float | None]]:
        """Count the outcomes of spans of `width_s` seconds, by kind.

        Spans of the last day that are quarters of an hour, or several, are read from the tally of outcomes. For others, only the
        newest 200,000 outcomes are counted. Returns for each the number of its span after `since`, its outcome, the count, and
        the mean milliseconds.
        """
        return await self._read(lambda db: tally.counts(db, since, width_s))

    async def ended_since(self, outcome: Result, since: float) -> list[OutcomeRow]:
        """Return the rows of messages that have ended with an outcome since a time, and that were not handled later.

        They are in the order of their receipt.
        """
        return await self._read(lambda db: outcomes.ended_since(db, outcome, since))

    async def outcomes_of(self, ids: Collection[str]) -> list[OutcomeRow]:
        """Return what became of deliveries and of messages with these ids. It reads all outcomes."""
        return await self._read(lambda db: outcomes.of_ids(db, ids))

    # Consents

    async def note_consent(self, consent: Consent) -> bool:
        """Add a row to the ledger, durably. Return False if a row of its key is there."""
        return await self._write(lambda tx: consents.note(tx, consent))

    async def import_consents(self, rows: Sequence[Consent], *, by: By) -> int:
        """Add rows to the ledger, durably and all at once, and return the number of those whose key was not there."""
        return await self._operate(lambda tx: consents.add(tx, rows, by))

    async def consent_of(self, person: str) -> ConsentState:
        """Return the state of a handle, in lower case, in the ledger."""
        return await self._read(lambda db: consents.of(db, person))

    async def consents(
        self, *, person: str | None = None, after: int = 0, limit: int = 500
    ) -> list[tuple[int, Consent]]:
        """Return rows of the ledger in the order of their numbers, those `after` the last number of the previous call."""
        return await self._read(lambda db: consents.in_order(db, person, after, limit))

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        return await self._read(lambda db: state.load(db, scope))

    async def state_rows(
        self, *, prefix: str = "", name: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 500
    ) -> list[StateRow]:
        """Return stored values, in the order of their scopes and names.

        Args:
            prefix: Only scopes that begin with this text, such as `person:`.
            after: The scope and name of the last row of the previous call.
        """
        return await self._read(lambda db: state.rows(db, prefix=prefix, name=name, after=after, limit=limit))

    async def every_state_row(self, *, prefix: str = "", name: str | None = None) -> AsyncIterator[StateRow]:
        """Yield stored values in the order of `state_rows`, read page by page."""
        after = ("", "")
        while page := await self.state_rows(prefix=prefix, name=name, after=after):
            for row in page:
                yield row
            after = page[-1].scope, page[-1].name

    async def write_state(self, writes: Sequence[StateWrite], *, by: By | None = None) -> None:
        """Write values outside of a turn."""
        targets = [ActedOn(write.name, state.about(write.scope, self.install)) for write in writes]
        await self._operate(lambda tx: acts.noting(tx, state.write_now(tx, writes), by, "edit", *targets))

    # Timers

    async def schedule(self, timer: Timer) -> bool:
        """Store a timer durably. A turn uses `Commit.timers` instead, which is part of its one commit.

        Return False if its id is on record: the timer waits, or it fired in the last 24 hours.
        """
        return await self._write(lambda tx: timers.schedule_now(tx, timer))

    async def cancel(self, timer_id: str, record: JournalEntry | None = None, *, by: By | None = None) -> bool:
        """Delete a timer. Return True if it was still waiting.

        A `record` is stored in the same commit, as accepted, with the result as its answer.
        """
        return await self._write(lambda tx: operations.cancel(tx, timer_id, record, by))

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """Return the timers that wait, the earliest first. Recurring timers that fired are left out until rearmed."""
        return await self._read(lambda db: timers.scheduled(db, lane, limit))

    async def timer(self, timer_id: str) -> Timer | None:
        """Return a timer; None if none of this id is stored."""
        return await self._read(lambda db: timers.find(db, timer_id))

    async def recurring(self, kind: str, *, lane: str | None = None) -> list[Timer]:
        """Return the recurring timers of a kind, of one lane or of all; also those whose last delivery is not handled yet."""
        return await self._read(lambda db: timers.recurring(db, kind, lane))

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Move due timers, at most `limit`, and due steps of broadcasts into their lanes, in one commit. Return their number.

        A recurring timer is parked: `Commit.rearmed` gives its next due time. Of each line, one step to send is carried out: it
        takes the first pending row, stores its delivery, sets the row to `under_way`, and sets `next_at` to `now` plus 60 s
        divided by `per_minute`. A step that ends a broadcast deletes content and lane, sets the status to `done` unless it is
        `cancelled`, and stores `done_delivery`. Backlog limits do not apply.
        """
        has_steps = await self._has_steps(now)
        return await self._write(lambda tx: operations.fire(tx, now, limit, has_steps=has_steps))

    async def next_timer(self) -> float | None:
        """Return the Unix time from which `fire` finds a timer or a step of a broadcast; None if there is none.

        `changed` returns when an earlier one is stored.
        """
        found = await self._earliest(self._memory.timers, timers.earliest), await self._next_step()
        return min((at for at in found if at is not None), default=None)

    async def _has_steps(self, now: float) -> bool:
        """Return True if a step of a broadcast is due: other timers do not wait for the lock of broadcasts."""
        at = await self._next_step()
        return at is not None and at <= now

    async def _next_step(self) -> float | None:
        next_at = lambda db: broadcasts.next_at(db, self._clock.now() + db.ahead_s)  # noqa: E731
        return await self._earliest(self._memory.steps, next_at)

    async def _earliest(
        self, earliest: Earliest, query: Callable[[Readable], Coroutine[Any, Any, float | None]]
    ) -> float | None:
        """Return the earliest time in a table. A process that serves reads it again only after a change."""
        if earliest.changes_read != earliest.changes or not self._serving:
            # Noted after the read: another caller meanwhile must read too, and not return the time from before.
            changes = earliest.changes
            earliest.at = await self._read(query)
            earliest.changes_read = changes
        return earliest.at

    # Broadcasts

    async def start_broadcast(self, broadcast: NewBroadcast, people: Sequence[str]) -> bool:
        """Store a broadcast and a `pending` row for each person, numbered from 1, in one commit.

        Each handle is given once; without people, the broadcast ends at once. Return False if one of this name is
        stored already.
        """
        return await self._operate(lambda tx: broadcasts.start(tx, broadcast, people))

    async def broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast with its counts; None if none of this name is stored."""
        return await self._read(lambda db: broadcasts.find(db, name))

    async def broadcasts(self, *, limit: int = 100) -> list[Broadcast]:
        """Return the broadcasts, the newest first."""
        return await self._read(lambda db: broadcasts.newest(db, limit))

    async def recipients(
        self, name: str, *, outcome: RecipientOutcome | None = None, after: int = 0, limit: int = 500
    ) -> list[Recipient]:
        """Return rows of a broadcast in the order of their numbers, those `after` the last number of the previous call."""
        return await self._read(lambda db: broadcasts.recipients(db, name, outcome, after, limit))

    async def every_recipient(self, name: str, outcome: RecipientOutcome | None = None) -> AsyncIterator[Recipient]:
        """Yield the rows of a broadcast in the order of their numbers, read page by page."""
        after = 0
        while page := await self.recipients(name, outcome=outcome, after=after):
            for recipient in page:
                yield recipient
            after = page[-1].n

    async def order_broadcast(self, name: str, order: Order, *, by: By | None = None) -> bool:
        """Pause, resume or cancel a broadcast. `cancel` makes `pending` rows `cancelled`. People under way are not affected.

        Return False if the broadcast is in no status of `ALLOWED` for this order.
        """
        return await self._operate(
            lambda tx: acts.noting(tx, broadcasts.order(tx, name, order), by, order, ActedOn(name))
        )

    # Troubles

    async def change_troubles(self, to: Callable[[str | None], tuple[str, T]]) -> T:
        """Store durably what a function makes of the record of troubles, and return its other result.

        One process changes the record at a time. The function may be called twice, and must not raise.
        """
        return await self._write(lambda tx: facts.change(tx, upkeep.TROUBLES, to))

    # Upkeep

    async def waiting(
        self,
        *,
        delivery_id: str | None = None,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        limit: int = 100,
    ) -> list[Waiting]:
        """Return the deliveries in the inbox, in the order of their acceptance."""
        which = ("id = $", delivery_id), ("lane = $", lane), ("type = $", type)
        now = self._clock.now()
        return await self._read(lambda db: upkeep.waiting(db, now, limit, *which))

    async def inbox_counts(self) -> InboxCounts:
        """Count what waits and what is dead. It is cheap enough to be called every few seconds."""
        waiting = await self.depth()
        return InboxCounts(waiting, *await self._read(upkeep.oldest_and_dead))

    async def oldest_webhooks(self, limit: int = 1) -> list[float]:
        """Return when the webhooks that wait longest were received, at most `limit`, the oldest first.

        Those that are being handled are among them, because their people have no answer yet. Deliveries of linqbot's own, and
        those that an operator has put back, are not: the time of their receipt does not say how long they have waited. The cost
        does not grow with what is stored.
        """
        return await self._read(lambda db: upkeep.oldest_webhooks(db, limit))

    async def given_up(self, *, since: float, limit: int) -> int:
        """Count the dead letters since a Unix time, at most `limit`. The cost does not grow with what is stored."""
        return await self._read(lambda db: upkeep.given_up(db, since, limit))

    async def dead_letters(
        self,
        *,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[DeadDelivery]:
        """Return the dead letters, newest first.

        `since` and `until` are Unix seconds of the time at which they were dead-lettered; `until` is excluded.
        """
        which = ("lane = $", lane), ("type = $", type)
        times = ("dead_lettered_at >= $", since), ("dead_lettered_at < $", until)
        return await self._read(lambda db: upkeep.dead_letters(db, limit, *which, *times))

    async def dead_letter(self, delivery_id: str) -> DeadDelivery | None:
        """Return the dead letter with this id; None if there is none."""
        found = await self._read(lambda db: upkeep.dead_letters(db, 1, ("id = $", delivery_id)))
        return found[0] if found else None

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return a delivery with its body: from the inbox, kept after its ack, or a dead letter; None if unknown."""
        return await self._read(lambda db: upkeep.find(db, delivery_id))

    async def ambiguous(self, *, limit: int = 100) -> list[JournalEntry]:
        """Return the calls and steps of which it is unknown if they were done, the oldest first."""
        return await self._read(lambda db: journal.ambiguous(db, limit))

    async def retry(self, ids: Sequence[str], *, by: By | None = None) -> int:
        """Put dead letters back into the inbox, in this order, and return their number.

        Each goes to the tail of its lane, behind later deliveries, because the lane has gone on. It starts with no
        attempts and no crashes. Its replay number stays the same and its journal entries are kept, so nothing that
        Linq accepted is sent again. Ids that belong to no dead letter, or to a delivery in the inbox, are ignored.
        Backlog limits do not apply.
        """
        return await self._operate(lambda tx: upkeep.put_back(tx, ids, ["dead"], again=False, by=by))

    async def replayable(self, selection: Selection, *, dead_only: bool = False) -> list[str]:
        """Return the ids of dead letters and, unless `dead_only`, of deliveries kept after their ack, as they were
        accepted.
        """
        return await self._read(lambda db: upkeep.replayable(db, selection, dead_only=dead_only))

    async def pages(self, ids: Sequence[str], *, size: int = 100) -> AsyncIterator[list[Delivery]]:
        """Yield the deliveries of `replayable` ids with their bodies, `size` ids a page. Deleted ones are left out."""
        for start in range(0, len(ids), size):
            yield await self._read(partial(upkeep.page, ids=ids[start : start + size]))

    async def replay_live(self, ids: Sequence[str], *, by: By | None = None) -> int:
        """Put replayable deliveries into the inbox again, in this order, and return their number.

        It works like `retry`, but raises the replay number: the calls get new keys, so everything is really sent again.
        """
        return await self._operate(lambda tx: upkeep.put_back(tx, ids, ["dead", "done"], again=True, by=by))

    async def purge(self, *, before: float, limit: int = 200) -> int:
        """Delete dead letters that are older than a time, the oldest first, and return their number.

        Call it until it returns 0, with pauses in which a server writes, and then `wipe`.

        Args:
            before: Unix seconds; a delivery that was dead-lettered earlier is deleted.
        """
        return await self._operate(lambda tx: upkeep.purge_dead(tx, before, limit))

    async def old_dead_letters(self, before: float) -> int:
        """Return the number of dead letters that `purge` would delete."""
        return await self._read(lambda db: upkeep.old_dead_letters(db, before))

    async def wipe(self, *, whole: bool = False) -> bool:
        """Remove the bytes of deleted rows from the disk. Return False if some may be left: then `whole` removes them.

        A server goes on meanwhile. With `whole`, also a large SQLite file is written again, which takes a second for some ten
        megabytes. A server cannot store deliveries until that is done, and Linq delivers them later.

        Raises:
            StorageUnavailable: with `whole`, if there is no room: see `room_to_compact`.
        """
        return await self._wipe(whole=whole)

    async def room_to_compact(self) -> str | None:
        """Return how much room `wipe` needs with `whole`, and where, in words; None if it needs none.

        Raises:
            StorageUnavailable: there is not so much.
        """
        return None

    async def put_order(self, delivery: Delivery, what: acts.What, target: str, *, by: By) -> None:
        """Store a delivery by which an operator acts on a question, whose id is `target`, and the act, in one commit."""

        async def work(tx: LaneTransaction) -> None:
            await tx.store([delivery])
            await acts.note(tx, by, what, [acts.of_lane(target, delivery.lane)])

        await self._write(work)

    async def note_act(self, what: acts.What, of: ActedOn, *, by: By) -> None:
        """Store an act of an operator that changes nothing else in the storage."""
        await self._write(lambda tx: acts.note(tx, by, what, [of]))

    async def name_send(self, key: str, chat_id: str, message_id: str) -> None:
        """Store the message and the chat of a send that was noted with its idempotency key: the chat view says who sent it."""
        await self._write(lambda tx: acts.name_send(tx, key, chat_id, message_id))

    async def acts(
        self,
        *,
        about: str | None = None,
        handle: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[OperatorAct]:
        """Return what operators have done, the newest first: on a chat (`about`), or on a person, such as receipts.

        `since` and `until` are Unix seconds; `until` is excluded.
        """
        of = about if handle is None else acts.digest_of(self.install, handle)
        which = ("about = $", of), ("at >= $", since), ("at < $", until)
        return await self._read(lambda db: acts.newest(db, limit, *which))

    async def export(self, handle: str, *, chats: Collection[str] = (), by: By = THE_BOT) -> Exported:
        """Return all that is kept of a person: each row that `forget` would erase. Store a receipt, if there is any.

        For the arguments see `forget`.
        """
        # Imported late: most bots that serve never call it.
        from linqbot.storage import personal

        person = personal.Person(handle, chats, acts.digest_of(self.install, handle))
        found = await personal.export(person, self._survey, self._operate)
        if found.counts:
            of = [ActedOn("", acts.digest_of(self.install, handle))]
            await self._write(lambda tx: acts.note(tx, by, "export", of, found.counts))
        return found

    async def forget(self, handle: str, *, chats: Collection[str] = (), by: By = THE_BOT) -> Forgotten:
        """Erase a person from storage and disk. Each commit that erases stores a receipt.

        The following is erased: each record that holds the handle as a value in its JSON, what the turns of these
        deliveries sent or scheduled, everything in direct chats with the person, and the receipts of answers to them;
        `personal.KEPT` says it for each table. Deliveries, journal entries and timers show which direct chats are theirs, as
        long as they are kept: entries for a week, timers until they are due. A chat with no record left is only found if `chats`
        contains it.

        Args:
            handle: As Linq writes it: E.164, or an e-mail address in any case.
            chats: Ids of direct chats that are known to be with the person.
        """
        from linqbot.storage import personal

        person = personal.Person(handle, chats, acts.digest_of(self.install, handle))
        forgotten = await personal.forget(person, by, self._survey, self._operate)
        return replace(forgotten, wiped=await self._wipe(whole=False))

    async def _survey(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        """Run a query that may take long, and return its result."""
        return await self._read(query)

    @abstractmethod
    async def _wipe(self, *, whole: bool) -> bool:
        """Do what `wipe` says."""

    @abstractmethod
    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Write a consistent copy of the storage while it is in use. A server can open the copy in its place.

        Raises:
            ConfigError: `path` exists already, or its folder does not, or this storage has no file.
        """


@dataclass(frozen=True, slots=True)
class Checkup:
    """The facts about a storage that is not opened, as `linqbot check` says them.

    Attributes:
        what: Its place, version and schema, who serves it, and what waits: a sentence.
        dead: Number of dead letters.
        questions: Number of open questions of `ctx.ask`, by the name of the handler that asked.
    """

    what: str
    dead: int = 0
    questions: Mapping[str, int] = field(default_factory=dict)


class StorageBackend(ABC):
    """The storages of one URL scheme. The hook `register_storage` returns one for each scheme."""

    form: ClassVar[str]
    """How its URLs are written, such as `postgresql://USER@HOST/DATABASE`, for errors."""

    @abstractmethod
    def open(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
        """Create the storage of a URL, for use with `async with`; see `open_storage` for the arguments."""

    def contents(self, url: str, role: Role = "check") -> Contents:
        """Return the content of a storage as a whole, for `linqbot storage` and `linqbot check --only rows`.

        Raises:
            ConfigError: storages of this scheme cannot be checked and copied, which is the default.
        """
        raise ConfigError(
            f"A storage of {url.partition('://')[0]}:// cannot be checked or copied. Name another one, such as sqlite:///linqbot.db."
        )

    async def check_up(self, url: str) -> Checkup | None:
        """Inspect a storage for `linqbot check`, without changing it. Return None if it cannot be looked into.

        Raises:
            StorageUnavailable: it does not answer, or cannot be written.
        """
        return None
