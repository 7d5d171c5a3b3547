"""Fixtures: an emulator on a clock that stands still, its API in-process, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from linqbot.clock import MovableClock
from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app

LINE = "+12025550100"
OTHER_LINE = "+12025550101"
PERSON = "+14155550142"
FRIEND = "+14155550187"
THIRD = "+14155550199"
TARGET = "http://127.0.0.1:9/hook"


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
async def emulator(receiver: Receiver) -> AsyncIterator[Emulator]:
    async with Emulator(clock=MovableClock(frozen=True), delivery_transport=receiver) as running:
        yield running


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(emulator))
    headers = {"authorization": "Bearer test"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4010", headers=headers) as client:
        yield client


@pytest.fixture
def chat(emulator: Emulator) -> dict[str, str | None]:
    """A direct chat that the person began: its `chat_id` and the `message_id` of the person's message."""
    return emulator.do(Write(from_=PERSON, to=LINE, parts=[{"type": "text", "value": "hi"}]))


@pytest.fixture
def group(emulator: Emulator) -> dict[str, str | None]:
    """A group of four with our line in it."""
    return emulator.do(Write(from_=PERSON, to=LINE, parts=[{"type": "text", "value": "hi all"}], group=[FRIEND, THIRD]))


Refused = Callable[[httpx.Response, int, int], dict[str, Any]]


@pytest.fixture
def refused() -> Refused:
    """Return a check that an answer has Linq's error envelope, this status and code. It returns the inner error."""

    def check(answer: httpx.Response, status: int, code: int) -> dict[str, Any]:
        body = answer.json()
        assert (answer.status_code, body["error"]["code"]) == (status, code), body
        assert set(body) == {"success", "error", "trace_id"}
        assert body["success"] is False
        assert body["error"]["status"] == status
        assert body["error"]["message"]
        assert body["error"]["doc_url"].endswith(f"/error/codes/{str(code)[0]}xxx/{code}/")
        assert len(body["trace_id"]) == 32
        return dict(body["error"])

    return check
