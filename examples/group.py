"""A bot for groups: it replies only to messages that mention the bot or reply to it, and counts people.

Try it: linqbot dev examples/group.py, create a group on the phone, and mention the line's number.
"""

from linqbot import Bot, Context, MessageReceived, contains, in_direct, in_group

bot = Bot(groups="addressed")


@bot.on_message(in_group & contains("who is in"))
async def count(message: MessageReceived, ctx: Context) -> None:
    people = await ctx.chat.people()
    await ctx.reply(f"{len(people)} people are here. Raise a hand with a 👍.")


@bot.on_message(in_group)
async def addressed(message: MessageReceived, ctx: Context) -> None:
    await ctx.react("like")
    await ctx.reply("You called? Ask me who is in.")


@bot.on_message(in_direct)
def alone(message: MessageReceived, ctx: Context) -> str:
    return "I am more fun in a group. Add me to one."
