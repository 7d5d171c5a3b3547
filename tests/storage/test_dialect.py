"""SQL that is written once, as SQLite gets it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from linqbot.storage.dialect import drive, sqlite_form
from linqbot.storage.sqlite.transaction import SQLiteReader


def test_a_statement_has_the_same_rows_in_sqlite_in_any_order_of_parameters(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, Sequence[Any], list[tuple[Any, ...]]]] = [
        ("SELECT n FROM t WHERE n = $1", [2], [(2,)]),
        ("SELECT n FROM t WHERE n > $2 AND n < $1 FOR UPDATE SKIP LOCKED", [4, 1], [(2,), (3,)]),
        ("SELECT n, $1::text FROM t WHERE word = $1", ["two"], [(2, "two")]),
        ("SELECT n FROM t WHERE n = ANY($2) AND word = ANY($1)", [["two", "four", "$1"], [1, 2, 4, 9]], [(2,), (4,)]),
        ("SELECT n FROM t WHERE n = ANY($1)", [{3}], [(3,)]),
        ("SELECT n FROM t WHERE word = ANY($1)", [[]], []),
        ("SELECT n FROM t WHERE n = ANY($1) AND word = ANY($2)", [[5], ["fünf", "two"]], [(5,)]),
        ("SELECT n FROM t WHERE word = ANY($1)", [["fünf"]], [(5,)]),
        ("SELECT n FROM t WHERE word = ANY($1)", [["\ud800"]], []),
        ("SELECT n FROM t WHERE word = ANY($1)", [[None]], []),
    ]
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (n INTEGER, word TEXT)")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(1, "one"), (2, "two"), (3, "three"), (4, "four"), (5, "fünf")])
    for sql, values, found in rows:
        with subtests.test(sql=sql):
            assert drive(SQLiteReader(db).fetch(sql, *values)) == found
            assert drive(SQLiteReader(db).value(sql, *values)) == (found[0][0] if found else None)
    assert sqlite_form("SELECT 1").sql == "SELECT 1"
    db.close()


def test_a_coroutine_over_sqlite_may_not_wait() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="has waited"):
        drive(waits())
