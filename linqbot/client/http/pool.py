"""A pool of connections to one origin.

The most recently used idle connection is used first. Requests that wait for a connection are served in their order.
Each connection that is open or being opened occupies one of `max_connections` slots. A slot belongs to the request that
uses the connection, or to the connection while it is idle.
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

_CLOSED = "This Client is closed. Create a new one, or close it later."


class Pool:
    """Sends requests to one origin over kept connections. It belongs to the event loop of its first request."""

    def __init__(self, connector: Connector, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._connector = connector
        self._free_slots = max_connections
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[Connection, float] = {}  # the time until which each may be used, least recently used first
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()  # a result of None hands over an empty slot
        self._open: set[Connection] = set()
        self._is_closed = False

    async def send(self, request: Request) -> Response:
        """Send a request once, as soon as a connection is available, with the errors of `Connection.exchange`.

        Raises RuntimeError if the pool is closed, or belongs to another event loop.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise RuntimeError("This Client was used in another event loop. Create one client per event loop.")
            self._loop = loop
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        connection = await (self._take_new() if request.needs_new_connection else self._take())
        try:
            head = request.head(self._connector.prefix, self._connector.more)
            return await connection.exchange(request, head)
        except ServerDisconnectedError as error:
            if error.was_kept:
                self._drop_idle()  # a server that restarts closes all of them, and a retry must not hit the next one
            raise
        finally:
            self._give(connection)

    async def aclose(self) -> None:
        """Close every connection. Requests in flight fail, later requests raise RuntimeError."""
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
            await asyncio.wait(lost, timeout=CLOSE_TIMEOUT_S)

    async def _take(self) -> Connection:
        """Return the most recently used idle connection that is usable; else wait for a slot, or open a connection."""
        assert self._loop is not None
        while self._idle:
            idle, until = self._idle.popitem()
            if idle.is_open and self._loop.time() < until and not idle.has_unread():
                return idle
            idle.abort()
            self._give(None)
        connection = await self._wait_for_slot()
        if connection is not None and connection.is_open:
            return connection
        return await self._opened()

    async def _take_new(self) -> Connection:
        """Open a new connection, in the slot of an idle connection if all slots are taken."""
        if self._free_slots == 0 and self._idle:
            self._end(next(iter(self._idle)))
        connection = await self._wait_for_slot()
        if connection is not None:
            connection.abort()
        return await self._opened()

    async def _wait_for_slot(self) -> Connection | None:
        assert self._loop is not None
        if self._free_slots > 0:
            self._free_slots -= 1
            return None
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())  # the slot arrived while the request was being cancelled
            raise

    async def _opened(self) -> Connection:
        try:
            connection = await self._connector.connect(self._forget)
        except BaseException:
            self._give(None)
            raise
        if connection.is_open:
            self._open.add(connection)
        if self._is_closed:
            connection.abort()
            raise RuntimeError(_CLOSED)
        return connection

    def _give(self, connection: Connection | None) -> None:
        """Give a connection or an empty slot to the request that has waited longest; else keep the connection idle.

        A connection that cannot be used again is closed, and its slot is empty.
        """
        if connection is not None and not (connection.is_clean and connection.is_open and connection.idle_s > 0):
            connection.abort()
            connection = None
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is None:
            self._free_slots += 1
            return
        assert self._loop is not None
        self._idle[connection] = self._loop.time() + connection.idle_s

    def _forget(self, connection: Connection) -> None:
        """Remove a lost connection. If it was in use, the request that uses it gives its slot back."""
        self._open.discard(connection)
        if self._idle.pop(connection, None) is not None:
            self._give(None)

    def _drop_idle(self) -> None:
        for connection in tuple(self._idle):
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        del self._idle[connection]
        connection.abort()
        self._give(None)
