"""No verdict, no send: what plugins say about calls, over whole turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog
from mortal import Mortal, die
from rooms import CHAT, NOW, Linq, delivery, text_body

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.clock import MovableClock
from linqbot.errors import LinqApiError, NoVerdict, Refused
from linqbot.events.message import MessageReceived
from linqbot.hookspecs import hookimpl
from linqbot.plugins.loading import load
from linqbot.plugins.registry import Plugins
from linqbot.storage.memory import MemoryStorage
from linqbot.storage.timers import Timer
from linqbot.worker.outbound_plugins import Outbound
from linqbot.worker.rate_limit import SendRateLimit
from linqbot.worker.scheduled_send import timer
from linqbot.worker.turn import Turns

pytestmark = pytest.mark.anyio

Handle = Callable[[MessageReceived, Context], Awaitable[None]]
Ask = Callable[[Call, Run], Awaitable[Any]]


def plugin(ask: Ask, *, name: str = "gate", required: bool = False) -> Any:
    """A plugin whose outbound middleware is `ask(call, run)`."""

    class Gate:
        @hookimpl
        def register_outbound(self) -> Any:
            def wrap(run: Run) -> Run:
                async def asked(call: Call) -> ApiResponse:
                    answer: ApiResponse = await ask(call, run)
                    return answer

                return asked

            return [wrap]

    gate: Any = Gate()
    gate.name, gate.required = name, required
    return gate


class House:
    """A worker's turns, with plugins, over a storage in memory."""

    def __init__(self) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.storage = MemoryStorage(clock=self.clock)
        self.linq = Linq()
        self.plugins = Plugins()
        self.mortal = Mortal()

    async def run(self, handle: Handle, *given: Any, text: str | None = "hello") -> None:
        """One turn: of a new message, or with `text=None` of what waits."""
        self.plugins = load(given)
        outbound = Outbound(self.plugins)
        bot = Bot(read=False, typing=False)
        bot.on_message(handle)
        if text is not None:
            await self.storage.put(delivery(text_body(text)))
        (lease,) = await self.storage.take(1, lease_s=1000)
        client = self.linq.client.wrapped(outbound.observed)
        dispatcher = Dispatcher(bot, self.clock, plugins=self.plugins)
        turns = Turns(dispatcher, client, self.storage, self.clock, SendRateLimit(self.clock), outbound=outbound)
        await self.mortal.until_death(turns.run(lease))

    async def crash(self) -> None:
        """Let the lease run out, as after a death of the process."""
        self.linq.before = None
        self.clock.advance(2000)

    def status(self) -> str:
        return self.plugins.report()["gate"]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    async with made.storage:
        yield made
        await made.mortal.clear()


def says(call: Call) -> str:
    return str(call.body["message"]["parts"][0]["value"]) if call.body and "message" in call.body else ""


async def refuse_no(call: Call, run: Run) -> ApiResponse:
    if "no" in says(call):
        raise Refused("it says no")
    return await run(call)


async def fail(call: Call, run: Run) -> ApiResponse:
    raise ValueError(says(call))


async def pass_on(call: Call, run: Run) -> ApiResponse:
    return await run(call)


# Vetoes


async def test_a_refused_reply_ends_quietly_and_the_handler_goes_on(house: House) -> None:
    statuses: list[str] = []

    async def answer(message: MessageReceived, ctx: Context) -> None:
        for text in ("no", "yes"):
            sent = await ctx.reply(text)
            statuses.append(sent.status)

    with structlog.testing.capture_logs() as logs:
        await house.run(answer, plugin(refuse_no))
    assert (statuses, house.linq.said()) == (["refused", "accepted"], ["yes"])
    assert (await house.storage.depth(), await house.storage.dead_letters()) == (0, [])
    (line,) = [line for line in logs if line["event"] == "send.refused"]
    assert (line["plugin"], line["reason"]) == ("gate", "it says no")
    assert house.status() == "active"


async def test_a_refused_tapback_is_left_out(house: House) -> None:
    async def refuse(call: Call, run: Run) -> ApiResponse:
        raise Refused("nothing now")

    async def love(message: MessageReceived, ctx: Context) -> None:
        await ctx.react("love")

    await house.run(love, plugin(refuse))
    assert (house.linq.names(), await house.storage.dead_letters()) == ([], [])


