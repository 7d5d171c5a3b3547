"""Scheduled sends, `ctx.send_later`: a timer in the storage, and a delivery in the lane of its chat when it is due."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.engine.failure import SendMissed, unreachable
from linqbot.engine.parts import Turn
from linqbot.errors import (
    LinqApiError,
    MessageGone,
)
from linqbot.features.proactive import Rhythm
from linqbot.features.schedules import REPEAT, REPEAT_ID, every_of, last_due
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.types.proactive import Scheduled
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.engine.turn import Turns

log = structlog.get_logger("linqbot.worker")

KIND = "send"

_ALL: Final = 1_000_000
"""Reads all sends of a chat: one that is left out cannot be cancelled, and would go to a person who has opted out."""


@dataclass(frozen=True, slots=True)
class DueSend:
    """The calls of a scheduled send that is due."""

    id: str  # the id of the scheduled send
    calls: tuple[Call, ...]  # the calls to make, in order
    due: float  # the time at which they were due, in Unix seconds
    grace_s: float  # the longest time, in seconds, for which no server may have run since then
    # The people and the chat of the turn that scheduled them, as JSON: see `origin_of`. Under `scheduled` it names the
    # send, so that an answer to its message finds it: see `answered_schedule`.
    origin: bytes

    def check(self, served_at: float) -> None:
        """Check that the send was not due too long before a server could make it.

        Args:
            served_at: The Unix time since which a server has run, from the time on at which the send was due.
        Raises:
            SendMissed: the send was due more than `grace_s` seconds before.
        """
        late_s = served_at - self.due
        if late_s > self.grace_s:
            raise SendMissed(
                f"A message of send_later was due {late_s:.0f} s ago when a server could make it, and may be at most "
                f"{self.grace_s:.0f} s late (grace_s=). "
                "If it is still wanted, send it by hand: linqbot send. To allow longer downtimes, give send_later a longer "
                "grace_s=."
            )


def timer(
    timer_id: str,
    chat_id: str,
    calls: Sequence[Call],
    due: float,
    grace_s: float,
    *,
    origin: bytes | None = None,
    off_the_record: bool = False,
    every: Rhythm | None = None,
    tag: str | None = None,
) -> Timer:
    """Build the timer that stores `calls` until they are due.

    Args:
        due: The time at which to make them, in Unix seconds.
        grace_s: The longest delay, in seconds, after which they may still be made.
        origin: The people and the chat of the turn, as JSON: see `origin_of`.
        off_the_record: True keeps no content of the calls after they are made.
        every: The rhythm in which to make them again; None makes them once.
        tag: The author's name for the send.
    """
    payload = {"calls": [from_json(call.to_json()) for call in calls], "due": due, "grace_s": grace_s}
    if origin is not None:
        payload["origin"] = from_json(origin)
    if every is not None:
        payload["every"] = every_of(every.spec, every.timezone)
    if tag is not None:
        payload["tag"] = tag
    if off_the_record:
        payload["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
    return Timer(timer_id, due, lane_of_chat(chat_id), KIND if every is None else REPEAT, to_json(payload), grace_s)


def moved(timer: Timer, timer_id: str, due: float) -> Timer:
    """Return a timer that makes the calls of another one once, at another time.

    Raises:
        ValueError: the payload of the timer cannot be read.
    """
    payload = from_json(timer.payload)
    payload["due"] = due
    if payload.pop("every", None) is not None:
        payload["series"] = timer.id  # what it answers for: it may be put off again
    return Timer(timer_id, due, timer.lane, KIND, to_json(payload), timer.grace_s)


def scheduled_by(timer: Timer) -> Scheduled:
    """Return the scheduled send that a timer stores."""
    payload = from_json(timer.payload)
    return _scheduled(timer.id, timer.tick, payload)


async def sends_of(chat_id: str, stored: Storage) -> dict[str, Timer]:
    """Return all scheduled sends of a chat, by id. A recurring send that is due now is among them: it goes on later.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    lane = lane_of_chat(chat_id)
    waiting = await stored.scheduled(lane=lane, limit=_ALL)
    repeated = await stored.recurring(REPEAT, lane=lane)
    return {timer.id: timer for timer in (*waiting, *repeated) if timer.kind in (KIND, REPEAT)}


