"""One run of the bot, as one process would run it: it can be stopped, or killed at any point and never goes on.

A test cannot kill a process in its own process. `BotRun.kill` comes as near as possible: from one moment on, nothing
that the bot's code does reaches the storage or Linq, and the storage begins no transaction for the operations that it
has queued. A transaction that has begun is committed or not. Then every task of the run is cancelled. The code that a
cancellation starts, such as a `finally` block, gets the same cancellation at its next call. Other than the storage,
variables of modules, the Bot itself and its plugins survive the kill.

`Activity` counts the work between the phone and the bot, so that a test knows when nothing more will happen, without
sleeping or polling. The bot's storage, clock and client report when work begins and ends. Work is identified by its
turn: a context variable that is set when the worker leases a delivery, and that every task of the turn inherits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from itertools import pairwise
from typing import Any, Final, NoReturn, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import httpx
from starlette.applications import Starlette

from linqbot.branch import has_inside
from linqbot.clock import MovableClock
from linqbot.server import loop_watch
from linqbot.server.app import running
from linqbot.storage.op_queue import WRITER

T = TypeVar("T")
P = ParamSpec("P")

_PASSES: Final = 50
"""Passes of the event loop until a stopped worker has cancelled its turns. More than it needs do no harm."""
_ROUNDS, _ROUND_S = 100, 0.01
"""How often tasks are cancelled that ignore their cancellation, and the real seconds that they have to end each time."""

_run: ContextVar[BotRun | None] = ContextVar("linqbot_bot_run", default=None)
"""The run that the running code belongs to. Every task that this code starts inherits it."""


class CrashPoints:
    """The points of a run at which the bot can be killed. It is killed at the one with the number `at`; None only counts."""

    def __init__(self, at: int | None = None) -> None:
        self._at = at
        self.passed: list[str] = []
        self.killed: str | None = None  # the point at which the bot was killed; None if it was not killed yet

    def is_end(self, point: str) -> bool:
        """Return True if the bot must be killed at this point, which it has just reached."""
        is_here = len(self.passed) == self._at
        self.passed.append(point)
        if is_here:
            self.killed = point
        return is_here

    def numbers(self) -> list[int]:
        """Return the numbers of the passed points, without those after which nothing happens until the next one."""
        pairs = pairwise([*self.passed, ""])
        return [number for number, (point, following) in enumerate(pairs) if not _is_same(point, following)]


def _is_same(point: str, following: str) -> bool:
    """Return True if none of a handler's code runs between two points, and nothing is written."""
    if not following.startswith("before "):
        return False
    # The entry of a call is written right before the call. That of a step is followed by the step's own code.
    is_of_call = point == "after storage.begin" and not following.startswith("before storage.")
    return is_of_call or point == "after storage.finish"


