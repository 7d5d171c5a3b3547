"""Scheduled sends go out once, in their chat's order, after restarts too, and not if they are too late."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from engine_turns import turns_of
from fakes import CHAT, NOW, Linq, delivery, text_body
from patience import PATIENCE_S

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.clock import MovableClock
from linqbot.engine.worker import Worker
from linqbot.errors import BotError, LinqApiError, RuleBroken
from linqbot.features.later import due_at
from linqbot.linq.events.message import MessageReceived
from linqbot.options import GRACE_S
from linqbot.storage.inbox import Lease
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.testing import talking

pytestmark = pytest.mark.anyio


class Taking(SQLiteStorage):
    """A storage that shows when a `take` is running, whose leases are not in a turn yet."""

    is_taking = False

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        self.is_taking = True
        try:
            return await super().take(limit, lease_s=lease_s)
        finally:
            self.is_taking = False


class Harness:
    """A running bot with a storage file, a frozen clock, and a Linq that records calls."""

    def __init__(self, folder: Path, clock: MovableClock, linq: Linq, bot: Bot, keep_days: float) -> None:
        self.clock, self.linq = clock, linq
        self.storage = Taking(folder / "bot.db", clock=clock, keep_days=keep_days)
        turns = turns_of(bot, linq, self.storage, clock, serving_since=clock.now())
        self.worker = Worker(turns, self.storage, clock)

    async def text(self, text: str = "hello", **changes: Any) -> None:
        await self.storage.put(delivery(text_body(text, **changes)))
        await self.wait_until_idle()

    async def wait_until_idle(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.fired()
            while self.worker.busy or self.storage.is_taking or await self.is_something_ready():
                await asyncio.sleep(0.001)

    async def is_something_ready(self) -> bool:
        due = await self.storage.next_due()
        return await self.storage.depth() > 0 and (due is None or due <= self.clock.now())

    async def fired(self) -> None:
        """Wait until everything due is a delivery in its lane, and the worker has tried to lease it."""
        while (due := await self.storage.next_timer()) is not None and due <= self.clock.now():
            await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0.001)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.wait_until_idle()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOW, frozen=True)


def make_bot() -> Bot:
    return Bot(read=False, typing=False, groups="all", max_age_s=None)


@contextlib.asynccontextmanager
async def working(
    folder: Path, clock: MovableClock, linq: Linq, bot: Bot, *, keep_days: float = 0
) -> AsyncIterator[Harness]:
    harness = Harness(folder, clock, linq, bot, keep_days)
    async with harness.storage:
        harness.worker.start()
        try:
            yield harness
        finally:
            await harness.worker.stop(0)


async def test_a_send_goes_out_when_it_is_due_and_not_before(tmp_path: Path, clock: MovableClock) -> None:
    bot, linq = make_bot(), Linq()

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("two", after_s=20)
        await ctx.send_later("one", "and a half", at=datetime.fromtimestamp(NOW + 10, UTC))
        assert [entry.due for entry in await ctx.scheduled()] == [
            datetime.fromtimestamp(NOW + s, UTC) for s in (10, 20)
        ]

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
        await harness.advance(9)
        assert linq.said() == []
        await harness.advance(1)
        assert linq.said() == ["one", "and a half"]
        await harness.advance(100)
        assert linq.said() == ["one", "and a half", "two"]
    assert {call.path for call in linq.calls} == {f"/v3/chats/{CHAT}/messages"}
    assert len({call.key for call in linq.calls}) == 3


async def test_scheduled_sends_of_a_zero_retention_line_are_not_kept_with_any_history_setting(
    tmp_path: Path, clock: MovableClock
) -> None:
    bot, linq = make_bot(), Linq()

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("marker now")
        await ctx.send_later("marker later", after_s=20)

    async with working(tmp_path, clock, linq, bot, keep_days=9) as harness:
        await harness.text("marker", zero_retention=True)
        await harness.advance(21)
    assert linq.said() == ["marker now", "marker later"]
    with sqlite3.connect(tmp_path / "bot.db") as db:
        kept = b"".join(b"".join(map(bytes, row)) for row in db.execute("SELECT body FROM done"))
        said = b"".join(bytes(call) for (call,) in db.execute("SELECT call FROM journal"))
    db.close()
    assert (b"marker" in kept, b"marker" in said) == (False, False)


async def test_a_cancellation_holds_even_if_the_handler_fails(tmp_path: Path, clock: MovableClock) -> None:
    bot, linq = make_bot(), Linq()

    @bot.on_message("put off")
    async def put_off(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("later", after_s=3600)

    @bot.on_message("take back", attempts=1)
    async def take_back(message: MessageReceived, ctx: Context) -> None:
        (waiting,) = await ctx.scheduled()
        await ctx.cancel(waiting)
        await ctx.send_later("instead", after_s=3600)
        raise ValueError

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text("put off")
        await harness.text("take back")
        assert len(await harness.storage.dead_letters()) == 1
        assert await harness.storage.scheduled() == []
        await harness.advance(7200)
    assert linq.said() == []


@pytest.mark.parametrize(("late_s", "said"), [(600, ["in grace"]), (7200, [])])
async def test_after_a_downtime_a_scheduled_send_is_sent_once_or_dead_lettered(
    tmp_path: Path, clock: MovableClock, late_s: float, said: list[str]
) -> None:
    bot, linq = make_bot(), Linq()

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("in grace", after_s=60, grace_s=3600)

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
    clock.advance(60 + late_s)
    for _ in range(2):
        async with working(tmp_path, clock, linq, bot) as harness:
            await harness.wait_until_idle()
            dead = await harness.storage.dead_letters()
    assert linq.said() == said
    assert [letter.error.startswith("A message of send_later was due 7200 s ago") for letter in dead] == [True] * (
        1 - len(said)
    )


async def test_a_time_that_is_long_over_is_given_up_and_the_turn_goes_on(tmp_path: Path, clock: MovableClock) -> None:
    bot, linq = make_bot(), Linq()

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        for hours in (1, 3):
            await ctx.send_later(f"{hours}", at=ctx.now() - timedelta(hours=hours), grace_s=7200)

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
        await harness.wait_until_idle()
        [dead] = await harness.storage.dead_letters()
    assert linq.said() == ["1"]
    assert "was due 10800 s ago" in dead.error


async def test_a_send_that_is_due_while_a_handler_runs_follows_its_last_bubble(
    tmp_path: Path, clock: MovableClock
) -> None:
    bot, linq, go = make_bot(), Linq(), asyncio.Event()

    @bot.on_message("plan")
    async def plan(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("due", after_s=5)

    @bot.on_message
    async def slow(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("first")
        await go.wait()
        await ctx.reply("last")

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text("plan")
        await harness.storage.put(delivery(text_body("slow")))
        while not linq.said():
            await asyncio.sleep(0.001)
        clock.advance(10)
        await harness.fired()
        go.set()
        await harness.wait_until_idle()
    assert linq.said() == ["first", "last", "due"]


async def test_a_due_send_waits_for_the_end_of_an_outage_and_respects_an_opt_out(
    tmp_path: Path, clock: MovableClock
) -> None:
    bot, linq = make_bot(), Linq()

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("later", after_s=5)

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
        linq.will_answer("chats.messages.send", LinqApiError("opted out", status=403, code=2024))
        await harness.advance(10)
        assert await harness.storage.dead_letters() == []
        await harness.text("again")
        linq.will_answer("chats.messages.send", LinqApiError("blocked", status=403, code=2026))
        await harness.advance(10)
        (dead,) = await harness.storage.dead_letters()
        assert "2026" in dead.error


async def test_what_could_not_be_sent_is_refused_when_it_is_scheduled(tmp_path: Path, clock: MovableClock) -> None:
    bot, linq, caught = make_bot(), Linq(), []
    wrongs: list[tuple[list[str], dict[str, Any]]] = [
        ([], {"after_s": 5}),
        ([], {"every": "hour", "timezone": "UTC"}),
        (["x"], {}),
        *((["x"], {"after_s": wrong}) for wrong in (-1, float("nan"), float("inf"), 1e18, "5", timedelta(hours=1))),
        *((["x"], {"after_s": 5, "grace_s": wrong}) for wrong in ("60", float("nan"))),
        (["x"], {"at": "tomorrow"}),
        (["x"], {"at": datetime(2030, 7, 1), "timezone": ZoneInfo("Europe/Paris")}),  # noqa: DTZ001
        (["x"], {"after_s": 5, "effect": "confeti"}),
    ]

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        for content, how in wrongs:
            try:
                await ctx.send_later(*content, **how)
            except (RuleBroken, BotError) as error:
                caught.append(type(error).__name__)

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
        assert await harness.storage.scheduled() == []
    assert caught == ["BotError"] * (len(wrongs) - 1) + ["RuleBroken"]


def test_times_are_interpreted_in_their_zone() -> None:
    noon = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - the zone is said apart
    assert due_at(noon, None, "Europe/Paris", NOW) == datetime(2026, 7, 1, 10, tzinfo=UTC).timestamp()
    assert due_at(noon.replace(tzinfo=UTC), None, None, NOW) == noon.replace(tzinfo=UTC).timestamp()
    assert due_at(None, 90, None, NOW) == NOW + 90
    # Wall time over the change of clocks: 09:00 stays 09:00.
    nine = datetime(2026, 3, 28, 9)  # noqa: DTZ001
    winter, summer = (due_at(nine + timedelta(days=n), None, "Europe/Paris", NOW) for n in (0, 1))
    assert timedelta(seconds=summer - winter) == timedelta(hours=23)
    # 02:30 does not exist in the night when summer begins, and comes twice in the night when summer ends.
    skipped, doubled = datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - as above
    half_past_three = datetime.fromisoformat("2026-03-29T03:30+02:00").timestamp()
    first = datetime.fromisoformat("2026-10-25T02:30+02:00").timestamp()
    assert due_at(skipped, None, "Europe/Paris", NOW) == half_past_three
    assert due_at(doubled, None, "Europe/Paris", NOW) == first
    assert due_at(doubled.replace(fold=1), None, "Europe/Paris", NOW) == first + 3600
    wrongs: list[tuple[datetime | None, float | None, str | None]] = [
        (noon, None, None),
        (noon, 5, None),
        (noon, None, "Mars/Olympus"),
        (noon.replace(tzinfo=UTC), None, "UTC"),
    ]
    for at, after_s, timezone in wrongs:
        with pytest.raises(BotError):
            due_at(at, after_s, timezone, NOW)


@pytest.mark.slow
async def test_a_send_that_is_due_while_linq_is_away_waits_as_a_reply_does() -> None:
    """A message of the person that cannot be answered waits in front of it."""
    bot = Bot()

    @bot.on_message("remind me")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("It is time.", after_s=60)

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> str:
        return f"echo: {message.text}"

    async with talking(bot) as phone:
        await phone.text("remind me")
        phone.fail_next("POST /v3", status=503, times=100_000)
        await phone.text("hello")
        await phone.advance(60 + GRACE_S + 60)
        phone.emulator.world.faults.clear()
        await phone.advance(3600)
        assert await phone.replies() == ["echo: hello", "It is time."]


@pytest.mark.parametrize(("down_s", "said"), [(600, ["It is time."]), (7200, [])])
async def test_a_send_whose_server_stops_before_it_has_begun_is_made_within_its_grace(
    tmp_path: Path, clock: MovableClock, down_s: float, said: list[str]
) -> None:
    bot, linq = Bot(read=False, typing=False), Linq()

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("It is time.", after_s=60)

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
    async with SQLiteStorage(tmp_path / "bot.db", clock=clock) as storage:
        clock.advance(60)
        assert await storage.fire(clock.now()) == 1
        clock.advance(down_s)
    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.wait_until_idle()
    assert linq.said() == said


async def test_a_handler_that_fails_and_runs_again_schedules_once(tmp_path: Path, clock: MovableClock) -> None:
    bot, linq, fails = make_bot(), Linq(), [True]

    @bot.on_message
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("once", after_s=60)
        if fails:
            fails.pop()
            raise ValueError

    async with working(tmp_path, clock, linq, bot) as harness:
        await harness.text()
        assert await harness.storage.scheduled() == []
        await harness.advance(2)
        assert len(await harness.storage.scheduled()) == 1
        await harness.advance(3600)
    assert linq.said() == ["once"]
