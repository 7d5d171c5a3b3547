"""Reminders. Try it: linqbot dev examples/reminders.py, and write "remind me every weekday at 9:00 to stretch"."""

from zoneinfo import ZoneInfo

from linqbot import Bot, Context, MessageReceived, ReactionAdded, Scheduled, parse, regex

ZONE = "Europe/Paris"
bot = Bot()


def shown(reminder: Scheduled) -> str:
    return f"{reminder.due.astimezone(ZoneInfo(ZONE)):%A %H:%M}: {reminder.tag}"


@bot.on_message(regex(r"^remind me (?P<when>.+?) to (?P<what>.+)$"))
async def remind(message: MessageReceived, ctx: Context) -> str:
    when, what = ctx.match["when"], ctx.match["what"]
    try:
        every = parse.recurrence(when, timezone=ZONE) if when.startswith("every") else None
        at = None if every else parse.date_time(when, timezone=ZONE, now=ctx.now())
    except ValueError as error:
        return str(error)  # a sentence for the person
    return shown(await ctx.send_later(f"Time to {what}!", at=at, every=every, tag=what))


@bot.on_message("list")
async def show(message: MessageReceived, ctx: Context) -> str:
    return "\n".join(map(shown, await ctx.scheduled())) or "You have no reminders."


async def end(what: str, ctx: Context) -> str:
    is_ended = await ctx.cancel(tag=what)
    return f"I will not remind you to {what} again." if is_ended else f"You have no reminder to {what}."


@bot.on_message(regex(r"^cancel .+"))
async def cancel(message: MessageReceived, ctx: Context) -> str:
    return await end(message.text.partition(" ")[2], ctx)


@bot.on_message
async def snooze(message: MessageReceived, ctx: Context) -> str:
    if (reminder := message.answers) is None:
        return "Write: remind me tomorrow at 9:00 to stretch. Or: list, cancel stretch"
    try:
        after_s = parse.duration(message.text).total_seconds()
    except ValueError as error:
        return str(error)
    if reminder.id in [each.id for each in await ctx.scheduled()]:
        return shown(await ctx.reschedule(reminder, after_s=after_s))
    return shown(await ctx.send_later(f"Time to {reminder.tag}!", after_s=after_s, tag=reminder.tag))


@bot.on_reaction("like")
async def done(reaction: ReactionAdded, ctx: Context) -> str | None:
    return await end(reaction.answers.tag, ctx) if reaction.answers and reaction.answers.tag else None
