"""The indexes that an embedded backend keeps in memory while one process serves. No I/O.

`Lanes` schedules: each lane is free, leased or waiting for a time. It knows a delivery only by its sequence number.
Every operation is O(1) or O(log lanes), however long the backlog. Only `adopt`, used after another process wrote to the
file, reads the whole backlog. When the process crashes, any delivery in flight may be the poison message. A delivery
that is in flight in a second crash becomes a suspect. Suspects are retried in shrinking groups, finally one at a time,
so that only the poison message is dead-lettered.

The others save reads: `OpenConversations` has the summaries of all conversations by chat, `Recent` the deliveries
stored last, with their decoded bodies. `LaneWatch` wakes code that waits for the next delivery of a lane.

`StorageMemory` is what each backend keeps in memory. It follows the `Changes` of a transaction.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import secrets
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from linqbot.linq.events.delivery import Delivery
from linqbot.options import DAY_S
from linqbot.storage.changes import Changes, KnownNames
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.holds import Hold
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.outcomes import KEEP_OUTCOMES_DAYS


@dataclass(slots=True, eq=False)
class _Lane:
    name: str
    queue: deque[int] = field(default_factory=deque)
    state: Literal["free", "leased", "waiting"] = "free"
    token: int = 0
    until: float = 0.0
    wakes: bool = False  # True if a wait ends when a delivery is added to the lane
    overdue: bool = False  # True if the lease of the head ended by time, so that its turn may have left journal entries
    # 0 if the head is no suspect. Else the maximum number of suspects that run at once while the head does; with 1, nothing
    # else runs at all, not even deliveries that are no suspects.
    max_concurrent_suspects: int = 0


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class LaneLease:
    """The lease of the head of a lane. `overdue`: an earlier lease of the head ended by time, not by `finish`."""

    seq: int
    token: int
    overdue: bool


def may_run(suspects: int, running: Sequence[int]) -> bool:
    """Return True if a suspect may run next to what is leased now: each has a limit of suspects that run while it does.

    The limit is 1 for no other delivery at all, and 0 for what is no suspect.
    """
    limits = [limit for limit in running if limit]
    return not (suspects == 1 and running) and len(limits) < min([suspects, *limits])


class Lanes:
    """The lanes that are not empty, and their leases. Not thread-safe: the writer of the backend owns it."""

    def __init__(self) -> None:
        self.depth = 0
        self._lanes: dict[str, _Lane] = {}
        self._leases: dict[int, _Lane] = {}
        # Heaps whose items may be outdated: each item is checked against its lane when it comes to the top.
        self._free: list[tuple[int, _Lane]] = []
        self._free_suspects: list[tuple[int, _Lane]] = []
        # The suspects by their sequence number; a lane knows only whether its head is one.
        self._suspects: dict[int, int] = {}
        self._alone = 0  # token of the last lease that has to run alone
        self._waits: list[tuple[float, int, _Lane]] = []
        self._ends: list[tuple[float, int]] = []
        # They start at a random number: a token from before a restart must never match a lease of this process.
        self._tokens = itertools.count(secrets.randbits(48) + 1)

    def depth_of(self, lane: str) -> int:
        known = self._lanes.get(lane)
        return len(known.queue) if known else 0

    def waiting(self, lane: str) -> list[int]:
        """Return the sequence numbers in the lane, in order, including its head."""
        known = self._lanes.get(lane)
        return list(known.queue) if known else []

    def add(self, name: str, seq: int, *, not_before: float = 0.0, max_concurrent_suspects: int = 0) -> None:
        """Append a delivery to its lane; its number is the greatest. Only the first of a lane can wait for a time."""
        self.depth += 1
        if max_concurrent_suspects:
            self._suspects[seq] = max_concurrent_suspects
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name, max_concurrent_suspects=max_concurrent_suspects)
            lane.queue.append(seq)
            if not_before:
                self._wait(lane, not_before)
            else:
                self._set_free(lane)
        else:
            lane.queue.append(seq)
            if lane.wakes and lane.state == "waiting":
                self._set_free(lane)

    def add_leased(self, name: str, seq: int) -> int:
        """Add a delivery to an empty lane as leased, and return its token. The lease has no end until `prolong`."""
        self.depth += 1
        lane = self._lanes[name] = _Lane(name)
        lane.queue.append(seq)
        token = next(self._tokens)
        self._set_leased(lane, token, math.inf)
        return token

    def prolong(self, token: int, until: float) -> None:
        """Set the end of a lease, in seconds of the monotonic clock."""
        self._set_leased(self._leases[token], token, until)

    def has_free(self, now: float, monotonic: float) -> bool:
        """Return True if there is a free lane; a suspect may still have to wait for others."""
        self._settle_times(now, monotonic)
        for free in (self._free_suspects, self._free):
            if free and (lane := self._next(free)) is not None:
                self._set_free(lane)
                return True
        return False

    def lease(
        self, limit: int, *, now: float, monotonic: float, until: float, ending: Collection[int] = ()
    ) -> list[LaneLease]:
        """Lease the heads of free lanes, oldest first, at most `limit`, and not more suspects than may run together.

        Heads in `ending` are left out: their leases have run out, but are ended by the same transaction. `now` is for the
        waits of lanes; `monotonic` and `until` are on the monotonic clock.
        """
        self._settle_times(now, monotonic)
        leases: list[LaneLease] = []
        left: list[_Lane] = []
        for next_lane in (self._next_suspect, self._next_ordinary):
            while len(leases) < limit and (lane := next_lane()) is not None:
                if lane.queue[0] in ending:
                    left.append(lane)
                else:
                    leases.append(self._lease(lane, until))
        for lane in left:
            self._set_free(lane)
        return leases

    def leased_by(self, token: int) -> int | None:
        """Return the sequence number leased under `token`; None if the lease is over. The lane may be leased again then."""
        lane = self._leases.get(token)
        return lane.queue[0] if lane else None

    def release(self, token: int, *, overdue: bool = False) -> None:
        """Undo a lease; `overdue` is its mark again, if the transaction that counts it was rolled back."""
        lane = self._leases.pop(token)
        lane.overdue = overdue
        self._set_free(lane)

    def wait(self, token: int, until: float) -> None:
        """End a lease: the head stays, and its lane waits until a Unix time. A suspect that ends a turn is cleared."""
        lane = self._leases.pop(token)
        self._clear_suspect(lane)
        self._wait(lane, until)

    def gather(self, token: int, until: float, *, known: int) -> None:
        """End a lease: its lane waits until a Unix time, or until more than `known` deliveries are behind the head."""
        lane = self._leases.pop(token)
        if len(lane.queue) > 1 + known:
            lane.overdue = False
            self._set_free(lane)
        else:
            self._wait(lane, until, wakes=True)

    def gathering_heads(self, lanes: Iterable[str]) -> set[int]:
        """Return the heads of those of the lanes that wait for more deliveries."""
        known = [lane for name in lanes if (lane := self._lanes.get(name))]
        return {lane.queue[0] for lane in known if lane.wakes and lane.state == "waiting"}

    def join(self, token: int, seqs: Collection[int]) -> None:
        """Remove deliveries behind the leased head."""
        lane = self._leases[token]
        lane.queue = deque(seq for seq in lane.queue if seq not in seqs)
        self.depth -= len(seqs)
        for seq in seqs:
            self._suspects.pop(seq, None)

    def remove(self, token: int) -> None:
        """End a lease and remove the head; its lane goes on."""
        lane = self._leases.pop(token)
        self._clear_suspect(lane)
        lane.queue.popleft()
        lane.overdue = False
        self.depth -= 1
        if lane.queue:
            lane.max_concurrent_suspects = self._suspects.get(lane.queue[0], 0) if self._suspects else 0
            self._set_free(lane)
        else:
            lane.state = "free"
            del self._lanes[lane.name]

    def renumber(self, name: str, numbers: Mapping[int, int]) -> None:
        """Follow the deliveries of a lane that was sorted: a suspect stays a suspect at its new place."""
        moved = {new: self._suspects.pop(old) for old, new in numbers.items() if old in self._suspects}
        lane = self._lanes.get(name)
        if not moved or lane is None:
            return
        self._suspects |= moved
        lane.max_concurrent_suspects = self._suspects.get(lane.queue[0], 0)
        if lane.state == "free":
            self._set_free(lane)

    def next_due(self, now: float, monotonic: float) -> float | None:
        """Return the earliest end of a wait or of a lease, in Unix seconds; None if nothing waits for a time."""
        while self._waits and not self._is_waiting(self._waits[0]):
            heapq.heappop(self._waits)
        while self._ends and self._ends[0][1] not in self._leases:
            heapq.heappop(self._ends)
        times = [wait[0] for wait in self._waits[:1]] + [now + (end[0] - monotonic) for end in self._ends[:1]]
        return min(times, default=None)

    def adopt(self, rows: Iterable[tuple[int, str, float, int, bool]]) -> Lanes:
        """Return the lanes of all stored deliveries, read again after another process has changed some of them.

        A lease stays in force if its delivery is still the first of its lane. All other leases are over. The `rows`
        come by ascending `seq`: (seq, lane, not_before, max_concurrent_suspects, wakes), the first four as for `add`.
        `wakes` is True if the delivery waits for more deliveries in its lane: see `gather`. Those that are among the rows
        do not end this wait, because they came before it began.
        """
        fresh = Lanes()
        fresh._tokens, fresh._alone = self._tokens, self._alone
        waking: list[_Lane] = []
        for seq, name, not_before, max_concurrent_suspects, wakes in rows:
            fresh.add(name, seq, not_before=not_before, max_concurrent_suspects=max_concurrent_suspects)
            if wakes and fresh._lanes[name].queue[0] == seq:
                waking.append(fresh._lanes[name])
        for held in waking:
            held.wakes = True
        for token, old in self._leases.items():
            lane = fresh._lanes.get(old.name)
            if lane and lane.queue[0] == old.queue[0]:
                fresh._set_leased(lane, token, old.until)
                if old.overdue:
                    fresh._set_free(lane)
                    lane.overdue = True
        return fresh

    @property
    def is_draining(self) -> bool:
        """True while no other lane may be leased: a suspect runs alone, or waits until it can."""
        return self._alone in self._leases or bool(
            self._free_suspects and self._free_suspects[0][1].max_concurrent_suspects == 1
        )

    def _next_suspect(self) -> _Lane | None:
        """Take the lane of the oldest free suspect, if the limits of this suspect and of the running ones allow it."""
        lane = self._next(self._free_suspects)
        if lane is None:
            return None
        running = [other.max_concurrent_suspects for other in self._leases.values() if not other.overdue]
        if may_run(lane.max_concurrent_suspects, running):
            return lane
        self._set_free(lane)
        return None

    def _next_ordinary(self) -> _Lane | None:
        """Take the free lane with the oldest head that is no suspect; None also while no such lane may be leased."""
        return None if self.is_draining else self._next(self._free)

    def _next(self, free: list[tuple[int, _Lane]]) -> _Lane | None:
        """Take the lane with the oldest head from a heap of free lanes."""
        of_suspects = free is self._free_suspects
        while free:
            seq, lane = heapq.heappop(free)
            is_current = lane.state == "free" and lane.queue and lane.queue[0] == seq
            if is_current and bool(lane.max_concurrent_suspects) is of_suspects:
                return lane
        return None

    def _clear_suspect(self, lane: _Lane) -> None:
        if lane.max_concurrent_suspects:
            lane.max_concurrent_suspects = 0
            del self._suspects[lane.queue[0]]

    def _lease(self, lane: _Lane, until: float) -> LaneLease:
        overdue, lane.overdue = lane.overdue, False
        self._leases.pop(lane.token, None)
        self._set_leased(lane, next(self._tokens), until)
        if lane.max_concurrent_suspects == 1:
            self._alone = lane.token
        return LaneLease(lane.queue[0], lane.token, overdue)

    def _set_leased(self, lane: _Lane, token: int, until: float) -> None:
        lane.state, lane.token, lane.until = "leased", token, until
        self._leases[token] = lane
        # The end of a long turn stays in the heap, and behind it the ends of a thousand short turns pile up.
        if len(self._ends) > 2 * len(self._leases) + 64:
            self._ends = [(held.until, token) for token, held in self._leases.items() if held.until < math.inf]
            heapq.heapify(self._ends)
        elif until < math.inf:
            heapq.heappush(self._ends, (until, token))

    def _set_free(self, lane: _Lane) -> None:
        lane.state = "free"
        heapq.heappush(self._free_suspects if lane.max_concurrent_suspects else self._free, (lane.queue[0], lane))

    def _wait(self, lane: _Lane, until: float, *, wakes: bool = False) -> None:
        lane.state, lane.until, lane.overdue, lane.wakes = "waiting", until, False, wakes
        heapq.heappush(self._waits, (until, lane.queue[0], lane))

    @staticmethod
    def _is_waiting(item: tuple[float, int, _Lane]) -> bool:
        until, _, lane = item
        return lane.state == "waiting" and lane.until == until

    def _settle_times(self, now: float, monotonic: float) -> None:
        """Free the lanes whose wait is over, and those whose lease has run out."""
        while self._waits and self._waits[0][0] <= now:
            item = heapq.heappop(self._waits)
            if self._is_waiting(item):
                self._set_free(item[2])
        while self._ends and self._ends[0][0] <= monotonic:
            lane = self._leases.get(heapq.heappop(self._ends)[1])
            if lane:
                # The lease stays valid until the lane is leased again: work that was done late is done.
                lane.overdue = True
                self._set_free(lane)


class LaneWatch:
    """The lanes that are watched. Without any, `note` costs one look at a dict."""

    def __init__(self) -> None:
        self._watched: dict[str, list[asyncio.Event]] = {}

    @contextmanager
    def watch(self, lane: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever a delivery is put into the lane."""
        grew = asyncio.Event()
        self._watched.setdefault(lane, []).append(grew)
        try:
            yield grew
        finally:
            self._watched[lane].remove(grew)
            if not self._watched[lane]:
                del self._watched[lane]

    def note(self, lanes: Iterable[str] | None) -> None:
        """Wake those that watch one of these lanes; None stands for all lanes."""
        if self._watched:
            for lane in list(self._watched) if lanes is None else lanes:
                for grew in self._watched.get(lane, ()):
                    grew.set()


