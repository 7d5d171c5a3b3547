"""Eleven people want each slot at the same moment. Three bots share a storage in PostgreSQL, and one of them is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import crash
import httpx
import pytest
from ports import free_port
from postgres_server import empty_storage_url
from pydantic_core import from_json

from linqbot.storage.open import open_storage

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.slow]

SLOTS, PEOPLE = 12, 11
BOT = """
import asyncio, random
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
    await asyncio.sleep(random.uniform(0, 0.1))
    await ctx.reply(f"{message.text} booked")
"""


async def test_who_reads_that_a_slot_is_theirs_has_it(tmp_path: Path) -> None:
    storage = empty_storage_url("slots")
    async with AsyncExitStack() as stack:
        one, emulator, http = await stack.enter_async_context(crash.house(tmp_path, BOT, storage=storage))
        others = [crash.Served(tmp_path, name, free_port(), "serve", "bot.py") for name in ("two", "three")]
        for other in others:
            stack.push_async_callback(other.close)
            other.environ = one.environ
            await other.start()
        bots = [one, *others]
        for bot in bots:
            await bot.up(http, "/readyz")
        chats = await crash.chats(http, emulator.url, PEOPLE)
        for slot in range(SLOTS):
            arriving = asyncio.gather(*(arrives(http, bots, chat, f"slot {slot}") for chat in chats))
            if slot % 4 == 1:
                await others[0].kill()
                await others[0].start()
                await others[0].up(http, "/readyz")
            await arriving
        await crash.settled(http, one.url)
        said = await crash.replies(http, emulator.url)
    async with open_storage(storage, serving=False) as opened:
        taken = from_json((await opened.load("bot"))["Diary"])["taken"]
    told = {text.removesuffix(" booked"): chat for chat, texts in said.items() for text in texts if "booked" in text}
    assert told == taken
    counts = Counter(text for texts in said.values() for text in texts)
    assert counts == {
        **{f"slot {slot} booked": 1 for slot in range(SLOTS)},
        **{f"slot {slot} sorry": PEOPLE - 1 for slot in range(SLOTS)},
    }


async def arrives(http: httpx.AsyncClient, bots: list[crash.Served], chat: str, text: str) -> None:
    """Deliver a message to one of the bots, as Linq does, until one accepts it."""
    await crash.Load(bots[0].url, http, [], 0, seed=hash((chat, text)), others=[bot.url for bot in bots[1:]]).deliver(
        crash.received(chat, text)
    )
