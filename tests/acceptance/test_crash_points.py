"""The process dies between every two steps of the path of an event: what was accepted is answered, once."""

from __future__ import annotations

from pathlib import Path

import crash
import pytest
from killed_once import killed_once
from postgres_server import empty_storage_url

pytestmark = pytest.mark.anyio

BOT = """
import os
import signal
from pathlib import Path

from linqbot import Bot, Context, MessageReceived
from linqbot.client.sender import Sender
from linqbot.storage.STORAGE

POINT = Path("point")
bot = Bot(read=False, typing=False, max_age_s=None)


def reached(point: str) -> None:
    \"\"\"Die here, if this is the point; once: the next process finds no mark and lives.\"\"\"
    if POINT.exists() and POINT.read_text() == point:
        POINT.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def dying(kind, name):
    done = getattr(kind, name)

    async def step(self, *args, **kwargs):
        reached("before " + name)
        result = await done(self, *args, **kwargs)
        if name != "take" or result:
            reached("after " + name)
        return result

    setattr(kind, name, step)


for step in ("put", "take", "begin", "finish"):
    dying(Storage, step)
dying(Sender, "run")


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    reached("in the handler")
    await ctx.reply("one " + message.text)
    reached("between two sends")
    await ctx.reply("two " + message.text)
"""
POINTS = [
    "before put",
    "after put",
    "before take",
    "after take",
    "in the handler",
    "before begin",
    "after begin",
    "before run",
    "after run",
    "between two sends",
    "before finish",
    "after finish",
]


STORAGES = {"sqlite": "sqlite.storage import SQLiteStorage", "postgres": "postgres.storage import PostgresStorage"}


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("backend", STORAGES)
async def test_a_crash_between_any_two_steps_loses_and_repeats_nothing(tmp_path: Path, backend: str) -> None:
    url = empty_storage_url("points") if backend == "postgres" else None
    code = BOT.replace("STORAGE", f"{STORAGES[backend]} as Storage")
    async with crash.house(tmp_path, code, storage=url) as (bot, emulator, http):
        chats = await crash.chats(http, emulator.url, len(POINTS))
        for chat, point in zip(chats, POINTS, strict=True):
            await killed_once(bot, http, tmp_path, chat, point)
        await bot.up(http, "/readyz")
        await crash.settled(http, bot.url)
        replies = await crash.replies(http, emulator.url)
        said = {point: replies[chat] for chat, point in zip(chats, POINTS, strict=True)}
    assert said == {point: ["one 0", "two 0"] for point in POINTS}
