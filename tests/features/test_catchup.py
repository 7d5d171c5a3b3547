"""Messages missed during a downtime are fetched from the emulator, once and in order, and answered if not too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app

from linqbot import Client, MessageReceived
from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.features.bot_options import MissedMessages
from linqbot.features.gaps import CATCH_UP_TYPE, Gaps, end_downtime, newest, sent_at
from linqbot.linq.events.parse import parse
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite.memory import MemoryStorage

LINE, OTHER_LINE, ANN, BOB = "+12025550100", "+12025550101", "+14155550142", "+14155550143"
HOUR = 3600.0


@dataclass
class Harness:
    clock: MovableClock
    emulator: Emulator
    client: Client
    storage: MemoryStorage

    def text(self, text: str, *, from_: str = ANN) -> str:
        said = self.emulator.do(Write(from_=from_, to=LINE, parts=[{"type": "text", "value": text}]))
        assert said["message_id"] is not None
        return said["message_id"]

    async def handled(self) -> list[tuple[str, bool]]:
        """Handle the inbox. Return the text of each message, and True if it is history."""
        texts = []
        while leases := await self.storage.take(10, lease_s=60):
            for lease in leases:
                event = parse(lease.delivery)
                assert isinstance(event, MessageReceived)
                assert (event.line, event.actor is not None) == (LINE, True)
                texts.append((event.text, event.reconciled_at is not None))
                await self.storage.finish(lease, Commit(Ack()))
        return texts

    async def start(self, client: Client | None = None) -> int:
        """End a downtime, and carry out the orders that are due. Return their number."""
        await end_downtime(self.storage, self.clock)
        return await self.catch_up(client)

    async def catch_up(self, client: Client | None = None, **options: Any) -> int:
        """Carry out the orders to fetch messages that are due. Return their number."""
        gaps = Gaps(client or self.client, self.storage, self.clock, MissedMessages(**options))
        leases = await self.storage.take(10, lease_s=60)
        orders = [lease for lease in leases if lease.delivery.type == CATCH_UP_TYPE]
        for order in orders:
            await gaps.catch_up(order)
        return len(orders)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    clock = MovableClock(1_800_000_000, frozen=True)
    async with Emulator(clock=clock) as emulator, MemoryStorage(clock=clock) as storage:
        transport = httpx.ASGITransport(app=create_app(emulator))
        async with Client("token", base_url=emulator.public_url, transport=transport, clock=clock) as client:
            yield Harness(clock, emulator, client, storage)


async def heard(harness: Harness, message_id: str, text: str, *, was_fetched: bool = False) -> None:
    """Receive the webhook of a message; or fetch the message, which is no activity of Linq."""
    body = b'{"event_type":"message.received","event_id":"e-%s","data":{"id":"%s"}}'
    encoded = body % (message_id.encode(), message_id.encode())
    made = Delivery.from_webhook(encoded, webhook_id="", received_at=harness.clock.now())
    if was_fetched:
        fetched = replace(made, id=f"i.reconciled.{message_id}")
        assert await harness.storage.put_in_order(fetched.lane, [fetched]) == 1
    else:
        assert await harness.storage.put(made)
    (lease,) = await harness.storage.take(1, lease_s=60)
    await harness.storage.finish(lease, Commit(Ack()))


async def test_a_message_that_was_on_its_way_when_the_last_webhook_came_is_fetched_after_a_downtime(
    harness: Harness,
) -> None:
    await heard(harness, harness.text("first"), "first")
    harness.clock.advance(60)
    harness.text("on its way")  # its webhook finds no bot any more
    harness.clock.advance(0.2)
    await heard(harness, harness.text("hello", from_=BOB), "hello")
    harness.clock.advance(HOUR)
    assert await harness.start() == 1
    assert [text for text, _ in await harness.handled()] == ["on its way"]


async def test_old_missed_messages_are_history_and_arrive_once(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(60)
    for n in range(150):
        harness.text(f"missed {n:03}", from_=ANN if n % 8 else BOB)
    harness.clock.advance(2 * HOUR)
    await harness.start()
    assert sorted(await harness.handled()) == [(f"missed {n:03}", True) for n in range(150)]
    harness.clock.advance(HOUR)
    assert await harness.handled() == []


@pytest.mark.parametrize(
    ("pages", "read"),
    [([[9, 8], [7, 6], [5, 4]], [9, 8, 7, 6]), ([[4, 5], [6, 7], [8, 9]], [4, 5, 6, 7, 8, 9])],
    ids=["from new to old", "from old to new"],
)
async def test_pages_are_read_back_to_a_time_if_the_list_goes_from_new_to_old_and_else_to_the_end(
    pages: list[list[int]], read: list[int]
) -> None:
    async def each_page() -> AsyncIterator[Any]:
        for times in pages:
            yield SimpleNamespace(items=[SimpleNamespace(sent_at=datetime.fromtimestamp(at, UTC)) for at in times])

    listed = SimpleNamespace(pages=each_page)
    client: Any = SimpleNamespace(chats=SimpleNamespace(messages=SimpleNamespace(list=lambda *_, **__: listed)))
    assert [sent_at(message) async for message in newest(client, "chat", 7)] == read


@pytest.mark.parametrize(("minutes", "is_history"), [(29, False), (31, True)])
async def test_a_missed_message_is_history_if_a_later_one_was_handled_and_linq_has_given_up_delivering_it(
    harness: Harness, minutes: int, is_history: bool
) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(60)
    harness.text("missed")
    harness.clock.advance(60)
    later = harness.text("later")
    harness.clock.advance(minutes * 60)
    # The newest webhook stays an old one, because the storage counts only webhooks as activity.
    await heard(harness, later, "later", was_fetched=True)
    await harness.start()
    assert await harness.handled() == [("missed", is_history)]


async def test_after_a_short_downtime_or_at_the_first_start_linq_is_not_asked(harness: Harness) -> None:
    harness.text("unseen")
    assert await harness.start() == 0
    await heard(harness, harness.text("seen"), "seen")
    harness.clock.advance(19 * 60)
    assert await harness.start() == 0
    assert list(harness.emulator.calls) == []


async def test_an_outage_of_linq_fails_nothing_and_the_fetch_is_retried(harness: Harness) -> None:
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
        await harness.start(client)
        for _ in range(2):
            assert await harness.handled() == []
            harness.clock.advance(60)
            assert await harness.catch_up(client) == 1
    assert await harness.handled() == [("missed", False)]


async def test_messages_are_fetched_although_the_bot_stops_again_before_that(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.clock.advance(60)
    missed = harness.text("missed")
    harness.clock.advance(42 * 60)
    await end_downtime(harness.storage, harness.clock)
    # The newest webhook is no longer an old one when the bot starts again.
    body = b'{"event_type":"message.received","event_id":"new","data":{"id":"new"}}'
    await harness.storage.put(Delivery.from_webhook(body, webhook_id="", received_at=harness.clock.now()))
    assert await harness.start() == 1
    assert missed in {each.id.rpartition(".")[2] for each in await harness.storage.waiting()}


async def test_only_the_lines_of_the_bot_are_asked_for_missed_messages(harness: Harness) -> None:
    await heard(harness, harness.text("before"), "before")
    harness.emulator.do(Write(from_=ANN, to=OTHER_LINE, parts=[{"type": "text", "value": "not for this bot"}]))
    missed = harness.text("missed")
    harness.clock.advance(42 * 60)
    await end_downtime(harness.storage, harness.clock)
    assert await harness.catch_up(lines=[LINE]) == 1
    assert [each.id for each in await harness.storage.waiting()] == [f"i.reconciled.{missed}"]
