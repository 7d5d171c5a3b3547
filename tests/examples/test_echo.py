"""examples/echo.py: says back what it is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linqbot import Bot
from linqbot.testing import talking

pytestmark = pytest.mark.anyio


async def test_it_says_back_what_it_is_told(example: Callable[[str], Bot]) -> None:
    async with talking(example("echo")) as phone:
        await phone.text("hello")
        assert await phone.next_reply() == "You said: hello"
        await phone.opt_out()
        assert await phone.replies() == []
