"""The record of troubles: one change at a time, which survives a restart and is copied."""

from __future__ import annotations

import asyncio
from pathlib import Path

from storages import open_storage

from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.sqlite.upkeep import SQLiteContents


def append(text: str | None) -> tuple[str, int]:
    return f"{text or ''}x", len(text or "")


async def test_changes_of_two_processes_are_made_one_after_the_other(url: str) -> None:
    async with open_storage(url) as one, open_storage(url, serving=False) as two:
        seen = await asyncio.gather(*(each.change_troubles(append) for each in (one, two) for _ in range(20)))
        assert sorted(seen) == list(range(40))
        assert await one.change_troubles(lambda text: (text or "", text)) == "x" * 40


async def test_the_record_survives_a_restart_and_is_copied(tmp_path: Path) -> None:
    for length in range(2):
        async with SQLiteStorage(tmp_path / "bot.db") as storage:
            assert await storage.change_troubles(append) == length
    async with SQLiteContents(tmp_path / "bot.db") as contents:
        rows = [row async for page in contents.pages("meta") for row in page]
    assert ("troubles", "xx") in rows
