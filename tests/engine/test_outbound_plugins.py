"""Middleware of plugins in whole turns: it changes and refuses calls, fails closed, exits, cancels and hangs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from engine_turns import TurnByTurn, send_of
from fakes import CHAT, NOW, Linq, settled
from one_handler import does
from simulated_crash import Crashable, crash

from linqbot import BotError, Context, Event, LinqApiError, MessageReceived, Refused, hookimpl
from linqbot.bot.router import Next
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.engine.outbound_plugins import Outbound
from linqbot.errors import ConfigError, NoVerdict
from linqbot.events import Delivery
from linqbot.plugin_loading import load
from linqbot.turn_events import CallMade, Observers

Handle = Callable[[MessageReceived, Context], Awaitable[None]]
Ask = Callable[[Call, Run], Awaitable[Any]]


def plugin(ask: Ask, *, name: str = "policy", required: bool = False) -> Any:
    """A plugin whose outbound middleware is `ask(call, run)`."""

    class Policy:
        @hookimpl
        def register_outbound(self) -> Any:
            def wrap(run: Run) -> Run:
                async def asked(call: Call) -> ApiResponse:
                    answer: ApiResponse = await ask(call, run)
                    return answer

                return asked

            return [wrap]

    policy: Any = Policy()
    policy.name, policy.required = name, required
    return policy


@pytest.fixture
async def crashable() -> AsyncIterator[Crashable]:
    made = Crashable()
    yield made
    await made.clear()


async def ran(handle: Handle, *plugins: Any) -> TurnByTurn:
    """Run the turn of one message, and return what ran it."""
    made = TurnByTurn(handle, *plugins)
    await made.text()
    return made


async def state(turns: TurnByTurn) -> tuple[list[str], list[str], int]:
    """Return the states of waiting deliveries, the reasons of dead letters, and the number of runs counted as failed."""
    waiting, dead = await turns.storage.waiting(), await turns.storage.dead_letters()
    return [each.state for each in waiting], [each.error for each in dead], sum(each.attempts for each in waiting)


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


async def test_a_refused_reply_raises_nothing_and_the_handler_goes_on() -> None:
    statuses: list[str] = []

    async def answer(message: MessageReceived, ctx: Context) -> None:
        for text in ("no", "yes"):
            sent = await ctx.reply(text)
            statuses.append(sent.status)

    with structlog.testing.capture_logs() as logs:
        turns = await ran(answer, plugin(refuse_no))
    assert (statuses, turns.linq.said()) == (["refused", "accepted"], ["yes"])
    assert await state(turns) == ([], [], 0)
    (line,) = [line for line in logs if line["event"] == "send.refused"]
    assert (line["plugin"], line["reason"]) == ("policy", "it says no")
    assert turns.status() == "active"


async def test_a_refused_call_of_the_client_and_a_refused_scheduled_send_make_a_dead_letter() -> None:
    async def call(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": "no"}]})

    for due in (False, True):
        turns = TurnByTurn(call, plugin(refuse_no))
        await (turns.due("no") if due else turns.text())
        assert await state(turns) == ([], ["A call was refused by policy: it says no"], 0)
        assert turns.linq.names() == []


async def test_a_veto_does_not_shift_the_slots_of_later_calls(crashable: Crashable) -> None:
    async def two(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("no one")
        await ctx.reply("two")

    async def crash_at_two(call: Call) -> None:
        if says(call) == "two":
            await crash()

    turns = TurnByTurn(two, plugin(pass_on))
    turns.linq.before = crash_at_two
    await crashable.run(turns.text())
    assert turns.linq.said() == ["no one"]
    turns.linq.before = None
    turns.deploy(two, plugin(refuse_no))
    turns.clock.advance(2000)  # until the lease runs out
    await turns.run()
    # If the refused call got no slot, `two` would match its entry and never be sent.
    assert turns.linq.said() == ["no one", "two"]


async def test_gathered_sends_keep_their_order_through_slow_verdicts() -> None:
    async def wait(call: Call, run: Run) -> ApiResponse:
        if says(call) == "one":
            await settled()
        return await run(call)

    turns = await ran(does(lambda ctx: asyncio.gather(ctx.send("one"), ctx.send("two"))), plugin(wait))
    assert turns.linq.said() == ["one", "two"]


# Changes


async def test_middleware_may_change_a_call() -> None:
    async def louder(call: Call, run: Run) -> ApiResponse:
        body: Any = call.body
        parts = [{**part, "value": part["value"].upper()} for part in body["message"]["parts"]]
        return await run(replace(call, body={**body, "message": {**body["message"], "parts": parts}}))

    turns = await ran(does(lambda ctx: ctx.reply("silent")), plugin(louder))
    assert turns.linq.said() == ["SILENT"]


async def test_what_middleware_adds_is_not_sent_twice_after_a_crash(crashable: Crashable) -> None:
    async def twice(call: Call, run: Run) -> ApiResponse:
        await run(call)
        return await run(replace(call, body={"message": {"parts": [{"type": "text", "value": "stop: write STOP"}]}}))

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hi")
        await crash()

    turns = TurnByTurn(answer, plugin(twice))
    await crashable.run(turns.text())
    keys = [call.key for call in turns.linq.calls]
    turns.clock.advance(2000)
    await crashable.run(turns.run())
    repeated = [call.key for call in turns.linq.calls]
    assert len(set(keys)) == 2
    # Neither outcome was written before the crash, so both are repeated under their keys, which Linq knows.
    assert repeated == keys * 2


# Failures


async def answer_and_hide(message: MessageReceived, ctx: Context) -> None:
    """Reply, and swallow every error."""
    with contextlib.suppress(Exception):
        await ctx.reply("first")
    with contextlib.suppress(Exception):
        await ctx.reply("second")


async def test_if_a_required_plugin_fails_nothing_is_sent_and_the_turn_is_deferred() -> None:
    with structlog.testing.capture_logs() as logs:
        turns = await ran(answer_and_hide, plugin(fail, required=True))
    assert turns.linq.calls == []
    (waiting,) = await turns.storage.waiting()
    assert (waiting.state, waiting.attempts) == ("deferred", 0)
    assert "policy failed: outbound middleware raised ValueError at test_outbound_plugins.py:" in str(waiting.error)
    assert turns.status().startswith("failing: outbound middleware raised ValueError")
    assert "first" not in str(logs)
    turns.clock.advance(40)
    turns.deploy(answer_and_hide, plugin(pass_on, required=True))
    await turns.run()
    assert turns.linq.said() == ["first", "second"]


async def test_a_required_plugin_whose_outbound_middleware_fails_does_not_recover_by_its_inbound_middleware() -> None:
    policy = plugin(fail, required=True)
    type(policy).register_middleware = hookimpl(lambda self: [lambda after: after])
    runs: list[int] = []

    async def say_once(message: MessageReceived, ctx: Context) -> None:
        runs.append(1)
        if len(runs) == 1:
            await ctx.reply("first")

    turns = await ran(say_once, policy)
    turns.clock.advance(40)
    await turns.run()
    assert len(runs) == 2
    assert turns.status().startswith("failing: outbound middleware raised ValueError")


@pytest.mark.parametrize("required", [True, False])
async def test_middleware_that_cannot_be_made_fails_like_one_that_is_called(required: bool) -> None:
    def broken(run: Run) -> Run:
        raise ValueError("private")

    policy = plugin(pass_on, required=required)
    type(policy).register_outbound = hookimpl(lambda self: [broken])
    turns = await ran(answer_and_hide, policy)
    assert turns.linq.said() == ([] if required else ["first", "second"])
    state = "failing" if required else "disabled"
    assert f"{state}: outbound middleware raised ValueError at test_outbound_plugins.py:" in turns.status()


@pytest.mark.parametrize("required", [True, False])
async def test_middleware_that_fails_after_the_call_does_not_undo_or_repeat_it(required: bool) -> None:
    async def fail_late(call: Call, run: Run) -> ApiResponse:
        await run(call)
        raise ValueError("too late")

    turns = await ran(answer_and_hide, plugin(fail_late, required=required))
    assert turns.linq.said() == ["first", "second"]
    assert await state(turns) == ([], [], 0)


async def test_linqs_errors_pass_through_and_the_plugin_is_not_blamed() -> None:
    raised: list[Exception] = []

    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply("refused by Linq")
        except LinqApiError as error:
            raised.append(error)

    turns = TurnByTurn(ask, plugin(pass_on))
    turns.linq.will_answer("chats.messages.send", LinqApiError("no", status=403, code=2001))
    await turns.text()
    assert [type(error) for error in raised] == [LinqApiError]
    assert turns.status() == "active"


async def test_if_a_required_plugin_fails_a_hint_is_left_out_and_a_read_defers_the_turn() -> None:
    async def look(message: MessageReceived, ctx: Context) -> None:
        with contextlib.suppress(Exception):
            await ctx.client.messages.retrieve("35179424-9c87-5f09-a3f3-60d07a9171ab")

    turns = await ran(does(lambda ctx: ctx.mark_read()), plugin(fail, required=True))
    assert (turns.linq.calls, await turns.storage.depth()) == ([], 0)
    turns = await ran(look, plugin(fail, required=True))
    assert [each.state for each in await turns.storage.waiting()] == ["deferred"]


# Outside of turns


async def test_a_plugins_own_calls_pass_the_middleware_of_other_plugins_only() -> None:
    linq = Linq()
    asked: list[str] = []
    outside: list[Run] = []

    def asking(name: str) -> Ask:
        async def ask(call: Call, run: Run) -> ApiResponse:
            asked.append(f"{name}: {says(call)}")
            if name == "inner" and says(call) == "theirs":
                await outside[0](send_of("own"))
            return await run(call)

        return ask

    plugins = load([plugin(asking("outer"), name="a"), plugin(asking("inner"), name="b")])
    outside.append(Outbound(plugins).wrap(linq.run))
    await outside[0](send_of("theirs"))
    assert asked == ["outer: theirs", "inner: theirs", "outer: own"]
    assert linq.said() == ["own", "theirs"]


async def test_concurrent_calls_do_not_get_each_others_answers() -> None:
    linq = Linq()
    first_is_in = asyncio.Event()

    async def fail_late(call: Call, run: Run) -> ApiResponse:
        answer = await run(call)
        if says(call) == "second":
            raise ValueError("late")
        first_is_in.set()
        await settled(1)
        return answer

    run = Outbound(load([plugin(fail_late)])).wrap(linq.run)
    first, second = await asyncio.gather(run(send_of("first")), run(send_of("second")))
    assert (first.data["message"]["id"], second.data["message"]["id"]) == ("sent-1", "sent-2")


async def test_a_call_answered_by_the_journal_is_marked_for_observers() -> None:
    observed: list[tuple[str, bool]] = []

    class Listens:
        name = "listens"

        @hookimpl
        def register_observers(self) -> Observers:
            return {CallMade: self.call_made}

        def call_made(self, event: CallMade) -> None:
            observed.append((event.call.name, event.from_journal))

    errors = [ValueError("once")]

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hi")
        if errors:
            raise errors.pop()

    turns = await ran(answer, Listens)
    turns.clock.advance(10)
    await turns.run()
    assert observed == [("chats.messages.send", False), ("chats.messages.send", True)]


# Mistakes in the use of linqbot


async def returns_nothing(call: Call, run: Run) -> None:
    await run(call)


async def never_awaits(call: Call, run: Run) -> None:
    run(call)


async def passes_too_much(call: Call, run: Any) -> Any:
    return await run(call, 3)


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (returns_nothing, "it returned nothing, and must return the ApiResponse of run(call)"),
        (never_awaits, "it never awaited what comes after it. Write: await run(call)"),
        (passes_too_much, "it passed 2 arguments. Write: await run(call)"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine 'linqbot.plugins.wrapped' was never awaited")
async def test_middleware_with_a_mistake_is_disabled_with_what_to_write(ask: Any, why: str) -> None:
    turns = await ran(answer_and_hide, plugin(ask))
    assert turns.linq.said() == ["first", "second"]
    assert why in turns.status()


async def check_later(name: str, people: list[str]) -> None:
    raise AssertionError("it is never awaited")


@pytest.mark.parametrize("check", [check_later, lambda name, people: check_later(name, people)])  # noqa: PLW0108
@pytest.mark.filterwarnings("ignore:coroutine 'check_later' was never awaited")
def test_a_required_check_of_broadcasts_that_would_not_be_awaited_lets_no_broadcast_begin(check: Any) -> None:
    class Night:
        required = True

        @hookimpl
        def register_broadcast_checks(self) -> Any:
            return [check]

    with pytest.raises((ConfigError, NoVerdict), match=r"must be a plain def|Write it as a plain def"):
        Outbound(load([Night])).check_broadcast("july", ["+14155550142"])


# Faults of every kind, in a turn and in a due scheduled send


@pytest.fixture(autouse=True)
def signals_as_in_a_server() -> Iterator[None]:
    """Handle SIGINT, so that a KeyboardInterrupt can only come from code that raises it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


