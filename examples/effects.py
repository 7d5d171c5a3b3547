"""Effects, threads and several bubbles. Try it: linqbot dev examples/effects.py, and write "party" or "slam"."""

import asyncio

from linqbot import Bot, Context, Effect, MessageReceived, TextDecoration, TextPart, regex
from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS

bot = Bot()
EFFECTS = sorted(SCREEN_EFFECTS | BUBBLE_EFFECTS)


@bot.on_message("party")
async def party(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Here we go", effect="slam")
    async with ctx.typing():
        await asyncio.sleep(1)  # the person still reads the first message
        await ctx.send("🎉", effect="confetti")


@bot.on_message(regex(rf"^\s*({'|'.join(EFFECTS)})\s*$"))
async def named_effect(message: MessageReceived, ctx: Context) -> None:
    name = ctx.match[1].lower()
    await ctx.reply(f"This is {name}.", effect=Effect.named(name))


@bot.on_message("bold")
def bold(message: MessageReceived, ctx: Context) -> TextPart:
    return TextPart(value="very bold", text_decorations=(TextDecoration(range=(0, 4), style="bold"),))


@bot.on_message
async def in_a_thread(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("This is a reply to your message.", thread=True)
    await ctx.send(f"Write party, bold, or an effect: {', '.join(EFFECTS)}.")
