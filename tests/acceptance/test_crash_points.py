"""The process dies between every two steps of the path of an event: what was accepted is answered, once."""

from __future__ import annotations

from pathlib import Path

import crash
import pytest
from killed_once import DYING, killed_once
from postgres_server import empty_storage_url

BOT = (
    DYING
    + """
from linqbot.storage.STORAGE

dying(Storage, "put", "take", "begin", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("one " + message.text)
    await ctx.reply("two " + message.text)
"""
)
POINTS = [f"after {step} 1" for step in ("put", "take", "begin", "run", "finish")]
"""Each state in which a kill can leave a turn of one call: between the end of a step and the next one, nothing is written.

`test_killed_restart` has those of several calls, and the loss of a delivery that is not stored yet."""
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