async def test_a_refused_call_of_the_client_raises_and_unhandled_makes_a_dead_letter(house: House) -> None:
    async def call(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": "no"}]})

    await house.run(call, plugin(refuse_no))
    (dead,) = await house.storage.dead_letters()
    assert dead.error == "A call was refused by gate: it says no"
    assert house.linq.names() == []


async def test_a_verdict_moves_no_effect_to_anothers_place(house: House) -> None:
    async def two(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("no one")
        await ctx.reply("two")

    async def die_at_two(call: Call) -> None:
        if says(call) == "two":
            await die()

    house.linq.before = die_at_two
    await house.run(two, plugin(pass_on))
    assert house.linq.said() == ["no one"]
    await house.crash()
    await house.run(two, plugin(refuse_no), text=None)
    # Were the refused call not counted, `two` would be taken for it and never be sent.
    assert house.linq.said() == ["no one", "two"]


async def test_gathered_sends_keep_their_order_through_slow_verdicts(house: House) -> None:
    gates = {"one": asyncio.Event(), "two": asyncio.Event()}

    async def wait(call: Call, run: Run) -> ApiResponse:
        if says(call) == "one":
            for _ in range(5):
                await asyncio.sleep(0)
        return await run(call)

    async def both(message: MessageReceived, ctx: Context) -> None:
        await asyncio.gather(ctx.send("one"), ctx.send("two"))

    await house.run(both, plugin(wait))
    assert (house.linq.said(), len(gates)) == (["one", "two"], 2)


# Changes


async def test_middleware_may_change_a_call(house: House) -> None:
    async def louder(call: Call, run: Run) -> ApiResponse:
        body: Any = call.body
        parts = [{**part, "value": part["value"].upper()} for part in body["message"]["parts"]]
        return await run(replace(call, body={**body, "message": {**body["message"], "parts": parts}}))

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("quiet")

    await house.run(answer, plugin(louder))
    assert house.linq.said() == ["QUIET"]


async def test_what_middleware_adds_is_not_sent_twice_after_a_crash(house: House) -> None:
    async def twice(call: Call, run: Run) -> ApiResponse:
        await run(call)
        return await run(replace(call, body={"message": {"parts": [{"type": "text", "value": "stop: write STOP"}]}}))

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hi")
        await die()

    await house.run(answer, plugin(twice))
    keys = [call.key for call in house.linq.calls]
    await house.crash()
    await house.run(answer, plugin(twice), text=None)
    repeated = [call.key for call in house.linq.calls]
    assert len(set(keys)) == 2
    # Neither outcome was written before the crash, so both are repeated under their keys, which Linq knows.
    assert repeated == keys * 2


# Failures


async def answer_and_hide(message: MessageReceived, ctx: Context) -> None:
    """As careless as a handler can be: it takes every error for a detail."""
    with contextlib.suppress(Exception):
        await ctx.reply("first")
    with contextlib.suppress(Exception):
        await ctx.reply("second")


async def test_without_a_required_plugins_verdict_nothing_is_sent_and_the_turn_asks_again(house: House) -> None:
    with structlog.testing.capture_logs() as logs:
        await house.run(answer_and_hide, plugin(fail, required=True))
    assert house.linq.calls == []
    (waiting,) = await house.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("deferred", 0)
    assert "gate failed: outbound middleware raised ValueError at test_outbound_plugins.py:" in str(waiting.error)
    assert house.status().startswith("failing: outbound middleware raised ValueError")
    assert "first" not in str(logs)
    house.clock.advance(40)
    await house.run(answer_and_hide, plugin(pass_on, required=True), text=None)
    assert house.linq.said() == ["first", "second"]


async def test_a_required_one_is_asked_again_for_the_next_call(house: House) -> None:
    errors = [ValueError("once")]

    async def once(call: Call, run: Run) -> ApiResponse:
        if errors:
            raise errors.pop()
        return await run(call)

    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("said")

    gate = plugin(once, required=True)
    await house.run(ask, gate)
    plugins = house.plugins
    assert plugins.report()["gate"].startswith("failing")
    await Outbound(plugins).wrap(house.linq.run)(_a_call())
    assert plugins.report()["gate"] == "active"


async def test_without_another_plugins_verdict_the_call_is_made_and_the_plugin_disabled(house: House) -> None:
    await house.run(answer_and_hide, plugin(fail))
    assert house.linq.said() == ["first", "second"]
    assert house.status().startswith("disabled: outbound middleware raised ValueError")


@pytest.mark.parametrize("required", [True, False])
async def test_what_fails_after_the_call_does_not_undo_or_repeat_it(house: House, required: bool) -> None:
    async def fail_late(call: Call, run: Run) -> ApiResponse:
        await run(call)
        raise ValueError("too late")

    await house.run(answer_and_hide, plugin(fail_late, required=required))
    assert house.linq.said() == ["first", "second"]
    assert (await house.storage.depth(), await house.storage.dead_letters()) == (0, [])


async def test_middleware_that_forgets_to_return_is_at_fault(house: House) -> None:
    async def forget(call: Call, run: Run) -> None:
        await run(call)

    await house.run(answer_and_hide, plugin(forget))
    assert house.linq.said() == ["first", "second"]
    assert "raised TypeError" in house.status()


async def test_linqs_errors_pass_through_and_are_not_the_plugins(house: House) -> None:
    house.linq.will_answer("chats.messages.send", LinqApiError("no", status=403, code=2001))
    raised: list[Exception] = []

    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply("refused by Linq")
        except LinqApiError as error:
            raised.append(error)

    await house.run(ask, plugin(pass_on))
    assert [type(error) for error in raised] == [LinqApiError]
    assert house.status() == "active"


async def test_a_hint_without_a_verdict_is_left_out_and_ends_no_turn(house: House) -> None:
    async def read(message: MessageReceived, ctx: Context) -> None:
        await ctx.mark_read()

    await house.run(read, plugin(fail, required=True))
    assert (house.linq.calls, await house.storage.depth()) == ([], 0)


async def test_a_read_without_a_verdict_defers_the_turn(house: House) -> None:
    async def look(message: MessageReceived, ctx: Context) -> None:
        with contextlib.suppress(Exception):
            await ctx.client.messages.retrieve("35179424-9c87-5f09-a3f3-60d07a9171ab")

    await house.run(look, plugin(fail, required=True))
    assert [each.state for each in await house.storage.waiting()] == ["deferred"]


# Due sends


def _a_call(text: str = "later") -> Call:
    return Call(
        "chats.messages",
        "send",
        "POST",
        f"/v3/chats/{CHAT}/messages",
        "keyed",
        {"message": {"parts": [{"type": "text", "value": text}]}},
        key_in=("message",),
    )


def _due(text: str) -> Timer:
    return timer("t1", CHAT, [_a_call(text)], NOW, 3600.0)


@pytest.mark.parametrize(
    ("text", "ask", "ended"),
    [("yes", refuse_no, "sent"), ("no", refuse_no, "dead"), ("yes", fail, "deferred")],
)
async def test_a_send_that_has_come_due_is_asked_about_then(house: House, text: str, ask: Ask, ended: str) -> None:
    await house.storage.schedule(_due(text))
    await house.storage.fire(NOW)
    await house.run(pass_by, plugin(ask, required=True), text=None)
    waiting = [each.state for each in await house.storage.waiting()]
    dead = [letter.error for letter in await house.storage.dead_letters()]
    assert house.linq.said() == (["yes"] if ended == "sent" else [])
    assert waiting == (["deferred"] if ended == "deferred" else [])
    assert dead == (["A call was refused by gate: it says no"] if ended == "dead" else [])


async def pass_by(message: MessageReceived, ctx: Context) -> None: ...


# Outside of turns


async def test_a_plugins_own_calls_are_not_asked_of_itself_but_of_others() -> None:
    linq = Linq()
    asked: list[str] = []
    outside: list[Run] = []

    def asking(name: str) -> Ask:
        async def ask(call: Call, run: Run) -> ApiResponse:
            asked.append(f"{name}: {says(call)}")
            if name == "inner" and says(call) == "theirs":
                await outside[0](_a_call("own"))
            return await run(call)

        return ask

    plugins = load([plugin(asking("outer"), name="a"), plugin(asking("inner"), name="b")])
    outside.append(Outbound(plugins).wrap(linq.run))
    await outside[0](_a_call("theirs"))
    assert asked == ["outer: theirs", "inner: theirs", "outer: own"]
    assert linq.said() == ["own", "theirs"]


async def test_calls_at_one_time_do_not_take_each_others_answers() -> None:
    linq = Linq()
    first_is_in = asyncio.Event()

    async def fail_late(call: Call, run: Run) -> ApiResponse:
        answer = await run(call)
        if says(call) == "second":
            raise ValueError("late")
        first_is_in.set()
        await asyncio.sleep(0)
        return answer

    run = Outbound(load([plugin(fail_late)])).wrap(linq.run)
    first, second = await asyncio.gather(run(_a_call("first")), run(_a_call("second")))
    assert (first.data["message"]["id"], second.data["message"]["id"]) == ("sent-1", "sent-2")


async def test_outside_of_a_turn_a_missing_verdict_is_raised() -> None:
    linq = Linq()
    run = Outbound(load([plugin(fail, required=True)])).wrap(linq.run)
    with pytest.raises(NoVerdict, match="The required plugin gate failed"):
        await run(_a_call())
    assert linq.calls == []


async def test_a_call_answered_by_the_journal_is_told_as_such(house: House) -> None:
    told: list[tuple[str, bool]] = []

    class Listens:
        name = "listens"

        @hookimpl
        def sent(self, call: Call, from_journal: bool) -> None:
            told.append((call.name, from_journal))

    errors = [ValueError("once")]

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hi")
        if errors:
            raise errors.pop()

    await house.run(answer, Listens)
    house.clock.advance(10)
    await house.run(answer, Listens, text=None)
    assert told == [("chats.messages.send", False), ("chats.messages.send", True)]
