"""Tests of alarms: calls at their times, over one timer of the event loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from timed_loop import TimedLoop

from linqbot.client.alarms import Alarms, TimeLimit


@pytest.fixture
def loop() -> Any:
    return TimedLoop()


def test_alarms_are_called_at_their_times_in_any_order(loop: Any) -> None:
    alarms, called = Alarms(), list[str]()
    for name, at in (("second", 20.0), ("first", 10.0), ("third", 30.0)):
        alarms.set(loop, at, partial(called.append, name))
    loop.advance(10.0)
    assert called == ["first"]
    loop.advance(25.0)
    assert called == ["first", "second"]
    loop.advance(30.0)
    assert called == ["first", "second", "third"]


def test_a_thousand_limits_that_do_not_end_take_one_timer(loop: Any) -> None:
    alarms = Alarms()
    for n in range(1000):
        loop.now = n / 100
        alarms.set(loop, loop.now + 60.0, lambda: None).cancel()
    assert len(loop.timers) == 1


def test_an_alarm_that_an_earlier_one_cancels_is_not_called_though_both_are_due(loop: Any) -> None:
    alarms, called = Alarms(), list[str]()
    other = alarms.set(loop, 11.0, partial(called.append, "other"))
    alarms.set(loop, 10.0, other.cancel)
    loop.advance(12.0)
    assert called == []


def test_an_alarm_that_fails_is_reported_and_the_others_are_called(loop: Any) -> None:
    alarms, called = Alarms(), list[str]()
    alarms.set(loop, 10.0, lambda: 1 / 0)
    alarms.set(loop, 10.0, partial(called.append, "other"))
    loop.advance(10.0)
    assert called == ["other"]
    assert [type(each["exception"]) for each in loop.reported] == [ZeroDivisionError]


async def test_a_time_limit_cancels_its_block_and_raises_timeout_error() -> None:
    with pytest.raises(TimeoutError), TimeLimit(Alarms(), 0.01):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def limited() -> None:
        with TimeLimit(Alarms(), 60):
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
