"""The events that linqbot makes itself: a schedule that is due, and a broadcast that has ended.

`@bot.every` and `@bot.on_broadcast_done` handle them. Linq knows nothing of schedules and broadcasts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from linqbot.linq.events.delivery import BROADCAST_DONE_ID, BROADCAST_DONE_TYPE, Delivery
from linqbot.linq.events.event import Event, as_object


class BroadcastDone(Event):
    """A broadcast has ended: each person has an outcome. It has no person and no chat: use `ctx.bot` and `ctx.client`.

    Attributes:
        name: The broadcast's name.
        line: Your line that it was sent from, E.164.
        was_cancelled: True if an operator cancelled it.
        began_at: The time at which it was stored, in UTC.
        people, sent, opted_out, refused, failed, cancelled: Numbers of people, as in `Broadcast`.
    """

    types = (BROADCAST_DONE_TYPE,)

    name: str
    was_cancelled: bool = False
    began_at: datetime
    people: int = 0
    sent: int = 0
    opted_out: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("people", self.people), ("sent", self.sent))


def broadcast_done(delivery: Delivery, body: Any) -> BroadcastDone | None:
    """Return the event of a delivery that linqbot made when a broadcast ended; None for any other delivery."""
    if not delivery.id.startswith(BROADCAST_DONE_ID):
        return None
    data = as_object(as_object(body).get("data"))
    at = datetime.fromtimestamp(delivery.received_at, UTC)
    return BroadcastDone.model_validate(
        {**data, "event_id": delivery.id, "event_type": BROADCAST_DONE_TYPE, "created_at": at}
    )


SCHEDULE_TYPE: Final = "linqbot.schedule"
"""The event type. It is sent only by `linqbot trigger schedule`."""

SCHEDULE_ID: Final = "i.schedule."
"""Prefix of the ids of deliveries that a due schedule became. A webhook cannot have such an id."""

MOST_MISSED: Final = 1000
"""Missed times are counted up to this number."""


class ScheduleDue(Event):
    """A schedule is due. It has no person and no chat: use `ctx.bot.send(…, to=…)` and `ctx.client`.

    Attributes:
        name: The schedule's name: that of its function, or the `name=` of `@bot.every`.
        due: The time at which it was due, in the schedule's time zone. It is earlier than the present if the bot was
            down or busy then.
        missed: The number of due times before `due` that got no event of their own, because the bot was down or busy.
            At most 1,000 are counted.
    """

    types = (SCHEDULE_TYPE,)

    name: str
    due: datetime
    missed: int = 0

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("due", self.due.isoformat()), ("missed", self.missed))


def schedule_name(body: bytes) -> str | None:
    try:
        name = as_object(as_object(json.loads(body)).get("data")).get("name")
    except ValueError:
        return None
    return name if isinstance(name, str) else None


def schedule_due(delivery: Delivery, body: Any) -> ScheduleDue | None:
    """Return the event of a schedule's delivery, or of one that `linqbot trigger schedule` sent; None if it names none.

    Every run of the turn gets the same event, because it depends only on what is stored.
    """
    envelope = as_object(body)
    data = as_object(envelope.get("data"))
    name = data.get("name")
    if not isinstance(name, str) or not name:
        return None
    due, missed = datetime.fromtimestamp(delivery.received_at, UTC), 0
    if delivery.id.startswith(SCHEDULE_ID):
        due, missed = merged(delivery, as_object(data.get("every")))
    event_id = envelope.get("event_id")
    return ScheduleDue.model_validate(
        {
            "event_id": event_id if isinstance(event_id, str) else delivery.id,
            "event_type": SCHEDULE_TYPE,
            "created_at": datetime.fromtimestamp(delivery.received_at, UTC),
            "name": name,
            "due": due,
            "missed": missed,
        }
    )


def merged(delivery: Delivery, every: dict[str, Any]) -> tuple[datetime, int]:
    """Return the due time that the delivery of a recurring timer stands for, and the number of those merged into it.

    The due time is the last one up to the time at which the timer fired.
    """
    from linqbot.clock import zone
    from linqbot.parse.recurrences import last_until, recurrence

    first = datetime.fromtimestamp(int(delivery.id.rpartition(".")[2]), UTC)
    try:
        rhythm = recurrence(every["spec"], timezone=every["timezone"], language="en")
        fired_at = datetime.fromtimestamp(delivery.received_at, UTC)
        due, missed = last_until(rhythm, first, fired_at, most=MOST_MISSED)
        return due.astimezone(zone(rhythm.timezone)), missed
    except (KeyError, TypeError, ValueError):  # stored by another release, or the time zone is gone from this machine
        return first, 0
