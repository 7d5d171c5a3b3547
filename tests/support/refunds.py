"""A bot that asks its owner before a refund, in the owner's own chat with the bot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linqbot import AskCancelled, AskTimeout, Bot, Context, MessageReceived, PersonUnreachable

ANN, BOB, DANA, EVE = "+14155550142", "+14155550143", "+14155550199", "+14155550198"
LATE = "That question is over, so your answer came too late."
UNREACHABLE = "A person who is named in who= or also= of ctx.ask cannot be asked."


def refunds(
    *,
    who: str = DANA,
    meanwhile: str | None = "I have asked Dana.",
    first: Callable[[Bot], object] = lambda _: None,
    **options: Any,
) -> Bot:
    """Return a bot that asks the owner before a refund, and answers all other messages.

    Args:
        first: Registers further handlers, in front of the one that answers all messages.
        options: Further arguments of the question.
    """
    bot = Bot(read=False, typing=False, groups="all")
    first(bot)

    @bot.on_message("quiet")
    async def mute(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute(for_s=600)

    @bot.on_message("refund")
    async def refund(message: MessageReceived, ctx: Context) -> None:
        try:
            agreed = await ctx.ask("May I refund?", **{"yes": "like", **options}, who=who, meanwhile=meanwhile)
        except AskTimeout:
            await ctx.reply("no answer")
        except AskCancelled as error:
            await ctx.reply(f"cancelled: {error.reason}")
        except PersonUnreachable as error:
            await ctx.reply(str(error))
        else:
            await ctx.reply(f"decided: {agreed}")

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"heard {message.text}")

    return bot


def asked_for(handle: str, text: str = "May I refund?") -> str:
    return f"For {handle}: {text}"
