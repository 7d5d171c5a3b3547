"""Answers and timeouts after a downtime, and while all turns are taken: the time at which each was sent decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gap_harness import Harness
from patience import PATIENCE_S

from linqbot import AskTimeout, Bot, Context, MessageReceived

BOB = "+14155550143"


class Asking(Harness):
    """A bot that asks for a name, with a timeout of 200 seconds. Text of another chat waits for `go_on`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go_on = asyncio.Event()
        self.blocks = asyncio.Event()
        self.settings["concurrency"] = 1
        self.bot = Bot(read=False, typing=False)

        @self.bot.on_message("block")
        async def block(message: MessageReceived, ctx: Context) -> None:
            self.blocks.set()
            await self.go_on.wait()

        @self.bot.on_message(late=True)
        async def ask(message: MessageReceived, ctx: Context) -> None:
            if ctx.after_ask is not None:
                await ctx.reply(f"{message.text} comes after {ctx.after_ask.question}")
                return
            try:
                await ctx.reply(f"Hello {await ctx.ask('Your name?', timeout_s=200)}.")
            except AskTimeout:
                await ctx.reply("Too late.")


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Asking]:
    made = Asking(tmp_path)
    async with made.emulator:
        await made.start()
        made.text("hi")
        await made.settle_after(1)
        assert made.said() == ["Your name?"]
        yield made
        if made.running is not None:
            await made.stop()


async def test_an_answer_that_was_sent_before_the_timeout_wins_although_no_process_ran(harness: Asking) -> None:
    await harness.stop()
    harness.text("Ann")
    harness.clock.advance(300)
    await harness.start()
    await harness.settle_after(2)
    assert harness.said() == ["Your name?", "Hello Ann."]
    await harness.retries()
    assert harness.said() == ["Your name?", "Hello Ann."]
    assert [each.kind for each in await harness.storage.scheduled()] == []


async def test_an_answer_that_was_sent_after_the_timeout_is_late_although_no_process_ran(harness: Asking) -> None:
    await harness.stop()
    harness.text("Ann", after_s=250)
    harness.clock.advance(50)
    await harness.start()
    await harness.settle_after(3)
    assert harness.said() == ["Your name?", "Too late.", "Ann comes after Your name?"]


async def test_an_answer_that_was_sent_after_the_timeout_is_late_although_all_turns_were_taken(
    harness: Asking,
) -> None:
    harness.text("block", sender=BOB)
    await harness.emulator.flush()
    await asyncio.wait_for(harness.blocks.wait(), PATIENCE_S)
    harness.text("Ann", after_s=250)
    await harness.emulator.flush()
    harness.go_on.set()
    await harness.settle_after(3)
    assert harness.said()[1:] == ["Too late.", "Ann comes after Your name?"]
