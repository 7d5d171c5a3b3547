"""`linqbot serve --page` in a real browser: each view on a phone in light and on a wide screen in dark, and its forms."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from chromium_page import CHROMIUM, CHROMIUM_ARGS, DESKTOP, MOBILE, Scheme, axe_source, violations
from cli.practice import Practice, serve
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from linqbot.ops.page.access import hashed

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

BOT = """
from linqbot import Bot, Context, MessageReceived
bot = Bot(typing=False)

@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"A table for {await ctx.ask('How many?', kind=int)}.")

@bot.on_message("boom", attempts=1)
async def boom(message: MessageReceived, ctx: Context) -> None:
    raise ValueError
"""


def test_an_operator_works_with_the_page(practice: Practice, command: Callable[..., Any], port: int) -> None:
    if CHROMIUM is None:
        missing = (
            "Chromium is not installed (Debian: apt-get install chromium), and the page cannot be tested without it"
        )
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    (practice.folder / "bot.py").write_text(BOT)
    practice.sync()
    page = f"http://127.0.0.1:{port}"
    environ = {"LINQBOT_PAGE_PORT": str(port), "LINQBOT_PAGE_PASSWORD": hashed("let me act")}
    server = serve(practice, command, "--page", **environ)
    server.until(lambda: httpx.get(f"{page}/login").is_success)
    practice.text("book")
    server.until(lambda: practice.replies() == ["How many?"])
    practice.text("boom", person="+14155550143")
    server.until(lambda: "turn.dead_lettered" in server.said())

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        with browser.new_context(bypass_csp=True, viewport=MOBILE) as context:
            shown = context.new_page()
            shown.goto(page)
            examine(shown)
            shown.get_by_label("Password").fill("let me act")
            shown.get_by_role("button", name="Log in").click()
            for view in ("Chats", "Troubles", "Day", "Lines", "Log"):
                shown.get_by_role("link", name=view).click()
                expect(shown.get_by_role("heading", name=view, level=1)).to_be_visible()
                examine(shown)
            shown.get_by_label("Why").fill("+14155550143")
            shown.keyboard.press("Enter")
            expect(shown.get_by_text("It was given up in the handler")).to_be_visible()
            examine(shown)
            shown.get_by_role("link", name=re.compile("^chat ")).click()
            examine(shown)
        act(shown := browser.new_page(), page)
        browser.close()
    server.until(lambda: practice.replies()[1:] == ["Dana here.", "A table for 4."])
    assert server.stop() == 0
    assert "Traceback" not in server.said()


def act(shown: Page, page: str) -> None:
    """Do what an operator does, with the page's own policy, which allows no scripts."""
    shown.goto(page)
    shown.get_by_label("Password").fill("let me act")
    shown.keyboard.press("Enter")
    shown.get_by_role("link", name="+14155550142").click()
    said = shown.get_by_role("status")
    shown.get_by_role("button", name="Mute").click()
    expect(said).to_have_text("The bot is muted, for 1 hour.")
    shown.get_by_label("Write as the line").fill("Dana here.")
    shown.get_by_role("button", name="Send").click()
    expect(said).to_have_text("Sent.")
    shown.get_by_role("button", name="Unmute").click()
    expect(said).to_have_text("The bot answers again.")
    shown.get_by_label("Answer for the person").fill("4")
    shown.get_by_role("button", name="Answer").click()
    expect(said).to_have_text("The bot takes the text as the answer of the person.")
    shown.get_by_role("link", name="Troubles").click()
    shown.get_by_role("button", name="Handle all again").click()
    expect(said).to_have_text("1 delivery is handled again.")
    shown.get_by_role("button", name="operator: log out").click()
    expect(shown.get_by_label("Password")).to_be_visible()


def examine(shown: Page) -> None:
    looks: list[tuple[ViewportSize, Scheme]] = [(DESKTOP, "dark"), (MOBILE, "light")]
    for size, scheme in looks:
        shown.set_viewport_size(size)
        assert violations(shown, axe_source(), schemes=(scheme,)) == [], shown.url
        width = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], shown.url
