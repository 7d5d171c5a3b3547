"""Copies from the inspector, in Chromium. Each copied command is run; copied tests are run in `../test_copied_tests_run.py`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium_page import ME, Bot, Browsing, Served, write
from cli.conftest import Command
from inspector_page import inspector_of, open_rows, subscribe
from playwright.sync_api import Locator, Page, expect
from ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[5] / "examples"


@pytest.fixture
def env(bot: Bot, served: Served, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of `linqbot serve` while it serves the example echo.py."""
    port = free_port()
    url, events = f"http://127.0.0.1:{port}", ["message.received", "message.edited", "reaction.added", "message.read"]
    made = subscribe(bot, f"{url}/webhooks/linq?version=2026-02-03", *events)
    env = {
        "LINQ_API_V3_API_KEY": "any",
        "LINQ_API_V3_BASE_URL": f"{served.url}/api/partner",
        "LINQ_WEBHOOK_SECRET": made["signing_secret"],
        "LINQBOT_STORAGE": f"sqlite:///{tmp_path / 'bot.db'}",
        "LINQBOT_PORT": str(port),
    }
    command = Command(tmp_path, "serve", str(EXAMPLES / "echo.py"), **env)
    command.until(lambda: httpx.get(f"{url}/livez").is_success)
    yield os.environ | env
    command.stop()


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


def ran(command: str, env: dict[str, str] | None = None) -> str:
    """Run a copied command, and return what it printed."""
    done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_the_copied_commands_run(copying: Page, env: dict[str, str]) -> None:
    write(copying, "it's $me")
    expect(copying.locator(".msg.other .bubble")).to_have_text("You said: it's $me")
    exchange = inspector_of(copying).locator(".exchange", has_text="it's $me")
    open_rows(copying, exchange)
    webhook = exchange.locator(".trace.delivery").first
    trigger = copied(copying, webhook, "Copy as linqbot trigger")
    words = shlex.split(trigger.replace("\\\n", ""))
    assert words[:5] == ["linqbot", "trigger", "message.received", "--text", "it's $me"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    ran(trigger, env=env | {"PATH": path})
    expect(copying.locator(".msg.other .bubble")).to_have_count(2)
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl), and the copied curl commands need it")
    assert "HTTP/1.1 200" in ran(copied(copying, webhook, "Copy as curl"))
    call = exchange.locator(".trace.call", has_text="/messages").first
    call.locator("summary").click()
    assert '"message"' in ran(copied(copying, call, "Copy as curl"))


def test_a_copied_test_has_what_came_after_the_exchange_was_opened(copying: Page, bot: Bot) -> None:
    subscribe(bot)
    ids = bot.hear("slow bot")
    exchange = inspector_of(copying).locator(".exchange", has_text="slow bot")
    exchange.locator("> summary").click()
    expect(exchange.get_by_role("button", name="Copy as pytest")).to_be_visible()
    bot.say(ids["chat_id"], "a late reply")
    expect(exchange.locator(".trace.call")).to_have_count(1)
    test = copied(copying, exchange, "Copy as pytest")
    assert 'assert reply == "a late reply"' in test
    (event,) = bot.call("GET", "/emulator/deliveries")["deliveries"]
    assert test == bot.call("GET", f"/emulator/deliveries/{event['event_id']}/test")["source"]


def test_the_decline_of_a_charge_has_no_test_to_copy(copying: Page, bot: Bot) -> None:
    subscribe(bot, "http://127.0.0.1:9/hook", "payment.declined")
    bot.call("POST", "/emulator/connect", {"from": ME})
    request = bot.call("POST", "/v3/payment_requests", {"amount": 2500, "currency": "usd"})
    charge = bot.call("POST", "/v3/payments", {"handle": ME, "amount_cents": 2500, "currency": "usd"})
    for payment in (request, charge):
        bot.call("POST", "/emulator/decline", {"id": payment["id"]})
    exchanges = inspector_of(copying).locator(".exchange", has_text="payment.declined")
    expect(exchanges).to_have_count(2)
    for exchange, count in zip(exchanges.all(), (0, 1), strict=True):  # the newest is the first
        open_rows(copying, exchange)
        expect(exchange.get_by_role("button", name="Copy as pytest")).to_have_count(count)
