"""The bot of a small restaurant."""

from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome to Chez Cat! Write: menu", effect="confetti")
