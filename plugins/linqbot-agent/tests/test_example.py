"""The examples of agents: a table is booked after a yes, and once; an owner approves a refund; in a group it knows who speaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from answers import answers

from linqbot import Bot
from linqbot.ops.bot_file import load_bot
from linqbot.testing import Phone, killed_between_calls, talking

EXAMPLES = Path(__file__).parent.parent.parent.parent / "examples"
ANN, BOB, DANA = "+14155550142", "+14155550143", "+14155550199"


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


MAY_I = f"For {ANN}: May I refund (dollars 80)? 👍 or yes, 👎 or no"


async def test_dana_approves_a_refund_in_her_own_chat_and_the_guest_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking(example("owner_agent", monkeypatch), handle=ANN) as ann:
        dana, refunds = ann.person(DANA), sys.modules["owner_agent"].refunds
        assert await answers(ann, "I want a refund!") == ["I have asked Dana."]
        (asked,) = await dana.replies()
        assert asked == MAY_I
        assert await answers(ann, "yes") == ["Hi!"]
        await ann.restart()
        assert await answers(dana, "Good morning") == ["Hi!", MAY_I]  # no answer, so the question again
        assert (await ann.replies(), refunds) == ([], {})
        await dana.react(asked, "like")
        assert await ann.replies() == ["You get $80 back."]
        assert list(refunds.values()) == [80]


@pytest.mark.parametrize("how", ["no", "dislike", "never mind", "no answer", "opted out"])
async def test_a_guest_gets_no_refund_without_dana_and_reads_it(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking(example("owner_agent", monkeypatch), handle=ANN) as ann:
        dana = ann.person(DANA)
        if how == "opted out":
            await dana.opt_out()
        *_, said = await answers(ann, "I want a refund!")
        if how == "no answer":
            await ann.advance(86_401)
        elif how == "dislike":
            await dana.react((await dana.replies())[-1], how)
        elif how != "opted out":
            await dana.text(how)
        decided = how not in ("no answer", "opted out")
        said = said if how == "opted out" else await ann.next_reply()
        assert said == ("I am sorry." if decided else "Dana could not decide. Please call us.")
        assert sys.modules["owner_agent"].refunds == {}


@pytest.mark.slow
async def test_a_refund_is_asked_for_and_made_once_wherever_the_bot_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = example("owner_agent", monkeypatch)
    refunds: dict[str, int] = sys.modules["owner_agent"].refunds

    async def scenario(ann: Phone) -> None:
        refunds.clear()
        await ann.text("I want a refund!")
        await ann.quiet()
        await ann.text("yes")
        await ann.person(DANA).text("yes")

    async for ann in killed_between_calls(bot, scenario, handle=ANN):
        said = sorted(str(each) for each in await ann.replies())
        assert said == ["Hi!", "I have asked Dana.", "You get $80 back."], ann.killed
        assert [str(each) for each in ann.person(DANA).messages if each.from_bot] == [MAY_I], ann.killed
        assert list(refunds.values()) == [80], ann.killed
