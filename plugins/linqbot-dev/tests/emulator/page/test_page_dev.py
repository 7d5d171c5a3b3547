"""The page of `linqbot dev`, in Chromium: what a bot does and what goes wrong in it is on the page, without the terminal.

One `linqbot dev` runs, with a world. Each test writes as another person. The words for each outcome are tested in
`tests/page/exchanges.test.js`, the reports of `linqbot dev` in `tests/commands`.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from chromium_page import FRIEND, MOBILE, Bot, Browsing, Profiles, chips, open_panel, violations, write
from dev_command import Dev
from inspector_page import inspector_of
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

BOT = """
import asyncio, os
from pathlib import Path

from linqbot import Bot, Context, MessageReceived, markdown, media, poll
from pydantic import BaseModel

bot = Bot(groups="all")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e3660000"
    "000049454e44ae426082"
)


class Guest(BaseModel):
    visits: int = 0


class Menu(BaseModel):
    dish: str = "pasta"


@bot.on_message("Hello!")
async def hello(message: MessageReceived, ctx: Context) -> None:
    while not Path("dots_seen").exists():  # thinking takes a while
        await asyncio.sleep(0.05)
    await ctx.reply("Hello to you!")


@bot.on_message("price")
async def price(message: MessageReceived, ctx: Context) -> None:
    price = {'soup': 4}[message.text]
    await ctx.reply(f'{price} dollars')


@bot.on_message("A table for two")
async def table(message: MessageReceived, ctx: Context) -> None:
    async def model(draft):
        return {'calls': [{'id': 'c1', 'name': 'book', 'input': {'people': 2}}], 'usage': {'input_tokens': 7, 'output_tokens': 2}}

    async def book(key):
        if not Path('pid').exists():
            Path('pid').write_text(str(os.getpid()))
            await asyncio.Event().wait()
        return 'Booked.'

    await ctx.model_step('model', model)
    await ctx.reply(await ctx.once('tool:book@c1', book, retry=True))


@bot.on_message("lunch")
async def lunch(message: MessageReceived, ctx: Context) -> None:
    picture = media(PIXEL, filename="menu.png")
    await ctx.reply(markdown("**Lunch?** See https://example.com/menu"), picture, poll("Thai", "Pizza"), effect="confetti")


@bot.on_message("seats")
async def seats(message: MessageReceived, ctx: Context) -> None:
    (await ctx.state.person(Guest)).visits = 7
    (await ctx.state.bot(Menu)).dish = "soup"
    size = await ctx.ask("How many are you?", kind=int, timeout_s=3600)
    await ctx.reply(f"A table for {size}.")


