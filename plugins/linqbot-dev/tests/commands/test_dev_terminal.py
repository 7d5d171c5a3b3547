"""`linqbot dev` in a pseudo terminal, as its user sees it; and the lines of `linqbot serve` for each turn."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from cli.conftest import Command
from cli.practice import ALWAYS, Practice, serve
from dev_command import save
from emulator_control import ANN, replies, text
from patience import PATIENCE_S
from ports import free_port

pty = pytest.importorskip("pty", reason="This system has no pseudo terminals.")
pytestmark = [pytest.mark.process, pytest.mark.slow]

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(typing=False)


@bot.on_message("hi")
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Hello!", effect="confetti")


@bot.on_message("boom", attempts=2)
async def boom(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("no such dish")


@bot.on_message("die", attempts=1)
async def die(message: MessageReceived, ctx: Context) -> None:
    import os
    os._exit(7)


@bot.on_message("crash", attempts=1)
async def crash(message: MessageReceived, ctx: Context) -> None:
    import ctypes
    ctypes.string_at(0)
"""
MISTAKES = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(typing=False)


@bot.on_message("forgot")
async def forgot(message: MessageReceived, ctx: Context) -> None:
    ctx.reply("Hello!")


@bot.on_message("misspelt")
async def misspelt(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Hello!", effect="confeti")


@bot.on_message("slow")
async def slow(message: MessageReceived, ctx: Context) -> None:
    import time
    time.sleep(2.5)
"""
ABOVE = "from linqbot import Bot\nbot = Bot()\n"
OPTS_OUT = "\n@bot.on_message('cancel')\nasync def g(message, ctx): ...\n"
# `tests/cli/test_errors.py` has the mistakes that are found before the bot starts.
DOES_NOT_START = "@bot.on_start\nasync def opens(running): open('menu.json.missing')"
WHY_NOT = (
    "No such file or directory: 'menu.json.missing'",
    "@bot.on_start bot:opens failed: FileNotFoundError at bot.py:4.",
)
EDITED = """
@bot.on_edit
async def edited(event, ctx: Context) -> None:
    await ctx.reply("Thank you!")
"""


class Terminal(Command):
    """`linqbot dev bot.py` in a pseudo terminal."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.port = free_port()
        self.page = f"http://127.0.0.1:{self.port}"
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_", "NO_COLOR"))}
        self.process = subprocess.Popen(
            # With -P, as the program `linqbot` of an installation: the current folder is not where modules come from.
            [sys.executable, "-P", "-m", "linqbot", "dev", "bot.py", "--port", str(self.port), *arguments],
            cwd=folder,
            env=plain | {"TERM": "xterm"} | environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._read = b""

    @property
    def raw(self) -> str:
        """All output so far, with colors."""
        try:
            while block := os.read(self._ours, 65536):
                self._read += block
        except OSError:  # nothing to read now, or the other end is closed
            pass
        return self._read.decode().replace("\r\n", "\n")

    @property
    def screen(self) -> str:
        """All output so far, without colors."""
        return click.unstyle(self.raw)

    @property
    def turns(self) -> list[str]:
        """The lines of turns, without time and with `N` for durations and pauses."""
        found = re.findall(r"^\d\d:\d\d:\d\d  (.* → .*)$", self.screen, re.MULTILINE)
        return [re.sub(r"[\d.]+(?= m?s\b)", "N", each) for each in found]

    def said(self) -> str:
        return self.screen

    def state(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.page}/emulator/state").json())

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def press_ctrl_c(self) -> int:
        """Send the signal that Ctrl-C sends to all processes of a terminal, and return the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.stop()
        os.close(self._ours)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*arguments: str, mistakes: str = BOT, **environ: str) -> Terminal:
        (tmp_path / "bot.py").write_text(mistakes)
        started.append(Terminal(tmp_path, *arguments, **environ))
        started[-1].until(lambda: "Text your bot" in started[-1].screen)
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_each_message_is_one_line_events_without_a_handler_are_none_and_ctrl_c_says_nothing(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    # A file that is named as a module of Python does not keep the bot from starting.
    for name in ("json.py", "asyncio.py", "click.py"):
        (tmp_path / name).write_text("raise ImportError('This is not the module that was meant.')\n")
    dev = terminal()
    chat = text(dev.page, "hi")
    dev.until(lambda: replies(dev.page) == ["Hello!"])
    typing = {"from": ANN, "chat_id": chat, "state": "started"}
    assert httpx.post(f"{dev.page}/emulator/typing", json=typing).is_success
    text(dev.page, "what?")
    assert dev.until(lambda: dev.turns[1:]) == [
        f'{ANN} "what?" → no handler took it: no filter fits (tried bot:greet, bot:boom, bot:die, bot:crash)'
    ]
    assert dev.turns[0] == f'{ANN} "hi" → bot:greet N ms → "Hello!" (confetti)'
    assert "\x1b[" in dev.raw.partition("what?")[2]
    body = dev.screen.partition("Text your bot")[2].strip().splitlines()[1:]
    assert [row for row in body if row.strip()] == body[-2:]
    first, second = dev.until(lambda: (found := dev.state()["observations"])[1:] and found)
    assert (first["outcome"], first["handler"], first["file"], first["line"]) == ("acked", "bot:greet", "bot.py", 7)
    assert (second["outcome"], second["reason"]) == ("not_handled", "no filter fits")
    # A receipt that is on its way when the bot ends is a line of its own.
    assert httpx.post(f"{dev.page}/emulator/flush", timeout=PATIENCE_S).is_success
    before = dev.screen
    with httpx.stream("GET", f"{dev.page}/emulator/stream") as stream:
        assert next(stream.iter_text()).startswith(": hello")
        assert dev.press_ctrl_c() == 0
    assert dev.screen == before


TALKING = """
from linqbot import Bot, Context, MessageReceived, poll

bot = Bot(typing=False)


@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> None:
    people = await ctx.ask("How many?", kind=int)
    await ctx.reply(f"A table for {people}.\\nSee you!")


@bot.on_message("when")
async def when(message: MessageReceived, ctx: Context) -> None:
    await ctx.bot.send("A guest asks for a time.", to="+14155550199", line=message.line)
    await ctx.reply(poll("At 7", "At 8"))
"""


def test_with_terminal_each_line_is_a_text_and_the_answers_are_printed_until_ctrl_d(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    dev = terminal("--terminal", mistakes=TALKING)
    dev.type("book\n")
    dev.until(lambda: "\nHow many?\n" in dev.screen)
    dev.type("4\n")
    dev.until(lambda: "\nA table for 4.\nSee you!\n" in dev.screen)
    dev.type("\x04")
    assert dev.process.wait(PATIENCE_S) == 0
    # From a pipe, standard output has the answers only, not what others get, and each line waits for the turn of the line before it.
    line = [sys.executable, "-P", "-m", "linqbot", "dev", "--terminal", "--port", "0"]
    said = subprocess.run(
        line, cwd=tmp_path, input="book\n5\n\nwhen", capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert said.stdout == "How many?\nA table for 5.\nSee you!\n[ ] At 7\n[ ] At 8\n"
    assert said.stderr.count(" → bot:") == 3


def test_an_error_shows_its_traceback_once_and_a_process_that_ends_is_shown_with_the_reason(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    dev = terminal(NO_COLOR="1")
    text(dev.page, "boom")
    error = f'{ANN} "boom" → bot:boom N ms → ValueError at bot.py:14: no such dish'
    dev.until(lambda: len(dev.turns) == 2)
    assert dev.turns == [f"{error} → again in N s", f"{error} → given up after attempt 2"]
    assert dev.screen.count('raise ValueError("no such dish")') == 1
    assert "turn.failed" not in dev.screen
    lines_of_turns = [row for row in dev.raw.splitlines() if "→" in row]
    assert not any("\x1b" in row for row in lines_of_turns)
    text(dev.page, "die")
    found = dev.until(lambda: (bot := dev.state()["bot"]) and bot["status"] == "stopped" and bot)
    assert found["message"] == "The bot's process ended with exit code 7. The terminal may show why."
    dev.until(lambda: "exit code 7" in dev.screen)
    save(tmp_path / "bot.py", BOT.replace("os._exit(7)", "pass"))
    dev.until(lambda: "Reloaded." in dev.screen)
    text(dev.page, "crash")
    dev.until(lambda: "because of SIGSEGV." in dev.screen)
    assert 'bot.py", line 26 in crash' in dev.screen


def test_a_forgotten_await_a_misspelt_effect_and_a_blocked_loop_are_shown_with_their_lines(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    dev = terminal("--no-reload", mistakes=MISTAKES)
    text(dev.page, "forgot")
    dev.until(lambda: dev.turns)
    line = MISTAKES.splitlines().index('    ctx.reply("Hello!")') + 1
    sentence = f"bot:forgot ended and bot.py:{line} never awaited ctx.reply(). Write: await ctx.reply(…)"
    assert sentence in dev.screen
    assert "tracemalloc" not in dev.screen
    assert "RuntimeWarning" not in dev.screen
    text(dev.page, "misspelt")
    dev.until(lambda: dev.turns[1:])
    assert dev.turns[1].endswith("given up after attempt 1")
    dev.until(lambda: "To handle it again" in dev.screen)
    _, _, shown = dev.screen.rpartition("given up after attempt 1\n")
    frames = [row.strip() for row in shown.splitlines() if row.strip()]
    assert (len(frames), frames[1]) == (2, 'await ctx.reply("Hello!", effect="confeti")')
    (forgot, _) = dev.until(lambda: (found := dev.state()["observations"])[1:] and found)
    assert (forgot["outcome"], forgot["error"]["type"]) == ("dead_lettered", "NeverAwaited")
    assert (forgot["error"]["file"], forgot["error"]["line"]) == ("bot.py", line)
    text(dev.page, "slow")
    dev.until(lambda: "loop.blocked" in dev.screen)
    assert "bot:slow" in dev.screen.rpartition("loop.blocked")[2]
    assert "def instead of async def" in dev.screen


def test_a_saved_file_is_served_with_what_it_handles_and_its_mistakes_are_named_while_messages_wait(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    dev = terminal()
    file = tmp_path / "bot.py"
    text(dev.page, "hi")
    dev.until(lambda: replies(dev.page) == ["Hello!"])

    def fails(code: str, number: int) -> str:
        save(file, code)
        dev.until(lambda: dev.screen.count("did not start. Correct it and save") == number)
        return dev.screen.split("did not start. Correct it and save")[number - 1]

    def delivered() -> set[str]:
        return set(dev.state()["subscriptions"][0]["subscribed_events"])

    assert dev.state()["bot"]["status"] == "loaded"
    assert delivered() == {"message.received"} | ALWAYS
    target = httpx.URL(dev.state()["subscriptions"][0]["target_url"])
    assert target.port is not None
    fails(BOT + "broken(\n", 1)
    found = dev.state()["bot"]
    assert (found["status"], found["file"], found["line"]) == ("failed", "bot.py", BOT.count("\n") + 1)
    assert found["message"] == "SyntaxError: '(' was never closed"
    assert "importlib" not in found["traceback"]
    # No other program can take the port, and nothing waits for an answer of a bot that does not run.
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", target.port))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{target.port}/livez", timeout=PATIENCE_S)
    text(dev.page, "hi")
    dev.until(lambda: "closed the connection" in dev.screen)
    said = fails(ABOVE + DOES_NOT_START + "\n", 2)
    for words in WHY_NOT:
        assert words in " ".join(said.split()), said
    save(file, BOT.replace("Hello!", "Welcome!") + EDITED + OPTS_OUT)
    dev.until(lambda: replies(dev.page) == ["Hello!", "Welcome!"])
    dev.until(lambda: dev.screen.count("Text your bot") == 2)
    assert dev.state()["bot"]["status"] == "loaded"
    assert delivered() == {"message.received", "message.edited"} | ALWAYS
    assert "in use" not in dev.screen
    assert "refused" not in dev.screen
    assert "a person who writes CANCEL opts out" in dev.screen
    assert "@bot.on_opt_out" in dev.screen
    save(file, "from linqbot import Bot\nbot = Bot()\n")
    dev.until(lambda: "bot.py has no handler for messages yet: add @bot.on_message." in dev.screen)


STARTING = "  Starting bot.py …\n"


def test_ctrl_c_while_the_bots_file_is_imported_ends_dev_without_an_error(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("import threading\nopen('importing', 'w').close()\nthreading.Event().wait()\n")
    dev = Terminal(tmp_path)
    dev.until((tmp_path / "importing").exists)
    assert dev.press_ctrl_c() == 0
    assert dev.screen in ("", STARTING)
    dev.close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the child process is found in /proc")
def test_ctrl_c_while_the_bots_process_imports_linqbot_ends_dev_without_an_error(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    dev = Terminal(tmp_path)
    pid = dev.process.pid
    dev.until(Path(f"/proc/{pid}/task/{pid}/children").read_text)
    assert dev.press_ctrl_c() == 0
    assert dev.screen in ("", STARTING)
    dev.close()


def test_with_json_the_start_each_turn_and_each_reload_is_a_line_of_json_without_texts(
    tmp_path: Path, command: Callable[..., Any], port: int
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    page = f"http://127.0.0.1:{port}"
    dev = command("dev", "bot.py", "--port", str(port), "--json")
    dev.until(lambda: "\n" in dev.said())
    text(page, "hi")
    text(page, "what?")
    dev.until(lambda: dev.said().count('"turn": {') == 2)
    # A busy machine logs lines of its own between these.
    rows = [json.loads(line) for line in dev.said().splitlines()]
    (started,) = [row for row in rows if "bot" in row]
    first, second = [row for row in rows if "turn" in row]
    assert (started["bot"], started["phone"], started["reloaded"]) == ("bot.py", page, False)
    assert (first["turn"]["handler"], first["turn"]["replies"]) == ("bot:greet", 1)
    assert second["turn"]["reason"] == "no filter fits"
    assert "what?" not in dev.said()
    save(tmp_path / "bot.py", BOT + "1 / 0\n")
    dev.until(lambda: "LQB5002" in dev.said())
    errors = [row["error"] for row in map(json.loads, dev.said().splitlines()) if "error" in row]
    assert "LQB5002" in [error["code"] for error in errors if isinstance(error, dict)]
    seen = dev.said().count('"reloaded": true')
    save(tmp_path / "bot.py", BOT)
    dev.until(lambda: dev.said().count('"reloaded": true') > seen)
    assert all(map(json.loads, dev.said().splitlines()))
    assert dev.stop() == 0


def test_serve_prints_its_address_in_json_and_logs_each_turn_the_line_that_blocks_the_event_loop_and_words_by_which_people_opt_out(
    practice: Practice, command: Callable[..., Any]
) -> None:
    (practice.folder / "bot.py").write_text(MISTAKES + OPTS_OUT)
    practice.sync()
    bot = serve(practice, command, "--json")
    assert "a person who writes CANCEL opts out" in bot.said()
    text(practice.linq, "slow")
    bot.until(lambda: "loop.blocked" in bot.said())
    bot.until(lambda: "turn.acked" in bot.said())
    assert bot.stop() == 0
    rows = [json.loads(line) for line in bot.said().splitlines()]
    (started,) = [row for row in rows if "event" not in row]
    assert started["bot"] == "bot.py"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/webhooks/linq", started["webhook"])
    (blocked,) = [row for row in rows if row.get("event") == "loop.blocked"]
    assert (blocked["handler"], blocked["at"], blocked["longer_than_ms"]) == ("bot:slow", "bot.py:20", 1000)
    acked = [row for row in rows if row.get("event") == "turn.acked"]
    assert [(row["handler"], row["type"], row["attempt"]) for row in acked] == [("bot:slow", "message.received", 1)]
    assert ANN not in bot.said()


EARLY = """
import os, signal, sys
from linqbot.cli.main import main
from linqbot.server import uvicorn_server

def make_server(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return made(*arguments, **options)

made, uvicorn_server.Server = uvicorn_server.Server, make_server
sys.exit(main())
"""


@pytest.mark.parametrize(
    "words",
    [["dev", "bot.py", "--port", "0"], ["rehearse", "bot.py", "--people", "1"]],
    ids=lambda words: words[0],
)
def test_ctrl_c_before_the_server_runs_ends_the_command_without_a_traceback(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    ended = subprocess.run(
        [sys.executable, "-c", EARLY, *words],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_"))},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended.stderr
    assert "The command was aborted." in ended.stderr
