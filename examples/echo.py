"""An echo bot. Try it: linqbot dev examples/echo.py"""

from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")
