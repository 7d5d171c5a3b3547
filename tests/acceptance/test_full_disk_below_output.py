"""Output and a log that cannot be written, because the disk below them is full: `/dev/full` takes nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from crash import Served, running
from patience import PATIENCE_S
from ports import free_port
from served_bot import NO_LINQ, message, post

from linqbot.storage.sqlite.storage import SQLiteStorage

FULL = Path("/dev/full")
pytestmark = [pytest.mark.process, pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")]

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False)


@bot.on_message
async def fail(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("the log has a line for this")
"""


@pytest.mark.parametrize("command", [("--help",), ("explain", "LQB1002")])
def test_a_command_whose_output_cannot_be_written_says_so(command: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        line = [sys.executable, "-m", "linqbot", *command]
        ran = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "The output cannot be written: No space left on device.\n")


async def test_a_bot_whose_log_cannot_be_written_goes_on(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    bot = Served(tmp_path, "bot", free_port(), "serve", "bot.py", **NO_LINQ)
    (tmp_path / "bot.log").symlink_to(FULL)
    async with running(bot), httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        await bot.up(http, "/readyz")
        assert (await post(http, bot.url, message("hi"))).status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            while await _failures(tmp_path) < 2:
                await asyncio.sleep(0.1)


async def _failures(folder: Path) -> int:
    """Return how often the waiting delivery has failed."""
    async with SQLiteStorage(folder / "linqbot.db", serving=False) as storage:
        waiting = await storage.waiting()
    return waiting[0].attempts if waiting else 0
