"""examples/intake_form.py: a form with a mailed code, a poll and a confirmation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Bubble, Phone, killed_between_calls, talking

WHOLE = [
    "Your name?",
    "Your e-mail address?",
    "I have mailed you a code. Which one?",
    "How many people?",
    "A table for 4, Ada. Book it?",
    "Booked. See you soon, Ada!",
]


@pytest.fixture
def code(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that reads the code in the last mail, which the example prints."""

    def last() -> str:
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("To ")][-1][-4:]

    return last


def said(phone: Phone) -> list[str]:
    return [message for message in phone.messages if message.from_bot and not message.votes]


def last_poll(phone: Phone) -> Bubble:
    return [message for message in phone.messages if message.votes][-1]


async def tell_code(phone: Phone, code: Callable[[], str]) -> None:
    for text in ("table", "Ada", "Ada@example.com"):
        await phone.text(text)
        await phone.quiet()
    await phone.text(code())
    await phone.quiet()


async def book(phone: Phone) -> None:
    await phone.vote(last_poll(phone), "4")
    await phone.quiet()
    await phone.react(phone.messages[-1], "like")
    await phone.quiet()


async def test_no_question_is_asked_twice_not_even_after_a_restart_though_each_webhook_comes_three_times(
    bot: Bot, code: Callable[[], str]
) -> None:
    async with talking(bot, copies=3) as phone:
        await tell_code(phone, code)
        await book(phone)
        assert said(phone) == WHOLE
        await phone.restart(down_s=86_400)
        await answers(phone, "table")
        assert said(phone) == [*WHOLE, "How many people?"]


@pytest.mark.slow
async def test_each_question_is_asked_once_wherever_the_bot_is_killed(bot: Bot, code: Callable[[], str]) -> None:
    async def scenario(phone: Phone) -> None:
        await tell_code(phone, code)
        await book(phone)

    async for phone in killed_between_calls(bot, scenario):
        assert said(phone) == WHOLE, phone.killed


async def test_wrong_answers_may_be_given_again_but_only_two_wrong_codes(bot: Bot) -> None:
    async with talking(bot) as phone:
        *_, unclear = await answers(phone, "table", "Ada", "at home")
        assert unclear == "Please write an e-mail address, such as ada@example.com."
        assert await answers(phone, "ada@example.com", "old", "older", "oldest") == [
            "I have mailed you a code. Which one?",
            "That is not the code. Please look again.",
            "That is not the code. Please look again.",
            "Another time, then.",
        ]
        assert await answers(phone, "table") == ["Your e-mail address?"]
        assert await answers(phone, "never mind") == ["Another time, then."]


async def test_a_thumb_down_books_nothing(bot: Bot, code: Callable[[], str]) -> None:
    async with talking(bot) as phone:
        await tell_code(phone, code)
        await phone.text("6")
        await phone.quiet()
        await phone.react(phone.messages[-1], "dislike")
        assert (await phone.replies())[-1] == "Not booked."
