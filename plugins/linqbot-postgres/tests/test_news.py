"""Notifications of other processes, and of others that send on the same channel."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from linqbot_postgres.address import Address
from linqbot_postgres.storage import PostgresStorage
from linqbot_postgres.transaction import News
from patience import PATIENCE_S
from postgres_server import connected, empty_storage_url
from storage.conftest import NOON, delivery, leased
from structlog.testing import capture_logs

from linqbot.clock import MovableClock
from linqbot.features.muted_chats import Mute, mute_chat, mutes_of, unmute_chats

pytestmark = pytest.mark.process


UNREADABLE = ["", "wake up", "[]", "{}", "[" * 5000, '{"by": "x", "of_tomorrow": 1}']


async def notify(url: str, *payloads: str) -> None:
    """Send notifications as a stranger who knows the channel."""
    async with connected(url) as stranger:
        for payload in payloads:
            await stranger.execute("SELECT pg_notify($1, $2)", Address.parse(url).channel, payload)


def test_news_that_do_not_fit_name_no_lanes_then_no_chats_and_then_no_refused_lanes() -> None:
    many = [f"c:{n:0>36}" for n in range(300)]
    long = News("x", work=True, times=False, own=False, chats=["c"], lanes=many, refused=[])
    assert News.from_payload(long.to_payload()) == replace(long, lanes=None)
    longer = News("x", work=True, times=False, own=False, chats=many, lanes=many, refused=[])
    assert News.from_payload(longer.to_payload()) == replace(longer, lanes=None, chats=None)
    longest = replace(longer, refused=many, gap=1.5)
    assert News.from_payload(longest.to_payload()) == replace(longest, lanes=None, chats=None, refused=None)


async def test_a_notification_that_cannot_be_read_is_logged_and_everything_is_looked_at() -> None:
    url, failed = empty_storage_url("news"), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    with capture_logs() as logs:
        async with PostgresStorage(url) as storage, asyncio.timeout(PATIENCE_S):
            for payload in UNREADABLE:
                with storage.watch("c:1") as grew:
                    await notify(url, payload)
                    await grew.wait()
                await storage.changed()
    assert not failed
    lengths = [line["characters"] for line in logs if line["event"] == "storage.unreadable_notification"]
    assert lengths == [*map(len, UNREADABLE)]


async def test_a_mute_of_one_process_is_known_to_another_with_its_next_lease(clock: MovableClock) -> None:
    url = empty_storage_url("mutes")
    mute = Mute("1", NOON + 3600)
    async with PostgresStorage(url, clock=clock) as one, PostgresStorage(url, clock=clock) as other:
        await mute_chat(one, mute)
        await leased(other, delivery("c:1"))
        assert {each.chat_id: each for each in mutes_of(other.holds)} == {"1": mute}
        await unmute_chats(one, "1")
        await one.put(delivery("c:1"))
        clock.advance(61)
        assert await other.take(1, lease_s=60)
        assert {each.chat_id: each for each in mutes_of(other.holds)} == {}
