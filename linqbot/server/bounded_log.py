"""A log that strangers cannot fill: anybody can post to a public webhook, as often as the network allows.

Of each kind of line a few are written a minute. The others are counted, and the count is logged when the minute is over,
so that a flood ends with a line that shows its size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from structlog.typing import FilteringBoundLogger

LINES: Final = 5
"""Of one kind, in one minute, before they are only counted."""

EVERY_S: Final = 60.0

Later: TypeAlias = Callable[[float, Callable[[], None]], object]


@dataclass(slots=True)
class _Minute:
    """Lines of one kind in one minute; of those left out, the last one's level and facts."""

    lines: int = 0
    left_out: int = 0
    level: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class BoundedLog:
    """Writes warnings and errors to `logger`, at most a few a minute of each event and kind.

    Args:
        later: Calls a function after so many seconds; the running loop's timers by default.
    """

    def __init__(self, logger: FilteringBoundLogger, *, later: Later | None = None) -> None:
        self._logger = logger
        self._later = later or _later
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def warning(self, event: str, *, kind: str = "", **facts: Any) -> None:
        """Log a warning, or count it.

        Args:
            kind: Lines of one event and kind share a bound. It must be one of few: nothing that a stranger chose.
        """
        self._write("warning", event, kind, facts)

    def error(self, event: str, *, kind: str = "", **facts: Any) -> None:
        """Log an error, or count it; see `warning`."""
        self._write("error", event, kind, facts)

    def end(self) -> None:
        """Log now how many were left out."""
        for event, kind in list(self._minutes):
            self._over(event, kind)

    def _write(self, level: str, event: str, kind: str, facts: dict[str, Any]) -> None:
        minute = self._minutes.get((event, kind))
        if minute is None:
            minute = self._minutes[event, kind] = _Minute()
            self._later(EVERY_S, partial(self._over, event, kind))
        if minute.lines < LINES:
            minute.lines += 1
            getattr(self._logger, level)(event, **facts)
        else:
            minute.left_out += 1
            minute.level, minute.facts = level, facts

    def _over(self, event: str, kind: str) -> None:
        minute = self._minutes.pop((event, kind), None)
        if minute is not None and minute.left_out:
            getattr(self._logger, minute.level)(event, **minute.facts, suppressed=minute.left_out)


def _later(after_s: float, function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(after_s, function)
