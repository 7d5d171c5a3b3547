"""A bot that answers tapbacks and sends them. Try it: linqbot dev examples/reactions.py, and add a heart to a reply."""

from linqbot import Bot, Context, MessageEdited, MessageReceived, ReactionAdded

bot = Bot()


@bot.on_reaction("love", "like")
async def thanks(reaction: ReactionAdded, ctx: Context) -> None:
    await ctx.reply("Glad you like it.", effect="hearts" if reaction.reaction_type == "love" else None)


@bot.on_reaction("dislike", "question")
async def sorry(reaction: ReactionAdded, ctx: Context) -> None:
    await ctx.reply("What should I have said?", thread=True)


@bot.on_edit
async def noticed(edit: MessageEdited, ctx: Context) -> None:
    await ctx.react("emphasize")


@bot.on_message
async def laugh(message: MessageReceived, ctx: Context) -> None:
    await ctx.react("laugh")
    await ctx.reply("Now put a tapback on this.")
