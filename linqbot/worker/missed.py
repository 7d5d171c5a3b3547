"""Messages that Linq has and no webhook brought: found in Linq's list of a chat, and put into deliveries.

A message is missed while no process listens, or while deliveries are refused. Linq delivers it again for half an hour,
each on its own, and so in another order than it was written.
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

PAGE: Final = 100

LINQ_RETRIES_S: Final = 31 * 60.0
"""Seconds after which Linq has surely given up on a delivery, counted from its message."""


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds what was missed.

    Attributes:
        answer_for_s: Age up to which a message that Linq gave up on is answered like any other. Older ones, and those
            after which the chat has gone on, are history: handlers get them with `late=True` only.
    """

    client: Client
    inbox: Inbox
    answer_for_s: float

    async def in_chat(self, chat: Chat, since: float, now: float) -> list[Delivery]:
        """Return the chat's unseen inbound messages that were sent at or after a time, the oldest first.

        Raises:
            LinqApiError: Linq could not be asked.
            StorageUnavailable: the storage cannot say what it has seen.
        """
        messages = [
            message
            async for message in _newest(self.client, chat.id, since)
            if not message.is_from_me and sent_at(message) >= since
        ]
        has_left = await self.inbox.seen([_key(message) for message in messages])
        handled_at = max((sent_at(message) for message in messages if has_left.get(_key(message))), default=0.0)
        missed = sorted((message for message in messages if _key(message) not in has_left), key=sent_at)
        return [
            _delivery(chat, message, now, is_history=self._is_history(message, handled_at, now)) for message in missed
        ]

    def _is_history(self, message: Message, handled_at: float, now: float) -> bool:
        age_s = now - sent_at(message)
        if age_s <= LINQ_RETRIES_S:
            return False  # Linq may still deliver it, and then it is news
        return age_s > self.answer_for_s or sent_at(message) < handled_at


def sent_at(message: Message) -> float:
    """Return when a message was sent, in Unix seconds; 0 if Linq does not say."""
    at = message.sent_at or message.created_at
    return at.timestamp() if at is not None else 0.0


async def _newest(client: Client, chat_id: str, since: float) -> AsyncIterator[Message]:
    """A chat's messages back to `since`. Linq does not state their order: only a list seen to go back is cut off."""
    async for page in client.chats.messages.list(chat_id, limit=PAGE).pages():
        for message in page.items:
            yield message
        times = [sent_at(message) for message in page.items]
        if times and times[0] >= times[-1] and times[-1] < since:
            return


def _key(message: Message) -> str:
    return f"m.{message.id}"


def _delivery(chat: Chat, message: Message, now: float, *, is_history: bool) -> Delivery:
    """The message as the `message.received` that Linq would have delivered."""
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
    # An id of our own kind: no webhook can lease it. The message's key still finds the webhook's copy.
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
