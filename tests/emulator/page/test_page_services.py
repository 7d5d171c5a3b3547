"""Each part and each effect on iMessage, RCS and SMS, as the page shows them, in Chromium.

With LINQBOT_SCREENSHOTS=docs/pictures the test also makes the pictures of docs/replying.md:
`LINQBOT_SCREENSHOTS=docs/pictures uv run --all-packages pytest -n0 -m slow tests/emulator/page/test_page_services.py`.
"""

from __future__ import annotations

import base64
import io
import os
import re
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium_page import FRIEND, LINE, ME, Bot, Browsing, Profiles
from dev_command import Dev
from playwright.sync_api import Browser, Page, expect

from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

WANTED = os.environ.get("LINQBOT_SCREENSHOTS", "")
MOTION = {"reduced_motion": "no-preference"} if WANTED else {}
"""Each effect plays when it comes, and again for its picture: a processor paints every frame. `test_page.py` plays them."""
SHOWN_AFTER_MS = {"slam": 200, "loud": 500, "gentle": 700, "echo": 900}
THIRD = "+14155550199"
FOURTH = "+14155550123"
ONLY_LAST = """() => {
  const all = [...document.querySelectorAll('[role=log] .msg, [role=log] .stamp')];
  for (const one of all.slice(0, -2)) one.style.display = 'none';
}"""
PEOPLE = {"iMessage": ME, "RCS": FRIEND, "SMS": THIRD}
WIDTH = 390
GAP = 14
_BOWL = '<path d="M60 80h120c0 40-24 62-60 62S60 120 60 80z" fill="{}"/>'
DRAWINGS = {
    "soup": '<rect width="240" height="160" fill="#ffe3b3"/>'
    + _BOWL.format("#c8502d")
    + '<ellipse cx="120" cy="80" rx="60" ry="13" fill="#f4b65f"/>',
    "rice": '<rect width="240" height="160" fill="#d4edd2"/>'
    + _BOWL.format("#3d6b8f")
    + '<circle cx="120" cy="66" r="42" fill="#fff"/>'
    + _BOWL.format("#3d6b8f"),
    "sticker": '<circle cx="120" cy="80" r="62" fill="#ffd34d"/><circle cx="98" cy="66" r="8"/><circle cx="142" cy="66" r="8"/><path d="M88 92q32 36 64 0" fill="none" stroke="#000" stroke-width="8" stroke-linecap="round"/>',
}
BOT = """
from linqbot import (
    Bot, Context, MessageReceived, app_card, contact_card, location_request, markdown, media, poll, sticker, voice_memo,
)
from linqbot.linq.types.message import TextDecoration, TextPart

PARCELS = {"team_id": "ABCDE12345", "bundle_id": "com.example.parcels", "name": "Parcels"}
MOVING = "Big Small Shake Nod Explode Ripple Bloom Jitter"
bot = Bot(typing=False)


@bot.on_message("parts")
async def parts(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("An answer in a thread", thread=True)
    await ctx.reply(markdown("**Bold**, *italic*, ~~gone~~. Here is the [menu](https://example.com/menu)"))
    at, looks = 0, []
    for word in MOVING.split():
        looks.append(TextDecoration(range=(at, at + len(word)), animation=word.lower()))
        at += len(word) + 1
    await ctx.reply(TextPart(value=MOVING, text_decorations=tuple(looks)))
    await ctx.reply("Two photos and a file", media("soup.png"), media("rice.png"), media("menu.pdf"))
    await ctx.reply(sticker("sticker.png"), voice_memo("memo.wav", text="See you at eight!"))
    await ctx.reply("Lunch?", poll("Thai", "Pizza"))
    await ctx.reply(contact_card(), location_request())
    await ctx.reply(app_card(PARCELS, caption="Parcel 7", subcaption="On its way", trailing_caption="14:30"))
    await ctx.reply("With confetti", effect="confetti")


@bot.on_message
async def effect(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"This is {message.text.replace('_', ' ')}", effect=message.text)
"""


@pytest.fixture(scope="module")
def address(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bot")
    make_files(chromium, folder)
    with Dev(folder, BOT) as dev:
        bot = Bot(dev.url)
        bot.call("POST", "/v3/contact_card", {"phone_number": LINE, "first_name": "Soup", "last_name": "Kitchen"})
        bot.http.close()
        yield dev.url


@pytest.fixture(scope="module")
def profiles(chromium: Browser) -> Profiles:
    return Profiles(chromium, has_blur=bool(WANTED))


@pytest.fixture
def browsing(profiles: Profiles, address: str) -> Iterator[Browsing]:
    phones = Browsing(profiles, address)
    yield phones
    phones.close()
    assert phones.console_errors == []


def make_files(chromium: Browser, folder: Path) -> None:
    """Make two photos, a sticker, four seconds of sound and a document."""
    page = chromium.new_page(viewport={"width": 240, "height": 160})
    for name, drawing in DRAWINGS.items():
        page.set_content(f"<body style=margin:0><svg width=240 height=160 style=display:block>{drawing}</svg>")
        clip = {"x": 50, "y": 10, "width": 140, "height": 140} if name == "sticker" else None
        page.screenshot(path=str(folder / f"{name}.png"), omit_background=True, clip=clip)  # type: ignore[arg-type]
    page.close()
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(8000 * 4))
    (folder / "memo.wav").write_bytes(sound.getvalue())
    (folder / "menu.pdf").write_bytes(b"%PDF-1.4 " + bytes(84_000))


