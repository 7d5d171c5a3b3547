"""What a failure means, and that no send happens twice: turns over real files, with a record of calls."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from mortal import Mortal, die
from rooms import CHAT, LINE, NOW, Linq, delivery, envelope, handle, text_body

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.call import ApiResponse, Call
from linqbot.clock import MovableClock
from linqbot.errors import LinqApiError, LinqUnavailable, RateLimited, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.events.message import MessageReceived
from linqbot.storage.inbox import Lease
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.worker.failure import RetryPolicy
from linqbot.worker.rate_limit import SendRateLimit
from linqbot.worker.turn import Turns
from linqbot.worker.turn_journal import journal_key
from linqbot.worker.worker import Worker

pytestmark = pytest.mark.anyio
Handle = Callable[[MessageReceived, Context], Awaitable[None]]


class House:
    """A bot with one handler, its storage, and a clock that stands still."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.linq = Linq()
        self.storage = SQLiteStorage(folder / "bot.db", clock=self.clock)
        self._path = folder / "bot.db"
        self._stack = stack
        self._mortal = Mortal()

    async def open(self) -> None:
        await self._stack.enter_async_context(self.storage)

    async def crash(self) -> None:
        """Go on with the files as a kill would leave them now."""
        self.linq.before = None
        folder = self._path.parent / "after"
        folder.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{self._path}{suffix}", folder / f"{self._path.name}{suffix}")
        self._path = folder / self._path.name
        self.storage = SQLiteStorage(self._path, clock=self.clock)
        await self.open()
        await self._mortal.clear()

    def turns(self, handle: Handle, **retry_policy: Any) -> Turns:
        bot = Bot(read=False, typing=False, groups="all")
        bot.on_message(handle)
        return Turns(
            Dispatcher(bot, self.clock, deadline_s=retry_policy.get("deadline_s", 900)),
            self.linq.client,
            self.storage,
            self.clock,
            SendRateLimit(self.clock),
            RetryPolicy(**retry_policy),
        )

    async def lease(self) -> Lease:
        (lease,) = await self.storage.take(1, lease_s=1000)
        return lease

    async def run(self, handle: Handle, **retry_policy: Any) -> None:
        await self.turns(handle, **retry_policy).run(await self.lease())

    async def die(self, handle: Handle) -> None:
        """Run a turn the process dies in, and start again."""
        assert await self._mortal.until_death(self.run(handle))
        await self.crash()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with contextlib.AsyncExitStack() as stack:
        opened = House(tmp_path, stack)
        await opened.open()
        yield opened


async def put(house: House, text: str = "hello", **changes: Any) -> Delivery:
    arrived = delivery(text_body(text, **changes))
    await house.storage.put(arrived)
    return arrived


async def three(message: MessageReceived, ctx: Context) -> None:
    for text in ("one", "two", "three"):
        await ctx.reply(text)


def keys(house: House) -> list[str]:
    return [call.key or "" for call in house.linq.calls if call.safety == "keyed"]


async def test_a_turn_that_ends_well_is_gone(house: House) -> None:
    await put(house)
    await house.run(three)
    assert house.linq.said() == ["one", "two", "three"]
    assert await house.storage.depth() == 0


async def test_what_nobody_handles_is_acked_without_being_understood(house: House) -> None:
    turns = house.turns(three)
    for data in ({"message_id": "m", "reaction_type": "love", "is_from_me": False}, {}):
        await house.storage.put(delivery(envelope("reaction.added", data)))
        await turns.run(await house.lease())
    assert await house.storage.depth() == 0
    assert await house.storage.dead_letters() == []


async def test_each_send_carries_a_key_of_its_own_that_any_run_would_make_again(house: House) -> None:
    arrived = await put(house)
    await house.run(three)
    assert keys(house) == [journal_key(house.storage.install, arrived.id, 0, str(n)) for n in range(3)]
    assert len(set(keys(house))) == 3


async def test_keys_differ_between_installations_and_fit_linqs_pattern() -> None:
    assert journal_key("a", "w.1", 0, "0") != journal_key("b", "w.1", 0, "0")
    assert len(journal_key("a", "w.1", 0, "0")) == 32
    assert journal_key("a", "w.1", 0, "0").isalnum()
    # As every release made it: another one would send again, after an upgrade, what the one before sent.
    assert journal_key("a", "w.1", 0, "0") == "lbpy5aqgldcbmtf436scfigpsyyy44ff"


