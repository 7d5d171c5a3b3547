"""The path of an event, steps 1 to 10, from the person's phone and back. Read this test first.

The emulator takes the place of Linq, and there are no sockets. Everything else is real: signature, storage, lanes,
journal. The ten steps, each with its file, are in CONTRIBUTING.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app_with_emulator import ANN, LINE, RunningApp, run_app
from linqbot_dev.emulator.acts.conversation import Edit, React, Write
from one_handler import bot_of, says

from linqbot import Bot, Context, MessageEdited, MessageReceived, ReactionAdded, in_group

BOB = "+14155550143"


def write(app: RunningApp, text: str, *, from_: str = ANN, **how: Any) -> dict[str, Any]:
    """Let a person text the bot. Return the ids of the chat and of the message."""
    return app.emulator.do(Write(from_=from_, to=LINE, parts=[{"type": "text", "value": text}], **how))


async def replies(app: RunningApp, chat_id: str) -> list[str]:
    await app.quiet()
    return app.replies(chat_id)


@pytest.mark.parametrize("version", ["2025-01-01", "2026-02-03"])
async def test_a_message_is_received_answered_and_remembered(tmp_path: Path, version: str) -> None:
    bot = Bot()

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"You said: {message.text}", effect="confetti", thread=True)

    async with run_app(bot, tmp_path, version=version) as app:
        said = write(app, "hello")
        assert await replies(app, said["chat_id"]) == ["You said: hello"]
        reply = app.messages(said["chat_id"])[-1]
        assert reply["effect"] == {"name": "confetti", "type": "screen"}
        assert reply["reply_to"]["message_id"] == said["message_id"]
        assert app.messages(said["chat_id"])[0]["delivery_status"] == "read"
        # Nothing is left to handle, and the journal has the reply.
        assert await app.storage.depth() == 0
        assert await app.storage.has_sent(reply["id"])


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

    async with run_app(bot, tmp_path) as app:
        said = write(app, "hi")
        chat = said["chat_id"]
        assert await replies(app, chat) == ["hello"]
        app.emulator.do(React(from_=ANN, message_id=app.messages(chat)[-1]["id"], type="love"))
        assert await replies(app, chat) == ["hello", "loved"]
        app.emulator.do(Edit(from_=ANN, message_id=said["message_id"], text="hi!"))
        await app.quiet()
        (tapback,) = app.messages(chat)[0]["parts"][0]["reactions"]
        assert (tapback["type"], tapback["is_me"]) == ("emphasize", True)

        group = write(app, "anybody?", group=[BOB])["chat_id"]
        assert await replies(app, group) == []
        mention = [{"type": "text", "value": "@bot you?", "mention": LINE, "mention_range": [0, 4]}]
        app.emulator.do(Write(from_=BOB, to=LINE, parts=mention, chat_id=group))
        assert await replies(app, group) == ["here"]
        # A reply to the bot's message addresses the bot too.
        bots = app.messages(group)[-1]["id"]
        write(app, "thanks", chat_id=group, reply_to={"message_id": bots, "part_index": 0})
        assert await replies(app, group) == ["here", "here"]


async def test_a_person_who_opted_out_gets_no_reply_and_nothing_is_retried(tmp_path: Path) -> None:
    async with run_app(bot_of(says("I heard you.")), tmp_path) as app:
        chat = write(app, "STOP")["chat_id"]
        assert await replies(app, chat) == []
        assert await app.storage.dead_letters() == []
        write(app, "hello again", chat_id=chat)
        assert await replies(app, chat) == ["I heard you."]
