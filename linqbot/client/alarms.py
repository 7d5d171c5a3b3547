"""Time limits that cost little: all of them share one timer of the event loop.

A timer of the event loop takes some microseconds to set and to cancel, and every turn has time limits that nearly never
end. Here each of them is an entry in a dict. The timer is set for the earliest one, and again when it has fired.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

EARLY_S: Final = 0.002
"""Seconds by which a timer may fire too early: event loops round to milliseconds."""


@dataclass(slots=True, eq=False, repr=False)
class Alarm:
    """A call at a time, unless it is cancelled before."""

    _open: dict[Alarm, None]
    at: float
    call: Callable[[], object]

    def cancel(self) -> None:
        """Do not call. The timer of the event loop stays: most often it serves the next alarm too."""
        self._open.pop(self, None)


class Alarms:
    """The alarms of one event loop. Times are those of `loop.time()`, in seconds."""

    __slots__ = ("_fires_at", "_loop", "_open", "_timer")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[Alarm, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def set(self, loop: asyncio.AbstractEventLoop, at: float, call: Callable[[], object]) -> Alarm:
        """Call `call` at a time, in the given event loop, which is running. Those of a closed event loop are forgotten."""
        if loop is not self._loop:
            if self._loop is not None and not self._loop.is_closed():
                return Alarms().set(loop, at, call)  # two event loops at once, which nothing but a test has
            self._loop, self._open, self._timer, self._fires_at = loop, {}, None, math.inf
        alarm = Alarm(self._open, at, call)
        self._open[alarm] = None
        if at < self._fires_at:
            self._arm(loop, at)
        return alarm

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = at
        self._timer = loop.call_at(at, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._fires_at = None, math.inf
        until = loop.time() + EARLY_S
        due = sorted((alarm for alarm in self._open if alarm.at <= until), key=lambda alarm: alarm.at)
        if len(due) < len(self._open):
            self._arm(loop, min(alarm.at for alarm in self._open if alarm.at > until))
        for alarm in due:
            if alarm not in self._open:  # an earlier one of these calls has cancelled it
                continue
            del self._open[alarm]
            try:
                alarm.call()
            except Exception as error:  # noqa: BLE001 - as for a timer of its own: the others are called all the same
                loop.call_exception_handler({"message": "An alarm failed", "exception": error})


class TimeLimit:
    """A time limit for the code in a `with` block, like `asyncio.timeout` at a quarter of its cost."""

    __slots__ = ("_alarm", "_alarms", "_cancelling", "_expired", "_seconds", "_task")

    def __init__(self, alarms: Alarms, seconds: float) -> None:
        self._alarms = alarms
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._alarm = self._alarms.set(loop, loop.time() + self._seconds, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block. Raises TimeoutError if it was cancelled because its time was over."""
        self._alarm.cancel()
        # Otherwise the limit and its alarm would keep each other alive.
        del self._alarm
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
