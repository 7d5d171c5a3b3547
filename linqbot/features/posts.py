"""Posts: events that programs outside the bot put into a chat's lane, such as a web shop, a payment provider, a cron job.

A post is stored like a webhook, so it is handled once, in the order of its chat, and retried. One that is addressed to a
person waits in a lane of its own until Linq has been asked for the direct chat, and then moves into that chat's lane.
`@bot.on_post` handles posts. `server/posts.py` takes them over HTTP; in PostgreSQL, the function `post` stores one in a
transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json

from linqbot.characters import to_json
from linqbot.clock import Clock
from linqbot.engine.failure import OfOtherRelease
from linqbot.errors import BotError
from linqbot.features.schedules import check_name
from linqbot.linq.events.delivery import POST_ID, POST_TYPE, Delivery
from linqbot.linq.events.lane import lane_of_chat, lane_of_post, token
from linqbot.linq.events.parse import parse
from linqbot.linq.handles import is_handle, read_handle
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import DeadLetter

if TYPE_CHECKING:
    from linqbot.client.client import Client
    from linqbot.engine.turn import Turn
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")

PERSON_POST_ID: Final = "i.post_to."
"""Prefix of the ids of posts to a person whose direct chat is not known yet."""

MAX_BYTES: Final = 1 << 18
"""The largest data of a post, in bytes of JSON."""

_FIRST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Poster:
    """Stores posts for a bot: `running.post`."""

    storage: Storage
    clock: Clock

    async def __call__(
        self,
        name: str,
        data: Mapping[str, Any] | BaseModel,
        *,
        id: str,  # noqa: A002 - the word of the field
        chat: str | None = None,
        person: str | None = None,
    ) -> bool:
        """Store a post durably. The bot's `on_post` handler for its name runs once, in the order of the chat.

        Args:
            name: The name of what happened, such as `order.shipped`: 1 to 64 letters of ASCII, digits, `_`, `.` and `-`.
            data: A JSON object, or a pydantic model: at most 256 KiB of JSON.
            id: The same for every repetition of this post, such as the number of the order. A post whose name and id were
                stored in the last 24 hours is not stored again.
            chat: The id of the chat that it concerns.
            person: The handle of the person that it concerns, instead of a chat. Linq is asked for the direct chat later,
                also if it is away now.
        Returns:
            True once it is on disk; False if it was stored before.
        Raises:
            BotError: the name, the id, the data or the handle cannot be used, or both a chat and a person are given.
            StorageUnavailable, StorageBusy: nothing was stored; post again later.

        Example:
            `await running.post("order.shipped", {"parcel": "1Z…"}, id=order.number, person="+14155550142")`
        """
        return await self.storage.put(post_delivery(name, data, self.clock.now(), post_id=id, chat=chat, person=person))


def post_delivery(
    name: str,
    data: Any,
    now: float,
    *,
    post_id: str,
    chat: str | None = None,
    person: str | None = None,
    line: str | None = None,
) -> Delivery:
    """Return the delivery of a post; see `Poster`. Raises BotError if a value cannot be used.

    `line` is the line that writes to the person if there is no chat yet; None if it is not known.
    """
    check_name(name, "post")
    if not isinstance(post_id, str) or not post_id:
        raise BotError(
            "post(id=…) takes a text that is the same for every repetition of the post, such as an order number."
        )
    if chat is not None and person is not None:
        raise BotError("post() takes chat= or person=, not both. A chat says already who gets it.")
    if chat is not None and (not token(chat) or is_handle(chat)):
        raise BotError("post(chat=…) takes the id of a chat. For a person, give the handle to person=.")
    given, person = person, read_handle(person)
    if given is not None and person is None:
        # Linq lists no chat of another handle, such as a short code, so the post would be given up.
        raise BotError(
            "post(person=…) takes a phone number in E.164 form, such as '+14155550142', or an e-mail address."
        )
    stored = {"name": name, "id": post_id, "data": _checked(data), "chat_id": chat, "person": person}
    if person is not None and line is not None:
        stored["line"] = line
    return _delivery(POST_ID if person is None else PERSON_POST_ID, stored, now)


def _delivery(prefix: str, stored: dict[str, Any], now: float) -> Delivery:
    """Return the delivery of a post in the lane of its chat, or else of its person, or else of its name."""
    if stored["chat_id"] is not None:
        lane = lane_of_chat(stored["chat_id"])
    else:
        lane = lane_of_post(stored["person"] or stored["name"])
    key = token(f"{stored['name']}:{stored['id']}")
    return Delivery(f"{prefix}{key}", lane, POST_TYPE, to_json({"event_type": POST_TYPE, "data": stored}), now)


def _checked(data: Any) -> Any:
    """Return the data of a post as its handler gets it. Raises BotError if it is no JSON object, or too large."""
    try:
        content = to_json(data, inf_nan_mode="constants")
        plain = from_json(content, allow_inf_nan=False)
    except (PydanticSerializationError, ValueError) as error:
        raise BotError(f"The data of a post must be a JSON object; this {type(data).__name__} is none.") from error
    if not isinstance(plain, dict):
        raise BotError(
            f"The data of a post must be a JSON object, such as {{'order': 17}}, not a {type(data).__name__}."
        )
    if len(content) > MAX_BYTES:
        raise BotError(
            f"The data of a post has {len(content):,} bytes of JSON; {MAX_BYTES:,} are the most. Post an id, and let the "
            "handler read the rest."
        )
    return plain


async def check_handled(turns: Turns, turn: Turn) -> DeadLetter | None:
    """Return the end of a post that the bot has no handler for: it is kept, because the program that posted it means it.

    Raises OfOtherRelease if a process with another release of the bot may have the handler.
    """
    delivery = turn.lease.delivery
    event = parse(delivery)
    if turns.dispatcher.routes.fits(event):
        return None
    name = delivery.content["data"]["name"]
    if turns.may_be_of_other_release(delivery):
        raise OfOtherRelease(f"The handler of the post {name}")
    log.error("post.unhandled", delivery=delivery.id, to_handle_it=f"@bot.on_post({name!r})")
    return DeadLetter(
        f"The bot has no handler for the post {name}. Add one: @bot.on_post({name!r}). Then have the post handled: "
        f"linqbot waiting retry {delivery.id}"
    )


async def forward(turns: Turns, turn: Turn) -> None:
    """Put a post to a person into the lane of their direct chat with the bot, or leave it without one if there is none.

    If Linq is away, the turn is deferred; if the storage is, it runs again.
    """
    delivery = turn.lease.delivery
    stored = delivery.content["data"]
    with turn.deadline:
        chat_id = await direct_chat(turns.client, stored["person"])
        await turns.storage.put(_delivery(POST_ID, {**stored, "chat_id": chat_id}, delivery.received_at))


async def direct_chat(client: Client, person: str, *, line: str | None = None) -> str | None:
    """Return the direct chat with a person, on one line or on any, in which something happened last; None if there is none."""
    listed = client.chats.list_chats(to=person, from_=line, limit=100)
    chats = [chat async for chat in listed if not chat.is_group]
    latest = max(chats, key=lambda chat: chat.updated_at or _FIRST, default=None)
    return None if latest is None else latest.id
