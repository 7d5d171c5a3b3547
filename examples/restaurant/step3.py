"""The bot of a small restaurant: it takes bookings and remembers its guests."""

from datetime import datetime

from pydantic import BaseModel

from linqbot import AskCancelled, Bot, Context, MessageReceived, regex
from linqbot.parse import date_time

ZONE = "Europe/Paris"
bot = Bot()


class Guest(BaseModel):
    name: str = ""
    people: int = 0
    table: datetime | None = None


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
    guest.people, guest.table = people, table
    text = f"{guest.name}, your table for {people} on {table:%A %d %B at %H:%M} is booked."
    await ctx.reply(text, effect="celebration")


@bot.on_message("menu", "the menu", during_ask=True)
def menu(message: MessageReceived, ctx: Context) -> list[str]:
    return ["Tonight: onion soup, trout, apple tart.", "Write for example: a table for 2"]


@bot.on_message(regex(r"\btable for (?P<people>[1-9]\d?)\b"))
async def book(message: MessageReceived, ctx: Context) -> None:
    await take_booking(int(ctx.match["people"]), ctx)


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome to Chez Cat! Write: menu", effect="confetti")
