"""Saving a conversation of the page as a file, in Chromium: the saved test is run, and the saved page is opened and played."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chromium_page import LINE, ME, MOBILE, PIXEL, Bot, Browsing, Profiles, violations
from copied_tests import passes
from dev_command import Dev
from inspector_page import inspector_of
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process]

SHOP = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()
PRICES = {"soup": 4}


@bot.on_message("order")
async def order(message: MessageReceived, ctx: Context) -> None:
    dish = await ctx.ask("What would you like?", choices=["soup", "cake"])
    await ctx.react("love")
    await ctx.reply(f"One {dish}: {PRICES[dish]} dollars.")


@bot.on_message("remind me")
async def remind(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later("Your soup is ready.", after_s=3600)
    await ctx.reply("I will.")


@bot.on_message
async def other(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Write: order", thread=True)
"""
CORRECTED = SHOP.replace('{"soup": 4}', '{"soup": 4, "cake": 6}')


def say(page: Page, text: str) -> None:
    field = page.get_by_label("Message", exact=True)
    field.fill(text)
    field.press("Enter")


def bubbles(page: Page) -> Locator:
    return page.locator(".msg .bubble")


def open_saving(page: Page) -> None:
    page.get_by_role("button", name="Save this conversation").locator("visible=true").click()


def saved(page: Page, label: str, folder: Path) -> Path:
    """Save the open conversation with a button of the sheet; return the file."""
    open_saving(page)
    with page.expect_download() as download:
        page.get_by_role("button", name=label).click()
    page.keyboard.press("Escape")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


@pytest.mark.slow
def test_a_conversation_saved_as_pytest_passes(profiles: Profiles, tmp_path: Path) -> None:
    with Dev(tmp_path, SHOP) as dev:
        pages = Browsing(profiles, dev.url)
        page = pages.open()
        say(page, "hello")
        expect(bubbles(page)).to_have_text(["hello", "Write: order"])
        say(page, "order")
        page.locator(".poll-option", has_text="soup").click()
        expect(bubbles(page).last).to_have_text("One soup: 4 dollars.")
        say(page, "remind me")
        expect(bubbles(page).last).to_have_text("I will.")
        page.get_by_role("button", name="Time and faults").locator("visible=true").first.click()
        page.get_by_role("button", name=re.compile("Next send .in")).click()
        expect(bubbles(page).last).to_have_text("Your soup is ready.")
        say(page, "order")
        expect(page.locator(".poll")).to_have_count(2)
        page.locator(".poll-option", has_text="cake").last.click()
        expect(inspector_of(page).locator(".exchange", has_text="KeyError")).to_be_visible()
        dev.save(CORRECTED)
        expect(bubbles(page).last).to_have_text("One cake: 6 dollars.")
        test = saved(page, "Save as pytest", tmp_path).read_text()
        pages.close()
    assert pages.console_errors == []
    assert re.search(r"advance\(360\d\)", test), test
    assert test.count("await phone.text(") == 4, test
    assert "errors()" not in test, "the bot was corrected since"
    folder = tmp_path / "saved"
    folder.mkdir()
    passes([test], dev.file, folder)


def test_a_conversation_is_not_saved_as_pytest_without_its_webhooks(
    browsing: Browsing, bot: Bot, tmp_path: Path
) -> None:
    bot.hear("Nobody listens.")
    page = browsing.open()
    open_saving(page)
    page.get_by_role("button", name="Save as pytest").click()
    expect(page.get_by_role("alert")).to_contain_text("does not have the webhooks of all messages")
    assert "409" in browsing.console_errors.pop()


SHARED = "Save as a page that plays it"
TALKATIVE = """
from linqbot import Bot, Context, MessageReceived, media

bot = Bot()


@bot.on_message("picture")
async def picture(message: MessageReceived, ctx: Context) -> None:
    await ctx.react("love")
    await ctx.reply(media("soup.png"))


@bot.on_message("fail")
async def fail(message: MessageReceived, ctx: Context) -> None:
    raise KeyError("a secret of the code")


@bot.on_message
async def other(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You are {message.sender.handle}.")
"""


@dataclass(frozen=True, slots=True)
class Shared:
    """Files that play one conversation, and what must not be in them."""

    masked: Path
    whole: Path
    secrets: list[str]


