"""Slots, stock, seats: what a person reads is what is stored, also if others ask at the same time and the bot is killed.

`SLOTS=50` tries more slots for each kind of handler, and `CROWD=11` kills the bot while more people want one slot.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from answers import answers
from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived
from linqbot.errors import StateChanged
from linqbot.testing import Phone, killed_between_calls, talking

Handle: TypeAlias = Callable[[MessageReceived, Context], Awaitable[None]]
SLOTS, CROWD = int(os.environ.get("SLOTS", "3")), int(os.environ.get("CROWD", "2"))
BOOKED, SORRY = "Booked! See you at 10:00.", "Sorry, another guest was faster."


class Diary(BaseModel):
    taken: dict[str, str] = {}


async def claimed(message: MessageReceived, ctx: Context) -> bool:
    diary = await ctx.state.bot(Diary)
    if "10:00" in diary.taken:
        return False
    diary.taken["10:00"] = message.sender.handle
    return True


async def reply(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(BOOKED if await claimed(message, ctx) else SORRY)


async def look_first(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Let me check.")
    await ctx.reply(BOOKED if await claimed(message, ctx) else SORRY)


async def step(message: MessageReceived, ctx: Context) -> None:
    is_mine = await claimed(message, ctx)
    await ctx.once("note", lambda _: is_mine, retry=True)
    await ctx.reply(BOOKED if is_mine else SORRY)


async def swallow(message: MessageReceived, ctx: Context) -> None:
    try:
        await ctx.reply(BOOKED if await claimed(message, ctx) else SORRY)
    except Exception:  # noqa: BLE001 - as authors write it
        await ctx.reply("Something went wrong.")


async def ask(message: MessageReceived, ctx: Context) -> None:
    if await claimed(message, ctx):
        await ctx.ask("Your name?", timeout_s=60)
        await ctx.reply(BOOKED)
    else:
        await ctx.reply(SORRY)


HANDLERS = (reply, look_first, step, swallow)


def bot_of(handle: Handle) -> Bot:
    bot = Bot(read=False, typing=False)
    bot.on_message("10:00")(handle)

    @bot.on_message("who")
    async def who(message: MessageReceived, ctx: Context) -> str:
        return (await ctx.state.bot(Diary)).taken.get("10:00", "free")

    return bot


async def check(phone: Phone, people: list[Phone]) -> None:
    """Check that one person reads so, who is the one that is stored, and that all others were refused once."""
    asked = phone.person("+14155550199")
    stored = str((await answers(asked, "who"))[-1])
    said = {person.handle: [str(each) for each in person.messages] for person in people}
    assert [handle for handle, texts in said.items() if BOOKED in texts] == [stored], said
    assert all(texts.count(BOOKED) + texts.count(SORRY) == 1 for texts in said.values()), said


async def crowd(phone: Phone, count: int = 11) -> list[Phone]:
    people = [phone, *(phone.person(f"+141555501{n}") for n in range(50, 49 + count))]
    await asyncio.gather(*(person.text("10:00") for person in people))
    for person in people:
        await person.quiet()
    return people


def slow(phone: Phone, dice: random.Random) -> None:
    """Let Linq answer each of the next sends in a time of its own, up to half a second."""
    for _ in range(25):
        phone.slow_next("messages.send", delay_s=dice.uniform(0, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["memory", "sqlite"])
async def test_of_eleven_people_who_want_one_slot_the_one_who_is_stored_is_told_so(
    storage: str, tmp_path: object, subtests: pytest.Subtests
) -> None:
    dice = random.Random(0)
    for handle in HANDLERS:
        for slot in range(SLOTS):
            url = "memory://" if storage == "memory" else f"sqlite:///{tmp_path}/{handle.__name__}-{slot}.db"
            with subtests.test(handle=handle.__name__, slot=slot):
                async with talking(bot_of(handle), storage=url) as phone:
                    if slot:
                        slow(phone, dice)
                    await check(phone, await crowd(phone))


async def test_a_handler_that_tells_before_it_records_is_seen_in_a_test() -> None:
    async def tell_first(message: MessageReceived, ctx: Context) -> None:
        diary = await ctx.state.bot(Diary)
        if "10:00" in diary.taken:
            await ctx.reply(SORRY)
            return
        await ctx.reply(BOOKED)
        diary.taken["10:00"] = message.sender.handle

    async with talking(bot_of(tell_first)) as phone:
        people = await crowd(phone)
        assert sum(BOOKED in map(str, person.messages) for person in people) > 1


async def test_a_value_that_was_stored_and_then_changed_by_another_turn_is_not_written_over() -> None:
    """The handler has looked at both slots before its first call, and does not look again."""
    bot, is_first = Bot(read=False, typing=False), True

    @bot.on_message("both")
    async def both(message: MessageReceived, ctx: Context) -> None:
        nonlocal is_first
        diary = await ctx.state.bot(Diary)
        for slot in [each for each in ("10:00", "11:00") if each not in diary.taken]:
            if slot == "11:00" and is_first:
                is_first = False
                await phone.person("+14155550150").text("11:00")
                await taken.wait()
            diary.taken[slot] = message.sender.handle
            try:
                await ctx.reply(f"{slot} is yours.")
            except StateChanged:
                await ctx.reply(f"{slot} belongs to {diary.taken[slot]}.")

    @bot.on_message("11:00")
    async def one(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.bot(Diary)).taken["11:00"] = message.sender.handle
        await ctx.once("stored", lambda _: taken.set())
        await ctx.reply("11:00 is yours.")

    async with talking(bot) as phone:
        taken = asyncio.Event()
        assert await answers(phone, "both") == ["10:00 is yours.", "11:00 belongs to +14155550150."]


@pytest.mark.slow
async def test_it_holds_wherever_the_bot_is_killed(subtests: pytest.Subtests) -> None:
    async def all_at_once(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Let me check.")
        try:
            await step(message, ctx)
        except Exception:  # noqa: BLE001 - as authors write it
            await ctx.reply("Something went wrong.")

    dice = random.Random(0)
    people: list[Phone] = []

    async def scenario(phone: Phone) -> None:
        slow(phone, dice)
        people[:] = await crowd(phone, CROWD)

    for handle in (reply, all_at_once):
        async for phone in killed_between_calls(bot_of(handle), scenario):
            with subtests.test(handle=handle.__name__, killed=phone.killed):
                await check(phone, people)
