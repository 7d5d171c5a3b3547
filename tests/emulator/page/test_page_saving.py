"""Saving a conversation of the page as a file, in Chromium: the saved test is run by pytest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chromium_page import Bot, Browsing, Profiles
from copied_tests import passes
from dev_command import Dev
from inspector_page import inspector_of
from playwright.sync_api import Locator, Page, expect

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


def saved(page: Page, label: str, folder: Path) -> Path:
    """Save the open conversation with a button of the sheet; return the file."""
    page.get_by_role("button", name="Save", exact=True).click()
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
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Save as pytest").click()
    expect(page.get_by_role("alert")).to_contain_text("does not have the webhooks of all messages")
