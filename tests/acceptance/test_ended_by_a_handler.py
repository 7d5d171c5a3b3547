"""Handlers that end the process without a signal from outside: each of their messages becomes a dead letter."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import crash
import httpx
import pytest
from acceptance.test_hostile_handlers import answered
from served_bot import deliver

BOT = """
import asyncio
import os
import signal

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
ways = {}


def way(handler):
    ways[handler.__name__] = handler
    return handler


@way
async def cancel_every_task():
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(60)


@way
async def cancel_every_task_twice():
    try:
        await cancel_every_task()
    finally:
        await cancel_every_task()


@way
async def cancel_every_task_and_stop_the_loop():
    asyncio.get_running_loop().stop()
    await cancel_every_task()


@way
async def cancel_the_task_of_the_server():
    for task in asyncio.all_tasks():
        if "serve" in task.get_coro().__qualname__:
            task.cancel()
    await asyncio.sleep(60)


@way
async def cancel_every_other_task():
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(60)


@way
async def send_a_signal_and_fail():
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.5)
    raise ValueError


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> str:
    if message.text in ways:
        await ways[message.text]()
    return f"echo: {message.text}"
"""
WAYS = re.findall(r"@way\nasync def (\w+)", BOT)
MOST_ENDS = 4


@pytest.mark.process
@pytest.mark.slow
async def test_a_message_whose_handler_ends_the_process_becomes_a_dead_letter(tmp_path: Path) -> None:
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):
        chats = await crash.chats(http, emulator.url, len(WAYS) + 1)
        endless = []
        for way, chat in zip(WAYS, chats, strict=False):
            await up(bot, http)
            await deliver(http, bot.url, chat, way)
            if not await is_dead_lettered(tmp_path, bot, http, chat):
                endless.append(way)
                await bot.close()
                with closing(sqlite3.connect(tmp_path / "crash.db")) as db, db:
                    db.execute("DELETE FROM delivery")
                await bot.start()
        await up(bot, http)
        assert endless == []
        await answered(http, bot.url, emulator.url, chats[-1], "still there?")


async def up(bot: crash.Served, http: httpx.AsyncClient) -> None:
    """Start the bot again until it is ready: it may still be ending after its last message."""
    try:
        await bot.up(http, "/readyz")
    except AssertionError:
        await bot.start()
        await bot.up(http, "/readyz")


async def is_dead_lettered(folder: Path, bot: crash.Served, http: httpx.AsyncClient, chat: str) -> bool:
    """Start the bot again each time it ends, until the message is a dead letter. Return False if that takes too many.

    The first end counts as four. `test_poison` shows that five ends are counted.
    """
    ends = 0
    while ends <= MOST_ENDS:
        with closing(sqlite3.connect(folder / "crash.db")) as db:
            if db.execute("SELECT 1 FROM dead WHERE lane = ?", (f"c:{chat}",)).fetchone():
                return True
        assert bot.process is not None
        if bot.process.returncode is not None:
            ends += 1
            if ends == 1:
                with closing(sqlite3.connect(folder / "crash.db")) as db, db:
                    db.execute("UPDATE delivery SET crashes = 3")  # the next start adds this one
            await bot.start()
        await asyncio.sleep(0.05)
    return False
