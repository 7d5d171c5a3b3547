"""examples/echo.py: repeats each message."""

from __future__ import annotations

from answers import answers

from linqbot import Bot
from linqbot.testing import talking


async def test_it_repeats_each_message(bot: Bot) -> None:
    async with talking(bot) as phone:
        assert await answers(phone, "hello") == ["You said: hello"]
        await phone.opt_out()
        assert await phone.replies() == []
