"""A bot with one handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linqbot.bot.bot import Bot


def bot_of(handler: Callable[..., Any], **settings: Any) -> Bot:
    """Return a bot with these settings whose only handler takes every message."""
    bot = Bot(**settings)
    bot.on_message(handler)
    return bot
