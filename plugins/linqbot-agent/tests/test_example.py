"""examples/agent.py: a table is booked after a yes, and once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from linqbot.ops.bot_file import load_bot
from linqbot.testing import Phone, killed_between_calls

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parent.parent.parent.parent / "examples" / "agent.py"


async def test_a_table_is_booked_once_wherever_the_bot_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "agent", raising=False)
    bot = load_bot(str(EXAMPLE))
    bookings: dict[str, str] = sys.modules["agent"].bookings

    async def scenario(phone: Phone) -> None:
        bookings.clear()
        await phone.text("A table for two tonight, please")
        await phone.react(await phone.next_reply(), "like")

    async for phone in killed_between_calls(bot, scenario):
        assert phone.messages[1:] == [
            "May I book table (hour 20, people 2)? 👍 or yes, 👎 or no",
            "Booked for 2 at 20:00.",
            "Can I do anything else for you?",
        ]
        assert list(bookings.values()) == ["2 at 20:00"]
