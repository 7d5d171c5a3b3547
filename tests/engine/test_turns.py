"""Turns over real files: the outcome of each failure, and no send is made twice."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from engine_turns import turns_of
from fakes import CHAT, LINE, delivery, envelope, handle, text_body
from one_handler import bot_of, does
from patience import PATIENCE_S
from simulated_crash import Life, begun, crash

from linqbot import Bot, Context, LinqApiError, LinqUnavailable, MessageReceived, RateLimited
from linqbot.client.call import ApiResponse, Call
from linqbot.content.sending import with_standing_refusal
from linqbot.engine.failure import RetryPolicy
from linqbot.engine.turn_journal import journal_key
from linqbot.engine.turns import Turns
from linqbot.errors import StorageUnavailable
from linqbot.events import Delivery
from linqbot.storage.inbox import Lease
from linqbot.testing import HandlerFailed, talking

Handle = Callable[[MessageReceived, Context], Awaitable[None]]


class Harness(Life):
    """A bot with one handler, its storage, and a frozen clock."""

    arrived: Delivery

    def turns(self, handle: Handle, **retry_policy: Any) -> Turns:
        bot = bot_of(handle, read=False, typing=False, groups="all")
        return turns_of(bot, self.linq, self.storage, self.clock, retry_policy=RetryPolicy(**retry_policy))

    async def lease(self) -> Lease:
        (lease,) = await self.storage.take(1, lease_s=1000)
        return lease

    async def run(self, handle: Handle, **retry_policy: Any) -> None:
        await self.turns(handle, **retry_policy).run(await self.lease())

    async def pass_time_until_due(self) -> float:
        """Let the time pass until something is due, and return how long it was."""
        due = await self.storage.next_due()
        assert due is not None
        pause = due - self.clock.now()
        self.clock.advance(pause)
        return pause

    async def run_and_crash(self, handle: Handle, *, at_a_call: bool = False) -> None:
        """Run a turn in which the process crashes, or crashes at the first call of the handler, then restart."""
        if at_a_call:
            self.linq.before = lambda _: crash()
        assert await self.crashable.run(self.run(handle))
        await self.restart()


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Harness]:
    async with begun(Harness, tmp_path) as opened:
        yield opened


@pytest.fixture
async def harness(idle: Harness) -> Harness:
    """A harness in whose storage a message waits."""
    idle.arrived = await put(idle, "hello")
    return idle


async def put(harness: Harness, text: str, **changes: Any) -> Delivery:
    arrived = delivery(text_body(text, **changes))
    await harness.storage.put(arrived)
    return arrived


async def three(message: MessageReceived, ctx: Context) -> None:
    for text in ("one", "two", "three"):
        await ctx.reply(text)


def keys(harness: Harness) -> list[str]:
    return [call.key or "" for call in harness.linq.calls if call.safety == "keyed"]


async def test_a_delivery_without_a_handler_is_acked_without_being_parsed(idle: Harness) -> None:
    turns = idle.turns(three)
    for data in ({"message_id": "m", "reaction_type": "love", "is_from_me": False}, {}):
        await idle.storage.put(delivery(envelope("reaction.added", data)))
        await turns.run(await idle.lease())
    assert await idle.storage.depth() == 0
    assert await idle.storage.dead_letters() == []


async def test_a_mistake_in_linqbot_costs_a_delivery_not_its_chat(
    idle: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: Any, **__: Any) -> None:
        raise TypeError("no number")

    async def fails(message: MessageReceived, ctx: Context) -> None:
        raise ValueError

    await put(idle, "one")
    await put(idle, "two")
    with monkeypatch.context() as patched:
        patched.setattr("linqbot.engine.turns.decide", mistaken)
        await idle.run(fails)
    (dead,) = await idle.storage.dead_letters()
    assert dead.error.startswith("linqbot itself failed with TypeError at ")
    await idle.run(three)
    assert idle.linq.said() == ["one", "two", "three"]


async def test_each_send_has_its_own_key_which_is_the_same_in_every_run(harness: Harness) -> None:
    await harness.run(three)
    of_message = harness.arrived.message_key
    assert of_message is not None
    assert keys(harness) == [journal_key(harness.storage.install, of_message, 0, str(n)) for n in range(3)]
    assert len(set(keys(harness))) == 3


async def test_sends_under_one_key_and_under_similar_keys_have_their_own(harness: Harness) -> None:
    async def named(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("one", key="a")
        await ctx.reply("two", key="a")
        await ctx.reply("three", key="a.1")
        await ctx.reply("four", key="a+1")

    await harness.run(named)
    assert harness.linq.said() == ["one", "two", "three", "four"]
    assert len(set(keys(harness))) == 4


async def test_keys_differ_between_installations_and_fit_linqs_pattern() -> None:
    assert journal_key("a", "w.1", 0, "0") != journal_key("b", "w.1", 0, "0")
    assert len(journal_key("a", "w.1", 0, "0")) == 32
    assert journal_key("a", "w.1", 0, "0").isalnum()
    # Every release must make the same key. With another key, an upgrade would repeat earlier sends.
    assert journal_key("a", "w.1", 0, "0") == "lb7e3a081963105932f37e908a833e58"


@pytest.mark.parametrize("crashes_at", [1, 2, 3])
@pytest.mark.parametrize("answered", [True, False], ids=["after the answer", "before it"])
async def test_after_a_crash_a_send_is_repeated_under_its_key(
    harness: Harness, crashes_at: int, answered: bool
) -> None:
    lives = 2

    async def crash_before_the_answer(_: Call) -> None:
        if len(harness.linq.calls) + 1 == crashes_at:
            await crash()

    async def crashing(message: MessageReceived, ctx: Context) -> None:
        nonlocal lives
        lives -= 1
        for n, text in enumerate(("one", "two", "three"), 1):
            await ctx.reply(text)
            if lives and answered and n == crashes_at:
                await crash()

    if not answered:
        harness.linq.before = crash_before_the_answer
    await harness.run_and_crash(crashing)
    await harness.run(crashing)
    # Linq drops a call with a key that it has seen, so every message was sent once.
    by_key = dict(zip(keys(harness), harness.linq.said(), strict=True))
    assert list(by_key.values()) == ["one", "two", "three"]


async def test_the_stored_call_is_repeated_even_if_the_handler_words_it_differently_now(harness: Harness) -> None:
    words = iter(["first thought", "second thought"])

    async def fickle(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(next(words))

    await harness.run_and_crash(fickle, at_a_call=True)
    await harness.run(fickle)
    assert harness.linq.said() == ["first thought"]


async def test_a_deletion_that_was_made_before_its_answer_was_lost_is_no_error(harness: Harness) -> None:
    async def tidy(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.messages.delete(CHAT)
        await ctx.reply("Deleted.")

    await harness.run_and_crash(tidy, at_a_call=True)
    harness.linq.will_answer("messages.delete", LinqApiError("gone", status=404, code=2002))
    await harness.run(tidy)
    assert harness.linq.said() == ["Deleted."]
    assert await harness.storage.dead_letters() == []


def memo(statuses: list[str | None]) -> Handle:
    """Return a handler that sends a voice memo, which must not be repeated, and notes the status that Linq answers."""

    async def send(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.client.chats.send_voicememo(CHAT, voice_memo_url="https://x.test/a.m4a")
        statuses.append(sent.voice_memo.status)

    return send


MEMO = {
    "id": "memo",
    "created_at": "2026-11-05T17:33:20Z",
    "is_from_me": True,
    "delivery_status": "sent",
    "parts": [{"type": "media", "mime_type": "audio/mp4"}],
}


@pytest.mark.parametrize(
    ("newest", "status", "on_record"), [([MEMO], "sent", "accepted"), ([], "ambiguous", "ambiguous")]
)
async def test_a_call_that_may_not_be_repeated_is_looked_up(
    harness: Harness, newest: list[dict[str, Any]], status: str, on_record: str
) -> None:
    statuses: list[str | None] = []
    await harness.run_and_crash(memo(statuses), at_a_call=True)
    harness.linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": newest, "next_cursor": None}))
    await harness.run(memo(statuses))
    assert (statuses, harness.linq.names()) == ([status], [])
    assert [entry.status for entry in await harness.storage.entries(harness.arrived.id)] == [on_record]


def unsent() -> LinqUnavailable:
    error = LinqUnavailable("connection refused")
    error.is_unsent = True
    return error


@pytest.mark.parametrize("error", [RateLimited("slow down", status=429, retry_after_s=90), unsent()])
@pytest.mark.parametrize("is_replaceable", [False, True])
async def test_a_call_that_linq_has_certainly_not_made_is_made_when_linq_is_back(
    harness: Harness, error: Exception, *, is_replaceable: bool
) -> None:
    async def send(message: MessageReceived, ctx: Context) -> None:
        client = with_standing_refusal(ctx.client) if is_replaceable else ctx.client
        await client.chats.send_voicememo(CHAT, voice_memo_url="https://x.test/a.m4a")

    async def away(_: Call) -> None:
        harness.clock.advance(30)  # longer than a call is retried within its turn
        raise error

    harness.linq.before = away
    for _ in range(2):
        await harness.run(send)
        await harness.pass_time_until_due()
    harness.linq.before = None
    await harness.run(send)
    assert harness.linq.names() == ["chats.send_voicememo"]
    assert [entry.status for entry in await harness.storage.entries(harness.arrived.id)] == ["accepted"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_send_with_a_plainer_form_is_made_when_a_refusal_has_healed(harness: Harness, status: int) -> None:
    async def celebrate(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hooray", effect="confetti")

    async def refuse(_: Call) -> None:
        raise LinqApiError("no", status=status, code=2004)

    harness.linq.before = refuse
    await harness.run(celebrate)
    harness.linq.before = None
    harness.clock.advance(60)
    await harness.run(celebrate)
    assert harness.linq.said() == ["hooray"]


async def test_a_crash_in_the_second_attempt_of_a_call_makes_it_ambiguous(harness: Harness) -> None:
    statuses: list[str | None] = []

    async def away(_: Call) -> None:
        raise RateLimited("slow down", status=429, retry_after_s=90)

    harness.linq.before = away
    await harness.run(memo(statuses))
    harness.clock.advance(90)
    await harness.run_and_crash(memo(statuses), at_a_call=True)
    harness.linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": [], "next_cursor": None}))
    await harness.run(memo(statuses))
    assert statuses == ["ambiguous"]


async def failing(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("my text is secret")


async def test_a_failing_handler_is_retried_with_back_off_and_then_dead_lettered(harness: Harness) -> None:
    turns = harness.turns(failing, attempts=3, first_s=4)
    pauses = []
    for _ in range(2):
        await turns.run(await harness.lease())
        pauses.append(await harness.pass_time_until_due())
    assert 3 <= pauses[0] <= 4
    assert 6 <= pauses[1] <= 8
    await turns.run(await harness.lease())
    (dead,) = await harness.storage.dead_letters()
    assert dead.attempts == 3
    assert "ValueError" in dead.error
    assert dead.handler is not None
    assert dead.handler.endswith("failing")


def test_the_pause_before_a_retry_stays_at_its_maximum_however_often_a_handler_has_failed() -> None:
    policy = RetryPolicy()
    assert all(225 <= policy.pause_s(failures) <= 300 for failures in (10, 1024, 1025, 100_000))


def misspelt_name(message: MessageReceived, ctx: Context) -> object:
    return mesage.text  # type: ignore[name-defined] # noqa: F821


def misspelt_import(message: MessageReceived, ctx: Context) -> object:
    from linqbot import markdwn  # type: ignore[attr-defined]

    return markdwn


def unset(message: MessageReceived, ctx: Context) -> object:
    if message.text == "never":
        found = 1
    return found


def missing_package(message: MessageReceived, ctx: Context) -> object:
    return importlib.import_module("there_is_no_such_module")


async def wrong_argument(message: MessageReceived, ctx: Context) -> object:
    return await ctx.reply("hi", efect="confetti")  # type: ignore[call-arg]


async def without_argument(message: MessageReceived, ctx: Context) -> object:
    return await ctx.state.person()  # type: ignore[call-arg]


async def failure_of(slip: Callable[[Any, Any], object]) -> str:
    """Return what a test of an author says about a handler that makes a slip."""
    bot = Bot()

    @bot.on_message
    async def handle(message: MessageReceived, ctx: Context) -> None:
        if inspect.isawaitable(result := slip(message, ctx)):
            await result

    with pytest.raises(HandlerFailed) as failed:
        await hear_hi(bot)
    return str(failed.value)


async def hear_hi(bot: Bot) -> None:
    async with talking(bot) as phone:
        await phone.text("hi")
        await phone.quiet()


async def test_a_slip_of_the_author_is_given_up_at_once_and_an_error_of_data_is_retried() -> None:
    rows: list[tuple[Callable[[Any, Any], object], bool]] = [
        (lambda _, ctx: ctx.repl, True),
        (lambda message, _: message.txt, True),
        (lambda message, _: message.parts[0].vlue, True),
        (lambda _, ctx: ctx.state.persn, True),
        (lambda _, ctx: ctx.bot.snd, True),
        (lambda _, ctx: ctx.client.chts, True),
        (misspelt_name, True),
        (misspelt_import, True),
        (wrong_argument, True),
        (without_argument, True),
        (unset, False),
        (missing_package, False),
        (lambda _, ctx: ctx.match, True),
        (lambda message, _: re.match("order", message.text).group, False),  # type: ignore[union-attr]
        (lambda message, _: message.text.foo, False),
        (lambda _, __: len(5), False),  # type: ignore[arg-type]
    ]
    wrong = []
    for number, (slip, given_up) in enumerate(rows):
        said = await failure_of(slip)
        if ("It was given up." in said) != given_up:
            wrong.append((number, said))
    assert wrong == []


@pytest.mark.parametrize("status", [403, 404, 409])
async def test_a_call_that_linq_has_refused_is_made_again_in_the_next_run(harness: Harness, status: int) -> None:
    harness.linq.will_answer("chats.messages.send", LinqApiError("no", status=status, code=1005))
    await harness.run(three)
    await harness.pass_time_until_due()
    await harness.run(three)
    assert harness.linq.said()[-3:] == ["one", "two", "three"]
    assert (await harness.storage.depth(), await harness.storage.dead_letters()) == (0, [])


@pytest.mark.parametrize("handler", [three, memo([])])
async def test_an_outage_for_which_linq_names_a_time_is_not_asked_about_before(harness: Harness, handler: Any) -> None:
    calls: list[str] = []

    async def away(call: Call) -> None:
        calls.append(call.name)
        raise LinqUnavailable("maintenance", status=503, retry_after_s=300)

    harness.linq.before = away
    async with asyncio.timeout(PATIENCE_S):  # a wait within the turn would not end, because the clock stands still
        await harness.run(handler)
    assert len(calls) == 1
    assert await harness.storage.next_due() == harness.clock.now() + 300


async def test_a_repeated_key_whose_message_is_gone_counts_as_sent(harness: Harness) -> None:
    await harness.run_and_crash(three, at_a_call=True)
    harness.linq.will_answer("chats.messages.send", LinqApiError("gone", status=404, code=2002))
    await harness.run(three)
    assert {entry.status for entry in await harness.storage.entries(harness.arrived.id)} == {"accepted"}
    assert await harness.storage.depth() == 0
    assert await harness.storage.dead_letters() == []


async def test_a_handler_may_have_its_own_attempts_and_time_limit(idle: Harness) -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_message("once", attempts=1)
    async def once(message: MessageReceived, ctx: Context) -> None:
        raise ValueError

    bot.on_message(deadline_s=0.01, attempts=1)(does(lambda ctx: asyncio.Event().wait()))

    turns = turns_of(bot, idle.linq, idle.storage, idle.clock, retry_policy=RetryPolicy(deadline_s=5000))
    assert turns.dispatcher.longest_s == 5000
    for text in ("once", "anything"):
        await put(idle, text)
        await turns.run(await idle.lease())
    errors = [dead.whole_error.rstrip().rpartition("\n")[2] for dead in await idle.storage.dead_letters()]
    assert errors == ["TimeoutError: It did not end within 0.01 s.", "ValueError"]


async def test_sends_above_the_rate_limit_wait_without_occupying_a_slot(harness: Harness) -> None:
    async def chatty(message: MessageReceived, ctx: Context) -> None:
        for n in range(70):
            await ctx.send(str(n))

    turns = harness.turns(chatty)
    deferred = 0
    while await harness.storage.depth():
        await turns.run(await harness.lease())
        if (due := await harness.storage.next_due()) is not None:
            deferred += 1
            harness.clock.advance(due - harness.clock.now())
    assert harness.linq.said() == [str(n) for n in range(70)]
    assert deferred == 2


async def test_a_reply_to_the_bot_in_a_group_is_recognized(idle: Harness) -> None:
    seen: list[bool] = []

    async def note(message: MessageReceived, ctx: Context) -> None:
        seen.append(message.replies_to_me)
        await ctx.reply("mine")

    await put(idle, "hello", is_group=True)
    await idle.run(note)
    for answered in ("sent-1", "10000000-0000-4000-8000-00000000ffff", "no id of Linq's"):
        await put(idle, "hello", is_group=True, reply_to={"message_id": answered, "part_index": 0})
        await idle.run(note)
    assert seen == [False, True, False, False]
    # The journal knew the first message, so Linq was asked only for the second; the last one has no id to ask for.
    assert [call.name for call in idle.linq.calls].count("messages.retrieve") == 1


async def test_receipts_are_stored_and_settle_a_send_whose_answer_was_lost(harness: Harness) -> None:
    await harness.run_and_crash(three, at_a_call=True)
    (lost,) = await harness.storage.entries(harness.arrived.id)
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
        await harness.storage.put(delivery(envelope(event_type, outbound)))
    # The chat's own lane still waits for its turn. Receipts have a separate lane.
    first, receipt = await harness.storage.take(2, lease_s=1000)
    turns = harness.turns(three)
    await turns.run(receipt)
    await turns.run(await harness.lease())
    (settled,) = await harness.storage.entries(harness.arrived.id)
    assert (settled.status, settled.message_id, settled.delivery) == ("accepted", "made", "delivered")
    await turns.run(first)
    assert harness.linq.said() == ["two", "three"]


async def test_a_turn_that_cannot_read_its_journal_waits(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.run(failing)
    harness.clock.advance(10)

    async def unreadable(*_: Any) -> list[Any]:
        raise StorageUnavailable("locked")

    with monkeypatch.context() as patch:
        patch.setattr(harness.storage, "entries", unreadable)
        await harness.run(three)
    (waiting,) = await harness.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("deferred", 1)
    harness.clock.advance(10)
    await harness.run(three)
    assert harness.linq.said() == ["one", "two", "three"]


async def test_each_turn_is_logged_with_ids_and_places_only(idle: Harness) -> None:
    failures = iter([ValueError("secret text"), None])

    async def handle(message: MessageReceived, ctx: Context) -> None:
        if (error := next(failures)) is not None:
            raise error

    arrived = await put(idle, "secret text")
    turns = dataclasses.replace(idle.turns(handle), log_turns=True)
    with structlog.testing.capture_logs() as logs:
        await turns.run(await idle.lease())
        idle.clock.advance(10)
        await turns.run(await idle.lease())
    failed, acked = logs
    assert (failed["event"], failed["at"].partition(":")[0]) == ("turn.failed", "test_turns.py")
    assert acked.pop("ms") >= 0
    handler = f"{__name__}:{handle.__qualname__}"
    assert acked == {
        "event": "turn.acked",
        "log_level": "info",
        "delivery": arrived.id,
        "type": "message.received",
        "handler": handler,
        "attempt": 2,
    }
    assert "secret text" not in str(logs)


async def test_turns_that_run_no_handler_of_a_receipt_are_not_logged(idle: Harness) -> None:
    receipt = envelope("message.delivered", {"message_id": "m", "chat_id": CHAT})
    turns = dataclasses.replace(idle.turns(three), log_turns=True)
    for body in (receipt, receipt.replace(b"00000000-0000", b"00000001-0000")):
        await idle.storage.put(delivery(body))
        with structlog.testing.capture_logs() as logs:
            await turns.run(await idle.lease())
        assert [entry for entry in logs if entry["log_level"] == "info"] == []
    assert await idle.storage.depth() == 0
