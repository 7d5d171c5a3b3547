"""examples/reactions.py: answers tapbacks and sends them."""

from __future__ import annotations

import pytest

from linqbot import Bot
from linqbot.testing import talking


@pytest.mark.parametrize(
    ("tapback", "reply", "effect"),
    [
        ("love", "Glad you like it.", "hearts"),
        ("like", "Glad you like it.", None),
        ("question", "What should I have said?", None),
    ],
)
async def test_a_tapback_is_answered(tapback: str, reply: str, effect: str | None, bot: Bot) -> None:
    async with talking(bot) as phone:
        said = await phone.text("hi")
        assert await phone.next_tapback() == "laugh"
        asks = await phone.next_reply()
        assert asks == "Now put a tapback on this."
        assert said.tapbacks == ["laugh"]
        await phone.react(asks, tapback)
        answer = await phone.next_reply()
        assert (answer, answer.effect) == (reply, effect)
        assert answer.thread == (asks.id if tapback == "question" else None)


async def test_an_edit_is_noticed_and_other_tapbacks_are_not_answered(bot: Bot) -> None:
    async with talking(bot) as phone:
        said = await phone.text("helo")
        (asks,) = await phone.replies()
        await phone.edit(said, "hello")
        await phone.react(asks, "🎂")
        assert await phone.replies() == []
        assert said.tapbacks == ["emphasize"]
