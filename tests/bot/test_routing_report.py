"""The event `Routed`: the filters that were tried, and why no handler took an event."""

from __future__ import annotations

from typing import Any

import pytest
from direct_dispatch import handled
from fakes import PERSON, delivery, envelope, message
from one_handler import bot_of

from linqbot import Bot, Context, Event, MessageReceived, contains, hookimpl, in_direct
from linqbot.bot.router import Next
from linqbot.linq.events.parse import parse
from linqbot.plugin_loading import load
from linqbot.turn_events import Observers, Routed


class Routings:
    """Keeps what is reported about routing."""

    name = "routings"

    def __init__(self) -> None:
        self.seen: list[Routed] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {Routed: self.seen.append}


async def routed(bot: Bot, event: Event) -> list[Routed]:
    """Dispatch an event, and return what was reported about its routing."""
    routings = Routings()
    await handled(bot, event, plugins=load([routings]))
    return routings.seen


async def order(message: MessageReceived, ctx: Context) -> None: ...
async def menu(message: MessageReceived, ctx: Context) -> None: ...
async def rest(message: MessageReceived, ctx: Context) -> None: ...


async def test_the_chosen_handler_is_reported_with_its_line_and_the_filters_before_it() -> None:
    bot = Bot(groups="all")
    bot.on_message(in_direct, contains("order"))(order)
    bot.on_message("menu", "card")(menu)
    bot.on_message(rest)
    (found,) = await routed(bot, message("hi"))
    assert str(found.handler).endswith(":rest")
    assert found.at == f"test_routing_report.py:{rest.__code__.co_firstlineno}"
    assert found.reason is None
    assert [(one.handler.rpartition(":")[2], one.filter, one.fits) for one in found.tried] == [
        ("order", "in_direct", True),
        ("order", "contains('order')", False),
        ("menu", "exact('menu', 'card')", False),
    ]
    assert found.tried[2].at == f"test_routing_report.py:{menu.__code__.co_firstlineno}"


@pytest.mark.parametrize(
    ("how", "event", "reason"),
    [
        ({}, {"is_group": True}, "the message neither mentions the bot nor replies to it"),
        ({"groups": "never"}, {"is_group": True}, "the bot takes no events of groups"),
        ({"allow": ["+15550000000"]}, {}, "the sender is not allowed"),
        ({}, {"sent_at": "2026-10-01T00:00:00.000Z"}, "the message came too late"),
    ],
)
async def test_an_unhandled_message_has_the_reason(how: dict[str, Any], event: dict[str, Any], reason: str) -> None:
    bot = bot_of(rest, **how)
    (found,) = await routed(bot, message("hi", **event))
    assert (found.handler, found.reason) == (None, reason)


async def test_a_handler_that_takes_no_late_messages_is_shown_as_tried() -> None:
    bot = Bot()
    bot.on_message("never", late=True)(order)
    bot.on_message(rest)
    (found,) = await routed(bot, message("hi", sent_at="2026-10-01T00:00:00.000Z"))
    assert found.reason == "no filter fits"
    assert [one.filter for one in found.tried] == ["exact('never')", "takes late messages"]


async def test_an_event_type_without_a_handler_is_reported_the_first_time() -> None:
    bot = bot_of(rest)
    loved = parse(delivery(envelope("reaction.added", {"message_id": "m", "from": PERSON, "reaction_type": "love"})))
    (found,) = await routed(bot, loved)
    assert (found.reason, found.tried) == ("the bot has no handler for this event type", ())


async def test_nothing_is_reported_about_an_event_that_middleware_ended() -> None:
    bot = bot_of(rest)

    @bot.use
    def ends(after: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None: ...

        return handle

    assert await routed(bot, message("hi")) == []


async def test_filters_are_asked_once() -> None:
    asked: list[str] = []

    def count(message: MessageReceived) -> bool:
        asked.append(message.text)
        return False

    bot = Bot()
    bot.on_message(count)(order)
    await routed(bot, message("hi"))
    assert asked == ["hi"]
