"""The connections of the bot under test: its storage and its client report their work, and end when the bot is killed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Self

import httpx
from pydantic_core import from_json
from starlette.types import ASGIApp

from linqbot.errors import StateConflict
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import is_lane_of_receipts
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.state import BOT
from linqbot_dev.emulator.api import find_endpoint
from linqbot_dev.emulator.model.answers import ApiError
from linqbot_dev.testing.stage.bot_run import Activity, BotRun, WatchedClock, Who, outside_of_the_bot, turn

LATENCY_S: Final = 0.05
"""Emulated seconds that a call takes in a turn that has read a value of the whole bot. Without it, turns of several chats
would hardly overlap in a test, and a handler that tells before it records would look right."""

WRITES: Final = frozenset({
    "begin", "settle", "settle_receipt", "write_state", "schedule", "cancel", "fire", "start_broadcast",
    "order_broadcast", "join", "note_progress", "decide", "judge", "note_consent", "note_wrote",
    "change_holds", "change_troubles", "note_opening",
})  # fmt: skip
"""The methods with which a bot writes to its storage, without those that `WatchedStorage` defines."""


class StorageAround:
    """A storage around another one. It has all methods of a `Storage`: those that it does not define are those of `inner`."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def settled(self) -> Collection[str]:
        """The types of receipts that nothing wants as events. The app sets them, and `inner` decides by them."""
        return self._inner.settled

    @settled.setter
    def settled(self, types: Collection[str]) -> None:
        self._inner.settled = types

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)


