"""docs/storage.md lists every table and every column with personal data, as the schema of each backend has them."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from postgres_server import connected
from storage.conftest import open_and_close

from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S
from linqbot.storage.inbox import SEEN_KEPT_S
from linqbot.storage.journal import ENTRIES_KEPT_S
from linqbot.storage.open import open_storage

PAGE = (Path(__file__).parents[2] / "docs" / "storage.md").read_text().partition("\n## What is kept, and")[2]
PAGE = PAGE.partition("\n## ")[0]
ROWS = [
    ([*re.findall(r"`(\w+)`", tables)], {*re.findall(r"`([a-z_]+)`", personal)})
    for tables, personal in re.findall(r"^\| (`[\w`, ]+`) \| (.*?) \|", PAGE, re.MULTILINE)
]
"""The tables of each row of the page, and their columns with personal data."""

ONLY_POSTGRES = set(re.findall(r"^\| `(\w+)` \| [^|]*\(PostgreSQL", PAGE, re.MULTILINE))
NEUTRAL = """
    acked_at asked_at counts at attempts broadcast calls carrier crashed_with_others crashes
    crashes_before_progress created_at dead_lettered_at delivery delivery_count delivery_id digest
    due ended_at first_at grace_s handler id key kind leased line lock max_concurrent_suspects
    message_id message_key ms n name next_at not_before off_the_record only_proactive outcome owner padding per_minute
    progress purpose put_back received_at replay runs safety seq settled since slot started_at status steps texts token trace_id tried turn
    type until value verdict waits what why
"""
"""Columns without personal data: ids, times, counts, words of linqbot, and names that a bot's author chooses."""


async def columns(url: str) -> dict[str, set[str]]:
    """Return the columns of each table of a new storage."""
    found = defaultdict[str, set[str]](set)
    await open_and_close(open_storage(url))
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                found[table] = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        return found
    sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    async with connected(url) as server:
        for table, column in await server.fetch(sql):
            found[table].add(column)
    return found


async def test_the_page_lists_every_table_and_every_column_with_personal_data(url: str) -> None:
    real = await columns(url)
    listed = {table: personal for tables, personal in ROWS for table in tables}
    assert set(listed) - (ONLY_POSTGRES if url.startswith("sqlite") else set()) == set(real)
    for tables, personal in ROWS:
        theirs = set[str]().union(*(real[table] for table in tables if table in real))
        if theirs:
            assert personal <= theirs, (tables, personal - theirs)
        known = personal | {*NEUTRAL.split()} - ({"value"} if tables == ["state"] else set())
        assert theirs <= known, f"Say in docs/storage.md, or here, if {theirs - known} of {tables} hold personal data."


def test_the_page_names_the_times_for_which_rows_are_kept() -> None:
    day = 86_400
    assert (7 * day, 30 * day, day, day) == (ENTRIES_KEPT_S, FAILED_KEPT_S, ENDED_KEPT_S, SEEN_KEPT_S)
    said = (
        "| 7 days, or these, after its turn",
        "a day after a timeout; 30 days after a failure",
        "| at least a day |",
    )
    assert [each for each in said if each not in PAGE] == []
