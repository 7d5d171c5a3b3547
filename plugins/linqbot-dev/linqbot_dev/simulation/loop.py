"""An event loop in virtual time, for several simulated processes at once.

Steps run in asyncio's own order. All that is outside of the loop (the network, a disk, a thread, a database) answers after a time
that the seed draws, so a seed has one order of steps. Nothing waits: when no step is ready, the clock moves to the next timer.

A step belongs to the process in whose context it was called (`Life`). After the end of a process no step runs any more, not even
a `finally` block: that is `kill -9`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Final, TypeVarTuple
from unittest import mock

from linqbot.clock import SystemClock

Ts = TypeVarTuple("Ts")

EPOCH: Final = 1_790_000_000.0
"""The wall time at which each schedule begins, in Unix seconds."""

MEAN_THREAD_S: Final = 0.0005
MEAN_WAIT_FOR_FILE_S: Final = 0.002


class Life:
    """A process, from its start to its end.

    Args:
        name: The name of the process, for stories.
        on_step: Called before each of its steps. It may end the process: then this step does not run.
    Attributes:
        is_over: True from its end on.
        holds_file: Returns True while a transaction of the process is open, for whose end a thread of it would wait.
    """

    def __init__(self, name: str, on_step: Callable[[], None]) -> None:
        self.name = name
        self.is_over = False
        self.on_step = on_step
        self.holds_file: Callable[[], bool] = lambda: False
        # What is left of the process. If its coroutines were collected, their `finally` blocks would run.
        self._left: list[object] = []
        self._held: list[tuple[Context, Callable[..., object], tuple[object, ...]]] | None = None

    @property
    def is_suspended(self) -> bool:
        return self._held is not None

    def end(self) -> None:
        self.is_over = True

    def leave(self, what: object) -> None:
        self._left.append(what)

    def suspend(self) -> None:
        """Run no step until `resume`, as after SIGSTOP. The time goes on."""
        self._held = self._held or []

    def hold(self, context: Context, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        """Keep a step for later."""
        assert self._held is not None
        self._held.append((context, callback, args))

    def resume(self) -> None:
        """Run the steps that were kept, in their order."""
        held, self._held = self._held or [], None
        for context, callback, args in held:
            asyncio.get_running_loop().call_soon(callback, *args, context=context)

    async def go_on(self) -> None:
        """Return at once, or after a suspension; never if the process is over."""
        if self.is_over:
            await asyncio.get_running_loop().create_future()
        if self.is_suspended:
            await asyncio.sleep(0)

    def context(self) -> Context:
        """Return a context in which all code belongs to this process."""
        context = Context()
        context.run(_life.set, self)
        return context


_life: ContextVar[Life | None] = ContextVar("linqbot_simulated_life", default=None)


def life() -> Life | None:
    """Return the process that the running code belongs to; None for the world around the processes."""
    return _life.get()


class Stuck(Exception):
    """Nothing is scheduled any more, and the schedule has not ended."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one schedule.

    Args:
        seed: Draws the times of what is outside of the loop, and the random bytes of all code in the loop.
    Attributes:
        now: Virtual seconds since the begin of the schedule.
        steps: The number of steps so far.
        trace: The digest of all steps with their times; two runs of a seed have the same one.
        connect_unix: Connects to the server that has a socket at a path; see `postgres.py`.
    """

    connect_unix: Callable[[Callable[[], asyncio.BaseProtocol], str], tuple[asyncio.Transport, asyncio.BaseProtocol]]

    def __init__(self, seed: int) -> None:
        super().__init__(_Selector(self))
        self.now = 0.0
        self.steps = 0
        self.failure: Exception | None = None
        self.trace = hashlib.sha256()
        self._rng = random.Random(f"times {seed}")
        self._bytes = random.Random(f"bytes {seed}")

    def time(self) -> float:
        return self.now

    def wall_time(self) -> float:
        return EPOCH + self.now

    def drawn(self, mean_s: float) -> float:
        """Return a random duration."""
        return self._rng.expovariate(1 / mean_s)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        return super().call_soon(self._step, context, callback, args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        return super().call_at(when, self._step, context, callback, args, context=context)

    def _step(self, context: Context, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        of = context.get(_life)
        if of is not None:
            if not of.is_over and not of.is_suspended:
                of.on_step()
            if of.is_over:
                of.leave((callback, args))
                return
            if of.is_suspended:
                of.hold(context, callback, args)
                return
        self.steps += 1
        self.trace.update(f"{self.now:.9f} {of.name if of else ''} {_name(callback)}\n".encode())
        callback(*args)

    def run_in_executor(  # type: ignore[override]  # as asyncio documents it
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run the work of a thread in one step later, and give its result in another one."""
        done: asyncio.Future[Any] = self.create_future()
        of = life()

        def run() -> None:
            if of is not None and of.holds_file():
                # In the thread it would wait for a transaction whose COMMIT is a later step of this loop.
                self.call_later(self.drawn(MEAN_WAIT_FOR_FILE_S), run)
                return
            self.end_later(done, partial(func, *args), MEAN_THREAD_S)

        self.call_later(self.drawn(MEAN_THREAD_S), run)
        return done

    def end_later(self, done: asyncio.Future[Any], work: Callable[[], Any], mean_s: float) -> None:
        """Do some work in this step, and give a future its result or its error in a later one."""
        try:
            end = partial(done.set_result, work())
        except Exception as error:  # noqa: BLE001 - the caller must get any error
            end = partial(done.set_exception, error)
        self.call_later(self.drawn(mean_s), _end_with, done, end)

    async def create_unix_connection(  # type: ignore[override]  # of its arguments, those that are used
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], path: str
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to a server without the selector, which waits for no socket."""
        return self.connect_unix(protocol_factory, path)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """End the whole schedule with an error of the block, which is one of the simulation: no process may handle it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the selector raises it
            self.failure = error

    @contextmanager
    def replacing_time(self) -> Iterator[None]:
        """Let all code have this loop's time and its random bytes while the block runs."""
        urandom = self._bytes.randbytes
        state = random.getstate()
        with (
            mock.patch.multiple(
                time,
                time=self.wall_time,
                monotonic=self.time,
                perf_counter=self.time,
                time_ns=lambda: int(self.wall_time() * 1e9),
            ),
            # It holds the functions that it found when it was imported.
            mock.patch.multiple(SystemClock, now=staticmethod(self.wall_time), monotonic=staticmethod(self.time)),
            mock.patch.object(os, "urandom", urandom),
            mock.patch.object(random, "_urandom", urandom),
        ):
            random.seed(self._bytes.random())
            try:
                yield
            finally:
                random.setstate(state)


def _end_with(done: asyncio.Future[Any], end: Callable[[], object]) -> None:
    """Give a future its end, unless its caller was cancelled."""
    if not done.done():
        end()


class _Selector(selectors.DefaultSelector):
    """Moves the clock of its loop instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._loop.failure is not None:
            raise self._loop.failure
        if timeout is None:
            raise Stuck("Nothing is scheduled any more.")
        if timeout > 0:
            # A sum of floats may fall short of the timer by the last bit.
            self._loop.now += timeout + 1e-9
        return []


def _name(callback: Callable[..., object]) -> str:
    of = getattr(callback, "__self__", None)
    if isinstance(of, asyncio.Task):
        return getattr(of.get_coro(), "__qualname__", "task")
    return getattr(callback, "__qualname__", type(callback).__name__)
