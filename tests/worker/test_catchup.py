"""Missed while we were down: fetched from the emulator, once, in order, and answered if it is not too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app
from linqbot.events.delivery import Delivery
from linqbot.events.message import MessageReceived
from linqbot.events.parse import parse
from linqbot.storage.inbox import Ack, Finish
from linqbot.storage.memory import MemoryStorage
from linqbot.worker.catchup import catch_up
from linqbot.worker.gaps import Gaps

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
        said = self.emulator.do(Write(from_=from_, to=LINE, parts=[{"type": "text", "value": text}]))
        assert said["message_id"] is not None
        return said["message_id"]

    async def handled(self) -> list[tuple[str, bool]]:
        """Handle what is in the inbox; the texts of the messages, and whether each is history."""
        texts = []
        while leases := await self.storage.take(10, lease_s=60):
            for lease in leases:
                event = parse(lease.delivery)
                assert isinstance(event, MessageReceived)
                assert (event.line, event.actor is not None) == (LINE, True)
                texts.append((event.text, event.reconciled_at is not None))
                await self.storage.finish(lease, Finish(Ack()))
        return texts

    async def start(self) -> asyncio.Task[None]:
        """Begin to catch up, and let it do what it does at once."""
        gaps = Gaps(self.client, self.storage, self.clock)
        task = asyncio.ensure_future(catch_up(self.client, self.storage, self.clock, gaps, await gaps.begin()))
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


async def test_what_was_missed_for_long_is_history_and_comes_once(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(60)
    for n in range(150):
        house.text(f"missed {n:03}", from_=ANN if n % 2 else BOB)
    house.clock.advance(2 * HOUR)
    await house.start()
    assert sorted(await house.handled()) == [(f"missed {n:03}", True) for n in range(150)]
    house.clock.advance(HOUR)
    await settle()
    assert await house.handled() == []


async def test_what_is_younger_than_an_hour_is_answered_in_the_order_it_was_written(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(HOUR)
    house.text("old")
    house.clock.advance(40 * 60)
    for text in ("a", "b", "c"):
        house.clock.advance(1)
        house.text(text)
    house.clock.advance(30 * 60)
    await house.start()
    # Linq has given up on the first, and delivers the others again, as duplicates.
    assert await house.handled() == [("old", True), ("a", False), ("b", False), ("c", False)]


async def test_what_linq_gave_up_on_is_history_once_the_chat_has_gone_on(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(60)
    house.text("missed")
    house.clock.advance(60)
    later = house.text("later")
    house.clock.advance(35 * 60)
    await heard(house, later, "later")
    # As if nothing had been heard of since: the storage counts webhooks only.
    house.storage._active_at = house.clock.now() - 36 * 60
    await house.start()
    assert await house.handled() == [("missed", True)]


async def test_linqs_own_copy_of_what_was_fetched_is_a_duplicate(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(HOUR)
    message_id = house.text("missed")
    house.clock.advance(60)
    await house.start()
    assert await house.handled() == [("missed", False)]
    body = b'{"event_type":"message.received","event_id":"again","data":{"id":"%s"}}' % message_id.encode()
    copy = Delivery.from_webhook(body, webhook_id="", received_at=house.clock.now())
    assert await house.storage.put(copy) is False


async def test_our_own_messages_are_no_history(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(60)
    (chat,) = house.emulator.state.chats
    await house.client.chats.messages.send(chat, message={"parts": [{"type": "text", "value": "mine"}]})
    house.clock.advance(2 * HOUR)
    await house.start()
    assert await house.handled() == []


async def test_a_short_silence_or_a_first_start_asks_nothing(house: House) -> None:
    house.text("unseen")
    await house.start()
    await heard(house, house.text("seen"), "seen")
    house.clock.advance(19 * 60)
    await house.start()
    assert [task.done() for task in house.tasks] == [True, True]
    assert list(house.emulator.calls) == []


async def test_linq_being_away_fails_nothing_and_is_asked_again(house: House) -> None:
    await heard(house, house.text("before"), "before")
    house.clock.advance(HOUR)
    house.text("missed")
    house.clock.advance(60)
    answers = [httpx.Response(503), httpx.Response(401, json={"error": {"status": 401, "code": 2004}})]
    emulated = httpx.ASGITransport(app=create_app(house.emulator))

    async def away(request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else await emulated.handle_async_request(request)

    transport = httpx.MockTransport(away)
    url = house.emulator.public_url
    async with Client("token", base_url=url, transport=transport, clock=house.clock, max_retries=0) as client:
        gaps = Gaps(client, house.storage, house.clock)
        task = asyncio.ensure_future(catch_up(client, house.storage, house.clock, gaps, await gaps.begin()))
        for _ in range(2):
            await settle()
            assert await house.handled() == []
            house.clock.advance(60)
        await settle()
        assert task.done()
    assert await house.handled() == [("missed", False)]
