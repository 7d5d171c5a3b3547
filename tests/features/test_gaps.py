"""After a gap, the first message of a chat waits for earlier messages: once, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import settled
from gap_harness import LINE, Harness
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.model.faults import Fault
from one_handler import bot_of, says
from patience import PATIENCE_S

from linqbot import Bot, Context, MessageReceived
from linqbot.clock import SystemClock
from linqbot.errors import LeaseLost, StorageUnavailable
from linqbot.storage.inbox import Lease


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    made = Harness(tmp_path)
    async with made.emulator:
        await made.start()
        made.text("first")
        await made.settle()
        yield made
        if made.running is not None:
            await made.stop()


async def write(harness: Harness, *texts: str, after_s: float = 2.0) -> None:
    for text in texts:
        harness.text(text, after_s=after_s)
        await harness.settle()


async def refuse(delivery: Any) -> bool:
    raise StorageUnavailable("full")


async def backed_up(harness: Harness, bot: Bot) -> None:
    """Let another bot run from now on, and take a backup."""
    await harness.stop()
    harness.bot = bot
    await harness.start()
    await harness.storage.backup(harness.folder / "monday.db")


async def restore(harness: Harness) -> None:
    await harness.stop()
    (harness.folder / "monday.db").rename(harness.folder / "bot.db")
    await harness.start()


async def miss(harness: Harness, *texts: str) -> None:
    """Let people write while the bot is stopped, and start it again."""
    await harness.stop()
    await write(harness, *texts)
    await harness.start()


async def test_messages_across_a_restart_are_answered_in_the_order_they_were_sent_and_linq_is_asked_once(
    harness: Harness,
) -> None:
    await miss(harness, "a", "b")
    await write(harness, "c")
    assert harness.said() == ["first", "a", "b", "c"]
    await harness.retries()
    await write(harness, "d")
    assert (harness.said(), harness.lists()) == (["first", "a", "b", "c", "d"], 1)


async def test_messages_of_the_same_moment_are_answered_in_the_order_in_which_they_were_written(
    harness: Harness,
) -> None:
    await harness.stop()
    await write(harness, "a")
    await write(harness, "b", "c", after_s=0.0)
    await harness.start()
    await write(harness, "d", after_s=0.1)  # before Linq delivers the others again
    assert harness.said() == ["first", "a", "b", "c", "d"]


async def test_what_was_answered_since_a_backup_is_not_answered_again_after_its_restore(harness: Harness) -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Booked for {await ctx.ask('Which day?')}.")

    bot.on_message(says("{}"))
    await backed_up(harness, bot)
    await write(harness, "a", "book", "Friday")
    answered = ["first", "a", "Which day?", "Booked for Friday."]
    assert harness.said() == answered
    await restore(harness)
    await write(harness, "b")
    assert harness.said() == [*answered, "b"]


async def test_a_burst_of_old_and_new_messages_is_answered_after_a_restore(harness: Harness) -> None:
    async def write_both(*texts: str) -> None:
        for text in texts:
            harness.text(text, after_s=0.5)
            await harness.emulator.flush()
        async with asyncio.timeout(PATIENCE_S):
            while not harness.said()[-1].endswith(texts[-1]):
                harness.clock.advance(1)
                await settled()

    await backed_up(harness, bot_of(says("{}"), read=False, typing=False, gather_s=2))
    await write_both("a", "b")
    assert harness.said() == ["first", "a\nb"]
    await restore(harness)
    await write_both("c")
    assert harness.said() == ["first", "a\nb", "a\nb\nc"]


async def test_without_a_gap_linq_is_not_asked(harness: Harness) -> None:
    await write(harness, *"01234")
    assert harness.lists() == 0


async def test_no_chat_waits_after_linq_has_given_up(harness: Harness) -> None:
    await harness.stop()
    await harness.start()
    await write(harness, "late", after_s=32 * 60)
    assert (harness.said(), harness.lists()) == (["first", "late"], 0)


async def test_no_chat_waits_after_the_clock_of_the_machine_was_set_back(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = harness.clock.now
    monkeypatch.setattr(harness.clock, "monotonic", now)
    await harness.stop()
    with monkeypatch.context() as patch:
        patch.setattr(harness.clock, "now", lambda: now() + 600)
        await harness.start()
    await write(harness, "a")
    assert (harness.said(), harness.lists()) == (["first", "a"], 1)


async def test_if_linq_does_not_answer_the_message_is_handled_anyway(harness: Harness) -> None:
    await miss(harness, "a")
    harness.emulator.world.faults.add(Fault(on="api", match="GET /v3/chats", status=503, times=5))
    await write(harness, "b")
    await harness.retries()
    assert harness.said() == ["first", "b", "a"]


async def test_if_the_storage_fails_the_chat_is_completed_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("seen", "put_in_order"):
        await miss(harness, f"{method} a")
        failed = asyncio.Event()

        async def fail(*_: Any, failed: asyncio.Event = failed) -> Any:
            monkeypatch.undo()
            failed.set()
            raise StorageUnavailable("The storage is away.")

        monkeypatch.setattr(harness.storage, method, fail)
        harness.text(f"{method} b")
        await asyncio.wait_for(failed.wait(), PATIENCE_S)
        # The worker waits a second before it uses the storage again. Its wait begins after the failure.
        await settled(100)
        harness.clock.advance(60)
        await harness.settle()
    assert harness.said() == ["first", "seen a", "seen b", "put_in_order a", "put_in_order b"]


async def test_if_the_lease_is_lost_while_linq_is_asked_the_chat_is_completed_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await miss(harness, "a")

    put_in_order = harness.storage.put_in_order

    async def lose(lane: str, missed: Any, lease: Lease) -> int:
        monkeypatch.undo()
        await put_in_order(lane, (), lease)
        raise LeaseLost("The process was suspended for longer than its lease.")

    monkeypatch.setattr(harness.storage, "put_in_order", lose)
    await write(harness, "b", after_s=0.1)  # before Linq retries the other one
    assert harness.said() == ["first", "a", "b"]


async def test_no_chat_waits_if_the_setting_is_zero(harness: Harness) -> None:
    await harness.stop()
    await write(harness, "a")
    harness.settings["order_wait_s"] = 0
    await harness.start()
    await write(harness, "b")
    await harness.retries()
    assert (harness.said(), harness.lists()) == (["first", "b", "a"], 0)


@pytest.mark.parametrize("why", ["the storage is full", "the clock is an hour ahead"])
async def test_a_refused_delivery_opens_a_gap_for_its_chat_only(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    now = SystemClock.now

    with monkeypatch.context() as patch:
        if why == "the storage is full":
            patch.setattr(harness.storage, "put", refuse)
        else:
            patch.setattr(SystemClock, "now", lambda _: now() + 3600)
        await write(harness, "a")
    await write(harness, "b")
    assert harness.said() == ["first", "a", "b"]
    harness.clock.advance(1)
    harness.emulator.do(Write(from_="+14155550143", to=LINE, parts=[{"type": "text", "value": "from another chat"}]))
    await harness.settle()
    assert harness.lists() == 1


async def test_messages_from_before_the_first_webhook_are_not_fetched_by_the_process_that_received_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(tmp_path)
    async with harness.emulator:
        # Linq retries it later than the following messages are written.
        await write(harness, "before")
        await harness.start()
        await write(harness, "first", after_s=0.2)
        put = harness.storage.put

        monkeypatch.setattr(harness.storage, "put", refuse)
        await write(harness, "a", after_s=0.2)
        monkeypatch.setattr(harness.storage, "put", put)
        await write(harness, "b", after_s=0.2)
        assert harness.said() == ["first", "a", "b"]
        await harness.stop()


@pytest.mark.parametrize(("gap_s", "said"), [(40 * 60, ["first", "a", "b"]), (2 * 3600, ["first", "late: a", "b"])])
async def test_a_message_that_linq_gave_up_on_is_answered_in_order_if_it_is_recent(
    harness: Harness, gap_s: float, said: list[str]
) -> None:
    await harness.stop()
    await write(harness, "a")
    await harness.retries(gap_s)
    await harness.start()
    await harness.settle()
    await write(harness, "b")
    assert harness.said() == said
    assert harness.way.app is not None
    async with httpx.AsyncClient(transport=harness.way.app, base_url="http://bot") as http:
        assert (await http.get("/readyz")).json()["lost"] == 1


async def test_a_stop_while_linq_is_asked_releases_the_message(harness: Harness) -> None:
    await miss(harness, "a")
    harness.emulator.world.faults.add(Fault(on="api", match="GET /v3/chats", delay_ms=60_000))
    harness.text("b")
    while harness.emulator.world.faults.active:  # until Linq is asked
        await asyncio.sleep(0.001)
    await harness.stop()
    await harness.start()
    await harness.settle()
    assert harness.said() == ["first", "a", "b"]
