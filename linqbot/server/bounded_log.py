"""A rate-limited log: any client can post to a public webhook as often as it likes, and must not fill the log.

A few lines of each kind are written per minute. The others are counted, and the count is logged when the minute is
over, so a flood ends with a line that shows its size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from structlog.typing import FilteringBoundLogger

LINES: Final = 5
"""Lines of one kind that are written in one minute; further lines are only counted."""

EVERY_S: Final = 60.0
"""Seconds until the count of suppressed lines is logged and starts again."""

Later: TypeAlias = Callable[[float, Callable[[], None]], object]


@dataclass(slots=True)
class _Minute:
    """The lines of one kind in one minute.

    Attributes:
        written: Number of lines that were written.
        suppressed: Number of lines that were only counted.
        level, facts: Level and fields of the last suppressed line.
    """

    written: int = 0
    suppressed: int = 0
    level: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class BoundedLog:
    """Writes warnings and errors to `logger`, at most `LINES` per minute of each event and kind.

    Args:
        later: Calls a function after a number of seconds. By default a timer of the running event loop does.
    """

    def __init__(self, logger: FilteringBoundLogger, *, later: Later | None = None) -> None:
        self._logger = logger
        self._later = later or _later
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def warning(self, event: str, *, kind: str = "", **facts: Any) -> None:
        """Log a warning, or count it.

        Args:
            kind: Lines of the same event and kind share one limit. There must be few kinds, so a kind must not be
                text that the sender chose.
        """
        self._write("warning", event, kind, facts)

    def error(self, event: str, *, kind: str = "", **facts: Any) -> None:
        """Log an error, or count it; see `warning`."""
        self._write("error", event, kind, facts)

    def end(self) -> None:
        """Log the counts of suppressed lines now."""
        for event, kind in list(self._minutes):
            self._over(event, kind)

    def _write(self, level: str, event: str, kind: str, facts: dict[str, Any]) -> None:
        minute = self._minutes.get((event, kind))
        if minute is None:
            minute = self._minutes[event, kind] = _Minute()
            self._later(EVERY_S, partial(self._over, event, kind))
        if minute.written < LINES:
            minute.written += 1
            getattr(self._logger, level)(event, **facts)
        else:
            minute.suppressed += 1
            minute.level, minute.facts = level, facts

    def _over(self, event: str, kind: str) -> None:
        minute = self._minutes.pop((event, kind), None)
        if minute is not None and minute.suppressed:
            getattr(self._logger, minute.level)(event, **minute.facts, suppressed=minute.suppressed)


def _later(after_s: float, function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(after_s, function)
