"""The index follows a transaction after the commit, and a roll-back leaves it as it was. Rows are stored as they were given."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from storage.conftest import NOON, delivery

from linqbot.events import Delivery
from linqbot.storage.sqlite.transaction import Index, IndexChanges, insert


def stored(index: Index, *deliveries: Delivery) -> list[int]:
    """Apply a transaction that stores these deliveries, and return their sequence numbers."""
    changes = IndexChanges(accepted=index.number(deliveries))
    index.apply(changes)
    return [seq for seq, _ in changes.accepted]


def test_a_rolled_back_lease_is_free_again_and_still_counts_as_overdue() -> None:
    index = Index()
    stored(index, delivery("c:1"))
    index.lease(1, IndexChanges(), now=NOON, monotonic=NOON, until=NOON + 60)
    for _ in range(2):
        changes = IndexChanges()
        (lease,) = index.lease(1, changes, now=NOON + 60, monotonic=NOON + 60, until=NOON + 120)
        assert lease.overdue
        index.discard(changes)
    assert index.lanes.leased_by(lease.token) is None


def test_a_reload_never_reuses_a_number() -> None:
    index = Index()
    stored(index, delivery("c:1"), delivery("c:1"))
    index.reload([(1, "c:1", 0.0, 0, False)], last_seq=1, noted_at=NOON - 30)
    assert (index.next_seq, index.lanes.depth) == (3, 1)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE thing (n INTEGER PRIMARY KEY, name TEXT, note TEXT, size INTEGER)")
        yield db


def test_a_value_that_only_some_rows_have_is_stored_for_these_rows(db: sqlite3.Connection) -> None:
    rows = [(n, f"thing {n}", "note" if n == 2 else None, None) for n in range(45)]

    insert(db, "thing (n, name, note, size)", rows)

    assert db.execute("SELECT * FROM thing ORDER BY n").fetchall() == rows


def test_a_column_without_any_value_is_no_part_of_the_statement(db: sqlite3.Connection) -> None:
    statements: list[str] = []
    db.set_trace_callback(statements.append)

    insert(db, "thing (n, name, note, size)", [(1, "one", None, 10), (2, "two", None, None)])

    assert statements == ["INSERT INTO thing (n, name, size) VALUES (1,'one',10),(2,'two',NULL) "]


def test_a_row_that_replaces_another_takes_its_missing_values_too(db: sqlite3.Connection) -> None:
    insert(db, "thing (n, name, note, size)", [(1, "one", "old", 10)])

    replace = "ON CONFLICT (n) DO UPDATE SET note = excluded.note, size = excluded.size"
    insert(db, "thing (n, name, note, size)", [(1, "one", None, 11)], replace)

    assert db.execute("SELECT * FROM thing").fetchall() == [(1, "one", None, 11)]
