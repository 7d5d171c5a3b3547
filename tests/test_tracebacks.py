"""Tracebacks for the author: where they begin, what is left out, and what stays whole."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from one_handler import bot_of

from linqbot import Context, MessageReceived, tracebacks
from linqbot.testing import HandlerFailed, talking


async def misspelt_effect(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("hi", effect="confeti")


async def caused(message: MessageReceived, ctx: Context) -> None:
    try:
        json.loads("{")
    except ValueError as error:
        raise KeyError("price") from error


async def in_a_group(message: MessageReceived, ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.reply("hi", effect="confeti"))


def in_a_thread(message: MessageReceived, ctx: Context) -> str:
    raise KeyError("price")


async def error_of(handler: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, *, full: bool) -> BaseException:
    """Run a handler on a phone, and return the error that a failed wait shows as its cause."""
    monkeypatch.setenv(tracebacks.FULL, "1" if full else "")
    async with talking(bot_of(handler)) as phone:
        await phone.text("hi")
        with pytest.raises(HandlerFailed) as failed:
            await phone.next_reply()
    assert failed.value.__cause__ is not None
    return failed.value.__cause__


def names(error: BaseException | None) -> list[str]:
    assert error is not None
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


async def test_a_test_shows_the_frames_of_the_author_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(await error_of(misspelt_effect, monkeypatch, full=False)) == ["misspelt_effect"]
    assert names(await error_of(in_a_thread, monkeypatch, full=False)) == ["in_a_thread"]


async def test_a_library_that_the_author_called_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await error_of(caused, monkeypatch, full=False)
    assert names(error) == ["caused"]
    assert names(error.__cause__) == ["caused", "loads", "decode", "raw_decode"]


async def test_the_errors_of_a_group_are_trimmed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await error_of(in_a_group, monkeypatch, full=False)
    assert isinstance(error, ExceptionGroup)
    assert names(error) in (["in_a_group", "__aexit__"], ["in_a_group", "__aexit__", "_aexit"])  # of Python 3.14
    assert names(error.exceptions[0]) == []


async def test_the_variable_keeps_the_traceback_of_a_test_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"dispatch", "misspelt_effect", "send_decorated"} <= set(
        names(await error_of(misspelt_effect, monkeypatch, full=True))
    )


async def test_the_log_leaves_out_the_frames_of_linqbot(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await error_of(misspelt_effect, monkeypatch, full=True)
    text = tracebacks.folded(error)
    head, place, code, last = (line for line in text.splitlines() if line.strip(" ~^"))
    assert head == "Traceback (most recent call last):"
    assert place.startswith(f'  File "{__file__}", line ')
    assert code == '    await ctx.reply("hi", effect="confeti")'
    assert last.startswith("linqbot.errors.RuleBroken: R33: ")


async def test_the_log_leaves_them_out_of_causes_and_groups_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for handler in (caused, in_a_group):
        text = tracebacks.folded(await error_of(handler, monkeypatch, full=True))
        assert "dispatch.py" not in text
        assert "resource.py" not in text


async def test_an_error_without_code_of_the_author_keeps_its_whole_traceback() -> None:
    error = ValueError("from linqbot")
    assert tracebacks.folded(error) == "ValueError: from linqbot\n"
    tracebacks.trim(error)
    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("{")
    error = raised.value
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this test's own frame
    assert tracebacks.folded(error) == "".join(traceback.format_exception(error))
    tracebacks.trim(error)
    assert names(error) == ["loads", "decode", "raw_decode"]


async def test_an_error_that_causes_itself_ends() -> None:
    error = ValueError("again")
    error.__context__ = KeyError("first")
    error.__context__.__context__ = error
    tracebacks.trim(error)
    assert "ValueError: again" in tracebacks.folded(error)
