"""Notices of dead letters, for the bot's `on_dead_letter` handlers.

The commit that makes a delivery a dead letter also stores a timer that is due at once, so a notice survives a crash. The
timer becomes a delivery of the same lane, and its turn runs the handler. The calls of that turn are journalled like those
of any other, so a crash repeats none of them. `worker/turn.py` runs the turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json, to_json

from linqbot.bot.routing.handlers import Failure
from linqbot.events.delivery import Delivery, decode
from linqbot.storage.inbox import DeadLetter, Lease
from linqbot.storage.timers import Timer

KIND: Final = "dead_letter"

_NOTICE_ID: Final = f"i.{KIND}."

_GRACE_S: Final = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice: a delivery that became a dead letter, and why."""

    delivery: Delivery
    failure: Failure


def is_notice(delivery: Delivery) -> bool:
    """Return True if a delivery is a notice. Its id decides: a webhook can have any type, but no such id."""
    return delivery.id.startswith(_NOTICE_ID)


def timer(lease: Lease, outcome: DeadLetter, now: float) -> Timer:
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


def notice(delivery: Delivery) -> Notice:
    """Return the notice that a delivery stands for."""
    payload = from_json(delivery.body)
    given_up, failure = payload["delivery"], payload["failure"]
    return Notice(
        Delivery(given_up["id"], delivery.lane, given_up["type"], to_json(payload["body"]), given_up["received_at"]),
        Failure(failure["reason"], failure["handler"], failure["attempts"]),
    )
