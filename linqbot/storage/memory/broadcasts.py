"""The broadcasts of a storage in memory; see `broadcasts.py` for the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from linqbot.events.delivery import Delivery
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
from linqbot.types.proactive.broadcast import Broadcast, BroadcastStatus, Recipient, RecipientOutcome


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
