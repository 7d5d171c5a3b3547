"""The state and the times that a part of a conversation has read: when it runs again, it reads the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from linqbot.bot.conversation.turn_state import digest_of
from linqbot.clock import Clock

MOST_TIMES: Final = 100
"""Maximum number of times that are kept of a part. They are stored with its question."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The state and the times that a part of a conversation has read.

    Attributes:
        state: The state that it has read; see `TurnState.seen`.
        times: The times that it has read, in order, and then the time at which it asked its question, in Unix seconds.
        left: Digests of the state that it has changed; see `TurnState.left`.
    """

    state: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    times: Sequence[float] = ()
    left: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def joined(parts: Sequence[Seen]) -> Seen:
    """Return what parts that followed each other saw at first and left at last.

    State that something else changed between two of them is left out of what they left.
    """
    state: dict[str, dict[str, str | None]] = {}
    left: dict[str, dict[str, str]] = {}
    is_broken: set[tuple[str, str]] = set()
    for part in parts:
        for scope, values in part.state.items():
            for name, value in values.items():
                state.setdefault(scope, {}).setdefault(name, value)
                if left.get(scope, {}).get(name, digest_of(value)) != digest_of(value):
                    is_broken.add((scope, name))
        for scope, digests in part.left.items():
            left.setdefault(scope, {}).update(digests)
    for scope, name in is_broken:
        del left[scope][name]
    return Seen(state, (), left)


class Times:
    """The times that a handler reads with `ctx.now()`: the present, or in a part that is over what its first run has read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._past: Sequence[float] = ()
        self._read: list[float] = []

    def now(self) -> float:
        """Return the present time, in Unix seconds; in a part that is over, the time that was read here then."""
        at = self._past[min(len(self._read), len(self._past) - 1)] if self._past else self._clock.now()
        if len(self._read) < MOST_TIMES:
            self._read.append(at)
        return at

    def enter(self, past: Sequence[float]) -> None:
        """Begin with a part.

        Args:
            past: What it has read, if it is over; else nothing.
        """
        self._past = past
        self._read = []

    def go_live(self) -> None:
        """Go on with the present, in the middle of a part."""
        self._past = ()

    def seen(self) -> Sequence[float]:
        """Return what the part has read, and the present time."""
        return (*self._read, self._clock.now())
