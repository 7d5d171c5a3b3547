"""`linqbot serve --page` in a real browser: each view on a phone in light and on a wide screen in dark, and its forms."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import linqbot_operator.page
import pytest
from chromium_page import CHROMIUM, CHROMIUM_ARGS, DESKTOP, MOBILE, Scheme, axe_source, violations
from cli.practice import Practice, serve
from deploy.proxies import PAGE_DOMAIN, PROXIES
from linqbot_operator.page.access import hashed
from patience import PATIENCE_S
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

pytestmark = pytest.mark.browser

STYLE = (Path(linqbot_operator.page.__file__).parent / "templates" / "style.css").read_text()
LOG = """<nav><a>Chats</a><a>Troubles</a><a>Day</a><a>Lines</a><a>Log</a></nav><table>
<tr><th>When</th><th>Operator</th><th>Act</th></tr>
<tr><td>just now</td><td>operator</td><td class="name">mute 79240ed6-8748-437b-87cd-db7f1e6f1f19: """
_BROKEN = """() => [...document.querySelectorAll("a, th, td:not(.name)")].filter((each) => {
    const lines = document.createRange();
    lines.selectNodeContents(each);
    return lines.getClientRects().length > each.textContent.split(" ").length;
}).map((each) => each.textContent)"""

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


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open Chromium. While it is open, a test can run no event loop of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def needs_chromium() -> None:
    if CHROMIUM is None:
        missing = (
            "Chromium is not installed (Debian: apt-get install chromium), and the page cannot be tested without it"
        )
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)


def test_on_a_narrow_screen_no_word_is_broken_and_nothing_is_beside_the_screen() -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 320, "height": 640})
        page.set_content(f"<style>{STYLE}</style><main>{LOG}{'x' * 200}</td></tr></table></main>")
        assert page.evaluate(_BROKEN) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.process
@pytest.mark.slow
def test_an_operator_works_with_the_page(practice: Practice, command: Callable[..., Any], port: int) -> None:
    (practice.folder / "bot.py").write_text(BOT)
    practice.sync()
    page = f"http://127.0.0.1:{port}"
    environ = {
        "LINQBOT_PLUGINS": "operator",
        "LINQBOT_PAGE_PORT": str(port),
        "LINQBOT_PAGE_PASSWORD": hashed("let me act"),
    }
    server = serve(practice, command, "--page", **environ)
    server.until(lambda: httpx.get(f"{page}/login").is_success)
    practice.text("book")
    server.until(lambda: practice.replies() == ["How many?"])
    practice.text("boom", person="+14155550143")
    server.until(lambda: "turn.dead_lettered" in server.said())

    with chromium() as browser:
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
        with browser.new_context(java_script_enabled=False, viewport=MOBILE) as context:
            write_without_scripts(context.new_page(), page)
        with browser.new_context(bypass_csp=True) as context:
            follow(context.new_page(), page, practice)
    server.until(lambda: practice.replies()[1:] == ["Dana here.", "A table for 4.", "Without scripts.", "By Enter."])
    assert server.stop() == 0
    assert "Traceback" not in server.said()


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize("proxy", PROXIES)
def test_behind_a_proxy_an_operator_logs_in_while_a_stranger_floods_the_page_with_wrong_passwords(
    practice: Practice, command: Callable[..., Any], port: int, proxy: str
) -> None:
    (practice.folder / "bot.py").write_text(BOT)
    practice.sync()
    environ = {
        "LINQBOT_PLUGINS": "operator",
        "LINQBOT_PAGE": "true",
        "LINQBOT_PAGE_PORT": str(port),
        "LINQBOT_PAGE_PASSWORD": hashed("let me act"),
        "LINQBOT_TRUSTED_PROXIES": "127.0.0.1",
    }
    server = serve(practice, command, **environ)
    server.until(lambda: httpx.get(f"http://127.0.0.1:{port}/login").is_success)
    practice.text("book")
    server.until(lambda: practice.replies() == ["How many?"])
    is_over = Event()
    with PROXIES[proxy](practice.folder / "proxy", "127.0.0.1:9", page=f"127.0.0.1:{port}") as front:

        def flood() -> None:
            transport = httpx.HTTPTransport(verify=front.trust, local_address="127.0.0.2")
            with httpx.Client(
                transport=transport, base_url=f"https://127.0.0.1:{front.port}", timeout=PATIENCE_S
            ) as http:
                headers, extensions = {"host": PAGE_DOMAIN}, {"sni_hostname": PAGE_DOMAIN}
                while not is_over.is_set():
                    http.post("/login", data={"password": "wrong", "to": "/"}, headers=headers, extensions=extensions)

        with ThreadPoolExecutor(4) as strangers, chromium() as browser:
            floods = [strangers.submit(flood) for _ in range(4)]
            try:
                server.until(lambda: "page.login_refused" in server.said())
                shown = browser.new_page(ignore_https_errors=True)
                open_chat(shown, front.page)
                shown.get_by_label("Write as the line").fill("Dana here.")
                shown.get_by_role("button", name="Send").click()
                expect(shown.get_by_role("status")).to_have_text("Sent. The bot is muted here.")
            finally:
                is_over.set()
        for each in floods:
            each.result()
    refused = [json.loads(line) for line in server.said().splitlines() if "page.login_refused" in line]
    assert {line["client"] for line in refused if "client" in line} == {"127.0.0.2"}
    assert server.stop() == 0


def act(shown: Page, page: str) -> None:
    """Do what an operator does, with the page's own policy."""
    open_chat(shown, page)
    said = shown.get_by_role("status")
    shown.get_by_text("Mute the bot here").click()
    shown.get_by_role("button", name="Mute").click()
    expect(said).to_have_text("The bot is muted, for 1 hour.")
    shown.get_by_label("Write as the line").fill("Dana here.")
    shown.get_by_role("button", name="Send").click()
    expect(said).to_have_text("Sent.")
    shown.get_by_role("button", name="Unmute").click()
    expect(said).to_have_text("The bot answers again.")
    shown.get_by_text("Waits for an answer:").click()
    shown.get_by_label("Answer for the person").fill("4")
    shown.get_by_role("button", name="Answer").click()
    expect(said).to_have_text("The bot takes the text as the answer of the person.")
    shown.get_by_role("link", name="Troubles").click()
    shown.get_by_role("button", name="Handle all again").click()
    expect(said).to_have_text("1 delivery is handled again.")
    shown.get_by_role("button", name="operator: log out").click()
    expect(shown.get_by_label("Password")).to_be_visible()


