"""Never run, only type-checked: what must fit fits, and what must not is marked so that mypy reports it if it does.

Each verb of the context is used in `context.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, assert_type

from pydantic import BaseModel

from linqbot import (
    Bot,
    BroadcastDone,
    Card,
    Context,
    Event,
    Failure,
    Fetched,
    History,
    HistoryEntry,
    Hours,
    MessageEdited,
    MessageReceived,
    Paid,
    Posted,
    ReactionAdded,
    Resource,
    Running,
    Sendable,
    app_card,
    contact_card,
    contains,
    has_media,
    in_direct,
    in_group,
    location_request,
    markdown,
    media,
    poll,
    regex,
    sticker,
    voice_memo,
)
from linqbot.events import (
    GroupChange,
    LocationSharingStarted,
    MessageFailed,
    MessageReceipt,
    ParticipantAdded,
    PaymentSucceeded,
    PollVoteAdded,
    ReactionRemoved,
    TypingEvent,
    TypingStarted,
)

bot = Bot(on_trouble="One moment, please.")
Bot(on_trouble=["One moment"])  # type: ignore[arg-type]
Bot(on_ask_timeout="Too late.", on_ask_cancelled=None)


@bot.on_message
async def bare(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_message("hi", in_group, contains("x") & in_direct, lambda message: message.text == "x")
async def filtered(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_message(in_direct & has_media, has_media & contains("x"), contains("x") & has_media, ~regex("x") | in_group)
def plain(message: MessageReceived, ctx: Context) -> str:
    return "said"


@bot.on_message(in_direct)
async def for_any_event(event: Event, ctx: Context) -> None: ...


@bot.on(MessageEdited, contains("x"), in_group)
async def edited(edit: MessageEdited, ctx: Context) -> None: ...


@bot.on_reaction("love", in_group)
async def loved(reaction: ReactionAdded, ctx: Context) -> None: ...


@bot.on_reaction("love")
@bot.on_reaction("love", removed=True)
async def loved_or_cooled(reaction: ReactionAdded | ReactionRemoved, ctx: Context) -> None: ...


@bot.on_message("hello")
@bot.on_message("hi")
async def twice(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_reaction("love", in_group, removed=True)
async def cooled(reaction: ReactionRemoved, ctx: Context) -> None: ...


@bot.on_typing
async def types(typing: TypingEvent, ctx: Context) -> None: ...


@bot.on_typing("started", in_group)
async def starts(typing: TypingStarted, ctx: Context) -> None: ...


@bot.on_delivery("failed", lambda failure: failure.code == 4001)
async def failed(failure: MessageFailed, ctx: Context) -> None: ...


@bot.on_delivery(lambda receipt: receipt.type in ("message.delivered", "message.read"))
async def arrived(receipt: MessageReceipt, ctx: Context) -> None: ...


@bot.on_poll_vote("added")
async def voted(vote: PollVoteAdded, ctx: Context) -> str:
    return "Thank you."


@bot.on_group_change
async def changed(change: GroupChange, ctx: Context) -> None: ...


@bot.on_group_change("added", in_group)
async def welcome(change: ParticipantAdded, ctx: Context) -> None:
    assert_type(change.participant.handle, str)


@bot.on_location("started")
async def shared(sharing: LocationSharingStarted, ctx: Context) -> None: ...


@bot.on_payment("succeeded")
async def paid(payment: PaymentSucceeded, ctx: Context) -> None: ...


@bot.on_start
async def opens(running: Running) -> None: ...


@bot.on_stop
async def closes(running: Running) -> None: ...


@bot.on_broadcast_done
async def done(broadcast: BroadcastDone, ctx: Context) -> None:
    assert_type([person.reason async for person in ctx.bot.recipients("july", "refused")], list[str | None])


@bot.resource
async def pool() -> AsyncIterator[list[int]]:
    yield [1]


@bot.resource
async def second(running: Running) -> AsyncIterator[str]:
    yield ""


assert_type(pool.value, list[int])
assert_type(second, Resource[str])


@bot.on_post("order.shipped", attempts=2)
async def shipped(post: Posted, ctx: Context) -> str:
    assert_type(post.read(Guest), Guest)
    assert_type(post.data, dict[str, Any])
    return post.name


@bot.on_error(ValueError)
async def sorry(error: ValueError, event: Event, ctx: Context) -> None: ...


@bot.on_error
async def sorry_for_all(error: Exception, event: Event, ctx: Context) -> None: ...


@bot.on_opt_out
async def left(message: MessageReceived, ctx: Context) -> None: ...


@bot.on_dead_letter
async def gave_up(failure: Failure, message: MessageReceived, ctx: Context) -> None: ...


async def wrong_event(reaction: ReactionAdded, ctx: Context) -> None: ...


async def wrong_shape(message: MessageReceived) -> None: ...


async def wrong_answer(message: MessageReceived, ctx: Context) -> int:
    return 1


def unknown_names() -> None:
    from linqbot import markdwn  # type: ignore[attr-defined] # noqa: F401
    from linqbot.events import MessageRecieved  # type: ignore[attr-defined] # noqa: F401
    from linqbot.language import Wrding  # type: ignore[attr-defined] # noqa: F401
    from linqbot.parse import yesno  # type: ignore[attr-defined] # noqa: F401
    from linqbot.testing import talkng  # type: ignore[attr-defined] # noqa: F401
    from linqbot.testing.people import Persna  # type: ignore[attr-defined] # noqa: F401


bot.on_message(wrong_event)  # type: ignore[arg-type]
bot.on_message("hi")(wrong_event)  # type: ignore[arg-type]
bot.on_message("hi")(loved_or_cooled)  # type: ignore[arg-type]
bot.on_message("hi")(wrong_shape)  # type: ignore[arg-type]
bot.on_message("hi")(wrong_answer)  # type: ignore[type-var]
bot.on_post("order.shipped")(wrong_event)  # type: ignore[arg-type]
bot.on_broadcast_done(wrong_event)  # type: ignore[arg-type]
bot.on(ReactionAdded, contains("x"))  # type: ignore[arg-type]
bot.on(MessageEdited, has_media)  # type: ignore[arg-type]
bot.on_reaction(5)  # type: ignore[call-overload]
bot.on_typing("start")  # type: ignore[call-overload]
bot.on_delivery("sent")(failed)  # type: ignore[arg-type]
bot.on_delivery("failed", "read")  # type: ignore[call-overload]
bot.on_poll_vote(wrong_event)  # type: ignore[arg-type]
bot.on_group_change("added")(voted)  # type: ignore[arg-type]
bot.on_payment("cancelled")  # type: ignore[call-overload]
bot.on_start(bare)  # type: ignore[type-var]
bot.on("message.received")  # type: ignore[arg-type]
bot.on_error(sorry)  # type: ignore[arg-type]
bot.on_error("ValueError")  # type: ignore[call-overload]
bot.on_error(KeyError)(sorry)  # type: ignore[arg-type]
bot.on_opt_out(wrong_event)  # type: ignore[arg-type]


async def verbs(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("x", effect=5)  # type: ignore[arg-type]
    ctx.reply("x")  # type: ignore[unused-coroutine]
    await ctx.react(5)  # type: ignore[arg-type]
    if (await ctx.send("x")).status == "acepted":  # type: ignore[comparison-overlap]
        return
    message.text = "frozen"  # type: ignore[misc]


def is_short(message: MessageReceived) -> bool:
    return len(message.text) < 4


@bot.on_message(is_short | contains("x"), is_short & in_direct, contains("x") | is_short)
async def short(message: MessageReceived, ctx: Context) -> None: ...


bot.on_mesage("hi")  # type: ignore[attr-defined]


async def misspelt(message: MessageReceived, ctx: Context) -> None:
    print(message.txt)  # type: ignore[attr-defined]
    await ctx.replay("x")  # type: ignore[attr-defined]


async def changes(message: MessageReceived, ctx: Context) -> None:
    await ctx.chat.set_background(None)
    await ctx.chat.set_background(photo="https://example.com/a.jpg")
    await ctx.chat.set_background(5)  # type: ignore[call-overload]
    await ctx.chat.set_background("mango", photo="https://example.com/a.jpg")  # type: ignore[call-overload]
    await ctx.chat.renam("Dinner")  # type: ignore[attr-defined]
    await ctx.chat.set_icon(b"png", filename="icon.png")
    await ctx.chat.set_icon(7)  # type: ignore[arg-type]


class Guest(BaseModel):
    visits: int = 0


async def remembers(message: MessageReceived, ctx: Context) -> None:
    guest = await ctx.state.chat(Guest, name="table")
    guest.visits += 1
    guest.visits = "many"  # type: ignore[assignment]
    guest.visit += 1  # type: ignore[attr-defined]
    await ctx.state.person(dict)  # type: ignore[type-var]
    async for handle in ctx.state.people(Guest, where=lambda guest: guest.visits > 3):
        assert_type(handle, str)
    ctx.state.people(Guest, where=lambda guest: guest.visit > 3)  # type: ignore[attr-defined]
    history = await ctx.history(limit=5)
    assert_type(history[0], HistoryEntry)
    assert_type(history[:2], History)


async def streams(message: MessageReceived, ctx: Context) -> None:
    async def chunks(so_far: str = "") -> AsyncIterator[str]:
        yield so_far

    async def opened(so_far: str) -> AsyncIterator[str]:
        return chunks(so_far)

    await ctx.stream(chunks(), pace="fast")
    await ctx.stream(chunks)
    await ctx.stream(opened, markdown=False, cards=False, stall_s=20)
    await ctx.stream("text")  # type: ignore[arg-type]
    await ctx.stream(chunks(), pace="slow")  # type: ignore[arg-type]
    await ctx.reply(markdown)  # type: ignore[arg-type]


async def is_question(message: MessageReceived, ctx: Context) -> bool:
    return message.text.endswith("?")


async def loud(reaction: ReactionAdded, ctx: Context) -> bool:
    return True


@bot.on_message("x", in_group, when=is_question)
async def asked(message: MessageReceived, ctx: Context) -> None:
    photo = message.media[0]
    assert_type(await photo.fetch(max_bytes=10), Fetched)
    assert_type((await photo.save("photo", timeout_s=5)).unavailable, str | None)


@bot.on_message("files")
def files(message: MessageReceived, ctx: Context) -> list[Sendable]:
    return ["Here:", media(b"x", filename="x.png"), poll("A", "B")]


async def sends(message: MessageReceived, ctx: Context, opened: IO[bytes]) -> None:
    await ctx.reply("x", sticker(Path("x.png")), voice_memo(b"x", filename="x.m4a"))
    await ctx.send(contact_card(), location_request(), app_card({"team_id": "x"}, caption="x"))
    await ctx.bot.send(media("x.png"), media(opened), to="+14155550142")
    await ctx.bot.send(poll("A", "B"), to="+14155550142")  # type: ignore[arg-type]
    await ctx.ask(voice_memo("x.m4a"))  # type: ignore[call-overload]
    media(7)  # type: ignore[arg-type]
    await Card().update(title="y")  # type: ignore[call-arg]
    await ctx.card("x")  # type: ignore[arg-type]


bot.on_message(when=loud)  # type: ignore[arg-type]
bot.on(ReactionAdded, when=loud)
bot.on(ReactionRemoved, when=loud)  # type: ignore[arg-type]
bot.on(ReactionAdded, when=lambda event, ctx: True)  # type: ignore[arg-type, return-value]


def even(text: str) -> float:
    return float(text)


async def asks(message: MessageReceived, ctx: Context) -> None:
    assert_type(await ctx.ask("How many?", kind=even), float)
    assert_type((await ctx.vote(["Thai", "Pizza"], "Lunch?", until="all")).winner, str | None)
    await ctx.vote(["Thai", "Pizza"], until="most")  # type: ignore[arg-type]
    paid = await ctx.pay(1250, "2 soups", timeout_s=3600)
    if paid:
        assert_type(paid, Paid)
    await ctx.pay("12.50", "2 soups")  # type: ignore[arg-type]
    await ctx.ask("Sure?", yes=5)  # type: ignore[call-overload]
    await ctx.ask("Name?", timeout="1h")  # type: ignore[call-overload]
    _wrong: str = await ctx.ask("How many?", kind=int)  # type: ignore[assignment]


HOURS = Hours("mon-fri 9-18", timezone="Europe/Paris", closed=["2027-01-01", date(2027, 5, 1)])


@bot.on_message("book", when=HOURS.open)
@bot.on_message(when=HOURS.closed)
async def in_hours(message: MessageReceived, ctx: Context) -> None:
    now = await HOURS.current(ctx)
    assert_type(now, Hours)
    assert_type(now.next_opening(ctx.now()), datetime | None)
    assert_type(now.check(ctx.now()), datetime)


bot.on(ReactionAdded, when=HOURS.open)
bot.on_message(HOURS.open)  # type: ignore[type-var]