@pytest.fixture(scope="module")
def shared(profiles: Profiles, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "soup.png").write_bytes(base64.b64decode(PIXEL))
    with Dev(folder, TALKATIVE) as dev:
        pages, bot = Browsing(profiles, dev.url), Bot(dev.url)
        page = pages.open()
        say(page, f"I am {formatted(ME)}, or ann@example.com")
        expect(bubbles(page)).to_have_count(2)
        say(page, "picture")
        expect(page.locator(".msg img.picture")).to_be_visible()
        say(page, "fail")
        expect(page.locator(".outcome-note", has_text="KeyError at bot.py")).to_be_visible()
        masked = saved(page, SHARED, folder)
        masked = masked.rename(folder / "masked.html")
        open_saving(page)
        page.get_by_label("Show numbers").check()
        with page.expect_download() as download:
            page.get_by_role("button", name=SHARED).click()
        whole = folder / "whole.html"
        download.value.save_as(whole)
        state = bot.call("GET", "/emulator/state")
        bot.http.close()
        pages.close()
    assert pages.console_errors == []
    ids = [state["chats"][0]["id"], *(message["id"] for message in state["chats"][0]["messages"])]
    hooks = [one["target_url"] for one in state["subscriptions"]]
    code = ["Traceback", "a secret of the code", "bot.py", "raise ", "bot:fail"]
    secrets = [*ids, *hooks, *code, "whsec_", "webhook-signature", "Bearer", "/webhooks/", "127.0.0.1", str(folder)]
    return Shared(masked, whole, secrets)


def formatted(handle: str) -> str:
    return f"{handle[:2]} {handle[2:5]} {handle[5:8]} {handle[8:]}"


@pytest.mark.slow
def test_a_shared_conversation_holds_no_secret_and_masks_handles(shared: Shared) -> None:
    handles = [spelt for handle in (ME, LINE) for spelt in (handle, formatted(handle), handle[2:])]
    masked, whole = shared.masked.read_text(), shared.whole.read_text()
    assert [secret for secret in [*shared.secrets, *handles, "ann@example.com"] if secret in masked] == []
    assert [secret for secret in shared.secrets if secret in whole] == []
    assert [text for text in (ME, formatted(ME), "ann@example.com", "KeyError") if text not in whole] == []
    assert [text for text in ("+1…0142", "a…@example.com", "KeyError", "data:image/png") if text not in masked] == []


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


@pytest.mark.slow
def test_a_shared_conversation_is_stepped_through_with_keys_and_buttons(opened: Page) -> None:
    shown = opened.locator(".msg .bubble:visible")
    expect(shown).to_have_text(WHOLE)  # a person who wants no motion sees the end at first
    expect(opened.locator(".outcome-note")).to_have_text("KeyError")
    expect(opened.locator("img.picture")).to_have_js_property("naturalWidth", 1)
    opened.keyboard.press("Home")
    expect(shown).to_have_count(0)
    for key, count, hearts in [("ArrowRight", 1, 0), ("ArrowRight", 2, 0), ("ArrowRight", 3, 0), ("ArrowRight", 3, 1)]:
        opened.keyboard.press(key)
        expect(shown).to_have_count(count)
        expect(opened.locator(".tapback:visible")).to_have_count(hearts)
    opened.get_by_role("button", name="Step back").click()
    expect(opened.locator(".tapback:visible")).to_have_count(0)
    opened.get_by_role("button", name="Step forward").click()
    expect(opened.locator(".tapback:visible")).to_have_count(1)
    opened.get_by_role("slider", name="Place").fill("1")
    expect(shown).to_have_text(WHOLE[:1])
    opened.keyboard.press("End")
    expect(shown).to_have_text(WHOLE)


@pytest.mark.slow
def test_a_shared_conversation_plays_pauses_and_changes_its_speed(opened: Page) -> None:
    shown = opened.locator(".msg .bubble:visible")
    opened.clock.install(time=0)
    opened.reload()
    opened.clock.pause_at(3_600_000)  # from here on, time passes only by `run_for`
    opened.keyboard.press("Space")
    expect(shown).to_have_count(0)
    opened.clock.run_for(1000)
    expect(shown).to_have_text(WHOLE[:1])
    expect(opened.locator(".typing-bubble")).to_be_visible()
    opened.get_by_role("button", name="Pause").click()
    opened.clock.run_for(60_000)
    expect(shown).to_have_count(1)
    expect(opened.locator(".typing-bubble")).to_be_hidden()
    opened.keyboard.press("s")
    opened.keyboard.press("s")
    expect(opened.get_by_role("button", name="Speed: 4×")).to_have_text("4×")
    opened.get_by_role("button", name="Play").click()
    opened.clock.run_for(2500)
    expect(shown).to_have_text(WHOLE)
    expect(opened.get_by_role("button", name="Play")).to_be_visible()


@pytest.mark.slow
def test_a_shared_conversation_is_readable_in_light_in_dark_and_on_a_phone(
    chromium: Browser, shared: Shared, axe: str
) -> None:
    with chromium.new_context(
        bypass_csp=True, reduced_motion="reduce", viewport={"width": 390, "height": 844}
    ) as context:
        page = context.new_page()
        page.goto(shared.masked.as_uri())
        assert violations(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") == MOBILE["width"]
        expect(page.get_by_role("group", name="Player")).to_be_in_viewport(ratio=1)
