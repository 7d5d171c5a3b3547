"""Eleven people want each slot at the same moment, of three bots that share a storage in PostgreSQL.

Linq answers each reply after 0 to 500 ms, and one of the processes is killed now and then. `SLOTS=200` tries more slots.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import crash
import httpx
import pytest
from ports import free_port
from postgres_server import empty_storage_url
from pydantic_core import from_json
from storages import open_storage

pytestmark = [pytest.mark.process, pytest.mark.slow]

SLOTS, PEOPLE, PROCESSES = int(os.environ.get("SLOTS", "6")), 11, 3
BOT = """
from pydantic import BaseModel
from linqbot import Bot, Context, MessageReceived

class Diary(BaseModel):
    taken: dict[str, str] = {}

bot = Bot(read=False, typing=False, max_age_s=None)

@bot.on_message
async def book(message: MessageReceived, ctx: Context) -> None:
    if message.text == "start":
        return
    diary = await ctx.state.bot(Diary)
    if message.text in diary.taken:
        await ctx.reply(f"{message.text} sorry")
        return
    diary.taken[message.text] = message.chat_id
    await ctx.reply(f"{message.text} booked")
"""


async def test_who_reads_that_a_slot_is_theirs_has_it(tmp_path: Path) -> None:
    storage, dice = empty_storage_url("slots"), random.Random(0)
    async with served(tmp_path, storage) as (bots, emulator, http):
        chats = await crash.chats(http, emulator.url, PEOPLE * -(-SLOTS // crash.PER_CHAT))
        for slot in range(SLOTS):
            for _ in range(PEOPLE):
                slow = {"on": "api", "match": "chats.messages.send", "delay_ms": dice.randint(0, 500)}
                (await http.post(f"{emulator.url}/emulator/faults", json=slow)).raise_for_status()
            people = chats[slot // crash.PER_CHAT * PEOPLE :][:PEOPLE]
            arriving = asyncio.gather(*(arrives(http, bots, chat, f"slot {slot}") for chat in people))
            if slot % 3 == 1:
                killed = dice.choice(bots)
                await asyncio.sleep(dice.uniform(0, 0.6))
                await killed.kill()
                await killed.start()
                await killed.up(http, "/readyz")
            await arriving
        await crash.settled(http, bots[0].url)
        said = await crash.replies(http, emulator.url)
    async with open_storage(storage, serving=False) as opened:
        taken = from_json((await opened.load("bot"))["Diary"])["taken"]
    booked = {text.removesuffix(" booked"): chat for chat, texts in said.items() for text in texts if "booked" in text}
    assert booked == taken
    counts = Counter(text for texts in said.values() for text in texts)
    assert counts == {
        **{f"slot {slot} booked": 1 for slot in range(SLOTS)},
        **{f"slot {slot} sorry": PEOPLE - 1 for slot in range(SLOTS)},
    }


@asynccontextmanager
async def served(
    folder: Path, storage: str
) -> AsyncIterator[tuple[list[crash.Served], crash.Served, httpx.AsyncClient]]:
    """Serve the bot by `PROCESSES` processes that share a storage; yield them, the emulator, and a client to reach them."""
    async with crash.house(folder, BOT, storage=storage) as (one, emulator, http):
        others = [crash.Served(folder, f"bot-{n}", free_port(), "serve", "bot.py") for n in range(2, PROCESSES + 1)]
        for other in others:
            other.environ = one.environ
        async with crash.running(*others):
            for bot in (one, *others):
                await bot.up(http, "/readyz")
            yield [one, *others], emulator, http


async def arrives(http: httpx.AsyncClient, bots: list[crash.Served], chat: str, text: str) -> None:
    """Deliver a message to one of the bots, as Linq does, until one accepts it."""
    await crash.Load(bots[0].url, http, [], 0, seed=hash((chat, text)), others=[bot.url for bot in bots[1:]]).deliver(
        crash.received(chat, text)
    )
