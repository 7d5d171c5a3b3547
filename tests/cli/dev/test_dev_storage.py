"""The storage of `linqbot dev`: found by commands with --dev in the folder for temporary files, and shown on the page."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from linqbot.cli.dev import runner
from linqbot.cli.dev.bot_process import BotProcess
from linqbot.cli.dev.runner import MOST, DevRunner, everything
from linqbot.cli.storage_option import FILE, find_storage, folder_prefix
from linqbot.emulator.emulator import Emulator
from linqbot.features.later import KIND as SEND
from linqbot.features.schedules import REPEAT, SCHEDULE
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which every user may write into."""
    project, folder = tmp_path / "project", tmp_path / "temporary"
    project.mkdir()
    folder.mkdir()
    (project / "production.db").write_bytes(b"")
    monkeypatch.chdir(project)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_folder_of_this_user_is_found(temporary: Path) -> None:
    folder = temporary / f"{folder_prefix()}1"
    folder.mkdir()
    (folder / FILE).write_bytes(b"")
    assert find_storage() == folder / FILE


def test_a_link_in_place_of_the_folder_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / FILE).write_bytes(b"")
    (temporary / f"{folder_prefix()}1").symlink_to(elsewhere)
    assert find_storage() is None


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="Only root can give a folder to another user."
)
def test_a_link_that_another_user_made_to_a_file_of_this_user_is_not_followed(temporary: Path) -> None:
    folder = temporary / f"{folder_prefix()}1"
    folder.mkdir()
    (folder / FILE).symlink_to(Path("production.db").resolve())
    os.chown(folder, 65534, 65534)
    assert find_storage() is None


class Running(BotProcess):
    @property
    def is_running(self) -> bool:
        return True


async def test_the_page_waits_for_a_bot_that_is_being_started_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SQLiteStorage(tmp_path / FILE):
        bot = Running("bot.py", "", 0, tmp_path)
        page = DevRunner(Emulator(), bot, bot.begin)
        try:
            async with bot.changing:
                looking = asyncio.create_task(page.stored(None))
                await asyncio.sleep(0.05)
                bot.was_up = True
            assert (await looking)["is_running"]
            bot.was_up = False
            monkeypatch.setattr(runner, "START_S", 0.05)
            async with bot.changing:
                assert await page.stored(None) == {"available": True, "is_running": False}
        finally:
            await page.aclose()


CALL = (
    b'{"calls": [{"name": "chats.messages.send", "body": {"message": {"parts": [{"type": "text", "value": "hi"}]}}}]}'
)


async def test_scheduled_are_the_authors_sends_and_schedules_and_not_timers_of_linqbots_own() -> None:
    storage = MemoryStorage()
    for n in range(MOST):
        await storage.schedule(Timer(f"timeout{n}", 10.0 + n, "c:chat", "ask", b"{}"))
    await storage.schedule(Timer("soon", 500.0, "c:chat", SEND, CALL))
    await storage.schedule(Timer("daily", 600.0, "c:chat", REPEAT, CALL))
    await storage.schedule(Timer("standup", 700.0, "s:standup", SCHEDULE, b"{}"))
    shown = (await everything(storage, None, []))["scheduled"]
    assert [(each["id"], each["text"]) for each in shown] == [
        ("soon", "hi"),
        ("daily", "hi"),
        ("standup", "@bot.every: standup"),
    ]
