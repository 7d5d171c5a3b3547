"""Missed while we were down: fetched from the emulator, once, in order, and answered if it is not too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from fakes import settled

from linqbot.client.client import Client
from linqbot.clock import MovableClock
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
class Harness:
    clock: MovableClock
    emulator: Emulator
    client: Client
    storage: MemoryStorage
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def text(self, text: str, *, from_: str = ANN) -> str:
        said = self.emulator.inbound(from_, LINE, [{"type": "text", "value": text}])
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
        await settled(300)
        return task


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    clock = MovableClock(1_800_000_000, frozen=True)
    async with Emulator(clock=clock) as emulator, MemoryStorage(clock=clock) as storage:
        transport = httpx.ASGITransport(app=create_app(emulator))
        async with Client("token", base_url=emulator.public_url, transport=transport, clock=clock) as client:
            made = Harness(clock, emulator, client, storage)
            yield made
            for task in made.tasks:
                task.cancel()


async def heard(harness: Harness, message_id: str, text: str) -> None:
    """The webhook of a message arrived."""
    body = b'{"event_type":"message.received","event_id":"e-%s","data":{"id":"%s"}}'
    encoded = body % (message_id.encode(), message_id.encode())
    await harness.storage.put(Delivery.from_webhook(encoded, webhook_id="", received_at=harness.clock.now()))
    (lease,) = await harness.storage.take(1, lease_s=60)
    await harness.storage.finish(lease, Finish(Ack()))


async def test_what_was_missed_for_long_is_history_and_comes_once(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(60)
    for n in range(150):
        harness.text(f"missed {n:03}", from_=ANN if n % 2 else BOB)
    harness.clock.advance(2 * HOUR)
    await harness.start()
    assert sorted(await harness.handled()) == [(f"missed {n:03}", True) for n in range(150)]
    harness.clock.advance(HOUR)
    await settled(300)
    assert await harness.handled() == []


async def test_what_is_younger_than_an_hour_is_answered_in_the_order_it_was_written(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(HOUR)
    harness.text("old")
    harness.clock.advance(40 * 60)
    for text in ("a", "b", "c"):
        harness.clock.advance(1)
        harness.text(text)
    harness.clock.advance(30 * 60)
    await harness.start()
    # Linq has given up on the first, and delivers the others again, as duplicates.
    assert await harness.handled() == [("old", True), ("a", False), ("b", False), ("c", False)]


async def test_what_linq_gave_up_on_is_history_once_the_chat_has_gone_on(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(60)
    harness.text("missed")
    harness.clock.advance(60)
    later = harness.text("later")
    harness.clock.advance(35 * 60)
    await heard(harness, later, "later")
    # As if nothing had been heard of since: the storage counts webhooks only.
    harness.storage._active_at = harness.clock.now() - 36 * 60
    await harness.start()
    assert await harness.handled() == [("missed", True)]


async def test_linqs_own_copy_of_what_was_fetched_is_a_duplicate(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(HOUR)
    message_id = harness.text("missed")
    harness.clock.advance(60)
    await harness.start()
    assert await harness.handled() == [("missed", False)]
    body = b'{"event_type":"message.received","event_id":"again","data":{"id":"%s"}}' % message_id.encode()
    copy = Delivery.from_webhook(body, webhook_id="", received_at=harness.clock.now())
    assert await harness.storage.put(copy) is False


async def test_our_own_messages_are_no_history(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(60)
    (chat,) = harness.emulator.state.chats
    await harness.client.chats.messages.send(chat, message={"parts": [{"type": "text", "value": "mine"}]})
    harness.clock.advance(2 * HOUR)
    await harness.start()
    assert await harness.handled() == []


async def test_a_short_silence_or_a_first_start_asks_nothing(harness: Harness) -> None:
    harness.text("unseen")
    await harness.start()
    await heard(harness, harness.text("seen"), "seen")
    harness.clock.advance(19 * 60)
    await harness.start()
    assert [task.done() for task in harness.tasks] == [True, True]
    assert list(harness.emulator.calls) == []


async def test_linq_being_away_fails_nothing_and_is_asked_again(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(HOUR)
    harness.text("missed")
    harness.clock.advance(60)
    answers = [httpx.Response(503), httpx.Response(401, json={"error": {"status": 401, "code": 2004}})]
    emulated = httpx.ASGITransport(app=create_app(harness.emulator))

    async def away(request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else await emulated.handle_async_request(request)

    transport = httpx.MockTransport(away)
    url = harness.emulator.public_url
    async with Client("token", base_url=url, transport=transport, clock=harness.clock, max_retries=0) as client:
        gaps = Gaps(client, harness.storage, harness.clock)
        task = asyncio.ensure_future(catch_up(client, harness.storage, harness.clock, gaps, await gaps.begin()))
        for _ in range(2):
            await settled(300)
            assert await harness.handled() == []
            harness.clock.advance(60)
        await settled(300)
        assert task.done()
    assert await harness.handled() == [("missed", False)]
