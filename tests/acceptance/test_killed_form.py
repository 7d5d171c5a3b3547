"""A form of questions, killed between every two steps and deployed again, asks each once and sums up once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linqbot import Bot
from linqbot.ops.bot_file import load_bot
from linqbot.testing import Phone, killed_between_calls, talking

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(groups="all")
QUESTIONS = [{questions}]


@bot.on_message("form")
async def form(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("{count} questions.")
    answers = [await ctx.ask(question) for question in QUESTIONS]
    await ctx.reply("Sum: " + ", ".join(answers))
"""
QUESTIONS = ["Name?", "Street?", "Town?", "Colour?", "Sure?"]
ANSWERS = ["Ada", "Main St", "Paris", "red", "yes"]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], Bot]:
    """Return a function that writes the bot's file with these questions, and loads it as a new process does."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    file = tmp_path / "form_bot.py"

    def deploy(questions: list[str]) -> Bot:
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
        file.write_text(BOT.format(questions=", ".join(map(repr, questions)), count=len(questions)))
        return load_bot(str(file))

    return deploy


def said(phone: Phone) -> list[str]:
    return [message for message in phone.messages if message.from_bot]


def whole(questions: list[str], answers: list[str]) -> list[str]:
    return [f"{len(questions)} questions.", *questions, f"Sum: {', '.join(answers)}"]


async def test_restarted_after_each_answer(deployed: Callable[[list[str]], Bot], tmp_path: Path) -> None:
    async with talking(deployed(QUESTIONS), storage=f"sqlite:///{tmp_path}/bot.db", copies=3) as phone:
        for text in ["form", *ANSWERS]:
            await phone.text(text)
            await phone.replies()
            await phone.restart()
        assert said(phone) == whole(QUESTIONS, ANSWERS)


@pytest.mark.slow
async def test_killed_at_every_point_and_deployed_with_a_question_more(deployed: Callable[[list[str]], Bot]) -> None:
    # The new question comes before one that is answered, and before one that is open.
    async def scenario(phone: Phone) -> None:
        for text in ["form", "Ada"]:
            await phone.text(text)
            await phone.replies()
        await phone.restart(bot=deployed(["Postcode?", *QUESTIONS[:2]]))
        for text in ["Main St", "75001"]:
            await phone.text(text)
            await phone.replies()

    async for phone in killed_between_calls(deployed(QUESTIONS[:2]), scenario):
        assert said(phone) == [
            "2 questions.",
            *QUESTIONS[:2],
            "Postcode?",
            "Sum: 75001, Ada, Main St",
        ], phone.killed


@pytest.mark.slow
async def test_a_chat_and_a_group_are_filled_in_at_the_same_time(deployed: Callable[[list[str]], Bot]) -> None:
    questions, answers = QUESTIONS[:1], ANSWERS[:1]
    in_capitals = [answer.upper() for answer in answers]

    async def scenario(phone: Phone) -> None:
        group = phone.group("+14155550143")
        for in_chat, in_group in zip(["form", *answers], ["form", *in_capitals], strict=True):
            await phone.text(in_chat)
            await group.text(in_group)
            await phone.quiet()

    runs = 0
    async for phone in killed_between_calls(deployed(questions), scenario):
        runs += 1
        assert said(phone) == whole(questions, answers), phone.killed
        assert said(phone.group("+14155550143")) == whole(questions, in_capitals), phone.killed
    assert runs > 4 * 6
