"""The owner of a served bot learns of each kind of outage: when it begins, grows tenfold and is over, with an injected clock.

A blocked event loop is in `test_telling.py`. `benchmarks/outages.py` makes the same outages from outside of `linqbot serve`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import pytest
from asgi_client import SECRET, posted, running_client
from fakes import LINE, NOW, text_body
from one_handler import bot_of
from owner import FailingStorage, Hook, OwnersLinq, handle_all, hook_served
from patience import PATIENCE_S

from linqbot import Context, LinqApiError, LinqUnavailable, MessageReceived
from linqbot.clock import MovableClock
from linqbot.options import Role
from linqbot.server import telling, webhook
from linqbot.server.app import create_app
from linqbot.server.targets import Telling
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite import storage as sqlite_storage
from linqbot.storage.sqlite.storage import SQLiteStorage

OTHER_SECRET = "whsec_" + "B" * 43 + "="


@dataclass
class House:
    """A served bot whose handler, Linq and storage a test can break."""

    storage: Storage
    clock: MovableClock
    hook: Hook
    linq: OwnersLinq = field(default_factory=OwnersLinq)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    http: httpx.AsyncClient = field(init=False)
    _chats: int = 0

    def __post_init__(self) -> None:
        self.may_end.set()

    @asynccontextmanager
    async def served(self, role: Role = "all") -> AsyncIterator[None]:
        async def answer(message: MessageReceived, ctx: Context) -> None:
            await self.may_end.wait()
            if self.error is not None:
                raise self.error
            await ctx.reply("yes")

        app = create_app(
            bot_of(answer, read=False, typing=False, max_age_s=None, attempts=1),
            client=self.linq.client,
            storage=self.storage,
            secrets=[SECRET],
            clock=self.clock,
            order_wait_s=0,
            role=role,
            telling=Telling((self.hook.url,)),
        )
        async with running_client(app) as self.http:
            yield

    async def people_write(self, count: int, *, secret: str = SECRET) -> None:
        """Let people write, each in a chat of their own."""
        for _ in range(count):
            self._chats += 1
            chat = f"3c99d589-8d03-5753-96bd-{self._chats:012}"
            await posted(self.http, text_body("hello", chat=chat), secret=secret)

    async def hears(self, trouble: str, state: str) -> None:
        """Let time pass until the owner has got this message."""
        async with asyncio.timeout(PATIENCE_S):
            while (trouble, state) not in self.hook.said():
                self.clock.advance(30)
                await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Outage:
    """An outage: the trouble that the owner learns of, and how it begins and ends.

    Attributes:
        secret: The secret with which Linq signs during the outage.
    """

    trouble: str
    begin: Callable[[House], object]
    end: Callable[[House], object]
    secret: str = SECRET
    role: Role = "all"


def nothing(_: House) -> None: ...


def set_key(house: House, status: int | None) -> None:
    house.linq.error = None if status is None else LinqApiError("no", status=status)


def set_linq(house: House, *, is_away: bool) -> None:
    house.linq.error = LinqUnavailable("away", status=503) if is_away else None


def set_storage(house: House, how: Literal["full", "gone"] | None = None) -> None:
    assert isinstance(house.storage, FailingStorage)
    house.storage.how = how


def set_line(house: House, *, may_send: bool) -> None:
    """A line that may not send: Linq names no line to send from, and refuses sends for now."""
    house.linq.may_send = may_send
    house.linq.send_error = None if may_send else LinqUnavailable("no line can send", status=503)


def set_handler(house: House, error: Exception | None) -> None:
    house.error = error


async def put_back(house: House) -> None:
    set_handler(house, None)
    await house.storage.retry([each.delivery.id for each in await house.storage.dead_letters()])


OUTAGES: dict[str, Outage] = {
    "wrong secret": Outage("refused", nothing, nothing, secret=OTHER_SECRET),
    "disk full": Outage("storage", lambda h: set_storage(h, "full"), set_storage),
    "database server gone": Outage("storage", lambda h: set_storage(h, "gone"), set_storage),
    "Linq answers 503": Outage("waiting", lambda h: set_linq(h, is_away=True), lambda h: set_linq(h, is_away=False)),
    "Linq does not answer": Outage("waiting", lambda h: h.linq.answers.clear(), lambda h: h.linq.answers.set()),
    "API key refused": Outage("key", lambda h: set_key(h, 401), lambda h: set_key(h, None)),
    "line flagged": Outage(f"line {LINE}", lambda h: set_line(h, may_send=False), lambda h: set_line(h, may_send=True)),
    "handlers stuck": Outage("waiting", lambda h: h.may_end.clear(), lambda h: h.may_end.set()),
    "dead letters": Outage("dead_letters", lambda h: set_handler(h, ValueError("no")), put_back),
}


async def test_each_outage_is_told_when_it_begins_grows_and_is_over(
    subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "ASK_S", 0.01)
    for name, outage in OUTAGES.items():
        clock = MovableClock(NOW, frozen=True)
        with subtests.test(name):
            async with hook_served() as hook:
                house = House(FailingStorage(clock=clock), clock, hook)
                async with house.served():
                    await told_of(house, outage)


async def told_of(house: House, outage: Outage) -> None:
    outage.begin(house)
    await house.people_write(1, secret=outage.secret)
    await house.hears(outage.trouble, "began")
    await house.people_write(12, secret=outage.secret)
    await house.hears(outage.trouble, "grew")
    if (ended := outage.end(house)) is not None:
        assert inspect.isawaitable(ended)
        await ended
    await house.people_write(1)
    await house.hears(outage.trouble, "over")


async def test_a_storage_file_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "CHECK_EVERY_S", 0.001)
    monkeypatch.setattr(sqlite_storage, "LOOK_EVERY_S", 0.005)
    clock, path, away = MovableClock(NOW, frozen=True), tmp_path / "bot.db", tmp_path / "away"
    gone = Outage("storage", lambda _: path.rename(away), lambda _: away.rename(path) and None)
    async with hook_served() as hook:
        house = House(SQLiteStorage(path, clock=clock), clock, hook)
        async with house.served():
            await told_of(house, gone)


async def test_a_receiver_tells_that_no_worker_is_there() -> None:
    clock = MovableClock(NOW, frozen=True)
    async with hook_served() as hook:
        inbox = FailingStorage(clock=clock)
        house = House(inbox, clock, hook)
        async with house.served("receive"):
            await told_of(house, Outage("waiting", nothing, lambda _: handle_all(inbox)))
