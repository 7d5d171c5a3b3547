"""Questions to people in their own chats, several at once: each has its turn in the chat, and each answer reaches its own question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from refunds import ANN, BOB, DANA, EVE, LATE, asked_for, refunds

from linqbot import Bot, Context, MessageReceived, Posted
from linqbot.testing import Phone, killed_between_calls, talking


def menu(**options: Any) -> Callable[[Bot], None]:
    """Return what registers handlers of questions to the person who writes."""

    def register(bot: Bot) -> None:
        @bot.on_message("menu")
        async def menu(message: MessageReceived, ctx: Context) -> str:
            return f"dish: {await ctx.ask('Which dish?', **options)}"

        @bot.on_message("taxi")
        async def taxi(message: MessageReceived, ctx: Context) -> str:
            await ctx.location()
            size = await ctx.ask("How many seats?")
            await ctx.pay(1200, "usd")
            return f"{size} seats, from {await ctx.ask('Which door?')}"

        @bot.on_post("stock.low")
        async def low(post: Posted, ctx: Context) -> str:
            return f"ordered: {await ctx.ask('Order more?', yes='like', who=DANA)}"

    return register


@pytest.mark.parametrize("who", ["asker", "anyone"])
async def test_a_person_who_is_being_asked_by_their_own_handler_is_asked_afterwards(who: str) -> None:
    async with talking(refunds(first=menu(who=who)), handle=ANN) as ann:
        dana = ann.person(DANA)
        await dana.text("menu")
        assert await dana.replies() == ["Which dish?"]
        await ann.text("refund")
        assert [await ann.replies(), await dana.replies()] == [["I have asked Dana."], []]
        await dana.text("no")
        assert await dana.replies() == ["dish: no", asked_for(ANN)]
        await dana.text("yes")
        assert await ann.replies() == ["decided: True"]


async def test_what_a_handler_asks_in_the_chat_goes_first_and_the_question_of_the_other_chat_is_shown_again() -> None:
    async with talking(refunds(first=menu()), handle=ANN) as ann:
        dana = ann.person(DANA)
        await dana.text("taxi")
        await ann.text("refund")
        assert await dana.replies() == [asked_for(ANN)]
        await dana.share_location(48.2, 16.4)
        assert await dana.replies() == ["How many seats?"]
        await dana.text("4")
        assert (await dana.replies())[-1] == asked_for(ANN)
        await dana.pay()
        assert await dana.replies() == ["Which door?"]
        await dana.text("the left one")
        assert await dana.replies() == ["4 seats, from the left one", asked_for(ANN)]
        await dana.post("stock.low", {})
        assert await dana.replies() == ["Order more?"]
        await dana.text("no")
        assert await dana.replies() == ["ordered: False", asked_for(ANN)]
        assert await ann.replies() == ["I have asked Dana."]
        await dana.text("yes")
        assert await ann.replies() == ["decided: True"]


async def test_a_late_answer_to_one_question_is_none_to_the_next() -> None:
    async with talking(refunds(timeout_s=60), handle=ANN) as ann:
        bob, dana = ann.person(BOB), ann.person(DANA)
        await ann.text("refund")
        (first,) = await dana.replies()
        await ann.advance(30)
        await bob.text("refund")
        await ann.advance(31)
        assert await dana.replies() == [asked_for(BOB)]
        await dana.react(first, "like")
        await dana.reply(first, "yes")
        assert await dana.replies() == [LATE, LATE]
        assert await bob.replies() == ["I have asked Dana."]
        await dana.text("no")
        assert await bob.replies() == ["decided: False"]


async def test_an_edit_of_an_invalid_answer_is_a_new_one() -> None:
    async with talking(refunds(yes=None, kind=int), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        answer = await dana.text("fuor")
        refusal = "Please give one whole number, such as 2 or twelve."
        assert await dana.replies() == [asked_for(ANN), refusal, asked_for(ANN)]
        await dana.edit(answer, "four")
        assert await ann.replies() == ["I have asked Dana.", "decided: 4"]


async def test_a_person_who_waits_for_the_question_is_asked_although_another_one_gave_an_invalid_answer() -> None:
    async with talking(refunds(also=[EVE], first=menu()), handle=ANN) as ann:
        dana, eve = ann.person(DANA), ann.person(EVE)
        await eve.text("menu")
        await ann.text("refund")
        await dana.text("how much?")
        assert await dana.replies() == [asked_for(ANN), "Please answer yes or no.", asked_for(ANN)]
        assert await eve.replies() == ["Which dish?"]
        await eve.text("soup")
        assert await eve.replies() == ["dish: soup", asked_for(ANN)]
        await eve.text("yes")
        assert await ann.replies() == ["I have asked Dana.", "decided: True"]
        assert await dana.replies() == [f"{EVE} has decided: yes."]


async def test_a_question_that_is_shown_again_after_a_command_does_not_repeat_why_an_answer_was_refused() -> None:
    def register(bot: Bot) -> None:
        @bot.on_message("status", during_ask=True)
        async def status(message: MessageReceived, ctx: Context) -> str:
            return "All is well."

    async with talking(refunds(first=register), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("refund")
        await dana.text("how much?")
        assert (await dana.replies())[1:] == ["Please answer yes or no.", asked_for(ANN)]
        await dana.text("status")
        assert await dana.replies() == ["All is well.", asked_for(ANN)]


async def test_the_next_question_is_shown_when_the_first_one_ends_in_any_way() -> None:
    async with talking(refunds(also=[EVE]), handle=ANN) as ann:
        bob, dana, eve = ann.person(BOB), ann.person(DANA), ann.person(EVE)
        await ann.text("refund")
        await bob.text("refund")
        await dana.replies()
        await eve.text("yes")  # the first answer counts
        assert await ann.replies() == ["I have asked Dana.", "decided: True"]
        assert await dana.replies() == [f"{EVE} has decided: yes.", asked_for(BOB)]
        await ann.text("refund")
        await bob.opt_out()  # the one who waits for the answer does no longer
        assert await dana.replies() == [asked_for(ANN)]
        await dana.text("no")
        assert (await ann.replies())[-1] == "decided: False"


@pytest.mark.slow
async def test_killed_anywhere_a_question_is_shown_again_behind_what_went_first() -> None:
    async def scenario(ann: Phone) -> None:
        dana = ann.person(DANA)
        await dana.text("taxi")
        await ann.text("refund")
        await ann.quiet()
        await dana.share_location(48.2, 16.4)
        await ann.quiet()
        await dana.text("4")
        await ann.quiet()
        await dana.text("no")

    async for ann in killed_between_calls(refunds(first=menu()), scenario, handle=ANN):
        dana = ann.person(DANA)
        said = [str(each) for each in await dana.replies()]
        assert [each for each in said if each] == [asked_for(ANN), "How many seats?", asked_for(ANN)], ann.killed
        assert await ann.replies() == ["I have asked Dana.", "decided: False"], ann.killed
