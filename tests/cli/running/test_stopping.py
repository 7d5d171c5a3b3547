"""Stopping `linqbot serve`: it drains or defers and exits with 0, a second signal ends it at once, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from cli.practice import ALONE, Practice, is_ready, serve, serve_alone
from patience import PATIENCE_S
from pseudo_terminal import Screen, typed

BOT = """
import asyncio
import os
from pathlib import Path
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
Path("pid").write_text(str(os.getpid()))


@bot.on_message
async def slowly(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"begun {message.text}")
    Path(f"begun-{message.text}").touch()
    while not Path(f"go-{message.text}").exists():
        await asyncio.sleep(0.02)
    await ctx.reply(f"done {message.text}")
"""


class House:
    """An empty emulator and a served bot, in two processes."""

    def __init__(self, practice: Practice, command: Callable[..., Any]) -> None:
        self.practice = practice
        self.folder = practice.folder
        self.text = practice.text
        self.replies = practice.replies
        self._command = command
        practice.sync()
        self.write(BOT)

    def write(self, code: str) -> None:
        (self.folder / "bot.py").write_text(code)

    def serve(self, **environ: str) -> Any:
        return serve(self.practice, self._command, **environ)

    def serve_in_terminal(self, *options: str, begin: Callable[[], bool], **environ: str) -> Screen:
        """Serve the bot in a terminal, and press Ctrl-C once the bot is ready and `begin` has returned something true."""
        with ThreadPoolExecutor() as other:
            ended = other.submit(typed, self.folder, "serve", "bot.py", *options, **self.practice.environ, **environ)
            end = time.monotonic() + PATIENCE_S
            while not ended.done() and time.monotonic() < end:
                with contextlib.suppress(httpx.TransportError):
                    if is_ready(self.practice.port) and begin():
                        os.kill(int((self.folder / "pid").read_text()), signal.SIGINT)
                        break
                time.sleep(0.05)
            return ended.result()

    def go(self, *texts: str) -> None:
        for text in texts:
            (self.folder / f"go-{text}").touch()

    def has_begun(self, text: str) -> bool:
        return (self.folder / f"begun-{text}").exists()

    def is_stopping(self) -> bool:
        """Return True if the bot takes no more deliveries."""
        try:
            return not is_ready(self.practice.port)
        except httpx.ConnectError:
            return True


@pytest.fixture
def house(practice: Practice, command: Callable[..., Any]) -> House:
    return House(practice, command)


@pytest.fixture
def hangups_arrive() -> Iterator[None]:
    """Undo `nohup`, under which the tests may run: programs that it starts ignore SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups_arrive")
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_running_handlers_end(house: House, sig: signal.Signals) -> None:
    bot = house.serve()
    house.text("a")
    bot.until(lambda: house.has_begun("a"))
    bot.process.send_signal(sig)
    house.go("a")
    assert bot.end() == 0
    assert house.replies() == ["begun a", "done a"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("texts", "options", "says"),
    [
        ("ab", [], ["Waiting for 2 handlers, at most 0.3 s. Press Ctrl-C again to end at once."]),
        ("a", ["--json"], []),
        ("", [], []),
    ],
)
def test_ctrl_c_in_a_terminal_says_what_the_bot_waits_for(
    house: House, texts: str, options: list[str], says: list[str]
) -> None:
    pytest.importorskip("pty", reason="This system has no pseudo terminals.")
    waiting = list(texts)

    def begin() -> bool:
        while waiting:
            house.text(text := waiting.pop(), person=f"+1415555014{ord(text) - ord('a')}")
        return all(map(house.has_begun, texts))

    screen = house.serve_in_terminal(*options, begin=begin, LINQBOT_DRAIN_S="0.3")
    assert screen.exit_code == 0
    assert [line for line in click.unstyle(screen.raw).splitlines() if "Waiting" in line] == says