class Own(BaseException):
    pass


async def cancel_something() -> None:
    task = asyncio.create_task(asyncio.sleep(1))
    task.cancel()
    await task


async def exit_in_a_task() -> None:
    async def leave() -> None:
        await settled(1)
        raise Own

    await asyncio.create_task(leave())


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


FAULTS: dict[str, Callable[[], Awaitable[None]]] = {
    "an exception": raising(ValueError("x")),
    "exit": raising(SystemExit(2)),
    "interrupt": raising(KeyboardInterrupt()),
    "generator exit": raising(GeneratorExit()),
    "cancelled": raising(asyncio.CancelledError()),
    "something cancelled": cancel_something,
    "a task that fails": exit_in_a_task,
    "base exception": raising(Own()),
    "an error of linqbot's": raising(ConfigError("no such setting")),
    "an answer of Linq's": raising(LinqApiError("no", status=404, code=2002)),
    "Linq's opt-out": raising(LinqApiError("no", status=403, code=2024)),
}


def policy(fault: Callable[[], Awaitable[None]], *, required: bool, where: str = "outbound") -> Any:
    """A plugin whose middleware fails, or does something else before it goes on."""

    async def ask(call: Call, run: Run) -> ApiResponse:
        if where == "outbound":
            await fault()
        return await run(call)

    def wrap(handle: Next) -> Next:
        async def inbound(event: Event, ctx: Context) -> None:
            if where == "inbound":
                await fault()
            await handle(event, ctx)

        return inbound

    made = plugin(ask, required=required)
    type(made).register_middleware = hookimpl(lambda self: [wrap])
    return made


