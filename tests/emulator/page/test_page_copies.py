"""Copies from the inspector, in Chromium: each copied command and each copied test is run.

The bots are served by `linqbot serve`, and reports of turns are posted, or `linqbot dev` runs them and posts its own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium_page import Bot, Browsing, Served
from copied_tests import run_copied
from inspector_page import inspector_of, open_rows, report, subscribe
from playwright.sync_api import Locator, Page, expect
from ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def serve(bot: Bot, served: Served, tmp_path: Path) -> Iterator[Callable[[Path], dict[str, str]]]:
    """Serve a bot's file with `linqbot serve`; return the environment with its secret."""
    running = contextlib.ExitStack()

    def start(file: Path) -> dict[str, str]:
        port = free_port()
        wanted = {"target_url": f"http://127.0.0.1:{port}/webhooks/linq?version=2026-02-03"}
        events = ["message.received", "message.edited", "reaction.added", "message.read"]
        made = bot.call("POST", "/v3/webhook-subscriptions", wanted | {"subscribed_events": events})
        env = os.environ | {
            "LINQ_API_V3_API_KEY": "any",
            "LINQ_API_V3_BASE_URL": f"{served.url}/api/partner",
            "LINQ_WEBHOOK_SECRET": made["signing_secret"],
            "LINQBOT_STORAGE": f"sqlite:///{tmp_path / 'bot.db'}",
            "LINQBOT_PORT": str(port),
        }
        command = [sys.executable, "-m", "linqbot", "serve", str(file)]
        process = running.enter_context(
            subprocess.Popen(command, cwd=file.parent, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        )
        running.callback(process.terminate)
        for _ in range(1200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return env
            time.sleep(0.05)
        raise AssertionError("The bot did not start")

    with running:
        yield start


def copied(page: Page, within: Locator, label: str) -> str:
    """Press a copy button and return what it has put on the clipboard."""
    note = within.locator(".copy-note", has_text="Copied").first
    for timeout_ms in (5_000, 5_000, 15_000):
        within.get_by_role("button", name=label, exact=True).first.click()
        # Each retry of a delivery draws its exchange again, without the note of a copy that was just made.
        with contextlib.suppress(AssertionError):
            expect(note).to_be_visible(timeout=timeout_ms)
            return str(page.evaluate("navigator.clipboard.readText()"))
    raise AssertionError(f"{label} has copied nothing.")


def copied_test(page: Page, text: str, *, facts: str) -> str:
    """Copy the latest exchange with this text as a test, once it shows these facts: they come after the messages."""
    exchange = inspector_of(page).locator(".exchange", has_text=text).first
    expect(exchange.locator("> summary")).to_contain_text(facts)
    exchange.locator("> summary").click()
    test = copied(page, exchange, "Copy as pytest")
    exchange.locator("> summary").click()
    return test


@pytest.fixture
def copying(browsing: Browsing, bot: Bot) -> Page:
    """A page that may read the clipboard."""
    return browsing.open(permissions=["clipboard-read", "clipboard-write"])


def test_the_selection_is_copied_when_only_the_old_way_works(copying: Page, bot: Bot) -> None:
    subscribe(bot)
    bot.hear("old way")
    copying.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    exchange = inspector_of(copying).locator(".exchange", has_text="old way")
    open_rows(copying, exchange)
    assert '"value": "old way"' in copied(copying, exchange, "Copy as JSON")


def test_the_copied_commands_run(copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]]) -> None:
    env = serve(EXAMPLES / "echo.py")
    write = copying.get_by_label("Message", exact=True)
    write.fill("it's $me")
    copying.keyboard.press("Enter")
    expect(copying.locator(".msg.other .bubble")).to_have_text("You said: it's $me")
    exchange = inspector_of(copying).locator(".exchange", has_text="it's $me")
    open_rows(copying, exchange)
    webhook = exchange.locator(".trace.delivery").first
    trigger = copied(copying, webhook, "Copy as linqbot trigger")
    assert shlex.split(trigger.replace("\\\n", ""))[:5] == [
        "linqbot",
        "trigger",
        "message.received",
        "--text",
        "it's $me",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(["sh", "-c", trigger], env=env | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expect(copying.locator(".msg.other .bubble")).to_have_count(2)
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl), and the copied curl commands need it")
    curl = copied(copying, webhook, "Copy as curl")
    done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=False)
    assert "HTTP/1.1 200" in done.stdout, done.stdout + done.stderr
    call = exchange.locator(".trace.call", has_text="/messages").first
    call.locator("summary").click()
    curl = copied(copying, call, "Copy as curl")
    done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=False)
    assert '"message"' in done.stdout, done.stdout + done.stderr


def test_a_copied_test_passes_for_echo_and_fails_for_another_answer(
    copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    serve(EXAMPLES / "echo.py")
    ids = bot.hear('say "hi"\nand 🎂')
    copying.reload()
    expect(copying.locator(".msg.other .bubble")).to_have_count(1)
    report(bot, ids, handler="echo:echo", file="echo.py", line=9)
    test = copied_test(copying, "say", facts="echo:echo")
    assert "from echo import bot" in test
    outcomes = run_copied([test, test.replace("You said", "You sang")], EXAMPLES / "echo.py", tmp_path)
    assert outcomes == {"test_0": "PASSED", "test_1": "FAILED"}


def test_a_copied_test_has_what_came_after_the_exchange_was_opened(copying: Page, bot: Bot) -> None:
    subscribe(bot)
    ids = bot.hear("slow bot")
    exchange = inspector_of(copying).locator(".exchange", has_text="slow bot")
    exchange.locator("> summary").click()
    expect(exchange.get_by_role("button", name="Copy as pytest")).to_be_visible()
    bot.say(ids["chat_id"], "a late reply")
    expect(exchange.locator(".trace.call")).to_have_count(1)
    assert 'assert reply == "a late reply"' in copied(copying, exchange, "Copy as pytest")
