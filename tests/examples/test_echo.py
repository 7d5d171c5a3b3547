"""examples/echo.py: repeats each message."""

from __future__ import annotations

from collections.abc import Callable

from linqbot import Bot
from linqbot.testing import talking


async def test_it_repeats_each_message(example: Callable[[str], Bot]) -> None:
    async with talking(example("echo")) as phone:
        await phone.text("hello")
        assert await phone.next_reply() == "You said: hello"
        await phone.opt_out()
        assert await phone.replies() == []
