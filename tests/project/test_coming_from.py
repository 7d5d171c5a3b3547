"""The bots on the page for people who know another library do what the page says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from linqbot import Bot
from linqbot.testing import talking

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"


def bot_of(code: str) -> Bot:
    names: dict[str, Any] = {"__name__": "bot"}
    exec(compile(code, PAGE.name, "exec", dont_inherit=True), names)
    bot = names["bot"]
    assert isinstance(bot, Bot)
    return bot


@pytest.mark.anyio
async def test_each_bot_asks_once_and_knows_after_a_restart_what_it_has_asked(
    subtests: pytest.Subtests,
) -> None:
    plain, of_eve = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, code in (("plain", plain), ("eve", of_eve)):
        with subtests.test(bot=name):
            async with talking(bot_of(code), copies=3) as phone:
                await phone.text("order")
                question, *choices = await phone.replies()
                await phone.restart()
                if name == "eve":
                    assert question == "May I order (size S)? 👍 or yes, 👎 or no"
                    await phone.text("yes")
                    assert await phone.replies() == ['{"order":"One S is on its way."}']  # as the test model says it
                else:
                    assert (question, len(choices)) == ("Which size?", 1)
                    await phone.text("XL")
                    await phone.text("M")
                    assert await phone.replies() == [
                        "Please answer with one of these: S, M, L.",
                        "One M is on its way.",
                    ]
