"""Fixtures: an emulator on a clock that stands still, its API in-process, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app

from linqbot.clock import MovableClock

if TYPE_CHECKING:
    from emulator.everything import World

LINE = "+12025550100"
OTHER_LINE = "+12025550101"
PERSON = "+14155550142"
FRIEND = "+14155550187"
THIRD = "+14155550199"
FOURTH = "+14155550111"
NOBODY = "00000000-0000-4000-8000-000000000000"
TARGET = "http://127.0.0.1:9/hook"
HI = {"type": "text", "value": "hi"}
SEND = {"message": {"parts": [HI]}}
CARD: dict[str, Any] = {
    "type": "imessage_app",
    "app": {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App"},
    "layout": {"caption": "Look"},
}

Ids = dict[str, str]
"""The `chat_id` and the `message_id` of what a person wrote."""


def say(emulator: Emulator, text: str = "hi", *, from_: str = PERSON, to: str = LINE, **more: Any) -> Ids:
    """Write a text as a person."""
    written = emulator.do(Write(from_=from_, to=to, parts=[{"type": "text", "value": text}], **more))
    return cast("Ids", written)


async def arrives(emulator: Emulator, text: str = "hi", **more: Any) -> Ids:
    """Write a text as a person, and let its webhooks arrive."""
    ids = say(emulator, text, **more)
    await emulator.flush()
    return ids


async def passes(emulator: Emulator, seconds: float) -> None:
    """Let time pass, and what is due then arrive."""
    emulator.advance(seconds)
    await emulator.flush()


def refused(answer: httpx.Response, status: int, code: int) -> dict[str, Any]:
    """Check that an answer has Linq's error envelope, this status and code. Return the inner error."""
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (status, code), body
    assert set(body) == {"success", "error", "trace_id"}
    assert body["success"] is False
    assert body["error"]["status"] == status
    assert body["error"]["message"]
    assert body["error"]["doc_url"].endswith(f"/error/codes/{str(code)[0]}xxx/{code}/")
    assert len(body["trace_id"]) == 32
    return dict(body["error"])


class Receiver(httpx.AsyncBaseTransport):
    """Receives webhooks, and answers with `answers`, then with `status`. An exception in `answers` is raised.

    `most_at_once` is the largest number of requests that were open at the same time.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[int | httpx.Response | Exception] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.most_at_once = 0
        self._open = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        await asyncio.sleep(0)
        self._open -= 1
        answer = self.answers.pop(0) if self.answers else self.status
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers=self.headers) if isinstance(answer, int) else answer

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def types(self) -> list[str]:
        return [event["event_type"] for event in self.events]

    def clear(self) -> None:
        self.requests.clear()

    def of(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_type"] == event_type]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def hook(emulator: Emulator, receiver: Receiver) -> Receiver:
    """The receiver, subscribed to what people write."""
    emulator.subscribe(TARGET, ["message.received"])
    return receiver


@pytest.fixture
async def emulator(receiver: Receiver) -> AsyncIterator[Emulator]:
    async with Emulator(clock=MovableClock(frozen=True), delivery_transport=receiver) as running:
        yield running


class Api(httpx.AsyncClient):
    """Linq's API in this process."""

    def __init__(self, emulator: Emulator, **options: Any) -> None:
        transport, headers = httpx.ASGITransport(create_app(emulator, **options)), {"authorization": "Bearer test"}
        super().__init__(transport=transport, base_url=emulator.public_url, headers=headers)

    async def write(self, chat: Ids, *parts: Any, override: bool | None = None, **more: Any) -> httpx.Response:
        """Send a message with these parts, or "hi", into a chat. Named arguments are further fields of the message."""
        body = {"message": {"parts": list(parts or [HI]), **more}} | ({"override_optout": True} if override else {})
        return await self.post(f"/v3/chats/{chat['chat_id']}/messages", json=body)

    async def sent(self, chat: Ids, *parts: Any, **more: Any) -> dict[str, Any]:
        """Send a message, and return it as the answer shows it."""
        answer = await self.write(chat, *parts, **more)
        assert answer.status_code == 202, answer.text
        return dict(answer.json()["message"])


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[Api]:
    async with Api(emulator) as client:
        yield client


@pytest.fixture
def chat(emulator: Emulator) -> Ids:
    """A direct chat that the person began."""
    return say(emulator)


@pytest.fixture
def group(emulator: Emulator) -> Ids:
    """A group of four with our line in it."""
    return say(emulator, "hi all", group=[FRIEND, THIRD])


@pytest.fixture
def world(emulator: Emulator, api: Api, receiver: Receiver) -> World:
    from emulator.everything import World  # which imports this file

    return World(emulator, api, receiver)
