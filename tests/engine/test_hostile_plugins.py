"""Middleware that exits, cancels, hangs or raises unexpected errors, in a turn and in a due scheduled send."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from engine_turns import TurnByTurn
from fakes import CHAT, NOW, settled

from linqbot import BotError, Context, Event, LinqApiError, MessageReceived, hookimpl
from linqbot.bot.router import Next
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.errors import ConfigError
from linqbot.events import Delivery


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


def policy(fault: Callable[[], Awaitable[None]], *, required: bool, where: str) -> Any:
    class Gate:
        @hookimpl
        def register_outbound(self) -> Any:
            def wrap(run: Run) -> Run:
                async def ask(call: Call) -> ApiResponse:
                    if where == "outbound":
                        await fault()
                    return await run(call)

                return ask

            return [wrap]

        @hookimpl
        def register_middleware(self) -> Any:
            def wrap(handle: Next) -> Next:
                async def inbound(event: Event, ctx: Context) -> None:
                    if where == "inbound":
                        await fault()
                    await handle(event, ctx)

                return inbound

            return [wrap]

    made: Any = Gate()
    made.name, made.required = "policy", required
    return made


async def answer(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("answer")


async def state(turns: TurnByTurn) -> tuple[list[str], list[str], int]:
    """Return the states of waiting deliveries, the reasons of dead letters, and the number of runs counted as failed."""
    waiting, dead = await turns.storage.waiting(), await turns.storage.dead_letters()
    return [each.state for each in waiting], [each.error for each in dead], sum(each.attempts for each in waiting)


async def test_outbound_middleware_that_is_not_required_is_disabled_and_the_call_made(
    subtests: pytest.Subtests,
) -> None:
    for due in (False, True):
        for kind in FAULTS:
            with subtests.test(due=due, kind=kind):
                turns = TurnByTurn(answer, policy(FAULTS[kind], required=False, where="outbound"))
                await (turns.due("answer") if due else turns.text())
                assert turns.linq.said() == ["answer"]
                assert await state(turns) == ([], [], 0)
                assert turns.status().startswith("disabled: outbound middleware raised")


async def test_required_middleware_that_fails_blocks_the_send_and_counts_no_attempt(subtests: pytest.Subtests) -> None:
    for due in (False, True):
        for kind in FAULTS:
            with subtests.test(due=due, kind=kind):
                turns = TurnByTurn(answer, policy(FAULTS[kind], required=True, where="outbound"))
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

    class Discloses:
        name = "discloses"

        @hookimpl
        def register_middleware(self) -> Any:
            def wrap(handle: Next) -> Next:
                async def keep(event: Event, ctx: Context) -> None:
                    kept.append(ctx)
                    await handle(event, ctx)

                return keep

            return [wrap]

        @hookimpl
        def register_outbound(self) -> Any:
            def wrap(run: Run) -> Run:
                async def ask(call: Call) -> ApiResponse:
                    message = {"parts": [{"type": "text", "value": "I am a bot."}]}
                    await kept[-1].client.chats.messages.send(CHAT, message=message)
                    return await run(call)

                return ask

            return [wrap]

    turns = TurnByTurn(answer, Discloses)
    await turns.text()
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

    turns = TurnByTurn(remind)
    await turns.text()
    assert len(await turns.storage.scheduled()) == 3
