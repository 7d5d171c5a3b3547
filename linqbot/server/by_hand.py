"""A text of ours that no program sent, but a person of yours, on Linq's dashboard or a phone: it mutes the bot in its chat.

The webhook that reports it is looked at before it is stored, so no call begins in the chat once it is accepted. A webhook of a
message that a program sent says its key, which costs a look at the decoded body. `features/mute.py` says what a mute means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from linqbot.clock import Clock
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import as_object, chat_of_receipts
from linqbot.storage.backend import Storage
from linqbot.storage.journal import Receipt
from linqbot.storage.mutes import Mute

log = structlog.get_logger("linqbot.server")

SENT: Final = "message.sent"


def is_by_hand(delivery: Delivery) -> bool:
    """Return True if a delivery of type `SENT` is a text of ours without a key: a person wrote it, as on Linq's dashboard.

    Every text that a program sends with linqbot has a key. What has no text may have none: a voice memo, a shared card, and all on
    a line with zero retention.
    """
    data = delivery.data
    if data.get("idempotency_key"):
        return False
    parts = (as_object(data.get("message")) or data).get("parts")
    return isinstance(parts, list) and any(as_object(part).get("type") == "text" for part in parts)


@dataclass(frozen=True, slots=True)
class MuteByHand:
    """Mutes the bot in a chat when a person of yours writes there: `Bot(mute_s=…)`."""

    storage: Storage
    clock: Clock
    mute_s: float

    async def __call__(self, delivery: Delivery) -> None:
        """Mute the chat of a message that `is_by_hand` is True for."""
        receipt, chat_id = Receipt.of(delivery), chat_of_receipts(delivery.lane)
        since = min(delivery.sent_at, self.clock.now())
        until = since + self.mute_s
        if receipt is None or receipt.message_id is None or chat_id is None or until <= self.clock.now():
            return
        if await self.storage.mute_by_hand(Mute(chat_id, until, since=since), receipt.message_id):
            log.info("chat.muted", chat_id=chat_id, why="A person has written there.", for_s=self.mute_s)
