"""Processes of one bot that do different parts of the work: one only receives, another only handles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from asgi_client import SECRET, posted, running_client
from fakes import Linq, delivery, text_body
from gap_harness import Harness
from linqbot_postgres.storage import PostgresStorage
from one_handler import bot_of
from patience import PATIENCE_S, until
from postgres_server import empty_storage_url
from storages import open_storage
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived
from linqbot.errors import ConfigError, LaneFull, StorageUnavailable
from linqbot.options import Role
from linqbot.server.app import create_app, running
from linqbot.settings import from_env
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Lease
from linqbot.storage.sqlite.memory import MemoryStorage


def noting_bot() -> tuple[Bot, asyncio.Queue[str]]:
    """Return a bot that answers nothing, and the texts of the messages that it handles."""
    handled = asyncio.Queue[str]()

    async def note(message: MessageReceived, ctx: Context) -> None:
        handled.put_nowait(message.text)

    return bot_of(note, read=False, typing=False, max_age_s=None), handled


@contextlib.asynccontextmanager
async def process(role: Role, url: str, bot: Bot) -> AsyncIterator[httpx.AsyncClient]:
    """Run the app of one process, and yield a client of it."""
    app = create_app(bot, client=Linq().client, storage=open_storage(url), secrets=[SECRET], order_wait_s=0, role=role)
    async with running_client(app) as http:
        yield http


@pytest.mark.slow
@pytest.mark.process
async def test_a_receiver_stores_what_a_worker_handles() -> None:
    url = empty_storage_url("roles")
    (idle, unused), (bot, handled) = noting_bot(), noting_bot()
    async with process("receive", url, idle) as receiver:
        assert await posted(receiver, text_body("early")) == 200
        ready = await receiver.get("/readyz")
        assert (ready.status_code, ready.json()["role"], ready.json()["waiting"]) == (200, "receive", 1)
        async with process("work", url, bot) as worker:
            async with asyncio.timeout(PATIENCE_S):
                assert await handled.get() == "early"
                assert await posted(worker, text_body("lost")) == 503
                assert await posted(receiver, text_body("later")) == 200
                assert await handled.get() == "later"
            ready = await worker.get("/readyz")
            assert (ready.status_code, ready.json()["role"]) == (200, "work")
            assert (await worker.get("/livez")).status_code == 200
    assert unused.empty()


class FailsOnce(MemoryStorage):
    """Fails at the first look for work, as a storage whose server is away."""

    has_failed = False
    is_shared = False

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        if not self.has_failed:
            self.has_failed = True
            raise StorageUnavailable("The server is away.")
        return await super().take(limit, lease_s=lease_s)


@pytest.mark.parametrize(("role", "is_shared"), [("work", True), ("all", True), ("all", False)])
async def test_after_an_outage_linq_is_asked_for_what_others_may_have_refused(role: Role, is_shared: bool) -> None:
    linq, (bot, handled) = Linq(), noting_bot()
    storage = FailsOnce()
    storage.is_shared = is_shared
    app = create_app(bot, client=linq.client, storage=storage, secrets=[SECRET], role=role)
    async with running(app), asyncio.timeout(PATIENCE_S):
        await until(lambda: storage.has_failed)
        await storage.put(delivery(text_body()))
        await handled.get()
    assert ("chats.retrieve" in [call.name for call in linq.calls]) is is_shared


@contextlib.asynccontextmanager
async def working(url: str) -> AsyncIterator[Callable[[httpx.AsyncClient, str], Awaitable[bool]]]:
    """Run a worker. Yield what delivers a text to a receiver: it returns True if the worker has asked Linq about the chat."""
    linq, (bot, handled) = Linq(), noting_bot()
    storage = open_storage(url)

    async def asks(receiver: httpx.AsyncClient, text: str) -> bool:
        assert await posted(receiver, text_body(text)) == 200
        await handled.get()
        # The worker looks for work once more when a turn has ended, and that look must not find the next message.
        while await storage.depth():
            await asyncio.sleep(0.01)
        return "chats.retrieve" in [call.name for call in linq.calls]

    app = create_app(bot, client=linq.client, storage=storage, secrets=[SECRET], role="work")
    async with running(app), asyncio.timeout(PATIENCE_S):
        yield asks


@pytest.mark.process
async def test_a_worker_asks_linq_about_a_chat_that_a_receiver_has_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    url = empty_storage_url("roles")
    receiving = open_storage(url)

    async def refuse(_: object) -> bool:
        raise LaneFull("The lane is full.")

    receiver = create_app(Bot(), client=Linq().client, storage=receiving, secrets=[SECRET], role="receive")
    async with working(url) as asks, running_client(receiver) as http:
        assert not await asks(http, "first")
        with monkeypatch.context() as patch:
            patch.setattr(receiving, "put", refuse)
            assert await posted(http, text_body("refused")) == 503
        assert await asks(http, "second")


@pytest.mark.process
async def test_a_worker_asks_linq_after_one_of_two_receivers_has_stopped() -> None:
    """A request that the stopping one did not read comes again later than the chat's next message, to the other one."""
    url = empty_storage_url("roles")
    async with working(url) as asks, process("receive", url, Bot()) as http:
        async with process("receive", url, Bot()):
            assert not await asks(http, "first")
        assert await asks(http, "second")


class Split(Harness):
    """A bot on PostgreSQL, whose receiver can be stopped and started while its worker runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = empty_storage_url("roles")

    def new_storage(self) -> Storage:
        return PostgresStorage(self.url, clock=self.clock)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("away_s", [10, 42 * 60, 2 * 3600])
async def test_messages_that_a_receiver_missed_are_answered_in_order_and_once(tmp_path: Path, away_s: float) -> None:
    split = Split(tmp_path)
    (worker, _), (other, _) = split.process("work"), split.process("work")
    async with split.emulator, running(worker), running(other):
        await split.start("receive")
        split.text("first")
        await split.settle_after(1)
        await split.stop()
        split.text("a")
        split.text("of another chat", sender="+14155550143")
        await split.retries(away_s)
        with capture_logs() as logs:
            await split.start("receive")
            split.text("b")
            await split.settle_after(3)
            await split.retries()
        await split.stop()
    late = "late: " if away_s > 3600 else ""
    assert split.said() == ["first", f"{late}a", "b"]
    # Those of a chat without a new message are fetched only if Linq has given up on them.
    assert split.said("+14155550143") == [f"{late}of another chat"]
    assert [line["event"] for line in logs].count("history.fetched") == (away_s > 1200)


@pytest.mark.parametrize("role", ["receive", "work"])
@pytest.mark.parametrize("storage", ["sqlite:///linqbot.db", "memory://"])
def test_a_part_of_the_work_needs_a_storage_that_processes_share(role: str, storage: str) -> None:
    settings = from_env({"LINQBOT_ROLE": role, "LINQBOT_STORAGE": storage, "LINQ_API_V3_API_KEY": "token"})
    with pytest.raises(
        ConfigError, match=rf"The role {role} needs a storage that several processes share.*postgresql://"
    ):
        settings.create_app(Bot())
