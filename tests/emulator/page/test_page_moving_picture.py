"""The moving picture of the README, made from the page of `linqbot dev` in Chromium: an order, an error, and its correction.

The test makes a small picture. With LINQBOT_SCREENSHOTS=docs it makes docs/phone.webp again, twice as wide:
`LINQBOT_SCREENSHOTS=docs uv run --all-packages pytest -n0 -m slow tests/emulator/page/test_page_moving_picture.py`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from dev_command import Dev
from inspector_page import inspector_of
from moving_picture import Recorder
from PIL import Image
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()
PRICES = {"Soup": 4}


@bot.on_message("order")
async def order(message: MessageReceived, ctx: Context) -> None:
    dish = await ctx.ask("What would you like?", choices=["Soup", "Cake"])
    when = await ctx.ask("When?")
    await ctx.react("love")
    price = PRICES[dish]
    await ctx.reply(f"{dish} {when}: {price} dollars.", effect="slam")
"""
CORRECTED = BOT.replace('{"Soup": 4}', '{"Soup": 4, "Cake": 6}')
WANTED = os.environ.get("LINQBOT_SCREENSHOTS", "")
WIDTH, HEIGHT = 1000, 690
SHOWN_WIDTH = 880
SCALE = 2 if WANTED else 0.5
"""Pixels of the picture for each pixel that is shown. A processor paints and compresses each frame."""
READ_MS = 1200 if WANTED else 0
"""The time in which a reader takes in what has just come."""
KEY_MS = 90 if WANTED else 0
"""The time between two keys."""
MOST_BYTES = 500_000 * SCALE


def test_an_order_an_error_and_its_correction_as_a_moving_picture(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "phone.webp"
    with (
        Dev(tmp_path, BOT) as dev,
        chromium.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            device_scale_factor=SCALE * SHOWN_WIDTH / WIDTH,
            reduced_motion="no-preference" if WANTED else "reduce",
        ) as context,
    ):
        page = context.new_page()
        page.goto(dev.url)
        page.locator("#screen.ready").wait_for(state="attached")
        film(page, dev).save(file, width=round(SCALE * SHOWN_WIDTH), quality=82)
    with Image.open(file) as picture:
        assert picture.width == SCALE * SHOWN_WIDTH
        assert getattr(picture, "n_frames", 1) > 3
    assert file.stat().st_size < MOST_BYTES
    if WANTED:
        shutil.copy(file, Path(WANTED) / file.name)


def film(page: Page, dev: Dev) -> Recorder:
    page.get_by_role("button", name="Inspector").locator("visible=true").click()
    expect(inspector_of(page)).to_be_visible()
    page.mouse.move(WIDTH / 2, HEIGHT - 2)
    page.wait_for_timeout(READ_MS / 2)
    recorder = Recorder(page)
    last = page.locator(".msg.other .bubble").last
    write(page, "order")
    cake = page.locator(".poll-option", has_text="Cake")
    expect(cake).to_be_visible()
    page.wait_for_timeout(READ_MS)
    cake.click()
    page.mouse.move(WIDTH / 2, HEIGHT - 2)
    expect(last).to_have_text("When?")
    page.wait_for_timeout(READ_MS)
    write(page, "at noon")
    expect(inspector_of(page).locator(".exchange", has_text="KeyError")).to_be_visible()
    page.wait_for_timeout(2 * READ_MS)
    dev.save(CORRECTED)
    expect(last).to_contain_text("6 dollars")
    page.wait_for_timeout(2 * READ_MS)
    return recorder


def write(page: Page, text: str) -> None:
    field = page.get_by_label("Message", exact=True)
    field.fill("")
    field.press_sequentially(text, delay=KEY_MS)
    field.press("Enter")