def open_chat(shown: Page, page: str) -> None:
    shown.goto(page)
    shown.get_by_label("Password").fill("let me act")
    shown.keyboard.press("Enter")
    shown.get_by_role("link", name="+14155550142").click()


def write_without_scripts(shown: Page, page: str) -> None:
    open_chat(shown, page)
    shown.get_by_label("The bot goes on answering").check()
    shown.get_by_label("Write as the line").fill("Without scripts.")
    shown.get_by_role("button", name="Send").click()
    expect(shown.get_by_role("status")).to_have_text("Sent.")
    expect(shown.locator(".you .bubble")).to_have_text("Without scripts.")
    expect(shown.get_by_text("Load the page again to see what is new")).to_be_visible()
    expect(shown.get_by_role("button", name="Unmute")).to_have_count(0)


def follow(shown: Page, page: str, practice: Practice) -> None:
    """Follow a conversation, and take part in it by keyboard."""
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    open_chat(shown, page)
    said = shown.get_by_role("log", name="Conversation")
    box = shown.get_by_label("Write as the line")
    box.fill("Half a")
    practice.text("are you there?\nשלום")
    practice.text("line\n" * 40)
    expect(said.locator(".person .bubble").last).to_contain_text("line")  # without loading the page again
    expect(said.locator(".person .bubble").last).to_be_in_viewport()
    expect(box).to_have_value("Half a")
    expect(box).to_be_focused()
    expect(shown.get_by_text("No handler took it: no filter fits.").first).to_be_visible()
    box.fill("By Enter.")
    box.press("Enter")
    expect(said.locator(".you .bubble").last).to_have_text("By Enter.")
    expect(shown.get_by_text("The bot is muted here until")).to_be_visible()
    examine(shown)
    said.locator(".person a", has_text="Why").last.click()
    expect(shown.get_by_text("No handler took it: no filter fits.")).to_be_visible()
    assert errors == []


def examine(shown: Page) -> None:
    looks: list[tuple[ViewportSize, Scheme]] = [(DESKTOP, "dark"), (MOBILE, "light")]
    for size, scheme in looks:
        shown.set_viewport_size(size)
        assert violations(shown, axe_source(), schemes=(scheme,)) == [], shown.url
        width = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], shown.url
