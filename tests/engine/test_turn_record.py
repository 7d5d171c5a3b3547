"""The record of a run: what is kept of how it ended, without a word of the person."""

from __future__ import annotations

import json
from pathlib import Path

from answers import answers
from one_handler import bot_of, does
from storages import open_storage

from linqbot import Context, MessageReceived
from linqbot.storage.outcomes import OutcomeRow
from linqbot.testing import Phone, talking

ANN, SECRET = "+14155550142", "my secret"


async def outcomes(url: str, phone: Phone) -> list[OutcomeRow]:
    async with open_storage(url, serving=False) as storage:
        return await storage.outcomes([phone.chat_id])


async def test_a_run_is_on_record_with_its_ids_and_its_time(tmp_path: Path) -> None:
    """The ways in which a turn ends are in tests/ops/test_why.py, read as an operator reads them."""
    url = f"sqlite:///{tmp_path}/bot.db"

    async with talking(bot_of(does(lambda ctx: ctx.mute())), handle=ANN, storage=url) as phone:
        for text in ("quiet", SECRET):
            await answers(phone, text)
        found = [each for each in await outcomes(url, phone) if each.type == "message.received"]
    assert [(each.outcome, each.why) for each in found] == [
        ("handled", None),
        ("muted", "the bot is muted in this chat"),
    ]
    assert all(each.trace_id and each.message_id and each.ms is not None for each in found)
    assert SECRET not in repr(found)


async def test_a_send_that_the_manners_withheld_is_on_record_as_theirs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"

    async def tell(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.send(SECRET, to="+14155550143")

    async with talking(bot_of(tell, allow_to=[ANN]), handle=ANN, storage=url) as phone:
        await answers(phone, "hello")
        (found,) = [each for each in await outcomes(url, phone) if each.type == "message.received"]
    (call,) = json.loads(found.calls or "[]")
    assert call == {
        "call": "chats.create",
        "by": "the bot's manners",
        "why": "Bot(allow_to=…) does not name the person.",
    }
