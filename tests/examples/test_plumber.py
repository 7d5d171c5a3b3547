"""examples/plumber.py: a leak, from the photo to the plumber at the door; Dana, who is the plumber, answers in her own chat."""

from __future__ import annotations

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

ANN, BOB, DANA = "+14155550142", "+14155550143", "+14155550199"
PHOTO, DAY_S = b"\xff\xd8\xff\xe0 a leak", 86_400.0
ASKED = "Thank you! I have asked Dana for the price."
QUESTION = f"For {ANN}: 1 Main St. How many dollars? 0 is no."
HELP = 'Write "leak", and I ask Dana, the plumber, for a price.'


async def report(phone: Phone) -> None:
    """Let a customer report a leak, and read that Dana is asked."""
    assert await answers(phone, "leak") == ["What is your address?"]
    assert await answers(phone, "1 Main St") == ["Please send a photo of the leak."]
    await phone.media(PHOTO, "leak.jpg")
    await phone.quiet()


async def test_a_leak_from_the_photo_to_the_van(bot: Bot) -> None:
    async with talking(bot, handle=ANN) as ann:
        dana = ann.person(DANA)
        assert await answers(ann, "Hello?") == [HELP]
        await report(ann)
        assert await ann.replies() == [ASKED]
        (question,) = await dana.replies()
        assert (question, [part.filename for part in question.media]) == (QUESTION, ["leak.jpg"])
        await ann.restart()
        await dana.text("$120")
        offer, card = await ann.replies()
        assert offer == "Dana comes for $120, once you have paid."
        assert [request.amount for request in ann.emulator.state.payment_requests.values()] == [12_000], card
        await ann.restart()
        await ann.pay()
        assert await ann.replies() == ["Paid! I write to you when Dana is on her way."]
        assert await dana.replies() == ["Paid: 1 Main St"]
        await ann.post("van.left", {"minutes": 20})
        assert await ann.replies() == ["Dana is with you in 20 minutes."]


async def test_a_customer_cannot_answer_for_dana(bot: Bot) -> None:
    async with talking(bot, handle=ANN) as ann:
        dana = ann.person(DANA)
        await report(ann)
        assert await ann.replies() == [ASKED]
        for text in ("yes", "1", "0"):
            assert await answers(ann, text) == [HELP]
        assert await dana.replies() == [QUESTION]
        await dana.text("80")
        assert (await ann.replies())[0] == "Dana comes for $80, once you have paid."


@pytest.mark.parametrize("how", ["0", "never mind", "no answer", "no number", "opted out"])
async def test_a_customer_reads_it_if_dana_does_not_name_a_price(bot: Bot, how: str) -> None:
    async with talking(bot, handle=ANN) as ann:
        dana = ann.person(DANA)
        if how == "opted out":
            await dana.opt_out()
        await report(ann)
        if how == "no answer":
            await ann.advance(DAY_S + 1)
        elif how == "no number":
            assert await answers(dana, "no", "ten thousand") != []
            await dana.text("far too much")
        elif how != "opted out":
            await dana.text(how)
        asked = [] if how == "opted out" else [ASKED]
        assert await ann.replies() == [*asked, "Sorry, Dana cannot come."]
        assert ann.payments == []


@pytest.mark.parametrize("how", ["declined", "expired"])
async def test_who_does_not_pay_is_no_customer(bot: Bot, how: str) -> None:
    async with talking(bot, handle=ANN) as ann:
        dana = ann.person(DANA)
        await report(ann)
        await dana.text("120")
        await ann.quiet()
        await (ann.decline() if how == "declined" else ann.advance(DAY_S + 1))
        assert (await ann.replies())[-1] == 'That was not paid. Write "leak" to begin again.'
        assert (await answers(dana, "Tell all: Frost!"))[-1] == "That goes to all customers: 0."


async def test_dana_warns_all_customers_also_while_she_is_asked_for_a_price_and_no_one_else_can(bot: Bot) -> None:
    async with talking(bot, handle=ANN) as ann:
        dana, bob = ann.person(DANA), ann.person(BOB)
        await report(ann)
        await dana.text("120")
        await ann.quiet()
        await ann.pay()
        await report(bob)
        await ann.replies()
        await dana.replies()
        assert await answers(bob, "tell all: Free pipes!") == [ASKED, HELP]
        told, again = await answers(dana, "Tell all: Frost tonight.\nLet the water run.")
        assert told == "That goes to all customers: 1."
        assert again == f"For {BOB}: 1 Main St. How many dollars? 0 is no."
        await dana.advance(60)
        assert await ann.replies() == ["Frost tonight.\nLet the water run."]
        assert await bob.replies() == []


async def leak(ann: Phone) -> None:
    dana = ann.person(DANA)
    await report(ann)
    await ann.text("yes")
    await dana.text("120")
    await ann.quiet()
    await ann.pay()
    await ann.post("van.left", {"minutes": 20}, post_id="1")
    await ann.quiet()


@pytest.mark.slow
async def test_dana_is_asked_once_and_the_customer_pays_once_wherever_the_bot_is_killed(bot: Bot) -> None:
    async for ann in killed_between_calls(bot, leak, handle=ANN):
        said = sorted(str(each) for each in ann.messages if each.from_bot and each)
        assert said == sorted(
            [
                "What is your address?",
                "Please send a photo of the leak.",
                ASKED,
                HELP,
                "Dana comes for $120, once you have paid.",
                "Paid! I write to you when Dana is on her way.",
                "Dana is with you in 20 minutes.",
            ]
        ), ann.killed
        assert [str(each) for each in ann.person(DANA).messages if each.from_bot] == [QUESTION, "Paid: 1 Main St"]
        assert [request.status for request in ann.emulator.state.payment_requests.values()] == ["succeeded"]
