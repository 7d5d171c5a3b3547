"""Load generators: send deliveries over keep-alive connections and count the answers.

`ClosedLoop` keeps a number of turns in flight and measures how many the server ends in a second. `Paced` sends at a fixed
rate, regardless of the server, and measures how long each ack takes. Both write prepared bytes to raw sockets, because a
full HTTP client would be slower than the server that it measures. Even so, this loader limits
the other frameworks: see `speed.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from fake_api import FakeApi
from signed import Deliveries, Delivery

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

LOST = 0
"""Used instead of a status: the connection ended without an answer."""


class Refused(RuntimeError):
    """A delivery was not answered with 200, so the measurement is invalid."""


class Connection(asyncio.Protocol):
    """A keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = b""
        self._answered: Callable[[int], None] | None = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to 127.0.0.1."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def is_closed(self) -> bool:
        """Return True once either side has closed the connection."""
        return self._transport.is_closing()

    def send(self, request: bytes, answered: Callable[[int], None]) -> None:
        """Send a request; `answered` is called with the status of its answer."""
        self._answered = answered
        self._transport.write(request)

    async def ask(self, request: bytes) -> int:
        """Send a request and wait for the status of its answer."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.send(request, answer.set_result)
        return await answer

    def close(self) -> None:
        """Close the connection. The callback of a request in flight is not called."""
        self._answered = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's transport has another class but the same methods

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = _LENGTH.search(received, 0, end)
        if length is None:
            raise Refused("The answer has no Content-Length, which this loader needs.")
        if len(received) < end + int(length[1]):
            return
        self._received = b""
        self._done(int(received[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._done(LOST)

    def _done(self, status: int) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status)


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a closed loop.

    Attributes:
        turns: Number of turns that ended within `seconds`.
    """

    turns: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Turns a second."""
        return self.turns / self.seconds


class ClosedLoop:
    """Keeps `in_flight` turns going: when one ends, the next begins on the same connection.

    Args:
        deliveries: They must cover more chats than `in_flight`: a chat has one turn at a time, so its reply identifies
            the turn.
        replies: The API where each reply must arrive; None when an ack ends a turn.
    """

    def __init__(self, port: int, deliveries: Deliveries, *, in_flight: int, replies: FakeApi | None = None) -> None:
        self._port = port
        self._deliveries = deliveries
        self._in_flight = in_flight
        self._replies = replies
        self._connections: dict[str, Connection] = {}
        self._owed: dict[str, int] = {}
        self._passed_over: deque[Delivery] = deque()
        self._done = 0
        self._wanted: int | None = None
        self._begun = 0
        self._ended: asyncio.Future[None]

    async def run(self, *, seconds: float | None = None, turns: int | None = None) -> Done:
        """Run for `seconds`, or until `turns` have ended; then wait for the turns in flight.

        Raises:
            Refused: a delivery was not answered 200.
            TimeoutError: a turn never ended.
        """
        self._ended = asyncio.get_running_loop().create_future()
        self._done, self._begun, self._wanted = 0, 0, turns
        if self._replies is not None:
            self._replies.on_reply = self._one_thing_done
        connections = await _connect(self._port, self._in_flight if turns is None else min(self._in_flight, turns))
        started = time.perf_counter()
        try:
            for connection in connections:
                self._next(connection)
            if seconds is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self._ended), seconds)
                done = Done(self._done, time.perf_counter() - started)
                self._wanted = self._begun
            await self._all_ended()
            return done if seconds is not None else Done(self._done, time.perf_counter() - started)
        finally:
            _close(connections)

    async def _all_ended(self) -> None:
        """Wait for the turns in flight, as long as some of them still end."""
        if not self._owed and not self._ended.done():
            self._ended.set_result(None)
        before = -1
        while not self._ended.done():
            if self._done == before:
                raise TimeoutError(f"{len(self._owed)} turns in flight did not end, after {self._done} that did.")
            before = self._done
            await asyncio.wait({self._ended}, timeout=300)
        self._ended.result()

    def _next(self, connection: Connection) -> None:
        if self._begun == self._wanted:
            if not self._owed and not self._ended.done():
                self._ended.set_result(None)
            return
        self._begun += 1
        delivery = self._in_free_chat()
        chat = delivery.chat
        self._connections[chat] = connection
        self._owed[chat] = 1 if self._replies is None else 2
        connection.send(delivery.request, partial(self._acked, chat))

    def _in_free_chat(self) -> Delivery:
        """Return the next delivery whose chat has no turn in flight. Deliveries that were skipped come first later."""
        for _ in range(len(self._passed_over)):
            delivery = self._passed_over.popleft()
            if delivery.chat not in self._owed:
                return delivery
            self._passed_over.append(delivery)
        while (delivery := next(self._deliveries)).chat in self._owed:
            self._passed_over.append(delivery)
        return delivery

    def _acked(self, chat: str, status: int) -> None:
        if status == 200:
            self._one_thing_done(chat)
        elif not self._ended.done():
            self._ended.set_exception(Refused(f"A delivery was answered {status or 'with a lost connection'}."))

    def _one_thing_done(self, chat: str) -> None:
        """Count the ack or the reply of a turn. The turn ends with both, in either order."""
        owed = self._owed.get(chat)
        if owed is None:
            if not self._ended.done():
                self._ended.set_exception(Refused("A reply arrived that belongs to no delivery."))
        elif owed > 1:
            self._owed[chat] = owed - 1
        else:
            del self._owed[chat]
            self._done += 1
            self._next(self._connections.pop(chat))


class Paced:
    """Sends `per_s` deliveries a second and measures how long each ack takes.

    The time of an ack starts when its delivery was due, so that waiting in front of a blocked server counts too.
    """

    def __init__(self, port: int, *, per_s: float, connections: int = 32) -> None:
        self._port = port
        self._every_s = 1 / per_s
        self._wanted = connections
        # First in, first out: the server closes a connection that is idle for five seconds.
        self._free: deque[Connection] = deque()
        self._late: deque[tuple[float, Delivery]] = deque()
        self._open = 0
        self.acks_s: list[float] = []
        self.refused = 0

    async def run(self, deliveries: Iterable[Delivery], *, seconds: float) -> None:
        """Send for `seconds`, then wait for the last acks. Their times, in seconds, are in `acks_s`."""
        everyone = await _connect(self._port, self._wanted)
        self._free = deque(everyone)
        self._open = 0
        started = time.perf_counter()
        source = iter(deliveries)
        try:
            for number in itertools.count(1):
                self._send(time.perf_counter(), next(source))
                pause_s = started + number * self._every_s - time.perf_counter()
                if time.perf_counter() - started >= seconds:
                    break
                await asyncio.sleep(max(pause_s, 0))
            async with asyncio.timeout(60):
                while self._open or self._late:  # noqa: ASYNC110 - polling every 10 ms costs less than an event
                    await asyncio.sleep(0.01)
        finally:
            _close(everyone)

    def _send(self, due: float, delivery: Delivery) -> None:
        if not self._free:
            self._late.append((due, delivery))
            return
        connection = self._free.popleft()
        self._open += 1
        connection.send(delivery.request, partial(self._acked, connection, due))

    def _acked(self, connection: Connection, due: float, status: int) -> None:
        self._open -= 1
        self.acks_s.append(time.perf_counter() - due)
        self.refused += status != 200
        if connection.is_closed:
            return
        self._free.append(connection)
        if self._late:
            self._send(*self._late.popleft())


async def _connect(port: int, count: int) -> list[Connection]:
    return [await Connection.open(port) for _ in range(count)]


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
