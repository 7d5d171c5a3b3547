"""`/readyz` while deliveries cannot be stored: it reports the reason, and notices when the storage works again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgi_client import SECRET, posted, running_client
from fakes import CHAT, Linq, settled, text_body
from patience import PATIENCE_S, until
from pydantic_core import from_json

from linqbot import Bot
from linqbot.clock import MovableClock
from linqbot.engine import worker
from linqbot.errors import LaneFull, StorageBusy, StorageError, StorageUnavailable
from linqbot.events import Delivery
from linqbot.features.gaps import CATCH_UP_TYPE
from linqbot.server import webhook
from linqbot.server.app import create_app
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Lease
from linqbot.storage.sqlite import storage
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage


class Failing(MemoryStorage):
    """Stores nothing as long as `error` is set, leases nothing as long as `take_error` is, and counts its test writes."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.error: StorageError | None = None
        self.take_error: StorageError | None = None
        self.checks = 0
        self.at_once = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def put(self, delivery: Delivery) -> bool:
        if self.error:
            raise self.error
        return await super().put(delivery)

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        if self.take_error:
            raise self.take_error
        return await super().take(limit, lease_s=lease_s)

    async def check(self) -> None:
        self.checks += 1
        self.at_once += 1
        try:
            await self.may_end.wait()
        finally:
            self.at_once -= 1
        if self.error:
            raise self.error


class Door:
    """A served bot, as Linq and a load balancer see it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def deliver(self, text: str = "hello", *, chat: str = CHAT) -> int:
        return await posted(self._http, text_body(text, chat=chat))

    async def ready(self) -> tuple[int, str | None]:
        answer = await self._http.get("/readyz")
        assert answer.json()["ready"] is (answer.status_code == 200)
        return answer.status_code, answer.json().get("reason")

    async def until(self, status: int) -> str | None:
        """Wait until `/readyz` answers with this status. Return its reason."""
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await self.ready())[0] != status:
                await asyncio.sleep(0.01)
        return answer[1]


@contextlib.asynccontextmanager
async def served(storage: Storage) -> AsyncIterator[Door]:
    app = create_app(Bot(), client=Linq().client, storage=storage, secrets=[SECRET])
    async with running_client(app) as http:
        yield Door(http)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make test writes and look at the storage file all the time."""
    monkeypatch.setattr(webhook, "CHECK_EVERY_S", 0.001)
    monkeypatch.setattr(storage, "LOOK_EVERY_S", 0.005)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("error", [StorageUnavailable("disk full"), StorageBusy("backlog full")])
async def test_a_refused_delivery_makes_it_unready_until_a_write_succeeds(error: StorageError) -> None:
    storage = Failing()
    async with served(storage) as door:
        storage.error = error
        assert await door.ready() == (200, None), "nothing is known of it yet"
        assert await door.deliver() == 503
        while storage.checks < 3:
            assert await door.ready() == (503, str(error))
            await asyncio.sleep(0.001)
        storage.error = None
        await door.until(200)
        checks = storage.checks
        await asyncio.sleep(0.01)
        assert storage.checks == checks


async def test_a_delivery_that_is_stored_makes_it_ready_at_once() -> None:
    storage = Failing()
    async with served(storage) as door:
        storage.error = StorageUnavailable("disk full")
        assert await door.deliver() == 503
        assert await door.ready() == (503, "disk full")
        storage.error = None
        assert await door.deliver() == 200
        assert await door.ready() == (200, None)
        assert storage.checks == 0


async def test_one_chat_with_a_full_lane_makes_nothing_unready() -> None:
    storage = Failing()
    async with served(storage) as door:
        storage.error = LaneFull("The lane is full")
        assert await door.deliver() == 503
        assert await door.ready() == (200, None)
        assert storage.checks == 0


async def test_readyz_says_how_many_deliveries_wait_and_how_long_the_oldest_does() -> None:
    clock = MovableClock(1_800_000_000, frozen=True)
    app = create_app(
        Bot(), client=Linq().client, storage=Shared(clock=clock), secrets=[SECRET], role="receive", clock=clock
    )
    async with running_client(app) as http:
        said = []
        for text in ("early", "late"):
            assert await Door(http).deliver(text) == 200
            clock.advance(40)
            report = (await http.get("/readyz")).json()
            said.append((report["waiting"], report["oldest_s"]))
    assert said == [(1, 40), (2, 80)]


@pytest.mark.usefixtures("often")
async def test_an_app_that_stops_does_not_wait_for_the_storage() -> None:
    storage = Failing()
    async with asyncio.timeout(PATIENCE_S), served(storage) as door:
        storage.error = StorageUnavailable("locked")
        storage.may_end.clear()
        await door.deliver()
        await until(lambda: storage.at_once)
        assert await door.ready() == (503, "locked")
    assert storage.at_once == 0


async def test_a_bot_is_not_ready_while_its_worker_can_lease_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STORAGE_PAUSE_S", 0.01)
    storage = Failing()
    async with served(storage) as door:
        storage.take_error = StorageUnavailable("damaged")
        assert await door.deliver() == 200
        assert await door.until(503) == "damaged"
        storage.take_error = None
        await door.until(200)


# With real files


async def test_a_bot_is_not_ready_if_it_cannot_read_what_waits_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    async with SQLiteStorage(path) as waiting:
        await waiting.put(Delivery("w.1", f"c:{CHAT}", "message.received", text_body("hello"), 0.0))
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'body'").fetchone()
    with path.open("r+b") as damaged:
        damaged.seek((page - 1) * 4096)
        damaged.write(b"\xff" * 4096)
    async with served(SQLiteStorage(path)) as door:
        assert "bot.db is damaged" in str(await door.until(503))


@pytest.mark.usefixtures("often")
async def test_a_bot_is_not_ready_when_its_file_is_gone_though_nothing_was_delivered(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    async with served(SQLiteStorage(path)) as door:
        path.rename(tmp_path / "away")
        assert "bot.db is gone" in str(await door.until(503))
        assert await door.deliver() == 503
        (tmp_path / "away").rename(path)
        await door.until(200)
        assert await door.deliver() == 200


class Shared(Failing):
    """Several processes may serve it."""

    is_shared = True


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("noticed_by", ["delivery", "test write"])
async def test_a_receiver_that_could_store_nothing_for_long_orders_the_missed_messages(noticed_by: str) -> None:
    clock = MovableClock(1_800_000_000, frozen=True)
    inbox = Shared(clock=clock)
    for away_s, orders in ((600.0, 0), (2400.0, 1)):
        app = create_app(Bot(), client=Linq().client, storage=inbox, secrets=[SECRET], role="receive", clock=clock)
        async with running_client(app) as http:
            door = Door(http)
            began = clock.now()
            inbox.error = StorageUnavailable("The disk is away.")
            assert await door.deliver(f"lost {away_s}") == 503
            clock.advance(away_s)
            assert await door.deliver(f"lost {away_s}, again") == 503
            inbox.error = None
            if noticed_by == "delivery":
                assert await door.deliver(f"another {away_s}", chat="another chat") == 200
            else:
                await door.until(200)
            await settled()
            leased = [lease.delivery for lease in await inbox.take(10, lease_s=60)]
            ordered = [from_json(each.body)["since"] for each in leased if each.type == CATCH_UP_TYPE]
            assert ordered == [began] * orders, away_s
