"""The storage file of a real `linqbot serve` is deleted, replaced or moved while it serves.

Nothing is answered 200 that is not in the file at its path; and whatever was answered 200 is answered to its sender in
the end, after a restart where one is needed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import crash
import httpx
import pytest
from patience import PATIENCE_S
from served_bot import post

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there no file that is open can be deleted or moved"),
]

BOT = """
import asyncio
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    while message.text.startswith("slow") and not Path("go").exists():
        await asyncio.sleep(0.02)
    await ctx.reply(message.text)
"""
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


class Harness:
    """A served bot, and the people who write to it."""

    def __init__(self, folder: Path, bot: crash.Served, emulator: crash.Served, http: httpx.AsyncClient) -> None:
        self.folder = folder
        self.path = folder / "crash.db"
        self.bot = bot
        self.accepted: list[str] = []
        self._bodies: dict[str, bytes] = {}
        self._emulator = emulator
        self._http = http
        self._chats: list[str] = []

    async def open(self) -> None:
        self._chats = await crash.chats(self._http, self._emulator.url, 10)
        await self.up()

    async def up(self) -> None:
        await self.bot.up(self._http, "/readyz")

    async def deliver(self, text: str) -> httpx.Response:
        """Deliver a text as Linq does. A text that was sent before is delivered again with the same ids of its event."""
        chat = self._chats[int(text.split()[-1]) % len(self._chats)]
        body = self._bodies.setdefault(text, crash.received(chat, text))
        answer = await post(self._http, self.bot.url, body)
        if answer.status_code == 200:
            self.accepted.append(text)
        return answer

    async def deliver_all(self, texts: Sequence[str]) -> list[int]:
        return [answer.status_code for answer in await asyncio.gather(*(self.deliver(text) for text in texts))]

    async def ready(self) -> tuple[int, str]:
        answer = await self._http.get(f"{self.bot.url}/readyz")
        return answer.status_code, answer.json().get("reason", "")

    async def until(self, status: int) -> None:
        """Wait until `/readyz` answers with this status."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.ready())[0] != status:
                await asyncio.sleep(0.02)

    async def replies(self, texts: Sequence[str]) -> dict[str, int]:
        """Return the number of replies to each text, after all deliveries are handled."""
        await crash.settled(self._http, self.bot.url)
        said = await crash.replies(self._http, self._emulator.url)
        counted = Counter(text for texts in said.values() for text in texts)
        return {text: counted[text] for text in texts}

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "bot.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in entries if each["event"] == event]

    def check_file(self) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    monkeypatch.setenv("LINQBOT_DRAIN_S", "1")
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):
        harness = Harness(tmp_path, bot, emulator, http)
        await harness.open()
        yield harness


QUICK = [f"quick {n}" for n in range(10)]
SLOW = [f"slow {n}" for n in range(5)]
REFUSED = [f"refused {n}" for n in range(5)]


async def lose(harness: Harness, how: Callable[[Path], None], reason: str, *, slow: bool = True) -> None:
    """Remove the file while handlers run. Assert that the server notices it and accepts no delivery."""
    assert set(await harness.deliver_all(QUICK)) == {200}
    assert await harness.replies(QUICK) == dict.fromkeys(QUICK, 1)
    if slow:
        assert set(await harness.deliver_all(SLOW)) == {200}
    how(harness.path)
    await harness.until(503)  # although no delivery arrives
    assert reason in (await harness.ready())[1]
    (harness.folder / "go").touch()
    for _ in range(2):
        answers = await asyncio.gather(*(harness.deliver(text) for text in REFUSED))
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    (entry,) = harness.logged("storage.lost")
    assert (entry["level"], reason in entry["error"]) == ("error", True)


async def restart(harness: Harness, sig: signal.Signals) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await harness.bot.kill(sig)
    await harness.bot.start()
    await harness.up()


async def all_is_answered(harness: Harness, texts: Sequence[str]) -> None:
    assert set(await harness.deliver_all(REFUSED)) == {200}
    every = [*texts, *REFUSED]
    assert set(harness.accepted) == set(every)
    assert await harness.replies(every) == dict.fromkeys(every, 1)
    harness.check_file()


def delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{path}{suffix}").unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def copy_in_place(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").rename(path)


def delete_wal(path: Path) -> None:
    Path(f"{path}-wal").unlink()


@pytest.mark.parametrize(
    ("how", "reason", "sig", "slow"),
    [
        *((delete, "is gone", sig, False) for sig in SIGNALS),
        *((copy_in_place, "it was replaced", sig, True) for sig in SIGNALS),
        (delete_wal, "crash.db-wal is gone", signal.SIGTERM, True),
    ],
)
async def test_a_bot_whose_file_was_lost_answers_everything_after_a_restart(
    harness: Harness, how: Callable[[Path], None], reason: str, sig: signal.Signals, slow: bool
) -> None:
    await lose(harness, how, reason, slow=slow)
    await restart(harness, sig)
    await all_is_answered(harness, [*QUICK, *(SLOW if slow else [])])


async def test_moved_away_and_back(harness: Harness) -> None:
    await lose(harness, move, "is gone")
    harness.path.with_name("away.db").rename(harness.path)
    await harness.until(200)
    await all_is_answered(harness, [*QUICK, *SLOW])
    assert len(harness.logged("storage.found")) == 1


@pytest.mark.parametrize("sig", SIGNALS)
async def test_moved_away_stopped_moved_back_and_restarted(harness: Harness, sig: signal.Signals) -> None:
    await lose(harness, move, "is gone")
    await harness.bot.kill(sig)
    harness.path.with_name("away.db").rename(harness.path)
    await harness.bot.start()
    await harness.up()
    await all_is_answered(harness, [*QUICK, *SLOW])


async def test_removed_repeatedly_under_load(harness: Harness) -> None:
    """Deliveries arrive all the time, so the file is removed during commits."""
    texts = [f"loaded {n}" for n in range(120)]
    going = True

    async def take_away() -> None:
        while going:
            move(harness.path)
            await asyncio.sleep(0.05)
            harness.path.with_name("away.db").rename(harness.path)
            await asyncio.sleep(0.2)

    async def persist(text: str) -> None:
        while (await harness.deliver(text)).status_code != 200:
            await asyncio.sleep(0.05)

    taking = asyncio.ensure_future(take_away())
    for start in range(0, len(texts), 20):
        await asyncio.gather(*(persist(text) for text in texts[start : start + 20]))
        await asyncio.sleep(0.1)
    going = False
    await taking
    await harness.until(200)
    assert harness.logged("storage.lost")
    assert await harness.replies(texts) == dict.fromkeys(texts, 1)
    harness.check_file()
