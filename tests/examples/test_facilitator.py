"""examples/facilitator.py: names, a vote and a summary in a group."""

from __future__ import annotations

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Bubble, Phone, killed_between_calls, talking

BOB, EVE, DAN = "+14155550143", "+14155550144", "+14155550145"


async def introduced(ann: Phone) -> Phone:
    group = ann.group(BOB, EVE)
    await group.text("I am Ann")
    await group.by(BOB).text("i am bob")
    return group


def poll_of(group: Phone) -> Bubble:
    """Return the bot's poll: a message without parts."""
    return next(message for message in reversed(group.messages) if message.from_bot and not message.parts)


async def test_it_knows_who_is_here_and_is_silent_otherwise(bot: Bot) -> None:
    async with talking(bot) as ann:
        group = await introduced(ann)
        assert [await group.next_tapback() for _ in range(2)] == ["like", "like"]
        assert await answers(group, "shall we eat?", "who is here?") == ["Here are +1…0144, Ann, Bob"]
        await group.bring(DAN)
        assert await group.replies() == ["Welcome! What is your name? Write: I am …"]
        await group.remove(ann.line)
        await group.bring(ann.line)
        assert (await group.next_reply()).startswith("Hello! Write")
        assert await answers(ann, "hello") == []


async def test_a_vote_names_the_voters_and_the_group(bot: Bot) -> None:
    async with talking(bot) as ann:
        group = await introduced(ann)
        await group.text("summary")
        assert (await group.next_reply()).startswith("Nothing is decided yet.")
        assert await answers(group, "vote: Thai, Pizza") == ["Please vote:", ""]  # the second is the poll
        await group.vote(poll_of(group), "Thai")
        await group.by(BOB).vote(poll_of(group), "Thai")
        await group.by(EVE).vote(poll_of(group), "Pizza")
        assert await group.replies() == ["Thai: Ann, Bob\nPizza: +1…0144"]
        assert group.chat.display_name == "Thai"
        assert await answers(group, "summary") == ["Decided: Thai"]


@pytest.mark.slow
async def test_a_crash_at_any_point_asks_and_counts_once(bot: Bot) -> None:
    groups: list[Phone] = []

    async def scenario(ann: Phone) -> None:
        groups.append(group := ann.group(BOB))
        await group.text("vote: Thai, Pizza")
        await group.quiet()
        for phone in (group, group.by(BOB)):
            await phone.vote(poll_of(group), "Thai")

    async for _ in killed_between_calls(bot, scenario, copies=3):
        said = [message for message in groups[-1].messages if message.from_bot and message.parts]
        assert said == ["Please vote:", "Thai: +1…0142, +1…0143\nPizza: -"]
        assert groups[-1].chat.display_name == "Thai"
