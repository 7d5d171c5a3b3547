"""A fake API for replies, which accepts every call at once, as cheaply as Python can.

It answers the few calls that an echo bot makes to Linq's API and to Slack's, and reports the chat of each reply. It does
not behave like Linq: the emulator does, but the emulator would be the bottleneck of a benchmark.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LINQ_SEND = re.compile(rb"POST /\S*/v3/chats/([^/ ]+)/messages ")
_LINQ_READ = re.compile(rb"GET /\S*/v3/chats/")
_SLACK_CHANNEL = re.compile(rb'"channel": ?"(\w+)"')


class FakeApi:
    """A server on a port of 127.0.0.1, which runs while the context is entered.

    Args:
        delay_s: Seconds that each answer takes.

    Attributes:
        calls: Number of calls of each kind: `send`, `auth`, `hint`.
        on_reply: Called with the chat of each message that arrives, before the message is answered.
    """

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.port = 0
        self.calls: Counter[str] = Counter()
        self.on_reply: Callable[[str], None] = lambda _: None
        self._numbers = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, self._open), "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for transport in list(self._open):
            transport.abort()
        await self._server.wait_closed()

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Count a request and return its answer."""
        if sent := _LINQ_SEND.match(head):
            return self._linq_send(sent[1])
        if _LINQ_READ.match(head):
            return _LINQ_UNKNOWN
        if b"/chat.postMessage" in head:
            channel = _SLACK_CHANNEL.search(body)
            assert channel is not None, "A chat.postMessage without a channel."
            return self._slack_send(channel[1])
        if b"/auth.test" in head:
            self.calls["auth"] += 1
            return _SLACK_AUTH
        # Read receipts and typing.
        self.calls["hint"] += 1
        return _NO_CONTENT

    def _linq_send(self, chat: bytes) -> bytes:
        self._replied(chat)
        return _http(b"202 Accepted", _LINQ_SENT % {b"chat": chat, b"number": next(self._numbers)})

    def _slack_send(self, channel: bytes) -> bytes:
        self._replied(channel)
        return _http(b"200 OK", _SLACK_SENT % {b"channel": channel, b"number": next(self._numbers)})

    def _replied(self, chat: bytes) -> None:
        self.calls["send"] += 1
        self.on_reply(chat.decode())


class _Connection(asyncio.Protocol):
    def __init__(self, api: FakeApi, all_open: set[asyncio.Transport]) -> None:
        self._api = api
        self._all_open = all_open
        self._transport: asyncio.Transport
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's transport has another class but the same methods
        self._all_open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        # A client waits for the answer before it sends the next request, so there is at most one request.
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = _LENGTH.search(received, 0, end)
        if length is not None and len(received) < end + int(length[1]):
            return
        self._received = b""
        answer = self._api.answer(received[:end], received[end:])
        if self._api.delay_s:
            asyncio.get_running_loop().call_later(self._api.delay_s, self._write, answer)
        else:
            self._transport.write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _http(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


_LINQ_UNKNOWN = _http(
    b"404 Not Found",
    json.dumps({"success": False, "error": {"status": 404, "code": 2001, "message": "Not found"}}).encode(),
)
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_LINQ_SENT = json.dumps(
    {
        "chat_id": "%(chat)s",
        "message": {
            "id": "5e000000-0000-4000-8000-%(number)012x",
            "parts": [{"type": "text", "value": "You said: something", "text_decorations": None, "reactions": None}],
            "service": "iMessage",
            "preferred_service": None,
            "from_handle": {
                "id": "c2e5c382-f7cb-5f5b-bb5e-e1581bdd1620",
                "handle": "+12025550100",
                "service": "iMessage",
                "joined_at": "2026-10-01T14:02:11.000Z",
                "left_at": None,
                "status": "active",
                "is_me": True,
            },
            "created_at": "2026-11-05T17:30:00.120Z",
            "sent_at": None,
            "delivered_at": None,
            "delivery_status": "pending",
            "is_read": False,
            "effect": None,
            "reply_to": None,
        },
    }
).encode()
_SLACK_SENT = json.dumps(
    {
        "ok": True,
        "channel": "%(channel)s",
        "ts": "1793900001.%(number)06d",
        "message": {
            "user": "U00000BOT1",
            "type": "message",
            "ts": "1793900001.%(number)06d",
            "bot_id": "B000000001",
            "app_id": "A000000001",
            "text": "You said: something",
            "team": "T000000001",
        },
    }
).encode()
_SLACK_AUTH = _http(
    b"200 OK",
    json.dumps(
        {
            "ok": True,
            "url": "https://example.slack.com/",
            "team": "Example",
            "user": "echo",
            "team_id": "T000000001",
            "user_id": "U00000BOT1",
            "bot_id": "B000000001",
            "is_enterprise_install": False,
        }
    ).encode(),
)
