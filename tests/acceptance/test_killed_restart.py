"""A turn that a newer message restarts, in a process that is killed at each step: no bubble twice, and nothing withdrawn later."""

from __future__ import annotations

from pathlib import Path

import crash
import pytest
from killed_once import DYING, killed_once

BOT = (
    DYING
    + """
import asyncio

from linqbot.storage.sqlite.storage import SQLiteStorage

dying(SQLiteStorage, "put", "begin", "join", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message(overlap="restart")
async def answer(message: MessageReceived, ctx: Context) -> None:
    words = message.text.splitlines()
    await ctx.reply(f"seen {words[-1]}")
    if len(words) == 1:
        await asyncio.sleep(20)  # until the next message
        await ctx.reply("withdrawn")
    said = [entry.text for entry in await ctx.history() if entry.speaker == "me"]
    await ctx.reply(f"answered {words} after {list(ctx.already_sent)}, {said}")
"""
)
POINTS = [
    "before put 2",
    *(f"after {step}" for step in ("put 2", "begin 1", "run 1", "join 1", "begin 2", "run 2", "run 3", "finish 1")),
]
"""Each state in which a kill can leave the bot and Linq: between the end of a step and the next one, nothing is written."""


@pytest.mark.process
@pytest.mark.slow
async def test_a_restarted_turn_that_is_killed_at_any_step_says_each_thing_once(tmp_path: Path) -> None:
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):
        chats = await crash.chats(http, emulator.url, len(POINTS))
        for chat, point in zip(chats, POINTS, strict=True):
            await killed_once(bot, http, tmp_path, chat, point, messages=2)
        await bot.up(http, "/readyz")
        await crash.settled(http, bot.url)
        replies = await crash.replies(http, emulator.url)
    for chat, point in zip(chats, POINTS, strict=True):
        said = replies[chat]
        before = said[:-2]  # a run that was restarted may have said this
        assert before in ([], ["seen 0"]), point
        # The history has what was delivered: nothing that was withdrawn, and all that a killed run has said.
        assert said[-2:] == ["seen 1", f"answered ['0', '1'] after {before}, {said[:-1]}"], point
