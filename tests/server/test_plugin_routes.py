"""Routes, health and start-up of plugins, over a served app."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from asgi_client import PATH, SECRET, client_of, running_client, signed
from fakes import Linq, text_body
from patience import PATIENCE_S, until
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from linqbot import Bot, Context, Running, hookimpl
from linqbot.bot.router import Next
from linqbot.errors import ConfigError, StorageBusy, StorageUnavailable
from linqbot.server.app import create_app
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.turn_events import DeliveryReceived, DeliveryStored, Observers, TurnEnded, TurnTaken, WebhookRefused


class Listener:
    """Records the events of POSTs."""

    name = "listener"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {
            DeliveryReceived: self.received,
            DeliveryStored: self.stored,
            WebhookRefused: self.refused,
            TurnTaken: self.taken,
        }

    def received(self, event: DeliveryReceived) -> None:
        event.carrier["traceparent"] = event.headers.get("traceparent", "")
        self.calls.append("received")

    def stored(self, event: DeliveryStored) -> None:
        self.calls.append(("stored", event.is_new))

    def refused(self, event: WebhookRefused) -> None:
        self.calls.append((event.reason, event.status))

    def taken(self, event: TurnTaken) -> None:
        self.calls.append(dict(event.carrier))


@contextlib.asynccontextmanager
async def served(*plugins: object, storage: Any = None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    bot = Bot(plugins=plugins)
    app = create_app(
        bot, client=Linq().client, storage=storage or MemoryStorage(), secrets=[SECRET], drain_s=0, **settings
    )
    async with running_client(app) as client:
        yield client


async def post(client: httpx.AsyncClient, body: bytes, *, age_s: int = 0, forged: bool = False, **more: str) -> int:
    headers = signed(body, at=time.time() - age_s) | more
    return (await client.post(PATH, content=body + b" " if forged else body, headers=headers)).status_code


async def test_observers_see_each_post_and_its_result() -> None:
    listener = Listener()
    body = text_body()
    async with served(listener, max_body_bytes=len(body) + 10) as client:
        assert await post(client, body, forged=True) == 401
        assert await post(client, body, age_s=1000) == 503
        assert await post(client, b"x" * (len(body) + 100)) == 503
        assert await post(client, body, traceparent="00-1-2-01") == 200
        assert await post(client, body) == 200
        await until(lambda: {"traceparent": "00-1-2-01"} in listener.calls)
    calls = [each for each in listener.calls if not isinstance(each, dict)]
    refused = [("forged", 401), ("out_of_time", 503), ("too_large", 503)]
    assert calls == [*refused, "received", ("stored", True), "received", ("stored", False)]


@pytest.mark.parametrize(
    ("error", "reason"), [(StorageBusy("full"), "busy"), (StorageUnavailable("disk"), "unavailable")]
)
async def test_what_cannot_be_stored_is_refused_after_it_was_received(error: Exception, reason: str) -> None:
    class Broken(MemoryStorage):
        async def put(self, delivery: Any) -> bool:
            raise error

    listener = Listener()
    async with served(listener, storage=Broken()) as client:
        assert await post(client, text_body()) == 503
    assert listener.calls == ["received", (reason, 503)]


async def test_before_the_start_a_post_is_refused_as_closed_and_the_app_is_alive_and_not_ready() -> None:
    listener = Listener()
    app = create_app(Bot(plugins=[listener]), client=Linq().client, storage=MemoryStorage(), secrets=[SECRET])
    async with client_of(app) as client:
        assert await post(client, text_body()) == 503
        assert [(await client.get(path)).status_code for path in ("/livez", "/readyz")] == [200, 503]
    assert listener.calls == [("closed", 503)]


# Routes


class Pages:
    """Serves a page until one of its hooks raises."""

    name = "pages"
    required = False

    @hookimpl
    def register_routes(self, running: Running) -> list[Route]:
        async def bot(request: Any) -> PlainTextResponse:
            return PlainTextResponse(type(running.bot).__name__)

        return [Route("/bot", bot)]

    @hookimpl
    def register_observers(self) -> Observers:
        return {DeliveryStored: self.stored}

    def stored(self, event: DeliveryStored) -> None:
        raise ValueError("broken")


async def test_a_plugins_routes_are_under_its_name_until_it_is_disabled() -> None:
    async with served(Pages()) as client:
        answer = await client.get("/plugins/pages/bot")
        assert (answer.status_code, answer.text) == (200, "Bot")
        assert (await client.get("/bot")).status_code == 404
        assert (await client.get("/plugins/other/bot")).status_code == 404
        assert await post(client, text_body()) == 200
        answer = await client.get("/plugins/pages/bot")
        assert (answer.status_code, answer.text) == (503, "The plugin pages is disabled. See /readyz.\n")
        ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["plugins"]["pages"].startswith(
        "disabled: its observer of DeliveryStored raised ValueError at test_plugin_routes.py:"
    )


@pytest.mark.parametrize("given", [None, ["/page"]])
async def test_a_plugin_that_adds_something_else_than_routes_is_disabled(given: object) -> None:
    class Adds:
        name = "adds"

        @hookimpl
        def register_routes(self) -> object:
            return given

    async with served(Adds()) as client:
        report = (await client.get("/readyz")).json()["plugins"]["adds"]
    assert report.startswith("disabled: register_routes raised")


# Health


async def test_without_plugins_readyz_says_nothing_of_them() -> None:
    async with served() as client:
        ready = {"ready": True, "role": "all", "busy": 0, "waiting": 0, "oldest_s": 0, "lost": 0}
        assert (await client.get("/readyz")).json() == ready


async def test_a_required_plugin_whose_middleware_fails_is_named_as_failing_until_it_recovers() -> None:
    class Approval:
        name = "approval"
        required = True

        def __init__(self) -> None:
            self.is_down = True

        @hookimpl
        def register_middleware(self) -> list[Callable[[Next], Next]]:
            def wrap(handle: Next) -> Next:
                async def approved(event: Any, ctx: Context) -> None:
                    if self.is_down:
                        raise OSError("no database")
                    await handle(event, ctx)

                return approved

            return [wrap]

        @hookimpl
        def register_observers(self) -> Observers:
            return {TurnEnded: lambda _: finished.set()}

    approval, finished = Approval(), asyncio.Event()
    async with served(approval) as client:
        assert (await client.get("/readyz")).json()["failing"] == []
        assert await post(client, text_body(chat="one")) == 200
        await asyncio.wait_for(finished.wait(), PATIENCE_S)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["ready"], answer.json()["failing"]) == (200, True, ["approval"])
        approval.is_down = False
        finished.clear()
        assert await post(client, text_body(chat="two")) == 200
        await asyncio.wait_for(finished.wait(), PATIENCE_S)
        assert (await client.get("/readyz")).json()["failing"] == []


# Start and end


class Starts:
    """Fails at start or end."""

    name = "starts"

    def __init__(self, started: Any = None, stopped: Any = None, *, required: bool = False) -> None:
        self.required = required
        self._started, self._stopped = started, stopped
        self.calls: list[str] = []

    @hookimpl
    async def started(self, running: Running) -> None:
        self.calls.append(f"started, {await running.storage.depth()} wait")
        if self._started:
            raise self._started

    @hookimpl
    def stopped(self) -> None:
        self.calls.append("stopped")
        if self._stopped:
            raise self._stopped


async def test_started_and_stopped_are_called_while_the_storage_is_open() -> None:
    starts = Starts()
    async with served(starts):
        assert starts.calls == ["started, 0 wait"]
    assert starts.calls == ["started, 0 wait", "stopped"]


EXITS = [SystemExit("no collector"), asyncio.CancelledError()]


@pytest.mark.parametrize("raised", [OSError("no collector"), *EXITS])
async def test_a_plugin_that_cannot_start_is_disabled_and_the_bot_goes_on(raised: BaseException) -> None:
    starts = Starts(raised, required=False)
    async with served(starts) as client:
        ready = await client.get("/readyz")
        assert await post(client, text_body()) == 200
    assert ready.status_code == 200
    assert f"started raised {type(raised).__name__}" in ready.json()["plugins"]["starts"]
    assert starts.calls == ["started, 0 wait"]


async def test_a_required_plugin_that_cannot_start_keeps_the_app_from_starting() -> None:
    with pytest.raises(ConfigError, match="starts is required, and failed: started raised OSError"):
        async with served(Starts(OSError("no database"), required=True)):
            raise AssertionError


@pytest.mark.parametrize("raised", [ValueError("late"), *EXITS])
async def test_a_plugin_that_fails_at_the_end_does_not_keep_the_app_from_stopping(raised: BaseException) -> None:
    storage = MemoryStorage()
    async with served(Starts(None, raised, required=True), storage=storage) as client:
        assert await post(client, text_body()) == 200
