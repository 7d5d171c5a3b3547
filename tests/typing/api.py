"""Never run, only type-checked: what must fit fits, and what must not is marked so that mypy reports it if it does."""

from __future__ import annotations

from linqbot import (
    Bot,
    Context,
    Event,
    MessageEdited,
    MessageReceived,
    ReactionAdded,
    contains,
    has_media,
    in_direct,
    in_group,
    regex,
)

bot = Bot()


@bot.on_message
async def bare(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_message("hi", in_group, contains("x") & in_direct, lambda message: message.text == "x")
async def filtered(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_message(in_direct & has_media, has_media & contains("x"), contains("x") & has_media, ~regex("x") | in_group)
def plain(message: MessageReceived, ctx: Context) -> str:
    return "said"


@bot.on_message(in_direct)
async def for_any_event(event: Event, ctx: Context) -> None: ...


@bot.on(MessageEdited, contains("x"), in_group)
async def edited(edit: MessageEdited, ctx: Context) -> None: ...


@bot.on_reaction("love", in_group)
async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...


@bot.on_error(ValueError)
async def sorry(error: ValueError, event: Event, ctx: Context) -> None: ...


async def wrong_event(reaction: ReactionAdded, ctx: Context) -> None: ...


async def wrong_shape(message: MessageReceived) -> None: ...


async def wrong_answer(message: MessageReceived, ctx: Context) -> int:
    return 1


bot.on_message(wrong_event)  # type: ignore[arg-type]
bot.on_message("hi")(wrong_event)  # type: ignore[arg-type]
bot.on_message("hi")(wrong_shape)  # type: ignore[arg-type]
bot.on_message("hi")(wrong_answer)  # type: ignore[arg-type]
bot.on(ReactionAdded, contains("x"))  # type: ignore[arg-type]
bot.on(MessageEdited, has_media)  # type: ignore[arg-type]
bot.on_reaction("lov")  # type: ignore[call-overload]
bot.on("message.received")  # type: ignore[arg-type]


async def verbs(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("x", effect="confetti")
    await ctx.reply("x", effect="confeti")  # type: ignore[arg-type]
    await ctx.react("loved")  # type: ignore[arg-type]
    message.text = "frozen"  # type: ignore[misc]
