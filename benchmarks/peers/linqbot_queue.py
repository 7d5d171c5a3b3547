"""Events through linqbot: stored by its storage in PostgreSQL, and handled by a whole bot or by a loop around the storage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from linqbot_postgres.storage import PostgresStorage
from peers.events import AT_ONCE, HANDLER_S, Event, drained
from starlette.applications import Starlette

from linqbot import Bot, Context, MessageReceived
from linqbot.client.client import Client
from linqbot.linq.events.delivery import Delivery
from linqbot.server.app import create_app, running
from linqbot.storage.inbox import Ack, Commit, Lease

LEFT = "SELECT count(*) FROM (SELECT FROM linqbot.head LIMIT 2) AS chats"
bot = Bot(read=False, typing=False, loop_breaker=False, max_age_s=None)


@bot.on_message
async def handle(message: MessageReceived, ctx: Context) -> None:
    await asyncio.sleep(HANDLER_S)


def delivery(event: Event) -> Delivery:
    """Return an event as the webhook endpoint stores it."""
    return Delivery(f"w.{event.id}", f"c:{event.chat}", "message.received", event.body, time.time())


async def prepare(url: str) -> None:
    async with PostgresStorage(url):
        pass


async def accept(url: str, events: Sequence[Event], at_once: int) -> None:
    """Store events, `at_once` of them in flight."""
    async with PostgresStorage(url, max_lane_backlog=len(events) + 1) as storage:
        for start in range(0, len(events), at_once):
            await asyncio.gather(*(storage.put(delivery(event)) for event in events[start : start + at_once]))


async def work_in_turns(url: str) -> None:
    """Handle events as `linqbot serve --role work` does, until the process is ended."""
    app: Starlette = create_app(
        bot,
        client=Client("benchmark"),
        storage=PostgresStorage(url),
        secrets=["whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="],
        concurrency=AT_ONCE,
        order_wait_s=0,
        role="work",
    )
    async with running(app):
        await asyncio.Event().wait()


async def work(url: str) -> None:
    """Lease events and ack them, without a bot, until the process is ended."""
    async with PostgresStorage(url) as storage:
        await drained(_Leases(storage))


class _Leases:
    """The storage as `drained` calls it."""

    def __init__(self, storage: PostgresStorage) -> None:
        self._storage = storage

    async def take(self, limit: int) -> list[Lease]:
        return await self._storage.take(limit, lease_s=60)

    async def ack(self, lease: Lease) -> None:
        await self._storage.finish(lease, Commit(Ack()))

    async def wait(self) -> None:
        await self._storage.changed()
