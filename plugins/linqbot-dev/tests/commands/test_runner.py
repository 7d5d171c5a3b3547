"""The runner of `linqbot dev`: it moves the clocks, and shows the storage, which commands with --dev find."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from linqbot_dev.dev import runner
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.dev.runner import MOST, DevRunner, Work, everything
from linqbot_dev.emulator.emulator import Emulator
from storage.conftest import asked, delivery, handle

from linqbot.cli.storage_option import FILE, find_storage, folder_prefix
from linqbot.clock import MovableClock
from linqbot.features.later import KIND as SEND
from linqbot.features.schedules import REPEAT, SCHEDULE
from linqbot.storage.conversations import ANYONE
from linqbot.storage.inbox import Ack, Commit
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


async def test_a_question_that_only_another_release_can_read_is_shown_with_its_handler() -> None:
    storage = MemoryStorage()
    question = replace(asked("w.1", person=ANYONE), question=b"{}")
    await handle(storage, delivery(name="w.1"), commit=Commit(Ack(), conversations=[question]))
    (row,) = (await everything(storage, question.chat_id, []))["questions"]
    assert (row["handler"], row["person"], row["question"]) == ("bot:form", "*", None)


# The clocks move in steps, in order, and not for ever


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock=MovableClock(0.0, frozen=True)) as running:
        yield running


class Runner(DevRunner):
    """One whose bot has work at some times, and does it as soon as it is asked about its work."""

    def __init__(self, emulator: Emulator, *times: float) -> None:
        super().__init__(emulator, BotProcess("bot.py", "", 0, Path()), emulator.flush)
        self.emulator = emulator
        self.times = list(times)
        self.done: list[float] = []
        self.seen: list[float] = []
        self.is_stuck = False
        self.on_work: Callable[[float], object] = lambda _: None

    async def work(self) -> Work:
        now = self.emulator.clock.now()
        for time in [time for time in self.times if time <= now]:
            self.times.remove(time)
            self.done.append(now)
            self.on_work(time)
            return Work(is_busy=True, next_at=None)
        return Work(is_busy=self.is_stuck, next_at=min(self.times, default=None))

    async def follow_clock(self) -> None:
        self.seen.append(self.emulator.clock.now())


async def test_the_clocks_stop_at_each_time_at_which_something_is_due(emulator: Emulator) -> None:
    bot = Runner(emulator, 10, 3600, 90_000)
    due: list[float] = []
    emulator.world.timers.at(60, lambda _: due.append(emulator.clock.now()))
    stopped = await bot.move_to(86_400)
    assert (stopped, bot.done, due) == (None, [10, 3600], [60])
    assert bot.seen == [10, 60, 3600, 86_400]


async def test_work_that_work_causes_on_the_way_happens_too(emulator: Emulator) -> None:
    bot = Runner(emulator, 10)
    bot.on_work = lambda time: bot.times.extend([time + 10] if time < 40 else [])
    await bot.move_to(100)
    assert bot.done == [10, 20, 30, 40]


class SlowlyLookedAt(Runner):
    async def work(self) -> Work:
        work = await super().work()
        self.emulator.clock.advance(6)  # two looks find nothing to do before the clock moves
        return work


async def test_what_comes_due_while_the_bot_is_looked_at_is_not_passed_over(emulator: Emulator) -> None:
    bot = SlowlyLookedAt(emulator, 10)
    await bot.move_to(100)
    assert bot.done == [12]


async def test_a_bot_that_is_at_work_for_too_long_stops_the_clock_where_it_is(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BUSY_S", 0.0)
    bot = Runner(emulator, 10)
    bot.on_work = lambda _: setattr(bot, "is_stuck", True)
    stopped = await bot.move_to(100)
    assert emulator.clock.now() == 0
    assert "at work" in str(stopped)


async def test_a_move_that_takes_too_long_stops_on_the_way(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LONGEST_S", -1.0)
    stopped = await Runner(emulator).move_to(100)
    assert emulator.clock.now() == 0
    assert "move it again" in str(stopped)


async def test_a_reset_ends_a_move(emulator: Emulator) -> None:
    bot = Runner(emulator, 10, 20)
    bot.on_work = lambda _: bot.stop_moving()
    stopped = await bot.move_to(100)
    assert (emulator.clock.now(), stopped) == (10, "The state was reset or restarted meanwhile.")
