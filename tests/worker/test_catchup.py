"""Missed while we were down: fetched from the emulator, once, and never instead of what Linq still delivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.emulator.app import create_app
from linqbot.emulator.emulator import Emulator
from linqbot.events.delivery import Delivery
from linqbot.events.message import MessageReceived
from linqbot.events.parse import parse
from linqbot.storage.inbox import Ack, Finish
from linqbot.storage.memory import MemoryStorage
from linqbot.worker.catchup import catch_up

pytestmark = pytest.mark.anyio

LINE, ANN, BOB = "+12025550100", "+14155550142", "+14155550143"
HOUR = 3600.0


@dataclass
class House:
    clock: MovableClock
    emulator: Emulator
    client: Client
    storage: MemoryStorage
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def text(self, text: str, *, from_: str = ANN) -> str:
        said = self.emulator.inbound(from_, LINE, [{"type": "text", "value": text}])
        assert said["message_id"] is not None
        return said["message_id"]

    async def history(self) -> list[str]:
        """Handle what is in the inbox; the texts of the messages, all of them marked as found late."""
        texts = []
        while leases := await self.storage.take(10, lease_s=60):
            for lease in leases:
                event = parse(lease.delivery)
                assert isinstance(event, MessageReceived)
                assert event.reconciled_at is not None
                assert (event.line, event.actor is not None) == (LINE, True)
                texts.append(event.text)
                await self.storage.finish(lease, Finish(Ack()))
        return sorted(texts)

    async def start(self) -> asyncio.Task[None]:
        """Begin to catch up, and let it do what it does at once."""
        task = asyncio.ensure_future(catch_up(self.client, self.storage, self.clock))
        self.tasks.append(task)
        await settle()
        return task


async def settle() -> None:
    for _ in range(300):
        await asyncio.sleep(0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    clock = MovableClock(1_800_000_000, frozen=True)
    async with Emulator(clock=clock) as emulator, MemoryStorage(clock=clock) as storage:
        transport = httpx.ASGITransport(app=create_app(emulator))
        async with Client("token", base_url=emulator.public_url, transport=transport, clock=clock) as client:
            made = House(clock, emulator, client, storage)
            yield made
            for task in made.tasks:
                task.cancel()


async def heard(house: House, message_id: str, text: str) -> None:
    """The webhook of a message arrived."""
    body = b'{"event_type":"message.received","event_id":"e-%s","data":{"id":"%s"}}'
    encoded = body % (message_id.encode(), message_id.encode())
    await house.storage.put(Delivery.from_webhook(encoded, webhook_id="", received_at=house.clock.now()))
    (lease,) = await house.storage.take(1, lease_s=60)
    await house.storage.finish(lease, Finish(Ack()))


async def test_what_linq_gave_up_on_is_put_in_as_history_once(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(60)
    for n in range(150):
        house.text(f"missed {n:03}", from_=ANN if n % 2 else BOB)
    house.clock.advance(2 * HOUR)
    await house.start()
    assert await house.history() == [f"missed {n:03}" for n in range(150)]
    house.clock.advance(HOUR)
    await settle()
    assert await house.history() == []


async def test_what_linq_still_delivers_is_left_to_it_until_it_has_given_up(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(HOUR)
    old = "sent an hour ago"
    house.text(old)
    house.clock.advance(HOUR)
    delivered, given_up = house.text("delivered later"), "given up"
    house.text(given_up)
    house.clock.advance(60)
    task = await house.start()
    assert await house.history() == [old]
    await heard(house, delivered, "delivered later")
    house.clock.advance(32 * 60)
    await settle()
    assert await house.history() == [given_up]
    assert task.done()


async def test_our_own_messages_are_no_history(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(60)
    (chat,) = house.emulator.state.chats
    await house.client.chats.messages.send(chat, message={"parts": [{"type": "text", "value": "mine"}]})
    house.clock.advance(2 * HOUR)
    await house.start()
    assert await house.history() == []


async def test_a_short_silence_or_a_first_start_asks_nothing(house: House) -> None:
    house.text("unseen")
    await house.start()
    await heard(house, house.text("seen"), "seen")
    house.clock.advance(19 * 60)
    await house.start()
    assert [task.done() for task in house.tasks] == [True, True]
    assert list(house.emulator.calls) == []


async def test_linq_being_away_fails_nothing(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(2 * HOUR)
    await house.client.aclose()

    async def away(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"success": False, "error": {"status": 401, "code": 2004, "message": "no"}})

    async with Client("token", transport=httpx.MockTransport(away), clock=house.clock) as client:
        await catch_up(client, house.storage, house.clock)
    assert await house.history() == []
