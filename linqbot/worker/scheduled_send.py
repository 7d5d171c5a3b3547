"""A send that waits for its time: as a timer while it waits, as a delivery of its chat's lane when it is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.errors import LinqbotError
from linqbot.events.delivery import Delivery
from linqbot.storage.timers import Timer

KIND = "send"


class SendMissed(LinqbotError):
    """A send whose time has come was not made. It is kept as a dead letter.

    Why: It was due longer ago than its `grace_s` allows, because no process ran; or another release stored it in a form
        that this one cannot read.
    To do: Decide whether it is still wanted, and send it by hand: `linqbot send`. A longer `grace_s` lets later ones
        be sent after a longer downtime.
    """

    lqb = "LQB3009"


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

    def check(self, now: float) -> None:
        """Refuse a send that is too late.

        Raises:
            SendMissed: it was due longer ago than it may be.
        """
        late_s = now - self.due
        if late_s > self.grace_s:
            raise SendMissed(
                f"It was due {late_s:.0f} s ago, and {self.grace_s:.0f} s late was the most that was allowed."
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
) -> Timer:
    """The timer that keeps `calls` until they are due, and nothing of them afterwards if they are off the record."""
    payload = {"calls": [from_json(call.to_json()) for call in calls], "due": due, "grace_s": grace_s}
    if origin is not None:
        payload["origin"] = from_json(origin)
    if off_the_record:
        payload["data"] = {"zero_retention": True}  # as Linq says it: see `Delivery.is_off_the_record`
    return Timer(timer_id, due, f"c:{chat_id}", KIND, to_json(payload), grace_s)


def due_send(delivery: Delivery) -> DueSend | None:
    """Return what is due, if the delivery is one of ours. Webhooks cannot make such ids, whatever type they lease.

    Raises:
        SendMissed: what was stored cannot be read.
    """
    if not delivery.id.startswith(f"i.{KIND}."):
        return None
    try:
        payload = from_json(delivery.body)
        calls = tuple(Call.from_json(to_json(call)) for call in payload["calls"])
        origin = payload.get("origin")
        return DueSend(
            calls,
            float(payload["due"]),
            float(payload["grace_s"]),
            None if origin is None else to_json(origin),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Not from the error: it may quote what was to be sent.
        raise SendMissed(f"What was stored of it cannot be read ({type(error).__name__}).") from None
