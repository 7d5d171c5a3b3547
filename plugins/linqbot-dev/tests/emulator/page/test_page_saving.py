"""Saving a conversation of the page as a file, in Chromium: the saved page is opened and played.

Saved tests are run in `../test_copied_tests_run.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chromium_page import LINE, ME, MOBILE, PIXEL, Bot, Browsing, Profiles, Served, violations
from inspector_page import ERROR, report, subscribe
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser


def open_saving(page: Page) -> None:
    page.get_by_role("button", name="Save this conversation").locator("visible=true").click()


def saved(page: Page, label: str, folder: Path, *, numbers: bool = False) -> Path:
    """Save the open conversation with a button of the sheet; return the file."""
    open_saving(page)
    if numbers:
        page.get_by_label("Show numbers").check()
    with page.expect_download() as download:
        page.get_by_role("button", name=label).click()
    page.keyboard.press("Escape")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def test_a_conversation_with_webhooks_is_saved_as_pytest(browsing: Browsing, bot: Bot, tmp_path: Path) -> None:
    bot.hear("Nobody listens.")
    page = browsing.open()
    open_saving(page)
    page.get_by_role("button", name="Save as pytest").click()
    expect(page.get_by_role("alert")).to_contain_text("does not have the webhooks of all messages")
    assert "409" in browsing.console_errors.pop()
    bot.call("POST", "/emulator/reset")
    subscribe(bot)
    chat_id = bot.hear("hello")["chat_id"]
    bot.say(chat_id, "Hello to you!")
    page.reload()
    expect(page.locator(".msg.other .bubble")).to_have_text("Hello to you!")
    file = saved(page, "Save as pytest", tmp_path)
    assert file.name == "test_hello.py"
    assert file.read_text() == bot.call("GET", f"/emulator/chats/{chat_id}/test")["source"]


SHARED = "Save as a page that plays it"


@dataclass(frozen=True, slots=True)
class Shared:
    """Files that play one conversation, and what must not be in them."""

    masked: Path
    whole: Path
    secrets: list[str]


@pytest.fixture(scope="module")
def shared(profiles: Profiles, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("shared")
    pages, bot = Browsing(profiles, served.url), Bot(served.url)
    bot.call("POST", "/emulator/reset")
    made = subscribe(bot)
    chat_id = bot.hear(f"I am {formatted(ME)}, or ann@example.com")["chat_id"]
    bot.say(chat_id, f"You are {ME}.")
    asked = bot.hear("picture")
    bot.call("POST", f"/v3/messages/{asked['message_id']}/reactions", {"operation": "add", "type": "love"})
    bot.say(chat_id, bot.upload("soup.png", "image/png", base64.b64decode(PIXEL)))
    report(bot, bot.hear("fail"), outcome="retried", error=ERROR, replies=0)
    page = pages.open()
    expect(page.locator(".outcome-note", has_text="ZeroDivisionError at failing.py")).to_be_visible()
    expect(page.locator(".msg img.picture")).to_be_visible()
    masked = saved(page, SHARED, folder).rename(folder / "masked.html")
    whole = saved(page, SHARED, folder, numbers=True)
    ids = [chat_id, *(message["id"] for message in bot.chats[0]["messages"])]
    bot.http.close()
    pages.close()
    assert pages.console_errors == []
    code = ["Traceback", ERROR["message"], "failing.py", ERROR["code"], "bot:greet"]
    hook = [made["target_url"], made["signing_secret"], "whsec_", "webhook-signature", "Bearer", "127.0.0.1"]
    secrets: list[Any] = [*ids, *code, *hook]
    return Shared(masked, whole, secrets)


def formatted(handle: str) -> str:
    return f"{handle[:2]} {handle[2:5]} {handle[5:8]} {handle[8:]}"


def test_a_shared_conversation_holds_no_secret_and_masks_handles(shared: Shared) -> None:
    handles = [spelt for handle in (ME, LINE) for spelt in (handle, formatted(handle), handle[2:])]
    masked, whole = shared.masked.read_text(), shared.whole.read_text()
    assert [secret for secret in [*shared.secrets, *handles, "ann@example.com"] if secret in masked] == []
    assert [secret for secret in shared.secrets if secret in whole] == []
    assert [text for text in (ME, formatted(ME), "ann@example.com", "ZeroDivisionError") if text not in whole] == []
    kept = ("+1…0142", "a…@example.com", "ZeroDivisionError", "data:image/png")
    assert [text for text in kept if text not in masked] == []


@pytest.fixture
def opened(chromium: Browser, shared: Shared) -> Iterator[Page]:
    """The shared conversation, opened from the disk without a network; it loads nothing and its console stays empty."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True, reduced_motion="reduce")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url[:5] not in {"file:", "data:"} else None)
    page.goto(shared.masked.as_uri())
    yield page
    context.close()
    assert said == []


WHOLE = ["I am +1…0142, or a…@example.com", "You are +1…0142.", "picture", "", "fail"]


def test_a_shared_conversation_plays_pauses_and_moves_to_any_place(opened: Page) -> None:
    shown, place = opened.locator(".msg .bubble:visible"), opened.get_by_role("slider", name="Place")
    expect(shown).to_have_text(WHOLE)  # a person who wants no motion sees the end at first
    expect(opened.locator(".outcome-note")).to_have_text("ZeroDivisionError")
    expect(opened.locator("img.picture")).to_have_js_property("naturalWidth", 1)
    for step, count, hearts in [("0", 0, 0), ("3", 3, 0), ("4", 3, 1), ("1", 1, 0)]:
        place.fill(step)
        expect(shown).to_have_count(count)
        expect(opened.locator(".tapback:visible")).to_have_count(hearts)
    opened.clock.install(time=0)
    opened.reload()
    opened.clock.pause_at(3_600_000)  # from here on, time passes only by `run_for`
    opened.get_by_role("button", name="Play").click()
    expect(shown).to_have_count(0)
    opened.clock.run_for(1000)
    expect(shown).to_have_text(WHOLE[:1])
    expect(opened.locator(".typing-bubble")).to_be_visible()
    opened.get_by_role("button", name="Pause").click()
    opened.clock.run_for(60_000)
    expect(shown).to_have_count(1)
    expect(opened.locator(".typing-bubble")).to_be_hidden()
    opened.get_by_role("button", name="Play").click()
    opened.clock.run_for(10_000)
    expect(shown).to_have_text(WHOLE)
    expect(opened.get_by_role("button", name="Play")).to_be_visible()


def test_a_shared_conversation_is_readable_in_light_in_dark_and_on_a_phone(
    chromium: Browser, shared: Shared, axe: str
) -> None:
    with chromium.new_context(bypass_csp=True, reduced_motion="reduce", viewport=MOBILE) as context:
        page = context.new_page()
        page.goto(shared.masked.as_uri())
        assert violations(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") == MOBILE["width"]
        expect(page.get_by_role("group", name="Player")).to_be_in_viewport(ratio=1)
