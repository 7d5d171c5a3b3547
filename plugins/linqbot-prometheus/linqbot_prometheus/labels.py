"""Values of labels. Every set of values is bounded, because each value makes a time series that stays forever.

A label never holds a chat, a handle, an id or a text. Look for these in traces and logs.
"""

from __future__ import annotations

from linqbot.client.call import Call
from linqbot.events import Delivery
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events import EVENT_CLASSES

OTHER = "other"
NONE = "none"
MAX_VALUES = 200

_DOCUMENTED = frozenset(EVENT_CLASSES)


class Bounded:
    """Turns values into labels: the first values stay as they are, and later ones become `other`.

    For sets that are small in a healthy program but cannot be listed here: handlers, classes of errors, Linq's codes.

    Args:
        max_values: Maximum number of labels, in addition to `other`.
    """

    def __init__(self, max_values: int = MAX_VALUES) -> None:
        self._max_values = max_values
        self._known: set[str] = set()

    def __call__(self, value: object) -> str:
        """Return the label of a value; `none` for None."""
        if value is None:
            return NONE
        label = str(value)
        if label in self._known:
            return label
        if len(self._known) >= self._max_values:
            return OTHER
        self._known.add(label)
        return label


def event_type(delivery: Delivery) -> str:
    """Return the type of an event that Linq documents or linqbot made, such as `linqbot.send`; otherwise `other`."""
    # Only ids made by linqbot begin with "i.", so a webhook cannot claim to be one of these events.
    is_known = delivery.type in _DOCUMENTED or delivery.id.startswith("i.")
    return delivery.type if is_known else OTHER


def call_name(call: Call) -> str:
    """Return the name of a call to one of Linq's endpoints, such as `chats.create`; otherwise `other`."""
    return call.name if call.name in ENDPOINTS else OTHER