class OpenConversations:
    def __init__(self, conversations: Iterable[ConversationSummary] = ()) -> None:
        self._by_chat: dict[str, tuple[ConversationSummary, ...]] = {}
        for each in conversations:
            self._by_chat[each.chat_id] = (*self.in_chat(each.chat_id), each)

    def add(self, new: ConversationSummary) -> None:
        """Add a conversation, in place of the one with its id."""
        self.remove(new.chat_id, new.id)
        self._by_chat[new.chat_id] = (*self.in_chat(new.chat_id), new)

    def remove(self, chat_id: str, conversation_id: str) -> None:
        self.replace(chat_id, [each for each in self.in_chat(chat_id) if each.id != conversation_id])

    def replace(self, chat_id: str, found: Sequence[ConversationSummary]) -> None:
        """Keep only these conversations of a chat."""
        if found:
            self._by_chat[chat_id] = tuple(found)
        else:
            self._by_chat.pop(chat_id, None)

    def of_person(self, person: str) -> Sequence[ConversationSummary]:
        """Return the conversations in which this person must answer, in all chats. It looks at each."""
        return [each for chat in self._by_chat.values() for each in chat if each.person == person]

    def in_chat(self, chat_id: str) -> Sequence[ConversationSummary]:
        return self._by_chat.get(chat_id, ())


