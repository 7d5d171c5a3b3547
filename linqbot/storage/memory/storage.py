"""A storage in memory, lost when the process ends: for tests of a bot, and the plainest form of the contract."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Self

from linqbot.clock import Clock, SystemClock
from linqbot.errors import ConfigError, LaneFull, StateConflict, StorageBusy
from linqbot.events.delivery import Delivery
from linqbot.events.lane import lane_of_chat
from linqbot.storage.broadcasts import NewBroadcast, Order
from linqbot.storage.conversations import Conversation, ConversationSummary
from linqbot.storage.erasure import Person, Place, StoredRecord
from linqbot.storage.inbox import (
    SEEN_KEPT_S,
    DeadDelivery,
    DeadLetter,
    Defer,
    Finish,
    Lease,
    Retry,
    keys_of,
    lease_over,
)
from linqbot.storage.indexes import Lanes, LaneWatch
from linqbot.storage.journal import DeliveryStatus, JournalEntry, with_result
from linqbot.storage.memory.tables import (
    MemoryBroadcasts,
    MemoryConversations,
    MemoryJournal,
    MemoryState,
    MemoryTimers,
    older,
)
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Forgotten, Progress, Selection, Tally, Waiting, WaitingState
from linqbot.types.proactive import Broadcast, Recipient, RecipientOutcome

DAY_S = 24 * 3600.0


@dataclass(slots=True)
class _InboxRow:
    delivery: Delivery
    delivery_count: int = 0
    attempts: int = 0
    crashes: int = 0
    progress: int = 0
    crashes_before_progress: int = 0
    replay: int = 0
    put_back: bool = False
    waits: WaitingState = "ready"
    not_before: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """A delivery that has left the inbox: acked, or a dead letter if `letter` is set.

    Attributes:
        replay, delivery_count: As on its row in the inbox.
        at: When it left, in Unix seconds.
    """

    delivery: Delivery
    replay: int
    delivery_count: int
    at: float
    letter: DeadDelivery | None = None


class MemoryStorage:
    """Inbox, journal, state and timers in dicts. The content stays when the storage is closed and opened again.

    Args:
        clock: The time for leases, retries and retention.
        max_backlog, max_lane_backlog: Maximum number of deliveries in the inbox and in one lane. When it is reached,
            `put` raises StorageBusy.
        keep_days: History: days for which deliveries can be replayed after their ack, and for which the texts stay in
            journal entries.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        max_backlog: int = 1_000_000,
        max_lane_backlog: int = 1000,
        keep_days: float = 0,
    ) -> None:
        self._clock = clock or SystemClock()
        self._keep_s = keep_days * DAY_S
        self._max_backlog = max_backlog
        self._max_lane_backlog = max_lane_backlog
        self._install = secrets.token_hex(16)
        self._changed = asyncio.Event()
        self._lanes = Lanes()
        self._watched = LaneWatch()
        self._next_seq = 1
        self._rows: dict[int, _InboxRow] = {}
        self._seen: set[str] = set()
        # The time at which a delivery left the inbox, oldest first.
        self._left: dict[str, float] = {}
        self._done: dict[str, _Kept] = {}
        self._dead: dict[str, _Kept] = {}
        self._timers = MemoryTimers(self._seen)
        self._broadcasts = MemoryBroadcasts()
        self._active_at: float | None = None
        self._first_active_at: float | None = None
        self._journal = MemoryJournal(self._clock, self._keep_s)
        self._state = MemoryState()
        self._conversations = MemoryConversations(self._journal)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        leased = self._leased()
        for seq in leased:
            # As after a crash: a turn that ran alone and did not end may be what stops the process.
            self._rows[seq].crashes += len(leased) == 1
        for token in self._lanes.tokens():
            self._lanes.release(token)

    @property
    def install(self) -> str:
        """128 random bits, as 32 hex digits."""
        return self._install

    @property
    def is_shared(self) -> bool:
        """False: the storage ends with its process."""
        return False

    @property
    def trouble(self) -> str | None:
        """Always None, because a write to memory cannot fail; see `Storage.trouble`."""
        return None

    async def check(self) -> None:
        """Check that there is room for a delivery; see `Storage.check`."""
        self._refuse_when_full()

    # Inbox

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery; see `Inbox.put`.

        Raises:
            StorageBusy: the inbox is full, or the lane (LaneFull); nothing was stored.
        """
        self._purge()
        if not self._seen.isdisjoint(keys_of(delivery)):
            return False
        self._refuse_when_full()
        if self._lanes.depth_of(delivery.lane) >= self._max_lane_backlog:
            raise LaneFull(f"The lane of {delivery.id} is full: {self._max_lane_backlog} deliveries wait.")
        self._accept(_InboxRow(delivery))
        if not delivery.is_own:
            self._active_at = max(delivery.received_at, self._active_at or 0.0)
            self._first_active_at = self._first_active_at or self._active_at
        return True

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Lease the oldest delivery of each free lane; see `Inbox.take`."""
        monotonic = self._clock.monotonic()
        leases = []
        for lease in self._lanes.lease(limit, now=self._clock.now(), monotonic=monotonic, until=monotonic + lease_s):
            row = self._rows[lease.seq]
            row.crashes += lease.overdue
            counts = row.attempts, row.crashes, row.delivery_count, row.replay
            leases.append(Lease(row.delivery, lease.token, *counts, row.put_back))
            row.delivery_count += 1
        return leases

    def note_refused(self, lane: str) -> None:
        """Do nothing: no other process leases from this storage; see `Inbox.note_refused`."""

    async def announce_gap(self, since: float) -> None:
        """Do nothing: no other process leases from this storage; see `Inbox.announce_gap`."""

    def follow_gaps(self, found: Callable[[str | None, float | None], None]) -> None:
        """Do nothing: no other process receives deliveries; see `Inbox.follow_gaps`."""

    def end_leasing(self) -> None:
        """Do nothing: no other process leases from this storage; see `Inbox.end_leasing`."""

    async def changed(self) -> None:
        """Wait until a `take` may find something new; see `Inbox.changed`."""
        await self._changed.wait()
        self._changed.clear()

    async def next_due(self) -> float | None:
        """Return when a wait or a lease ends; see `Inbox.next_due`."""
        return self._lanes.next_due(self._clock.now(), self._clock.monotonic())

    async def finish(self, lease: Lease, finish: Finish) -> None:
        """End a turn; see `Inbox.finish`.

        Raises:
            LeaseLost: the lease is over; nothing was written.
            StorageError: another journal entry has the same key; nothing was written.
        """
        seq = self._leased_seq(lease)
        self._journal.check_keys(finish.entries)
        self._state.check(finish.state)
        for entry in finish.entries:
            self._journal.record(entry)
        self._state.write(finish.state)
        self._timers.write(finish)
        self._conversations.write(finish)
        self._broadcasts.update(finish.recipients, self._clock.now())
        if isinstance(finish.outcome, Retry | Defer):
            self._postpone(self._rows[seq], finish.outcome)
            self._lanes.wait(lease.token, finish.outcome.at)
        else:
            self._remove(seq, lease, finish)
        self._purge()
        self._changed.set()

    async def depth(self) -> int:
        """Return the number of deliveries that are stored and not finished."""
        return self._lanes.depth

    async def following(self, lane: str, limit: int) -> list[Delivery]:
        """Return the deliveries behind the head of a lane; see `Inbox.following`."""
        return [self._rows[seq].delivery for seq in self._lanes.behind(lane, limit)]

    async def hold(self, lease: Lease, until: float, *, known: int) -> None:
        """Let the lane of a lease wait for more deliveries; see `Inbox.hold`.

        Raises:
            LeaseLost: the lease is over; nothing was written.
        """
        row = self._rows[self._leased_seq(lease)]
        row.delivery_count -= 1
        row.waits, row.not_before = "gathering", until
        self._lanes.hold(lease.token, until, known=known)
        self._changed.set()

    def watch(self, lane: str) -> AbstractContextManager[asyncio.Event]:
        """Watch a lane for new deliveries; see `Inbox.watch`."""
        return self._watched.watch(lane)

    async def join(self, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool = False) -> None:
        """Put one delivery in the place of several; see `Inbox.join`.

        Raises:
            LeaseLost: the lease is over; nothing was written.
        """
        head = self._leased_seq(lease)
        self._rows[head].delivery = joined
        self._rows[head].replay += again
        behind = self._lanes.behind(lease.delivery.lane, self._lanes.depth)
        gone = [seq for seq in behind if self._rows[seq].delivery.id in ids]
        for seq in gone:
            self._left.update(dict.fromkeys(keys_of(self._rows.pop(seq).delivery), self._clock.now()))
        self._lanes.join(lease.token, gone)

    async def note_progress(self, lease: Lease, progress: int) -> int:
        """Note how far a turn has come that has crashed; see `Inbox.note_progress`.

        Raises:
            LeaseLost: the lease is over; nothing was written.
        """
        row = self._rows[self._leased_seq(lease)]
        if row.progress != progress:
            row.progress, row.crashes_before_progress = progress, row.crashes
        return row.crashes_before_progress

    def _leased_seq(self, lease: Lease) -> int:
        """Return the sequence number of a leased delivery.

        Raises:
            LeaseLost: the lease is over.
        """
        seq = self._lanes.leased_by(lease.token)
        if seq is None:
            raise lease_over(lease)
        return seq

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        """Store missed deliveries of a lane and sort the lane; see `Inbox.put_in_order`.

        Raises:
            LeaseLost: the lease is over; nothing was written.
        """
        if lease is not None:
            seq = self._leased_seq(lease)
            if not keep:
                self._lanes.release(lease.token)
                self._rows[seq].delivery_count -= 1
        count = 0
        for delivery in missed:
            if self._seen.isdisjoint(keys_of(delivery)):
                self._accept(_InboxRow(delivery))
                count += 1
        leased = self._leased()
        seqs = [
            seq
            for seq, row in self._rows.items()
            if row.delivery.lane == lane and seq not in leased and self._is_untouched(row)
        ]
        rows = sorted((self._rows[seq] for seq in seqs), key=lambda row: row.delivery.sent_at)
        self._rows.update(zip(seqs, rows, strict=True))
        self._changed.set()
        return count

    def _is_untouched(self, row: _InboxRow) -> bool:
        return (row.not_before is None or row.waits == "gathering") and not self._journal.has_entries(row.delivery.id)

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        """Return which keys are known; see `Inbox.seen`."""
        return {key: key in self._left for key in keys if key in self._seen}

    async def has_seen(self, delivery_id: str) -> bool:
        """Return True if a delivery was stored before; see `Inbox.has_seen`."""
        return delivery_id in self._seen

    async def first_activity(self) -> float | None:
        """Return when the first webhook ever was accepted; see `Inbox.first_activity`."""
        return self._first_active_at

    async def last_activity(self) -> float | None:
        """Return when the newest webhook was accepted; see `Inbox.last_activity`."""
        return self._active_at

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
        """Store a journal entry before the first attempt of its call; see `Journal.begin`.

        Raises:
            LeaseLost: the lease is over; nothing was stored.
            StateConflict: another value than an expected one is stored; nothing was stored.
        """
        if lease is not None:
            self._leased_seq(lease)
        if self._journal.stored(entry) is None:
            entries = [entry] if changes is None else [entry, changes]
            self._journal.check_keys(entries)
            try:
                self._state.check(state)
            except StateConflict:
                if instead is not None:
                    self._journal.record(instead)
                raise
            self._state.write(state)
            for each in entries:
                self._journal.record(each)

    async def settle(self, entry: JournalEntry, state: Sequence[StateWrite] = ()) -> None:
        """Store the outcome of a journal entry now; see `Journal.settle`."""
        self._journal.check_keys([entry])
        known = self._journal.stored(entry)
        if known is None or known.status != "accepted":
            self._state.check(state)
            self._state.write(state)
        self._journal.record(entry)

    async def entries(self, turn: str, replay: int = 0) -> list[JournalEntry]:
        """Return the journal entries of a turn, in the order in which they were begun."""
        return self._journal.entries(turn, replay)

    async def settle_receipt(
        self, key: str | None, message_id: str | None, status: DeliveryStatus
    ) -> JournalEntry | None:
        """Store the state that a receipt reports; see `Journal.settle_receipt`."""
        return self._journal.record_receipt(key, message_id, status)

    @property
    def has_made_scheduled_sends(self) -> bool:
        """See `Journal.has_made_scheduled_sends`."""
        return self._journal.has_own_turns

    async def entry_of(self, message_id: str) -> JournalEntry | None:
        """Return the entry that made a message; see `Journal.entry_of`."""
        return self._journal.with_message(message_id)

    async def has_sent(self, message_id: str) -> bool:
        """Return True if the bot sent this message; see `Journal.has_sent`."""
        return self._journal.with_message(message_id) is not None

    # Conversations

    def conversations_in(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the conversations of a chat; see `Conversations.conversations_in`."""
        return self._conversations.in_chat(chat_id)

    def conversations_of(self, person: str) -> Sequence[ConversationSummary]:
        """Return the conversations in which this person must answer; see `Conversations.conversations_of`."""
        return self._conversations.of_person(person)

    async def conversation(self, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
        """Return a conversation with its journal entries; see `Conversations.conversation`."""
        found = self._conversations.find(conversation_id)
        return None if found is None else (found, await self.entries(found.id, found.replay))

    async def waiting_by_handler(self) -> dict[str, int]:
        """Return the number of open questions by handler; see `Conversations.waiting_by_handler`."""
        return self._conversations.waiting_by_handler()

    async def conversations(self, *, chat_id: str | None = None, limit: int = 100) -> list[Conversation]:
        """Return the conversations on record, the oldest question first."""
        return self._conversations.oldest_first(chat_id, limit)

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        return self._state.load(scope)

    async def state_rows(
        self, *, prefix: str = "", name: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 500
    ) -> list[StateRow]:
        """Return stored values; see `StateStore.state_rows`."""
        return self._state.rows(prefix, name, after, limit)

    async def write_state(self, writes: Sequence[StateWrite]) -> None:
        """Write values outside of a turn; see `StateStore.write_state`."""
        self._state.check(writes)
        self._state.write(writes)

    # Timers

    async def schedule(self, timer: Timer) -> bool:
        """Store a timer; see `Timers.schedule`."""
        earliest = await self.next_timer()
        stored = self._timers.schedule(timer)
        if stored and (earliest is None or timer.due < earliest):
            self._changed.set()
        return stored

    async def cancel(self, timer_id: str, record: JournalEntry | None = None) -> bool:
        """Delete a timer; see `Timers.cancel`."""
        cancelled = self._timers.cancel(timer_id)
        if record is not None:
            self._journal.record(with_result(record, cancelled))
        return cancelled

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """Return the timers that wait, the earliest first."""
        return self._timers.waiting(lane, limit)

    async def timer(self, timer_id: str) -> Timer | None:
        """Return a timer; see `Timers.timer`."""
        return self._timers.find(timer_id)

    async def recurring(self, kind: str, *, lane: str | None = None) -> list[Timer]:
        """Return the recurring timers of a kind; see `Timers.recurring`."""
        return self._timers.recurring(kind, lane)

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Move due timers into their lanes; see `Timers.fire`."""
        due = self._timers.take_due(now, limit)
        for delivery in due:
            if delivery.id not in self._seen:
                self._accept(_InboxRow(delivery))
        return len(due)

    async def next_timer(self) -> float | None:
        """Return when the earliest timer is due; see `Timers.next_timer`."""
        return self._timers.earliest()

    # Broadcasts

    async def start_broadcast(self, broadcast: NewBroadcast, people: Sequence[str]) -> bool:
        """Store a broadcast; see `Broadcasts.start_broadcast`."""
        self._changed.set()
        return self._broadcasts.start(broadcast, people)

    async def broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast with its counts; None if none of this name is stored."""
        return self._broadcasts.find(name)

    async def broadcasts(self, *, limit: int = 100) -> list[Broadcast]:
        """Return the broadcasts, the newest first."""
        return self._broadcasts.newest(limit)

    async def recipients(
        self, name: str, *, outcome: RecipientOutcome | None = None, after: int = 0, limit: int = 500
    ) -> list[Recipient]:
        """Return rows of a broadcast; see `Broadcasts.recipients`."""
        return self._broadcasts.recipients(name, outcome, after, limit)

    async def order_broadcast(self, name: str, order: Order) -> bool:
        """Pause, resume or cancel a broadcast; see `Broadcasts.order_broadcast`."""
        self._changed.set()
        return self._broadcasts.order(name, order, self._clock.now())

    async def advance_broadcasts(self, now: float) -> int:
        """Carry out the steps of broadcasts that are due; see `Broadcasts.advance_broadcasts`."""
        due = self._broadcasts.due(now)
        for delivery in due:
            if delivery.id not in self._seen:
                self._accept(_InboxRow(delivery))
        return len(due)

    async def next_broadcast(self) -> float | None:
        """Return when the next step of a broadcast is due; see `Broadcasts.next_broadcast`."""
        return self._broadcasts.next_at()

    # Upkeep

    async def waiting(
        self,
        *,
        delivery_id: str | None = None,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        limit: int = 100,
    ) -> list[Waiting]:
        """Return the deliveries in the inbox; see `Upkeep.waiting`."""
        selection = Selection(None if delivery_id is None else [delivery_id], lane=lane, type=type)
        leased = self._leased()
        found = [self._look(row, seq in leased) for seq, row in self._rows.items() if selection.fits(row.delivery)]
        return found[:limit]

    async def tally(self) -> Tally:
        """Count what waits and what is dead; see `Upkeep.tally`."""
        first = next(iter(self._rows.values()), None)
        oldest_at = None if first is None else first.delivery.received_at
        return Tally(len(self._rows), oldest_at, len(self._dead))

    async def dead_letters(
        self,
        *,
        lane: str | None = None,
        type: str | None = None,  # noqa: A002 - as on Delivery
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[DeadDelivery]:
        """Return the dead letters, newest first; see `Upkeep.dead_letters`."""
        selection = Selection(lane=lane, type=type)
        return [
            kept.letter
            for kept in reversed(self._dead.values())
            if kept.letter
            and selection.fits(kept.delivery)
            and (since is None or kept.at >= since)
            and (until is None or kept.at < until)
        ][:limit]

    async def dead_letter(self, delivery_id: str) -> DeadDelivery | None:
        """Return the dead letter with this id; None if there is none."""
        kept = self._dead.get(delivery_id)
        return kept.letter if kept else None

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return a delivery with its body; see `Upkeep.delivery`."""
        waits = (row.delivery for row in self._rows.values() if row.delivery.id == delivery_id)
        kept = self._dead.get(delivery_id) or self._done.get(delivery_id)
        return next(waits, kept.delivery if kept else None)

    async def ambiguous(self, *, limit: int = 100) -> list[JournalEntry]:
        """Return the calls and steps of which it is unknown if they were done; see `Upkeep.ambiguous`."""
        found = [entry for entry in self._journal.all() if entry.status == "ambiguous"]
        return sorted(found, key=lambda entry: entry.first_at)[:limit]

    async def retry(self, ids: Sequence[str]) -> int:
        """Put dead letters back into the inbox; see `Upkeep.retry`."""
        return self._put_back(ids, [self._dead], again=0)

    async def replayable(self, selection: Selection, *, dead_only: bool = False) -> list[str]:
        """Return the ids that can be replayed; see `Upkeep.replayable`."""
        kept = (self._dead if dead_only else self._done | self._dead).values()
        found = [k.delivery for k in kept if selection.fits(k.delivery)]
        return [delivery.id for delivery in sorted(found, key=lambda delivery: delivery.received_at)]

    async def pages(self, ids: Sequence[str], *, size: int = 100) -> AsyncIterator[list[Delivery]]:
        """Yield the deliveries of these ids; see `Upkeep.pages`."""
        for start in range(0, len(ids), size):
            kept = [self._dead.get(one) or self._done.get(one) for one in ids[start : start + size]]
            yield [one.delivery for one in kept if one]

    async def replay_live(self, ids: Sequence[str]) -> int:
        """Put replayable deliveries into the inbox again; see `Upkeep.replay_live`."""
        return self._put_back(ids, [self._dead, self._done], again=1)

    async def purge(self, *, before: float, limit: int = 500) -> int:
        """Delete old dead letters; see `Upkeep.purge`."""
        old = [one for one, kept in self._dead.items() if kept.at < before][:limit]
        for one in old:
            del self._dead[one]
            self._journal.forget_texts(one)
            self._journal.end(one)
        return len(old)

    async def forget(self, handle: str, *, chats: Collection[str] = ()) -> Forgotten:
        """Erase a person; see `Upkeep.forget`."""
        person = Person(handle, {*chats, *self._state.chats_of(handle)})
        found = person.find(self._records)
        keys = found.erasable
        self._journal.delete(keys["entry"])
        return Forgotten(
            waiting=self._forget_waiting(keys["delivery"]),
            done=len([self._done.pop(one) for one in keys["done"]]),
            dead=len([self._dead.pop(one) for one in keys["dead"]]),
            entries=len(keys["entry"]),
            timers=self._timers.forget(keys["timer"]),
            conversations=self._conversations.forget(keys["conversation"]),
            state=self._state.forget(person.scopes),
            recipients=self._broadcasts.forget(handle, person.lanes),
            left=tuple(sorted(found.left)),
            chats=tuple(sorted(person.chats)),
        )

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Raise an error: there is no file to copy.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("A storage in memory cannot be copied to a file. Serve with sqlite:///linqbot.db instead.")

    def _refuse_when_full(self) -> None:
        if self._lanes.depth >= self._max_backlog:
            raise StorageBusy(f"The backlog is full: {self._max_backlog} deliveries wait.")

    def _postpone(self, row: _InboxRow, outcome: Retry | Defer) -> None:
        row.not_before = outcome.at
        if isinstance(outcome, Retry):
            row.attempts += 1
            row.waits, row.error = "retrying", outcome.error
        else:
            row.waits, row.error = "deferred", outcome.reason

    def _remove(self, seq: int, lease: Lease, finish: Finish) -> None:
        now = self._clock.now()
        row = self._rows.pop(seq)
        self._lanes.remove(lease.token)
        for key in keys_of(row.delivery):
            self._left[key] = now
        # As another backend reads it from disk: without the decoded body.
        delivery = replace(row.delivery, decoded=None)
        if isinstance(finish.outcome, DeadLetter):
            outcome = finish.outcome
            attempts = row.attempts + outcome.failed
            letter = DeadDelivery(delivery, outcome.error, outcome.handler, attempts, row.crashes, now, row.replay)
            self._dead.pop(delivery.id, None)
            self._dead[delivery.id] = _Kept(delivery, row.replay, row.delivery_count, now, letter)
            return
        if finish.off_the_record:
            self._journal.forget_texts(delivery.id)
        elif self._keep_s:
            self._done.pop(delivery.id, None)
            self._done[delivery.id] = _Kept(delivery, row.replay, row.delivery_count, now)
        for turn in (row.delivery.id, *(entry.turn for entry in finish.entries)):
            kept = self._conversations.find(turn)
            if kept is None or not kept.may_go_on:
                self._journal.end(turn)

    def _accept(self, row: _InboxRow) -> None:
        for key in keys_of(row.delivery):
            self._left.pop(key, None)
            self._seen.add(key)
        self._rows[self._next_seq] = row
        self._lanes.add(row.delivery.lane, self._next_seq)
        self._next_seq += 1
        self._watched.note((row.delivery.lane,))
        self._changed.set()

    def _put_back(self, ids: Sequence[str], places: Sequence[dict[str, _Kept]], *, again: int) -> int:
        waits = {row.delivery.id for row in self._rows.values()}
        moved = [one for one in dict.fromkeys(ids) if one not in waits and any(one in place for place in places)]
        for one in moved:
            kept, *_ = [place.pop(one) for place in places if one in place]
            self._accept(
                _InboxRow(
                    kept.delivery,
                    delivery_count=0 if again else kept.delivery_count,
                    replay=kept.replay + again,
                    put_back=True,
                )
            )
        return len(moved)

    def _leased(self) -> set[int]:
        return {seq for token in self._lanes.tokens() if (seq := self._lanes.leased_by(token)) is not None}

    def _look(self, row: _InboxRow, leased: bool) -> Waiting:
        d = row.delivery
        late = row.not_before is not None and row.not_before > self._clock.now()
        state: WaitingState = "leased" if leased else row.waits if late else "ready"
        facts = (row.attempts, row.crashes, row.not_before, row.error, row.replay)
        return Waiting(d.id, d.lane, d.type, d.received_at, state, *facts)

    def _forget_waiting(self, ids: set[str]) -> int:
        seqs = [seq for seq, row in self._rows.items() if row.delivery.id in ids]
        for seq in seqs:
            self._left.update(dict.fromkeys(keys_of(self._rows.pop(seq).delivery), self._clock.now()))
        lines = [
            (seq, row.delivery.lane, row.not_before or 0.0, 0, row.waits == "gathering")
            for seq, row in self._rows.items()
        ]
        self._lanes = self._lanes.adopt(lines)
        self._changed.set()
        return len(seqs)

    def _records(self) -> Iterator[StoredRecord]:
        leased = self._leased()
        for seq, row in self._rows.items():
            yield StoredRecord(
                "delivery", row.delivery.id, row.delivery.lane, (row.delivery.body,), leased=seq in leased
            )
        places: tuple[tuple[Place, dict[str, _Kept]], ...] = (("done", self._done), ("dead", self._dead))
        for place, kept in places:
            for one in kept.values():
                yield StoredRecord(place, one.delivery.id, one.delivery.lane, (one.delivery.body,))
        for timer in self._timers.all():
            yield StoredRecord("timer", timer.id, timer.lane, (timer.payload,))
        for each in self._conversations.all():
            yield StoredRecord("conversation", each.id, lane_of_chat(each.chat_id), (each.root, each.question), each.id)
        for entry in self._journal.all():
            lane = lane_of_chat(entry.chat_id) if entry.chat_id else ""
            documents = (entry.call, entry.answer, entry.origin)
            yield StoredRecord("entry", entry.key, lane, documents, entry.turn, entry.message_id)

    def _purge(self) -> None:
        now = self._clock.now()
        self._conversations.purge(now)
        for key in older(self._left, now - SEEN_KEPT_S):
            self._seen.discard(key)
        while self._done and (oldest := next(iter(self._done.values()))).at < now - self._keep_s:
            del self._done[oldest.delivery.id]
        self._journal.purge(now)
