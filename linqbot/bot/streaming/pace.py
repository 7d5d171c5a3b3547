"""The pace of a stream: which finished pieces make the next message, and how long to wait before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from linqbot.errors import BotError
from linqbot.text.pieces import PARAGRAPH, Piece

PaceName: TypeAlias = Literal["human", "fast"]
QUIET_S: Final = 2.0
"""Seconds after which a source is quiet, such as a model that calls a tool. Finished sentences are then said."""
_CHARACTERS_PER_S: Final = 80
_SHORTEST_PAUSE_S: Final = 0.8
_LONGEST_PAUSE_S: Final = 2.5


@dataclass(frozen=True, slots=True)
class Pace:
    """A pace. The sizes are in characters.

    Attributes:
        least: The size from which a message may end inside a paragraph.
        most: The size at which a message ends, if a piece does.
        paragraph: The size from which a message ends with its paragraph.
        is_early: True if the first message, and one after which the source is quiet, may be shorter than `least`.
        has_pauses: True waits before each message as a person who types would.
    """

    least: int
    most: int
    paragraph: int = 1
    is_early: bool = True
    has_pauses: bool = True

    def count(
        self, waiting: Sequence[Piece], *, is_first: bool, is_over: bool, is_after_paragraph: bool, is_quiet: bool
    ) -> int:
        """Return the number of pieces that make the next message; 0 to wait for more.

        Args:
            is_first: True if nothing was said yet.
            is_over: True if no piece follows those that wait.
            is_after_paragraph: True if the last piece ends its paragraph.
            is_quiet: True if the source has given nothing for `QUIET_S`.
        """
        size = 0
        for i, piece in enumerate(waiting):
            grown = size + len(piece.gap) + len(piece.text.text)
            is_end = i and (grown > self.most or (piece.gap == PARAGRAPH and size >= self.paragraph))
            if is_end and (i > 1 or not waiting[0].is_heading):
                # A heading belongs to what follows it.
                return i - waiting[i - 1].is_heading
            size = grown
        if is_over or not waiting or waiting[-1].is_heading:
            return len(waiting) if is_over else 0
        if is_after_paragraph and not waiting[-1].is_item and size >= self.paragraph:
            return len(waiting)
        if self.is_early and (is_quiet or (is_first and not waiting[-1].is_item)):
            return len(waiting)
        return len(waiting) if size >= self.least and not waiting[-1].is_item else 0

    def pause_s(self, size: int) -> float:
        """Return the seconds between the last message and one of `size` characters."""
        if not self.has_pauses:
            return 0.0
        return min(max(size / _CHARACTERS_PER_S, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


_PACES: Final = {
    "human": Pace(least=120, most=500),
    "fast": Pace(least=1000, most=1000, has_pauses=False),
}
_SMS: Final = Pace(least=480, most=1200, paragraph=480, is_early=False)


def pace_of(name: str, service: str | None) -> Pace:
    """Return the pace of this name. On SMS messages are fewer and longer.

    Raises:
        BotError: there is no such pace.
    """
    if name not in _PACES:
        raise BotError(f"There is no pace {name!r}. Give one of: {', '.join(_PACES)}.")
    if service != "SMS":
        return _PACES[name]
    return _SMS if name == "human" else Pace(_SMS.least, _SMS.most, _SMS.paragraph, is_early=False, has_pauses=False)
