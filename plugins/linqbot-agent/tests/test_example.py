"""The examples of agents: a table is booked after a yes, and once; in a group the agent knows who speaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from answers import answers

from linqbot import Bot
from linqbot.ops.bot_file import load_bot
from linqbot.testing import Phone, killed_between_calls, talking

EXAMPLES = Path(__file__).parent.parent.parent.parent / "examples"
ANN, BOB = "+14155550142", "+14155550143"


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Bot:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    return load_bot(str(EXAMPLES / f"{name}.py"))


@pytest.mark.slow
async def test_a_table_is_booked_once_wherever_the_bot_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = example("agent", monkeypatch)
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


async def test_in_a_group_the_agent_knows_who_speaks_and_is_silent_about_other_things(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with talking(example("group_agent", monkeypatch), handle=ANN) as ann:
        group = ann.group(BOB)
        assert await answers(group, "Who has seen the match?") == []
        assert await answers(group, "Dinner on Friday?") == [f"{ANN} is coming."]
        await group.by(BOB).text("@bot me too", mention=True)
        assert await group.replies() == [f"{BOB} is coming."]
