"""Any order of answers, side questions, timeouts, crashes, failures and deploys: nothing is asked, used or said twice.

Each deploy has one more question, which comes before those that are open or answered. A model says what the bot should have
said, and which question is open. After each step both are compared.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from asking_talk import Talk
from fakes import text_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_crash import begun, crash

from linqbot import AskCancelled, AskTimeout, Bot, Context, MessageReceived
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.sqlite.storage import SQLiteStorage

TIMEOUT_S = 5000.0
ENDS = {"": "Too late.", "never mind": "Cancelled."}
"""What the bot says to an answer that ends the form. The empty one is that of a person who has not answered in time."""
STEPS = st.sampled_from(["start", "say", "say", "help", "timeout", "never mind", "deploy", "crash", "fail", "restart"])


class Model:
    """The expected acts of the bot: the texts that it sends, the open question and the answers so far."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.version = 0
        self.asked: str | None = None
        self.answers: dict[str, str] = {}
        self.noted: set[str] = set()

    @property
    def keys(self) -> list[str]:
        """The keys of the questions of the code that runs now."""
        return ["name", *(f"new {n}" for n in range(self.version)), "town", "colour"]

    def hear(self, text: str) -> None:
        """Note what follows from a message."""
        if text == "help":
            self.said.append("This is help.")
            if self.asked is not None:
                self.said.append(self.asked)
        elif self.asked is not None:
            self._end_question(text)
        elif text == "start":
            self.answers, self.noted = {}, set()
            self._go_on()
        else:
            self.said.append(f"Routed {text}.")

    def time_out(self) -> None:
        """Note that no answer came in time."""
        if self.asked is not None:
            self._end_question("")

    def _end_question(self, answer: str) -> None:
        assert self.asked is not None
        self.answers[self.asked.partition(" in ")[0]] = answer
        self._go_on()

    def _go_on(self) -> None:
        """Note the answers that the handler has come to, until one is missing or has ended the form."""
        for key in self.keys:
            if key not in self.answers:
                self.asked = f"{key} in version {self.version}?"
                self.said.append(self.asked)
                return
            if (end := ENDS.get(self.answers[key])) is not None:
                self.said.append(end)
                self.asked = None
                return
            if key not in self.noted:
                self.noted.add(key)
                self.said.append(f"Noted {self.answers[key]}.")
        self.said.append(f"Sum: {', '.join(self.answers[key] for key in self.keys)}")
        self.asked = None


class Person:
    """A person who talks to the bot, and the faults that happen meanwhile."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.model = Model()
        self.crash_in: int | None = None
        self.fails = False
        self.deploy()

    def deploy(self) -> None:
        """Let other code run from now on, with other words in its questions."""
        person, version, keys = self, self.model.version, self.model.keys

        async def form(message: MessageReceived, ctx: Context) -> None:
            answers = []
            try:
                for key in keys:
                    answers.append(await ctx.ask(f"{key} in version {version}?", key=key, timeout_s=TIMEOUT_S))
                    await person.place()
                    await ctx.send(f"Noted {answers[-1]}.")
                    person.fail_once()
            except AskTimeout:
                await ctx.send("Too late.")
                return
            except AskCancelled:
                await ctx.send("Cancelled.")
                return
            await ctx.send(f"Sum: {', '.join(answers)}")

        async def helping(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply("This is help.")
            person.fail_once()

        async def other(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(f"Routed {message.text}.")

        form.__qualname__ = "form"
        bot = Bot(read=False, typing=False, loop_breaker=False)
        bot.on_message("help", during_ask=True)(helping)
        bot.on_message("start")(form)
        bot.on_message(other)
        self.talk.bot = bot

    def fail_once(self) -> None:
        if self.fails:
            self.fails = False
            raise ZeroDivisionError

    async def place(self, _: Any = None) -> None:
        """Crash here, if enough places were passed."""
        if self.crash_in is None:
            return
        self.crash_in -= 1
        if self.crash_in < 0:
            self.crash_in = None
            await crash()

    async def step(self, what: str, n: int) -> None:
        """Do one step, and compare the bot with the model."""
        self.talk.clock.advance(60)  # far below the rate limit
        match what:
            case "crash":
                self.crash_in = n % 7
            case "fail":
                self.fails = True
            case "restart":
                await self.talk.restart()
            case "deploy":
                self.model.version += 1
                self.deploy()
            case "timeout":
                self.talk.clock.advance(TIMEOUT_S)
                self.model.time_out()
                await self.settle()
            case _:
                text = f"text {n}" if what == "say" else what
                await self.talk.put(text_body(text))
                self.model.hear(text)
                await self.settle()
        assert self.talk.said == self.model.said
        waiting = [each for each in self.talk.open_questions() if each != "timed_out"]
        assert waiting == (["waiting"] if self.model.asked is not None else [])
        assert await self.talk.storage.dead_letters() == []

    async def settle(self) -> None:
        """Run turns until all is handled, with a restart after each crash, and with the time for each retry."""
        while True:
            self.talk.linq.before = self.place
            if await self.talk.crashable.run(self.talk.run()):
                await self.talk.restart()
            elif await self.talk.storage.depth():
                self.talk.clock.advance(10)
            else:
                return


@pytest.mark.slow
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 1000)), max_size=14))
def test_each_question_is_asked_once_each_answer_is_used_once_and_no_message_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    async def check(folder: Path, crashing: pytest.MonkeyPatch) -> None:
        async with begun(Talk, folder) as talk:
            person = Person(talk)
            finish = SQLiteStorage.finish

            async def may_crash(self: SQLiteStorage, lease: Lease, end: Commit) -> None:
                await person.place()
                await finish(self, lease, end)
                await person.place()

            crashing.setattr(SQLiteStorage, "finish", may_crash)
            for n, (what, number) in enumerate([("start", 0), *steps]):
                await person.step(what, number * 100 + n)

    in_memory = tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(dir=in_memory) as folder, pytest.MonkeyPatch.context() as crashing:
        asyncio.run(check(Path(folder), crashing))
