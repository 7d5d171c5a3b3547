"""A pool of connections to one origin.

At most `max_connections` requests are under way. Further ones wait, and are served in their order. A request uses the idle
connection that was used last, and opens one only if none is idle, so there are never more connections than that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from linqbot.client.http.connection import Connection
from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import Request, Response, ServerDisconnectedError

MAX_CONNECTIONS: Final = 256
"""Most open connections to one origin. Further requests wait for a connection within their own time limit."""

CLOSE_TIMEOUT_S: Final = 5.0
"""Longest wait for connections to be closed. They are aborted, not closed gracefully, so this takes almost no time."""

CLOSED: Final = "This Client is closed. Create a new one, or close it later."


class Pool:
    """Sends requests to one origin over kept connections. It belongs to the event loop of its first request."""

    def __init__(self, connector: Connector, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._connector = connector
        self._max_connections = max_connections
        self._under_way = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[Connection, float] = {}  # the time until which each may be used, least recently used first
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open: dict[Connection, None] = {}  # in the order of their making
        self._is_closed = False

    async def send(self, request: Request) -> Response:
        """Send a request once, as soon as fewer than `max_connections` are under way, with the errors of `Connection.exchange`.

        Raises RuntimeError if the pool is closed, or belongs to another event loop.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise RuntimeError("This Client was used in another event loop. Create one client per event loop.")
            self._loop = loop
        if self._is_closed:
            raise RuntimeError(CLOSED)
        if self._under_way < self._max_connections:
            self._under_way += 1
        else:
            await self._wait(loop.create_future())
        connection = None
        try:
            if not request.needs_new_connection:
                connection = self._usable(loop.time())
            connection = connection or await self._opened()
            head = request.head(self._connector.prefix, self._connector.more)
            return await connection.exchange(request, head)
        except ServerDisconnectedError as error:
            if error.was_kept:
                self._drop_idle()  # a server that restarts closes all of them, and a retry must not hit the next one
            raise
        finally:
            self._end(connection, loop.time())

    async def aclose(self) -> None:
        """Close every connection. Requests in flight fail, later requests raise RuntimeError."""
        self._is_closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(RuntimeError(CLOSED))
        lost = [connection.lost for connection in self._open]
        for connection in tuple(self._open):
            connection.abort()
        if lost:
            await asyncio.wait(lost, timeout=CLOSE_TIMEOUT_S)

    async def _wait(self, waiter: asyncio.Future[None]) -> None:
        """Wait until a request that is under way has ended, and take its place."""
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._end(None)  # the place became free while the request was being cancelled
            raise

    def _usable(self, now: float) -> Connection | None:
        """Return the most recently used idle connection that can be used; None if there is none."""
        while self._idle:
            connection, until = self._idle.popitem()
            if connection.is_open and now < until and not connection.has_unread():
                return connection
            connection.abort()
        return None

    async def _opened(self) -> Connection:
        if self._under_way + len(self._idle) > self._max_connections:
            # The request needs a new connection although some are idle.
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.abort()
        connection = await self._connector.connect(self._forget)
        if connection.is_open:
            self._open[connection] = None
        if self._is_closed:
            connection.abort()
            raise RuntimeError(CLOSED)
        return connection

    def _end(self, connection: Connection | None, now: float = 0.0) -> None:
        """Keep the connection of a request that has ended, if it can be used again, and let the next request go on."""
        if connection is not None:
            if connection.is_clean and connection.is_open and connection.idle_s > 0:
                self._idle[connection] = now + connection.idle_s
            else:
                connection.abort()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._under_way -= 1

    def _forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._idle.pop(connection, None)

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
