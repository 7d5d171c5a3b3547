"""examples/group.py: quiet in a group until it is addressed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linqbot import Bot
from linqbot.testing import talking

pytestmark = pytest.mark.anyio

BOB = "+14155550143"


async def test_it_counts_who_is_there_when_it_is_asked(example: Callable[[str], Bot]) -> None:
    async with talking(example("group")) as ann:
        group = ann.group(BOB, "+14155550144")
        await group.text("who is in?")
        assert await group.replies() == []
        asked = await group.text("bot, who is in?", mention=True)
        reply = await group.next_reply()
        assert reply == "3 people are here. Raise a hand with a 👍."
        assert reply.thread == asked.id
        await group.by(BOB).leave()
        await group.text("and now, who is in?", reply_to=reply)
        assert (await group.next_reply()).startswith("2 people")


async def test_it_nods_when_it_is_only_mentioned(example: Callable[[str], Bot]) -> None:
    async with talking(example("group")) as ann:
        group = ann.group(BOB)
        await group.text("nice bot", mention=True)
        assert await group.next_tapback() == "like"
        assert await group.next_reply() == "You called? Ask me who is in."


async def test_alone_it_asks_for_company(example: Callable[[str], Bot]) -> None:
    async with talking(example("group")) as ann:
        await ann.text("hello")
        assert await ann.next_reply() == "I am more fun in a group. Add me to one."
