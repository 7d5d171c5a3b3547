"""Echo bots for `linqbot serve`."""

from __future__ import annotations

import asyncio
import random

from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived

plain = Bot(read=False, typing=False)
mannered = Bot()
silent = Bot()
"""A bot without a handler."""
slow = Bot(read=False, typing=False)
remembering = Bot(read=False, typing=False)
counting = Bot(read=False, typing=False)


class Guest(BaseModel):
    """The value that `remembering` and `counting` keep."""

    visits: int = 0
    last: str = ""


@plain.on_message
@mannered.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")


@slow.on_message
async def think(message: MessageReceived, ctx: Context) -> None:
    """Work for about a second if the text is `work`; other messages take no time."""
    if message.text == "work":
        await asyncio.sleep(random.uniform(0.5, 1.5))  # not all at once
        await ctx.reply("Done.")


@remembering.on_message
async def remember(message: MessageReceived, ctx: Context) -> None:
    """Echo, and change the state of the person in each turn."""
    guest = await ctx.state.person(Guest)
    guest.visits += 1
    guest.last = message.text
    await ctx.reply(f"You said: {message.text}")


@counting.on_message
async def count(message: MessageReceived, ctx: Context) -> None:
    """Echo, and change a value that all chats share in each turn: turns conflict all the time."""
    await ctx.reply(f"You said: {message.text}")
    total = await ctx.state.bot(Guest)
    total.visits += 1
