"""What may stand in a label. Every set of values is bounded, because each is a time series of its own for ever.

Never a chat, a handle, an id or a text: those are what traces and logs are for.
"""

from __future__ import annotations

from linqbot.api import ENDPOINTS
from linqbot.client.call import Call
from linqbot.events.delivery import Delivery
from linqbot.events.parse import EVENT_TYPES

OTHER = "other"
NONE = "none"
MOST = 200


class Bounded:
    """Lets the first values through as they are; once there are too many, every further one is `other`.

    For what is few in a healthy program and still not ours to list: handlers, classes of errors, Linq's codes.

    Args:
        most: How many values there may be beside `other`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: object) -> str:
        """The label of a value; `none` for None."""
        if value is None:
            return NONE
        label = str(value)
        if label in self._known:
            return label
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(label)
        return label


def event_type(delivery: Delivery) -> str:
    """Linq's type if it is one of the documented ones, `linqbot.send` and the like for our own, else `other`."""
    # Only our own ids begin so, whatever type a webhook claims to have.
    is_known = delivery.type in EVENT_TYPES or delivery.id.startswith("i.")
    return delivery.type if is_known else OTHER


def call_name(call: Call) -> str:
    """`noun.verb` of one of Linq's endpoints, else `other`."""
    return call.name if call.name in ENDPOINTS else OTHER
