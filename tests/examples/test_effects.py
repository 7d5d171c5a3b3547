"""examples/effects.py: effects, threads, several bubbles."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import get_args

import pytest
from answers import answers

from linqbot import Bot
from linqbot.linq.types.message import EffectName, TextPart
from linqbot.testing import talking


async def test_a_party_shows_typing_and_ends_with_confetti(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(sys.modules["effects"], "asyncio", SimpleNamespace(sleep=sleep))
    async with talking(bot) as phone:
        first, second = await answers(phone, "party")
        assert (first, first.effect) == ("Here we go", "slam")
        assert (second, second.effect) == ("🎉", "confetti")
        assert pauses == [1]


async def test_every_effect_is_shown_when_it_is_named(bot: Bot, subtests: pytest.Subtests) -> None:
    for name in (name for names in get_args(EffectName) for name in get_args(names)):
        with subtests.test(name=name):
            async with talking(bot) as phone:
                (reply,) = await answers(phone, f" {name.upper()} ")
                assert (reply, reply.effect) == (f"This is {name}.", name)


async def test_bold_is_bold_and_other_messages_get_a_threaded_reply(bot: Bot) -> None:
    async with talking(bot) as phone:
        await phone.text("bold")
        (part,) = (await phone.next_reply()).parts
        assert isinstance(part, TextPart)
        assert part.text_decorations is not None
        assert (part.text_decorations[0].style, part.text_decorations[0].range) == ("bold", (0, 4))
        said = await phone.text("what can you do?")
        first, second = await phone.replies()
        assert (first.thread, second.thread) == (said.id, None)
        assert "confetti" in second
