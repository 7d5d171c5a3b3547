"""docs/storage.md lists every table and every column with personal data, as a storage has them."""

from __future__ import annotations

import re
from pathlib import Path

from linqbot.storage.contents import TABLES
from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S
from linqbot.storage.inbox import SEEN_KEPT_S
from linqbot.storage.journal import ENTRIES_KEPT_S

PAGE = (Path(__file__).parents[2] / "docs" / "storage.md").read_text().partition("\n## What is kept, and")[2]
PAGE = PAGE.partition("\n## ")[0]
ROWS = [
    ([*re.findall(r"`(\w+)`", tables)], {*re.findall(r"`([a-z_]+)`", personal)})
    for tables, personal in re.findall(r"^\| (`[\w`, ]+`) \| (.*?) \|", PAGE, re.MULTILINE)
]
"""The tables of each row of the page, and their columns with personal data."""

NEUTRAL = """
    acked_at asked_at counts at attempts broadcast calls carrier crashed_with_others crashes
    crashes_before_progress created_at dead_lettered_at delivery delivery_count delivery_id digest
    due early ended_at first_at handler id kept_until key kind kinds leased line max_concurrent_suspects
    message_id message_key ms n name next_at not_before off_the_record outcome per_minute progress
    purpose put_back received_at replay runs safety since slot status steps texts trace_id tried turn type until verdict
    waits what why
"""
"""Columns without personal data: ids, times, counts, words of linqbot, and names that a bot's author chooses."""


def test_the_page_lists_every_table_and_every_column_with_personal_data() -> None:
    """`TABLES` has every column of both schemas, as test_released_files.py and test_copy.py test."""
    real = {table: {*columns} for table, columns in TABLES.items()} | {
        "process": set(),
        "head": {"lane"},
        "queue": set(),
        "named": {"who", "place"},
    }
    differing = {table for tables, _ in ROWS for table in tables} ^ (real.keys() | {"body"})
    assert not differing, "Say in the table of docs/storage.md for how long the rows are kept."
    for (table, *_), personal in ROWS:
        assert personal <= real[table], (table, personal - real[table])
        unknown = real[table] - personal - {*NEUTRAL.split(), *(["value"] if table == "meta" else [])}
        assert not unknown, f"Say in docs/storage.md, or here, if {unknown} of {table} hold personal data."


def test_the_page_names_the_times_for_which_rows_are_kept() -> None:
    day = 86_400
    assert (7 * day, 30 * day, day, day) == (ENTRIES_KEPT_S, FAILED_KEPT_S, ENDED_KEPT_S, SEEN_KEPT_S)
    said = (
        "| 7 days, or these, after its turn",
        "a day after a timeout; 30 days after a failure",
        "| at least a day |",
    )
    assert [each for each in said if each not in PAGE] == []
