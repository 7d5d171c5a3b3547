"""The preview of what a bot has sent, in Chromium: `linqbot dev` reports the forms, and the page shows them side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium_page import MOBILE, Bot, Browsing, Profiles
from dev_command import Dev
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

BOT = """
from linqbot import Bot, Context, MessageReceived, markdown, media, poll

bot = Bot()
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e3660000"
    "000049454e44ae426082"
)


@bot.on_message
async def lunch(message: MessageReceived, ctx: Context) -> None:
    picture = media(PIXEL, filename="menu.png")
    await ctx.reply(markdown("**Lunch?** See https://example.com/menu"), picture, poll("Thai", "Pizza"), effect="confetti")
"""


def opened(page: Page, bubble: str) -> Page:
    message = page.locator(".msg.other", has_text=bubble).first
    message.hover()
    message.get_by_label("React or reply").first.click()
    page.get_by_role("menuitem", name="Preview").click()
    return page


def test_a_message_of_the_bot_is_shown_on_each_service_side_by_side(profiles: Profiles, tmp_path: Path) -> None:
    with Dev(tmp_path, BOT) as dev:
        bot, browsing = Bot(dev.url), Browsing(profiles, dev.url)
        bot.hear("hi", service="SMS")
        page = browsing.open(reduced_motion="reduce")
        expect(page.locator(".exchange")).to_contain_text("lunch")  # the report of the turn is there
        dialog = opened(page, "1. Thai").get_by_role("dialog", name="Preview")
        imessage, rcs, sms = (dialog.get_by_role("region", name=name) for name in ("iMessage", "RCS", "SMS"))
        expect(imessage.locator(".bubble .style-bold")).to_have_text("Lunch?")
        expect(imessage.locator("a.card")).to_contain_text("example.com")
        expect(imessage.locator(".poll-text")).to_have_text(["Thai", "Pizza"])
        expect(imessage).to_contain_text("Sent with Confetti")
        for plain in (rcs, sms):
            expect(plain.locator(".poll, .style-bold, a.card")).to_have_count(0)
            expect(plain.locator(".bubble", has_text="1. Thai")).to_be_visible()
            expect(plain.locator("img.picture")).to_be_visible()  # the file that was sent
            expect(plain.get_by_role("listitem")).to_have_text(["No poll: a list", "No effect"])
        expect(sms).to_contain_text("this chat")
        boxes = [one.bounding_box() for one in (imessage, rcs, sms)]
        tops, lefts = ([box[side] for box in boxes if box] for side in ("y", "x"))
        assert len(set(tops)) == 1
        assert lefts == sorted(set(lefts))
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)

        small = opened(browsing.open(viewport=MOBILE, reduced_motion="reduce"), "1. Thai")
        expect(small.get_by_role("region", name="SMS")).to_be_attached()
        assert small.evaluate("document.querySelector('.preview-forms').scrollWidth") <= MOBILE["width"]
        browsing.close()
        bot.http.close()
    assert browsing.console_errors == []
