"""A small HTTP server on a real socket that records requests byte for byte, and a client that calls it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from linqbot.client.client import Client

KEY = "lk_test_key"
CHAT = "550e8400-e29b-41d4-a716-446655440000"


class Waits:
    """A clock that does not wait but records the waits."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 1000.0

    async def wait_until(self, at: float) -> None:
        self.waited.append(at - 1000.0)


class Server:
    """A small HTTP server that records requests byte for byte and sends scripted responses."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.came = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0
                )
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                self.came.set()
                reply = self.answers.pop(0) if self.answers else plain(200, {"id": CHAT})
                if reply is None:
                    return
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def header(self, name: str, request: int = -1) -> str | None:
        lines = (line.partition(": ") for line in self.heads[request].split("\r\n"))
        return next((value for found, _, value in lines if found.lower() == name), None)


def plain(status: int, body: Any = None, *headers: str) -> bytes:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(raw)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


@asynccontextmanager
async def served(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()


def client_at(port: int, **options: Any) -> Client:
    return Client(KEY, base_url=f"http://127.0.0.1:{port}/api/partner", **{"clock": Waits(), **options})
