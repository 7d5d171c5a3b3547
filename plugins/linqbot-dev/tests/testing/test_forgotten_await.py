"""Calls that a handler makes without `await`: the error that a test shows, and the line that the log has."""

from __future__ import annotations

import asyncio
import importlib
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from answers import answers
from one_handler import bot_of
from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived
from linqbot.bot.router import Next
from linqbot.testing import HandlerFailed, NothingCame, talking

FILE = "test_forgotten_await.py"


class Guest(BaseModel):
    """A person."""

    visits: int = 0


async def reply(message: MessageReceived, ctx: Context) -> None:
    ctx.reply("hello")  # type: ignore[unused-coroutine]


async def kept_in_a_variable(message: MessageReceived, ctx: Context) -> None:
    _answer = ctx.reply("hello")


def in_a_plain_def(message: MessageReceived, ctx: Context) -> None:
    ctx.reply("hello")  # type: ignore[unused-coroutine]


async def helper(ctx: Context) -> None:
    await ctx.reply("hello")


async def own_function(message: MessageReceived, ctx: Context) -> None:
    helper(ctx)  # type: ignore[unused-coroutine]


def line_of(function: Callable[..., Any], offset: int = 1) -> str:
    return f"{FILE}:{function.__code__.co_firstlineno + offset}"


async def failure_of(bot: Bot) -> str:
    """Return what a test says in which a person writes "hi" to the bot."""
    async with talking(bot) as phone:
        await phone.text("hi")
        with pytest.raises(HandlerFailed) as failed:
            await phone.quiet()
    return str(failed.value)


