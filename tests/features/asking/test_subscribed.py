"""A bot is delivered the events that answer its questions, although no handler takes their types."""

from __future__ import annotations

from typing import Any

import pytest
from answers import answers

from linqbot import Bot, Context, Event, Manners, MessageReceived, Paid
from linqbot.events import ContactCardReceived, LocationSharingStarted
from linqbot.ops.subscriptions import handled_when_served
from linqbot.settings import from_env
from linqbot.testing import Phone, talking


async def asks(message: MessageReceived, ctx: Context) -> None:
    day = await ctx.ask("Which day?", choices=["Friday", "Saturday"])
    sure = await ctx.ask("Sure?", yes="like")
    card = await ctx.ask("Your card?", kind=ContactCardReceived)
    shared = await ctx.ask("Where?", kind=LocationSharingStarted)
    where = await ctx.location()
    paid = await ctx.pay(1250, "2 soups")
    facts = (day, sure, card.type, shared.type, round(where.latitude), isinstance(paid, Paid))
    await ctx.reply(" ".join(map(str, facts)))


async def votes(message: MessageReceived, ctx: Context) -> None:
    result = await ctx.vote(["Thai", "Pizza"], "Lunch?")
    await ctx.reply(f"{result.winner} {result.counts}")


async def subscribed(phone: Phone, bot: Bot) -> None:
    """Let Linq deliver only what `linqbot connect sync` subscribes the bot to."""
    subscriptions = phone.client.webhook_subscriptions
    (one,) = [each async for each in subscriptions.list()]
    await subscriptions.update(
        one.id, subscribed_events=handled_when_served(bot, from_env({"LINQBOT_PLUGINS": ""})).needed
    )


def bot_with(handler: Any) -> Bot:
    bot = Bot(groups="all")
    bot.on_message("go")(handler)
    return bot


async def test_each_kind_of_answer_reaches_a_handler_of_messages() -> None:
    async with talking(bot := bot_with(asks)) as phone:
        await subscribed(phone, bot)
        await phone.text("go")
        await phone.vote((await phone.replies())[-1], "Saturday")
        await phone.react(await phone.next_reply(), "like")
        assert await phone.next_reply() == "Your card?"
        await phone.share_card("Ada")
        assert await phone.next_reply() == "Where?"
        await phone.share_location(48.85, 2.35)
        await phone.advance(1)
        await phone.quiet()
        await phone.pay()
        assert (await phone.replies())[-1] == "Saturday True contact_card.received location.sharing.started 49 True"


async def test_a_vote_counts_changed_votes_and_people_who_leave() -> None:
    async with talking(bot := bot_with(votes)) as ann:
        await subscribed(ann, bot)
        bob, cat = ann.person("+14155550143"), ann.person("+14155550144")
        group = ann.group(bob, cat)
        poll = (await answers(group, "go"))[-1]
        await group.vote(poll, "Thai")
        await group.vote(poll, "Thai", remove=True)
        await group.vote(poll, "Pizza")
        await group.by(bob).vote(poll, "Pizza")
        await group.by(bob).leave()
        assert await group.replies() == []
        await group.by(cat).leave()
        assert await group.next_reply() == "Pizza {'Thai': 0, 'Pizza': 2}"


@pytest.mark.parametrize("begins", ["post", "tapback"])
async def test_a_bot_without_handlers_of_messages_gets_the_answer_that_somebody_writes(begins: str) -> None:
    bot = Bot(manners=Manners())

    async def ask(event: Event, ctx: Context) -> None:
        await ctx.reply(f"Noted: {await ctx.ask('Is all well?', who='anyone')}")

    if begins == "post":
        bot.on_post("shipped")(ask)
    else:
        bot.on_reaction("dislike")(ask)
    async with talking(bot) as phone:
        await subscribed(phone, bot)
        said = await phone.text("hi")
        if begins == "post":
            await phone.post("shipped", {})
        else:
            await phone.react(said, "dislike")
        assert await phone.next_reply() == "Is all well?"
        await phone.text("Yes")
        assert await phone.next_reply() == "Noted: Yes"
        await phone.text("HELP")
        assert "STOP" in await phone.next_reply()
        await phone.text("STOP")
        await phone.text("START")
        assert "again" in await phone.next_reply()


def test_a_bot_without_handlers_is_subscribed_to_receipts_only() -> None:
    assert set(handled_when_served(Bot(), from_env({"LINQBOT_PLUGINS": ""})).needed) == {
        "message.sent",
        "message.delivered",
        "message.read",
        "message.failed",
    }


def test_a_bot_with_manners_and_without_handlers_is_subscribed_to_messages() -> None:
    needed = handled_when_served(Bot(manners=Manners()), from_env({"LINQBOT_PLUGINS": ""})).needed
    assert "message.received" in needed
