"""A raw server on a real socket that handles each connection with a test's script, and requests to send to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from linqbot.client.http.addresses import Origin
from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import Request, RequestHeaders
from linqbot.client.http.pool import Pool

Play: TypeAlias = Callable[["Peer"], Awaitable[None]]

LOOPS = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
]
"""For an `anyio_backend` fixture: what happens on sockets must happen on both event loops."""


class Peer:
    """The server's side of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[str, bytes]:
        """Return the next request: its head and its content, by its Content-Length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return head, await self.reader.readexactly(int(field(head, "content-length") or 0))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Raw:
    """The server. `heads` are the heads of the requests that `answering` responded to."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = 0
        self.peers: list[Peer] = []
        self.open = self.most_open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._play(peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def origin(self) -> Origin:
        return Origin("http", "127.0.0.1", self.port)


@asynccontextmanager
async def raw(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    server = Raw(play)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls, backlog=1024)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.end()


@asynccontextmanager
async def pooled(server: Raw, *, connect_timeout_s: float = 5.0, **options: Any) -> AsyncIterator[Pool]:
    pool = Pool(Connector(server.origin, connect_timeout_s=connect_timeout_s), **options)
    try:
        yield pool
    finally:
        await pool.aclose()


def get(server: Raw, target: str = "/", method: str = "GET", **options: Any) -> Request:
    return Request(method, server.origin, target, RequestHeaders({"Host": server.origin.authority}), **options)


def said(content: bytes = b"", status: str = "200 OK", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def always(*answers: bytes) -> Play:
    """Return a script that responds to the requests of a connection in turn, and repeats the last response."""

    async def play(peer: Peer) -> None:
        left = list(answers)
        while True:
            await peer.request()
            await peer.say(left.pop(0) if len(left) > 1 else left[0])

    return play


def once(answer: bytes) -> Play:
    """Return a script that responds to one request and closes the connection."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    return play


def field(head: str, name: str) -> str | None:
    """Return a header field of a request's head."""
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    return next((value.strip() for found, _, value in lines if found.lower() == name), None)
