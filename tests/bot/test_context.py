from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from direct_dispatch import context_of, handled
from fakes import NOW, Linq, delivery, envelope, message, settled
from one_handler import bot_of

from linqbot import (
    Bot,
    BotError,
    Context,
    Effect,
    Event,
    LinqApiError,
    MessageContent,
    MessageReceived,
    RuleBroken,
    TextPart,
)
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import MovableClock
from linqbot.content import typing as dots
from linqbot.linq.events.parse import parse
from linqbot.testing import talking


def context(event: Event, linq: Linq) -> Context:
    return context_of(Dispatcher(Bot(), MovableClock(NOW, frozen=True)), event, linq)


@pytest.mark.parametrize(
    ("is_group", "thread", "threaded"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
async def test_replies_are_threaded_in_groups_and_on_request_and_a_send_never_is(
    is_group: bool, thread: bool | None, threaded: bool
) -> None:
    linq, event = Linq(), message(is_group=is_group)
    await context(event, linq).reply("x", thread=thread)
    await context(event, linq).send("x")
    reply, sent = ((call.body or {})["message"] for call in linq.calls)
    assert reply.get("reply_to") == ({"message_id": event.id} if threaded else None)
    assert "reply_to" not in sent


@pytest.mark.parametrize("service", ["SMS", "RCS"])
async def test_an_effect_is_left_out_where_it_cannot_be_shown(service: str) -> None:
    linq = Linq()
    whole = MessageContent(parts=(TextPart(value="y"),), effect=Effect.named("slam"))
    await context(message(service=service), linq).reply("x", whole, effect="confetti")
    assert linq.said() == ["x", "y"]
    assert all("effect" not in call.body["message"] for call in linq.calls if call.body)


async def test_react_puts_a_tapback_on_the_message() -> None:
    linq, event = Linq(), message()
    await context(event, linq).react("love")
    await context(event, linq).react("custom", custom_emoji="🎂", part_index=1, remove=True)
    first, second = linq.calls
    assert first.path == f"/v3/messages/{event.id}/reactions"
    assert first.body == {"operation": "add", "type": "love", "part_index": 0}
    assert second.body == {"operation": "remove", "type": "custom", "custom_emoji": "🎂", "part_index": 1}


async def test_a_reply_to_an_event_without_a_chat_is_refused() -> None:
    body = envelope("phone_number.assigned", {"phone_number": "+12052535597", "changed_at": "2026-11-05T17:33:20Z"})
    ctx = context(parse(delivery(body)), Linq())
    with pytest.raises(BotError, match=r"phone_number\.assigned belongs to no chat"):
        await ctx.reply("x")
    with pytest.raises(BotError, match="names no message"):
        await ctx.react("love")


async def test_typing_shows_while_the_block_runs_and_ends_when_nothing_was_sent() -> None:
    linq = Linq()
    async with context(message(), linq).typing():
        await settled()
    await settled()  # the dots end in a background task, because the turn does not wait for Linq's answer
    assert [call.name for call in linq.calls] == ["chats.typing.start", "chats.typing.stop"]


async def test_typing_that_linq_refuses_fails_nothing() -> None:
    linq = Linq()
    linq.will_answer("chats.typing.start", LinqApiError("no", status=403, code=2027))
    ctx = context(message(), linq)
    async with ctx.typing():
        await settled()
        await ctx.reply("x")
    assert linq.said() == ["x"]


async def slow(message: MessageReceived, ctx: Context) -> None:
    await settled(20)


@pytest.mark.parametrize(("settings", "changes", "shown"), [({}, {}, True), ({"typing": False}, {}, False), ({}, {"service": "SMS"}, False)])  # fmt: skip
async def test_dots_show_automatically_for_a_slow_handler(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], changes: dict[str, Any], shown: bool
) -> None:
    monkeypatch.setattr(dots, "DELAY_S", 0)
    linq = await handled(bot_of(slow, **settings), message(**changes))
    names = [call.name for call in linq.calls if call.name.startswith("chats.typing")]
    assert names == (["chats.typing.start", "chats.typing.stop"] if shown else [])


async def test_now_is_the_time_of_the_clock_in_the_zone_that_was_asked_for() -> None:
    clock = MovableClock(NOW, frozen=True)
    bot, linq = Bot(), Linq()
    ctx = context_of(Dispatcher(bot, clock), message(), linq)
    assert ctx.now() == datetime.fromtimestamp(NOW, UTC)
    assert ctx.now().tzinfo is UTC
    clock.advance(3600)
    paris = ctx.now("Europe/Paris")
    assert paris.timestamp() == NOW + 3600
    assert (paris.utcoffset(), paris.tzname()) == (timedelta(hours=1), "CET")
    assert ctx.now(timezone(timedelta(hours=5))).utcoffset() == timedelta(hours=5)
    for name in ("Paris", "", "Europe", "../etc/passwd"):
        with pytest.raises(BotError, match="There is no time zone"):
            ctx.now(name)


async def test_what_a_verb_cannot_take_is_named_with_what_it_takes() -> None:
    async def use(message: MessageReceived, ctx: Any) -> None:
        with pytest.raises(BotError, match=r"^ctx\.card takes the result of app_card\(…\), or an AppPart, not str\.$"):
            await ctx.card("x")
        with pytest.raises(BotError, match=r"ctx\.once\('order', …\) takes a function of the idempotency key, not int"):
            await ctx.once("order", 5)
        with pytest.raises(BotError, match=r"history\(limit='5'\) must be a number from 1"):
            await ctx.history("5")
        with pytest.raises(RuleBroken, match="message_id is not a UUID"):
            await ctx.react("like", message_id="")  # not a tapback on the event's message
        with pytest.raises(RuleBroken, match=r"from is not E\.164"):
            await ctx.bot.send("Hi!", to="+14155550143", line="")  # not from the line of the chat
        with pytest.raises(BotError, match=r"A key of a call is a text, not a value of type int\."):
            await ctx.reply("Hi!", key=5)
        for given in ("no", None, 0):
            with pytest.raises(BotError, match=r"record_consent\(given=…\) takes True"):
                await ctx.bot.record_consent("+14155550143", given=given, how="asked")
        with pytest.raises(BotError, match=r"There is no outcome 'Refused'\. Did you mean 'refused'\?"):
            _ = [each async for each in ctx.bot.recipients("july", "Refused")]
        await ctx.reply("done")

    bot = bot_of(use)
    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "done"
