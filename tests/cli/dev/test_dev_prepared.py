"""The process that `linqbot dev` prepares for the next save of the bot's file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ports import free_port

from linqbot.cli.dev.bot_process import BotProcess

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
CODE = """
from linqbot import Bot, {event}

bot = Bot()


@bot.on({event})
async def handle(event: {event}, ctx: object) -> None: ...
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="Windows passes no file descriptors on")
async def test_a_prepared_process_runs_the_code_of_the_time_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "bot.py"
    file.write_text(CODE.format(event="MessageReceived"))
    linq = {"LINQ_API_V3_BASE_URL": "http://127.0.0.1:9"}
    bot = BotProcess(str(file), "", free_port(), tmp_path, webhook_secret=SECRET, instead=linq, prepares=True)
    try:
        await bot.start()
        assert await bot.is_up()
        assert bot.preparing is not None
        await bot.preparing
        assert bot.prepared is not None
        pid = bot.prepared.process.pid
        file.write_text(CODE.format(event="ReactionAdded"))
        await bot.stop()
        await bot.start()
        assert await bot.is_up()
        assert bot.process is not None
        assert bot.process.pid == pid
        assert "reaction.added" in await bot.events()
        await bot.preparing
        last = bot.prepared
        assert last is not None
    finally:
        await bot.aclose()
    assert bot.prepared is None
    assert await last.process.wait() != 0
