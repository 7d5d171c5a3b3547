"""Which lane may be worked on: free, leased or waiting for a time. In memory, in numbers, without I/O.

Shared by the embedded backends, where one process serves: the rows are the backend's, the turn-taking is here. A
delivery is known by its sequence number only. Everything is O(1) or O(log lanes), however long the backlog; only
`adopt`, after a stranger wrote to the file, looks at all of it.

After crashes somebody among those in flight may be what kills the process. Such suspects run in ever smaller max_concurrent_suspects,
at last alone, so that the guilty one is found and the others, who only stood beside it, are not dead-lettered with it.
"""

from __future__ import annotations

import heapq
import itertools
import math
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto


class _Is(Enum):
    FREE = auto()
    LEASED = auto()
    WAITING = auto()


@dataclass(slots=True, eq=False)
class _Lane:
    """The line of one chat.

    Attributes:
        overdue: Its lease ended by time, so whoever held it may have left entries behind.
        max_concurrent_suspects: Its head is a suspect: at most so many suspects run while it does, and with 1 nobody else. 0: it is none.
    """

    name: str
    queue: deque[int] = field(default_factory=deque)
    state: _Is = _Is.FREE
    token: int = 0
    until: float = 0.0
    overdue: bool = False
    max_concurrent_suspects: int = 0


@dataclass(frozen=True, slots=True)
class LaneLease:
    """A leased head of a lane. `overdue`: an earlier lease on it ended by time, not by `finish`."""

    seq: int
    token: int
    overdue: bool


