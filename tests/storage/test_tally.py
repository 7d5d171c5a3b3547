"""The tally of outcomes, with every backend: the graphs of operators are right, and do not read every outcome."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from storage.conftest import MakeStorage, delivery, handle, passes

from linqbot.clock import MovableClock
from linqbot.storage import tally
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.outcomes import OutcomeRow, Result
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage

BEGIN = 1_799_999_100.0
"""The beginning of a quarter of an hour."""


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(BEGIN + 100, frozen=True)


async def ended(storage: Storage, clock: MovableClock, outcome: Result, ms: float | None) -> None:
    each = delivery()
    row = OutcomeRow(each.id, each.lane, each.type, None, None, clock.now(), outcome, ms=ms)
    await handle(storage, each, commit=Commit(Ack(), record=row))


async def test_outcomes_are_counted_before_and_after_they_are_in_the_tally(
    make_storage: MakeStorage, clock: MovableClock
) -> None:
    async with make_storage() as storage:
        await ended(storage, clock, "handled", 4.0)
        await ended(storage, clock, "handled", 8.0)
        await ended(storage, clock, "retry", None)
        first = [(0, "handled", 2, 6.0), (0, "retry", 1, None)]
        assert await storage.outcome_counts(since=BEGIN, width_s=900) == first
        for _ in range(3):
            await passes(200, storage, clock)
        assert await storage.outcome_counts(since=BEGIN, width_s=900) == first
        clock.advance(900)
        await ended(storage, clock, "handled", 12.0)
        assert await storage.outcome_counts(since=BEGIN, width_s=900) == [*first, (1, "handled", 1, 12.0)]
        assert await storage.outcome_counts(since=BEGIN, width_s=1800) == [
            (0, "handled", 3, 8.0),
            (0, "retry", 1, None),
        ]
        assert await storage.outcome_counts(since=BEGIN + 900, width_s=900) == [(0, "handled", 1, 12.0)]
        await passes(61, storage, clock)
        await passes(61, storage, clock)
        assert await storage.outcome_counts(since=BEGIN, width_s=900) == [*first, (1, "handled", 1, 12.0)]


async def test_the_tally_of_old_days_is_deleted(make_storage: MakeStorage, clock: MovableClock) -> None:
    async with make_storage() as storage:
        await ended(storage, clock, "handled", 4.0)
        await passes(100, storage, clock)
        await passes(3 * 86_400, storage, clock)
        await ended(storage, clock, "handled", 4.0)
        for _ in range(2):
            await passes(100, storage, clock)
        assert len(await storage.outcome_counts(since=0.0, width_s=900)) == 1


async def test_a_graph_of_many_outcomes_reads_few_rows(
    path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def counting(of: Path) -> sqlite3.Connection:
        db = file.connect(of)
        db.set_progress_handler(lambda: steps.append(1), 100)
        return db

    monkeypatch.setattr("linqbot.storage.sqlite.storage.connect", counting)
    costs = []
    async with SQLiteStorage(path, clock=clock) as storage:
        for _ in range(2):
            for _ in range(200):
                await ended(storage, clock, "handled", 4.0)
            for _ in range(2):
                await passes(100, storage, clock)
            steps.clear()
            assert await storage.outcome_counts(since=BEGIN, width_s=900)
            costs.append(len(steps))
    assert costs[1] <= costs[0] + 2
    assert tally.SPAN_S == 900.0
