"""A payment and a vote between a phone and a bot, through the emulator. `test_killed_waits.py` has the others."""

from __future__ import annotations

import pytest

from linqbot import Bot, Context, Declined, MessageReceived
from linqbot.errors import ConfigError
from linqbot.testing import talking

pytestmark = pytest.mark.anyio

bot = Bot()


@bot.on_message("soup")
async def soup(message: MessageReceived, ctx: Context) -> None:
    if isinstance(await ctx.pay(1250, "2 soups", timeout_s=3600), Declined):
        await ctx.send("Your bank said no.")


async def test_a_bank_declines_and_the_request_is_closed() -> None:
    async with talking(bot, service="SMS") as phone:
        await phone.text("soup")
        assert (await phone.next_reply()).startswith("2 soups: $12.50\nhttps://")
        await phone.decline()
        assert await phone.next_reply() == "Your bank said no."
        await phone.quiet()
        with pytest.raises(ConfigError, match="No payment request is open"):
            await phone.pay()


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
