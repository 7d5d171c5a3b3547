"""A Delivery: one verified POST, named and put into its lane. Its bytes stay as they came.

The body is decoded here once; the decoded object travels with the delivery inside this process, so that nobody
parses it again. What the event means is `events/parse.py`; storing comes next, in `storage/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to handle, in the order of its lane.

    Attributes:
        id: `w.<event_id>` for a webhook; `i.<kind>.<id>` for our own. HTTP can only make the first kind.
        lane: Deliveries of one lane are handled one at a time, in order of acceptance.
        type: Linq's `event_type`; empty when the body says none.
        body: The raw bytes, as they came and as they were signed.
        received_at: Unix seconds.
        message_key: `m.<message id>` of a received message: a copy of it under another event id is a duplicate.
        decoded: The body as Python data, or None when it must be decoded (again).
    """

    id: str
    lane: str
    type: str
    body: bytes
    received_at: float
    message_key: str | None = None
    decoded: Any = field(default=None, compare=False, repr=False)
