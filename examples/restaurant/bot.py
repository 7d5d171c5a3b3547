"""The bot of a small restaurant: it takes bookings, reminds guests the day before, and lets them cancel.

docs/tutorial.md builds it step by step. Try it: linqbot dev examples/restaurant/bot.py, and write "a table for 2".
"""

from datetime import datetime

from pydantic import BaseModel

from linqbot import AskCancelled, Bot, Context, MessageReceived, ReactionAdded, contains, has_media, in_group, regex
from linqbot.parse import date_time

ZONE = "Europe/Paris"
bot = Bot()


class Guest(BaseModel):
    name: str = ""
    people: int = 0
    table: datetime | None = None
    reminder: str = ""


async def take_booking(people: int, ctx: Context) -> None:
    guest = await ctx.state.person(Guest)
    now = await ctx.once("now", lambda _: ctx.now(ZONE), kind=datetime, retry=True)
    try:
        question = f"A table for {people}. When? For example: Saturday 19:30"
        table = await ctx.ask(question, kind=lambda text: date_time(text, timezone=ZONE, now=now))
        guest.name = guest.name or await ctx.ask("What is your name?")
    except AskCancelled:
        await ctx.reply("I have booked nothing. Another time!")
        return
    await forget_table(guest, ctx)
    guest.people, guest.table = people, table
    text = f"{guest.name}, your table for {people} on {table:%A %d %B at %H:%M} is booked."
    await ctx.reply(text, effect="celebration")
    await remind(guest, table, ctx)


async def remind(guest: Guest, table: datetime, ctx: Context) -> None:
    text = f"Tomorrow is your table for {guest.people}. If you cannot come, write: free my table"
    reminder = await ctx.remind(text, at=table, before="1 day at 18:00", timezone=ZONE)
    guest.reminder = reminder.id if reminder else ""


async def forget_table(guest: Guest, ctx: Context) -> None:
    await ctx.cancel(guest.reminder)
    guest.people, guest.table, guest.reminder = 0, None, ""


@bot.on_message("menu", "the menu", during_ask=True)
def menu(message: MessageReceived, ctx: Context) -> list[str]:
    return ["Tonight: onion soup, trout, apple tart.", "Write for example: a table for 2"]


@bot.on_message(regex(r"\btable for (?P<people>[1-9]\d?)\b"))
async def book(message: MessageReceived, ctx: Context) -> None:
    await take_booking(int(ctx.match["people"]), ctx)


@bot.on_message(in_group & contains("table for us"))
async def book_for_the_group(message: MessageReceived, ctx: Context) -> None:
    await take_booking(len(await ctx.chat.people()), ctx)


@bot.on_message("free my table")
async def free_table(message: MessageReceived, ctx: Context) -> None:
    guest = await ctx.state.person(Guest)
    await forget_table(guest, ctx)
    await ctx.reply("Your table is free again. Another time!")


@bot.on_message(has_media)
async def photo(message: MessageReceived, ctx: Context) -> None:
    await ctx.react("love")
    await ctx.reply("This goes on our wall!")


@bot.on_reaction("love", "like")
async def liked(reaction: ReactionAdded, ctx: Context) -> None:
    assert reaction.message_id is not None
    message = await ctx.client.messages.retrieve(reaction.message_id)
    if message.is_from_me:
        await ctx.reply("We look forward to seeing you.", effect="hearts")


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome to Chez Cat! Write: menu", effect="confetti")
