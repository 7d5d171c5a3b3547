"""Each public verb of the context, used once. Never run, only type-checked: by mypy and, in test_pyright.py, by pyright."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from pydantic import BaseModel

from linqbot import (
    Ambiguous,
    AskCancelled,
    AskTimeout,
    Bot,
    Broadcast,
    Capabilities,
    Card,
    Client,
    Context,
    Declined,
    Draft,
    Event,
    Expired,
    Handle,
    History,
    Location,
    MediaPart,
    MessageReceived,
    ModelStep,
    Paid,
    Preview,
    Scheduled,
    Sent,
    Tally,
    VoteResult,
    app_card,
    markdown,
    media,
    poll,
    regex,
)

PARCELS = {"team_id": "ABCDE12345", "bundle_id": "com.example.parcels", "name": "Parcels"}
bot = Bot(gather_s=2, on_trouble="One moment, please.")


class Guest(BaseModel):
    visits: int = 0
    card: Card = Card()


async def answered(draft: Draft) -> Guest:
    draft.write("" if draft.said else "One.")
    return Guest()


@bot.on_message(overlap="steer")
async def says(message: MessageReceived, ctx: Context) -> None:
    assert_type(ctx.event, Event)
    assert_type(ctx.client, Client)
    assert_type(ctx.chat_id, str)
    assert_type(ctx.sender, str | None)
    assert_type(ctx.language, str)
    assert_type(ctx.takes_incoming, bool)
    assert_type(ctx.handler, str | None)
    assert_type(await ctx.reply("Hi", markdown("**there**"), effect="slam", thread=True, cards=False, key="hi"), Sent)
    assert_type(await ctx.send("Hi", media(b"x", filename="x.png"), poll("A", "B"), effect="love"), Sent)
    assert_type(await ctx.react("custom", custom_emoji="🎉", part_index=0, remove=False), None)
    assert_type(await ctx.mark_read(), None)
    async with ctx.typing():
        assert_type(ctx.preview("Hi", effect="echo").on(message.service).degraded, tuple[str, ...])
    assert_type(ctx.preview("Hi"), Preview)
    assert_type(await ctx.capabilities(), Capabilities)
    card = await ctx.card(app_card(PARCELS, caption="Parcel 7"))
    assert_type(card, Card)
    assert_type(await card.update(subcaption="Here"), bool)
    sent = await ctx.reply("One moment")
    assert_type(await sent.edit("Done"), bool)
    assert_type(await sent.delete(), None)
    assert_type(ctx.now("Europe/Paris"), datetime)
    history = await ctx.history(limit=5)
    assert_type(history, History)
    assert_type(history.as_text(), str)
    assert_type(history.as_messages("openai"), list[dict[str, str]])
    assert_type(ctx.plugins, Mapping[str, Any])
    ctx.log.info("said")


@bot.on_message(overlap="restart")
async def overlaps(message: MessageReceived, ctx: Context) -> None:
    assert_type(ctx.already_sent, Sequence[str])
    async with ctx.uninterrupted():
        async for later in ctx.incoming():
            assert_type(later, MessageReceived)
    assert_type(message.burst, tuple[MessageReceived, ...])


@bot.on_message
async def streams(message: MessageReceived, ctx: Context) -> None:
    async def words(so_far: str) -> AsyncIterator[str]:
        yield so_far

    assert_type(await ctx.stream(words, pace="human", markdown=True, stall_s=20), list[Sent])


@bot.on_message
async def schedules(message: MessageReceived, ctx: Context) -> None:
    later = await ctx.send_later("Ding", after_s=60, tag="ding")
    assert_type(later, Scheduled)
    assert_type(await ctx.send_later("Up", every="weekdays 09:00", timezone="Europe/Paris"), Scheduled)
    assert_type(await ctx.reschedule(later, after_s=60), Scheduled)
    assert_type(await ctx.scheduled(), list[Scheduled])
    assert_type(await ctx.cancel(later), bool)
    assert_type(await ctx.cancel(tag="ding"), bool)
    assert_type(await ctx.remind("Soon", at=ctx.now(), before="1 day at 18:00", tag="table"), Scheduled | None)
    assert_type(message.answers, Scheduled | None)


@bot.on_message
async def asks(message: MessageReceived, ctx: Context) -> None:
    try:
        assert_type(await ctx.ask("Name?", who="anyone", timeout_s=60, cancel=("stop",), repeat=False), str)
        assert_type(await ctx.ask("Day?", choices=["Friday", "Saturday"]), str)
        assert_type(await ctx.ask("How many?", kind=int, choices=["Many"]), int | str)
        assert_type(await ctx.ask("Book it?", yes="like"), bool)
        assert_type(await ctx.form(Guest, timezone="Europe/Paris", review=False, tries=2), Guest)
        assert_type(await ctx.ask("How many?", kind=int, tries=2), int)
        assert_type(await ctx.ask("A photo?", kind=MediaPart), MediaPart)
        assert_type(await ctx.location("Where?"), Location)
        assert_type(await ctx.vote(["Thai", "Pizza"], "Lunch?", until=2), VoteResult)
        assert_type(await ctx.pay(1250, "2 soups"), Paid | Declined | Expired)
    except AskTimeout:
        assert_type(ctx.resuming, bool)
    except AskCancelled as cancelled:
        reason: str = cancelled.reason
        await ctx.reply(reason)
    try:
        assert_type(await ctx.once("order", lambda key: {"key": key}, kind=Guest), Guest)
        tally = Tally(Guest, lambda guest, price: assert_type(guest, Guest))
        assert_type(await ctx.once("price", lambda key: 5, kind=int, tally=tally), int)
        step = await ctx.model_step("answer", answered, kind=Guest, say=lambda guest: str(guest.visits), tally=tally)
        assert_type(step, ModelStep[Guest])
    except Ambiguous:
        return
    assert_type(ctx.recall("order", kind=Guest), Guest | None)


@bot.on_message
async def remembers(message: MessageReceived, ctx: Context) -> None:
    guest = await ctx.state.person(Guest)
    assert_type(guest, Guest)
    assert_type(await ctx.state.chat(Guest), Guest)
    assert_type(await ctx.state.bot(Guest, name="all"), Guest)
    assert_type([handle async for handle in ctx.state.people(Guest)], list[str])
    assert_type(guest.card, Card)


@bot.on_message
async def changes(message: MessageReceived, ctx: Context) -> None:
    assert_type(await ctx.chat.people(), list[Handle])
    assert_type(await ctx.chat.rename("Dinner"), None)
    assert_type(await ctx.chat.set_icon(Path("dinner.png")), None)
    assert_type(await ctx.chat.set_background("sky sunset"), None)
    assert_type(await ctx.chat.add("+14155550142"), None)
    assert_type(await ctx.chat.remove("+14155550142"), None)
    assert_type(await ctx.chat.leave(), None)
    ctx.end_questions()
    assert_type(await ctx.handoff(to="+14155550143", say="Dana answers you here.", owner_name="Dana"), bool)
    assert_type(await ctx.mute(for_s=60, reason="a person answers"), None)
    assert_type(await ctx.unmute(), None)
    assert_type(await ctx.bot.mute("9e1f", for_s=60), None)
    assert_type(await ctx.bot.unmute("9e1f"), None)


@bot.on_message
async def writes_first(message: MessageReceived, ctx: Context) -> None:
    assert_type(await ctx.bot.send("Hi", to="+14155550142"), Sent)
    assert_type(await ctx.bot.post("paid", {"order": 7}, id="7", person="+14155550142"), bool)
    assert_type(await ctx.bot.broadcast(["+14155550142"], "Hi", name="july", per_minute=20), Broadcast)
    assert_type(await ctx.bot.broadcast(["+14155550142"], "Hi", name="june", purpose="requested"), Broadcast)
    assert_type(await ctx.bot.send("Hi", to="+14155550142", purpose="promotional"), Sent)
    assert_type(await ctx.bot.record_consent("+14155550142", given=True, how="said so"), None)
    assert_type(await ctx.bot.find_broadcast("july"), Broadcast | None)
    assert_type([person.handle async for person in ctx.bot.recipients("july")], list[str])


@bot.on_message(regex(r"order (?P<id>\d+)"))
async def order(message: MessageReceived, ctx: Context) -> None:
    assert_type(ctx.match, re.Match[str])
    await ctx.reply(ctx.match["id"])