@bot.on_message("remind me")
async def remind(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later("It is time.", after_s=3600)
    await ctx.reply("I will.")


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


def line_of(code: str, part: str) -> int:
    """Return the number of the only line that has this part."""
    (number,) = [number for number, line in enumerate(code.splitlines(), 1) if part in line]
    return number


@pytest.fixture(scope="module")
def dev(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    folder = tmp_path_factory.mktemp("bot")
    (folder / "world.toml").write_text(WORLD)
    with Dev(folder, BOT, "--world", "world.toml") as running:
        yield running


@pytest.fixture
def bot(dev: Dev) -> Iterator[Bot]:
    one = Bot(dev.url)
    yield one
    one.http.close()


@pytest.fixture
def pages(profiles: Profiles, dev: Dev) -> Iterator[Browsing]:
    opened = Browsing(profiles, dev.url)
    yield opened
    opened.close()
    assert opened.console_errors == []


@pytest.fixture
def open_as(pages: Browsing) -> Callable[..., Page]:
    """Open the page as the person whose number ends with these four digits."""
    return lambda digits, **options: pages.open(f"/?as=%2B1415555{digits}", **options)


def exchange(page: Page) -> Locator:
    """Return the only exchange of the page's person."""
    page.get_by_label("This chat only").check()
    return inspector_of(page).locator(".exchange")


def bubbles(page: Page) -> Locator:
    return page.locator(".msg .bubble")


def note(page: Page) -> Locator:
    """Return the words under the message."""
    return page.locator(".outcome-note")


def banner(page: Page, text: str) -> Locator:
    return page.get_by_role("alert").filter(has_text=text)


def test_a_person_writes_and_sees_the_dots_and_then_the_answer(open_as: Callable[..., Page], dev: Dev) -> None:
    page = open_as("0100")
    write(page, "Hello!")
    expect(page.get_by_role("status", name="Your bot is typing")).to_be_visible()
    dev.file.with_name("dots_seen").touch()
    expect(page.locator(".msg.other .bubble")).to_have_text("Hello to you!")
    expect(page.get_by_role("status", name="Your bot is typing")).to_have_count(0)


def test_a_handler_that_raises_is_shown_with_its_error_its_line_and_the_traceback_folded(
    open_as: Callable[..., Page], bot: Bot
) -> None:
    bot.call("POST", "/emulator/clock", {"freeze": True})  # between two runs of the handler
    page = open_as("0101")
    write(page, "price")
    at = f"bot.py:{line_of(BOT, 'price = ')}"
    expect(note(page)).to_have_text(f"KeyError at {at}")
    expect(exchange(page)).to_contain_text(f"Its handler has failed once: KeyError at {at}. It runs again in")
    expect(exchange(page).locator(".error")).to_contain_text("KeyError: 'price'")
    expect(exchange(page).locator(".error-code")).to_have_text(f"{at}price = {{'soup': 4}}[message.text]")
    traceback = exchange(page).get_by_text("Traceback (most recent call last)")
    exchange(page).locator("> summary").click()
    expect(traceback).to_be_hidden()
    exchange(page).locator("summary", has_text="Traceback").click()
    expect(traceback).to_be_visible()
    bot.call("POST", "/emulator/clock", {"freeze": False})


def test_an_agent_that_is_killed_in_a_tool_shows_both_runs_and_what_the_second_remembers(
    open_as: Callable[..., Page], dev: Dev
) -> None:
    page = open_as("0102")
    write(page, "A table for two")
    exchange(page).locator("> summary").click()
    runs = exchange(page).locator(".turn-runs > li")
    expect(runs.locator("code")).to_have_text(["model"])
    pid = dev.file.with_name("pid")
    dev.until(lambda: pid.exists() and pid.read_text())
    os.kill(int(pid.read_text()), signal.SIGKILL)
    stopped = banner(page, "The bot has stopped.")
    expect(stopped).to_be_visible()
    expect(note(page)).to_have_text("The bot’s process ended before it had handled this")
    dev.save(BOT)
    expect(page.locator(".msg.other .bubble")).to_have_text("Booked.")
    expect(stopped).to_have_count(0)
    expect(note(page)).to_have_count(0)
    expect(runs.locator("> p")).to_contain_text(["Run 1 · cut off", "Run 2 · acked"])
    expect(runs.nth(0).locator("summary")).to_contain_text(["7 + 2 tokens"])
    expect(runs.nth(1).locator("summary")).to_contain_text(["modelremembered", "book"])
    tool = runs.nth(1).locator("details").last
    expect(tool.locator("small")).to_have_text('{"people":2}')
    tool.locator("summary").click()
    expect(tool.locator("pre").last).to_have_text('"Booked."')


def test_a_syntax_error_is_shown_until_its_correction_which_answers(open_as: Callable[..., Page], dev: Dev) -> None:
    code = BOT.replace('{message.text}")', '{message.text}"')
    dev.save(code)
    page = open_as("0103")
    write(page, "Are you there?")
    shown = banner(page, "The bot did not start.")
    for _ in range(2):  # also on a page that is opened later
        expect(shown).to_contain_text(f"bot.py:{line_of(code, 'message.service')} SyntaxError: '(' was never closed")
        page.reload()
    expect(note(page)).to_have_text("Did not reach the bot")
    dev.save(BOT)
    expect(shown).to_have_count(0)
    expect(page.locator(".msg.other .bubble")).to_have_text("iMessage: Are you there?")
    expect(note(page)).to_have_count(0)


def preview(page: Page, bubble: str) -> Locator:
    message = page.locator(".msg.other", has_text=bubble).first
    message.hover()
    message.get_by_label("React or reply").first.click()
    page.get_by_role("menuitem", name="Preview").click()
    return page.get_by_role("dialog", name="Preview")


def test_a_message_of_the_bot_is_shown_on_each_service_side_by_side(open_as: Callable[..., Page], bot: Bot) -> None:
    bot.hear("lunch", person="+14155550104", service="SMS", to="+12025550111")
    page = open_as("0104")
    exchange = page.locator(".exchange", has_text="lunch")
    expect(exchange).to_contain_text("bot:lunch")
    expect(exchange).not_to_contain_text("Still running")  # only the report at the end of a turn has the forms
    dialog = preview(page, "1. Thai")
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
    small = open_as("0104", viewport=MOBILE)
    expect(preview(small, "1. Thai").get_by_role("region", name="SMS")).to_be_attached()
    assert small.evaluate("document.querySelector('.preview-forms').scrollWidth") <= MOBILE["width"]


def test_next_send_moves_the_bots_clock_to_it_and_emptying_empties_the_storage(open_as: Callable[..., Page]) -> None:
    page = open_as("0105")
    panel = open_panel(page)
    expect(panel.get_by_role("button", name="Next send")).to_be_disabled()
    write(page, "remind me")
    expect(bubbles(page)).to_have_text(["remind me", "I will."])
    stored = panel.get_by_role("region", name="What the bot stores")
    expect(stored).to_contain_text("It is time.")
    panel.get_by_role("button", name="Next send (in 59 min").click()
    expect(bubbles(page)).to_have_text(["remind me", "I will.", "It is time."])
    expect(chips(page).first).to_contain_text(re.compile("Clock: (1 h|59 min).* ahead of real time"))
    expect(stored).to_contain_text("None is scheduled")
    expect(panel).to_contain_text("The bot's clock moves along")
    write(page, "remind me")
    expect(stored).not_to_contain_text("None is scheduled")
    panel.get_by_role("button", name="Empty everything").click()
    expect(panel.get_by_role("alertdialog")).to_contain_text("everything that the bot stores")
    panel.get_by_role("button", name="Empty", exact=True).click()
    expect(stored).to_contain_text("None is scheduled")
    expect(bubbles(page)).to_have_count(0)


def test_open_questions_and_the_state_of_people_and_bot_are_shown(open_as: Callable[..., Page], axe: str) -> None:
    page = open_as("0106", bypass_csp=True)
    panel = open_panel(page)
    stored = panel.get_by_role("region", name="What the bot stores")
    write(page, "seats")
    expect(bubbles(page)).to_have_text(["seats", "How many are you?"])

    def part(name: str) -> Locator:
        return stored.locator(f"details[data-name='{name}'] li")

    expect(part("Open questions")).to_contain_text("How many are you?waits for you until ")
    expect(part("Open questions")).to_contain_text("asked by bot:seats")
    expect(part("State of the bot")).to_contain_text('"dish": "soup"')
    expect(part("State of the people in this chat")).to_contain_text('"visits": 7')
    expect(part("State of this chat")).to_have_count(0)
    assert violations(page, axe) == []
    write(page, "many")
    expect(part("Open questions")).to_contain_text("1 invalid answer")
    write(page, "4")
    expect(bubbles(page).last).to_have_text("A table for 4.")
    expect(part("Open questions")).to_have_count(0)


def test_deliver_again_run_again_and_a_message_that_is_too_old(
    open_as: Callable[..., Page], pages: Browsing, dev: Dev, bot: Bot
) -> None:
    page = open_as("0107")
    write(page, "one")
    expect(bubbles(page)).to_have_text(["one", "iMessage: one"])
    bubbles(page).first.dblclick()
    for name, about in (
        ("Deliver Again", "The same webhook once more. A bot that has stored it does nothing."),
        ("Run Again", "The bot handles it again, as it is now, and sends everything again."),
        ("Restart from Here", "Everything returns to the time before it. Then it is sent again."),
    ):
        expect(page.get_by_role("menuitem", name=name).locator("small")).to_have_text(about)
    page.get_by_role("menuitem", name="Deliver Again").click()
    expect(page.get_by_role("alert")).to_contain_text("A bot that has stored the event ignores it.")
    expect(bubbles(page)).to_have_count(2)
    # Only an event that has been handled can be run again. A reply is on the page before the end of its turn is stored.
    stored = [f"/emulator/stored?chat_id={chat['id']}" for chat in bot.chats]
    dev.until(lambda: not any(bot.call("GET", one)["waiting"] for one in stored))
    bubbles(page).first.dblclick()
    page.get_by_role("menuitem", name="Run Again").click()
    expect(bubbles(page)).to_have_count(3)
    dev.until(lambda: not any(bot.call("GET", one)["waiting"] for one in stored))
    exchange(page).locator("> summary").click()
    exchange(page).get_by_role("button", name="Run Again").click()
    expect(bubbles(page)).to_have_count(4)
    for number in range(20):
        bot.hear(str(number), person=FRIEND, to="+12025550111")
    bubbles(page).first.dblclick()
    page.get_by_role("menuitem", name="Restart from Here").click()
    expect(page.get_by_role("alert")).to_contain_text("keeps the latest 20 messages")
    expect(bubbles(page)).to_have_count(4)
    assert "409" in pages.console_errors.pop()


def test_the_page_begins_with_the_world_and_returns_to_it(open_as: Callable[..., Page]) -> None:
    page = open_as("0150")
    chats = page.locator(".chat-row")
    expect(page.get_by_role("button", name="You are Ann")).to_be_visible()
    expect(page.get_by_role("status", name="Now in effect")).to_contain_text("+1 202 555 0112 is flagged")
    expect(chats).to_have_count(2)
    chats.filter(has_text="Climbing").click()
    write(page, "who is in?")
    expect(page.locator(".msg.other .bubble")).to_have_text("SMS: who is in?")
    bob = open_as("0143")
    expect(bob.get_by_role("button", name="You are Bob")).to_be_visible()
    expect(bob.locator(".chat-row")).to_have_count(2)
    open_panel(page).get_by_role("button", name="Empty everything").click()
    page.get_by_role("button", name="Empty", exact=True).click()
    expect(chats).to_have_count(2)
    expect(chats.filter(has_text="who is in?")).to_have_count(0)
