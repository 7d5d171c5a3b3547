"""The bot of a small restaurant: it takes bookings and remembers its guests."""

from datetime import date, timedelta

from pydantic import BaseModel

from linqbot import AskCancelled, Bot, Context, MessageReceived, regex

ZONE = "Europe/Paris"
bot = Bot()


class Guest(BaseModel):
    name: str = ""
    people: int = 0
    day: date | None = None


def day_in(text: str, today: date) -> date:
    """Return the date of the weekday that the text names, within the next seven days."""
    for day in [today + timedelta(days=ahead) for ahead in range(1, 8)]:
        if f"{day:%A}".lower() in text.lower():
            return day
    raise ValueError("Please write a day of the week, such as Saturday.")


async def which_day(people: int, text: str, ctx: Context) -> date:
    today = await ctx.once("today", lambda _: ctx.now(ZONE).date(), kind=date, retry=True)
    try:
        return day_in(text, today)
    except ValueError:
        question = f"A table for {people}. Which day? For example: Saturday"
        day: date = await ctx.ask(question, kind=lambda answer: day_in(answer, today))
        return day


async def take_booking(people: int, message: MessageReceived, ctx: Context) -> None:
    guest = await ctx.state.person(Guest)
    try:
        day = await which_day(people, message.text, ctx)
        guest.name = guest.name or await ctx.ask("What is your name?")
    except AskCancelled:
        await ctx.reply("I have booked nothing. Another time!")
        return
    guest.people, guest.day = people, day
    text = f"{guest.name}, your table for {people} on {day:%A %d %B} is booked."
    await ctx.reply(text, effect="celebration")


@bot.on_message("menu", "the menu", during_ask=True)
def menu(message: MessageReceived, ctx: Context) -> list[str]:
    return ["Tonight: onion soup, trout, apple tart.", "Write for example: a table for 2"]


@bot.on_message(regex(r"\btable for (?P<people>[1-9]\d?)\b"))
async def book(message: MessageReceived, ctx: Context) -> None:
    assert ctx.match is not None
    await take_booking(int(ctx.match["people"]), message, ctx)


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome to Chez Cat! Write: menu", effect="confetti")
