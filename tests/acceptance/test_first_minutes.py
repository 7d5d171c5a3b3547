"""A person opens the page of `linqbot dev`, texts, sees the dots, and gets the echo: in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium_page import CHROMIUM, CHROMIUM_ARGS
from patience import PATIENCE_S
from ports import free_port

BOT = """
import asyncio
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    while not Path("dots_seen").exists():  # thinking takes a while
        await asyncio.sleep(0.05)
    await ctx.reply(f"You said: {message.text}", effect="confetti")
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium; get it with: apt-get install chromium"
    ),
]


@pytest.fixture
def page_address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "bot.py").write_text(BOT)
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http, (tmp_path / "log").open("w") as log:
        port = str(free_port())
        dev = subprocess.Popen(
            [sys.executable, "-m", "linqbot", "dev", "bot.py", "--port", port], cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            end = time.monotonic() + PATIENCE_S
            while "Text your bot" not in (tmp_path / "log").read_text():
                assert dev.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.1)
            assert http.get(f"http://127.0.0.1:{port}/").status_code == 200
            yield f"http://127.0.0.1:{port}/"
        finally:
            dev.terminate()
            dev.wait(PATIENCE_S)


def test_a_person_types_and_sees_the_dots_and_the_echo(page_address: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1280, "height": 940})
        mistakes: list[str] = []
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.goto(page_address)
        expect(page.get_by_role("textbox", name="Message")).to_have_value("Hello!")
        expect(page.get_by_role("textbox", name="Message")).to_be_focused()
        page.keyboard.press("Enter")
        log = page.get_by_role("log")
        expect(log.get_by_text("Hello!", exact=True)).to_be_visible()
        expect(page.locator(".typing, [class*=typing]").first).to_be_visible()
        (tmp_path / "dots_seen").touch()
        expect(log.get_by_text("You said: Hello!")).to_be_visible()
        expect(page.get_by_role("button", name="Replay Confetti")).to_be_visible()
        browser.close()
    assert mistakes == []
