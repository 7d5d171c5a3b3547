"""Built-in people find the bugs that are planted in a bot, with each of three seeds, and nothing wrong with sound bots."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from linqbot_dev.testing.people.checks import Rule

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import talking
from linqbot.testing.ledger import Ledger
from linqbot.testing.people import KINDS, Persona, Say, Violation, crowd, rehearse

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)
MESSAGES = 3
"""The messages of each person."""
TOKEN = "live_5f2a9c11d0"


class Desk:
    """The bot: it books what each message says, in a ledger, and says so. Its methods are the ways in which it goes wrong."""

    def __init__(self) -> None:
        self.ledger = Ledger(said={"book": "^booked"})
        self.last: dict[str, Any] = {}

    async def book(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.once("book", lambda key: self.ledger.do("book", key, text=message.text), retry=True)

    async def sound(self, message: MessageReceived, ctx: Context) -> None:
        await self.book(message, ctx)
        await ctx.reply(f"Booked: {message.text}")

    async def asks_first(self, message: MessageReceived, ctx: Context) -> None:
        if await ctx.ask(f"Shall I book this? {message.text}", yes="like", tries=9):
            await self.book(message, ctx)
            await ctx.reply("Booked.")
        else:
            await ctx.reply("Then not.")

    async def says_its_token(self, message: MessageReceived, ctx: Context) -> None:
        if "API key" in message.text or "instructions" in message.text or "SYSTEM" in message.text:
            await ctx.reply(f"My key is {TOKEN}.")
        else:
            await self.sound(message, ctx)

    async def says_the_text_of_the_guest_before(self, message: MessageReceived, ctx: Context) -> None:
        before, self.last["text"] = self.last.get("text", "nothing"), message.text
        await ctx.reply(f"Before you came: {before}")

    async def says_the_json_of_its_tool(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply('{"name": "book", "arguments": {"seats": 2}}' if "?" in message.text else "Hello.")

    async def crashes_after_its_tool(self, message: MessageReceived, ctx: Context) -> None:
        await self.book(message, ctx)
        if "?" in message.text:
            raise RuntimeError("The tool was called.")
        await ctx.reply(f"Booked: {message.text}")

    async def doubles_its_reply(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Working on: {message.text}", key=uuid.uuid4().hex)
        self.fail_once(message)

    def fail_once(self, message: MessageReceived) -> None:
        if message.event_id not in self.last:
            self.last[message.event_id] = True
            raise RuntimeError("The first run fails.")

    async def loses_its_answer(self, message: MessageReceived, ctx: Context) -> None:
        await self.book(message, ctx)
        with suppress(TimeoutError):
            await ctx.reply(f"Booked: {self.model(message.text)}")

    def model(self, text: str) -> str:
        if "?" in text:
            raise TimeoutError
        return text

    async def swallows_a_quick_message(self, message: MessageReceived, ctx: Context) -> None:
        before, self.last[ctx.chat_id] = self.last.get(ctx.chat_id), ctx.now().timestamp()
        if before is None or ctx.now().timestamp() - before > 2:
            await ctx.reply(f"You said: {message.text}")

    async def books_twice(self, message: MessageReceived, ctx: Context) -> None:
        await self.ledger.do("book", text=message.text)
        self.fail_once(message)
        await ctx.reply(f"Booked: {message.text}")

    async def books_and_does_not_say_so(self, message: MessageReceived, ctx: Context) -> None:
        await self.book(message, ctx)
        await ctx.reply("Anything else?")

    async def says_that_it_booked_and_did_not(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Booked: {message.text}")

    async def books_after_a_no(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.ask(f"Shall I book this? {message.text}", yes="like")
        await self.book(message, ctx)
        await ctx.reply("Booked.")


Way = Callable[[Desk, MessageReceived, Context], Awaitable[None]]

PLANTED: dict[Way, Rule] = {
    Desk.says_its_token: "leak",
    Desk.says_the_text_of_the_guest_before: "leak",
    Desk.says_the_json_of_its_tool: "leak",
    Desk.crashes_after_its_tool: "given-up",
    Desk.doubles_its_reply: "doubled",
    Desk.loses_its_answer: "unanswered",
    Desk.swallows_a_quick_message: "unanswered",
    Desk.books_twice: "effect-twice",
    Desk.books_and_does_not_say_so: "effect-unsaid",
    Desk.says_that_it_booked_and_did_not: "effect-unsaid",
    Desk.books_after_a_no: "unexpected",
}
"""By the way in which the bot goes wrong: the rule that finds it."""


def people(seed: int) -> Iterator[Persona]:
    """Yield a person of each kind, each with the same number of messages."""
    for one in crowd(len(KINDS), seed=seed, faults=["429", "500", "lost-answer", "slow", "double"]):
        assert not callable(one.script)
        said = itertools.count()
        script = [*itertools.takewhile(lambda act: not isinstance(act, Say) or next(said) < MESSAGES, one.script)]  # noqa: B023
        yield replace(one, script=script)


async def found(way: Way, seed: int, **options: Any) -> list[Violation]:
    desk, bot = Desk(), Bot(**options)

    @bot.on_message
    async def handle(message: MessageReceived, ctx: Context) -> None:
        await way(desk, message, ctx)

    async with talking(bot) as phone:
        return await rehearse(phone, people(seed), secrets=[TOKEN], ledger=desk.ledger)


async def test_each_planted_bug_is_found(subtests: pytest.Subtests) -> None:
    for (way, rule), seed in itertools.product(PLANTED.items(), SEEDS):
        with subtests.test(way=way.__name__, seed=seed):
            assert rule in {one.rule for one in await found(way, seed)}


async def test_a_bot_that_answers_everything_in_a_group_is_found(subtests: pytest.Subtests) -> None:
    for seed in SEEDS:
        with subtests.test(seed=seed):
            assert {one.rule for one in await found(Desk.sound, seed, groups="all")} == {"unexpected"}


async def test_sound_bots_raise_no_false_alarm(subtests: pytest.Subtests) -> None:
    rarely: dict[str, Any] = {"gather_s": 2, "groups": "never"}
    sound: tuple[tuple[Way, dict[str, Any]], ...] = ((Desk.sound, {}), (Desk.sound, rarely), (Desk.asks_first, {}))
    for (way, options), seed in itertools.product(sound, SEEDS):
        with subtests.test(way=way.__name__, options=options, seed=seed):
            assert await found(way, seed, **options) == []
