"""A server on a real socket and a fake one, which record requests and send scripted answers, and clients that call them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
from client.raw_server import Peer, Raw, field, running, said

from linqbot.client.client import Client

KEY = "lk_test_key"
CHAT = "550e8400-e29b-41d4-a716-446655440000"
SENT = {"chat_id": CHAT, "message": {"id": CHAT}}


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


class Server(Raw):
    """Records requests byte for byte and sends scripted answers; None closes the connection."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.answers: list[bytes | None] = []
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def _answer(self, peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            self.heads.append(head)
            self.bodies.append(body)
            answer = self.answers.pop(0) if self.answers else plain(200, {"id": CHAT})
            if answer is None:
                return
            await peer.say(answer)

    def header(self, name: str, request: int = -1) -> str | None:
        return field(self.heads[request], name)


def plain(status: int, body: Any = None, *headers: str) -> bytes:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return said(raw, f"{status} Some", *headers)


def served(tls: ssl.SSLContext | None = None, port: int = 0) -> AbstractAsyncContextManager[Server]:
    return running(Server(), tls, port)


def client_at(port: int, **options: Any) -> Client:
    return Client(KEY, base_url=f"http://127.0.0.1:{port}/api/partner", **{"clock": Waits(), **options})


class Script:
    """A fake Linq. It records requests and takes a step for each: an answer, or an error. The last step is repeated."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


def answer(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return httpx.Response(status, content=body, headers=named)
    return httpx.Response(status, headers=named) if body is None else httpx.Response(status, json=body, headers=named)


def client_over(linq: Callable[[httpx.Request], Any], **options: Any) -> Client:
    return Client(KEY, transport=httpx.MockTransport(linq), **{"clock": Waits(), **options})
