"""Outages of a chat, in which the bot says the text of `Bot(on_trouble=…)` once.

An outage begins when the turn of a person's message is deferred, so that the person waits, or becomes a dead letter. It
ends when a handler of the chat succeeds. It is a timer in the storage, so it outlives restarts: the commit that ends the
failed turn stores the timer, due at once. When the timer fires, it is parked and becomes a delivery, the notice, whose
turn sends the text. The parked timer stays until the commit of a turn that succeeds deletes it. As long as it is stored,
a further failed turn stores nothing. Next step: `worker/own_calls.py` sends the text.
"""

from __future__ import annotations

from typing import Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.bot.content.message_split import bubbles
from linqbot.client.client import Client
from linqbot.errors import LinqApiError, LinqUnavailable, MessageGone, RateLimited, Refused
from linqbot.events.delivery import Delivery
from linqbot.events.lane import chat_of_lane
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Lease, Outcome
from linqbot.storage.timers import OUTAGE, Timer, Timers

log = structlog.get_logger("linqbot.worker")

PATIENCE_S: Final = 5.0
"""A turn that is deferred to at most this many seconds after the message came in leaves the person waiting for a moment only."""

_NOTICE_ID: Final = f"i.{OUTAGE}."
_GRACE_S: Final = 365 * 86_400.0


def leaves_waiting(lease: Lease, outcome: Outcome, now: float) -> bool:
    """Return True if a turn ended so that the person who wrote waits for an answer, or gets none."""
    delivery = lease.delivery
    if delivery.type != "message.received" or chat_of_lane(delivery.lane) is None:
        return False
    if isinstance(outcome, Defer):
        # A turn that was stopped, or whose state another turn has changed, is deferred until now: it goes on at once.
        return outcome.at > now and outcome.at - delivery.received_at > PATIENCE_S
    return isinstance(outcome, DeadLetter)


def begun(delivery: Delivery, origin: bytes | None, now: float) -> Timer:
    """Return the timer of an outage, for the commit that ends the failed turn.

    Args:
        origin: The people and the chat of the turn, so that `linqbot forget` finds the timer.
    """
    chat_id = chat_of_lane(delivery.lane)
    payload: dict[str, object] = {"chat_id": chat_id, "origin": None if origin is None else from_json(origin)}
    if delivery.is_off_the_record:
        payload["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
    # In a lane of its own, because the deferred delivery blocks the lane of the chat.
    return Timer(f"{OUTAGE}.{chat_id}", now, f"t:{chat_id}", OUTAGE, to_json(payload), _GRACE_S)


def ended_by(lease: Lease, outcome: Outcome) -> list[str]:
    """Return the id of the timer that the commit of a turn deletes, because a handler of the chat has succeeded."""
    chat_id = chat_of_lane(lease.delivery.lane)
    return [f"{OUTAGE}.{chat_id}"] if isinstance(outcome, Ack) and chat_id is not None else []


def is_notice(delivery: Delivery) -> bool:
    """Return True if a delivery is the notice of an outage. Its id decides: a webhook can have any type, but no such id."""
    return delivery.id.startswith(_NOTICE_ID)


def origin_of_notice(notice: Delivery) -> bytes | None:
    """Return the origin of the turn that began the outage; see `worker/origin.py`."""
    origin = from_json(notice.body)["origin"]
    return None if origin is None else to_json(origin)


async def tell(notice: Delivery, client: Client, text: str | None, stored: Timers) -> None:
    """Send the text to the chat of an outage, unless the outage is over.

    If Linq refuses it, a line is logged.

    Args:
        text: The text of `Bot(on_trouble=…)`; None if the bot has none any more.
    Raises:
        LinqUnavailable: Linq is away; the notice waits, and is not sent if the outage ends before.
        StorageUnavailable: the storage cannot be read.
    """
    chat_id = from_json(notice.body)["chat_id"]
    if text is None or await stored.timer(f"{OUTAGE}.{chat_id}") is None:
        return
    try:
        for message in bubbles((text,)):
            await client.chats.messages.send(chat_id, message=message)
    except MessageGone:
        pass
    except Refused as error:
        log.info("trouble.not_said", delivery=notice.id, plugin=error.plugin, reason=str(error))
    except LinqApiError as error:
        if isinstance(error, LinqUnavailable | RateLimited) or error.status in (None, 401):
            raise
        log.warning("trouble.not_said", delivery=notice.id, status=error.status, code=error.code)
