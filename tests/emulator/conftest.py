"""Fixtures: an emulator on a clock that stands still, its API in-process, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from chromium_page import AXE, CHROMIUM, CHROMIUM_ARGS, Bot, Browsing, Profiles, Served
from playwright.sync_api import Browser, Page, sync_playwright

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


# --- the page in Chromium ---


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        missing = (
            "Chromium is not installed (Debian: apt-get install chromium), and the page cannot be tested without it"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def profiles(chromium: Browser) -> Profiles:
    return Profiles(chromium)


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which finds what is hard to read or to use."""
    if not AXE.exists():
        missing = "axe-core is not installed. To run this test: npm ci --ignore-scripts"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return AXE.read_text("utf-8")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    running = Served()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def bot(served: Served) -> Iterator[Bot]:
    one = Bot(served.url)
    one.call("POST", "/emulator/reset")
    # A reset keeps the report about the bot's file, because the file is still as it was.
    one.call("POST", "/emulator/observations", {"kind": "bot", "status": "loaded"})
    yield one
    one.http.close()


@pytest.fixture
def browsing(profiles: Profiles, served: Served) -> Iterator[Browsing]:
    """Pages that fail the test at its end after a violated content policy, a missing file or an exception."""
    phones = Browsing(profiles, served.url)
    yield phones
    phones.close()
    assert phones.console_errors == []


@pytest.fixture
def phone(browsing: Browsing, bot: Bot) -> Page:
    return browsing.open()
