"""The ends of `linqbot dev`, and its addresses in JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import PATIENCE_S

BOT = "from linqbot import Bot, MessageReceived\nbot = Bot()\n\n@bot.on_message\ndef fast(message: MessageReceived) -> str:\n    return ''\n"


@pytest.mark.slow
def test_serve_and_emulator_with_json_print_their_addresses_on_one_line(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    emulator = command("dev", "--no-bot", "--port", "0", "--json")
    emulator.until(lambda: "\n" in emulator.said())
    linq = json.loads(emulator.said())
    environ = {
        "LINQ_API_V3_API_KEY": "token",
        "LINQ_API_V3_BASE_URL": linq["api"],
        "LINQ_WEBHOOK_SECRET": "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
    }
    bot = command("serve", "bot.py", "--port", "0", "--json", **environ)
    # Log lines are JSON too, and go to standard error.
    bot.until(lambda: '"webhook"' in bot.said())
    (first,) = [row for row in map(json.loads, bot.said().splitlines()) if "event" not in row]
    assert first["bot"] == "bot.py"
    bot.until(lambda: httpx.get(first["webhook"].replace("webhooks/linq", "readyz")).status_code == 200)
    assert bot.stop() == 0
    assert all(json.loads(line) for line in bot.said().splitlines())
    assert emulator.stop() == 0


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
    (tmp_path / "bot.py").write_text(BOT)
    page = f"http://127.0.0.1:{port}"
    dev = command("dev", "bot.py", "--port", str(port), "--json")
    dev.until(lambda: "\n" in dev.said())
    listed = httpx.get(f"{page}/v3/webhook-subscriptions", headers={"authorization": "Bearer dev"}).json()
    (target,) = (entry["target_url"] for entry in listed["subscriptions"])
    livez = target.partition("/webhooks")[0] + "/livez"
    assert httpx.get(livez).is_success
    dev.process.kill()
    dev.process.wait()
    end = time.monotonic() + PATIENCE_S
    while is_there(livez):
        assert time.monotonic() < end
        time.sleep(0.05)


def is_there(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
