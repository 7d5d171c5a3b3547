"""The restaurant of the tutorial in French: what linqbot says, and the numbers, days and times that it understands.

It needs the extra `languages`: pip install 'linqbot[languages]'. Try it: linqbot dev examples/french_restaurant.py, and
write "réserver", then "nous sommes quatre" and "demain à 19h30".
"""

from datetime import datetime
from functools import partial

from linqbot import Bot, Context, MessageReceived
from linqbot.language import written
from linqbot.parse import date_time, number

ZONE = "Europe/Paris"
bot = Bot(
    language="fr",
    sentences={"yes_or_no": "Oui ou non ?"},
    on_ask_cancelled="Je n’ai rien réservé. À une autre fois !",
)


@bot.on_message("réserver", "reserver")
async def book(message: MessageReceived, ctx: Context) -> str:
    now = await ctx.once("now", lambda _: ctx.now(ZONE), kind=datetime, retry=True)
    people = await ctx.ask("Pour combien de personnes ?", kind=number)
    when = partial(date_time, timezone=ZONE, now=now)
    table = await ctx.ask("Quand ? Par exemple : samedi 19h30", kind=when)
    place = await ctx.ask("Où ?", choices=["En salle", "En terrasse"])
    if not await ctx.ask(f"{written(people).capitalize()} personnes, {written(table)}. Je réserve ?", yes="like"):
        return "Je n’ai rien réservé. À une autre fois !"
    return f"Votre table est réservée : {written(table)}, {place.lower()}."


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Bienvenue Chez Cat ! Écrivez : réserver")
