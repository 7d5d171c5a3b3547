"""An event loop for tests of time: its time moves when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class TimedLoop:
    """The part of an event loop that alarms use, with a time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.reported: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reported.append(context)

    def is_closed(self) -> bool:
        return False

    def call_at(self, at: float, call: Callable[..., object], *given: object) -> Any:
        timer = (at, lambda: call(*given))
        self.timers.append(timer)

        class Handle:
            def cancel(handle) -> None:  # noqa: N805 - the loop is `self`
                self.timers.remove(timer)

        return Handle()

    def advance(self, to: float) -> None:
        self.now = to
        for timer in [each for each in self.timers if each[0] <= to]:
            self.timers.remove(timer)
            timer[1]()
