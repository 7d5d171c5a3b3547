"""The inbox compared with a model: after any sequence of operations, lanes keep their order and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from linqbot_postgres.storage import PostgresStorage
from postgres_server import empty_storage_url

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost, StorageBusy
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import SEEN_KEPT_S, Ack, Commit, DeadLetter, Defer, Lease, Outcome, Retry
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Selection

T = TypeVar("T")

LANE_LIMIT = 4
LEASE_S = 60.0


@dataclass
class Waiting:
    """A delivery in the inbox of the model. `lease` is set while it is leased, `prefetched` until a `take` returns it."""

    id: str
    keys: tuple[str, ...]
    accepted: int = 0
    attempts: int = 0
    crashes: int = 0
    crashed_with_others: int = 0
    must_be_alone: bool = False
    prefetched: bool = False
    delivery_count: int = 0
    replay: int = 0
    sent_at: float = 0.0
    postponed: bool = False
    gathers: bool = False
    not_before: float = 0.0
    until: float = 0.0
    lease: Lease | None = None


@dataclass(frozen=True)
class Kept:
    """A delivery that left the inbox and may come back."""

    id: str
    keys: tuple[str, ...]
    lane: str
    delivery_count: int
    replay: int
    sent_at: float


@dataclass
class Model:
    lanes: dict[str, list[Waiting]] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    accepted: int = 0
    dead: dict[str, Kept] = field(default_factory=dict)
    done: dict[str, Kept] = field(default_factory=dict)
    timers: dict[str, Timer] = field(default_factory=dict)

    def accept(self, lane: str, row: Waiting) -> None:
        self.accepted += 1
        row.accepted = self.accepted
        rows = self.lanes.setdefault(lane, [])
        if rows and rows[0].gathers and not rows[0].lease:
            rows[0].not_before = 0.0
        rows.append(row)

    def heads(self) -> list[Waiting]:
        return sorted((lane[0] for lane in self.lanes.values() if lane), key=lambda head: head.accepted)

    def held(self) -> list[Waiting]:
        return [head for head in self.heads() if head.lease]

    def live_keys(self) -> set[str]:
        return {key for lane in self.lanes.values() for row in lane for key in row.keys}


class InboxMachine(RuleBasedStateMachine):
    """The rules of all backends. Subclasses create the storage and say how it counts crashes.

    Attributes:
        prefetches: True if the backend prefetches: it leases new deliveries while the last `take` has capacity.
    """

    prefetches = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = MovableClock(1_800_000_000.0, frozen=True)
        self.folder = Path(tempfile.mkdtemp(prefix="linqbot-model-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        self.model = Model()
        self.lost: list[Lease] = []
        self.capacity = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def stored(self, delivery: Delivery) -> bool:
        return await self.storage.put(delivery)

    def make(self) -> Storage:
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        self.storage = self.make()
        self.run(self.storage.__aenter__())

    def teardown(self) -> None:
        self.run(self.storage.__aexit__())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(lane=st.sampled_from("abc"), name=st.integers(0, 40), message=st.none() | st.integers(0, 10))
    def put(self, lane: str, name: int, message: int | None) -> None:
        key = None if message is None else f"m.{message}"
        delivery = Delivery(f"w.{name}", lane, "message.received", b"{}", self.clock.now(), key)
        keys = (delivery.id, key) if key else (delivery.id,)
        rows = self.model.lanes.setdefault(lane, [])
        known = not self.model.live_keys().isdisjoint(keys)
        recent = any(self.clock.now() - self.model.left.get(k, 0.0) <= SEEN_KEPT_S for k in keys)
        # Older ids are deleted with later transactions, at no fixed time.
        maybe = any(k in self.model.left for k in keys)
        try:
            stored = self.run(self.stored(delivery))
        except StorageBusy:
            assert len(rows) >= LANE_LIMIT
            assert not known
            assert not recent
            return
        if known or recent:
            assert not stored
        elif not maybe:
            assert stored
        if stored:
            assert len(rows) < LANE_LIMIT
            draining = any(head.must_be_alone for head in self.model.heads())
            prefetched = self.prefetches and self.capacity > 0 and not rows and not draining
            self.capacity -= prefetched
            self.model.accept(lane, Waiting(delivery.id, keys, prefetched=prefetched, sent_at=self.clock.now()))

    @rule(
        lane=st.sampled_from("abc"),
        name=st.integers(50, 60),
        age_s=st.sampled_from([0.0, 5.0, 50.0]),
        back=st.booleans(),
    )
    def put_in_order(self, lane: str, name: int, age_s: float, back: bool) -> None:
        now = self.clock.now()
        at = datetime.fromtimestamp(now - age_s, UTC).isoformat()
        missed = Delivery(f"w.{name}", lane, "message.received", b'{"created_at": "%s"}' % at.encode(), now)
        rows = self.model.lanes.setdefault(lane, [])
        left = self.model.left.get(missed.id)
        if missed.id in self.model.live_keys() or left is not None:
            return
        head = rows[0] if rows else None
        lease = head.lease if head and back and head.lease and head.until > now else None
        assert self.run(self.storage.put_in_order(lane, [missed], lease)) == 1
        if head and lease:
            self.lost.append(lease)
            head.lease, head.delivery_count = None, head.delivery_count - 1
        self.model.accept(lane, Waiting(missed.id, (missed.id,), sent_at=now - age_s))
        rows = self.model.lanes[lane]
        movable = [n for n, row in enumerate(rows) if not row.lease and not row.prefetched and not row.postponed]
        numbers = [rows[n].accepted for n in movable]
        ordered = sorted((rows[n] for n in movable), key=lambda row: (row.sent_at, row.accepted))
        for n, row, number in zip(movable, ordered, numbers, strict=True):
            rows[n], row.accepted = row, number

    @rule(limit=st.integers(0, 4))
    def take(self, limit: int) -> None:
        now = self.clock.now()
        free = [head for head in self.ready(now) if not head.prefetched]
        ready = self.may_begin(now)[:limit]
        leases = self.run(self.storage.take(limit, lease_s=LEASE_S))
        assert [lease.delivery.id for lease in leases] == [head.id for head in ready]
        for lease, head in zip(leases, ready, strict=True):
            if head.lease:
                head.crashes += 1
                self.lost.append(head.lease)
            for counted in ("attempts", "crashes", "delivery_count", "replay"):
                assert getattr(lease, counted) == getattr(head, counted), counted
            head.lease, head.until, head.prefetched, head.gathers = lease, now + LEASE_S, False, False
            head.delivery_count += 1
        if free or not limit:
            for head in self.model.heads():
                head.prefetched = False
        left = limit - len(leases) - sum(head.prefetched for head in self.model.heads())
        self.capacity = max(left, 0)

    def may_begin(self, now: float) -> list[Waiting]:
        ready = self.ready(now)
        running = [head for head in self.model.heads() if head.lease and head.until > now]
        if suspects := [head for head in ready if head.must_be_alone]:
            return suspects[: 0 if running else 1]
        return [] if any(head.must_be_alone for head in running) else ready

    def ready(self, now: float) -> list[Waiting]:
        return [head for head in self.model.heads() if (head.until if head.lease else head.not_before) <= now]

    @precondition(lambda self: self.model.held())
    @rule(
        which=st.integers(0, 10),
        kind=st.sampled_from(["ack", "ack", "retry", "defer", "dead_letter"]),
        after_s=st.sampled_from([-1.0, 0.0, 10.0, 100.0]),
    )
    def finish(self, which: int, kind: str, after_s: float) -> None:
        held = self.model.held()
        head = held[which % len(held)]
        at = self.clock.now() + after_s
        outcomes: dict[str, Outcome] = {
            "ack": Ack(),
            "retry": Retry(at=at, error="Boom"),
            "defer": Defer(at=at, reason="away"),
            "dead_letter": DeadLetter(error="Boom"),
        }
        assert head.lease
        self.run(self.storage.finish(head.lease, Commit(outcomes[kind])))
        self.lost.append(head.lease)
        head.lease = None
        if kind in {"ack", "dead_letter"}:
            self.model.left.update(dict.fromkeys(head.keys, self.clock.now()))
            (lane,) = (name for name, rows in self.model.lanes.items() if head in rows)
            self.model.lanes[lane].remove(head)
            place = self.model.done if kind == "ack" else self.model.dead
            place[head.id] = Kept(head.id, head.keys, lane, head.delivery_count, head.replay, head.sent_at)
        else:
            head.not_before = at
            head.attempts += kind == "retry"
            head.postponed = True
            head.crashed_with_others, head.must_be_alone = 0, False

    def untouched(self) -> list[tuple[str, Waiting]]:
        """Return the leased heads of which no run has ended, with their lanes."""
        heads = [(name, rows[0]) for name, rows in self.model.lanes.items() if rows and rows[0].lease]
        return sorted((one for one in heads if not one[1].postponed), key=lambda one: one[1].accepted)

    @precondition(lambda self: self.untouched())
    @rule(which=st.integers(0, 10), after_s=st.sampled_from([-1.0, 10.0, 100.0]), fewer=st.integers(0, 1))
    def gather(self, which: int, after_s: float, fewer: int) -> None:
        lane, head = self.untouched()[which % len(self.untouched())]
        behind = len(self.model.lanes[lane]) - 1
        known = max(behind - fewer, 0)
        until = self.clock.now() + after_s
        assert head.lease
        self.run(self.storage.gather(head.lease, until, known=known))
        self.lost.append(head.lease)
        head.lease, head.gathers, head.delivery_count = None, True, head.delivery_count - 1
        head.not_before = until if known == behind else 0.0

    @precondition(lambda self: self.untouched())
    @rule(which=st.integers(0, 10), count=st.integers(0, 3), again=st.booleans())
    def join(self, which: int, count: int, again: bool) -> None:
        lane, head = self.untouched()[which % len(self.untouched())]
        rows = self.model.lanes[lane]
        others = rows[1 : 1 + count]
        assert head.lease
        assert [each.id for each in self.run(self.storage.following(lane, count))] == [row.id for row in others]
        self.run(self.storage.join(head.lease, head.lease.delivery, [row.id for row in others], again=again))
        head.replay += again
        for row in others:
            rows.remove(row)
            self.model.left.update(dict.fromkeys(row.keys, self.clock.now()))

    @precondition(lambda self: self.lost)
    @rule(which=st.integers(0, 10))
    def finish_too_late(self, which: int) -> None:
        with pytest.raises(LeaseLost):
            self.run(self.storage.finish(self.lost[which % len(self.lost)], Commit(Ack())))

    @precondition(lambda self: self.model.dead)
    @rule(which=st.integers(0, 10), again=st.booleans())
    def retry(self, which: int, again: bool) -> None:
        kept = list(self.model.dead.values())[which % len(self.model.dead)]
        if not self.model.live_keys().isdisjoint(kept.keys[1:]):
            return  # The same message waits under another event: the model does not know when ids are deleted then.
        moved = self.run(self.storage.retry([kept.id] * (1 + again)))
        assert moved == (kept.id not in self.model.live_keys())
        if moved:
            del self.model.dead[kept.id]
            row = Waiting(kept.id, kept.keys, replay=kept.replay, sent_at=kept.sent_at)
            row.delivery_count = kept.delivery_count
            self.model.accept(kept.lane, row)

    @precondition(lambda self: self.model.dead or self.model.done)
    @rule(which=st.integers(0, 10))
    def replay(self, which: int) -> None:
        all_kept = self.model.done | self.model.dead
        kept = list(all_kept.values())[which % len(all_kept)]
        if not self.model.live_keys().isdisjoint(kept.keys[1:]):
            return
        moved = self.run(self.storage.replay_live([kept.id]))
        assert moved == (kept.id not in self.model.live_keys())
        if moved:
            self.model.dead.pop(kept.id, None)
            self.model.done.pop(kept.id, None)
            self.model.accept(kept.lane, Waiting(kept.id, kept.keys, replay=kept.replay + 1, sent_at=kept.sent_at))

    @rule(name=st.integers(0, 3), lane=st.sampled_from("abc"), after_s=st.sampled_from([-5.0, 0.0, 10.0, 100.0]))
    def schedule(self, name: int, lane: str, after_s: float) -> None:
        timer = Timer(str(name), self.clock.now() + after_s, lane, "send", b"{}")
        key = f"i.send.{name}"
        known = timer.id in self.model.timers or key in self.model.live_keys()
        left = self.model.left.get(key)
        stored = self.run(self.storage.schedule(timer))
        if known or (left is not None and self.clock.now() - left <= SEEN_KEPT_S):
            assert not stored
        elif left is None:
            assert stored
        if stored:
            self.model.timers[timer.id] = timer

    @rule(name=st.integers(0, 3))
    def cancel(self, name: int) -> None:
        assert self.run(self.storage.cancel(str(name))) == (self.model.timers.pop(str(name), None) is not None)

    @rule(limit=st.integers(1, 3))
    def fire(self, limit: int) -> None:
        waiting = sorted(self.model.timers.values(), key=lambda timer: timer.due)
        due = [timer for timer in waiting if timer.due <= self.clock.now()][:limit]
        assert self.run(self.storage.fire(self.clock.now(), limit=limit)) == len(due)
        for timer in due:
            del self.model.timers[timer.id]
            key = f"i.send.{timer.id}"
            self.model.accept(timer.lane, Waiting(key, (key,), sent_at=self.clock.now()))

    @rule(seconds=st.sampled_from([1.0, 10.0, 59.0, 60.0, 3600.0, SEEN_KEPT_S, SEEN_KEPT_S + 61]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.run(self.storage.__aexit__())
        self.run(self.storage.__aenter__())
        self.count_crash(self.model.held())
        self.forget_leases()

    def count_crash(self, held: list[Waiting]) -> None:
        for head in held:
            # At most three are leased, so the limit is always 1.
            head.must_be_alone = head.crashes + head.crashed_with_others > 0
            head.crashes += len(held) == 1
            head.crashed_with_others += len(held) > 1

    def forget_leases(self) -> None:
        for head in self.model.held():
            assert head.lease
            self.lost.append(head.lease)
            head.lease, head.not_before = None, 0.0
        for head in self.model.heads():
            head.prefetched = False
        self.capacity = 0

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.run(self.storage.depth()) == sum(map(len, self.model.lanes.values()))

    @invariant()
    def order_is_that_of_acceptance(self) -> None:
        rows = sorted((row for lane in self.model.lanes.values() for row in lane), key=lambda row: row.accepted)
        waiting = self.run(self.storage.waiting())
        assert [(each.id, each.replay) for each in waiting] == [(row.id, row.replay) for row in rows]

    @invariant()
    def kept_deliveries_can_be_replayed(self) -> None:
        assert set(self.run(self.storage.replayable(Selection()))) == self.model.done.keys() | self.model.dead.keys()

    @invariant()
    def the_next_timer_is_known(self) -> None:
        due = min((timer.due for timer in self.model.timers.values()), default=None)
        assert self.run(self.storage.next_timer()) == due

    @invariant()
    def the_next_time_is_known(self) -> None:
        now = self.clock.now()
        times = [head.until if head.lease else head.not_before for head in self.model.heads()]
        future = [time for time in times if time > now]
        due = self.run(self.storage.next_due())
        # A time that has passed since the last take may still be returned.
        assert due == min(future, default=None) or (due is not None and due <= now)


class MemoryMachine(InboxMachine):
    def make(self) -> Storage:
        return MemoryStorage(clock=self.clock, max_lane_backlog=LANE_LIMIT, keep_days=1000)


class SQLiteMachine(InboxMachine):
    prefetches = True

    def make(self) -> Storage:
        self.path = self.folder / "bot.db"
        return SQLiteStorage(self.path, clock=self.clock, max_lane_backlog=LANE_LIMIT, keep_days=1000)

    @rule()
    def crash(self) -> None:
        """Continue with a copy of the files as they are now, as after a kill."""
        image = Path(tempfile.mkdtemp(dir=self.folder)) / "bot.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{image}{suffix}")
        self.run(self.storage.__aexit__())
        self.path = image
        self.storage = SQLiteStorage(image, clock=self.clock, max_lane_backlog=LANE_LIMIT, keep_days=1000)
        self.run(self.storage.__aenter__())
        prefetched = [head for head in self.model.heads() if head.prefetched]
        held = [*self.model.held(), *prefetched]
        for head in prefetched:
            head.delivery_count += 1
        self.count_crash(held)
        self.forget_leases()


class PostgresMachine(InboxMachine):
    """Its storage closes as if it had crashed: both count the leases in the same way."""

    def make(self) -> Storage:
        return PostgresStorage(
            empty_storage_url("model"), clock=self.clock, max_lane_backlog=LANE_LIMIT, keep_days=1000
        )


@pytest.mark.parametrize(
    "machine",
    [
        MemoryMachine,
        pytest.param(SQLiteMachine, marks=pytest.mark.slow),
        pytest.param(PostgresMachine, marks=[pytest.mark.slow, pytest.mark.process]),
    ],
)
def test_the_inbox_behaves_like_its_model(machine: type[InboxMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            # In memory the same rules are quicker: fewer examples are left for what differs in a file and in PostgreSQL.
            max_examples={SQLiteMachine: 24, PostgresMachine: 8}.get(machine, 40),
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
