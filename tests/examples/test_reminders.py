"""examples/reminders.py: reminders in plain words, snoozed by a reply and ended by a tapback."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

TUESDAY = datetime(2030, 1, 1, 7, tzinfo=UTC)  # 8:00 in Paris
HOUR, DAY = 3600, 86400


def said(phone: Phone) -> list[str]:
    return [message for message in phone.messages if message.from_bot]


async def a_day_of_reminders(phone: Phone) -> None:
    await phone.text("remind me every weekday at 9:00 to stretch")
    await phone.text("remind me at noon to eat")
    await phone.text("remind me in 30 min to call Bob")
    await phone.quiet()
    assert (await answers(phone, "cancel call Bob", "list"))[-1] == "Tuesday 09:00: stretch\nTuesday 12:00: eat"
    await phone.advance(HOUR)
    await phone.reply(phone.messages[-1], "20 min")  # 9:00
    await phone.advance(HOUR)  # The snoozed one comes at 9:20.
    await phone.react(phone.messages[-1], "like")
    await phone.advance(2 * HOUR)
    await phone.reply(phone.messages[-1], "1h")  # 12:00
    await phone.advance(2 * DAY)


WHOLE = [
    "Tuesday 09:00: stretch",
    "Tuesday 12:00: eat",
    "Tuesday 08:30: call Bob",
    "I will not remind you to call Bob again.",
    "Tuesday 09:00: stretch\nTuesday 12:00: eat",
    "Time to stretch!",
    "Tuesday 09:20: stretch",
    "Time to stretch!",
    "I will not remind you to stretch again.",
    "Time to eat!",
    "Tuesday 13:00: eat",
    "Time to eat!",
]


async def test_each_reminder_comes_once_though_each_webhook_comes_three_times(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY, copies=3) as phone:
        await a_day_of_reminders(phone)
        assert said(phone) == WHOLE


@pytest.mark.slow
async def test_each_reminder_comes_once_wherever_the_bot_is_killed(bot: Bot) -> None:
    async def a_morning(phone: Phone) -> None:
        await phone.text("remind me every weekday at 9:00 to stretch")
        await phone.advance(HOUR)
        await phone.reply(phone.messages[-1], "20 min")  # 9:00
        await phone.advance(HOUR)  # The snoozed one comes at 9:20.
        await phone.react(phone.messages[-1], "like")
        await phone.advance(2 * DAY)

    async for phone in killed_between_calls(bot, a_morning, start=TUESDAY):
        assert said(phone) == [
            "Tuesday 09:00: stretch",
            "Time to stretch!",
            "Tuesday 09:20: stretch",
            "Time to stretch!",
            "I will not remind you to stretch again.",
        ], phone.killed


async def test_what_it_does_not_understand_it_says(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY) as phone:
        unclear = ("cancel stretch", "remind me soon to eat", "remind me every moon to howl")
        assert await answers(phone, "hello", "list", *unclear) == [
            "Write: remind me tomorrow at 9:00 to stretch. Or: list, cancel stretch",
            "You have no reminders.",
            "You have no reminder to stretch.",
            "Please give a day and a time, such as Friday 19:30, tomorrow at 7pm or 24 Dec 18:00.",
            "Please say how often, such as every day at 9:00, weekdays 8:30, mon and thu 19:30 or every 2 hours.",
        ]
        await phone.text("remind me at noon to eat")
        await phone.advance(4 * HOUR)
        await phone.reply((await phone.replies())[-1], "later")
        assert await phone.next_reply() == "Please give a length of time, such as 20 min, 1h30 or 2 days."
