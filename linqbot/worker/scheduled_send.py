"""Scheduled sends: a timer in the storage while a send waits, and a delivery in its chat's lane when it is due.

`worker/turn.py` makes the calls of a due send.
"""

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
    """A scheduled send was not made, and is kept as a dead letter.

    Why: The send is later than its `grace_s` allows, because no process ran when it was due; or another release stored
        it in a form that this one cannot read.
    To do: If the message is still wanted, send it by hand: `linqbot send`. To allow future sends after a longer
        downtime, schedule them with a longer `grace_s`.
    """

    lqb = "LQB3009"


@dataclass(frozen=True, slots=True)
class DueSend:
    """The calls of a scheduled send that is due.

    Attributes:
        calls: The calls to make, in order.
        due: The time at which they were due, in Unix seconds.
        grace_s: The longest delay, in seconds, after which they may still be made.
        origin: The people and the chat of the turn that scheduled them, as JSON: see `origin.py`.
    """

    calls: tuple[Call, ...]
    due: float
    grace_s: float
    origin: bytes | None = None

    def check(self, now: float) -> None:
        """Check that the send is not too late.

        Raises:
            SendMissed: the send was due more than `grace_s` seconds ago.
        """
        late_s = now - self.due
        if late_s > self.grace_s:
            raise SendMissed(f"It was due {late_s:.0f} s ago, and may be at most {self.grace_s:.0f} s late.")


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
    """Build the timer that stores `calls` until they are due.

    Args:
        due: The time at which to make them, in Unix seconds.
        grace_s: The longest delay, in seconds, after which they may still be made.
        origin: The people and the chat of the turn, as JSON: see `origin.py`.
        off_the_record: True keeps no content of the calls after they are made.
    """
    payload = {"calls": [from_json(call.to_json()) for call in calls], "due": due, "grace_s": grace_s}
    if origin is not None:
        payload["origin"] = from_json(origin)
    if off_the_record:
        payload["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
    return Timer(timer_id, due, f"c:{chat_id}", KIND, to_json(payload), grace_s)


def due_send(delivery: Delivery) -> DueSend | None:
    """Return the due send that a delivery stands for; None for any other delivery.

    The id of the delivery decides, and not its type: a webhook can have any type, but no such id.

    Raises:
        SendMissed: the stored send cannot be read.
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
        # The message of the error is left out, because it may quote the text of the send.
        raise SendMissed(f"The stored send cannot be read ({type(error).__name__}).") from None
