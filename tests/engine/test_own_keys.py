"""Idempotency keys that an author gives a call: they stay the same in every turn."""

from __future__ import annotations

import pytest
from answers import answers
from one_handler import bot_of

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import Phone, killed_between_calls, talking


def announcing() -> Bot:
    """Return a bot that announces a table once, however often people ask, and answers each message."""
    bot = Bot()

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        content = {"parts": [{"type": "text", "value": "Your table is ready."}], "idempotency_key": "table-4711"}
        await ctx.client.chats.messages.send(ctx.chat_id, message=content)
        await ctx.reply(f"You said {message.text}.")

    return bot


async def ask_twice(phone: Phone) -> None:
    await phone.text("one")
    await phone.quiet()
    await phone.text("two")
    await phone.quiet()


EXPECTED = ["Your table is ready.", "You said one.", "You said two."]


@pytest.mark.slow
async def test_it_is_made_once_wherever_the_bot_is_killed() -> None:
    async for phone in killed_between_calls(announcing(), ask_twice):
        assert await phone.replies() == EXPECTED


async def test_a_charge_that_the_customer_approved_is_collected_by_the_same_call() -> None:
    statuses = []

    async def charge(message: MessageReceived, ctx: Context) -> None:
        payment = await ctx.client.payments.create(
            handle=message.sender.handle, amount_cents=900, currency="usd", idempotency_key="order-1"
        )
        statuses.append((payment.id, payment.status))

    async with talking(bot_of(charge)) as phone:
        await answers(phone, "connect me")
        await answers(phone, "again")
        assert len(phone.emulator.state.payments) == 1
    assert statuses[0] == statuses[1]
