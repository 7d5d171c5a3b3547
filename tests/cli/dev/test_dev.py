"""The ends of `linqbot dev`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import PATIENCE_S

BOT = "from linqbot import Bot, MessageReceived\nbot = Bot()\n\n@bot.on_message\ndef fast(message: MessageReceived) -> str:\n    return ''\n"


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
