"""The page examined by axe-core in each of its states, in both colour schemes and both widths."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium_page import DESKTOP, FRIEND, LINE, ME, MOBILE, Bot, Browsing, bubble, greet
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
    ({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)])"""
State = Callable[[Page, Bot], None]


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        missing = "axe-core is not installed. To run this test: npm ci --ignore-scripts"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return AXE.read_text("utf-8")


def full_chat(phone: Page, bot: Bot) -> None:
    """Fill the open chat with one of each kind of message."""
    chat_id = greet(phone, bot)
    decorations = [{"range": [0, 4], "style": "bold"}, {"range": [5, 9], "animation": "shake"}]
    styled = {"type": "text", "value": "bold link https://example.com", "text_decorations": decorations}
    bot.say(chat_id, styled, effect={"type": "screen", "name": "confetti"})
    bot.call("POST", f"/v3/chats/{chat_id}/polls", {"poll": {"options": [{"text": "Pizza"}, {"text": "Sushi"}]}})
    asked = bot.call("POST", "/v3/payment_requests", {"amount": 4250, "currency": "usd", "description": "Dinner"})
    bot.say(chat_id, {"type": "link", "value": asked["checkout_url"]})
    root = bot.say(chat_id, {"type": "link", "value": "https://example.com/menu"})
    bot.call("POST", f"/v3/messages/{root}/reactions", {"operation": "add", "type": "love"})
    bot.call("POST", f"/v3/chats/{chat_id}/location/request")
    bot.hear("a reply", chat_id=chat_id, reply_to=root)
    names = ("ada.vcf", "memo.mp3", "menu.pdf")
    files = [{"type": "media", "filename": name, "data_base64": "QkVHSU46VkNBUkQKRk46QWRh"} for name in names]
    bot.call("POST", "/emulator/inbound", {"from": ME, "to": LINE, "chat_id": chat_id, "parts": files})
    phone.locator(".file-card").wait_for()


def first(phone: Page, bot: Bot) -> None:
    phone.get_by_label("Message", exact=True).wait_for()


def attaching(what: str | None) -> State:
    def open_(phone: Page, bot: Bot) -> None:
        greet(phone, bot)
        phone.get_by_role("button", name="Attach", exact=True).click()
        if what:
            phone.get_by_role("menuitem", name=what).click()

    return open_


def effects(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.get_by_role("button", name="Send with effect").click()


def formats(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.get_by_role("button", name="Format text").click()


def thread(phone: Page, bot: Bot) -> None:
    full_chat(phone, bot)
    phone.locator(".quote").click()


def tapback(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    bubble(phone, "Hello!").dblclick()


def details(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.get_by_role("button", name="Details of").click()


def background(phone: Page, bot: Bot) -> None:
    full_chat(phone, bot)
    phone.get_by_role("button", name="Details of").click()
    phone.get_by_role("button", name="plum").click()
    phone.keyboard.press("Escape")


def chats(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    bot.hear("Group", group=[FRIEND])
    bot.hear("From a friend", person=FRIEND, group=[ME, "cat@example.com"], service="SMS")
    phone.locator(".back").click()
    phone.locator(".chat-row").nth(2).wait_for()


def searching(phone: Page, bot: Bot) -> None:
    chats(phone, bot)
    phone.get_by_label("Search conversations and messages").fill("fr")


def new_message(phone: Page, bot: Bot) -> None:
    chats(phone, bot)
    phone.get_by_role("button", name="New message").click()
    phone.locator(".choices.service").get_by_text("SMS", exact=True).click()


def switcher(phone: Page, bot: Bot) -> None:
    chats(phone, bot)
    phone.get_by_role("button", name="You are").first.click()


def inspector(phone: Page, bot: Bot) -> None:
    """Open a failed exchange in the inspector, its webhook and a call, below the banner of a file with an error."""
    greet(phone, bot)
    bot.call(
        "POST",
        "/v3/webhook-subscriptions",
        {"target_url": "http://127.0.0.1:9/x", "subscribed_events": ["message.received"]},
    )
    ids = bot.hear("What is wrong?")
    (event,) = bot.call("GET", "/emulator/deliveries")["deliveries"]
    error = {
        "type": "KeyError",
        "message": "'soup'",
        "file": "bot.py",
        "line": 3,
        "code": "menu['soup']",
        "traceback": "…",
    }
    tried = [{"handler": "bot:menu", "filter": "text 'menu'", "fits": False}]
    turn = {"kind": "turn", "event_id": event["event_id"], "outcome": "dead_lettered", "error": error, "tried": tried}
    bot.call("POST", "/emulator/observations", turn | ids)
    bot.say(ids["chat_id"], "Sorry")
    bot.call("POST", "/emulator/observations", {"kind": "bot", "status": "failed", "file": "bot.py", "line": 3})
    phone.locator(".went-wrong .inspect-button").click()
    phone.locator(".exchange[open] .trace.delivery > summary").click()
    phone.locator(".exchange[open] .trace.call > summary").click()
    phone.locator(".exchange[open] .headers").wait_for()
    bot.call("POST", "/emulator/observations", {"kind": "bot", "status": "failed", "file": "bot.py", "traceback": "…"})


STATES = {
    "inspector": inspector,
    "first": first,
    "chat": full_chat,
    "attach": attaching(None),
    "poll": attaching("Poll"),
    "stickers": attaching("Stickers"),
    "recorder": attaching("Voice Memo"),
    "location": attaching("Location"),
    "contact": attaching("Contact Card"),
    "effects": effects,
    "formats": formats,
    "thread": thread,
    "tapback": tapback,
    "details": details,
    "background": background,
    "chats": chats,
    "search": searching,
    "new message": new_message,
    "switcher": switcher,
}


@pytest.mark.parametrize("size", ["desktop", "mobile"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(browsing: Browsing, bot: Bot, axe: str, state: str, size: str) -> None:
    options: dict[str, Any] = {"viewport": DESKTOP} if size == "desktop" else {"viewport": MOBILE, "has_touch": True}
    # axe is a script of another origin to the page, so the page's policy is off here. Without motion, no text is seen
    # half faded in.
    phone = browsing.open(bypass_csp=True, reduced_motion="reduce", color_scheme="light", **options)
    STATES[state](phone, bot)
    phone.evaluate(axe)
    assert phone.evaluate(VIOLATIONS) == []
    phone.emulate_media(color_scheme="dark")
    assert phone.evaluate(VIOLATIONS) == []
