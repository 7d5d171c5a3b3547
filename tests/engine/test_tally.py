"""Values that count what steps have cost: once for each recorded result, whatever becomes of the turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import pytest
from answers import answers
from asking_talk import Talk
from one_handler import bot_of
from pydantic import BaseModel

from linqbot import Bot, BotError, Context, MessageReceived, ScheduleDue, Tally
from linqbot.storage.state import StateWrite
from linqbot.testing import Phone, killed_between_calls, talking


class Spent(BaseModel):
    cents: int = 0
    is_noted: bool = False


def add(spent: Spent, cents: int) -> None:
    spent.cents += cents


SPENT = Tally(Spent, add)
Change: TypeAlias = Callable[[Context, Spent], Awaitable[None]]


async def spent(talk: Talk) -> Spent:
    stored = (await talk.storage.load("person:+14155550142")).get("Spent")
    return Spent() if stored is None else Spent.model_validate_json(stored)


async def test_a_step_of_a_turn_that_is_given_up_counts_once(talk: Talk) -> None:
    talk.attempts = 3

    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.once("price", lambda _: 5, tally=SPENT)
        (await ctx.state.person(Spent)).is_noted = True
        raise ValueError

    await talk.to(order, "hi")
    for _ in range(3):
        await talk.pass_time(100)
    assert len(await talk.storage.dead_letters()) == 1
    assert await spent(talk) == Spent(cents=5, is_noted=False)


@pytest.mark.slow
async def test_a_step_counts_once_wherever_the_bot_is_killed() -> None:
    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.once("price", lambda _: 5, retry=True, tally=SPENT)
        if await ctx.ask("More?", yes="like"):
            await ctx.once("more", lambda _: 2, retry=True, tally=SPENT)
        await ctx.reply("Done.")

    async def scenario(phone: Phone) -> None:
        await phone.text("hi")
        await phone.next_reply()
        assert await answers(phone, "yes") == ["Done."]

    async for phone in killed_between_calls(bot_of(order), scenario):
        assert (await phone.state(Spent)).cents == 7, phone.killed


async def test_the_handler_sees_what_was_counted_and_may_change_the_value_itself(talk: Talk) -> None:
    seen = list[int]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.person(Spent)
        seen.append(value.cents)
        await asyncio.gather(*(ctx.once(f"price {n}", lambda _: 5, tally=SPENT) for n in range(3)))
        seen.append(value.cents)
        value.is_noted = True

    await talk.to(order, "hi")
    assert seen == [0, 15]
    assert await spent(talk) == Spent(cents=15, is_noted=True)


async def counted_after_a_call(ctx: Context, value: Spent) -> None:
    value.cents += 1
    await ctx.reply("One.")
    value.cents += 1
    await ctx.once("price", lambda _: 5, retry=True, tally=SPENT)


async def counted_around_a_call(ctx: Context, value: Spent) -> None:
    async def price(_: str) -> int:
        value.cents += 1
        await ctx.reply("One.")
        return 5

    value.cents += 1
    await ctx.once("price", price, retry=True, tally=SPENT)


async def a_call_inside_of_a_step(ctx: Context, value: Spent) -> None:
    async def price(_: str) -> None:
        value.cents += 7
        await ctx.reply("One.")

    await ctx.once("price", price, retry=True)


async def counted_inside_of_another_step(ctx: Context, value: Spent) -> None:
    async def order(_: str) -> None:
        value.cents += 1
        await ctx.once("price", lambda _: 5, retry=True, tally=SPENT)

    value.cents += 1
    await ctx.reply("One.")
    await ctx.once("order", order, retry=True)


async def a_call_next_to_the_step(ctx: Context, value: Spent) -> None:
    is_said = asyncio.Event()

    async def price(_: str) -> int:
        await is_said.wait()
        return 5

    async def say() -> None:
        await asyncio.sleep(0)
        value.cents += 2
        await ctx.reply("One.")
        is_said.set()

    await asyncio.gather(ctx.once("price", price, retry=True, tally=SPENT), say())


async def two_steps_that_end_in_another_order(ctx: Context, value: Spent) -> None:
    is_counted = asyncio.Event()

    async def slow(_: str) -> int:
        await is_counted.wait()
        return 4

    async def fast() -> None:
        await ctx.once("fast", lambda _: 2, retry=True, tally=SPENT)
        is_counted.set()

    value.cents += 1
    await ctx.reply("One.")
    await asyncio.gather(ctx.once("slow", slow, retry=True, tally=SPENT), fast())


async def a_change_behind_the_step_that_ended_last(ctx: Context, value: Spent, *, is_stored_at_once: bool) -> None:
    is_counted = asyncio.Event()

    async def slow(_: str) -> int:
        await is_counted.wait()
        return 3

    async def first() -> None:
        await ctx.once("slow", slow, retry=True, tally=SPENT)
        value.cents += 1
        if is_stored_at_once:
            await ctx.once("mark", lambda _: None, retry=True)

    async def fast() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await ctx.once("fast", lambda _: 2, retry=True, tally=SPENT)
        is_counted.set()

    value.cents += 1
    await ctx.reply("One.")
    await asyncio.gather(first(), fast())


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        partial(a_change_behind_the_step_that_ended_last, is_stored_at_once=True),
        partial(a_change_behind_the_step_that_ended_last, is_stored_at_once=False),
        counted_after_a_call,
        counted_around_a_call,
        a_call_inside_of_a_step,
        counted_inside_of_another_step,
        a_call_next_to_the_step,
        two_steps_that_end_in_another_order,
    ],
)
async def test_a_value_that_calls_store_and_steps_count_goes_on_wherever_the_bot_is_killed(change: Change) -> None:
    seen = list[tuple[int, int]]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.person(Spent)
        before = value.cents
        await change(ctx, value)
        seen.append((before, value.cents))
        value.cents += 1
        await ctx.reply("Two.")

    async for phone in killed_between_calls(bot_of(order), lambda phone: phone.text("hi")):
        assert phone.messages == ["hi", "One.", "Two."], phone.killed
        assert (await phone.state(Spent)).cents == 8, phone.killed
        assert {*seen} == {(0, 7)}, phone.killed


async def test_a_value_that_is_changed_meanwhile_is_read_again_and_nothing_is_lost(talk: Talk) -> None:
    calls = list[int]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.person(Spent)
        await ctx.once("price", partial(price, value), tally=Tally(Spent, count))
        value.is_noted = True

    async def price(value: Spent, _: str) -> int:
        value.is_noted = True
        await talk.storage.write_state([StateWrite("person:+14155550142", "Spent", b'{"cents":100}')])
        return 5

    def count(value: Spent, cents: int) -> None:
        calls.append(value.cents)
        add(value, cents)

    await talk.to(order, "hi")
    await talk.pass_time(2)
    assert calls == [100]  # not again in the second run
    assert await spent(talk) == Spent(cents=105, is_noted=True)


async def test_a_step_may_change_several_values_which_are_stored_together(talk: Talk) -> None:
    seen = list[int]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.person(Spent, name="today")
        await ctx.once("price", price, tally=[SPENT, Tally(Spent, add, name="today")])
        seen.append(value.cents)

    async def price(_: str) -> int:
        await talk.storage.write_state([StateWrite("person:+14155550142", "today", b'{"cents":100}')])
        return 5

    await talk.to(order, "hi")
    stored = await talk.storage.load("person:+14155550142")
    assert seen == [105]
    assert {name: Spent.model_validate_json(value).cents for name, value in stored.items()} == {
        "Spent": 5,
        "today": 105,
    }


async def test_two_tallies_of_one_value_are_refused_before_the_step_is_made(talk: Talk) -> None:
    made = list[str]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        with pytest.raises(BotError, match="Two tallies of one step change the state Spent"):
            await ctx.once("price", made.append, tally=[SPENT, Tally(Spent, add, name="Spent")])

    await talk.to(order, "hi")
    assert made == []


async def test_a_line_with_zero_retention_stores_the_result_only(talk: Talk) -> None:
    seen = list[int]()

    async def order(message: MessageReceived, ctx: Context) -> None:
        value = await ctx.state.person(Spent)
        await ctx.once("price", lambda _: 5, tally=SPENT)
        seen.append(value.cents)

    talk.deploy(order)
    await talk.say("hi", zero_retention=True)
    assert seen == [5]
    assert await spent(talk) == Spent()


async def test_without_a_person_the_step_is_not_made() -> None:
    made, errors, bot = list[Any](), list[str](), Bot()

    @bot.every("12:00")
    async def noon(event: ScheduleDue, ctx: Context) -> None:
        try:
            await ctx.once("price", made.append, tally=SPENT)
        except BotError as error:
            errors.append(str(error))

    async with talking(bot) as phone:
        await phone.advance(24 * 3600)
    assert made == []
    assert "names no person" in errors[0]


async def test_two_steps_at_the_same_time_in_two_chats_both_count() -> None:
    both = asyncio.Barrier(2)

    async def order(message: MessageReceived, ctx: Context) -> None:
        async def price(_: str) -> int:
            await both.wait()
            return 5

        await ctx.once("price", price, tally=SPENT)

    async with talking(bot_of(order, groups="all")) as phone:
        group = phone.group("+14155550143")
        await phone.text("hi")
        await group.text("hi")
        await phone.quiet()
        assert (await phone.state(Spent)).cents == 10
