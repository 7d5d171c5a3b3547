"""Many rows in one statement: what is stored is what was given, whatever is missing in some rows or in all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from linqbot.storage.sqlite.transaction import insert


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
