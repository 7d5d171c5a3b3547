"""The path of an event, steps 1 to 10, from the person's phone and back. Read this test first.

The emulator takes the place of Linq, and there are no sockets. Everything else is real: signature, storage, lanes,
journal. The ten steps, each with its file, are in CONTRIBUTING.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import PATIENCE_S

from linqbot import Bot, Client, Context, MessageEdited, MessageReceived, ReactionAdded, in_group
from linqbot.emulator.acts.conversation import Edit, React, Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app as create_emulator_app
from linqbot.server.app import create_app, running
from linqbot.storage.sqlite.storage import SQLiteStorage

pytestmark = pytest.mark.anyio

LINE = "+12025550100"
ANN = "+14155550142"
BOB = "+14155550143"


@dataclass
class Phone:
    """A person's phone, with which the person texts the bot."""

    emulator: Emulator
    storage: SQLiteStorage

    def text(self, text: str, *, from_: str = ANN, **how: Any) -> dict[str, Any]:
        return self.emulator.do(Write(from_=from_, to=LINE, parts=[{"type": "text", "value": text}], **how))

    async def quiet(self) -> None:
        """Wait until every delivery was accepted, every turn ended, and every receipt came back."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.emulator.flush()
                if not await self.storage.depth():
                    return
                await asyncio.sleep(0)

    def messages(self, chat_id: str) -> list[dict[str, Any]]:
        chat = next(chat for chat in self.emulator.snapshot()["chats"] if chat["id"] == chat_id)
        return list(chat["messages"])

    async def replies(self, chat_id: str) -> list[str]:
        await self.quiet()
        return [
            m["parts"][0]["value"]
            for m in self.messages(chat_id)
            if m["is_from_me"] and m["parts"][0]["type"] == "text"
        ]


@contextlib.asynccontextmanager
async def texting(bot: Bot, folder: Path, *, version: str = "2026-02-03") -> AsyncIterator[Phone]:
    transport = _WebhookTransport()
    emulator = Emulator(delivery_transport=transport)
    subscription = emulator.subscribe(f"http://127.0.0.1:8000/webhooks/linq?version={version}")
    client = Client(
        "token",
        base_url=emulator.public_url + "/api/partner",
        transport=httpx.ASGITransport(app=create_emulator_app(emulator)),
    )
    storage = SQLiteStorage(folder / "bot.db")
    app = create_app(bot, client=client, storage=storage, secrets=[subscription.secret])
    transport.app = httpx.ASGITransport(app=app)
    async with running(app), emulator:
        yield Phone(emulator, storage)


class _WebhookTransport(httpx.AsyncBaseTransport):
    """Carries webhooks to the app. The app is set later, because it needs the secret of the emulator's subscription."""

    app: httpx.ASGITransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.app.handle_async_request(request)


@pytest.mark.parametrize("version", ["2025-01-01", "2026-02-03"])
async def test_a_message_is_received_answered_and_remembered(tmp_path: Path, version: str) -> None:
    bot = Bot()

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"You said: {message.text}", effect="confetti", thread=True)

    async with texting(bot, tmp_path, version=version) as phone:
        said = phone.text("hello")
        assert await phone.replies(said["chat_id"]) == ["You said: hello"]
        reply = phone.messages(said["chat_id"])[-1]
        assert reply["effect"] == {"name": "confetti", "type": "screen"}
        assert reply["reply_to"]["message_id"] == said["message_id"]
        assert phone.messages(said["chat_id"])[0]["delivery_status"] == "read"
        # Nothing is left to handle, and the journal has the reply.
        assert await phone.storage.depth() == 0
        assert await phone.storage.has_sent(reply["id"])


async def test_many_chats_are_answered_each_in_its_order(tmp_path: Path) -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    async with texting(bot, tmp_path) as phone:
        chats = {}
        for n in range(10):
            for person in range(8):
                chats[person] = phone.text(str(n), from_=f"+1415555{person:04}")["chat_id"]
        for chat_id in chats.values():
            assert await phone.replies(chat_id) == [str(n) for n in range(10)]


async def test_a_tapback_an_edit_and_a_group_reach_their_handlers(tmp_path: Path) -> None:
    bot = Bot()

    @bot.on_reaction("love")
    async def loved(reaction: ReactionAdded, ctx: Context) -> None:
        await ctx.reply("loved")

    @bot.on_edit
    async def edited(edit: MessageEdited, ctx: Context) -> None:
        await ctx.react("emphasize")

    @bot.on_message(in_group)
    async def addressed(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("here")

    @bot.on_message
    async def direct(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hello")

    async with texting(bot, tmp_path) as phone:
        said = phone.text("hi")
        chat = said["chat_id"]
        assert await phone.replies(chat) == ["hello"]
        phone.emulator.do(React(from_=ANN, message_id=phone.messages(chat)[-1]["id"], type="love"))
        assert await phone.replies(chat) == ["hello", "loved"]
        phone.emulator.do(Edit(from_=ANN, message_id=said["message_id"], text="hi!"))
        await phone.quiet()
        (tapback,) = phone.messages(chat)[0]["parts"][0]["reactions"]
        assert (tapback["type"], tapback["is_me"]) == ("emphasize", True)

        group = phone.text("anybody?", group=[BOB])["chat_id"]
        assert await phone.replies(group) == []
        mention = [{"type": "text", "value": "@bot you?", "mention": LINE, "mention_range": [0, 4]}]
        phone.emulator.do(Write(from_=BOB, to=LINE, parts=mention, chat_id=group))
        assert await phone.replies(group) == ["here"]
        # A reply to the bot's message addresses the bot too.
        bots = phone.messages(group)[-1]["id"]
        phone.text("thanks", chat_id=group, reply_to={"message_id": bots, "part_index": 0})
        assert await phone.replies(group) == ["here", "here"]


async def test_a_restarted_bot_continues(tmp_path: Path) -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    async with texting(bot, tmp_path) as phone:
        chat = phone.text("before")["chat_id"]
        assert await phone.replies(chat) == ["before"]
    async with texting(bot, tmp_path) as phone:
        chat = phone.text("after")["chat_id"]
        assert await phone.replies(chat) == ["after"]


async def test_a_person_who_opted_out_gets_no_reply_and_nothing_is_retried(tmp_path: Path) -> None:
    bot = Bot()

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("I heard you.")

    async with texting(bot, tmp_path) as phone:
        chat = phone.text("STOP")["chat_id"]
        assert await phone.replies(chat) == []
        assert await phone.storage.dead_letters() == []
        phone.text("hello again", chat_id=chat)
        assert await phone.replies(chat) == ["I heard you."]
