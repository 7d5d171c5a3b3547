"""`linqbot replay --against`: a dry deploy in the terminal and in CI."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_turns import turns_of
from fakes import CHAT, Linq, delivery, text_body
from patience import PATIENCE_S
from postgres_server import empty_storage_url
from storages import open_storage
from typed_command import data, shown

from linqbot.clock import SystemClock
from linqbot.ops.bot_file import load_bot

REPLAY = ("replay", "--since", "2026-01-01")
AGAINST = (*REPLAY, "--against", "new_bot.py")
BOT = """
from linqbot import Bot, Context, MessageReceived, contains

bot = Bot(max_age_s=None, read=False, typing=False)


@bot.on_message(contains("menu"))
async def menu(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Onion soup.")


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")
"""
STUCK = """
import asyncio
import time
from linqbot import Bot, Context, MessageReceived

bot = Bot(max_age_s=None)


@bot.on_message(deadline_s=0.1)
def menu(message: MessageReceived, ctx: Context) -> str:
    time.sleep(1000)
    return ""
"""


@pytest.fixture(autouse=True)
def folder(command_folder: Path) -> Iterator[Path]:
    path = list(sys.path)
    (command_folder / "bot.py").write_text(BOT)
    (command_folder / "new_bot.py").write_text(BOT)
    yield command_folder
    sys.path[:] = path


def change(folder: Path, old: str, new: str) -> None:
    """Change the new bot."""
    text = (folder / "new_bot.py").read_text()
    assert old in text
    (folder / "new_bot.py").write_text(text.replace(old, new))


def handled(*texts: str, storage: str = "sqlite:///linqbot.db", keep_days: float = 2) -> None:
    """Let the bot handle messages, without a server."""

    async def work() -> None:
        clock = SystemClock()
        async with open_storage(storage, keep_days=keep_days) as opened:
            turns = turns_of(load_bot("bot.py"), Linq(), opened, clock)
            for text in texts:
                await opened.put(delivery(text_body(text)))
                (lease,) = await opened.take(1, lease_s=60)
                await turns.run(lease)

    asyncio.run(work())


def test_the_same_code_ends_with_0_and_other_words_with_1_which_only_diff_shows(folder: Path) -> None:
    handled("hello", "menu", "the menu")
    output = shown(*AGAINST)
    assert "new_bot.py ran on 3 turns on record. Nothing was sent." in output
    assert "3 same" in output
    change(folder, "Onion", "Leek")
    output = shown(*AGAINST, code=1)
    assert "different answer: other words in a message" in output
    assert "2 turns, in menu (new_bot.py:7)" in output
    assert "Of 3 turns, 2 differed with new_bot.py." in output
    assert "soup" not in output
    output = shown(*AGAINST, "--diff", code=1)
    assert "    - Onion soup.\n    + Leek soup." in output
    shown(*AGAINST, "--allow-different")
    shown(*REPLAY, "new_bot.py", code=1)


def test_a_failure_counts_even_if_differences_are_allowed(folder: Path) -> None:
    handled("menu")
    change(folder, 'await ctx.reply("Onion soup.")', 'raise LookupError("no onions")')
    output = shown(*AGAINST, "--allow-different", code=1)
    assert "new failure: LookupError at new_bot.py:9" in output
    assert "To see tracebacks" in output
    assert "no onions" not in output
    assert "turn.failed" not in output
    output = shown(*AGAINST, "--diff", code=1)
    assert 'raise LookupError("no onions")\n' in output
    assert "LookupError: no onions" in output


def test_a_failure_may_come_from_what_is_prepared_at_the_start(folder: Path) -> None:
    handled("menu")
    change(folder, 'await ctx.reply("Onion soup.")', "await ctx.reply(prices['soup'])")
    start = "prices = {}\n\n\n@bot.on_start\nasync def load(running: object) -> None:\n    prices['soup'] = '8'\n\n\n"
    change(folder, '@bot.on_message(contains("menu"))', start + '@bot.on_message(contains("menu"))')
    output = shown(*AGAINST, code=1)
    assert "new failure: KeyError" in output
    assert "Functions of @bot.on_start do not run in a dry deploy" in output


def test_the_report_as_json(folder: Path) -> None:
    handled("hello", "menu")
    change(folder, 'contains("menu")', 'contains("dishes")')
    report = data(*AGAINST, "bot.py", "--diff", code=1)
    assert report["counts"] | {"same": 1, "different handler": 1} == report["counts"]
    (group,) = report["groups"]
    assert (group["kind"], group["cause"]) == ("different handler", "menu took it then, echo now")
    (changed,) = group["changes"]
    assert (changed["text_before"], changed["text_after"]) == ("Onion soup.", "You said: menu")
    report = data(*AGAINST, code=1)
    assert "text_before" not in report["groups"][0]["changes"][0]


def test_a_wrong_call_and_a_storage_without_history_end_with_2_and_a_bot_that_cannot_be_imported_with_1(
    folder: Path,
) -> None:
    handled("hello")
    assert "Give the FILE" in shown(*REPLAY, "--diff", code=2)
    assert "compares nothing" in shown(*AGAINST, "--live", code=2)
    assert "There is no file other.py" in shown(*REPLAY, "--against", "other.py", code=2)
    assert "No handler menus took or takes" in shown(*AGAINST, "--handler", "menus", code=2)
    handled("hello", storage="sqlite:///short.db", keep_days=0)
    assert "LINQBOT_KEEP_DAYS" in shown(*AGAINST, "--storage", "sqlite:///short.db", code=2)
    (folder / "new_bot.py").write_text("import no_such_module_of_this_bot")
    output = shown(*AGAINST, code=1)
    assert "new_bot.py cannot be imported" in output
    assert "no_such_module_of_this_bot" in output


def test_nothing_that_could_be_compared_is_no_success(folder: Path) -> None:
    handled("menu")
    change(folder, 'await ctx.reply("Onion soup.")', "await ctx.client.chats.retrieve(ctx.chat_id)")
    output = shown(*AGAINST, code=1)
    assert "could not be compared: not recorded: what chats.retrieve returned" in output
    assert "None of 1 turn could be compared" in output


@pytest.mark.process
def test_a_thread_that_hangs_does_not_keep_the_command(folder: Path) -> None:
    handled("menu")
    (folder / "new_bot.py").write_text(STUCK)
    command = [sys.executable, "-m", "linqbot", *AGAINST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "new failure: TimeoutError at new_bot.py:" in done.stdout
    assert "1 failed with new_bot.py" in done.stderr


@pytest.mark.process
@pytest.mark.usefixtures("postgres_plugin")
def test_a_storage_in_postgresql_is_compared_like_a_file(folder: Path) -> None:
    url = empty_storage_url("replay_diff")
    handled("hello", "menu", storage=url)
    change(folder, "Onion", "Leek")
    report = data(*AGAINST, "bot.py", "--chat", CHAT, "--storage", url, code=1)
    assert (report["turns"], report["counts"]["same"], report["counts"]["different answer"]) == (2, 1, 1)
