"""The bot of a small restaurant: it knows the menu, and how many people a table is for."""

from linqbot import Bot, Context, MessageReceived, regex

bot = Bot()


@bot.on_message("menu", "the menu")
def menu(message: MessageReceived, ctx: Context) -> list[str]:
    return ["Tonight: onion soup, trout, apple tart.", "Write for example: a table for 2"]


@bot.on_message(regex(r"\btable for (?P<people>[1-9]\d?)\b"))
async def book(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"A table for {ctx.match['people']}, with pleasure.")


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome to Chez Cat! Write: menu", effect="confetti")
