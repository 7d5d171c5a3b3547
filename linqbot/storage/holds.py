"""Holds: the chats whose timers wait until a time, because a feature holds them.

All holds are in memory, by chat, so that a turn of a chat costs no read. The hold of all chats is the row of the chat `EVERY_CHAT`. A
timer of a held chat does not fire before the hold ends (`timers.py`). Why a chat is held is the matter of the feature, whose values
the storage keeps as JSON: see `features/muted_chats.py`. Next step: `hold_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

FOREVER: Final = 1e13
"""The `until` of a hold without an end. It is later than every time that a bot can give."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A chat that is held.

    Attributes:
        until: Unix seconds at which the hold ends; FOREVER without an end.
        since: Unix seconds at which it began.
        kept_until: Unix seconds until which its row is kept, because its feature needs it after the end; `until` if that is later.
        person: The handle of the person in a direct chat, in lower case; empty in a group; None if it is not known yet.
        kinds: The kinds of timers and broadcasts that wait; None for all.
        notes: The values of the feature, as JSON; None without any.
    """

    chat_id: str
    until: float
    since: float = 0.0
    kept_until: float = 0.0
    person: str | None = None
    kinds: frozenset[str] | None = None
    notes: bytes | None = None

    @property
    def ends_at(self) -> float | None:
        """The `until` of a hold that ends; None for one without an end."""
        return None if self.until >= FOREVER else self.until


Change: TypeAlias = Callable[[Hold | None, float], Hold | None]
"""Returns what becomes of the stored hold of a chat, given the present in Unix seconds too. None is no hold."""

Changed: TypeAlias = tuple[Hold | None, Hold | None]
"""The hold of a chat before and after a change."""
