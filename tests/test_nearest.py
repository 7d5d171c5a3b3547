"""Misspelt attributes of the objects that a bot's author uses: the error names the nearest attribute."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from direct_dispatch import context_of
from fakes import Linq, message

from linqbot import Bot, Context, Router
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import SystemClock
from linqbot.engine.state import TurnState
from linqbot.linq.types.data import Data
from linqbot.linq.types.files import running_turn
from linqbot.storage.sqlite.memory import MemoryStorage


async def test_the_error_names_the_nearest_attribute(subtests: pytest.Subtests) -> None:
    ctx = context_of(Dispatcher(Bot(), SystemClock()), message(), Linq())
    running_turn.set(ctx)
    rows: list[tuple[Callable[[], Any], str, str]] = [
        (Bot, "on_mesage", "Bot has no attribute on_mesage. Did you mean on_message?"),
        (Bot, "gropus", "Bot has no attribute gropus. Did you mean groups?"),
        (Router, "incude", "Router has no attribute incude. Did you mean include?"),
        (lambda: Context.__new__(Context), "replay", "Context has no attribute replay. Did you mean reply?"),
        (message, "txt", "MessageReceived has no attribute txt. Did you mean text?"),
        (message, "sendr", "MessageReceived has no attribute sendr. Did you mean sender?"),
        (lambda: message().parts[0], "valeu", "TextPart has no attribute valeu. Did you mean value?"),
        (Bot, "zebra", "Bot has no attribute zebra."),
        (Bot, "run", "Bot has no attribute run. Run the bot with: linqbot dev bot.py"),
        (Bot, "start_polling", "Bot has no attribute start_polling. Run the bot with: linqbot dev bot.py"),
        (Bot, "middleware", "Bot has no attribute middleware. Add middleware with: @bot.use"),
        (Bot, "message_handler", "Bot has no attribute message_handler. Take messages with: @bot.on_message"),
        (lambda: ctx, "answer", "Context has no attribute answer. Reply with: await ctx.reply(…)"),
        (lambda: ctx, "respond", "Context has no attribute respond. Reply with: await ctx.reply(…)"),
        (message, "from_", "MessageReceived has no attribute from_."),
        (
            message,
            "reply",
            "MessageReceived has no attribute reply. The context has it, which is the second argument of the handler.",
        ),
        (lambda: ctx, "replay", "Context has no attribute replay. Did you mean reply?"),
        (
            lambda: ctx,
            "text",
            "Context has no attribute text. The event has it, which is the first argument of the handler.",
        ),
        (
            lambda: TurnState(message(), MemoryStorage(), SystemClock()),
            "persn",
            "State has no attribute persn. Did you mean person?",
        ),
    ]
    for make, name, text in rows:
        with subtests.test(make=make):
            with pytest.raises(AttributeError) as missing:
                getattr(make(), name)
            assert str(missing.value) == text


def test_a_missing_attribute_is_no_error_for_hasattr_and_copies() -> None:
    bot, event = Bot(), message()
    assert not hasattr(bot, "zebra")
    assert getattr(event, "zebra", None) is None
    assert copy.deepcopy(event) == event == pickle.loads(pickle.dumps(event))
    assert copy.copy(bot).groups == bot.groups


def test_a_field_that_linq_adds_later_can_be_read_as_an_attribute() -> None:
    assert Data.model_validate({"mood": "sunny"}).mood == "sunny"  # type: ignore[attr-defined]


def test_an_attribute_error_inside_a_property_is_not_replaced() -> None:
    class Own(Bot):
        @property
        def menu(self) -> str:
            return self.on_mesage  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(AttributeError, match="Did you mean on_message"):
        _ = Own().menu

    class Plate(Data):
        @property
        def name(self) -> str:
            return self.nmae  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(AttributeError, match="Did you mean name"):
        _ = Plate().name
