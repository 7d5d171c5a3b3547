"""A rate-limited log: a few lines a minute, however many events happen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog

from linqbot.server.refusals import EVERY_S, LINES, BoundedLog


class Timers:
    """Timers of a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, Callable[[], None]]] = []

    def later(self, after_s: float, function: Callable[[], None]) -> None:
        self._waiting.append((self.now + after_s, function))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [function for at, function in self._waiting if at <= self.now]
        self._waiting = [each for each in self._waiting if each[0] > self.now]
        for function in due:
            function()


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def log(timers: Timers) -> BoundedLog:
    return BoundedLog(structlog.get_logger("test"), later=timers.later)


def test_further_lines_are_counted_and_the_count_is_in_the_last_line(log: BoundedLog, timers: Timers) -> None:
    with structlog.testing.capture_logs() as logs:
        for n in range(1000):
            log.error("door.knocked", who=n)
        assert len(logs) == LINES
        timers.advance(EVERY_S - 1)
        assert len(logs) == LINES
        timers.advance(1)
    assert logs[-1] == {"event": "door.knocked", "who": 999, "log_level": "error", "suppressed": 1000 - LINES}
    assert len(logs) == LINES + 1


def test_a_flood_of_one_kind_hides_no_other(log: BoundedLog) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(1000):
            log.warning("door.knocked", kind="loud", how="loud")
        log.warning("door.knocked", kind="soft", how="soft")
        log.warning("bell.rung")
    assert [line.get("how", line["event"]) for line in logs] == ["loud"] * LINES + ["soft", "bell.rung"]


def test_at_the_end_the_count_is_logged_only_once(log: BoundedLog, timers: Timers) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(LINES + 3):
            log.warning("door.knocked")
        log.end()
        log.end()
        timers.advance(EVERY_S)
    assert [line["suppressed"] for line in logs if "suppressed" in line] == [3]
