"""examples/streaming.py: a model's answer in several messages."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from answers import answers

from linqbot import Bot, TextPart
from linqbot.linq.types.message import utf16_slice
from linqbot.testing import Phone, killed_between_calls, talking

ANSWER = [
    "Good question! Sourdough needs three things: flour, water and time.",
    "1. Mix equal parts of flour and water.\n2. Wait for a day. Bake it. Feed it again.\n3. Bake it when it doubles.",
    "Enjoy it! 🍞 Read more:",
    "https://example.com/sourdough",
]


@pytest.fixture
def bot(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> Bot:
    async def sleep(seconds: float) -> None: ...

    monkeypatch.setattr(sys.modules["streaming"], "asyncio", SimpleNamespace(sleep=sleep))
    return bot


async def test_the_answer_comes_in_messages_with_styles_and_a_card(bot: Bot) -> None:
    async with talking(bot) as phone:
        replies = await answers(phone, "How do I make sourdough?")
        assert replies == ANSWER
        styles = {
            (str(each.style), utf16_slice(part.value, *each.range))
            for reply in replies
            for part in reply.parts
            if isinstance(part, TextPart)
            for each in part.text_decorations or ()
        }
        assert styles == {("bold", "three"), ("italic", "equal parts"), ("strikethrough", "Bake it.")}
        assert not phone.is_shown_typing


@pytest.mark.slow
async def test_a_crash_at_any_point_loses_and_repeats_nothing(bot: Bot) -> None:
    async def ask(phone: Phone) -> None:
        await phone.text("How do I make sourdough?")

    async for phone in killed_between_calls(bot, ask):
        assert [message for message in phone.messages if message.from_bot] == ANSWER
