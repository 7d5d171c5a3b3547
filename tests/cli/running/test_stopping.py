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
from cli.practice import KEY
from patience import PATIENCE_S
from ports import free_port
from pseudo_terminal import Screen, typed
from signed import SECRET

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

    def __init__(self, folder: Path, emulator: str, command: Callable[..., Any]) -> None:
        self.folder = folder
        self._command = command
        (folder / "bot.py").write_text(BOT)
        self.port = free_port()
        self.linq = emulator
        httpx.post(f"{self.linq}/emulator/reset").raise_for_status()
        made = httpx.post(
            f"{self.linq}/v3/webhook-subscriptions",
            json={
                "target_url": f"http://127.0.0.1:{self.port}/webhooks/linq",
                "subscribed_events": ["message.received"],
            },
            headers={"authorization": f"Bearer {KEY}"},
        )
        self._settings = {
            "LINQ_API_V3_API_KEY": KEY,
            "LINQ_API_V3_BASE_URL": f"{self.linq}/api/partner",
            "LINQ_WEBHOOK_SECRET": made.json()["signing_secret"],
        }

    def serve(self, **environ: str) -> Any:
        bot = self._command("serve", "bot.py", "--port", str(self.port), **self._settings, **environ)
        bot.until(lambda: httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200)
        return bot

    def serve_in_terminal(self, *options: str, begin: Callable[[], bool], **environ: str) -> Screen:
        """Serve the bot in a terminal, and press Ctrl-C once the bot is ready and `begin` has returned something true."""
        words = ("serve", "bot.py", "--port", str(self.port), *options)
        with ThreadPoolExecutor() as other:
            ended = other.submit(typed, self.folder, *words, **self._settings, **environ)
            end = time.monotonic() + PATIENCE_S
            while not ended.done() and time.monotonic() < end:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200 and begin():
                        os.kill(int((self.folder / "pid").read_text()), signal.SIGINT)
                        break
                time.sleep(0.05)
            return ended.result()

    def text(self, said: str, *, from_: str = "+14155550142") -> None:
        body = {"from": from_, "to": "+12025550100", "parts": [{"type": "text", "value": said}]}
        httpx.post(f"{self.linq}/emulator/inbound", json=body).raise_for_status()

    def go(self, *texts: str) -> None:
        for text in texts:
            (self.folder / f"go-{text}").touch()

    def has_begun(self, text: str) -> bool:
        return (self.folder / f"begun-{text}").exists()

    def is_stopping(self) -> bool:
        """Return True if the bot takes no more deliveries."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code != 200
        except httpx.ConnectError:
            return True

    def replies(self) -> list[str]:
        chats = httpx.get(f"{self.linq}/emulator/state").json()["chats"]
        return [m["parts"][0]["value"] for chat in chats for m in chat["messages"] if m["is_from_me"]]


@pytest.fixture
def house(tmp_path: Path, emulator: str, command: Callable[..., Any]) -> House:
    return House(tmp_path, emulator, command)


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
def test_a_handler_that_does_not_end_in_time_is_deferred_and_runs_after_the_restart(house: House) -> None:
    bot = house.serve(LINQBOT_DRAIN_S="0.3")
    house.text("a")
    bot.until(lambda: house.has_begun("a"))
    bot.process.send_signal(signal.SIGTERM)
    assert bot.end() == 0
    assert house.replies() == ["begun a"]
    house.go("a")
    again = house.serve()
    again.until(lambda: house.replies() == ["begun a", "done a"])


@pytest.mark.slow
def test_a_second_signal_stops_the_bot_at_once(house: House) -> None:
    bot = house.serve(LINQBOT_DRAIN_S="300")
    house.text("a")
    bot.until(lambda: house.has_begun("a"))
    bot.process.send_signal(signal.SIGTERM)
    bot.until(house.is_stopping)
    bot.process.send_signal(signal.SIGTERM)
    assert bot.end() == 128 + signal.SIGTERM
    house.go("a")
    again = house.serve()
    again.until(lambda: house.replies() == ["begun a", "done a"])


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
            house.text(text := waiting.pop(), from_=f"+1415555014{ord(text) - ord('a')}")
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
    (house.folder / "bot.py").write_text(STUCK)
    bot = house.serve(LINQBOT_DRAIN_S="0.2")
    for number, kind in enumerate(("thread", "executor", "stubborn")):
        house.text(kind, from_=f"+1415555014{number}")
        bot.until(lambda kind=kind: house.has_begun(kind))
    bot.process.send_signal(signal.SIGINT)
    assert bot.end() == 0
    again = house.serve()
    house.text("still there", from_="+14155550143")
    again.until(lambda: house.replies() == ["still there"])


def test_a_second_signal_ends_a_process_whose_threads_hang(house: House) -> None:
    (house.folder / "bot.py").write_text(STUCK)
    bot = house.serve(LINQBOT_DRAIN_S="300")
    house.text("thread")
    bot.until(lambda: house.has_begun("thread"))
    bot.process.send_signal(signal.SIGINT)
    bot.until(house.is_stopping)
    bot.process.send_signal(signal.SIGINT)
    assert bot.end() == 128 + signal.SIGINT


@pytest.mark.slow
def test_as_many_plain_handlers_run_at_once_as_there_are_places(house: House) -> None:
    (house.folder / "bot.py").write_text(
        "import threading\n"
        "from linqbot import Bot, Context, MessageReceived\n"
        "bot = Bot(read=False, typing=False, max_age_s=None)\n"
        "all_here = threading.Barrier(60)\n"
        "@bot.on_message\n"
        "def meet(message: MessageReceived, ctx: Context) -> str:\n"
        "    all_here.wait(20)\n"
        "    return message.text\n"
    )
    bot = house.serve(LINQBOT_CONCURRENCY="60")
    for n in range(60):
        house.text(f"{n}", from_=f"+1415555{n:04}")
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
    environ = {"LINQ_API_V3_API_KEY": KEY, "LINQ_WEBHOOK_SECRET": SECRET, "LINQ_API_V3_BASE_URL": "http://127.0.0.1:9"}
    bot = command("serve", "bot.py", "--port", str(free_port()), **environ)
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


def test_a_signal_stops_a_bot_that_can_start_no_thread(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "bot.py").write_text(WITHOUT_THREADS)
    environ = {"LINQ_API_V3_API_KEY": KEY, "LINQ_WEBHOOK_SECRET": SECRET, "LINQ_API_V3_BASE_URL": "http://127.0.0.1:9"}
    bot = command("serve", "bot.py", "--port", str(free_port()), **environ)
    bot.until(lambda: "linqbot serves" in bot.said())
    (tmp_path / "served").touch()
    bot.until((tmp_path / "used-up").exists)
    assert bot.stop() == 0
    assert "Traceback" not in bot.said()