async def test_a_call_without_await_fails_the_test_with_its_line_and_the_remedy(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    rows: list[tuple[str, int, str]] = [
        ("ctx.reply('hello')", 1, "ctx.reply"),
        ("ctx.reply(\n'hello'\n)", 1, "ctx.reply"),
        ("ctx.react('love')", 1, "ctx.react"),
        ("ctx.ask('Your name?')", 1, "ctx.ask"),
        ("sent = await ctx.reply('hello')\nsent.edit('Hello')", 2, "sent.edit"),
        ("ctx.state.person(Guest)", 1, "ctx.state.person"),
        ("ctx.client.chats.mark_as_read(message.chat_id)", 1, "ctx.client.chats.mark_as_read"),
        ("async def work():\n    ctx.reply('hello')\nawait asyncio.create_task(work())", 2, "ctx.reply"),
    ]
    for n, (code, line, call) in enumerate(rows):
        with subtests.test(code=code):
            file = tmp_path / f"bot_{n}.py"
            scope: dict[str, Any] = {"__name__": "bot", "asyncio": asyncio, "Guest": Guest}
            file.write_text("async def handler(message, ctx):\n" + textwrap.indent(code, "    "))
            exec(compile(file.read_text(), file, "exec"), scope)
            assert await failure_of(bot_of(scope["handler"])) == (
                f"message.received: bot:handler ended and {file.name}:{line + 1} never awaited {call}(). "
                f"Write: await {call}(…). It was given up."
            )


async def test_a_call_that_was_kept_in_a_variable_is_named_with_its_handler() -> None:
    at = line_of(kept_in_a_variable, 0)
    said = f"kept_in_a_variable ({at}) ended and never awaited ctx.reply(). Write: await"
    assert said in await failure_of(bot_of(kept_in_a_variable))


async def test_a_plain_def_is_told_to_return_the_text() -> None:
    assert (
        f"in_a_plain_def is a plain def, and {line_of(in_a_plain_def)} called ctx.reply() without await, so nothing was "
        "done. Return the text of the reply instead, or write: async def in_a_plain_def and await ctx.reply(…)"
    ) in await failure_of(bot_of(in_a_plain_def))


async def test_a_function_of_the_author_that_was_never_awaited_is_named_and_the_turn_goes_on() -> None:
    with structlog.testing.capture_logs() as logs:
        async with talking(bot_of(own_function)) as phone:
            await phone.text("hi")
            with pytest.raises(NothingCame) as nothing:
                await phone.next_reply()
    sentence = f"own_function ended and {line_of(own_function)} never awaited helper(). Write: await helper(…)"
    assert sentence in str(nothing.value)
    (line,) = [entry for entry in logs if entry["event"] == "coroutine.never_awaited"]
    assert (line["log_level"], line["at"]) == ("error", line_of(own_function))
    assert sentence in line["why"]


async def test_a_call_that_an_async_def_returns_without_await_is_named() -> None:
    async def greet(message: MessageReceived, ctx: Context) -> Any:
        return ctx.reply("hello")

    assert "Context.reply(…) cannot be sent: it was called without await" in await failure_of(bot_of(greet))


async def test_a_call_that_a_plain_def_returns_is_awaited() -> None:
    def greet(message: MessageReceived, ctx: Context) -> Any:
        return ctx.reply("hello")

    async with talking(bot_of(greet)) as phone:
        assert await answers(phone, "hi") == ["hello"]


async def test_middleware_that_awaits_nothing_is_named() -> None:
    bot = bot_of(helper_of_two)

    @bot.use
    def noisy(handle: Next) -> Next:
        async def around(event: Any, ctx: Context) -> None:
            ctx.reply("from middleware")  # type: ignore[unused-coroutine]
            await handle(event, ctx)

        return around

    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "hello"
        errors = await phone.errors()
    # The first event is chat.created, which no handler takes.
    assert str(errors[0]).startswith(f"chat.created: The middleware ended and {FILE}:")
    assert all("never awaited ctx.reply()" in str(error) for error in errors)


async def helper_of_two(message: MessageReceived, ctx: Context) -> None:
    await helper(ctx)


async def test_the_log_has_the_line_and_no_traceback() -> None:
    with structlog.testing.capture_logs() as logs:
        async with talking(bot_of(reply)) as phone:
            await phone.text("hi")
            await phone.errors()
    (line,) = [entry for entry in logs if entry["event"] == "turn.dead_lettered"]
    assert (line["error"], line["at"], line["exc_info"]) == ("NeverAwaited", line_of(reply), None)
    assert line["why"].endswith("never awaited ctx.reply(). Write: await ctx.reply(…)")


async def test_outside_of_turns_python_warns_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
    async with talking(bot_of(helper_of_two)) as phone:
        assert await answers(phone, "hi") == ["hello"]
        helper(None)  # type: ignore[unused-coroutine, arg-type]
    assert shown == ["coroutine 'helper' was never awaited"]


@pytest.mark.parametrize("others", [0, 1])
async def test_middleware_that_does_not_await_the_next_handler_fails_the_test(others: int) -> None:
    bot = bot_of(helper_of_two)

    @bot.use
    def forgetful(next_: Next) -> Next:
        async def around(event: Any, ctx: Context) -> None:
            next_(event, ctx)

        return around

    for _ in range(others):

        @bot.use
        def careful(handle: Next) -> Next:
            async def around(event: Any, ctx: Context) -> None:
                await handle(event, ctx)

            return around

    said = await failure_of(bot)
    assert f"The middleware at {FILE}:" in said
    assert "so no handler ran. Write: await next_(event, ctx). It was given up." in said


async def test_a_plain_def_that_runs_calls_in_an_event_loop_of_its_own_is_told_to_be_async_def() -> None:
    bot = Bot()

    @bot.on_message
    def reply_in_own_loop(message: MessageReceived, ctx: Context) -> None:
        asyncio.run(ctx.reply("hello"))

    async with talking(bot) as phone:
        await phone.text("hi")
        (error,) = await phone.errors()
        assert "Write the handler with async def" in str(error)
        assert await phone.replies() == []


async def test_a_call_in_an_init_file_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bakery").mkdir()
    (tmp_path / "bakery" / "__init__.py").write_text('async def greet(message, ctx):\n    ctx.reply("hello")\n')
    monkeypatch.syspath_prepend(tmp_path)
    async with talking(bot_of(importlib.import_module("bakery").greet)) as phone:
        await phone.text("hi")
        (error,) = await phone.errors()
    assert "bakery/__init__.py:2 never awaited ctx.reply()" in str(error)
