"""Connections to one origin, kept between requests: the last one used goes first, and whoever waits longest is next.

Every connection there is, and every one being opened, holds one of `max_connections` places. A place belongs to the
request under way; between requests, to the connection that rests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from linqbot.client.http.connection import IDLE_S, Connection
from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import Request, Response, ServerDisconnectedError, TransportError

MAX_CONNECTIONS: Final = 256
"""Open connections to one origin; further requests wait for one within their own time limit."""

FAREWELL_S: Final = 5.0
"""Longest wait at the end for connections to be gone. They are ended, not asked, so it takes no time."""

_CLOSED = "This Client is closed. Make a new one, or close it later."


class Pool:
    """Sends requests to one origin over connections it keeps.

    Made anywhere; it belongs to the event loop of its first request.
    """

    errors: tuple[type[Exception], ...] = (TransportError,)

    def __init__(self, dialer: Connector, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._dialer = dialer
        self._free_places = max_connections
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[Connection, float] = {}  # until when each may be used; the longest idle first
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()  # None hands over a place to open one in
        self._open: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: Request) -> Response:
        """Send a request once, when there is a connection for it.

        Raises:
            ConnectFailed: there was none to be had, and nothing was sent.
            ServerDisconnectedError, MalformedResponse: there was no answer to be had.
            RuntimeError: the pool is closed, or belongs to another event loop.
        """
        self._check_usable()
        if request.needs_new_connection:
            connection = await self._take_new()
        else:
            connection = self._take_idle() or await self._take()
        try:
            return await connection.exchange(request, self._dialer.head(request))
        except ServerDisconnectedError as error:
            if error.was_kept:
                self._drop_idle()  # a server that restarts closes them all, and a repetition should not meet the next
            raise
        finally:
            self._put_back(connection)

    async def aclose(self) -> None:
        """End every connection. Requests under way fail, later ones raise RuntimeError."""
        self._is_closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(RuntimeError(_CLOSED))
        self._drop_idle()
        lost = [connection.lost for connection in self._open]
        for connection in tuple(self._open):
            connection.abort()
        if lost:
            await asyncio.wait(lost, timeout=FAREWELL_S)

    def _check_usable(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise RuntimeError("This Client was used in another event loop. Make one in each.")
            self._loop = loop
        if self._is_closed:
            raise RuntimeError(_CLOSED)

    def _take_idle(self) -> Connection | None:
        """The connection used last, if one rests and lives."""
        assert self._loop is not None
        while self._idle:
            connection, until = self._idle.popitem()
            if connection.is_open and self._loop.time() < until:
                return connection
            connection.abort()
            self._give_place()
        return None

    async def _take(self) -> Connection:
        """A connection, when there is a place for one."""
        connection = await self._place()
        if connection is not None and connection.is_open:
            return connection
        return await self._opened()

    async def _take_new(self) -> Connection:
        """A connection that was never used, in the place of a kept one if all places are taken."""
        if self._free_places == 0 and self._idle:
            self._end(next(iter(self._idle)))
        connection = await self._place()
        if connection is not None:
            connection.abort()
        return await self._opened()

    async def _place(self) -> Connection | None:
        """Take a place as soon as there is one: that of a kept connection, or an empty one."""
        assert self._loop is not None
        if self._free_places > 0:
            self._free_places -= 1
            return None
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # it came while we were leaving
            raise

    async def _opened(self) -> Connection:
        """A new connection, in a place we hold."""
        try:
            connection = await self._dialer.connect(self._forget)
        except BaseException:
            self._give_place()
            raise
        if connection.is_open:
            self._open.add(connection)
        if self._is_closed:
            connection.abort()
            raise RuntimeError(_CLOSED)
        return connection

    def _put_back(self, connection: Connection) -> None:
        if not connection.is_clean or not connection.is_open or connection.idle_s <= 0:
            connection.abort()
            self._give_place()
        else:
            self._pass_on(connection)

    def _pass_on(self, connection: Connection | None) -> None:
        """Give a connection, or an empty place, to whoever waits longest; else keep it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is None:
            self._free_places += 1
            return
        assert self._loop is not None
        self._idle[connection] = self._loop.time() + connection.idle_s
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_S, self._end_old)

    def _give_place(self) -> None:
        self._pass_on(None)

    def _forget(self, connection: Connection) -> None:
        """A connection was lost. In use, its place is given back by whoever uses it."""
        self._open.discard(connection)
        if self._idle.pop(connection, None) is not None:
            self._give_place()

    def _drop_idle(self) -> None:
        for connection in tuple(self._idle):
            self._end(connection)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _end_old(self) -> None:
        self._sweep = None
        assert self._loop is not None
        now = self._loop.time()
        for connection, until in tuple(self._idle.items()):
            if until <= now:
                self._end(connection)
        if self._idle:
            self._sweep = self._loop.call_later(IDLE_S, self._end_old)

    def _end(self, connection: Connection) -> None:
        del self._idle[connection]
        connection.abort()
        self._give_place()
