"""The value of an answer: words, numbers, yes or no, a choice by its text or its number, or the end of the question."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from asking_talk import Talk

from linqbot import AskCancelled, Context, MessageReceived

WHEN = "Please give a day and a time, such as Friday 19:30, tomorrow at 7pm or 24 Dec 18:00."
NO_NUMBER = "Please give one whole number, such as 2 or twelve."
ROWS: list[tuple[dict[str, Any], str, str]] = [
    ({"choices": ["2", "4", "6"]}, "2.", "2"),  # a choice's own text comes before its number
    ({"choices": ["2", "4", "6"]}, "3)", "6"),
    ({"choices": ["4", "2", "many"]}, "1", "4"),
    ({"choices": ["Friday", "Sunday"]}, "friday!", "Friday"),
    ({"choices": ["I'm in", "Can't"]}, "Can’t", "Can't"),  # an iPhone writes curly quotes
    ({"cancel": ["Don't ask"]}, "Don’t ask!", "cancelled"),
    ({"kind": datetime}, "1830", WHEN),
    ({"kind": float}, "nan", "Please answer with a number."),
    ({"kind": bool}, "Yes!", "True"),
    ({"kind": bool}, "off", "False"),
    ({"kind": bool}, "maybe", "Please answer yes or no."),
    ({}, "Never mind.", "cancelled"),
    ({"choices": ["Rebook", "Forget it"]}, "forget it", "Forget it"),
    ({"choices": ["Rebook", "Forget it!"]}, "Forget it!", "Forget it!"),
    ({"choices": ["Rebook", "Forget it"]}, "never mind", "cancelled"),
    ({"choices": ["2", "4"], "kind": int}, "2", "2"),
    ({"choices": ["Today", "Later"], "kind": int}, "later", "Later"),
    ({"choices": ["Today", "Later"], "kind": int}, "2", "Later"),
    ({"choices": ["Today", "Later"], "kind": int}, "12", "12"),
    ({"choices": ["Today", "Later"], "kind": int}, "many", NO_NUMBER),
]


async def test_an_answer_means_what_a_person_means(talk: Talk, subtests: pytest.Subtests) -> None:
    for n, (asked, answer, value) in enumerate(ROWS):

        async def ask(message: MessageReceived, ctx: Context, asked: dict[str, Any] = asked) -> None:
            try:
                await ctx.reply(str(await ctx.ask("Which?", **asked)))
            except AskCancelled:
                await ctx.reply("cancelled")

        with subtests.test(asked=asked, answer=answer):
            talk.deploy(ask)
            chat = f"00000000-0000-4000-9000-{n:012}"
            await talk.say("ask", chat=chat, service="SMS")
            before = len(talk.said)
            await talk.say(answer, chat=chat, service="SMS")
            talk.clock.advance(60)  # far below the rate limit
            assert talk.said[before:] == [value]
