"""The owner of a bot gets one message when a trouble begins, and one when it is over, whatever restarts meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import LINE, NOW
from postgres_server import empty_storage_url
from structlog.testing import capture_logs

from linqbot.bot.bot import Bot
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.errors import ConfigError, LinqApiError, LinqUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.server.app import create_app, running
from linqbot.server.telling import Telling, TroubleWatch
from linqbot.settings import from_env
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.postgres.storage import PostgresStorage
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage

pytestmark = pytest.mark.anyio

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
MakeStorage = Callable[[], Storage]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW, frozen=True)


@pytest.fixture(params=["sqlite", "memory", pytest.param("postgres", marks=pytest.mark.process)])
def make_storage(request: pytest.FixtureRequest, tmp_path: Path, clock: MovableClock) -> MakeStorage:
    """`make_storage()` returns the storage of one more process, or of the same one after a restart."""
    if request.param == "postgres":
        url = empty_storage_url("telling")
        return lambda: PostgresStorage(url, clock=clock)
    if request.param == "memory":
        kept = MemoryStorage(clock=clock)
        return lambda: kept
    return lambda: SQLiteStorage(tmp_path / "bot.db", clock=clock)


class Linq:
    """A Linq with one line, which records what is sent."""

    def __init__(self) -> None:
        self.error: LinqApiError | None = None
        self.sent: list[Call] = []
        self.client = Client("key-that-must-not-show").wrapped(lambda _: self.run)

    async def run(self, call: Call) -> ApiResponse:
        if self.error is not None:
            raise self.error
        if call.name == "phone_numbers.list":
            return ApiResponse(200, {"phone_numbers": [{"id": "1", "phone_number": LINE}]})
        raise AssertionError(call.name)


class Hook:
    """A webhook of the owner's, which keeps what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[dict[str, Any]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
        body = await reader.readexactly(length)
        if self.status == 200:
            self.got.append(json.loads(body))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % self.status)
        writer.close()

    def said(self) -> list[tuple[str, str]]:
        """Return the troubles and states of the messages since the last call."""
        got, self.got = self.got, []
        return [(each["trouble"], each["state"]) for each in got]


@asynccontextmanager
async def hook_served() -> AsyncIterator[Hook]:
    hook = Hook()
    async with await asyncio.start_server(hook.serve, "127.0.0.1", 0) as server:
        hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret-path"
        yield hook


async def give_up(storage: Storage, name: str) -> None:
    await storage.put(Delivery(name, f"c:{name}", "message.received", b'{"text": "secret words"}', NOW))
    (lease,) = await storage.take(1, lease_s=60)
    await storage.finish(lease, Commit(DeadLetter("ValueError: secret words")))


async def test_each_trouble_is_said_once_and_so_is_its_end(make_storage: MakeStorage, clock: MovableClock) -> None:
    linq = Linq()
    async with make_storage() as storage, hook_served() as hook:
        watch = TroubleWatch(Telling((hook.url,)), linq.client, storage, clock)

        async def said() -> list[tuple[str, str]]:
            for _ in range(3):
                await watch.look()
                clock.advance(300)
            return hook.said()

        async def refuse(*, status: int | None) -> None:
            linq.error = None if status is None else LinqApiError("no", status=status)

        rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
            ("dead_letters", lambda: give_up(storage, "w.1"), lambda: storage.retry(["w.1"])),
            ("key", lambda: refuse(status=401), lambda: refuse(status=None)),
            ("key", lambda: refuse(status=403), lambda: refuse(status=None)),
        ]
        assert await said() == []
        for name, begin, end in rows:
            await begin()
            assert await said() == [(name, "began")], name
            await end()
            assert await said() == [(name, "over")], name


