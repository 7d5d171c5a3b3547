"""A bot with one handler of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linqbot.bot.bot import Bot

OF_HANDLER = ("attempts", "deadline_s", "during_ask", "gather", "late", "overlap", "when")


def bot_of(handler: Callable[..., Any], *filters: Any, **options: Any) -> Bot:
    """Return a bot whose only handler takes the messages that fit; `options` are those of the handler and of the bot."""
    of_handler = {name: options.pop(name) for name in OF_HANDLER if name in options}
    bot = Bot(**options)
    register: Any = bot.on_message
    register(*filters, **of_handler)(handler)
    return bot
