"""A bot with a typical mistake, under `linqbot dev`: the page alone says what is wrong, and where.

Each test writes as a new person to a bot with one mistake, and reads the page in Chromium. The mistakes inside a handler
are in one file, each in the handler of one word: a save starts a new process of the bot.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count

import httpx
import pytest
from chromium_page import FRIEND, LINE, MOBILE, Browsing, Profiles, write
from dev_command import Dev
from patience import PATIENCE_S
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

START = """\
import time

from linqbot import Bot, Context, MessageReceived, ReactionAdded

bot = Bot()


"""
GREET = """\
@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
"""
GOOD = f"{START}{GREET}    await ctx.reply('Hello to you!')\n"
MISTAKES = f"""import asyncio, os
{START}
@bot.on_message("price")
async def price(message: MessageReceived, ctx: Context) -> None:
    price = {{'soup': 4}}[message.text]
    await ctx.reply(f'{{price}} dollars')


@bot.on_message("forget to await")
async def forget_to_await(message: MessageReceived, ctx: Context) -> None:
    ctx.reply('Hello to you!')


@bot.on_message("effect")
async def effect(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply('Hello to you!', effect='confeti')


@bot.on_message("block")
async def block(message: MessageReceived, ctx: Context) -> None:
    time.sleep(3)
    await ctx.reply('I slept.')


@bot.on_message("forget to reply")
async def forget_to_reply(message: MessageReceived, ctx: Context) -> None:
    answer = message.text.upper()


@bot.on_message("ask")
async def ask(message: MessageReceived, ctx: Context) -> None:
    await ctx.ask('How many?', kind=int, tries=2)


@bot.on_message("wait")
async def wait(message: MessageReceived, ctx: Context) -> None:
    await asyncio.Event().wait()


@bot.on_message("exit")
async def leave(message: MessageReceived, ctx: Context) -> None:
    os._exit(3)
"""
_persons = count(4155550100)


def line_of(code: str, part: str) -> int:
    """Return the number of the only line that has this part."""
    (number,) = [number for number, line in enumerate(code.splitlines(), 1) if part in line]
    return number


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with Dev(tmp_path_factory.mktemp("bot"), GOOD) as running:
        yield running


@pytest.fixture
def texting(profiles: Profiles, dev: Dev) -> Iterator[Callable[..., Page]]:
    """Save a bot unless it runs, and write to it as a person who has not written before. Returns the page."""
    pages = Browsing(profiles, dev.url)

    def text(code: str, said: str = "Hello!", *, group: bool = False, **options: object) -> Page:
        if dev.file.read_text() != code:
            dev.save(code)
        page = pages.open(f"/?as=%2B1{next(_persons)}", **options)
        if group:
            page.get_by_role("button", name="Back", exact=True).click()
            page.get_by_role("button", name="New message").click()
            page.get_by_label("Add a person to the group").fill("+1 (415) 555-0187")
            page.get_by_role("button", name="Start").click()
        expect(page.get_by_label("Message", exact=True)).to_be_focused()
        write(page, said)
        return page

    yield text
    pages.close()
    assert pages.console_errors == []


@pytest.fixture
def still(dev: Dev) -> Iterator[None]:
    """Stop the clock for a test that reads what is shown between two runs of a handler."""
    clock = f"{dev.url}/emulator/clock"
    httpx.post(clock, json={"freeze": True}, timeout=PATIENCE_S).raise_for_status()
    yield
    httpx.post(clock, json={"freeze": False}, timeout=PATIENCE_S).raise_for_status()


def exchange(page: Page) -> Locator:
    """Return the only exchange of the page's person."""
    page.get_by_label("This chat only").check()
    return page.get_by_role("complementary", name="Inspector").locator(".exchange")


def note(page: Page) -> Locator:
    """Return what the phone says under the message."""
    return page.locator(".outcome-note")


@pytest.mark.usefixtures("still")
def test_a_handler_that_raises(texting: Callable[..., Page]) -> None:
    page = texting(MISTAKES, "price")
    at = f"bot.py:{line_of(MISTAKES, 'price = ')}"
    expect(note(page)).to_have_text(f"KeyError at {at}")
    expect(exchange(page)).to_contain_text(f"Its handler has failed once: KeyError at {at}. It runs again in")
    expect(exchange(page).locator(".error")).to_contain_text("KeyError: 'price'")
    expect(exchange(page).locator(".error-code")).to_have_text(f"{at}price = {{'soup': 4}}[message.text]")


def test_a_forgotten_await_on_a_narrow_screen(texting: Callable[..., Page]) -> None:
    page = texting(MISTAKES, "forget to await", viewport=MOBILE, has_touch=True, color_scheme="dark")
    at = f"bot.py:{line_of(MISTAKES, '    ctx.reply')}"
    note(page).get_by_text(f"NeverAwaited at {at}").tap()
    expect(exchange(page).locator(".error")).to_contain_text(
        f"{at} never awaited ctx.reply(). Write: await ctx.reply(…)"
    )


def test_an_effect_that_linq_does_not_know(texting: Callable[..., Page]) -> None:
    page = texting(MISTAKES, "effect")
    at = f"bot.py:{line_of(MISTAKES, 'confeti')}"
    expect(note(page)).to_have_text(f"RuleBroken at {at}")
    expect(exchange(page).locator(".error")).to_contain_text("Did you mean confetti?")
    expect(exchange(page).locator(".error-code")).to_contain_text("effect='confeti'")


def test_a_call_that_blocks_the_event_loop(texting: Callable[..., Page]) -> None:
    page = texting(MISTAKES, "block")
    at = f"bot.py:{line_of(MISTAKES, 'time.sleep')}"
    expect(page.locator(".msg.other .bubble")).to_have_text("I slept.")
    expect(note(page)).to_have_text(f"Blocked the event loop at {at}")
    expect(exchange(page).locator(".turn-note")).to_contain_text("Await slow calls (asyncio.sleep, httpx.AsyncClient)")


def test_a_handler_that_forgets_to_reply(texting: Callable[..., Page]) -> None:
    page = texting(MISTAKES, "forget to reply")
    expect(note(page)).to_have_text("Handled without a reply")
    expect(exchange(page).locator(".exchange-facts")).to_contain_text("no replies")


def test_answers_to_an_open_question(texting: Callable[..., Page]) -> None:
    page = texting(MISTAKES, "ask")
    said = exchange(page)
    expect(said.locator(".sentence")).to_have_text(
        "The handler bot:ask took it. It has asked a question, and waits for the answer. The question is “How many?”."
    )
    expect(note(page)).to_have_count(0)
    write(page, "Many")
    expect(said.first.locator(".sentence")).to_contain_text(
        "took it. It is no valid answer to “How many?”, so the bot asked for another."
    )
    write(page, "Very many")
    expect(said.first.locator(".sentence")).to_contain_text(
        "took it. It is no valid answer to “How many?”, and was the last try: the question has ended."
    )
    expect(note(page)).to_have_text("The question has ended")
    write(page, "ask")
    expect(said.first.locator(".sentence")).to_have_text(
        "The handler bot:ask took it. It has asked a question, and waits for the answer. The question is “How many?”."
    )
    write(page, "4")
    expect(said.first.locator(".sentence")).to_contain_text("took it. It answers “How many?”.")


def test_a_handler_that_never_returns(texting: Callable[..., Page], dev: Dev) -> None:
    page = texting(MISTAKES, "wait")
    at = f"bot.py:{line_of(MISTAKES, 'wait()')}"
    # Ten seconds after its start the handler is shown, although it has not returned.
    expect(note(page)).to_have_text(f"Still running at {at}")
    expect(exchange(page).locator(".sentence")).to_have_text("Still running. The handler has not returned yet.")
    expect(exchange(page).locator(".turn-note")).to_have_text(
        f"The handler waits in this line. The next messages of the chat wait for it.{at}"
    )
    dev.save(GOOD)
    expect(page.locator(".msg.other .bubble")).to_have_text("Hello to you!")


def test_a_bot_whose_process_ends(texting: Callable[..., Page], dev: Dev) -> None:
    page = texting(MISTAKES, "exit")
    banner = page.get_by_role("alert").filter(has_text="The bot has stopped.")
    expect(banner).to_contain_text("The bot's process ended with exit code 3.")
    expect(note(page)).to_have_text("The bot’s process ended before it had handled this")
    expect(exchange(page).locator(".sentence")).to_contain_text("It handles this again after its next start.")
    dev.save(GOOD)
    expect(banner).to_have_count(0)
    expect(page.locator(".msg.other .bubble")).to_have_text("Hello to you!")
    expect(note(page)).to_have_count(0)


def test_a_message_that_opts_out(texting: Callable[..., Page]) -> None:
    page = texting(GOOD, "STOP")
    expect(note(page)).to_have_text("No handler took it")
    expect(exchange(page).locator(".turn-note")).to_contain_text("Linq takes this word as an opt-out")


def test_a_message_in_a_group_that_does_not_address_the_bot(texting: Callable[..., Page]) -> None:
    page = texting(GOOD, group=True)
    expect(note(page)).to_have_text("No handler took it")
    expect(exchange(page).locator(".sentence")).to_have_text(
        "No handler took it: the message neither mentions the bot nor replies to it."
    )
    expect(exchange(page).locator(".turn-note")).to_contain_text('Bot(groups="all") takes every message of a group.')


def test_a_syntax_error_and_its_correction(texting: Callable[..., Page], dev: Dev) -> None:
    code = GOOD.replace("you!')", "you!'")
    page = texting(code)
    banner = page.get_by_role("alert").filter(has_text="The bot did not start.")
    expect(banner).to_contain_text(f"bot.py:{line_of(code, 'ctx.reply')} SyntaxError: '(' was never closed")
    expect(note(page)).to_have_text("Did not reach the bot")
    dev.save(GOOD)
    expect(banner).to_have_count(0)
    expect(page.locator(".msg.other .bubble")).to_have_text("Hello to you!")
    expect(note(page)).to_have_count(0)


def test_a_filter_that_never_fits(texting: Callable[..., Page]) -> None:
    code = GOOD.replace("@bot.on_message", "@bot.on_message('helo')")
    page = texting(code)
    expect(note(page)).to_have_text("No handler took it")
    expect(exchange(page).locator(".sentence")).to_have_text("No handler took it: no filter fits.")
    at = f"bot.py:{line_of(code, '@bot.on_message')}"
    expect(exchange(page).locator("summary .tried-line")).to_have_text(f"bot:greet{at}exact('helo')does not fit")


def test_a_handler_that_is_registered_for_another_event(texting: Callable[..., Page]) -> None:
    reacting = GREET.replace("on_message", "on_reaction").replace("MessageReceived", "ReactionAdded")
    page = texting(f"{START}{reacting}    await ctx.reply('Hello to you!')\n")
    expect(note(page)).to_have_text("No handler took it")
    expect(exchange(page).locator(".sentence")).to_have_text(
        "No handler took it: the bot has no handler for this event type."
    )
    expect(exchange(page).locator(".turn-note")).to_have_text(
        "The bot handles only reaction.added. Add a handler for messages with @bot.on_message."
    )


def test_a_handler_that_is_written_for_another_event(texting: Callable[..., Page], dev: Dev) -> None:
    code = GOOD.replace("@bot.on_message", "@bot.on_reaction")
    banner = texting(code).get_by_role("alert").filter(has_text="The bot did not start.")
    expect(banner).to_contain_text(f"bot.py:{line_of(code, '@bot.on_reaction')}")
    expect(banner).to_contain_text("bot:greet is written for MessageReceived but registered for ReactionAdded.")


def test_an_agent_that_is_killed_in_a_tool_shows_both_runs_and_what_the_second_remembers(
    texting: Callable[..., Page], dev: Dev
) -> None:
    asked = "{'calls': [{'id': 'c1', 'name': 'book', 'input': {'people': 2}}], 'usage': {'input_tokens': 7, 'output_tokens': 2}}"
    body = f"""    async def model(draft):
        return {asked}

    async def book(key):
        pass
        return 'Booked.'

    await ctx.model_step('model', model)
    await ctx.reply(await ctx.once('tool:book@c1', book, retry=True))
"""
    hangs = "open('pid', 'w').write(str(os.getpid()))\n        await asyncio.Event().wait()"
    code = f"import asyncio, os\n{START}{GREET}{body}"
    page = texting(code.replace("pass", hangs), "A table for two")
    exchange(page).locator("> summary").click()
    runs = exchange(page).locator(".turn-runs > li")
    expect(runs.locator("code")).to_have_text(["model"])
    pid = dev.file.with_name("pid")
    dev.until(pid.exists)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    expect(page.get_by_role("alert").filter(has_text="The bot has stopped.")).to_be_visible()
    dev.save(code)
    expect(page.locator(".msg.other .bubble")).to_have_text("Booked.")
    expect(runs.locator("> p")).to_contain_text(["Run 1 · cut off", "Run 2 · acked"])
    expect(runs.nth(0).locator("summary")).to_contain_text(["7 + 2 tokens"])
    expect(runs.nth(1).locator("summary")).to_contain_text(["modelremembered", "book"])
    tool = runs.nth(1).locator("details").last
    expect(tool.locator("small")).to_have_text('{"people":2}')
    tool.locator("summary").click()
    expect(tool.locator("pre").last).to_have_text('"Booked."')


def test_messages_that_are_answered_as_one(texting: Callable[..., Page], dev: Dev) -> None:
    code = f"{START.replace('Bot()', 'Bot(gather_s=60)')}{GREET}    await ctx.reply(message.text)\n"
    page = texting(code, "A table")
    write(page, "for two")
    expect(exchange(page).locator(".exchange-facts")).to_have_text(["delivered", "delivered"])
    httpx.post(f"{dev.url}/emulator/clock", json={"advance_s": 61}, timeout=PATIENCE_S).raise_for_status()
    expect(page.locator(".msg.other .bubble")).to_have_text("A table\nfor two")
    later, first = exchange(page).all()
    expect(first.locator(".exchange-facts")).to_contain_text("2 joined messages")
    expect(later.locator(".sentence")).to_have_text("The bot handled it as one message with the one before it.")


@pytest.mark.usefixtures("still")
def test_a_message_that_a_running_handler_takes(texting: Callable[..., Page]) -> None:
    steered = GREET.replace("on_message", "on_message(overlap='steer')")
    body = """    said = message.text
    while not said.endswith('please'):
        await asyncio.sleep(0.02)
        async for more in ctx.incoming():
            said += f' {more.text}'
    await ctx.reply(said)
    1 / 0
"""
    page = texting(f"import asyncio\n{START}{steered}{body}", "Soup")
    write(page, "and bread,")
    taken = exchange(page).filter(has_text="and bread,")
    expect(taken.locator(".sentence")).to_have_text(
        "The handler of an earlier message took it with ctx.incoming(). That handler still runs."
    )
    expect(taken.locator(".exchange-facts")).to_contain_text("bot:greet")
    write(page, "please")
    expect(page.locator(".msg.other .bubble")).to_have_text("Soup and bread, please")
    expect(taken.locator(".sentence")).to_contain_text(
        "took it with ctx.incoming(). Its handler has failed once: ZeroDivisionError at bot.py"
    )
    expect(taken.locator(".error")).to_contain_text("ZeroDivisionError")
    expect(page.locator(".msg.own .outcome-note").first).to_contain_text("ZeroDivisionError at bot.py")


def test_a_question_in_a_group_hears_the_asked_person_only_also_after_a_restart(
    texting: Callable[..., Page], dev: Dev
) -> None:
    code = f"{START}{GREET}    size = await ctx.ask('For how many?', kind=int)\n    await ctx.reply(f'A table for {{size}}.')\n"
    page = texting(code, "@Your bot a table, please", group=True)
    replies = page.locator(".msg.other .bubble")
    expect(replies).to_have_text("For how many?")
    dev.save(f"{code}# saved\n")
    chat = max(httpx.get(f"{dev.url}/emulator/state").json()["chats"], key=lambda each: each["created_at"])
    friend = {"from": FRIEND, "to": LINE, "chat_id": chat["id"], "parts": [{"type": "text", "value": "Six!"}]}
    httpx.post(f"{dev.url}/emulator/inbound", json=friend).raise_for_status()
    said = exchange(page)
    expect(said.filter(has_text="Six!").locator(".sentence")).to_have_text(
        "No handler took it: the message neither mentions the bot nor replies to it."
    )
    expect(said.filter(has_text="Six!").locator(".turn-note")).to_contain_text("Mention the bot, or reply")
    write(page, "2")
    expect(replies.last).to_have_text("A table for 2.")
    expect(said.first.locator(".sentence")).to_contain_text("took it. It answers “For how many?”.")
