"""The time limit of the author's code: when it is cancelled, and when it is given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from timed_loop import TimedLoop

from linqbot.client.alarms import Alarms
from linqbot.engine.deadline import EXTRA_S, GRACE_S, Deadline


class Code:
    """A task that swallows its cancellations, and counts them."""

    def __init__(self) -> None:
        self.cancellations = 0

    def cancel(self) -> None:
        self.cancellations += 1

    def cancelling(self) -> int:
        return self.cancellations

    def uncancel(self) -> int:
        self.cancellations -= 1
        return self.cancellations


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Any:
    loop = TimedLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> Code:
    code = Code()
    monkeypatch.setattr(asyncio, "current_task", lambda _=None: code)
    return code


@pytest.mark.parametrize("later_s", [None, 1.0, 100.0])
def test_code_that_ignores_its_cancellation_is_given_up_and_gets_no_more_time_from_a_limit_that_comes_later(
    loop: Any, code: Code, later_s: float | None
) -> None:
    given_up: list[float] = []
    deadline = Deadline(5.0, lambda: given_up.append(loop.now), Alarms())
    with deadline:
        loop.advance(5.0)
        assert code.cancellations == 1
        if later_s is not None:
            deadline.restart(later_s)
        loop.advance(7.0)
        loop.advance(5.0 + GRACE_S)
        assert code.cancellations == 1
    assert given_up == [5.0 + GRACE_S]


def test_a_limit_that_comes_before_the_end_replaces_the_first(loop: Any, code: Code) -> None:
    deadline = Deadline(5.0, lambda: None, Alarms())
    with deadline:
        loop.advance(4.0)
        deadline.restart(20.0)
        loop.advance(5.0)
        assert code.cancellations == 0
        loop.advance(24.0)
        assert code.cancellations == 1


@pytest.mark.parametrize(("limit_s", "ends_at"), [(5.0, 4.0 + EXTRA_S), (100.0, 100.0)])
def test_an_error_handler_has_half_a_minute_or_all_that_is_left(
    loop: Any, code: Code, limit_s: float, ends_at: float
) -> None:
    deadline = Deadline(limit_s, lambda: None, Alarms())
    with deadline:
        loop.advance(4.0)
    deadline.give_extra_time()
    with deadline:
        for at, cancellations in [(5.0, 0), (ends_at - 1, 0), (ends_at, 1)]:
            loop.advance(at)
            assert code.cancellations == cancellations
