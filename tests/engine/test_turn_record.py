"""The record of a run: what is kept of how it ended, without a word of the person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from one_handler import bot_of

from linqbot import Bot, Context, MessageReceived
from linqbot.bot.router import Next
from linqbot.linq.events.event import Event
from linqbot.storage.open import open_storage
from linqbot.storage.outcomes import OutcomeRow
from linqbot.testing import Phone, talking

pytestmark = pytest.mark.anyio

ANN, SECRET = "+14155550142", "my secret"


def desk() -> Bot:
    bot = Bot(loop_breaker=False)

    @bot.use
    def swallow(after: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            if not (isinstance(event, MessageReceived) and event.text == "swallowed"):
                await after(event, ctx)

        return handle

    @bot.on_message("menu")
    async def menu(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Soup.")

    @bot.on_message("broken")
    async def broken(message: MessageReceived, ctx: Context) -> None:
        raise ValueError(SECRET)

    @bot.on_message("quiet")
    async def quiet(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute()

    @bot.on_error(ValueError)
    async def sorry(error: ValueError, event: Event, ctx: Context) -> None:
        await ctx.reply("Sorry.")

    return bot


async def outcomes(url: str, phone: Phone) -> list[OutcomeRow]:
    async with open_storage(url, serving=False) as storage:
        return await storage.outcomes([phone.chat_id])


async def test_each_way_in_which_a_turn_ends_is_on_record(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    async with talking(desk(), handle=ANN, storage=url) as phone:
        for text in ("menu", SECRET, "swallowed", "broken", "quiet", "menu"):
            await phone.text(text)
            await phone.quiet()
        found = [each for each in await outcomes(url, phone) if each.type == "message.received"]
    module = next(iter(desk().walk()))[0].name.removesuffix("menu")
    assert [(each.outcome, (each.handler or "").rpartition(".")[2], each.why) for each in found] == [
        ("handled", "menu", None),
        ("ignored", "", "no filter fits"),
        ("ignored", "", "middleware ended the event before its handler"),
        ("handled", "broken", f"ValueError was handled by {module}sorry"),
        ("handled", "quiet", None),
        ("muted", "", "the bot is muted in this chat"),
    ]
    names = ("menu", "broken", "quiet")
    assert json.loads(found[1].tried or "") == [[f"{module}{name}", f"exact('{name}')"] for name in names]
    assert all(each.trace_id and each.message_id and each.ms is not None for each in found)
    assert SECRET not in repr(found)


async def test_a_send_that_the_manners_withheld_is_on_record_as_theirs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"

    async def tell(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.send(SECRET, to="+14155550143")

    async with talking(bot_of(tell, allow_to=[ANN]), handle=ANN, storage=url) as phone:
        await phone.text("hello")
        await phone.quiet()
        (found,) = [each for each in await outcomes(url, phone) if each.type == "message.received"]
    (call,) = json.loads(found.calls or "[]")
    assert call == {
        "call": "chats.create",
        "by": "the bot's manners",
        "why": "Bot(allow_to=…) does not name the person.",
    }
