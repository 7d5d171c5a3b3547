"""The watch of the event loop logs a handler that blocks it, and nothing else."""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from pathlib import Path

import pytest
from one_handler import bot_of
from patience import PATIENCE_S

from linqbot import Context, MessageReceived
from linqbot.bot import routes
from linqbot.frames import stack_of
from linqbot.plugins import guard, registry
from linqbot.server import loop_watch
from linqbot.testing import talking


def frame(file: str, name: str, line: int = 1) -> traceback.FrameSummary:
    return traceback.FrameSummary(file, line, name)


OURS = frame(routes.__file__, "handle")
INSTALLED = frame(traceback.__file__, "wait")
GUARD = frame(guard.__file__, "__call__")
HOOK = frame(registry.__file__, "__call__")
COMPILED = frame(registry.COMPILED, "<lambda>")


def test_the_culprit_is_the_function_of_the_author_or_of_a_plugin_that_is_running(subtests: pytest.Subtests) -> None:
    rows: list[tuple[list[traceback.FrameSummary], tuple[str, str, bool] | None]] = [
        ([OURS, INSTALLED], None),
        ([frame("<frozen runpy>", "main"), OURS], None),
        ([OURS, frame("/bots/bot.py", "slow", 5)], ("bot:slow", "bot.py:5", True)),
        ([OURS, frame("/bots/bot.py", "slow", 5), INSTALLED], ("bot:slow", "bot.py:5", True)),
        (
            [frame("/bots/wrap.py", "around"), OURS, frame("/bots/bot.py", "slow", 5), frame("/bots/db.py", "ask", 7)],
            ("bot:slow", "db.py:7", True),
        ),
        ([OURS, frame("/bots/bot.py", "asks", 5), OURS, INSTALLED], None),
        (
            [OURS, frame("/bots/bot.py", "asks", 5), OURS, frame("/bots/model.py", "check", 7)],
            ("bot:asks", "model.py:7", True),
        ),
        ([frame("/bots/bot.py", "on_start", 3)], ("bot:on_start", "bot.py:3", False)),
        ([GUARD, INSTALLED], ("traceback:wait", "traceback.py:1", False)),
        ([HOOK, INSTALLED, frame(traceback.__file__, "query")], ("traceback:wait", "traceback.py:1", False)),
        ([HOOK, COMPILED, INSTALLED], ("traceback:wait", "traceback.py:1", False)),
        ([HOOK, COMPILED, frame("/bots/plugin.py", "taken", 7)], ("plugin:taken", "plugin.py:7", False)),
        ([OURS, frame("/bots/bot.py", "slow", 5), GUARD, INSTALLED], ("traceback:wait", "traceback.py:1", False)),
        ([GUARD, INSTALLED, GUARD, OURS, frame("/bots/bot.py", "slow", 5)], ("bot:slow", "bot.py:5", True)),
        ([GUARD, INSTALLED, GUARD, OURS], None),
    ]
    for frames, wanted in rows:
        with subtests.test(frames=frames):
            assert loop_watch.culprit(traceback.StackSummary.from_list(frames)) == wanted


async def test_a_handler_that_runs_is_recognised() -> None:
    found = list[loop_watch.Culprit | None]()

    async def slow(message: MessageReceived, ctx: Context) -> None:
        frame = inspect.currentframe()
        assert frame is not None
        found.append(loop_watch.culprit(stack_of(frame)))

    async with talking(bot_of(slow)) as phone:
        await phone.text("hi")
        await phone.quiet()
    (culprit,) = found
    assert culprit is not None
    assert culprit.is_handler
    assert culprit.function.endswith("slow")


async def test_blocking_code_is_logged_with_its_line_and_once_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, object]] = []
    told: list[tuple[str, str]] = []
    noticed = threading.Event()

    def block() -> None:
        noticed.clear()
        noticed.wait(timeout=PATIENCE_S)

    place = f"{Path(__file__).name}:{block.__code__.co_firstlineno + 2}"

    def found(function: str, at: str) -> None:
        if at == place:
            told.append((function, at))
            noticed.set()

    monkeypatch.setattr(loop_watch.log, "warning", lambda _event, **facts: lines.append(facts))
    monkeypatch.setattr(loop_watch, "is_authors", lambda filename: filename == __file__)
    with loop_watch.watching(0.05, found):
        for _ in range(2):
            block()
            assert noticed.is_set()
            await asyncio.sleep(0.1)
    of_block = [entry for entry in lines if entry["at"] == place]  # A busy machine may stop the test at other lines.
    assert ["what_to_do" in entry for entry in of_block] == [True, False]
    assert [(entry["function"], entry["at"]) for entry in of_block] == told


async def test_a_test_logs_a_handler_that_blocks_as_a_served_bot_does(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, object]] = []
    noticed = threading.Event()

    def warn(_event: str, **facts: object) -> None:
        lines.append(facts)
        noticed.set()

    async def block(message: MessageReceived, ctx: Context) -> None:
        noticed.wait(timeout=PATIENCE_S)
        await ctx.reply("Done.")

    monkeypatch.setattr(loop_watch.log, "warning", warn)
    monkeypatch.setattr(loop_watch, "BLOCKED_S", 0.05)
    async with talking(bot_of(block)) as phone:
        await phone.text("hi")
        assert await phone.replies() == ["Done."]
    assert str(lines[0]["handler"]).endswith(":block")
