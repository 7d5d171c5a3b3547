"""Broadcasts: the arguments of `ctx.bot.broadcast`, checked, and the interface of the store for it.

`worker/calls/turn_broadcaster.py` implements that interface; `worker/due/broadcasting.py` sends to each person.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeAlias

from pydantic_core import to_json

from linqbot.bot.options import check_number, check_text
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.errors import BotError
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.types.message import MessageContent
from linqbot.types.proactive.broadcast import Broadcast, Recipient, RecipientOutcome

Audience: TypeAlias = Iterable[str] | AsyncIterable[str]
"""Handles of people, such as a list, or `ctx.state.people(…)`."""

PER_MINUTE: Final = 20.0
"""People in a minute by default."""

_AT_A_TIME: Final = 1000
_ANY_CHAT: Final = "00000000-0000-4000-8000-000000000000"
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Broadcaster(Protocol):
    """A store of broadcasts."""

    async def start_broadcast(
        self, new: NewBroadcast, people: Sequence[str], *, check: Callable[[], Awaitable[None]]
    ) -> Broadcast:
        """Store a broadcast now, unless one of its name is stored, and return the stored one.

        Args:
            check: Called before the broadcast is stored; it may raise BotError. It asks Linq, so a dry run does not call it.
        """
        ...

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast; None if none of this name is stored."""
        ...

    async def recipients_of(
        self, name: str, *, outcome: RecipientOutcome | None, after: int, limit: int
    ) -> list[Recipient]:
        """Return people of a broadcast, in order; see `storage/broadcasts.py`."""
        ...


def check_name(name: str) -> None:
    """Check the name of a broadcast.

    Raises:
        BotError: it is not a text of 1 to 64 letters, digits, `_`, `.` and `-`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BotError(f"{name!r} cannot be the name of a broadcast. Use 1 to 64 letters, digits, _, . and -.")


def check_pace(per_minute: float) -> None:
    """Check the pace of a broadcast.

    Raises:
        BotError: it is not greater than 0, or it is infinite.
    """
    check_number("broadcast", "per_minute", per_minute)
    if not 0 < per_minute < float("inf"):
        raise BotError(f"per_minute={per_minute!r} is no pace. Give the number of people in a minute, such as 20.")


async def people_of(audience: Audience) -> list[str]:
    """Return the handles of an audience in order, each once. Addresses that differ in case only are the same.

    Raises:
        BotError: this is one text instead of several handles, or an element is not a text.
    """
    if isinstance(audience, str | bytes) or not isinstance(audience, Iterable | AsyncIterable):
        raise BotError(
            f"ctx.bot.broadcast() takes the handles of people, such as a list or ctx.state.people(…), not "
            f"{type(audience).__name__}. To write to one person: ctx.bot.send(…, to=…)."
        )
    people: dict[str, str] = {}
    if isinstance(audience, AsyncIterable):
        async for handle in audience:
            await _add(handle, people)
    else:
        for handle in audience:
            await _add(handle, people)
    return list(people.values())


async def _add(handle: object, people: dict[str, str]) -> None:
    if not isinstance(handle, str) or not handle.strip():
        what = "an empty text" if isinstance(handle, str) else f"an object of type {type(handle).__name__}"
        raise BotError(f"The audience of a broadcast has {what} in it. Give handles, such as '+14155550142'.")
    check_text("The audience of a broadcast", handle)
    people.setdefault(handle.strip().casefold(), handle.strip())
    if len(people) % _AT_A_TIME == 0:
        await asyncio.sleep(0)  # so that a large audience does not hold up other chats


async def checked_messages(messages: Sequence[MessageContent], client: Client, line: str) -> bytes:
    """Return the messages as JSON, in Linq's form, after the rules have checked them. No call is made.

    Raises:
        BotError: there is no message.
        RuleBroken: a message breaks one of Linq's rules.
    """
    if not messages:
        raise BotError("A broadcast needs content: ctx.bot.broadcast(people, 'The menu of July is out.', name='july').")
    calls: list[Call] = []

    async def keep(call: Call) -> ApiResponse:
        calls.append(call)
        return ApiResponse(202, {"chat": {"id": "", "message": {"id": ""}}, "chat_id": "", "message": {"id": ""}})

    checked = client.wrapped(lambda _: keep)
    for n, message in enumerate(messages):
        if n == 0:
            await checked.chats.create(from_=line, to=[line], message=message)
        else:
            await checked.chats.messages.send(_ANY_CHAT, message=message)
    return to_json([(call.body or {})["message"] for call in calls])
