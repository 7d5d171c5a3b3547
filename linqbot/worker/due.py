"""A send that waits for its time: as a timer while it waits, as a delivery of its chat's lane when it is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.events.delivery import Delivery
from linqbot.storage.timers import Timer

KIND = "send"


@dataclass(frozen=True, slots=True)
class DueSend:
    """Calls to make once they are due.

    Attributes:
        due: Unix seconds.
        grace_s: How late they may still be made; later they have been missed.
        origin: The people and the chat of the turn that put them off, as JSON; see `origin.py`.
    """

    calls: tuple[Call, ...]
    due: float
    grace_s: float
    origin: bytes | None = None


def timer(
    timer_id: str,
    chat_id: str,
    calls: Sequence[Call],
    due: float,
    grace_s: float,
    *,
    origin: bytes | None = None,
    off_the_record: bool = False,
) -> Timer:
    """The timer that keeps `calls` until they are due, and nothing of them afterwards if they are off the record."""
    payload = {"calls": [from_json(call.to_json()) for call in calls], "due": due, "grace_s": grace_s}
    if origin is not None:
        payload["origin"] = from_json(origin)
    if off_the_record:
        payload["data"] = {"zero_retention": True}  # as Linq says it: see `Delivery.is_off_the_record`
    return Timer(timer_id, due, f"c:{chat_id}", KIND, to_json(payload), grace_s)


def due_send(delivery: Delivery) -> DueSend | None:
    """What is due, if the delivery is one of ours. Webhooks cannot make such ids, whatever type they claim."""
    if not delivery.id.startswith(f"i.{KIND}."):
        return None
    payload = from_json(delivery.body)
    calls = tuple(Call.from_json(to_json(call)) for call in payload["calls"])
    origin = payload.get("origin")
    return DueSend(calls, payload["due"], payload["grace_s"], None if origin is None else to_json(origin))