STUCK = """
import asyncio
import contextlib
import threading
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message("thread")
def thread(message: MessageReceived, ctx: Context) -> str:
    Path("begun-thread").touch()
    threading.Event().wait()
    return "never"


@bot.on_message("executor")
async def executor(message: MessageReceived, ctx: Context) -> None:
    Path("begun-executor").touch()
    await asyncio.to_thread(threading.Event().wait)


@bot.on_message("stubborn")
async def stubborn(message: MessageReceived, ctx: Context) -> None:
    Path("begun-stubborn").touch()
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(3600)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(message.text)
"""


@pytest.mark.slow
def test_handlers_that_never_end_do_not_keep_the_process_alive(house: House) -> None:
    house.write(STUCK)
    bot = house.serve(LINQBOT_DRAIN_S="0.2")
    for number, kind in enumerate(("thread", "executor", "stubborn")):
        house.text(kind, person=f"+1415555014{number}")
        bot.until(lambda kind=kind: house.has_begun(kind))
    assert bot.stop(signal.SIGINT) == 0
    again = house.serve()
    house.text("still there", person="+14155550143")
    again.until(lambda: house.replies() == ["still there"])


def test_a_second_signal_ends_a_process_whose_threads_hang(house: House) -> None:
    house.write(STUCK)
    bot = house.serve(LINQBOT_DRAIN_S="300")
    house.text("thread")
    bot.until(lambda: house.has_begun("thread"))
    bot.process.send_signal(signal.SIGINT)
    bot.until(house.is_stopping)
    bot.process.send_signal(signal.SIGINT)
    assert bot.end() == 128 + signal.SIGINT


@pytest.mark.slow
def test_as_many_plain_handlers_run_at_once_as_there_are_places(house: House) -> None:
    house.write(
        "import threading\n"
        "from linqbot import Bot, Context, MessageReceived\n"
        "bot = Bot(read=False, typing=False, max_age_s=None)\n"
        "all_here = threading.Barrier(60)\n"
        "@bot.on_message\n"
        "def meet(message: MessageReceived, ctx: Context) -> str:\n"
        "    all_here.wait(180)\n"
        "    return message.text\n"
    )
    bot = house.serve(LINQBOT_CONCURRENCY="60")
    for n in range(60):
        house.text(f"{n}", person=f"+1415555{n:04}")
    bot.until(lambda: len(house.replies()) == 60)


STARTS_SLOWLY = """
import asyncio
from pathlib import Path
from linqbot import Bot, Running

bot = Bot()


@bot.on_start
async def connect(running: Running) -> None:
    Path("begun").touch()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        Path("cancelled").touch()
        raise
"""


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_slow_start_ends_it_at_once(tmp_path: Path, command: Callable[..., Any], sig: int) -> None:
    (tmp_path / "bot.py").write_text(STARTS_SLOWLY)
    bot = command("serve", "bot.py", "--port", "0", **ALONE)
    bot.until((tmp_path / "begun").exists)
    assert bot.stop(sig) == 0
    assert (tmp_path / "cancelled").exists()
    assert "Traceback" not in bot.said()


WITHOUT_THREADS = """
import asyncio
import threading
from pathlib import Path
from linqbot import Bot, Running

bot = Bot()


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def use_up_all_threads() -> None:
    while not Path("served").exists():
        await asyncio.sleep(0.02)
    threading.Thread.start = refuse
    Path("used-up").touch()


@bot.on_start
async def begin(running: Running) -> None:
    bot.task = asyncio.create_task(use_up_all_threads())
"""


def test_a_signal_stops_a_bot_that_can_start_no_thread(tmp_path: Path, command: Callable[..., Any], port: int) -> None:
    (tmp_path / "bot.py").write_text(WITHOUT_THREADS)
    bot = serve_alone(command, port)
    (tmp_path / "served").touch()
    bot.until((tmp_path / "used-up").exists)
    assert bot.stop() == 0
    assert "Traceback" not in bot.said()
