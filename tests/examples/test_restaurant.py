"""examples/restaurant/bot.py: the finished bot of the tutorial, in conversations that the pages do not show."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

TUESDAY = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = 3600, 86400
REMINDER = "Tomorrow is your table for {}. If you cannot come, write: free my table"


async def test_a_guest_who_is_asked_may_look_at_the_menu_and_then_answer(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY) as phone:
        *_, again = await answers(phone, "A table for 12, please", "menu")
        assert again == "A table for 12. When? For example: Saturday 19:30"
        (unclear,) = await answers(phone, "next month")
        assert unclear == "Please give a day and a time, such as Friday 19:30, tomorrow at 7pm or 24 Dec 18:00."
        assert await answers(phone, "next tuesday 19:30") == ["What is your name?"]
        assert await answers(phone, "Dana") == ["Dana, your table for 12 on Tuesday 08 January at 19:30 is booked."]


async def test_the_time_stays_the_same_if_the_name_comes_after_midnight(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY) as phone:
        assert (await answers(phone, "a table for 4", "wednesday 19:30"))[-1] == "What is your name?"
        await phone.advance(DAY - HOUR)
        assert await answers(phone, "Dana") == ["Dana, your table for 4 on Wednesday 02 January at 19:30 is booked."]


async def test_a_guest_who_ends_a_question_keeps_the_earlier_table(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY) as phone:
        *_, end = await answers(phone, "a table for 4", "Friday 19:30", "Dana", "a table for 5", "Never mind")
        assert end == "I have booked nothing. Another time!"
        await phone.advance(7 * DAY)
        assert await phone.replies() == [REMINDER.format(4)]


async def test_a_second_booking_replaces_the_reminder_of_the_first(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY) as phone:
        said = await answers(phone, "a table for 4", "Friday 19:30", "Dana", "a table for 5", "Saturday 19:30")
        assert len(said) == 5
        await phone.advance(7 * DAY)
        assert await phone.replies() == [REMINDER.format(5)]


async def test_people_of_a_group_book_and_cancel_tables_of_their_own_and_their_hearts_are_not_answered(
    bot: Bot,
) -> None:
    async with talking(bot, start=TUESDAY) as ann:
        bob = ann.person("+14155550143")
        group = ann.group(bob, "cat@example.com")
        await group.by(bob).react(await group.text("let us eat out"), "love")
        assert await group.replies() == []
        await group.text("@bot, a table for us", mention=True)
        assert (await answers(group, "Friday 19:30"))[-1] == "What is your name?"
        assert await answers(group, "Ann") == ["Ann, your table for 3 on Friday 04 January at 19:30 is booked."]
        await group.by(bob).text("@bot, a table for 2", mention=True)
        await group.by(bob).text("Sunday 19:30", reply_to=await group.next_reply())
        await group.by(bob).text("Bob", reply_to=await group.next_reply())
        assert await group.next_reply() == "Bob, your table for 2 on Sunday 06 January at 19:30 is booked."
        # In the direct chat:
        assert await answers(ann, "free my table") == ["Your table is free again. Another time!"]
        await ann.advance(7 * DAY)
        assert await group.replies() == [REMINDER.format(2)]


@pytest.mark.slow
async def test_a_table_is_booked_and_reminded_of_once_wherever_the_bot_is_killed(bot: Bot) -> None:
    async def books(phone: Phone) -> None:
        for text in ("a table for 4", "Friday 19:30", "Dana"):
            await phone.text(text)
            await phone.quiet()
        await phone.advance(7 * DAY)

    async for phone in killed_between_calls(bot, books, start=TUESDAY):
        assert [message for message in phone.messages if message.from_bot] == [
            "A table for 4. When? For example: Saturday 19:30",
            "What is your name?",
            "Dana, your table for 4 on Friday 04 January at 19:30 is booked.",
            REMINDER.format(4),
        ]