async def test_a_send_is_on_record_before_it_is_tried(house: House) -> None:
    arrived = await put(house)
    found: list[str] = []

    async def look(_: Call) -> None:
        found.extend(entry.status for entry in await house.storage.entries(arrived.id))

    house.linq.before = look
    await house.run(three)
    # Outcomes ride on the turn's end, so while it runs every record still says attempting.
    assert found == ["attempting"] * (1 + 2 + 3)


async def test_after_a_failure_what_was_sent_is_not_sent_again(house: House) -> None:
    await put(house)
    fails = [True]

    async def half(message: MessageReceived, ctx: Context) -> None:
        first = await ctx.reply("one")
        if fails:
            fails.pop()
            raise ValueError("after the first")
        assert first.id == "sent-1"
        await ctx.reply("two")

    turns = house.turns(half)
    await turns.run(await house.lease())
    house.clock.advance(1)
    await turns.run(await house.lease())
    assert house.linq.said() == ["one", "two"]


@pytest.mark.parametrize("dies_at", [1, 2, 3])
@pytest.mark.parametrize("answered", [True, False], ids=["after the answer", "before it"])
async def test_after_a_crash_a_send_is_repeated_only_under_its_own_key(
    house: House, dies_at: int, answered: bool
) -> None:
    await put(house)
    lives = 2

    async def die_before_the_answer(_: Call) -> None:
        if len(house.linq.calls) + 1 == dies_at:
            await die()

    async def mortal(message: MessageReceived, ctx: Context) -> None:
        nonlocal lives
        lives -= 1
        for n, text in enumerate(("one", "two", "three"), 1):
            await ctx.reply(text)
            if lives and answered and n == dies_at:
                await die()

    if not answered:
        house.linq.before = die_before_the_answer
    await house.die(mortal)
    await house.run(mortal)
    # Linq drops what it has seen under the same key; everything else went out once.
    by_key = dict(zip(keys(house), house.linq.said(), strict=True))
    assert list(by_key.values()) == ["one", "two", "three"]


