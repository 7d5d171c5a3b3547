"""Echo bots for `linqbot serve`."""

from __future__ import annotations

import asyncio
import random

from linqbot import Bot, Context, MessageReceived

plain = Bot(read=False, typing=False)
mannered = Bot()
silent = Bot()
"""A bot without a handler."""
slow = Bot(read=False, typing=False)


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
