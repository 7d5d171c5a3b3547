"""A storage that forgets with its process: for tests of your own bot, and the contract in its plainest form."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import Self

from linqbot.clock import Clock, SystemClock
from linqbot.errors import LeaseLost, StorageBusy, StorageError
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import SEEN_KEPT_S, Ack, Bury, DeadLetter, Finish, Lease, Park, Retry
from linqbot.storage.lanes import Lanes
from linqbot.storage.outbox import EFFECTS_KEPT_S, Effect


@dataclass(slots=True)
class _Row:
    delivery: Delivery
    runs: int = 0
    attempts: int = 0
    crashes: int = 0


class MemoryStorage:
    """Inbox, outbox and state in dicts. Closed and opened again, it still knows what it knew.

    Args:
        clock: For leases, retries and how long things are kept.
        max_backlog, max_lane_backlog: Deliveries in the inbox and in one lane; beyond, `put` raises StorageBusy.
    """

    def __init__(
        self, *, clock: Clock | None = None, max_backlog: int = 1_000_000, max_lane_backlog: int = 1000
    ) -> None:
        self._clock = clock or SystemClock()
        self._max_backlog = max_backlog
        self._max_lane_backlog = max_lane_backlog
        self._install = secrets.token_hex(16)
        self._changed = asyncio.Event()
        self._lanes = Lanes()
        self._next_seq = 1
        self._rows: dict[int, _Row] = {}
        self._seen: set[str] = set()
        # What left, oldest first, with its time. A key that ends again goes to the end.
        self._left: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._dead: list[DeadLetter] = []
        self._effects: dict[str, dict[tuple[int, str], Effect]] = {}
        self._keys: dict[str, tuple[str, int, str]] = {}
        self._state: dict[str, dict[str, bytes]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for token in self._lanes.tokens():
            self._lanes.release(token)

    @property
    def install(self) -> str:
        """128 random bits, as 32 hex digits."""
        return self._install

    # Inbox

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery; see `Inbox.put`."""
        self._purge()
        if not self._seen.isdisjoint(_keys(delivery)):
            return False
        if self._lanes.depth >= self._max_backlog:
            raise StorageBusy(f"The backlog is full: {self._max_backlog} deliveries wait.")
        if self._lanes.depth_of(delivery.lane) >= self._max_lane_backlog:
            raise StorageBusy(f"The lane of {delivery.id} is full: {self._max_lane_backlog} deliveries wait.")
        self._seen.update(_keys(delivery))
        self._rows[self._next_seq] = _Row(delivery)
        self._lanes.add(delivery.lane, self._next_seq)
        self._next_seq += 1
        self._changed.set()
        return True

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Claim the oldest delivery of each free lane; see `Inbox.take`."""
        now = self._clock.now()
        leases = []
        for claim in self._lanes.claim(limit, now=now, until=now + lease_s):
            row = self._rows[claim.seq]
            row.crashes += claim.overdue
            leases.append(Lease(row.delivery, claim.token, row.attempts, row.crashes, row.runs))
            row.runs += 1
        return leases

    async def changed(self) -> None:
        """Wait until a `take` may find something new; see `Inbox.changed`."""
        await self._changed.wait()
        self._changed.clear()

    async def next_due(self) -> float | None:
        """When a wait or a lease ends; see `Inbox.next_due`."""
        return self._lanes.next_due()

    async def finish(self, lease: Lease, finish: Finish) -> None:
        """End a turn; see `Inbox.finish`."""
        seq = self._lanes.held(lease.token)
        if seq is None:
            raise LeaseLost(f"The lease on {lease.delivery.id} is over. Nothing was written.")
        for effect in finish.effects:
            self._check_key(effect)
        for effect in finish.effects:
            self._record(effect)
        for write in finish.state:
            values = self._state.setdefault(write.scope, {})
            if write.value is None:
                values.pop(write.name, None)
            else:
                values[write.name] = write.value
        match finish.outcome:
            case Retry(at=at):
                self._rows[seq].attempts += 1
                self._lanes.wait(lease.token, at)
            case Park(at=at):
                self._lanes.wait(lease.token, at)
            case Bury() | Ack():
                self._remove(seq, lease, finish)
        self._purge()
        self._changed.set()

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """What gave up, newest first."""
        return self._dead[::-1][:limit]

    async def depth(self) -> int:
        """How many deliveries are stored and not yet finished."""
        return self._lanes.depth

    async def has_seen(self, delivery_id: str) -> bool:
        """Whether it was stored before; see `Inbox.has_seen`."""
        return delivery_id in self._seen

    # Outbox

    async def begin(self, effect: Effect) -> None:
        """Store an effect before its first attempt; see `Outbox.begin`."""
        if (effect.run, effect.slot) not in self._effects.get(effect.turn, {}):
            self._check_key(effect)
            self._record(effect)

    async def settle(self, effect: Effect) -> None:
        """Store an effect's outcome now; see `Outbox.settle`."""
        self._check_key(effect)
        self._record(effect)

    async def effects(self, turn: str, run: int = 0) -> list[Effect]:
        """The effects on record for a turn, in the order they were begun."""
        return [effect for effect in self._effects.get(turn, {}).values() if effect.run == run]

    async def has_sent(self, message_id: str) -> bool:
        """Whether we made this message; see `Outbox.has_sent`."""
        return any(effect.message_id == message_id for turn in self._effects.values() for effect in turn.values())

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        """All values of a scope, as JSON by name."""
        return dict(self._state.get(scope, {}))

    def _remove(self, seq: int, lease: Lease, finish: Finish) -> None:
        now = self._clock.now()
        row = self._rows.pop(seq)
        self._lanes.remove(lease.token)
        for key in _keys(row.delivery):
            self._left[key] = now
        if isinstance(finish.outcome, Bury):
            # As from disk: nobody will find the decoded body of a dead letter in another backend.
            delivery = replace(row.delivery, decoded=None)
            outcome = finish.outcome
            attempts = row.attempts + outcome.failed
            self._dead.append(
                DeadLetter(delivery, outcome.error, outcome.handler, attempts, row.crashes, buried_at=now)
            )
        else:
            for turn in (row.delivery.id, *(effect.turn for effect in finish.effects)):
                self._ended.pop(turn, None)
                self._ended[turn] = now

    def _check_key(self, effect: Effect) -> None:
        if self._keys.get(effect.key, _place(effect)) != _place(effect):
            raise StorageError("The storage cannot hold this: another effect has its key. Nothing was stored.")

    def _record(self, effect: Effect) -> None:
        rows = self._effects.setdefault(effect.turn, {})
        place = (effect.run, effect.slot)
        if old := rows.get(place):
            self._keys.pop(old.key, None)
        rows[place] = effect
        self._keys[effect.key] = _place(effect)

    def _purge(self) -> None:
        now = self._clock.now()
        while self._left and (oldest := next(iter(self._left.items())))[1] < now - SEEN_KEPT_S:
            del self._left[oldest[0]]
            self._seen.discard(oldest[0])
        while self._ended and (oldest := next(iter(self._ended.items())))[1] < now - EFFECTS_KEPT_S:
            del self._ended[oldest[0]]
            for effect in self._effects.pop(oldest[0], {}).values():
                self._keys.pop(effect.key, None)


def _keys(delivery: Delivery) -> tuple[str, ...]:
    return (delivery.id,) if delivery.message_key is None else (delivery.id, delivery.message_key)


def _place(effect: Effect) -> tuple[str, int, str]:
    return effect.turn, effect.run, effect.slot
