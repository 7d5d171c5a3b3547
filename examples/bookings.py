"""Bookings that staff see: guests book hours, the owner reads, moves and cancels them by text, calendars and sheets read a feed.

Try it: CALENDAR_SECRET=s3cret linqbot dev examples/bookings.py, and write "book". The owner writes "list friday", "move
friday 10:00 to friday 11:00", "cancel friday 11:00" or "closed friday". The feeds of the served bot are
/plugins/calendar/s3cret.ics and .csv; with HTTPS, and a secret that is long and random.
"""

import csv
import io
import os
from datetime import UTC, date, datetime, time, timedelta
from secrets import compare_digest
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from linqbot import (
    Bot,
    Context,
    Hours,
    MessageReceived,
    Router,
    Running,
    ScheduleDue,
    from_handle,
    hookimpl,
    parse,
    regex,
)

OWNER, LINE = "+14155550199", "+12025550100"
ZONE = ZoneInfo("Europe/Paris")
# With the apostrophes and hyphens that phones write, and nothing that a sheet would take for a formula.
Name = Annotated[str, Field(pattern=r"^['\u2018\u2019]?[^\W\d_][\w'\u2018\u2019 .&\u2010\u2011\u2013-]{0,40}$")]


class Booking(BaseModel):
    guest: str
    name: str


class Diary(BaseModel):
    slots: dict[datetime, Booking] = {}


class Calendar:
    """The feeds, which staff subscribe to: see `register_routes` in linqbot.hookspecs."""

    name = "calendar"

    @hookimpl
    def register_routes(self, running: Running) -> list[Route]:
        async def feed(request: Request) -> Response:
            secret = os.environ.get("CALENDAR_SECRET", "")
            if not secret or not compare_digest(request.path_params["secret"].encode(), secret.encode()):
                return Response("There is nothing here.\n", 404)
            stored = (await running.storage.load("bot")).get("Diary", b"{}")
            slots = sorted(Diary.model_validate_json(stored).slots.items())
            if request.path_params["form"] == "csv":
                return Response(as_csv(slots), media_type="text/csv")
            return Response(as_ics(slots), media_type="text/calendar")

        return [Route("/{secret}.{form}", feed)]


hours = Hours("tue-fri 9-18", "sat 9-14", timezone=ZONE.key)
bot, staff = Bot(plugins=[Calendar()]), Router()
bot.include(hours.changed_by(OWNER))
bot.include(staff)


async def free(day: date, ctx: Context) -> dict[str, datetime]:
    now, diary = await hours.current(ctx), await ctx.state.bot(Diary)
    starts = [datetime.combine(day, time(hour), ZONE).astimezone(UTC) for hour in range(24)]
    starts = [at for at in starts if at > ctx.now() and now.is_open(at) and at not in diary.slots]
    return {f"{at.astimezone(ZONE):%H:%M}": at for at in starts}


@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> str:
    day = await ctx.ask("Which day?", kind=lambda text: parse.day(text, timezone=ZONE.key, now=ctx.now()))
    name = await ctx.ask("Your name?", kind=Name)
    while slots := await free(day, ctx):
        at = slots[await ctx.ask("At which time?", choices=list(slots))]
        # The check and the booking are of one value of state, so two guests cannot both have the slot.
        if at in (await free(day, ctx)).values():
            diary = await ctx.state.bot(Diary)
            diary.slots[at] = Booking(guest=message.sender.handle, name=name)
            return f"{name}, you are booked on {shown(at)}."
        await ctx.reply("That is not free any more.")
    return "That day is full, or we are closed. Write 'book' to try another."


@bot.every("8:00", timezone=ZONE.key)
async def morning(event: ScheduleDue, ctx: Context) -> None:
    diary = await ctx.state.bot(Diary)
    diary.slots = {at: booking for at, booking in diary.slots.items() if at > ctx.now() - timedelta(days=1)}
    await ctx.bot.send(await listed(ctx.now(ZONE).date(), ctx), to=OWNER, line=LINE)


@staff.on_message(from_handle(OWNER), regex(r"^list ?(?P<day>.*)$"))
async def show(message: MessageReceived, ctx: Context) -> str:
    return await listed(parse.day(ctx.match["day"] or "today", timezone=ZONE.key, now=ctx.now()), ctx)


@staff.on_message(from_handle(OWNER), regex(r"^move (?P<old>.+) to (?P<new>.+)$"))
async def move(message: MessageReceived, ctx: Context) -> str:
    old, new = (moment(ctx.match[each], ctx) for each in ("old", "new"))
    diary = await ctx.state.bot(Diary)
    if old not in diary.slots or new in diary.slots:
        return "That slot is not booked." if old not in diary.slots else "That slot is taken."
    diary.slots[new] = booking = diary.slots.pop(old)
    await ctx.bot.send(f"{booking.name}, your booking on {shown(old)} is now on {shown(new)}.", to=booking.guest)
    return await listed(new.date(), ctx)


@staff.on_message(from_handle(OWNER), regex(r"^cancel (?P<at>.+)$"))
async def cancel(message: MessageReceived, ctx: Context) -> str:
    at, diary = moment(ctx.match["at"], ctx), await ctx.state.bot(Diary)
    if (booking := diary.slots.pop(at, None)) is None:
        return "That slot is not booked."
    await ctx.bot.send(f"{booking.name}, we are sorry: we cannot see you on {shown(at)}.", to=booking.guest)
    return await listed(at.date(), ctx)


@staff.on_error(ValueError)
async def unclear(error: ValueError, message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(str(error))  # of `linqbot.parse`: a sentence for the owner


async def listed(day: date, ctx: Context) -> str:
    slots = sorted((at.astimezone(ZONE), each) for at, each in (await ctx.state.bot(Diary)).slots.items())
    lines = [f"{at:%H:%M} {each.name}, {each.guest}" for at, each in slots if at.date() == day]
    return "\n".join([f"{day:%A %d %B}", *(lines or ["No bookings."])])


def moment(text: str, ctx: Context) -> datetime:
    return parse.date_time(text, timezone=ZONE.key, now=ctx.now())


def shown(at: datetime) -> str:
    return f"{at.astimezone(ZONE):%A %d %B at %H:%M}"


def as_csv(slots: list[tuple[datetime, Booking]]) -> str:
    out = io.StringIO()
    rows = [(f"{at.astimezone(ZONE):%Y-%m-%d %H:%M}", each.name, f"tel:{each.guest}") for at, each in slots]
    csv.writer(out).writerows([("at", "name", "guest"), *rows])
    return out.getvalue()


def as_ics(slots: list[tuple[datetime, Booking]]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//linqbot//bookings//EN"]
    for at, booking in slots:
        start = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        lines += ["BEGIN:VEVENT", f"UID:{start}@bookings", f"DTSTAMP:{start}", f"DTSTART:{start}", "DURATION:PT1H"]
        lines += [f"SUMMARY:{booking.name}", "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])
