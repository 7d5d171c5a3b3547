"""Any conversation compares as the same with the code that led it, and differs exactly where new code says other words."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from dry_deploys import Day
from fakes import CHAT, tapback
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from simulated_crash import begun

from linqbot import AskTimeout, Bot, Context, MessageReceived, ReactionAdded

ANN, BOB = "+14155550142", "+15550001111"
QUESTIONS: list[dict[str, Any]] = [
    {"yes": "like"},
    {"yes": "like", "side_questions": True},
    {"yes": "like", "side_questions": True, "repeat": False},
    {"yes": "like", "also": [BOB]},
    {"yes": "like", "who": "anyone"},
    {"yes": "like", "cancel": ["enough"]},
    {"kind": int, "tries": 2},
    {"choices": [f"Day {n}" for n in range(13)]},  # more than a poll can have: a numbered list
]
TEXTS = ("book", "menu", "yes", "maybe", "2", "Enough", "never mind", "help", "fail", "hush")
STEPS = st.sampled_from([*TEXTS, "like", "love", "timeout"])


def deciding(menu: str, question: dict[str, Any], *, tapbacks_aside: bool) -> Bot:
    """A bot that asks for a decision, and whose other handlers answer everything else."""
    bot = Bot(read=False, typing=False, groups="all", loop_breaker=False)
    if tapbacks_aside:  # a tapback on a repeated question would have it repeated again, which no record says
        question = {**question, "repeat": False}

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply(f"Decided: {await ctx.ask('Book it?', key='book', timeout_s=3600, **question)}")
        except AskTimeout:
            await ctx.reply("Too late.")

    @bot.on_message("fail")
    async def fail(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        raise ValueError

    @bot.on_message("help", during_ask=True)
    async def helping(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("With what?")  # which fails while another question is open

    @bot.on(ReactionAdded, during_ask=tapbacks_aside)
    async def tapped(event: ReactionAdded, ctx: Context) -> None:
        await ctx.send(f"Oh, {event.reaction_type}")

    @bot.on_message
    def other(message: MessageReceived, ctx: Context) -> str | None:
        late = "late: " if ctx.after_ask else ""
        return None if message.text == "hush" else f"{menu} {late}{message.text}"

    return bot


async def play(day: Day, steps: list[tuple[str, str]]) -> None:
    for step, person in steps:
        if step == "timeout":
            await day.pass_time(3600)
        elif step in ("like", "love"):
            numbers = [n for n, call in enumerate(day.linq.calls, 1) if call.name == "chats.messages.send"]
            await day.receive(tapback(step, f"sent-{max(numbers, default=0)}", sender=person))
        else:
            await day.say(step, is_group=True, sender=person, chat=CHAT)


@pytest.mark.slow
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    question=st.sampled_from(QUESTIONS),
    tapbacks_aside=st.booleans(),
    steps=st.lists(st.tuples(STEPS, st.sampled_from([ANN, ANN, BOB])), min_size=1, max_size=8),
)
@example(question={"yes": "like"}, tapbacks_aside=False, steps=[("timeout", ANN), ("menu", ANN), ("menu", ANN)])
def test_any_conversation_is_the_same_with_its_code_and_differs_where_new_code_does(
    tmp_path_factory: pytest.TempPathFactory,
    question: dict[str, Any],
    tapbacks_aside: bool,
    steps: list[tuple[str, str]],
) -> None:
    async def check(folder: Path) -> None:
        async with begun(Day, folder) as day:
            day.bot = deciding("Soup.", question, tapbacks_aside=tapbacks_aside)
            await play(day, [("book", ANN), *steps])
            report = await day.compared(day.bot)
            assert set(report.counts) == {"same"}, report.groups
            report = await day.compared(deciding("Fish.", question, tapbacks_aside=tapbacks_aside))
            assert {group.cause for group in report.groups} <= {"other words in a message"}
            assert report.differing == sum(text.startswith("Soup.") for text in day.said)

    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        asyncio.run(check(Path(folder)))
