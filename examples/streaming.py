"""A model's answer in several messages, while it is still written. Try it: linqbot dev examples/streaming.py

The model here is a script. A real one is an async iterator of texts too: see docs/replying.md.
"""

import asyncio
from collections.abc import AsyncIterator

from linqbot import Bot, Context, MessageReceived, StreamStalled

bot = Bot()

ANSWER = """Good question! Sourdough needs **three** things: flour, water and time.

1. Mix *equal parts* of flour and water.
2. Wait for a day. ~~Bake it.~~ Feed it again.
3. Bake it when it doubles.

Enjoy it! 🍞 Read more: https://example.com/sourdough"""
TOKENS_PER_S = 30


async def model(question: str, so_far: str) -> AsyncIterator[str]:
    """Yield the rest of the answer, a few characters at a time.

    A real model gets the question and, as the beginning of its own answer, `so_far`.
    """
    words = so_far.split()
    rest = ANSWER if not words else ANSWER[ANSWER.rindex(words[-1]) + len(words[-1]) :]
    for at in range(0, len(rest), 4):
        yield rest[at : at + 4]
        await asyncio.sleep(1 / TOKENS_PER_S)


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> None:
    try:
        await ctx.stream(lambda so_far: model(message.text, so_far), stall_s=20)
    except StreamStalled:
        await ctx.reply("Sorry, I lost my thread. Please ask me again.")
