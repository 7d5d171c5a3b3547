"""Missed messages: those that Linq lists for a chat but whose webhook did not arrive. They become deliveries.

A message is missed while no process runs, or while deliveries are refused. Linq retries each delivery for half an hour,
independently of the others, so they arrive in another order than they were sent. `gaps.py` and `catchup.py` store the
deliveries that are found here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json

from linqbot.client.client import Client
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Inbox
from linqbot.types.chat import Chat
from linqbot.types.handle import Handle
from linqbot.types.message import Message

PAGE_SIZE: Final = 100
"""Items that Linq is asked for per page of a list."""

LINQ_RETRIES_S: Final = 31 * 60.0
"""Seconds after a message was sent, by which Linq has certainly given up delivering it."""


@dataclass(frozen=True, slots=True)
class Finder:
    """A search for missed messages.

    Attributes:
        answer_for_s: The age in seconds up to which a missed message is handled like any other, although Linq has given
            up delivering it. An older one is history, and so is one after which a later message of the chat was
            handled. Only handlers with `late=True` get history.
    """

    client: Client
    inbox: Inbox
    answer_for_s: float

    async def listed(self, chat: Chat, since: float) -> list[Message]:
        """Return the chat's inbound messages that were sent since a time (Unix seconds).

        Raises:
            LinqApiError: Linq did not list the messages.
        """
        return [
            message
            async for message in _newest(self.client, chat.id, since)
            if not message.is_from_me and sent_at(message) >= since
        ]

    async def missed(self, chat: Chat, messages: list[Message], now: float) -> list[Delivery]:
        """Return those of the listed messages that are missing as deliveries, the oldest first.

        Args:
            now: The current time, in Unix seconds.

        Raises:
            StorageUnavailable: the storage cannot be read, so the messages already received are not known.
        """
        has_left = await self.inbox.seen([_key(message) for message in messages])
        handled_at = max((sent_at(message) for message in messages if has_left.get(_key(message))), default=0.0)
        missed = sorted((message for message in messages if _key(message) not in has_left), key=sent_at)
        return [
            _delivery(chat, message, now, is_history=self._is_history(message, handled_at, now)) for message in missed
        ]

    def _is_history(self, message: Message, handled_at: float, now: float) -> bool:
        age_s = now - sent_at(message)
        if age_s <= LINQ_RETRIES_S:
            return False  # Linq may still deliver it itself, and that delivery would not be history
        return age_s > self.answer_for_s or sent_at(message) < handled_at


def sent_at(message: Message) -> float:
    """Return the time at which a message was sent, in Unix seconds; 0 if Linq does not give one."""
    at = message.sent_at or message.created_at
    return at.timestamp() if at is not None else 0.0


async def _newest(client: Client, chat_id: str, since: float) -> AsyncIterator[Message]:
    """Yield a chat's messages, back to `since` if the pages go from new to old.

    Linq does not document the order of the list. So reading stops early only if a page is seen to go from new to old.
    """
    async for page in client.chats.messages.list(chat_id, limit=PAGE_SIZE).pages():
        for message in page.items:
            yield message
        times = [sent_at(message) for message in page.items]
        if times and times[0] >= times[-1] and times[-1] < since:
            return


def _key(message: Message) -> str:
    return f"m.{message.id}"


def _delivery(chat: Chat, message: Message, now: float, *, is_history: bool) -> Delivery:
    """Build the `message.received` delivery that Linq would have made for a message."""
    owner = next((handle for handle in chat.handles if handle.is_me), None)
    at = datetime.fromtimestamp(now, UTC).isoformat()
    data: dict[str, Any] = message.to_json_object() | {
        "chat": {"id": chat.id, "is_group": chat.is_group, "owner_handle": _json_object(owner)},
        "direction": "inbound",
        "sender_handle": _json_object(message.from_handle),
    }
    if is_history:
        data["reconciled_at"] = at
    body = {
        "api_version": "v3",
        "webhook_version": "2026-02-03",
        "event_type": "message.received",
        "event_id": f"reconciled.{message.id}",
        "created_at": at,
        "data": data,
    }
    delivery = Delivery.from_webhook(to_json(body), webhook_id="", received_at=now)
    # The id has a form that no webhook can have. The message key still matches the copy that Linq delivers itself.
    return Delivery(
        id=f"i.reconciled.{message.id}",
        lane=delivery.lane,
        type=delivery.type,
        body=delivery.body,
        received_at=now,
        message_key=delivery.message_key,
        decoded=delivery.decoded,
    )


def _json_object(handle: Handle | None) -> dict[str, Any] | None:
    return None if handle is None else handle.to_json_object()