class WatchedStorage(StorageAround):
    """The storage of one run of the bot: it reports the begin and the end of each turn.

    Args:
        stored: Called with what the end of each turn has stored.
        is_taken: Returns True if a handler takes deliveries of this type. Receipts and new chats that none takes have no
            points at which the bot is killed.
    """

    def __init__(
        self,
        inner: Storage,
        clock: WatchedClock,
        activity: Activity,
        run: BotRun,
        *,
        stored: Callable[[Commit], None],
        is_taken: Callable[[str], bool],
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._activity = activity
        self._run = run
        self._report_stored = stored
        self._is_taken = is_taken
        self._nothing_to_take = False
        self._uneventful: set[Who] = set()
        self._put: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        return partial(self._write, name, method) if name in WRITES else method

    async def is_idle(self) -> bool:
        """Return True if the worker waits and there is nothing that it could lease now."""
        times = await self.due_times()
        return self._nothing_to_take and not any(time <= self._clock.now() for time in times)

    async def due_times(self) -> list[float]:
        every = await self._inner.next_due(), await self._inner.next_timer()
        return [time for time in every if time is not None]

    async def put(self, delivery: Delivery) -> bool:
        # The server stamps deliveries with wall time, which signatures need. Everything else uses the emulated clock.
        stamped = replace(delivery, received_at=self._clock.now())
        # Of a copy of a delivery nothing is stored.
        is_point = self._is_point(delivery) and delivery.id not in self._put
        await self._run.reach("before storage.put" if is_point else None)
        stored = await self._run.result(self._inner.put(stamped))
        self._put.add(delivery.id)
        await self._run.reach("after storage.put" if is_point else None)
        return stored

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Lease at most one delivery, and count its turn as work."""
        # One delivery at a time: the worker next creates the task of the turn, which inherits the context variable.
        await self._run.reach(None)
        leases = await self._run.result(self._inner.take(min(limit, 1), lease_s=lease_s))
        turn.set(leases[0].token if leases else None)
        for lease in leases:
            self._activity.begin(lease.token)
            if self._is_point(lease.delivery):
                await self._run.reach("after storage.take")
            else:
                self._uneventful.add(lease.token)
        return leases

    async def load(self, scope: str) -> dict[str, bytes]:
        """Load values, and note a turn that reads what all chats share; see `LATENCY_S`."""
        if scope == BOT:
            self._activity.share()
        return await self._inner.load(scope)

    async def changed(self) -> None:
        self._nothing_to_take = True
        self._activity.notify()
        try:
            await self._inner.changed()
        finally:
            self._nothing_to_take = False

    async def finish(self, lease: Lease, commit: Commit) -> None:
        try:
            await self._write("finish", self._inner.finish, lease, commit)
            self._report_stored(commit)
        except StateConflict:
            # The turn has not ended: the worker finishes it again, so that it runs again.
            self._activity.begin(lease.token)
            raise
        finally:
            self._activity.end(lease.token)

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        """Store missed deliveries; a lease that is given back ends its work."""
        count: int = await self._write("put_in_order", self._inner.put_in_order, lane, missed, lease, keep=keep)
        if lease is not None and not keep:
            self._activity.end(lease.token)
        return count

    async def gather(self, lease: Lease, until: float, *, known: int) -> None:
        await self._write("gather", self._inner.gather, lease, until, known=known)
        self._activity.end(lease.token)

    async def gathering_until(self) -> list[float]:
        waiting = await self._inner.waiting(limit=1000)
        return [each.not_before for each in waiting if each.state == "gathering" and each.not_before is not None]

    async def _write(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if turn.get() in self._uneventful:
            await self._run.reach(None)
            return await self._run.result(method(*args, **kwargs))
        return await self._run.step(f"storage.{name}", method, *args, **kwargs)

    def _is_point(self, delivery: Delivery) -> bool:
        is_uneventful = is_lane_of_receipts(delivery.lane) or delivery.type == "chat.created"
        return not is_uneventful or self._is_taken(delivery.type)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request of the bot to Linq's API, as the emulator received it."""

    name: str  # the endpoint, such as `chats.messages.send`; empty if Linq's API has no such endpoint
    method: str
    path: str  # without the query, beginning with the version: `/v3/chats/…/messages`
    status: int | None  # the HTTP status; None when the connection broke without an answer
    body: Any = field(default=None, repr=False)  # decoded JSON; None when there was none
    answer: Any = field(default=None, repr=False)  # the same of the response

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class WatchedApi(httpx.AsyncBaseTransport):
    """A client's transport to the emulator: it calls the app in this process and records every call.

    Args:
        clock: The clock of the emulator, on which calls take `LATENCY_S`.
        called: Called with each finished call.
        run: The run of the bot that the client belongs to; None for a client of the test.
    """

    def __init__(
        self,
        app: ASGIApp,
        activity: Activity,
        clock: WatchedClock,
        called: Callable[[ApiCall], None],
        run: BotRun | None = None,
    ) -> None:
        self._inner = httpx.ASGITransport(app)
        self._clock = clock
        self._activity = activity
        self._called = called
        self._run = run

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        who = turn.get() or object()
        before = turn.set(who)
        self._activity.begin(who)
        try:
            if self._run is None:
                return await self._request(request)
            name = self._name_of(request)
            if name in ENDPOINTS and ENDPOINTS[name].safety == "hint":
                await self._run.reach(None)
                return await self._request(request)
            if self._activity.is_sharing(who):
                await self._clock.wait_until(self._clock.now() + LATENCY_S)
            if request.method == "GET":  # it changes nothing, so a kill before it is one after it
                response = await self._request(request)
                await self._run.reach(f"after {name or _path_of(request)}")
                return response
            return await self._run.step(name or _path_of(request), self._request, request)
        finally:
            self._activity.end(who)
            turn.reset(before)

    async def _request(self, request: httpx.Request) -> httpx.Response:
        body, status, content = await request.aread(), None, b""
        try:
            with outside_of_the_bot():
                response = await self._inner.handle_async_request(request)
                content = await response.aread()
            status = response.status_code
            return httpx.Response(status, headers=response.headers, content=content)
        finally:
            path, name = _path_of(request), self._name_of(request)
            self._called(ApiCall(name, request.method, path, status, _decoded(body), _decoded(content)))

    def _name_of(self, request: httpx.Request) -> str:
        endpoint, _ = find_endpoint(request.method, _path_of(request))
        return "" if isinstance(endpoint, ApiError) else endpoint.name


def _path_of(request: httpx.Request) -> str:
    return request.url.path.removeprefix("/api/partner")


def _decoded(content: bytes) -> Any:
    try:
        return from_json(content) if content else None
    except ValueError:
        return None
