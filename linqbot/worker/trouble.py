"""Notices of trouble: a dead letter for the bot's `on_dead_letter` handlers, and an outage for the people of a chat.

The commit of the failed turn stores a timer that is due at once, so a notice survives a crash. The timer becomes a
delivery of the same lane. `worker/turn.py` runs the handler of a dead letter in the turn of that delivery, with a
journal as in any other turn.

An outage begins when the turn of a person's message is deferred or becomes a dead letter, and ends when a handler of
the chat succeeds. The bot says the text of `Bot(on_trouble=…)` once in this time: the timer of the outage stays parked
until the commit of a turn that succeeds deletes it, and while it is stored, a further failed turn stores nothing. Next
step: `worker/own_calls.py` sends the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.bot.content.message_split import bubbles
from linqbot.bot.routing.handlers import Failure
from linqbot.client.client import Client
from linqbot.errors import LinqApiError, LinqUnavailable, MessageGone, RateLimited, Refused
from linqbot.events.delivery import Delivery, decode
from linqbot.events.lane import chat_of_lane
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Lease, Outcome
from linqbot.storage.timers import OUTAGE, Timer, Timers

KIND: Final = "dead_letter"

_DEAD_LETTER_NOTICE_ID: Final = f"i.{KIND}."

_GRACE_S: Final = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice: a delivery that became a dead letter, and why."""

    delivery: Delivery
    failure: Failure


def is_dead_letter_notice(delivery: Delivery) -> bool:
    """Return True if a delivery is a notice. Its id decides: a webhook can have any type, but no such id."""
    return delivery.id.startswith(_DEAD_LETTER_NOTICE_ID)


def dead_letter_timer(lease: Lease, outcome: DeadLetter, now: float) -> Timer:
    """Build the timer of a notice. Its id is the same if a retried delivery is given up again, so it is sent once."""
    delivery = lease.delivery
    attempts = lease.attempts + outcome.failed
    payload = {
        # As JSON and not as text, because `linqbot forget` looks for handles among the values.
        "body": decode(delivery.body),
        "delivery": {"id": delivery.id, "type": delivery.type, "received_at": delivery.received_at},
        "failure": {"reason": outcome.error, "handler": outcome.handler, "attempts": attempts},
    }
    if delivery.is_off_the_record:
        payload["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
    return Timer(f"{delivery.id}.{lease.replay}", now, delivery.lane, KIND, to_json(payload), _GRACE_S)


def dead_letter_of(delivery: Delivery) -> Notice:
    """Return the notice that a delivery stands for."""
    payload = from_json(delivery.body)
    given_up, failure = payload["delivery"], payload["failure"]
    return Notice(
        Delivery(given_up["id"], delivery.lane, given_up["type"], to_json(payload["body"]), given_up["received_at"]),
        Failure(failure["reason"], failure["handler"], failure["attempts"]),
    )


log = structlog.get_logger("linqbot.worker")

PATIENCE_S: Final = 5.0
"""A turn that is deferred to at most this many seconds after the message came in leaves the person waiting for a moment only."""

_OUTAGE_NOTICE_ID: Final = f"i.{OUTAGE}."


def leaves_waiting(lease: Lease, outcome: Outcome, now: float) -> bool:
    """Return True if a turn ended so that the person who wrote waits for an answer, or gets none."""
    delivery = lease.delivery
    if delivery.type != "message.received" or chat_of_lane(delivery.lane) is None:
        return False
    if isinstance(outcome, Defer):
        # A turn that was stopped, or whose state another turn has changed, is deferred until now: it goes on at once.
        return outcome.at > now and outcome.at - delivery.received_at > PATIENCE_S
    return isinstance(outcome, DeadLetter)


def outage_begun(delivery: Delivery, origin: bytes | None, now: float) -> Timer:
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


def outages_ended_by(lease: Lease, outcome: Outcome) -> list[str]:
    """Return the id of the timer that the commit of a turn deletes, because a handler of the chat has succeeded."""
    chat_id = chat_of_lane(lease.delivery.lane)
    return [f"{OUTAGE}.{chat_id}"] if isinstance(outcome, Ack) and chat_id is not None else []


def is_outage_notice(delivery: Delivery) -> bool:
    """Return True if a delivery is the notice of an outage. Its id decides: a webhook can have any type, but no such id."""
    return delivery.id.startswith(_OUTAGE_NOTICE_ID)


def origin_of_notice(notice: Delivery) -> bytes | None:
    """Return the origin of the turn that began the outage; see `worker/turn_end.py`."""
    origin = from_json(notice.body)["origin"]
    return None if origin is None else to_json(origin)


async def send_outage_text(notice: Delivery, client: Client, text: str | None, stored: Timers) -> None:
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