async def test_what_is_repeated_is_the_stored_call_whatever_the_handler_says_now(house: House) -> None:
    await put(house)
    words = iter(["first thought", "second thought"])

    async def die_once(_: Call) -> None:
        house.linq.before = None
        await die()

    async def fickle(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(next(words))

    house.linq.before = die_once
    await house.die(fickle)
    await house.run(fickle)
    assert house.linq.said() == ["first thought"]


async def test_a_raw_client_call_is_as_safe_as_reply(house: House) -> None:
    await put(house)
    fails = [True]

    async def raw(message: MessageReceived, ctx: Context) -> None:
        content = {"parts": [{"type": "text", "value": "raw"}]}
        await ctx.client.chats.messages.send(message.chat.id, message=content)
        if fails:
            fails.pop()
            raise ValueError

    turns = house.turns(raw)
    await turns.run(await house.lease())
    house.clock.advance(1)
    await turns.run(await house.lease())
    assert house.linq.said() == ["raw"]


async def test_gathered_sends_go_out_in_the_order_they_were_written(house: House) -> None:
    await put(house)

    async def gathered(message: MessageReceived, ctx: Context) -> None:
        await asyncio.gather(*(ctx.send(str(n)) for n in range(10)))

    await house.run(gathered)
    assert house.linq.said() == [str(n) for n in range(10)]


OURS = {"is_from_me": True, "delivery_status": "sent", "chat_id": CHAT}
AUDIO = {"parts": [{"type": "media", "mime_type": "audio/mp4"}]}


@pytest.mark.parametrize(
    ("newest", "status"),
    [
        ([{"id": "memo", "created_at": "2026-11-05T17:33:20Z", **OURS, **AUDIO}], "sent"),
        ([{"id": "old", "created_at": "2026-11-05T17:33:14Z", **OURS, **AUDIO}], "ambiguous"),
        ([{"id": "text", "created_at": "2026-11-05T17:33:20Z", **OURS, "parts": [{"type": "text"}]}], "ambiguous"),
        ([{"id": "theirs", "created_at": "2026-11-05T17:33:20Z", **OURS, **AUDIO, "is_from_me": False}], "ambiguous"),
        ([], "ambiguous"),
    ],
)
async def test_a_call_that_may_not_be_repeated_is_looked_up(
    house: House, newest: list[dict[str, Any]], status: str
) -> None:
    arrived = await put(house)
    statuses: list[str | None] = []

    async def memo(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.client.chats.send_voicememo(CHAT, voice_memo_url="https://x.test/a.m4a")
        statuses.append(sent.voice_memo.status)
        await ctx.reply("and so on")

    async def die_there(_: Call) -> None:
        await die()

    house.linq.before = die_there
    await house.die(memo)
    house.linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": newest, "next_cursor": None}))
    await house.run(memo)
    assert statuses == [status]
    assert house.linq.names() == ["chats.messages.send"]
    on_record = await house.storage.entries(arrived.id)
    assert [entry.status for entry in on_record] == ["accepted" if status == "sent" else "ambiguous", "accepted"]


async def failing(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("my text is secret")


async def test_a_failing_handler_is_run_again_with_growing_pauses_and_then_dead_lettered(house: House) -> None:
    await put(house)
    turns = house.turns(failing, attempts=3, first_s=4)
    pauses = []
    for _ in range(2):
        await turns.run(await house.lease())
        due = await house.storage.next_due()
        assert due is not None
        pauses.append(due - house.clock.now())
        house.clock.advance(due - house.clock.now())
    assert 3 <= pauses[0] <= 4
    assert 6 <= pauses[1] <= 8
    await turns.run(await house.lease())
    (dead,) = await house.storage.dead_letters()
    assert dead.attempts == 3
    assert "ValueError" in dead.error
    assert dead.handler is not None
    assert dead.handler.endswith("failing")


async def test_the_log_of_a_failure_tells_where_and_not_what(house: House) -> None:
    await put(house, "a private text")
    with structlog.testing.capture_logs() as logs:
        await house.run(failing)
    (failed,) = [entry for entry in logs if entry["event"] == "turn.failed"]
    assert failed["at"].startswith("test_turn.py:")
    assert "secret" not in str(logs)
    assert "private" not in str(logs)


@pytest.mark.parametrize("error", [LinqUnavailable("away"), RateLimited("slow down", status=429, retry_after_s=90)])
async def test_linq_being_away_defers_the_turn_and_counts_nothing(house: House, error: Exception) -> None:
    await put(house)

    async def away(_: Call) -> None:
        house.clock.advance(30)  # longer than a send is tried in place
        raise error

    house.linq.before = away
    turns = house.turns(three, attempts=1)
    for _ in range(4):
        await turns.run(await house.lease())
        due = await house.storage.next_due()
        assert due is not None
        house.clock.advance(due - house.clock.now())
    house.linq.before = None
    await turns.run(await house.lease())
    assert house.linq.said() == ["one", "two", "three"]
    assert await house.storage.dead_letters() == []


async def test_a_wrong_key_costs_nobody_their_message(house: House) -> None:
    await put(house)
    house.linq.will_answer("chats.messages.send", *[LinqApiError("no", status=401, code=2004)] * 8)
    turns = house.turns(three, attempts=1)
    for _ in range(8):
        with structlog.testing.capture_logs() as logs:
            await turns.run(await house.lease())
        assert "LINQ_API_V3_API_KEY" in str(logs)
        house.clock.advance(60)
    await turns.run(await house.lease())
    assert house.linq.said()[-3:] == ["one", "two", "three"]
    assert await house.storage.dead_letters() == []


async def test_the_log_of_a_refusal_has_linqs_numbers(house: House) -> None:
    await put(house)
    house.linq.will_answer("chats.messages.send", LinqApiError("no", status=403, code=2026, call="chats.messages.send"))
    with structlog.testing.capture_logs() as logs:
        await house.run(three)
    (failed,) = [entry for entry in logs if entry["event"] == "turn.failed"]
    assert (failed["call"], failed["status"], failed["code"]) == ("chats.messages.send", 403, 2026)


async def test_a_short_absence_of_linq_is_waited_out_in_place(house: House) -> None:
    await put(house)
    house.linq.will_answer("chats.messages.send", LinqUnavailable("away"), LinqUnavailable("away"))
    running = asyncio.ensure_future(house.run(three))
    while not running.done():
        await asyncio.sleep(0)
        house.clock.advance(0.25)
    await running
    assert house.linq.said() == ["one", "one", "one", "two", "three"]
    assert len(set(keys(house))) == 3


async def test_a_turn_parked_for_a_day_is_dead_lettered(house: House) -> None:
    await put(house)

    async def away(_: Call) -> None:
        house.clock.advance(60)
        raise LinqUnavailable("away")

    house.linq.before = away
    turns = house.turns(three, defer_for_s=100)
    await turns.run(await house.lease())
    house.clock.advance(60)
    await turns.run(await house.lease())
    (dead,) = await house.storage.dead_letters()
    assert "It waited in vain" in dead.error


async def test_a_handler_cannot_swallow_the_parking_of_its_turn(house: House) -> None:
    await put(house)

    async def stubborn(message: MessageReceived, ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:
            for text in ("one", "two"):
                group.create_task(careless(ctx, text))

    async def careless(ctx: Context, text: str) -> None:
        try:
            await ctx.reply(text)
        except Exception:  # noqa: BLE001
            raise AssertionError("deferring is no Exception") from None

    async def away(_: Call) -> None:
        house.clock.advance(30)
        raise LinqUnavailable("away")

    house.linq.before = away
    await house.run(stubborn)
    assert await house.storage.next_due() is not None
    assert await house.storage.dead_letters() == []


async def test_a_refused_send_raises_and_may_be_corrected(house: House) -> None:
    await put(house)
    house.linq.will_answer("chats.messages.send", LinqApiError("blocked", status=403, code=2026))
    caught: list[int | None] = []

    async def tries(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply("first")
        except LinqApiError as error:
            caught.append(error.code)
        await ctx.reply("second")

    await house.run(tries)
    assert caught == [2026]
    assert house.linq.said() == ["first", "second"]


async def test_a_repeated_key_whose_message_is_gone_counts_as_sent(house: House) -> None:
    await put(house)

    async def die_once(_: Call) -> None:
        house.linq.before = None
        await die()

    house.linq.before = die_once
    await house.die(three)
    house.linq.will_answer("chats.messages.send", LinqApiError("gone", status=404, code=2002))
    await house.run(three)
    assert await house.storage.depth() == 0
    assert await house.storage.dead_letters() == []


async def test_an_event_that_kills_the_process_three_times_is_dead_lettered(house: House) -> None:
    await put(house)

    async def deadly(message: MessageReceived, ctx: Context) -> None:
        await die()

    for _ in range(3):
        await house.die(deadly)
    await house.run(deadly)
    (dead,) = await house.storage.dead_letters()
    assert "died 3 times" in dead.error


async def test_a_handler_past_its_deadline_has_failed(house: House) -> None:
    await put(house)

    async def endless(message: MessageReceived, ctx: Context) -> None:
        await asyncio.Event().wait()

    await house.run(endless, deadline_s=0.01, attempts=1)
    (dead,) = await house.storage.dead_letters()
    assert "TimeoutError" in dead.error


async def test_a_handler_may_say_for_itself_how_often_and_how_long_it_runs(house: House) -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_message("once", attempts=1)
    async def once(message: MessageReceived, ctx: Context) -> None:
        raise ValueError

    @bot.on_message(deadline_s=0.01, attempts=1)
    async def hurried(message: MessageReceived, ctx: Context) -> None:
        await asyncio.Event().wait()

    dispatcher = Dispatcher(bot, house.clock, deadline_s=5000)
    assert dispatcher.longest_s == 5000
    turns = Turns(dispatcher, house.linq.client, house.storage, house.clock, SendRateLimit(house.clock))
    for text in ("once", "anything"):
        await put(house, text)
        await turns.run(await house.lease())
    errors = [dead.error.rstrip().rpartition("\n")[2] for dead in await house.storage.dead_letters()]
    assert errors == ["TimeoutError: It did not end within 0.01 s.", "ValueError"]


async def test_more_than_linq_allows_in_a_minute_waits_without_holding_a_place(house: House) -> None:
    await put(house)

    async def chatty(message: MessageReceived, ctx: Context) -> None:
        for n in range(70):
            await ctx.send(str(n))

    turns = house.turns(chatty)
    deferred = 0
    while await house.storage.depth():
        await turns.run(await house.lease())
        if (due := await house.storage.next_due()) is not None:
            deferred += 1
            house.clock.advance(due - house.clock.now())
    assert house.linq.said() == [str(n) for n in range(70)]
    assert deferred == 2


async def test_a_turn_that_the_worker_stops_is_given_back_at_once(house: House) -> None:
    await put(house)
    started = asyncio.Event()

    async def endless(message: MessageReceived, ctx: Context) -> None:
        started.set()
        await asyncio.Event().wait()

    worker = Worker(house.turns(endless), house.storage, house.clock)
    worker.start()
    await started.wait()
    await worker.stop(0)
    again = await house.lease()
    assert (again.attempts, again.crashes) == (0, 0)


async def test_the_end_of_a_turn_waits_for_a_storage_that_comes_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(house)
    finish, refusals = house.storage.finish, [StorageUnavailable("full"), StorageUnavailable("full")]

    async def full(*args: Any) -> None:
        if refusals:
            raise refusals.pop()
        await finish(*args)

    monkeypatch.setattr(house.storage, "finish", full)
    running = asyncio.ensure_future(house.run(three))
    while not running.done():
        await asyncio.sleep(0)
        house.clock.advance(0.5)
    await running
    assert await house.storage.depth() == 0
    assert house.linq.said() == ["one", "two", "three"]


async def test_a_reply_to_the_bot_in_a_group_is_known_as_one(house: House) -> None:
    seen: list[bool] = []

    async def note(message: MessageReceived, ctx: Context) -> None:
        seen.append(message.replies_to_me)
        await ctx.reply("mine")

    await put(house, is_group=True)
    await house.run(note)
    await put(house, is_group=True, reply_to={"message_id": "sent-1", "part_index": 0})
    await house.run(note)
    await put(house, is_group=True, reply_to={"message_id": "10000000-0000-4000-8000-00000000ffff"})
    await house.run(note)
    assert seen == [False, True, False]
    # The journal knew the first; only the second had to be asked for.
    assert [call.name for call in house.linq.calls].count("messages.retrieve") == 1


async def test_receipts_are_noted_and_settle_a_send_whose_answer_was_lost(house: House) -> None:
    arrived = await put(house)

    async def die_there(_: Call) -> None:
        await die()

    house.linq.before = die_there
    await house.die(three)
    (lost,) = await house.storage.entries(arrived.id)
    assert lost.status == "attempting"
    outbound = {
        "id": "made",
        "chat": {"id": CHAT, "is_group": False, "owner_handle": handle(LINE, is_me=True)},
        "direction": "outbound",
        "sender_handle": handle(LINE, is_me=True),
        "parts": [],
        "idempotency_key": lost.key,
    }
    for event_type in ("message.delivered", "message.sent"):
        await house.storage.put(delivery(envelope(event_type, outbound)))
    # The chat's own lane still waits for its turn; receipts have one beside it.
    first, receipt = await house.storage.take(2, lease_s=1000)
    turns = house.turns(three)
    await turns.run(receipt)
    await turns.run(await house.lease())
    (settled,) = await house.storage.entries(arrived.id)
    assert (settled.status, settled.message_id, settled.delivery) == ("accepted", "made", "delivered")
    await turns.run(first)
    assert house.linq.said() == ["two", "three"]


async def test_a_turn_whose_record_cannot_be_read_waits_for_the_storage(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(house)
    await house.run(failing)
    house.clock.advance(10)

    async def unreadable(*_: Any) -> list[Any]:
        raise StorageUnavailable("locked")

    with monkeypatch.context() as patch:
        patch.setattr(house.storage, "entries", unreadable)
        await house.run(three)
    (waiting,) = await house.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("deferred", 1)
    house.clock.advance(10)
    await house.run(three)
    assert house.linq.said() == ["one", "two", "three"]
