"""Streams in conversations, and in tests with a phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from answers import answers
from one_handler import bot_of, does

from linqbot import Context, MessageReceived
from linqbot.testing import talking


async def test_a_stream_before_a_question_is_not_asked_again_when_the_answer_comes() -> None:
    asked = list[str]()

    async def model(name: str) -> AsyncIterator[str]:
        asked.append(name)
        yield f"One, {name}.\n\nTwo, {name}."

    async def handle(message: MessageReceived, ctx: Context) -> None:
        first = await ctx.stream(model("first"))
        name = await ctx.ask("Your name?")
        second = await ctx.stream(lambda so_far: model(name))
        await ctx.reply(f"{len(first)} and {len(second)}")

    async with talking(bot_of(handle)) as phone:
        assert await answers(phone, "hi") == ["One, first.", "Two, first.", "Your name?"]
        assert await answers(phone, "Ada") == ["One, Ada.", "Two, Ada.", "2 and 2"]
    assert asked == ["first", "Ada"]


async def test_a_source_may_do_real_work_without_seeming_to_stall() -> None:
    async def slow() -> AsyncIterator[str]:
        for word in ("One. ", "Two. ", "Three."):
            for _ in range(100):
                await asyncio.sleep(0)
            yield word

    async with talking(bot_of(does(lambda ctx: ctx.stream(slow(), stall_s=1)))) as phone:
        await phone.text("hi")
        assert " ".join(await phone.replies()) == "One. Two. Three."
