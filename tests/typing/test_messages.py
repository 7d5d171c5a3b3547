"""The messages of mypy about mistakes in handlers: one short line each, with the names that the author wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import strict_mypy

MISTAKES = """\
from linqbot import Bot, Context, MessageReceived, ReactionAdded
from linqbot.events import MessageRead

bot = Bot()

@bot.on_message
async def another_event(reaction: ReactionAdded, ctx: Context) -> None: ...

@bot.on_message("hi")
async def without_a_context(message: MessageReceived) -> None: ...

@bot.on_message("hi")
async def a_number(message: MessageReceived, ctx: Context) -> int:
    return 1

@bot.on(MessageRead)
def a_dict(event: MessageRead, ctx: Context) -> dict[str, int]:
    return {}

@bot.on_message("hi")
async def without_await(message: MessageReceived, ctx: Context) -> None:
    ctx.reply("hi")
"""
MESSAGES = """\
6: error: Argument 1 to "on_message" of "Router" has incompatible type "Callable[[ReactionAdded, Context], Coroutine[Any, Any, None]]"; expected "Callable[[MessageReceived, Context], Coroutine[Any, Any, None]]"  [arg-type]
9: error: Argument 1 to "__call__" of "Decorator" has incompatible type "Callable[[MessageReceived], Coroutine[Any, Any, None]]"; expected "Callable[[MessageReceived, Context], Coroutine[Any, Any, None]]"  [arg-type]
12: error: Value of type variable "Returned" of "__call__" of "Decorator" cannot be "Coroutine[Any, Any, int]"  [type-var]
16: error: Value of type variable "Returned" of "__call__" of "Decorator" cannot be "dict[str, int]"  [type-var]
22: error: Value of type "Coroutine[Any, Any, Sent]" must be used  [unused-coroutine]
22: note: Are you missing an await?
"""


@pytest.mark.process
@pytest.mark.slow
def test_mypy_reports_mistakes_in_handlers_in_short_lines(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(MISTAKES)
    checked = strict_mypy.checked(tmp_path, "--config-file=", "--no-error-summary", "bot.py")
    lines = checked.stdout.splitlines(keepends=True)
    assert "".join(line.partition("bot.py:")[2] for line in lines) == MESSAGES, checked.stdout + checked.stderr
