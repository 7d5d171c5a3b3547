"""Counts the work between the phone and the bot, so that a test knows when nothing more will happen.

A test must learn this without sleeping and without polling. So the bot's three connections to the world, its storage,
its clock and its client, report to `Activity` when work begins and ends. Work is identified by its turn: a context
variable that is set when the worker leases a delivery, and that every task of the turn inherits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import httpx
from pydantic_core import from_json
from starlette.types import ASGIApp

from linqbot.clock import MovableClock
from linqbot.emulator.api import EndpointRouter
from linqbot.emulator.model.answers import ApiError
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Finish, Lease
from linqbot.storage.memory import MemoryStorage

Who: TypeAlias = object
"""The identity of one piece of work: a lease's token for a turn, else any object."""

turn: ContextVar[Who | None] = ContextVar("linqbot_turn", default=None)
"""The work that the running code belongs to; None for code that runs all the time, such as the worker itself."""


class Activity:
    """Counts the work in progress, and wakes waiting tests when work begins to wait or ends."""

    def __init__(self) -> None:
        self._at_work: Counter[Who] = Counter()
        self._waits: list[tuple[float, Who | None]] = []
        self._changed = asyncio.Event()

    def begin(self, who: Who) -> None:
        """Count one more piece of work of `who`."""
        self._at_work[who] += 1

    def end(self, who: Who) -> None:
        """Count one piece of work of `who` less, and wake the waiting test."""
        self._at_work[who] -= 1
        if not self._at_work[who]:
            del self._at_work[who]
        self.notify()

    def notify(self) -> None:
        """Wake the test that waits for a change."""
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

    def clear(self) -> None:
        """Forget the changes so far. The caller looks at the state after this call, so it misses none."""
        self._changed.clear()

    async def changed(self) -> None:
        """Wait for a change since the last `clear`."""
        await self._changed.wait()


class WatchedClock(MovableClock):
    """The one clock of bot and emulator. It stands still until the test moves it.

    Args:
        start: Unix seconds; None is the present time.
    """

    def __init__(self, activity: Activity, start: float | None = None) -> None:
        super().__init__(start, frozen=True)
        self._activity = activity

    async def wait_until(self, at: float) -> None:
        """Wait for a time, in Unix seconds, and report the wait."""
        if at > self.now():
            with self._activity.waiting(at):
                await super().wait_until(at)


class WatchedStorage(MemoryStorage):
    """A storage in memory that reports the begin and the end of each turn.

    Args:
        ended: Called with the lease and the writes of each turn that ended.
    """

    def __init__(self, clock: WatchedClock, activity: Activity, ended: Callable[[Lease, Finish], None]) -> None:
        super().__init__(clock=clock)
        self._time = clock
        self._activity = activity
        self._report_ended = ended
        self._nothing_to_take = False

    async def is_idle(self) -> bool:
        """Return True if the worker waits and there is nothing that it could lease now."""
        times = [time for time in (await self.next_due(), await self.next_timer()) if time is not None]
        is_due = any(time <= self._time.now() for time in times)
        return self._nothing_to_take and not self._changed.is_set() and not is_due

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery with the emulated time of receipt."""
        # The server stamps deliveries with wall time, which signatures need. Everything else uses the emulated clock.
        return await super().put(replace(delivery, received_at=self._time.now()))

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Lease at most one delivery, and count its turn as work."""
        # One delivery at a time: the worker next creates the task of the turn, which inherits the context variable.
        leases = await super().take(min(limit, 1), lease_s=lease_s)
        turn.set(leases[0].token if leases else None)
        for lease in leases:
            self._activity.begin(lease.token)
        return leases

    async def changed(self) -> None:
        """Report that the worker waits, and wait for a change of the storage."""
        self._nothing_to_take = True
        self._activity.notify()
        try:
            await super().changed()
        finally:
            self._nothing_to_take = False

    async def finish(self, lease: Lease, finish: Finish) -> None:
        """Finish a lease, and report the end of its turn."""
        try:
            await super().finish(lease, finish)
            self._report_ended(lease, finish)
        finally:
            self._activity.end(lease.token)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request of the bot to Linq's API, as the emulator received it.

    Attributes:
        name: The endpoint, such as `chats.messages.send`; empty if Linq's API has no such endpoint.
        path: Without the query, beginning with the version: `/v3/chats/…/messages`.
        status: The HTTP status; None when the connection broke without an answer.
        body, answer: Decoded JSON; None when there was none.
    """

    name: str
    method: str
    path: str
    status: int | None
    body: Any = field(default=None, repr=False)
    answer: Any = field(default=None, repr=False)

    @property
    def is_accepted(self) -> bool:
        """True if Linq answered with a 2xx status."""
        return self.status is not None and 200 <= self.status < 300


class WatchedApi(httpx.AsyncBaseTransport):
    """The client's transport to the emulator: it calls the app in this process and records every call.

    Args:
        called: Called with each finished call.
    """

    def __init__(self, app: ASGIApp, activity: Activity, called: Callable[[ApiCall], None]) -> None:
        self._inner = httpx.ASGITransport(app)
        self._activity = activity
        self._called = called
        self._endpoints = EndpointRouter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the app, and count it as work until the answer has come."""
        who = turn.get() or object()
        before = turn.set(who)
        self._activity.begin(who)
        body, status, content = await request.aread(), None, b""
        try:
            response = await self._inner.handle_async_request(request)
            content = await response.aread()
            status = response.status_code
            return httpx.Response(status, headers=response.headers, content=content)
        finally:
            self._called(self._call(request, status, body, content))
            self._activity.end(who)
            turn.reset(before)

    def _call(self, request: httpx.Request, status: int | None, body: bytes, content: bytes) -> ApiCall:
        path = request.url.path.removeprefix("/api/partner")
        try:
            name = self._endpoints.find(request.method, path)[0].name
        except ApiError:
            name = ""
        return ApiCall(name, request.method, path, status, _decoded(body), _decoded(content))


def _decoded(content: bytes) -> Any:
    try:
        return from_json(content) if content else None
    except ValueError:
        return None
