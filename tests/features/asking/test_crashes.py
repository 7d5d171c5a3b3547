"""A form of four questions, killed between every two steps, asks each question once and sums up once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asking_talk import Talk
from fakes import text_body

from linqbot.bot.context import Context
from linqbot.linq.events.message import MessageReceived

pytestmark = pytest.mark.anyio

QUESTIONS = ["Name?", "Street?", "Colour?", "Sure?"]
ANSWERS = ["Ada", "Main St", "red", "yes"]


def form(crashes: Any, questions: list[str]) -> Callable[[MessageReceived, Context], Awaitable[None]]:
    async def ask_all(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("A few questions.")
        said = []
        for question in questions:
            said.append(await ctx.ask(question))
            await crashes.place()
            await ctx.send(f"Noted: {said[-1]}.")
            await crashes.place()
        await ctx.reply(f"Sum: {', '.join(said)}")

    return ask_all


def every_place(limit: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("at", range(limit))


async def fill_in(talk: Talk, crashes: Any) -> None:
    talk.deploy(form(crashes, QUESTIONS))
    for text in ["hello", *ANSWERS]:
        await crashes.deliver(text_body(text))


EXPECTED = ["A few questions."]
for _question, _answer in zip(QUESTIONS, ANSWERS, strict=True):
    EXPECTED += [_question, f"Noted: {_answer}."]
EXPECTED.append("Sum: Ada, Main St, red, yes")


async def test_a_form_has_as_many_places_to_crash_as_are_tried_below(talk: Talk, crashes: Any) -> None:
    crashes.at(10**6)
    await fill_in(talk, crashes)
    assert talk.said == EXPECTED
    assert 10**6 - crashes.left == PLACES


PLACES = 10 + 10 + 2 * (1 + 2 + 3 + 4)
"""Places at which the form can crash: the calls, the ends of turns, and the places in the handler."""


@pytest.mark.slow
@every_place(PLACES)
async def test_each_question_is_asked_once_and_the_end_said_once(talk: Talk, crashes: Any, at: int) -> None:
    crashes.at(at)
    await fill_in(talk, crashes)
    assert crashes.has_crashed
    assert talk.said == EXPECTED
    assert talk.open_questions() == []
    assert await talk.storage.dead_letters() == []
    # No call was made again under another key.
    texts = [text for text in talk.linq.said() if text.startswith("Noted")]
    assert len({*texts}) == 4


@pytest.mark.slow
@every_place(50)
async def test_the_same_with_a_question_that_a_deploy_adds_in_the_middle(talk: Talk, crashes: Any, at: int) -> None:
    crashes.at(at)
    talk.deploy(form(crashes, QUESTIONS))
    for text in ["hello", *ANSWERS[:2]]:
        await crashes.deliver(text_body(text))
    assert talk.said[-1] == "Colour?"
    longer = [*QUESTIONS[:1], "Postcode?", *QUESTIONS[1:]]
    talk.bot = changed(form(crashes, longer))
    for text in [ANSWERS[2], "75001", ANSWERS[3]]:
        await crashes.deliver(text_body(text))
    assert crashes.has_crashed
    assert [text for text in talk.said if text.endswith("?")] == [*QUESTIONS[:3], "Postcode?", "Sure?"]
    assert [text for text in talk.said if text.startswith("Sum")] == ["Sum: Ada, 75001, Main St, red, yes"]
    assert sorted(text for text in talk.said if text.startswith("Noted")) == sorted(
        f"Noted: {answer}." for answer in [*ANSWERS, "75001"]
    )
    assert talk.open_questions() == []


def changed(handler: Any) -> Any:
    """Return a bot with the handler under the same name, as if its file had been changed."""
    from linqbot.bot.bot import Bot

    async def ask_all(message: MessageReceived, ctx: Context) -> None:
        await handler(message, ctx)

    ask_all.__qualname__ = handler.__qualname__
    bot = Bot(read=False, typing=False)
    bot.on_message(ask_all)
    return bot
