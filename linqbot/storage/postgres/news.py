"""Notifications: the news about a committed transaction that a process sends to the others, and how they are read.

Each user of the database may send on any channel. So a notification is data from outside, and may be unreadable.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeGuard

_LONGEST_PAYLOAD: Final = 7000
"""Bytes; PostgreSQL allows a notification 8000."""


@dataclass(frozen=True, slots=True)
class News:
    """The news about one transaction.

    Attributes:
        by: The sender; see `Memory.sender`.
        work: True if a process may find a delivery to lease.
        times: True if the earliest timer, or the next step of a broadcast, may be another one.
        own: True if the journal has entries of deliveries that linqbot created.
        chats: Chats whose conversations changed; None if they are too many to be named.
        lanes: Lanes into which deliveries were put; None if they are too many to be named.
        refused: Lanes of which a delivery was refused; None if they are too many to be named.
        gap: The Unix time since which deliveries of any lane may have been refused; None if there is no such time.
    """

    by: str
    work: bool
    times: bool
    own: bool
    chats: list[str] | None
    lanes: list[str] | None
    refused: list[str] | None
    gap: float | None = None

    def to_payload(self) -> str:
        """Return the news as JSON that fits into a notification."""
        news = asdict(self)
        payload = json.dumps(news)
        for name in ("lanes", "chats", "refused"):
            if len(payload) > _LONGEST_PAYLOAD:
                news[name] = None  # Then another process looks at all of them. Conversations are read again.
                payload = json.dumps(news)
        return payload

    @classmethod
    def from_payload(cls, payload: str) -> News | None:
        """Return the news of a notification; None if it cannot be read, because no linqbot that is known has sent it."""
        try:
            found = json.loads(payload)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        by, chats, lanes = found.get("by"), found.get("chats", 0), found.get("lanes", 0)
        # A process of an earlier release names no refused lanes, and no gap.
        refused, gap = found.get("refused", []), found.get("gap")
        flags = [found.get(name) for name in ("work", "times", "own")]
        if not isinstance(by, str) or not all(isinstance(flag, bool) for flag in flags):
            return None
        if not all(names is None or _are_names(names) for names in (chats, lanes, refused)):
            return None
        if gap is not None and not (isinstance(gap, float) and math.isfinite(gap)):
            return None
        work, times, own = map(bool, flags)
        return cls(by, work, times, own, chats, lanes, refused, gap)


def _are_names(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