def _scheduled(scheduled_id: str, due: float, payload: dict[str, Any]) -> Scheduled:
    every = payload.get("every")
    return Scheduled(
        scheduled_id, datetime.fromtimestamp(due, UTC), payload.get("tag"), every["spec"] if every else None
    )


def _due(delivery: Delivery, payload: dict[str, Any]) -> tuple[str, float]:
    """Return the id of a due send, and its due time. Of a recurring send, this is the last due time that has passed."""
    if delivery.id.startswith(f"i.{KIND}."):
        return delivery.id.split(".", 2)[2], float(payload["due"])
    timer_id, _, tick = delivery.id.split(".", 2)[2].rpartition(".")
    return timer_id, last_due(payload["every"], float(tick), delivery.received_at)


def due_send(delivery: Delivery) -> DueSend | None:
    """Return the due send that a delivery stands for; None for any other delivery.

    The id of the delivery decides, and not its type: a webhook can have any type, but no such id.

    Raises:
        SendMissed: the stored send cannot be read.
    """
    if not delivery.id.startswith((f"i.{KIND}.", REPEAT_ID)):
        return None
    try:
        payload = from_json(delivery.body)
        scheduled_id, due = _due(delivery, payload)
        calls = tuple(Call.from_json(to_json(call)) for call in payload["calls"])
        origin = dict(payload.get("origin") or {})
        origin["scheduled"] = {"id": payload.get("series", scheduled_id), "due": due} | {
            name: payload[name] for name in ("tag", "every") if name in payload
        }
        return DueSend(scheduled_id, calls, due, float(payload["grace_s"]), to_json(origin))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The message of the error is left out, because it may quote the text of the send.
        raise SendMissed(f"The stored send cannot be read ({type(error).__name__}).") from None


def is_recurring_send(delivery: Delivery) -> bool:
    """Return True if a recurring send is due. Its timer is stored until it is cancelled."""
    return delivery.id.startswith(REPEAT_ID)


async def send_due(turns: Turns, turn: Turn) -> None:
    """Make the calls of a scheduled send.

    Raises:
        SendMissed: the send is too late, or cannot be read.
        LinqApiError: Linq refused a call, or did not answer.
    """
    delivery, journal = turn.lease.delivery, turn.journal
    due = due_send(delivery)
    assert due is not None
    if is_recurring_send(delivery) and await turns.storage.timer(due.id) is None:
        log.info("send.cancelled", delivery=delivery.id)
        return
    # A send that has begun, and one that a server made a delivery in time, goes on however long Linq is away. If the server
    # has stopped since, it is unknown for how long none ran.
    if not journal.unmatched():
        due.check(max(delivery.received_at, turns.serving_since))
    journal.origin = due.origin
    with turn.deadline:
        for call in due.calls:
            with suppress(MessageGone):
                try:
                    await turn.client.run(call)
                except LinqApiError as error:
                    # The person opted out, or the chat is gone, or was left: a recurring send must not be made again.
                    if is_recurring_send(delivery) and (unreachable(error) is not None or error.status == 404):
                        journal.cancelled.append(due.id)
                    raise


def answered_schedule(entry: JournalEntry | None) -> Scheduled | None:
    """Return the scheduled send that made a message, from the message's journal entry; None if none made it."""
    try:
        made_by = from_json(entry.origin)["scheduled"] if entry is not None and entry.origin else None
        return None if made_by is None else _scheduled(made_by["id"], float(made_by["due"]), made_by)
    except (ValueError, TypeError, KeyError):
        return None
