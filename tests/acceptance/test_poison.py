"""Events that crash the process. One that always does becomes a dead letter; one whose turn goes on each time is answered.

So are the events in flight with them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import crash
import httpx
import pytest

from linqbot.error_details import read_error

BOT = """
import asyncio
import os
import signal
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
STEPS = 10  # some kill it next to other messages, which does not count: more than `RetryPolicy.crashes` of them count


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await asyncio.sleep(0.2)
    if message.text == "5":
        os.kill(os.getpid(), signal.SIGKILL)
    if message.text == "6":
        for step in range(STEPS):
            # The poison message may kill the process during a step.
            await ctx.once(f"step {step}", lambda _: None, retry=True)
            mark = Path(f"step-{step}")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    await ctx.reply(message.text)
"""
CHATS = 20
MOST_DEATHS = 25


@pytest.mark.process
@pytest.mark.slow
async def test_a_poison_message_is_dead_lettered_and_the_others_are_answered(tmp_path: Path) -> None:
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):
        chats = await crash.chats(http, emulator.url, CHATS)
        await bot.up(http, "/readyz")
        arriving = crash.begin(crash.Load(bot.url, http, chats, 2 * CHATS, seed=0))
        deaths = 0
        while not (arriving.done() and await is_settled(bot, http)):
            assert bot.process is not None
            if bot.process.returncode is not None:
                deaths += 1
                assert deaths <= MOST_DEATHS
                await bot.start()
            await asyncio.sleep(0.05)
        replies = await crash.replies(http, emulator.url)
    with closing(sqlite3.connect(tmp_path / "crash.db")) as db:
        ((lane, error),) = db.execute("SELECT lane, error FROM dead").fetchall()
    reason, _ = read_error(error)
    assert (lane, reason) == (f"c:{chats[5]}", "The process died 5 times while handling it, or its turn never ended.")
    expected = {chat: [str(n), str(n + CHATS)] for n, chat in enumerate(chats)}
    expected[chats[5]] = ["25"]
    assert replies == expected
    assert deaths >= 15


async def is_settled(bot: crash.Served, http: httpx.AsyncClient) -> bool:
    try:
        status = (await http.get(f"{bot.url}/readyz")).json()
    except (httpx.TransportError, ValueError):
        return False
    return bool(status.get("waiting") == 0)
