"""The broadcasts, conversations, journal, state and timers of a storage in memory.

The contracts are in the modules of these names in `linqbot/storage/`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias

from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.events.delivery import OWN_DELIVERY, Delivery
from linqbot.storage.broadcasts import (
    ALLOWED,
    BroadcastStep,
    NewBroadcast,
    OpenBroadcast,
    Order,
    RecipientUpdate,
    counted,
    done_delivery,
    earliest,
    steps,
)
from linqbot.storage.conversations import Conversation, ConversationSummary
from linqbot.storage.inbox import Finish
from linqbot.storage.indexes import OpenConversations
from linqbot.storage.journal import ENTRIES_KEPT_S, DeliveryStatus, JournalEntry, after_outcome, after_receipt
from linqbot.storage.redaction import is_repeatable, without_texts
from linqbot.storage.state import StateRow, StateWrite, conflict
from linqbot.storage.timers import PARKED_S, Timer
from linqbot.types.proactive import Broadcast, BroadcastStatus, Recipient, RecipientOutcome


@dataclass(slots=True)
class _BroadcastRow:
    """A broadcast, with its people by their number, and the numbers that are pending and under way."""

    new: NewBroadcast
    people: dict[int, Recipient]
    pending: dict[int, None]
    under_way: set[int] = field(default_factory=set)
    status: BroadcastStatus = "running"
    next_at: float = 0.0
    has_ended: bool = False

    def facts(self) -> OpenBroadcast:
        name, line = self.new.name, self.new.line
        has_pending, under_way = bool(self.pending), len(self.under_way)
        return OpenBroadcast(name, line, self.status, self.next_at, self.has_ended, has_pending, under_way)

    def report(self) -> Broadcast:
        counts: Counter[RecipientOutcome] = Counter(one.outcome for one in self.people.values())
        return counted(self.new.stored(self.status), counts)

    def set(self, n: int, outcome: RecipientOutcome, reason: str | None, now: float) -> None:
        if n not in self.people:
            return
        at = datetime.fromtimestamp(now, UTC)
        self.people[n] = replace(self.people[n], outcome=outcome, reason=reason, at=at)
        self.pending.pop(n, None)
        if outcome == "under_way":
            self.under_way.add(n)
        else:
            self.under_way.discard(n)

    def remove(self, n: int) -> None:
        del self.people[n]
        self.pending.pop(n, None)
        self.under_way.discard(n)


class MemoryBroadcasts:
    """Broadcasts in a dict, the oldest first."""

    def __init__(self) -> None:
        self._rows: dict[str, _BroadcastRow] = {}

    def start(self, new: NewBroadcast, people: Sequence[str]) -> bool:
        """Store a broadcast; see `Broadcasts.start_broadcast`."""
        if new.name in self._rows:
            return False
        rows = {n: Recipient(n, handle, "pending") for n, handle in enumerate(people, 1)}
        self._rows[new.name] = _BroadcastRow(new, rows, dict.fromkeys(rows))
        return True

    def find(self, name: str) -> Broadcast | None:
        """Return a broadcast; see `Broadcasts.broadcast`."""
        row = self._rows.get(name)
        return None if row is None else row.report()

    def newest(self, limit: int) -> list[Broadcast]:
        """Return the broadcasts, the newest first."""
        return [row.report() for row in list(reversed(self._rows.values()))[:limit]]

    def recipients(self, name: str, outcome: RecipientOutcome | None, after: int, limit: int) -> list[Recipient]:
        """Return rows of a broadcast; see `Broadcasts.recipients`."""
        row = self._rows.get(name)
        people = () if row is None else row.people.values()
        return [one for one in people if one.n > after and outcome in (None, one.outcome)][:limit]

    def order(self, name: str, order: Order, now: float) -> bool:
        """Pause, resume or cancel a broadcast; see `Broadcasts.order_broadcast`."""
        row, (allowed, status) = self._rows.get(name), ALLOWED[order]
        if row is None or row.has_ended or row.status not in allowed:
            return False
        row.status = status
        if order == "cancel":
            for n in list(row.pending):
                row.set(n, "cancelled", None, now)
        return True

    def update(self, updates: Iterable[RecipientUpdate], now: float) -> None:
        """Store the outcomes of people."""
        for update in updates:
            if (row := self._rows.get(update.broadcast)) is not None:
                row.set(update.n, update.outcome, update.reason, now)

    def due(self, now: float) -> list[Delivery]:
        """Carry out the steps that are due, and return the deliveries to store; see `Broadcasts.advance_broadcasts`."""
        return [self._carry_out(step, now) for step in self._steps() if step.at <= now]

    def next_at(self) -> float | None:
        """Return the time of the next step; see `Broadcasts.next_broadcast`."""
        return earliest(self._steps())

    def forget(self, handle: str, lanes: Collection[str]) -> int:
        """Delete the rows of a person, and the lanes of the chats with the person. Return the number of rows."""
        for row in self._rows.values():
            if row.new.lane in lanes:
                row.new = replace(row.new, lane="")
        found = [
            (row, n)
            for row in self._rows.values()
            for n, one in row.people.items()
            if one.handle.casefold() == handle.casefold()
        ]
        for row, n in found:
            row.remove(n)
        return len(found)

    def _steps(self) -> list[BroadcastStep]:
        return steps([row.facts() for row in self._rows.values()]) if self._rows else []

    def _carry_out(self, step: BroadcastStep, now: float) -> Delivery:
        row = self._rows[step.broadcast]
        if step.what == "end":
            row.has_ended = True
            row.status = "cancelled" if row.status == "cancelled" else "done"
            lane, row.new = row.new.lane, replace(row.new, content=b"", lane="")
            return done_delivery(row.report(), lane, now)
        first = row.people[next(iter(row.pending))]
        row.set(first.n, "under_way", None, now)
        row.next_at = now + 60.0 / row.new.per_minute
        return row.new.delivery(first.n, first.handle, now)


class MemoryConversations:
    """Conversations, by id. When one ends, the journal's turn of this id ends too."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._conversations: dict[str, Conversation] = {}
        self._open = OpenConversations()
        self._journal = journal

    def in_chat(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the summaries of the conversations of a chat."""
        return self._open.in_chat(chat_id)

    def of_person(self, person: str) -> Sequence[ConversationSummary]:
        """Return the summaries of the conversations in which this person must answer."""
        return self._open.of_person(person)

    def find(self, conversation_id: str) -> Conversation | None:
        """Return a conversation; None if it is not on record."""
        return self._conversations.get(conversation_id)

    def waiting_by_handler(self) -> dict[str, int]:
        """Return the number of open questions by handler."""
        return dict(Counter(each.handler for each in self._conversations.values() if each.status == "waiting"))

    def oldest_first(self, chat_id: str | None, limit: int) -> list[Conversation]:
        """Return the conversations on record, of one chat or of all, without `root`, the oldest question first."""
        known = (each for each in self._conversations.values() if chat_id in (None, each.chat_id))
        found = sorted(known, key=lambda each: each.asked_at)
        return [replace(each, root=b"") for each in found[:limit]]

    def write(self, finish: Finish) -> None:
        """Store what the end of a turn changes."""
        for conversation_id in finish.ended:
            self._drop(conversation_id)
        for new in finish.conversations:
            for replaced in self._open.replaced_by(new.summary):
                self._drop(replaced)
            self._conversations[new.id] = new
            self._open.add(new.summary)

    def purge(self, now: float) -> None:
        """Delete the conversations that are of no more use."""
        for conversation in [one for one in self._conversations.values() if one.is_due_for_deletion(now)]:
            self._drop(conversation.id)

    def forget(self, ids: Collection[str]) -> int:
        """Delete conversations, and return their number. The caller erases their journal entries."""
        for conversation_id in ids:
            self._open.remove(self._conversations.pop(conversation_id).chat_id, conversation_id)
        return len(ids)

    def all(self) -> Iterable[Conversation]:
        """Return all conversations on record."""
        return self._conversations.values()

    def _drop(self, conversation_id: str) -> None:
        if (dropped := self._conversations.pop(conversation_id, None)) is not None:
            self._open.remove(dropped.chat_id, conversation_id)
            self._journal.end(conversation_id)


_Place: TypeAlias = tuple[str, int, str]
"""The place of an entry: turn, replay, slot."""


class MemoryJournal:
    """The journal entries by turn, and the times at which turns ended.

    Args:
        keep_s: Seconds for which the texts stay in entries after the end of their turn.
    """

    def __init__(self, clock: Clock, keep_s: float) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._entries: dict[str, dict[tuple[int, str], JournalEntry]] = {}
        self._places: dict[str, _Place] = {}
        # The time at which a turn ended, oldest first. A turn that ends again moves to the end.
        self._ended: dict[str, float] = {}
        # The same for turns whose entries may still hold texts.
        self._with_texts: dict[str, float] = {}

    @property
    def has_own_turns(self) -> bool:
        """True if a delivery that linqbot has created for itself has made calls."""
        return any(turn.startswith(OWN_DELIVERY) for turn in self._entries)

    def has_entries(self, turn: str) -> bool:
        """Return True if a turn has made calls."""
        return bool(self._entries.get(turn))

    def entries(self, turn: str, replay: int) -> list[JournalEntry]:
        """Return the entries of a turn, in the order in which they were begun."""
        return [entry for entry in self._entries.get(turn, {}).values() if entry.replay == replay]

    def all(self) -> list[JournalEntry]:
        """Return the entries of all turns."""
        return [entry for turn in self._entries.values() for entry in turn.values()]

    def stored(self, entry: JournalEntry) -> JournalEntry | None:
        """Return what is stored in the place of an entry; None if nothing is."""
        return self._entries.get(entry.turn, {}).get((entry.replay, entry.slot))

    def with_message(self, message_id: str) -> JournalEntry | None:
        """Return the entry that made a message; None if none did."""
        return next((entry for entry in self.all() if entry.message_id == message_id), None)

    def check_keys(self, entries: Sequence[JournalEntry]) -> None:
        """Check that no other entry has the key of one of these.

        Raises:
            StorageError: one has.
        """
        if any(self._places.get(entry.key, _place(entry)) != _place(entry) for entry in entries):
            raise StorageError("The storage cannot hold this: another entry has its key. Nothing was stored.")

    def record(self, entry: JournalEntry) -> None:
        """Store an entry, or its outcome."""
        if old := self.stored(entry):
            entry = after_outcome(old, entry)
        kept = entry if self._keeps_texts(entry) else _redacted(entry)
        self._entries.setdefault(entry.turn, {})[entry.replay, entry.slot] = kept
        self._places[entry.key] = _place(entry)

    def record_receipt(self, key: str | None, message_id: str | None, status: DeliveryStatus) -> JournalEntry | None:
        """Store the state that a receipt reports, and return the entry; None if there is none for it."""
        turn, replay, slot = self._places.get(key or "", ("", 0, ""))
        found = self._entries.get(turn, {}).get((replay, slot))
        if found is None and message_id is not None:
            found = self.with_message(message_id)
        if found is None:
            return None
        updated = after_receipt(found, message_id, status)
        self._entries[updated.turn][updated.replay, updated.slot] = updated
        return updated

    def end(self, turn: str) -> None:
        """Note that a turn has ended. From now on its entries lose what only a further run of the turn needs."""
        rows = self._entries.get(turn, {})
        rows.update({place: self._ended_entry(entry) for place, entry in rows.items()})
        for times in (self._ended, self._with_texts):
            times.pop(turn, None)
            times[turn] = self._clock.now()

    def forget_texts(self, turn: str) -> None:
        """Delete the texts in the entries of a turn."""
        rows = self._entries.get(turn, {})
        rows.update({place: _redacted(entry) for place, entry in rows.items()})

    def delete(self, keys: Collection[str]) -> None:
        """Delete the entries with these keys."""
        for key in keys:
            turn, replay, slot = self._places.pop(key)
            del self._entries[turn][replay, slot]

    def purge(self, now: float) -> None:
        """Delete the texts, and later the entries, of turns that ended long enough ago."""
        for turn in older(self._with_texts, now - self._keep_s):
            self.forget_texts(turn)
        for turn in older(self._ended, now - max(ENTRIES_KEPT_S, self._keep_s)):
            for entry in self._entries.pop(turn, {}).values():
                self._places.pop(entry.key, None)

    def _keeps_texts(self, entry: JournalEntry) -> bool:
        return bool(self._keep_s and not entry.off_the_record) or is_repeatable(entry)

    def _ended_entry(self, entry: JournalEntry) -> JournalEntry:
        return replace(entry, digest=None, answer=entry.answer if self._keeps_texts(entry) else None)


def older(times: dict[str, float], than: float) -> list[str]:
    """Remove and return the keys with an earlier time. `times` has the earliest first."""
    old = list(itertools.takewhile(lambda key: times[key] < than, times))
    for key in old:
        del times[key]
    return old


def _redacted(entry: JournalEntry) -> JournalEntry:
    call, answer = without_texts(entry.call, entry.answer)
    return replace(entry, call=call, answer=answer)


def _place(entry: JournalEntry) -> _Place:
    return entry.turn, entry.replay, entry.slot


class MemoryState:
    """The values by scope and name, and the people of direct chats."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, bytes]] = {}
        # The people of direct chats, by the scope of the chat.
        self._people: dict[str, str] = {}

    def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        return dict(self._values.get(scope, {}))

    def rows(self, prefix: str, name: str | None, after: tuple[str, str], limit: int) -> list[StateRow]:
        """Return stored values; see `StateStore.state_rows`."""
        rows = sorted(
            StateRow(scope, each, value)
            for scope, values in self._values.items()
            for each, value in values.items()
            if scope.startswith(prefix) and name in (None, each) and (scope, each) > after
        )
        return rows[:limit]

    def check(self, writes: Sequence[StateWrite]) -> None:
        """Check that nothing has changed the values since they were read.

        Raises:
            StateConflict: another turn has changed one of them.
        """
        if (error := conflict(writes, lambda scope, name: self._values.get(scope, {}).get(name))) is not None:
            raise error

    def write(self, writes: Sequence[StateWrite]) -> None:
        """Store or delete values, without a check."""
        for write in writes:
            values = self._values.setdefault(write.scope, {})
            if write.value is None:
                values.pop(write.name, None)
            else:
                values[write.name] = write.value
            if write.person is not None:
                self._people[write.scope] = write.person

    def chats_of(self, handle: str) -> set[str]:
        """Return the ids of the direct chats with this person of which there are values."""
        scopes = [scope for scope, each in self._people.items() if each.casefold() == handle.casefold()]
        return {scope.removeprefix("chat:") for scope in scopes}

    def forget(self, scopes: Collection[str]) -> int:
        """Delete the values of these scopes, which are in lower case. Return the number of values."""
        found = [scope for scope in self._values if scope.lower() in scopes]
        for scope in found:
            self._people.pop(scope, None)
        return sum(len(self._values.pop(scope)) for scope in found)


class MemoryTimers:
    """Timers, by id.

    Args:
        seen: The ids of the deliveries that were ever stored. A timer whose delivery is among them has fired.
    """

    def __init__(self, seen: Collection[str]) -> None:
        self._timers: dict[str, Timer] = {}
        self._seen = seen

    def schedule(self, timer: Timer) -> bool:
        """Store a timer. Return False if it waits already or has fired."""
        if timer.id in self._timers or timer.fired(0.0).id in self._seen:
            return False
        self._timers[timer.id] = timer
        return True

    def cancel(self, timer_id: str) -> bool:
        """Delete a timer. Return True if it was there."""
        return self._timers.pop(timer_id, None) is not None

    def write(self, finish: Finish) -> None:
        """Store what the end of a turn changes."""
        for timer_id in finish.cancelled:
            self.cancel(timer_id)
        for timer in finish.timers:
            self.schedule(timer)
        for again in finish.rearmed:
            parked = self._timers.get(again.timer_id)
            if parked is not None and parked.due == again.tick + PARKED_S:
                self._timers[again.timer_id] = replace(parked, due=again.due)

    def waiting(self, lane: str | None, limit: int) -> list[Timer]:
        """Return the timers that wait, the earliest first."""
        waiting = (t for t in self._timers.values() if lane in (None, t.lane) and not t.is_parked)
        return sorted(waiting, key=lambda t: t.due)[:limit]

    def find(self, timer_id: str) -> Timer | None:
        """Return a timer; None if there is none of this id."""
        return self._timers.get(timer_id)

    def recurring(self, kind: str, lane: str | None) -> list[Timer]:
        """Return the recurring timers of a kind."""
        return [timer for timer in self._timers.values() if timer.kind == kind and lane in (None, timer.lane)]

    def take_due(self, now: float, limit: int) -> list[Delivery]:
        """Delete the timers that are due, or park those that recur. Return their deliveries."""
        due = [timer for timer in self.waiting(None, limit) if timer.due <= now]
        for timer in due:
            if timer.is_recurring:
                self._timers[timer.id] = timer.parked()
            else:
                del self._timers[timer.id]
        return [timer.fired(now) for timer in due]

    def earliest(self) -> float | None:
        """Return when the earliest timer is due; None if none waits."""
        return min((timer.due for timer in self._timers.values() if not timer.is_parked), default=None)

    def forget(self, ids: Iterable[str]) -> int:
        """Delete timers, and return their number."""
        return len([self._timers.pop(one) for one in ids])

    def all(self) -> Collection[Timer]:
        """Return all timers, those included that are parked."""
        return self._timers.values()
