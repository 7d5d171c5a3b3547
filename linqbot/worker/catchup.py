"""After a downtime longer than Linq's patience: fetch what it gave up on, and put it in as history.

Linq retries a delivery for half an hour and then forgets it. Messages older than that, and unseen, are fetched from
its API and put into their lanes with `reconciled_at` set, so that only handlers that ask for old news get them. Younger
ones are left to Linq's own retries first, and looked at again when those have ended: a message it still delivers is
news, and must not be taken for history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from pydantic_core import to_json

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Inbox
from linqbot.types.chat import Chat
from linqbot.types.handle import Handle
from linqbot.types.message import Message

log = structlog.get_logger("linqbot.worker")

QUIET_S: Final = 20 * 60.0
"""A silence shorter than this cannot have cost anything: Linq was still retrying."""
RETRIES_END_S: Final = 31 * 60.0
"""When Linq has surely given up on a delivery, counted from its message."""
PAGE: Final = 100


async def catch_up(client: Client, inbox: Inbox, clock: Clock) -> None:
    """Put in what was missed since the newest webhook, if that is long ago. Failures are logged, never raised."""
    started = clock.now()
    since = await inbox.last_activity()
    if since is None or started - since < QUIET_S:
        return
    try:
        await _put_missed(client, inbox, clock, since, started - RETRIES_END_S)
        await clock.wait_until(started + RETRIES_END_S)
        await _put_missed(client, inbox, clock, max(since, started - RETRIES_END_S), started)
    except LinqApiError as error:
        log.error("history.failed", error=str(error))


async def _put_missed(client: Client, inbox: Inbox, clock: Clock, since: float, until: float) -> None:
    """Put in the unseen inbound messages sent between two times."""
    if until <= since:
        return
    count = 0
    async for chat in client.chats.list_chats(limit=PAGE):
        if chat.updated_at is not None and chat.updated_at.timestamp() < since:
            continue
        async for message in _messages(client, chat, since):
            sent_at = _sent_at(message)
            if not message.is_from_me and since <= sent_at < until:
                count += await inbox.put(_reconciled(chat, message, clock.now()))
    log.info("history.fetched", messages=count, since=round(since), until=round(until))


async def _messages(client: Client, chat: Chat, since: float) -> AsyncIterator[Message]:
    """A chat's messages back to `since`. Linq does not state their order: only a list seen to go back is cut off."""
    async for page in client.chats.messages.list(chat.id, limit=PAGE).pages():
        for message in page.items:
            yield message
        times = [_sent_at(message) for message in page.items]
        if times and times[0] >= times[-1] and max(times) < since:
            return


def _sent_at(message: Message) -> float:
    at = message.sent_at or message.created_at
    return at.timestamp() if at is not None else 0.0


def _reconciled(chat: Chat, message: Message, now: float) -> Delivery:
    """The message as the `message.received` Linq would have sent, had it found it late."""
    owner = next((handle for handle in chat.handles if handle.is_me), None)
    at = datetime.fromtimestamp(now, UTC).isoformat()
    data: dict[str, Any] = message.to_wire() | {
        "chat": {"id": chat.id, "is_group": chat.is_group, "owner_handle": _wire(owner)},
        "direction": "inbound",
        "sender_handle": _wire(message.from_handle),
        "reconciled_at": at,
    }
    body = {
        "api_version": "v3",
        "webhook_version": "2026-02-03",
        "event_type": "message.received",
        "event_id": f"reconciled.{message.id}",
        "created_at": at,
        "data": data,
    }
    delivery = Delivery.from_webhook(to_json(body), webhook_id="", received_at=now)
    # Our own namespace of ids: no webhook can claim it. The message's key still finds the webhook's copy.
    return Delivery(
        id=f"i.reconciled.{message.id}",
        lane=delivery.lane,
        type=delivery.type,
        body=delivery.body,
        received_at=now,
        message_key=delivery.message_key,
        decoded=delivery.decoded,
    )


def _wire(handle: Handle | None) -> dict[str, Any] | None:
    return None if handle is None else handle.to_wire()
