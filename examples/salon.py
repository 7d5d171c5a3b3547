"""A hair salon in English and French: prices, appointments with a stylist, reminders, opening hours, a person who answers.

It needs the extra `languages`: pip install 'linqbot[languages]'. Try it: linqbot dev examples/salon.py, and write "book", or
"réserver" from a number that begins with +33. The owner writes "hours", "closed friday" or "sold out today".
"""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from linqbot import Bot, Context, Hours, MessageReceived, contains, parse
from linqbot.language import written

OWNER, ZONE, STYLISTS = "+14155550199", ZoneInfo("Europe/Paris"), ["Mia", "Noah"]
bot = Bot(language=lambda event, ctx: "fr" if (event.actor or "").startswith("+33") else "en")
hours = Hours("tue-fri 9-18", "sat 9-14", timezone=ZONE.key, closed=["2026-12-25", "2027-01-01"])
bot.include(hours.changed_by(OWNER))


class Diary(BaseModel):
    taken: dict[str, str] = {}  # `2026-11-27 10:00 Mia`, and who has it


def say(ctx: Context, english: str, french: str) -> str:
    return french if ctx.language == "fr" else english


async def free(day: date, stylist: str, ctx: Context) -> dict[str, datetime]:
    now, diary = await hours.current(ctx), await ctx.state.bot(Diary)
    starts = [datetime.combine(day, time(hour), ZONE) for hour in range(24)]
    starts = [at for at in starts if at > ctx.now() and now.is_open(at)]
    return {f"{at:%H:%M}": at for at in starts if f"{at:%F %H:%M} {stylist}" not in diary.taken}


@bot.on_message("menu", "prices", "prix", during_ask=True)
def menu(message: MessageReceived, ctx: Context) -> str:
    return say(ctx, "Cut 40 €, colour 90 €. Write: book", "Coupe 40 €, couleur 90 €. Écrivez : réserver")


@bot.on_message("book", "réserver", "reserver")
async def book(message: MessageReceived, ctx: Context) -> str:
    stylist = await ctx.ask(say(ctx, "With whom?", "Avec qui ?"), choices=STYLISTS)
    question = say(ctx, "On which day?", "Quel jour ?")
    day = await ctx.ask(question, kind=lambda text: parse.day(text, timezone=ZONE.key, now=ctx.now()))
    if not (slots := await free(day, stylist, ctx)):
        return say(ctx, "Nothing is free on that day. Write: book", "Ce jour est complet. Écrivez : réserver")
    at = slots[await ctx.ask(say(ctx, "At which time?", "À quelle heure ?"), choices=list(slots))]
    if at not in (await free(day, stylist, ctx)).values():
        return say(ctx, "That has just been taken. Write: book", "C’est déjà pris. Écrivez : réserver")
    diary = await ctx.state.bot(Diary)
    today = f"{ctx.now(ZONE):%F}"
    diary.taken = {slot: who for slot, who in diary.taken.items() if slot >= today}  # not those long past
    diary.taken[f"{at:%F %H:%M} {stylist}"] = message.sender.handle
    reminder = say(ctx, f"Tomorrow at {at:%H:%M} with {stylist}!", f"Demain à {at:%H:%M} avec {stylist} !")
    await ctx.remind(reminder, at=at, before="1 day at 18:00", timezone=ZONE.key, tag="appointment")
    return say(ctx, f"Booked with {stylist}: {written(at)}.", f"Réservé avec {stylist} : {written(at)}.")


@bot.on_message("cancel my appointment", "annuler mon rendez-vous", "annuler")
async def cancel(message: MessageReceived, ctx: Context) -> str:
    diary = await ctx.state.bot(Diary)
    diary.taken = {slot: who for slot, who in diary.taken.items() if who != message.sender.handle}
    await ctx.cancel(tag="appointment")
    return say(ctx, "Cancelled. See you another time!", "Annulé. À une autre fois !")


@bot.on_message(contains("a person", "une personne"), during_ask=True)
async def person(message: MessageReceived, ctx: Context) -> None:
    answer = say(ctx, "One moment, Dana answers you here.", "Un instant, Dana vous répond ici.")
    await ctx.handoff(to=OWNER, say=answer, owner_name="Dana", back_after_s=1800)


@bot.on_message(when=hours.closed)
async def closed(message: MessageReceived, ctx: Context) -> str:
    now = str(await hours.current(ctx))
    return say(ctx, f"We are closed. Our hours:\n{now}\nTo book: book", f"C’est fermé :\n{now}\nÉcrivez : réserver")


@bot.on_message
def greet(message: MessageReceived, ctx: Context) -> str:
    return say(ctx, "Welcome! Write: menu, book", "Bienvenue ! Écrivez : menu, réserver")