async def test_a_dead_letter_of_yesterday_is_no_news(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        watch = TroubleWatch(Telling((hook.url,)), Linq().client, storage, clock)
        await give_up(storage, "w.1")
        await watch.look()
        assert hook.got[0]["text"].endswith(": A delivery was given up. See: linqbot waiting list --dead")
        clock.advance(86_401)
        await watch.look()
        await give_up(storage, "w.2")
        await watch.look()
        assert hook.said() == [("dead_letters", "began"), ("dead_letters", "over"), ("dead_letters", "began")]


async def test_processes_and_restarts_tell_one_trouble_once(make_storage: MakeStorage, clock: MovableClock) -> None:
    async with hook_served() as hook:
        telling = Telling((hook.url,))
        async with make_storage() as one:
            watches = [TroubleWatch(telling, Linq().client, one, clock)]
            other = make_storage() if isinstance(one, PostgresStorage) else one
            if other is not one:
                await other.__aenter__()
                watches.append(TroubleWatch(telling, Linq().client, other, clock))
            await give_up(one, "w.1")
            for _ in range(3):
                await asyncio.gather(*(each.look() for each in watches * 2))
                clock.advance(60)
            if other is not one:
                await other.__aexit__(None, None, None)
            assert hook.said() == [("dead_letters", "began")]
            if isinstance(one, MemoryStorage):
                return
        async with make_storage() as again:
            watch = TroubleWatch(telling, Linq().client, again, clock)
            await watch.look()
            await again.retry(["w.1"])
            await watch.look()
        assert hook.said() == [("dead_letters", "over")]


async def test_a_target_that_refuses_is_tried_again_ever_more_rarely_and_keeps_no_other_waiting(
    clock: MovableClock,
) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook, hook_served() as other:
        watch = TroubleWatch(Telling((hook.url, other.url)), Linq().client, storage, clock)
        await give_up(storage, "w.1")
        hook.status, tries = 500, list[int]()
        with capture_logs() as logs:
            for minute in range(120):
                before = len(logs)
                await watch.look()
                tries += [minute] * (len([each for each in logs[before:] if each["event"] == "trouble.not_sent"]) > 0)
                clock.advance(60)
        assert tries == [0, 1, 3, 7, 15, 31, 63]
        assert other.said() == [("dead_letters", "began")]
        hook.status = 200
        for _ in range(60):
            await watch.look()
            clock.advance(60)
        assert (hook.said(), other.said()) == ([("dead_letters", "began")], [])
        shown = repr(logs) + repr(
            Telling(
                (hook.url,),
            )
        )
        assert "secret" not in shown
        assert "status 500" in shown


async def test_a_linq_that_is_away_says_nothing_about_the_key(clock: MovableClock) -> None:
    async with MemoryStorage(clock=clock) as storage, hook_served() as hook:
        linq = Linq()
        watch = TroubleWatch(Telling((hook.url,)), linq.client, storage, clock)
        for error in (LinqApiError("no", status=401), LinqUnavailable("away"), LinqApiError("no", status=401), None):
            linq.error = error
            await watch.look()
            clock.advance(300)
        assert hook.said() == [("key", "began"), ("key", "over")]


async def test_a_served_bot_tells_without_being_asked(clock: MovableClock) -> None:
    async with hook_served() as hook, asyncio.timeout(20):
        storage, linq = MemoryStorage(clock=clock), Linq()
        linq.error = LinqApiError("no", status=401)
        telling = Telling((hook.url,))
        app = create_app(Bot(), client=linq.client, storage=storage, secrets=[SECRET], clock=clock, telling=telling)
        async with running(app):
            while not hook.got:
                await asyncio.sleep(0.01)
            linq.error = None
            while len(hook.got) < 2:
                clock.advance(60)
                await asyncio.sleep(0.01)
        assert hook.said() == [("key", "began"), ("key", "over")]


def test_settings_name_what_cannot_be_a_target() -> None:
    assert from_env({}).telling() is None
    telling = from_env({"LINQBOT_TELL": "https://a.example/x, https://b.example/y"}).telling()
    assert telling is not None
    assert telling.targets == ("https://a.example/x", "https://b.example/y")
    with pytest.raises(ConfigError, match="LINQBOT_TELL does not fit: entry 2 is no https") as refused:
        from_env({"LINQBOT_TELL": "https://a.example/x, ftp://secret"})
    assert "secret" not in str(refused.value)
    assert "hidden" not in repr(from_env({"LINQBOT_TELL": "https://a.example/hidden"}))