def phone_of(browsing: Browsing, service: str) -> Page:
    page = browsing.open(f"/?as={escaped(PEOPLE[service])}", viewport={"width": WIDTH, "height": 844}, **MOTION)
    expect(page.locator(".msg").first).to_be_visible()
    return page


def test_every_part_on_each_service(browsing: Browsing, chromium: Browser, address: str) -> None:
    bot = Bot(address)
    for service, person in PEOPLE.items():
        bot.hear("parts", person=person, service=service)
    pictures: dict[str, bytes] = {}
    for service in PEOPLE:
        page = phone_of(browsing, service)
        log = page.get_by_role("log")
        expect(log.locator(".bubble", has_text="With confetti")).to_be_visible()
        expect(log.locator("img.picture").first).to_be_visible()
        is_rich = service == "iMessage"
        for name in (".style-bold", ".animated", ".sticker", ".voice", ".poll", "a.card, .card", ".effect-caption"):
            found = log.locator(name)
            assert (found.count() > 0) is is_rich, (service, name)
        expect(log.locator(".bubble", has_text="1. Thai")).to_have_count(0 if is_rich else 1)
        expect(log.locator(".bubble", has_text="See you at eight!")).to_have_count(0 if is_rich else 1)
        expect(page.get_by_role("button", name="Soup Kitchen")).to_be_visible()  # the name of the contact card
        expect(page.get_by_text("asks for your location")).to_have_count(1 if is_rich else 0)
        if WANTED:  # without the confetti
            expect(page.locator("canvas.scene")).to_have_count(0)
            pictures[service] = tall(page)
        browsing.close()  # the next person has the same page: another one would fetch all files again
    bot.http.close()
    keep("parts.webp", chromium, pictures, columns=3, width=280)


def test_every_effect_on_each_service(browsing: Browsing, chromium: Browser, address: str) -> None:
    bot = Bot(address)
    pictures: dict[str, bytes] = {}
    names = sorted(BUBBLE_EFFECTS) + sorted(SCREEN_EFFECTS)
    bot.hear(names[0], person=FOURTH)
    page = browsing.open(f"/?as={escaped(FOURTH)}", viewport={"width": WIDTH, "height": 480}, **MOTION)
    for name in names:
        if name != names[0]:
            bot.hear(name, person=FOURTH)
        last = page.locator(".msg.other").last
        bubble = last.locator(".bubble", has_text=f"This is {name.replace('_', ' ')}")
        expect(bubble).to_be_visible()
        if WANTED:  # without the effect and the messages before
            expect(page.locator("canvas.scene")).to_have_count(0)
            page.evaluate(ONLY_LAST)
        if name == "invisible":
            expect(bubble).to_have_class(re.compile("ink"))
        else:
            expect(last.locator(".effect-caption").get_by_role("button")).to_be_visible()
        if WANTED:
            if name != "invisible":
                last.locator(".effect-caption").get_by_role("button").click()
            page.mouse.move(5, 5)
            page.wait_for_timeout(SHOWN_AFTER_MS.get(name, 1300))
            pictures[name] = page.screenshot()
    browsing.close()
    for service, person in (("RCS", FRIEND), ("SMS", THIRD)):
        bot.hear("slam", person=person, service=service)
        plain = phone_of(browsing, service)
        expect(plain.locator(".msg.other .bubble", has_text="This is slam")).to_be_visible()
        expect(plain.locator(".effect-caption")).to_have_count(0)
        browsing.close()
    bot.http.close()
    keep("effects.webp", chromium, pictures, columns=5, width=170)


def escaped(handle: str) -> str:
    return handle.replace("+", "%2B")


def tall(page: Page) -> bytes:
    """Return a picture of the whole conversation, on a phone that is high enough."""
    missing = page.evaluate(
        "() => { const log = document.querySelector('.transcript'); return log.scrollHeight - log.clientHeight }"
    )
    height = 844 + missing
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.wait_for_timeout(600)  # until the transcript has its new height
    return page.screenshot()


def keep(name: str, chromium: Browser, pictures: dict[str, bytes], *, columns: int, width: int) -> None:
    """Keep pictures next to each other as one file, if they are wanted."""
    if not WANTED:
        return
    figures = "".join(
        f'<figure><img width={width} src="data:image/png;base64,{base64.b64encode(picture).decode()}"><figcaption>{title}</figcaption></figure>'
        for title, picture in pictures.items()
    )
    page = chromium.new_page(viewport={"width": columns * (width + GAP) + GAP, "height": 800})
    page.set_content(
        f"<style>body{{margin:0;padding:{GAP}px;display:grid;grid-template-columns:repeat({columns},{width}px);gap:{GAP}px;"
        "background:#f2f2f7;font:600 15px system-ui,sans-serif;text-align:center;align-items:start}figure{margin:0}"
        f"img{{display:block;border-radius:14px}}figcaption{{padding-top:6px}}</style>{figures}"
    )
    box = page.locator("body").bounding_box()
    assert box is not None
    # Playwright has no WebP. As PNG, the pictures are three times as large as the rest of their page.
    whole = {"format": "webp", "quality": 90, "captureBeyondViewport": True, "clip": {**box, "scale": 1}}
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", whole)
    (Path(WANTED) / name).write_bytes(base64.b64decode(taken["data"]))
    page.close()
