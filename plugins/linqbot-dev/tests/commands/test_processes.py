"""The child processes of `linqbot dev` and `linqbot rehearse`: one that is prepared for the next save, and their end."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.dev.processes import bots_socket, end
from linqbot_dev.dev.runner import DevRunner
from linqbot_dev.emulator.emulator import Emulator
from patience import PATIENCE_S, until
from ports import free_port
from signed import SECRET

CODE = """
from linqbot import Bot, {event}

bot = Bot()


@bot.on({event})
async def handle(event: {event}, ctx: object) -> None: ...
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows passes no file descriptors on")
async def test_a_prepared_process_runs_the_code_of_the_time_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "bot.py"
    file.write_text(CODE.format(event="MessageReceived"))
    linq = {"LINQ_API_V3_BASE_URL": "http://127.0.0.1:9"}
    bot = BotProcess(str(file), "", free_port(), tmp_path, webhook_secret=SECRET, instead=linq, prepares=True)
    try:
        assert await bot.begin() is not None
        assert bot.preparing is not None
        await bot.preparing
        assert bot.prepared is not None
        pid = bot.prepared.process.pid
        file.write_text(CODE.format(event="ReactionAdded"))
        await bot.stop()
        needs = await bot.begin()
        assert bot.process is not None
        assert bot.process.pid == pid
        assert needs is not None
        assert "reaction.added" in needs.types
        await bot.preparing
        last = bot.prepared
        assert last is not None
    finally:
        await bot.aclose()
    assert bot.prepared is None
    assert await last.process.wait() != 0


@pytest.mark.process
@pytest.mark.slow
async def test_a_file_that_never_ends_loading_is_not_waited_for_by_the_page_and_is_loaded_again_when_it_is_saved(
    tmp_path: Path,
) -> None:
    file, loading, is_up = tmp_path / "bot.py", tmp_path / "loading", asyncio.Event()
    never = f"open({str(loading)!r}, 'w').close()\nwhile True: pass\n"
    file.write_text(never)
    with bots_socket() as (port, bound):
        linq = {"LINQ_API_V3_BASE_URL": "http://127.0.0.1:9"}
        bot = BotProcess(str(file), "", port, tmp_path, webhook_secret=SECRET, bound=bound, instead=linq)

        async def begin() -> None:
            if await bot.begin() is not None:
                is_up.set()

        keeping = asyncio.create_task(bot.keep_up(begin, tmp_path))
        page = DevRunner(Emulator(), bot, begin)
        try:
            await until(loading.exists)
            async with asyncio.timeout(PATIENCE_S):
                assert await page.stored(None) == {"available": True, "is_running": False}
            resetting = asyncio.create_task(page.reset())
            await asyncio.sleep(0)  # it waits for the start that goes on
            loading.unlink()
            file.write_text(f"{never}# still\n")
            await until(loading.exists)  # the reset has its turn
            file.write_text(CODE.format(event="MessageReceived"))
            await until(is_up.is_set)
            await resetting
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            await page.aclose()
            await bot.aclose()


async def test_corrected_settings_start_the_bot_again_as_corrected_code_does(tmp_path: Path) -> None:
    settings, starts = tmp_path / "linqbot.toml", asyncio.Queue[None]()
    with bots_socket() as (port, bound):
        bot = BotProcess(str(tmp_path / "bot.py"), "", port, tmp_path, webhook_secret=SECRET, bound=bound)
        keeping = asyncio.create_task(bot.keep_up(lambda: starts.put(None), tmp_path))
        try:
            await starts.get()

            def is_started_again() -> bool:
                settings.write_text("drain_s = 1")  # again until the folder is watched
                return not starts.empty()

            await until(is_started_again)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            await bot.aclose()


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "waitid"), reason="the test needs a look at a child that leaves its exit code")
@pytest.mark.parametrize("at_once", [False, True])
async def test_the_exit_code_of_a_child_that_has_just_ended_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    waitpid, has_been_signalled = os.waitpid, threading.Event()

    def held(pid: int, options: int) -> tuple[int, int]:
        # Up to Python 3.11 a thread of asyncio waits for the child.
        if threading.current_thread() is not threading.main_thread():
            has_been_signalled.wait()
        return waitpid(pid, options)

    monkeypatch.setattr(os, "waitpid", held)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop must not see the end
    end(child, at_once=at_once)
    has_been_signalled.set()
    assert await child.wait() == 3


@pytest.mark.slow
def test_without_reload_a_bot_that_does_not_start_ends_dev_with_one_error(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    for code, exit_code, says in (
        ("from linqbot import Bot\nbot = Bot(\n", 1, "'(' was never closed"),
        ("import os\nos._exit(7)\n", 2, "ended with exit code 7 while it started"),
    ):
        (tmp_path / "bot.py").write_text(code)
        dev = command("dev", "--no-reload", "--port", "0")
        found = (dev.end(), f"\n{dev.said()}".count("\nError: "), says in dev.said())
        assert found == (exit_code, 1, True), dev.said()


def test_killing_dev_ends_its_bot_too(tmp_path: Path, command: Callable[..., Any], port: int) -> None:
    (tmp_path / "bot.py").write_text(CODE.format(event="MessageReceived"))
    page = f"http://127.0.0.1:{port}"
    dev = command("dev", "bot:bot", "--port", str(port), "--json")  # a module, as serve takes it
    dev.until(lambda: "\n" in dev.said())
    listed = httpx.get(f"{page}/v3/webhook-subscriptions", headers={"authorization": "Bearer dev"}).json()
    (target,) = (entry["target_url"] for entry in listed["subscriptions"])
    livez = target.partition("/webhooks")[0] + "/livez"
    assert httpx.get(livez).is_success
    dev.process.kill()
    dev.process.wait()
    asyncio.run(until(lambda: not is_there(livez)))


def is_there(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
