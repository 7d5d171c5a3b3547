"""The loop of a simulation: virtual time, and processes that end or stand still between two steps."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from linqbot_dev.simulation.loop import EPOCH, Life, Stuck, VirtualLoop


@contextmanager
def looping(seed: int = 1) -> Iterator[VirtualLoop]:
    loop = VirtualLoop(seed)
    loop.set_exception_handler(lambda *_: None)  # of tasks that are dropped with their process
    try:
        with loop.replacing_time():
            yield loop
    finally:
        loop.close()


def test_an_hour_passes_at_once_and_every_clock_shows_it() -> None:
    before = time.time()
    with looping() as loop:
        loop.run_until_complete(asyncio.sleep(3600.0))
        assert loop.now == pytest.approx(3600.0)
        assert time.time() == pytest.approx(EPOCH + 3600.0)
        assert time.monotonic() == pytest.approx(3600.0)
    assert before <= time.time() < before + 60.0


def test_random_bytes_are_those_of_the_seed() -> None:
    with looping(7):
        first = os.urandom(8), uuid.uuid4()
    with looping(7):
        assert (os.urandom(8), uuid.uuid4()) == first
    with looping(8):
        assert (os.urandom(8), uuid.uuid4()) != first


def test_a_loop_in_which_nothing_is_scheduled_says_so() -> None:
    with looping() as loop, pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())


def test_nothing_of_a_process_runs_after_its_end_not_even_a_finally_block() -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            done.append("begun")
            await asyncio.sleep(1.0)
            done.append("ended")
        finally:
            done.append("cleaned up")

    with looping() as loop:
        life = Life("p1", lambda: None)
        task = loop.create_task(work(), context=life.context())
        loop.run_until_complete(asyncio.sleep(0.5))
        life.end()
        loop.run_until_complete(asyncio.sleep(5.0))
        assert done == ["begun"]
        _forget(task)


def test_a_process_can_be_ended_right_before_any_of_its_steps() -> None:
    done: list[int] = []

    async def work() -> None:
        for number in range(10):
            done.append(number)
            await asyncio.sleep(0)

    with looping() as loop:
        steps = iter(range(100))
        life = Life("p1", lambda: life.end() if next(steps) == 4 else None)
        task = loop.create_task(work(), context=life.context())
        loop.run_until_complete(asyncio.sleep(1.0))
        assert done == [0, 1, 2, 3]
        _forget(task)


def test_a_suspended_process_goes_on_where_it_was_in_the_same_order() -> None:
    done: list[str] = []

    async def work(name: str, pause_s: float) -> None:
        for _ in range(2):
            await asyncio.sleep(pause_s)
            done.append(name)

    with looping() as loop:
        life = Life("p1", lambda: None)
        for name, pause_s in (("a", 1.0), ("b", 1.5)):
            loop.create_task(work(name, pause_s), context=life.context())
        loop.call_later(0.5, life.suspend)
        loop.run_until_complete(asyncio.sleep(10.0))
        assert done == []
        loop.call_soon(life.resume)
        loop.run_until_complete(asyncio.sleep(5.0))
        assert done == ["a", "b", "a", "b"]


def test_a_thread_does_its_work_in_one_step_and_answers_in_another_one() -> None:
    async def threaded(work: Callable[[], float]) -> float:
        return await asyncio.to_thread(work)

    def fail() -> float:
        raise ValueError("no")

    with looping() as loop:
        assert loop.run_until_complete(threaded(lambda: loop.now)) < loop.now
        with pytest.raises(ValueError, match="no"):
            loop.run_until_complete(threaded(fail))


def test_a_thread_waits_while_a_transaction_of_its_process_is_open() -> None:
    ran_at: list[float] = []

    async def threaded() -> None:
        await asyncio.to_thread(lambda: ran_at.append(loop.now))

    with looping() as loop:
        life = Life("p1", lambda: None)
        life.holds_file = lambda: loop.now < 3.0
        loop.run_until_complete(loop.create_task(threaded(), context=life.context()))
        assert ran_at[0] >= 3.0


def test_the_same_seed_has_the_same_steps_at_the_same_times() -> None:
    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(loop.drawn(0.1))

    traces = []
    for seed in (3, 3, 4):
        with looping(seed) as loop:
            loop.run_until_complete(work())
            traces.append(loop.trace.hexdigest())
    assert traces[0] == traces[1] != traces[2]


def _forget(task: asyncio.Task[Any]) -> None:
    """End a task that its loop will never end."""
    coroutine = task.get_coro()
    assert isinstance(coroutine, Coroutine)
    coroutine.close()