class Lanes:
    """The lanes that are not empty, and who holds them. Not thread-safe: owned by whoever writes."""

    def __init__(self) -> None:
        self.depth = 0
        self._lanes: dict[str, _Lane] = {}
        self._leases: dict[int, _Lane] = {}
        # Heaps whose entries may be outdated: each is checked against its lane when it comes to the top.
        self._free: list[tuple[int, _Lane]] = []
        self._free_suspects: list[tuple[int, _Lane]] = []
        self._alone = 0  # the last lease that had to be the only one
        self._waits: list[tuple[float, int, _Lane]] = []
        self._ends: list[tuple[float, int]] = []
        # From a random number on: a lease from before a restart must never fit a lease of today.
        self._tokens = itertools.count(secrets.randbits(48) + 1)

    def depth_of(self, lane: str) -> int:
        """How many deliveries the lane holds, the leased one included."""
        known = self._lanes.get(lane)
        return len(known.queue) if known else 0

    def waiting(self, lane: str) -> list[int]:
        """The sequence numbers of a lane, in order, its head included."""
        known = self._lanes.get(lane)
        return list(known.queue) if known else []

    def add(self, name: str, seq: int, *, not_before: float = 0.0, max_concurrent_suspects: int = 0) -> None:
        """Append a delivery to its lane. `seq` is greater than every other of the lane; only a head is a suspect."""
        self.depth += 1
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

    def may_add_leased(self, name: str) -> bool:
        """Whether a delivery put into this lane now could be leased at once."""
        return name not in self._lanes and not self._is_draining

    def add_leased(self, name: str, seq: int) -> int:
        """Put a delivery into an empty lane as leased already; returns its token. `prolong` says until when."""
        self.depth += 1
        lane = self._lanes[name] = _Lane(name)
        lane.queue.append(seq)
        return self._lease(lane, math.inf).token

    def prolong(self, token: int, until: float) -> None:
        """Set the end of a lease that has none yet."""
        self._hold(self._leases[token], token, until)

    def has_free(self, now: float) -> bool:
        """Whether a `lease` would find a lane nobody holds."""
        self._settle_times(now)
        for free in (self._free_suspects, self._free):
            if (lane := self._next(free)) is not None:
                self._set_free(lane)
                return True
        return False

    def lease(self, limit: int, *, now: float, until: float) -> list[LaneLease]:
        """LaneLease the heads of free lanes, oldest first, at most `limit`; suspects only in the max_concurrent_suspects they may have."""
        self._settle_times(now)
        leases: list[LaneLease] = []
        while len(leases) < limit and (lane := self._next_suspect()) is not None:
            leases.append(self._lease(lane, until))
        while len(leases) < limit and not self._is_draining and (lane := self._next(self._free)) is not None:
            leases.append(self._lease(lane, until))
        return leases

    def held(self, token: int) -> int | None:
        """The sequence number leased under `token`; None when the lease is over and somebody else may be at it."""
        lane = self._leases.get(token)
        return lane.queue[0] if lane else None

    def release(self, token: int, *, overdue: bool = False) -> None:
        """Undo a lease. `overdue` as it was when leased, if that was never written down."""
        lane = self._leases.pop(token)
        lane.overdue = overdue
        self._set_free(lane)

    def wait(self, token: int, until: float) -> None:
        """End a lease: the head stays the head, and its lane waits. A suspect that lived to say so is none any more."""
        lane = self._leases.pop(token)
        lane.max_concurrent_suspects = 0
        self._wait(lane, until)

    def remove(self, token: int) -> None:
        """End a lease: the head is gone, its lane goes on."""
        lane = self._leases.pop(token)
        lane.queue.popleft()
        lane.overdue = False
        lane.max_concurrent_suspects = 0
        self.depth -= 1
        if lane.queue:
            self._set_free(lane)
        else:
            lane.state = _Is.FREE
            del self._lanes[lane.name]

    def next_due(self) -> float | None:
        """The earliest end of a wait or of a lease; None when nothing waits for a time."""
        while self._waits and not self._is_waiting(self._waits[0]):
            heapq.heappop(self._waits)
        while self._ends and self._ends[0][1] not in self._leases:
            heapq.heappop(self._ends)
        times = [heap[0][0] for heap in (self._waits, self._ends) if heap]
        return min(times, default=None)

    def tokens(self) -> list[int]:
        """The leases in force."""
        return list(self._leases)

    def adopt(self, rows: Iterable[tuple[int, str, float, int]]) -> Lanes:
        """Lanes made anew from (seq, lane, not_before, max_concurrent_suspects) in order, keeping the leases on heads still there."""
        fresh = Lanes()
        fresh._tokens, fresh._alone = self._tokens, self._alone
        for seq, name, not_before, max_concurrent_suspects in rows:
            fresh.add(name, seq, not_before=not_before, max_concurrent_suspects=max_concurrent_suspects)
        for token, old in self._leases.items():
            lane = fresh._lanes.get(old.name)
            if lane and lane.queue[0] == old.queue[0]:
                fresh._hold(lane, token, old.until)
                if old.overdue:
                    fresh._set_free(lane)
                    lane.overdue = True
        return fresh

    @property
    def _is_draining(self) -> bool:
        """Nobody may begin: a suspect runs alone, or waits for the others to end so that it can."""
        return self._alone in self._leases or bool(
            self._free_suspects and self._free_suspects[0][1].max_concurrent_suspects == 1
        )

    def _next_suspect(self) -> _Lane | None:
        """The lane of the oldest free suspect, if those who run now are max_concurrent_suspects it may have, and it theirs."""
        lane = self._next(self._free_suspects)
        if lane is None:
            return None
        running = [other.max_concurrent_suspects for other in self._leases.values() if not other.overdue]
        suspects = [max_concurrent_suspects for max_concurrent_suspects in running if max_concurrent_suspects]
        if (lane.max_concurrent_suspects == 1 and running) or len(suspects) >= min(
            [lane.max_concurrent_suspects, *suspects]
        ):
            self._set_free(lane)
            return None
        return lane

    @staticmethod
    def _next(free: list[tuple[int, _Lane]]) -> _Lane | None:
        """Take the lane of the oldest head out of a heap of free ones."""
        while free:
            seq, lane = heapq.heappop(free)
            if lane.state is _Is.FREE and lane.queue and lane.queue[0] == seq:
                return lane
        return None

    def _lease(self, lane: _Lane, until: float) -> LaneLease:
        overdue, lane.overdue = lane.overdue, False
        self._leases.pop(lane.token, None)
        self._hold(lane, next(self._tokens), until)
        if lane.max_concurrent_suspects == 1:
            self._alone = lane.token
        return LaneLease(lane.queue[0], lane.token, overdue)

    def _hold(self, lane: _Lane, token: int, until: float) -> None:
        lane.state, lane.token, lane.until = _Is.LEASED, token, until
        self._leases[token] = lane
        # One long turn keeps its end at the top and the ends of a thousand short ones behind it.
        if len(self._ends) > 2 * len(self._leases) + 64:
            self._ends = [(held.until, token) for token, held in self._leases.items() if held.until < math.inf]
            heapq.heapify(self._ends)
        elif until < math.inf:
            heapq.heappush(self._ends, (until, token))

    def _set_free(self, lane: _Lane) -> None:
        lane.state = _Is.FREE
        heapq.heappush(self._free_suspects if lane.max_concurrent_suspects else self._free, (lane.queue[0], lane))

    def _wait(self, lane: _Lane, until: float) -> None:
        lane.state, lane.until, lane.overdue = _Is.WAITING, until, False
        heapq.heappush(self._waits, (until, lane.queue[0], lane))

    @staticmethod
    def _is_waiting(entry: tuple[float, int, _Lane]) -> bool:
        until, _, lane = entry
        return lane.state is _Is.WAITING and lane.until == until

    def _settle_times(self, now: float) -> None:
        """Free the lanes whose wait is over, and those whose lease has ended."""
        while self._waits and self._waits[0][0] <= now:
            entry = heapq.heappop(self._waits)
            if self._is_waiting(entry):
                self._set_free(entry[2])
        while self._ends and self._ends[0][0] <= now:
            lane = self._leases.get(heapq.heappop(self._ends)[1])
            if lane:
                # The lease stays good until somebody takes the lane: work that was done late is done.
                lane.overdue = True
                self._set_free(lane)
