"""Reactions, typing and failures name only their chat. The worker fills in if it is a group, and the line in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from answers import answers
from linqbot_dev.emulator.model.faults import Fault
from one_handler import does

from linqbot import Bot, Context, MessageReceived
from linqbot.events import Event, ReactionAdded
from linqbot.testing import Bubble, Phone, talking

BOB, EVE = "+14155550143", "+14155550144"


def looked_up(phone: Phone) -> int:
    """Return how often the bot asked Linq about a chat."""
    return sum(call.name == "chats.retrieve" for call in phone.calls)


async def greeted_before_a_restart(phone: Phone) -> Bubble:
    """Write to the bot, restart it when it has answered, and return what was written."""
    first = await phone.text("hi")
    await phone.next_reply()
    await phone.restart()
    return first


class Seen:
    """A bot that greets, and notes the reactions, the typing and the failures that reach its handlers."""

    def __init__(self, **settings: Any) -> None:
        self.bot = Bot(**settings)
        self.events: list[tuple[str, bool | None, str | None]] = []
        self.bot.on_message(self.greet)
        self.bot.on_reaction(self.note)
        self.bot.on_typing(self.note)
        self.bot.on_delivery("failed")(self.note)

    async def greet(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hello")

    async def note(self, event: Event, ctx: Context) -> None:
        self.events.append((event.type, event.is_group, event.line))


@pytest.fixture
async def seen() -> Seen:
    return Seen(groups="all")


@pytest.fixture
async def phone(seen: Seen) -> AsyncIterator[Phone]:
    async with talking(seen.bot) as phone:
        yield phone


async def test_a_chat_of_which_a_message_came_is_known(seen: Seen, phone: Phone) -> None:
    for chat in (phone, phone.group(BOB, EVE)):
        await chat.text("hi")
        await chat.react(await chat.next_reply(), "love")
        await chat.replies()
    assert seen.events == [("reaction.added", False, phone.line), ("reaction.added", True, phone.line)]
    assert looked_up(phone) == 0


async def test_after_a_restart_linq_is_asked_once_for_each_chat(seen: Seen, phone: Phone) -> None:
    group = phone.group(BOB, EVE)
    first = await greeted_before_a_restart(group)
    for reaction in ("love", "like", "laugh"):
        await group.react(first, reaction)
        await group.replies()
    assert seen.events == [("reaction.added", True, phone.line)] * 3
    assert looked_up(phone) == 1


async def test_a_bot_that_is_not_for_groups_takes_no_reaction_of_a_group() -> None:
    seen = Seen(groups="never")
    async with talking(seen.bot) as phone:
        group = phone.group(BOB, EVE)
        first = await group.text("hi")
        await phone.restart()
        await group.react(first, "love")
        await group.replies()
        assert seen.events == []


async def test_a_chat_that_linq_does_not_give_is_unknown_until_a_message_comes(seen: Seen, phone: Phone) -> None:
    first = await greeted_before_a_restart(phone)
    phone.emulator.world.faults.add(Fault(on="api", match="chats.retrieve", status=404, code=2001))
    await phone.react(first, "love")
    await phone.replies()
    assert seen.events == [("reaction.added", None, None)]
    await answers(phone, "hi")
    await phone.react(first, "laugh")
    await phone.replies()
    assert seen.events[1:] == [("reaction.added", False, phone.line)]


async def test_in_an_outage_a_reaction_waits_until_linq_says_what_its_chat_is(seen: Seen, phone: Phone) -> None:
    first = await greeted_before_a_restart(phone)
    phone.emulator.world.faults.add(Fault(on="api", match="chats.retrieve", status=503, times=6))
    await phone.react(first, "love")
    await phone.advance(300)
    assert seen.events == [("reaction.added", False, phone.line)]


async def test_what_was_looked_up_is_the_same_when_an_answer_comes() -> None:
    bot, kinds = Bot(groups="all"), list[tuple[bool | None, str | None]]()

    @bot.on_reaction
    async def ask(event: ReactionAdded, ctx: Context) -> None:
        kinds.append((event.is_group, event.line))
        answer = await ctx.ask("Why?")
        await ctx.reply(f"Because {answer}.")

    async with talking(bot) as phone:
        group = phone.group(BOB, EVE)
        first = await group.text("hi")
        await group.react(first, "love")
        assert await group.next_reply() == "Why?"
        await phone.restart()
        assert await answers(group, "of the weather") == ["Because of the weather."]
    assert kinds == [(True, phone.line)] * 2


async def test_what_a_burst_or_a_reaction_answers_is_the_same_when_an_answer_comes() -> None:
    bot, seen = Bot(gather_s=2, groups="all"), list[object]()
    bot.on_message("remind us")(does(lambda ctx: ctx.send_later("Stretch!", after_s=60, tag="stretch")))

    @bot.on_message
    async def snooze(message: MessageReceived, ctx: Context) -> None:
        replies = [(each.replies_to_me, each.answers and each.answers.tag) for each in message.burst]
        seen.append((message.replies_to_me, message.answers and message.answers.tag, replies))
        await ctx.ask("When?")

    @bot.on_reaction
    async def tapped(reaction: ReactionAdded, ctx: Context) -> None:
        seen.append(reaction.answers and reaction.answers.tag)
        await ctx.ask("Why?")

    async with talking(bot) as phone:
        group = phone.group(BOB, EVE)
        await group.text("remind us")
        await group.quiet()
        await group.advance(61)
        reminder = await group.next_reply()
        await group.text("not now")
        await group.reply(reminder, "later")
        assert await answers(group, "please") == ["When?"]
        await group.text("at six")
        await group.react(reminder, "question")
        assert await group.replies() == ["Why?"]
        await phone.restart()
        await group.text("no time")
        await group.quiet()
    assert seen == [(True, "stretch", [(False, None), (True, "stretch"), (False, None)])] * 2 + ["stretch"] * 2