async def answer(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("answer")


async def test_failing_middleware_is_disabled_and_the_call_made(subtests: pytest.Subtests) -> None:
    for due in (False, True):
        for kind in FAULTS:
            with subtests.test(due=due, kind=kind):
                turns = TurnByTurn(answer, policy(FAULTS[kind], required=False))
                await (turns.due("answer") if due else turns.text())
                assert turns.linq.said() == ["answer"]
                assert await state(turns) == ([], [], 0)
                assert turns.status().startswith("disabled: outbound middleware raised")


async def test_required_middleware_that_fails_blocks_the_send_and_counts_no_attempt(subtests: pytest.Subtests) -> None:
    for due in (False, True):
        for kind in FAULTS:
            with subtests.test(due=due, kind=kind):
                turns = TurnByTurn(answer, policy(FAULTS[kind], required=True))
                await (turns.due("answer") if due else turns.text())
                for _ in range(6):
                    turns.clock.advance(60)
                    await turns.run()
                assert turns.linq.said() == []
                waiting, dead, attempts = await state(turns)
                assert (len(waiting), dead, attempts) == (1, [], 0)
                assert turns.status().startswith("failing: outbound middleware raised")


async def test_errors_of_inbound_middleware_are_contained_too(subtests: pytest.Subtests) -> None:
    for required in (False, True):
        for kind in [kind for kind in FAULTS if "Linq" not in kind and "linqbot" not in kind]:
            with subtests.test(required=required, kind=kind):
                turns = TurnByTurn(answer, policy(FAULTS[kind], required=required, where="inbound"))
                await turns.text()
                waiting, dead, attempts = await state(turns)
                assert (dead, attempts) == ([], 0)
                assert (turns.linq.said(), waiting) == (([], ["deferred"]) if required else (["answer"], []))


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("where", ["inbound", "outbound"])
async def test_middleware_that_hangs_ends_at_the_deadline_of_its_turn(where: str) -> None:
    turns = TurnByTurn(answer, policy(hang, required=False, where=where), deadline_s=0.02)
    await turns.text()
    assert await state(turns) == (["retrying"], [], 1)


@pytest.mark.parametrize(
    "payload", [b"{}", b"null", b"[]", b"not JSON", b'{"calls": [{}], "due": 1, "grace_s": 1}', b'{"calls": 1}']
)
async def test_a_timer_that_cannot_be_read_is_a_dead_letter_at_once(payload: bytes) -> None:
    turns = TurnByTurn(answer)
    await turns.storage.put(Delivery("i.send.x", f"c:{CHAT}", "linqbot.send", payload, NOW))
    await turns.run()
    waiting, (error,), _ = await state(turns)
    assert waiting == []
    assert error.startswith("The stored send cannot be read")


async def test_middleware_that_makes_a_call_does_not_deadlock() -> None:
    kept: list[Context] = []

    async def keep_and_answer(message: MessageReceived, ctx: Context) -> None:
        kept.append(ctx)
        await ctx.reply("answer")

    async def disclose(call: Call, run: Run) -> ApiResponse:
        await kept[-1].client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": "I am a bot."}]})
        return await run(call)

    turns = await ran(keep_and_answer, plugin(disclose))
    assert turns.linq.said() == ["I am a bot.", "answer"]
    assert await state(turns) == ([], [], 0)
    assert len({call.key for call in turns.linq.calls}) == 2


async def test_keys_of_scheduled_sends_never_collide_with_numbers_and_are_used_once() -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        ids = {
            (await ctx.send_later("first", after_s=1)).id,
            (await ctx.send_later("second", after_s=2, key="0")).id,
            (await ctx.send_later("third", after_s=3, key="t0")).id,
        }
        assert len(ids) == 3
        with pytest.raises(BotError, match="called twice"):
            await ctx.send_later("again", after_s=4, key="0")

    turns = await ran(remind)
    assert len(await turns.storage.scheduled()) == 3
