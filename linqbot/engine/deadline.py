"""The time limit of a turn: it cancels the code inside it once, and reports code that ignores the cancellation.

`asyncio.timeout` does not detect code that swallows its cancellation. Such code would run at the same time as its own
retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

from linqbot.client.alarms import EARLY_S, Alarm, Alarms

DEADLINE_S: Final = 900.0
"""Seconds that a handler may run by default."""

GRACE_S: Final = 10.0
"""Seconds that cancelled code may take to end, before it is reported as ignoring its limit."""

EXTRA_S: Final = 30.0
"""Minimum seconds for an error handler, even if the limit has passed."""


class Deadline:
    """A time limit for the code inside its `with` blocks, which must run in one task.

    The time runs from the first `with` block on, for all blocks together. When it is over, the block is cancelled.

    Args:
        limit_s: Seconds from the start of the first `with` block.
        ignored: Called if the code still runs `GRACE_S` seconds after it was cancelled.
        alarms: The alarms of the event loop, shared with other deadlines.
    """

    _task: asyncio.Task[object] | None = None
    _cancelling = 0
    _ends_at: float | None = None
    _expired = False
    _alarm: Alarm | None = None

    def __init__(self, limit_s: float, ignored: Callable[[], None], alarms: Alarms) -> None:
        self.limit_s = limit_s
        self._ignored = ignored
        self._alarms = alarms

    def restart(self, limit_s: float) -> None:
        """Start again from now with another limit, for a handler that was registered with its own `deadline_s`."""
        self.limit_s = limit_s
        self._ends_at = self._loop.time() + limit_s
        self._arm()

    def give_extra_time(self) -> None:
        """Extend the limit so that the next `with` block has at least `EXTRA_S` seconds."""
        if self._ends_at is not None:
            self._ends_at = max(self._ends_at, self._loop.time() + EXTRA_S)

    def close(self) -> None:
        """Stop the timer, and drop the `ignored` callback, whose turn refers to this Deadline: no reference cycle is left."""
        self._ignored = lambda: None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._expired = False
        if self._ends_at is None:
            self._ends_at = self._loop.time() + self.limit_s
        self._arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block. Raises TimeoutError if it was cancelled because its time was over."""
        assert self._task is not None
        task, self._task = self._task, None
        if self._expired:
            assert self._alarm is not None
            self._alarm.cancel()
            self._alarm = None
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError(f"It did not end within {self.limit_s:g} s.") from error

    def _arm(self) -> None:
        """Make sure that an alarm is called at the end of the limit or earlier. One that comes too early is set again."""
        assert self._ends_at is not None
        if self._expired and self._task is not None:
            return  # the code is cancelled already, and the alarm is for code that ignores it
        if self._alarm is not None:
            if self._alarm.at <= self._ends_at:
                return
            self._alarm.cancel()
        self._alarm = self._alarms.set(self._loop, self._ends_at, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        if self._task is None:
            return
        assert self._ends_at is not None
        if self._loop.time() < self._ends_at - EARLY_S:
            self._arm()
            return
        self._expired = True
        self._task.cancel()
        self._alarm = self._alarms.set(self._loop, self._loop.time() + GRACE_S, self._report)

    def _report(self) -> None:
        if self._task is not None:
            self._ignored()