MAX_DELIVERIES: Final = 4096
"""Most deliveries that are kept."""

MAX_BYTES: Final = 8 << 20
"""Largest total size of their bodies."""


class Recent:
    """Deliveries by sequence number, bounded in number and in bytes of their bodies; the oldest are dropped first."""

    def __init__(self) -> None:
        self._deliveries: dict[int, Delivery] = {}
        self._bytes = 0

    def add(self, seq: int, delivery: Delivery) -> None:
        self._deliveries[seq] = delivery
        self._bytes += len(delivery.body)
        while len(self._deliveries) > MAX_DELIVERIES or self._bytes > MAX_BYTES:
            self.drop(next(iter(self._deliveries)))

    def get(self, seq: int) -> Delivery | None:
        return self._deliveries.get(seq)

    def among(self, seqs: Iterable[int]) -> dict[int, Delivery]:
        return {seq: found for seq in seqs if (found := self._deliveries.get(seq))}

    def forget(self, seqs: Iterable[int]) -> None:
        """Drop deliveries whose rows were changed: they are read again."""
        for seq in seqs:
            self.drop(seq)

    def drop(self, seq: int) -> None:
        if dropped := self._deliveries.pop(seq, None):
            self._bytes -= len(dropped.body)


@dataclass(slots=True)
class Earliest:
    """The earliest time in a table, as it was read last, and how often the table had changed then."""

    at: float | None = None
    changes: int = 1
    changes_read: int = 0


