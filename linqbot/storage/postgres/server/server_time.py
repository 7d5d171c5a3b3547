"""The clock of the database, as a process reads it from the clock of its own machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

STEP_S: Final = 1.0
"""Seconds from which on a difference between two clocks of a machine means that one was set: to read both takes time."""


def steady() -> float:
    """Return the seconds since some moment, by a clock that cannot be set. Where the system has one, it runs while suspended."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class ServerTime:
    """The distance between two clocks: that of the database, and that of the storage. It stays right if the latter is set.

    Args:
        now: Reads the clock of the storage, in Unix seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ahead_s = 0.0
        self._began_at: float | None = None

    def note(self, ahead_s: float) -> None:
        """Note a measurement: the seconds by which the clock of the database is ahead of the storage's clock now."""
        self._ahead_s = ahead_s
        self._began_at = self._beginning()

    @property
    def set_by_s(self) -> float:
        """The seconds by which the storage's clock was set since the measurement; 0 if that is less than `STEP_S`."""
        if self._began_at is None:
            return 0.0
        by_s = self._beginning() - self._began_at
        return by_s if abs(by_s) >= STEP_S else 0.0

    @property
    def ahead_s(self) -> float:
        """The seconds by which the clock of the database is ahead of the storage's clock; 0 if nothing was measured."""
        return self._ahead_s - self.set_by_s

    def _beginning(self) -> float:
        """Return the reading of the storage's clock at which the steady clock began."""
        before, now, after = steady(), self._now(), steady()
        return now - (before + after) / 2
