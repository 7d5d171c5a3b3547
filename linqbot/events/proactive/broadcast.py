"""The event of a broadcast that has ended: `@bot.on_broadcast_done`. linqbot makes it; Linq knows nothing of broadcasts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from linqbot.events.delivery import BROADCAST_DONE_ID, BROADCAST_DONE_TYPE, Delivery
from linqbot.events.event import Event, as_object


class BroadcastDone(Event):
    """A broadcast has ended: each person has an outcome. It has no person and no chat: use `ctx.bot` and `ctx.client`.

    Attributes:
        name: The broadcast's name.
        line: Your line that it was sent from, E.164.
        was_cancelled: True if an operator cancelled it.
        began_at: The time at which it was stored, in UTC.
        people: The number of all people.
        sent: Linq accepted all its messages to these people.
        opted_out: These people have opted out of messages.
        refused: Linq or a plugin refused a message to these people, so they got none, or not all.
        failed: Given up after errors. Each is a dead letter, which `linqbot inbox retry` sends again.
        cancelled: Not reached when the broadcast was cancelled.
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
        {**data, "event_id": delivery.id, "event_type": BROADCAST_DONE_TYPE, "created_at": at},
    )