class StorageMemory(ABC):
    """The facts that every backend keeps in memory, also one whose lanes are in the database."""

    def __init__(self, limits: InboxLimits) -> None:
        self.limits = limits
        self.changed = asyncio.Event()  # see `Storage.changed`
        self.watched = LaneWatch()  # the lanes that running turns watch
        self.recent = Recent()
        self.conversations = OpenConversations()
        self.holds: dict[str, Hold] = {}  # by chat; those that are over are among them until they are purged
        self.edited: set[str] = set()  # the lanes in which edits wait, and some in which none waits any more
        self.timers = Earliest()
        self.steps = Earliest()  # of broadcasts
        self.active_at: float | None = None  # when the newest webhook was accepted by this process
        # The value of `active_at` in the table `meta`. It lags behind, since each update would cost a page.
        self.noted_at = 0.0
        # See `Storage.has_made_scheduled_sends`. It stays True when the last of these entries is deleted.
        self.has_own_entries = False
        self.purge_at = 0.0  # time before which no purge needs to run
        self.fill_at = 0.0  # time before which no further rows are added to the index of people
        self.names = KnownNames()
        # Seconds for which outcomes are kept; see `Storage.keep_outcomes_days`.
        self.keep_outcomes_s = KEEP_OUTCOMES_DAYS * DAY_S

    @property
    def next_upkeep(self) -> float:
        """The time at which the next transaction deletes old rows, or adds some to the index of people."""
        return min(self.purge_at, self.fill_at)

    @abstractmethod
    def release(self, leases: Iterable[Lease]) -> object:
        """Forget leases that have no holder any more."""

    def forget_times(self) -> None:
        """Have the earliest timer and the next step of a broadcast read again."""
        self.timers.changes += 1
        self.steps.changes += 1

    def follow(self, changes: Changes) -> None:
        if changes.wakes_worker:
            self.changed.set()
        if changes.received_at is not None:
            self.active_at = max(changes.received_at, self.active_at or 0.0)
        if changes.noted_at is not None:
            self.noted_at = changes.noted_at
        self.has_own_entries |= changes.own_entries
        self.timers.changes += changes.timers
        self.steps.changes += changes.steps
        if changes.purge_at is not None:
            self.purge_at = changes.purge_at
        if changes.fill_at is not None:
            self.fill_at = changes.fill_at
        self.names.follow(changes.names_known, is_outdated=changes.forgets_names)
        for chat_id, conversation_id in changes.ended:
            self.conversations.remove(chat_id, conversation_id)
        for conversation in changes.conversations:
            self.conversations.add(conversation)
        self._follow_holds(changes.read_holds | changes.holds)
        if changes.all_edited is not None:
            self.edited.intersection_update(changes.all_edited)
        self.edited |= changes.edited

    def _follow_holds(self, changed: Mapping[str, Hold | None]) -> None:
        for chat, hold in changed.items():
            if hold is None:
                self.holds.pop(chat, None)
            else:
                self.holds[chat] = hold

    def replace_edited(self, lanes: Iterable[str]) -> None:
        """Keep only these lanes with edits. The set stays the same: `Storage.edited` is this one."""
        self.edited.clear()
        self.edited.update(lanes)

    def replace_holds(self, found: Iterable[Hold]) -> None:
        """Keep only these holds. The dict stays the same: `Storage.holds` is this one."""
        self.holds.clear()
        self.holds.update({hold.chat_id: hold for hold in found})
