"""A bot with one handler of messages, and handlers that say fixed words or do one thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from linqbot import Bot, Context, Event, MessageReceived

T = TypeVar("T")

OF_HANDLER = ("attempts", "deadline_s", "during_ask", "gather", "late", "overlap", "when")


def bot_of(handler: Callable[..., Any], *filters: Any, **options: Any) -> Bot:
    """Return a bot whose only handler takes the messages that fit; `options` are those of the handler and of the bot."""
    of_handler = {name: options.pop(name) for name in OF_HANDLER if name in options}
    bot = Bot(**options)
    register: Any = bot.on_message
    register(*filters, **of_handler)(handler)
    return bot


def says(*texts: str) -> Callable[..., Any]:
    """Return a handler that answers each message with these texts; `{}` stands for the text of the message."""

    async def answer(message: MessageReceived, ctx: Context) -> None:
        for text in texts:
            await ctx.reply(text.replace("{}", message.text))

    return answer


def does(act: Callable[[Context], Awaitable[object]]) -> Callable[..., Any]:
    """Return a handler that does one thing for each event."""

    async def do(event: Event, ctx: Context) -> None:
        await act(ctx)

    return do


def notes(found: list[T], of: Callable[[Any], T]) -> Callable[..., Any]:
    """Return a handler that notes something of each event, and says nothing."""

    async def note(event: Event, ctx: Context) -> None:
        found.append(of(event))

    return note
