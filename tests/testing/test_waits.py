"""Payments, locations and votes between a phone and a bot, through the emulator."""

from __future__ import annotations

import pytest

from linqbot import Bot, Context, Declined, Expired, MessageReceived, Paid
from linqbot.errors import ConfigError
from linqbot.linq.types.message import AppPart
from linqbot.testing import talking

pytestmark = pytest.mark.anyio

bot = Bot(groups="all")


@bot.on_message("soup")
async def soup(message: MessageReceived, ctx: Context) -> None:
    match await ctx.pay(1250, "2 soups", timeout_s=3600):
        case Paid():
            await ctx.send("Thanks, the soup is on its way.")
        case Declined():
            await ctx.send("Your bank said no.")
        case Expired():
            await ctx.send("Too late.")


@bot.on_message("near me")
async def near_me(message: MessageReceived, ctx: Context) -> None:
    where = await ctx.location("Where are you?")
    await ctx.send(f"The next shop is at {where.latitude:.1f}, {where.longitude:.1f}.")


@bot.on_message("lunch")
async def lunch(message: MessageReceived, ctx: Context) -> None:
    result = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=3600)
    await ctx.send(result.winner or f"A tie: {', '.join(result.winners)}")


@bot.on_message
async def anything(message: MessageReceived, ctx: Context) -> None:
    await ctx.send("Write: soup")


async def test_a_person_pays_and_the_bot_goes_on() -> None:
    async with talking(bot) as phone:
        await phone.text("soup")
        (card,) = (await phone.next_reply()).parts
        assert isinstance(card, AppPart)
        assert (card.layout.caption, card.layout.subcaption) == ("2 soups", "$12.50")
        await phone.text("hello?")
        assert await phone.next_reply() == "Write: soup"
        await phone.pay()
        assert await phone.next_reply() == "Thanks, the soup is on its way."


async def test_a_bank_declines_and_the_request_is_closed() -> None:
    async with talking(bot, service="SMS") as phone:
        await phone.text("soup")
        assert (await phone.next_reply()).startswith("2 soups: $12.50\nhttps://")
        await phone.decline()
        assert await phone.next_reply() == "Your bank said no."
        await phone.quiet()
        with pytest.raises(ConfigError, match="No payment request is open"):
            await phone.pay()


async def test_a_person_pays_too_late_or_cancels() -> None:
    async with talking(bot) as phone:
        await phone.text("soup")
        await phone.next_reply()
        await phone.advance(3601)
        assert await phone.next_reply() == "Too late."
        await phone.text("soup")
        await phone.next_reply()
        await phone.text("never mind")
        assert await phone.replies() == []
        statuses = [request.status for request in phone.emulator.state.payment_requests.values()]
        assert statuses == ["canceled", "canceled"]


async def test_a_person_shares_a_location() -> None:
    async with talking(bot) as phone:
        await phone.text("near me")
        assert await phone.next_reply() == "Where are you?"
        await phone.share_location(48.85, 2.35)
        assert await phone.next_reply() == "The next shop is at 48.9, 2.4."
        # It is shared already, so the person is not asked again.
        await phone.text("near me")
        assert await phone.next_reply() == "The next shop is at 48.9, 2.4."


async def test_a_location_on_sms_ends_quietly() -> None:
    async with talking(bot, service="SMS") as phone:
        await phone.text("near me")
        assert await phone.replies() == []


async def test_a_group_votes_with_a_poll() -> None:
    async with talking(bot) as phone:
        group = phone.group("+15550001111")
        bob = group.by("+15550001111")
        await group.text("lunch")
        assert await group.next_reply() == "Lunch?"
        poll = await group.next_reply()
        assert list(poll.votes) == ["Thai", "Pizza"]
        await group.vote(poll, "Thai")
        assert await group.replies() == []
        await bob.vote(poll, "Thai")
        assert await group.next_reply() == "Thai"


async def test_a_group_on_sms_votes_by_text_until_the_time_is_over() -> None:
    async with talking(bot, service="SMS") as phone:
        group = phone.group("+15550001111", "+15550002222")
        await group.text("lunch")
        assert await group.next_reply() == "Lunch?\n1. Thai\n2. Pizza"
        await group.text("1")
        await group.by("+15550001111").text("pizza")
        await group.advance(3601)
        assert await group.next_reply() == "A tie: Thai, Pizza"


async def test_a_choice_that_is_a_cancel_word_is_voted_for_by_text() -> None:
    bot = Bot(groups="all")

    @bot.on_message("party")
    async def party(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.vote(["Move", "Never mind"], "The party?")
        await ctx.send(str(result.winner))

    async with talking(bot, service="SMS") as phone:
        group = phone.group("+15550001111")
        await group.text("party")
        await group.text("never mind")
        await group.by("+15550001111").text("never mind")
        assert await group.replies() == ["The party?\n1. Move\n2. Never mind", "Never mind"]
