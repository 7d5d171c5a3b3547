"""Seventy misbehaving handlers in one served bot: it keeps running, and all other people are answered."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import crash
import httpx
import pytest
from acceptance import hostile_bot
from patience import PATIENCE_S
from served_bot import deliver

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAYS = [*hostile_bot.ways, *hostile_bot.plain_ways]
CODE = Path(hostile_bot.__file__).read_text()
ON_ASYNCIO = """
import asyncio

from linqbot.cli.main import main
from linqbot.server import uvicorn_server

uvicorn_server._new_loop = asyncio.new_event_loop
main()
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_hostile_handler_affects_only_its_own_message(loop: str, tmp_path: Path) -> None:
    async with crash.house(tmp_path, CODE) as (bot, emulator, http):
        if loop == "asyncio":
            await bot.kill()
            (tmp_path / "on_asyncio.py").write_text(ON_ASYNCIO)
            bot.command[1:3] = ["on_asyncio.py"]
            await bot.start()
        innocents = await crash.chats(http, emulator.url, len(WAYS) + 3)
        chats = {way: innocents.pop() for way in WAYS}
        waiting = [way for way in WAYS if "until released" in way]
        await bot.up(http, "/readyz")
        assert bot.process is not None
        for n, way in enumerate([*waiting, *(way for way in WAYS if way not in waiting)]):
            await deliver(http, bot.url, chats[way], way)
            if n % 10 == 0:
                await answered(http, bot.url, emulator.url, innocents[n // 10 % 3], f"hello {n}")
        said = await crash.replies(http, emulator.url)
        assert [said[chats[way]] for way in waiting] == [[], []], "the others were answered meanwhile"
        (tmp_path / hostile_bot.RELEASED).touch()
        await crash.settled(http, bot.url)
        await answered(http, bot.url, emulator.url, innocents[0], "still there?")
        assert bot.process.returncode is None, "a handler ended the process"
        said = await crash.replies(http, emulator.url)
        log = (tmp_path / "bot.log").read_text(errors="replace")
    assert {way: said[chats[way]] for way in WAYS} == {
        way: [] if way in hostile_bot.DEAD else [f"done: {way}"] for way in WAYS
    }
    with closing(sqlite3.connect(tmp_path / "crash.db")) as db:
        dead = db.execute("SELECT lane, error, handler, attempts FROM dead").fetchall()
    letters = {lane: (error, handler, attempts) for lane, error, handler, attempts in dead}
    assert len(letters) == len(hostile_bot.DEAD)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    for way, reason in hostile_bot.DEAD.items():
        error, handler, attempts = letters[f"c:{chats[way]}"]
        assert reason in error, (way, error[-300:])
        assert handler.endswith("hostile"), way
        # A retry cannot change a mistake in the bot's code, except that another context may be kept then.
        is_final = reason in {"BotError", "RuleBroken", "await"} and way != "use a context that was kept"
        assert attempts == (1 if is_final or way == "ignore the deadline" else 2), way
    dead_lettered = [line for line in lines if line["event"] == "turn.dead_lettered"]
    assert len(dead_lettered) == len(hostile_bot.DEAD)
    assert all(line["at"].startswith("bot.py:") for line in dead_lettered), [b["at"] for b in dead_lettered]
    assert len(log) < 400_000


async def answered(http: httpx.AsyncClient, bot: str, emulator: str, chat: str, text: str) -> None:
    """Text as another person, and wait for the answer."""
    await deliver(http, bot, chat, text)
    async with asyncio.timeout(PATIENCE_S):
        while f"echo: {text}" not in (await crash.replies(http, emulator))[chat]:
            await asyncio.sleep(0.05)
