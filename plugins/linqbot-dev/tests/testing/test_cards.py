"""App cards: sent as objects, kept in state, and changed in later turns under the id that Linq then gives them."""

from __future__ import annotations

import pytest
from answers import answers
from pydantic import BaseModel

from linqbot import AppPart, Bot, BotError, Card, Context, MessageReceived, app_card
from linqbot.testing import Phone, killed_between_calls, talking

APP = {"team_id": "ABCDE12345", "bundle_id": "com.example.parcels", "name": "Parcels"}


class Order(BaseModel):
    card: Card = Card()


def parcels() -> Bot:
    bot = Bot()

    @bot.on_message("order")
    async def begin(message: MessageReceived, ctx: Context) -> None:
        order = await ctx.state.chat(Order)
        order.card = await ctx.card(app_card(APP, caption="Parcel 7", subcaption="Packed", url="https://example.com/7"))

    @bot.on_message("both")
    async def both(message: MessageReceived, ctx: Context) -> None:
        card = await ctx.card(app_card(APP, caption="Parcel 8", subcaption="Packed"))
        await card.update(subcaption="On its way")

    @bot.on_message
    async def change(message: MessageReceived, ctx: Context) -> None:
        order = await ctx.state.chat(Order)
        if not await order.card.update(subcaption=message.text):
            await ctx.reply("Nothing is ordered.")

    return bot


def cards(phone: Phone) -> list[tuple[str | None, str | None, str | None]]:
    parts = [part for bubble in phone.messages for part in bubble.parts if isinstance(part, AppPart)]
    return [(part.layout.caption, part.layout.subcaption, part.url or None) for part in parts]


async def test_a_card_changes_in_later_turns_and_keeps_what_is_not_changed() -> None:
    async with talking(parcels()) as phone:
        assert await answers(phone, "On its way") == ["Nothing is ordered."]
        for text in ("order", "On its way", "Delivered"):
            await answers(phone, text)
        assert cards(phone) == [
            ("Parcel 7", "Packed", "https://example.com/7"),
            ("Parcel 7", "On its way", "https://example.com/7"),
            ("Parcel 7", "Delivered", "https://example.com/7"),
        ]
        updates = [call for call in phone.calls if call.name == "messages.update_app_card"]
        assert len({call.path for call in updates}) == 2  # the second one names the id that the first one returned


@pytest.mark.slow
async def test_a_card_that_is_not_sent_yet_is_changed_once_it_is_wherever_the_bot_is_killed() -> None:
    async for phone in killed_between_calls(parcels(), lambda phone: phone.text("both")):
        assert cards(phone) == [("Parcel 8", "Packed", None), ("Parcel 8", "On its way", None)]


async def test_sms_gets_texts_in_place_of_a_card() -> None:
    async with talking(parcels(), service="SMS") as phone:
        assert await answers(phone, "order", "On its way") == [
            "Parcel 7\nPacked\nhttps://example.com/7",
            "Parcel 7\nOn its way\nhttps://example.com/7",
        ]


async def test_a_card_cannot_change_outside_of_a_handler() -> None:
    with pytest.raises(BotError, match="update_app_card"):
        await Card(id="1").update(caption="x")
