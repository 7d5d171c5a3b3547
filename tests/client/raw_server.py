"""A raw server on a real socket that handles each connection with a test's script, and requests to send to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import pytest
import trustme
from patience import PATIENCE_S

from linqbot.client.http.addresses import Origin
from linqbot.client.http.connection import Connection
from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import Request, RequestHeaders
from linqbot.client.http.pool import Pool

Play: TypeAlias = Callable[["Peer"], Awaitable[None]]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The event loop of the modules that import this: what happens on sockets must happen on both."""
    return "asyncio", {"use_uvloop": request.param}


class Peer:
    """The server's side of one connection. `ended` is set when its script is over, such as when the client closed."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.ended = asyncio.Event()

    async def request(self) -> tuple[str, bytes]:
        """Return the next request: its head and its content, by its Content-Length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return head, await self.reader.readexactly(int(field(head, "content-length") or 0))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Raw:
    """The server. A later script in `play` is for the connections that are opened from then on."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self._tasks: set[asyncio.Task[Any]] = set()
        self.scheme = "http"
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
            await self.play(peer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            peer.ended.set()
            writer.close()

    async def all_ended(self) -> None:
        """Wait until every connection has ended."""
        async with asyncio.timeout(PATIENCE_S):
            for peer in self.peers:
                await peer.ended.wait()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def origin(self) -> Origin:
        return Origin(self.scheme, "127.0.0.1", self.port)


RawT = TypeVar("RawT", bound=Raw)


@asynccontextmanager
async def running(server: RawT, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[RawT]:
    server.scheme = "http" if tls is None else "https"
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, ssl=tls, backlog=1024)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.end()


def raw(play: Play, tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[Raw]:
    return running(Raw(play), tls)


def certified(authority: trustme.CA, *names: str, **how: Any) -> ssl.SSLContext:
    """Return the TLS of a server with a certificate for these names; `how` it is issued may be said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **how).configure_cert(context)
    return context


class Recording(Connector):
    """A connector that keeps the connections that it opened."""

    def __init__(self, origin: Origin, opened: list[Connection]) -> None:
        super().__init__(origin, connect_timeout_s=5.0)
        self.opened = opened

    async def connect(self, on_lost: Callable[[Connection], None]) -> Connection:
        connection = await super().connect(on_lost)
        self.opened.append(connection)
        return connection


@asynccontextmanager
async def pooled(server: Raw, *, opened: list[Connection] | None = None, **options: Any) -> AsyncIterator[Pool]:
    """Create a pool, and close it at the end. The connections that it opens are added to `opened`."""
    connector = Connector(server.origin, connect_timeout_s=5.0) if opened is None else Recording(server.origin, opened)
    pool = Pool(connector, **options)
    try:
        yield pool
    finally:
        await pool.aclose()


def get(server: Raw, target: str = "/", method: str = "GET", **options: Any) -> Request:
    return Request(method, server.origin, target, RequestHeaders({"Host": server.origin.authority}), **options)


async def whole(server: Raw, pool: Pool, slots: int) -> None:
    """Assert that the pool sends `slots` requests at once and no more, so that no slot was lost or duplicated.

    The server closes each of the connections, so none is idle afterwards.
    """
    held = 0
    all_came, release = asyncio.Event(), asyncio.Event()

    async def hold(peer: Peer) -> None:
        nonlocal held
        head, _ = await peer.request()
        if "/held" in head:
            held += 1
            if held == slots:
                all_came.set()
            await release.wait()
        await peer.say(said(b"", "200 OK", "Connection: close"))

    before, server.play = server.play, hold
    requests = [get(server, "/held", needs_new_connection=True) for _ in range(slots + 1)]
    tasks = [asyncio.create_task(pool.send(request)) for request in requests]
    try:
        async with asyncio.timeout(PATIENCE_S):
            await all_came.wait()
            # One request more would be here before that of a pool which begins to connect only now.
            async with pooled(server) as later:
                await later.send(get(server, "/later"))
            assert held == slots
            release.set()
            assert {response.status for response in await asyncio.gather(*tasks)} == {200}
        assert held == slots + 1
    finally:
        server.play = before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def said(content: bytes = b"", status: str = "200 OK", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Nowhere(asyncio.Transport):
    """A transport that sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: object) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.is_aborted = True


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
