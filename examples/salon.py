"""A hair salon in English and French, with the extra `languages`. Try it: linqbot dev examples/salon.py, and write "book"."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from linqbot import Bot, Context, Hours, MessageReceived, contains
from linqbot.language import written

DANA, ZONE, STYLISTS = "+14155550199", ZoneInfo("Europe/Paris"), ["Mia", "Noah"]
bot = Bot(language=lambda event, ctx: "fr" if (event.actor or "").startswith("+33") else "en")
hours = Hours("tue-fri 9-18", "sat 9-14", timezone=ZONE.key, closed=["2026-12-25", "2027-01-01"])
bot.include(hours.changed_by(DANA))  # she writes "hours", "closed friday" or "sold out today"


class Diary(BaseModel):
    taken: dict[str, str] = {}  # `2026-11-27 10:00:00+01:00 Mia`, and who has it


def say(ctx: Context, english: str, french: str) -> str:
    return french if ctx.language == "fr" else english


async def free(day: date, stylist: str, ctx: Context) -> dict[str, datetime]:
    now, diary = await hours.current(ctx), await ctx.state.bot(Diary)
    starts = [datetime.combine(day, time(hour), ZONE) for hour in range(24)]
    starts = [at for at in starts if at > ctx.now() and now.is_open(at)]
    return {f"{at:%H:%M}": at for at in starts if f"{at} {stylist}" not in diary.taken}


@bot.on_message("menu", "prices", "prix", during_ask=True)
def menu(message: MessageReceived, ctx: Context) -> str:
    return say(ctx, "Cut 40 €, colour 90 €. Write: book", "Coupe 40 €, couleur 90 €. Écrivez : réserver")


@bot.on_message("book", "réserver")
async def book(message: MessageReceived, ctx: Context) -> str:
    stylist = await ctx.ask(say(ctx, "With whom?", "Avec qui ?"), choices=STYLISTS)
    day = await ctx.ask(say(ctx, "On which day?", "Quel jour ?"), kind=date, timezone=ZONE.key)
    if not (slots := await free(day, stylist, ctx)):
        return say(ctx, "Nothing is free on that day. Write: book", "Ce jour est complet. Écrivez : réserver")
    at = slots[await ctx.ask(say(ctx, "At which time?", "À quelle heure ?"), choices=list(slots))]
    if day == ctx.now(ZONE).date():  # Dana decides, in her own chat
        wait = say(ctx, "That is soon. I have asked Dana.", "C’est bientôt. J’ai demandé à Dana.")
        if not await ctx.ask(f"{stylist}, {written(at)}?", yes="like", who=DANA, meanwhile=wait, timeout_s=3600):
            return say(ctx, "Dana is sorry, that is too soon. Write: book", "Dana ne peut pas. Écrivez : réserver")
    if at not in (await free(day, stylist, ctx)).values():
        return say(ctx, "That has just been taken. Write: book", "C’est déjà pris. Écrivez : réserver")
    diary = await ctx.state.bot(Diary)
    diary.taken = {slot: who for slot, who in diary.taken.items() if slot >= f"{ctx.now(ZONE):%F}"}  # without past days
    diary.taken[f"{at} {stylist}"] = message.sender.handle
    reminder = say(ctx, f"Tomorrow at {at:%H:%M} with {stylist}!", f"Demain à {at:%H:%M} avec {stylist} !")
    await ctx.remind(reminder, at=at, before="1 day at 18:00", tag="appointment")
    return say(ctx, f"Booked with {stylist}: {written(at)}.", f"Réservé avec {stylist} : {written(at)}.")


@bot.on_message("cancel my appointment", "annuler mon rendez-vous", "annuler")
async def cancel(message: MessageReceived, ctx: Context) -> str:
    diary = await ctx.state.bot(Diary)
    diary.taken = {slot: who for slot, who in diary.taken.items() if who != message.sender.handle}
    await ctx.cancel(tag="appointment")
    return say(ctx, "Cancelled. See you another time!", "Annulé. À une autre fois !")


@bot.on_message(contains("a person", "une personne"), during_ask=True)
async def person(message: MessageReceived, ctx: Context) -> None:
    await ctx.handoff(to=DANA, say=say(ctx, "Dana answers you here.", "Dana vous répond ici."), owner_name="Dana")


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> str:
    if await hours.open(message, ctx):
        return say(ctx, "Welcome! Write: menu, book", "Bienvenue ! Écrivez : menu, réserver")
    return say(ctx, "We are closed. Write: book\n", "C’est fermé. Écrivez : réserver\n") + str(await hours.current(ctx))