class BotRun:
    """One run of the bot's app. Its storage and its client pass each call through `step` or `reach`.

    `crash_points` decides where the bot is killed; `crashed` is called when it gets there, and then calls `kill`.
    """

    def __init__(self, crash_points: CrashPoints, crashed: Callable[[], None]) -> None:
        self._crash_points = crash_points
        self._crashed = crashed
        self._tasks: WeakKeyDictionary[asyncio.Future[Any], None] = WeakKeyDictionary()  # in the order of their making
        self._stopping = asyncio.Event()
        self._dead: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._cancelled = asyncio.Event()
        self._lifespan: asyncio.Future[None] | None = None
        self._app: httpx.ASGITransport | None = None

    @property
    def is_dead(self) -> bool:
        return self._dead.done()

    # Start, stop, kill

    async def start(self, app: Starlette) -> None:
        """Start the app, and return when it has started or was killed. Its errors are raised here."""
        loop = asyncio.get_running_loop()
        # If code of others has wrapped our factory, it is wrapped again, and notes each task twice, which is harmless.
        if not has_inside(factory := loop.get_task_factory(), _RunFactory):
            loop.set_task_factory(_RunFactory(factory))
        started: asyncio.Future[None] = loop.create_future()
        self._app = httpx.ASGITransport(app)
        self._lifespan = self.spawn(self._live(app, started))
        try:
            await asyncio.wait({self._lifespan, started, self._dead}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self.kill()
            raise
        if self._lifespan.done() and not self.is_dead:
            self._lifespan.result()

    async def stop(self) -> None:
        """Stop the app as SIGTERM does. After a kill this does nothing."""
        if self._lifespan is not None and not self.is_dead:
            self._stopping.set()
            await self._lifespan

    async def kill(self) -> None:
        """End the run at once: nothing that it does from now on reaches the storage or Linq."""
        self._die()
        if self._lifespan is None:
            return
        self._lifespan.cancel()
        for _ in range(_PASSES):
            await asyncio.sleep(0)
        self._cancelled.set()
        await asyncio.wait({self._lifespan})
        for _ in range(_ROUNDS):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_ROUND_S)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                # Asked for, so that asyncio does not report it: a killed process reports nothing.
                task.exception()

    def _die(self) -> None:
        """From now on nothing passes `reach`, and the storage begins no transaction for what it has queued."""
        if self.is_dead:
            return
        self._dead.set_result(None)
        for task in self._tasks:
            if isinstance(task, asyncio.Task) and task.get_name() == WRITER:
                task.cancel()

    async def _live(self, app: Starlette, started: asyncio.Future[None]) -> None:
        with loop_watch.watching(loop_watch.BLOCKED_S, handlers_only=True):
            async with running(app):
                started.set_result(None)
                await self._stopping.wait()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        before = _run.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            _run.reset(before)

    def note_task(self, task: asyncio.Future[Any]) -> None:
        self._tasks[task] = None

    # The connections of the bot

    async def handle(self, request: httpx.Request) -> httpx.Response:
        if self.is_dead or self._app is None:
            raise httpx.ConnectError("The bot does not run.", request=request)
        answer = self.spawn(self._app.handle_async_request(request))
        await asyncio.wait({answer, self._dead}, return_when=asyncio.FIRST_COMPLETED)
        if self.is_dead:
            raise httpx.ConnectError("The bot was killed.", request=request)
        return answer.result()

    async def step(self, name: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call that changes something outside of the process. The bot can be killed before it and after it."""
        await self.reach(f"before {name}")
        result = await self.result(call(*args, **kwargs))
        await self.reach(f"after {name}")
        return result

    async def result(self, call: Awaitable[T]) -> T:
        """Return the result of a call. Its error is not raised in a bot that is dead: the kill may be the cause."""
        try:
            return await call
        except Exception:
            await self.reach(None)
            raise

    async def reach(self, point: str | None) -> None:
        """Go on, unless the bot is dead or is killed here. None is a point at which it is not killed."""
        if not self.is_dead and point is not None and self._crash_points.is_end(point):
            self._die()
            self._crashed()
        if self.is_dead:
            await self._stop_here()

    async def _stop_here(self) -> NoReturn:
        await self._cancelled.wait()
        # For code that catches every cancellation in a loop: it must not block the event loop.
        await asyncio.sleep(0)
        raise asyncio.CancelledError("The bot was killed.")


@contextmanager
def outside_of_the_bot() -> Iterator[None]:
    """Run code that does not belong to the bot, although the bot has called it: its tasks survive a kill of the bot."""
    before = _run.set(None)
    try:
        yield
    finally:
        _run.reset(before)


class _RunFactory:
    """Makes tasks by the factory that the loop has had, and notes each task of a run."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], /, **how: Any
    ) -> asyncio.Future[T]:
        task: asyncio.Future[T] = self.inner(loop, coro, **how) if self.inner else asyncio.Task(coro, loop=loop, **how)
        context: Context | None = how.get("context")
        if (run := _run.get() if context is None else context.get(_run)) is not None:
            run.note_task(task)
        return task


Who: TypeAlias = object
"""The identity of one piece of work: a lease's token for a turn, else any object."""

turn: ContextVar[Who | None] = ContextVar("linqbot_turn", default=None)
"""The work that the running code belongs to; None for code that runs all the time, such as the worker itself."""


class Activity:
    """Counts the work in progress, and wakes waiting tests when work begins to wait or ends."""

    def __init__(self) -> None:
        self._at_work: Counter[Who] = Counter()
        self._sharing: set[Who | None] = set()
        self._waits: list[tuple[float, Who | None]] = []
        self._changed = asyncio.Event()

    def begin(self, who: Who) -> None:
        self._at_work[who] += 1

    def end(self, who: Who) -> None:
        """Count one piece of work of `who` less, and wake the waiting test."""
        self._at_work[who] -= 1
        if self._at_work[who] <= 0:
            del self._at_work[who]
            self._sharing.discard(who)
        self.notify()

    def share(self) -> None:
        """Note that the running turn has read a value that all chats share."""
        self._sharing.add(turn.get())

    def is_sharing(self, who: Who) -> bool:
        return who in self._sharing

    def notify(self) -> None:
        self._changed.set()

    @contextmanager
    def waiting(self, until: float) -> Iterator[None]:
        """Record that the code inside waits for a time, in Unix seconds."""
        wait = (until, turn.get())
        self._waits.append(wait)
        self.notify()
        try:
            yield
        finally:
            self._waits.remove(wait)

    def is_still(self, now: float) -> bool:
        """Return True if all work in progress waits for a time that has not come."""
        waiting = {who for until, who in self._waits if until > now}
        return all(who in waiting for who in self._at_work)

    def times(self, *, of_work: bool) -> list[float]:
        """Return the times that are waited for; `of_work` leaves out code that belongs to no turn."""
        return [until for until, who in self._waits if who is not None or not of_work]

    def forget_work(self) -> None:
        """Count no work any more: the bot was killed, and what it did has ended without a report."""
        self._at_work.clear()
        self._sharing.clear()
        self.notify()

    def clear(self) -> None:
        """Forget the changes so far. The caller looks at the state after this call, so it misses none."""
        self._changed.clear()

    async def changed(self) -> None:
        """Wait for a change since the last `clear`."""
        await self._changed.wait()


class WatchedClock(MovableClock):
    """The one clock of bot and emulator. It stands still until the test moves it."""

    def __init__(self, activity: Activity, start: float | None = None) -> None:
        super().__init__(start, frozen=True)
        self._activity = activity

    async def wait_until(self, at: float) -> None:
        if at > self.now():
            with self._activity.waiting(at):
                await super().wait_until(at)
