"""The page of `linqbot dev --world`, in Chromium: it begins with the people, groups and lines of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium_page import Browsing, Profiles, write
from dev_command import Dev
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(groups="all")


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"{message.service}: {message.text}")
"""
WORLD = """
[[people]]
handle = "+14155550150"
name = "Ann"

[[people]]
handle = "+14155550143"
name = "Bob"
service = "SMS"

[[groups]]
people = ["Ann", "Bob"]
name = "Climbing"

[[lines]]
phone_number = "+12025550111"

[[lines]]
phone_number = "+12025550112"
status = "FLAGGED"
"""


def test_the_page_begins_with_the_world_and_returns_to_it(profiles: Profiles, tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text(WORLD)
    with Dev(tmp_path, BOT, "--world", str(file)) as dev:
        pages = Browsing(profiles, dev.url)
        page = pages.open()
        chats = page.locator(".chat-row")
        expect(page.get_by_role("button", name="You are Ann")).to_be_visible()
        expect(page.get_by_role("status", name="Now in effect")).to_contain_text("+1 202 555 0112 is flagged")
        expect(chats).to_have_count(2)
        chats.filter(has_text="Climbing").click()
        write(page, "who is in?")
        expect(page.locator(".msg.other .bubble")).to_have_text("SMS: who is in?")
        bob = pages.open("/?as=%2B14155550143")
        expect(bob.get_by_role("button", name="You are Bob")).to_be_visible()
        expect(bob.locator(".chat-row")).to_have_count(2)
        page.get_by_role("button", name="Time and faults").locator("visible=true").first.click()
        page.get_by_role("button", name="Empty everything").click()
        page.get_by_role("button", name="Empty", exact=True).click()
        expect(chats).to_have_count(2)
        expect(chats.filter(has_text="who is in?")).to_have_count(0)
        pages.close()
    assert pages.console_errors == []
