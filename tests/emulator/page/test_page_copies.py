"""Copies from the inspector, in Chromium: each copied command and each copied test is run.

The bots are served by `linqbot serve`, and reports of turns are posted, or `linqbot dev` runs them and posts its own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium_page import FRIEND, LINE, ME, Bot, Browsing, Profiles, Served
from copied_tests import passes, run_copied
from dev_command import Dev
from inspector_page import ERROR, inspector_of, open_rows, report, subscribe
from playwright.sync_api import Locator, Page, expect
from ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[3] / "examples"
POLLS_AND_MONEY = """
from linqbot import Bot, Context, MessageReceived, ReactionAdded
from linqbot.events import (
    Event,
    LocationSharingStarted,
    LocationSharingStopped,
    PaymentDeclined,
    PaymentSucceeded,
    PollReactionAdded,
    PollReceived,
    PollUpdated,
    PollVoteAdded,
    PollVoteRemoved,
)
from linqbot.linq.events.payment import PaymentEvent

bot = Bot()


@bot.on_message("lunch")
async def lunch(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Where?")
    await ctx.client.chats.polls.create(message.chat.id, poll={"options": [{"text": "Pizza"}, {"text": "Sushi"}]})


@bot.on_message("bill")
async def bill(message: MessageReceived, ctx: Context) -> None:
    request = await ctx.client.payment_requests.create(amount=1500, currency="usd", metadata={"chat": message.chat.id})
    await ctx.reply(f"Pay here: {request.checkout_url}", cards=False)


@bot.on_message
async def hello(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("hello")


@bot.on(PollReceived)
async def poll(event: PollReceived, ctx: Context) -> None:
    await ctx.reply("A poll: " + ", ".join(option.text for option in event.poll.options))


@bot.on(PollUpdated)
@bot.on(PollVoteAdded)
@bot.on(PollVoteRemoved)
@bot.on(PollReactionAdded)
@bot.on(LocationSharingStopped)
async def seen(event: Event, ctx: Context) -> None:
    await ctx.client.chats.messages.send(event.chat_id, message={"parts": [{"type": "text", "value": event.type}]})


@bot.on_reaction("sticker")
async def sticker(event: ReactionAdded, ctx: Context) -> None:
    await ctx.client.messages.add_reaction(event.message_id, operation="add", type="sticker", emoji="🚀")
    await ctx.reply("A sticker!")


@bot.on(LocationSharingStarted)
async def located(event: LocationSharingStarted, ctx: Context) -> None:
    found = await ctx.client.chats.location.retrieve(event.chat_id)
    await ctx.reply(f"You are at {found.data.features[0].geometry.coordinates}.")


@bot.on(PaymentSucceeded)
@bot.on(PaymentDeclined)
async def paid(event: PaymentEvent, ctx: Context) -> None:
    parts = [{"type": "text", "value": event.type}]
    await ctx.client.chats.messages.send(event.metadata["chat"], message={"parts": parts})
"""
CHARGES_CARDS_AND_MEMBERS = """
from linqbot import Bot, Context, MessageReceived
from linqbot.events import (
    ConnectionCreated,
    ContactCardReceived,
    Event,
    ParticipantAdded,
    ParticipantRemoved,
    PaymentAuthorized,
    PaymentDeclined,
)
from linqbot.linq.events.payment import PaymentEvent

bot = Bot(groups="all")
latest = {}


async def say(ctx: Context, chat_id: str, text: str) -> None:
    await ctx.client.chats.messages.send(chat_id, message={"parts": [{"type": "text", "value": text}]})


@bot.on_message("charge me")
async def begin(message: MessageReceived, ctx: Context) -> None:
    latest["chat"] = message.chat.id
    payer, metadata = message.sender.handle, {"chat": message.chat.id}
    await ctx.client.payments.create(handle=payer, amount_cents=900, currency="usd", metadata=metadata)
    await ctx.reply("Connect, please.")


@bot.on_message
async def hello(message: MessageReceived, ctx: Context) -> None:
    latest["chat"] = message.chat.id
    await ctx.reply(f"hello {message.text}")


@bot.on(ConnectionCreated)
async def connected(event: ConnectionCreated, ctx: Context) -> None:
    await say(ctx, latest["chat"], "Approve it, please.")


@bot.on(PaymentAuthorized)
@bot.on(PaymentDeclined)
async def answered(event: PaymentEvent, ctx: Context) -> None:
    await say(ctx, event.metadata["chat"], event.type)


@bot.on(ContactCardReceived)
async def card(event: ContactCardReceived, ctx: Context) -> None:
    await say(ctx, latest["chat"], f"Hello {event.first_name} {event.last_name}")


@bot.on(ParticipantAdded)
@bot.on(ParticipantRemoved)
async def members(event: Event, ctx: Context) -> None:
    await say(ctx, event.chat_id, f"{event.type} {event.participant.handle}")
"""
FAILING = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    1 / 0
"""


@pytest.fixture
def serve(bot: Bot, served: Served, tmp_path: Path) -> Iterator[Callable[[Path], dict[str, str]]]:
    """Serve a bot's file with `linqbot serve`; return the environment with its secret."""
    running = contextlib.ExitStack()

    def start(file: Path) -> dict[str, str]:
        port = free_port()
        wanted = {"target_url": f"http://127.0.0.1:{port}/webhooks/linq?version=2026-02-03"}
        events = ["message.received", "message.edited", "reaction.added", "message.read"]
        made = bot.call("POST", "/v3/webhook-subscriptions", wanted | {"subscribed_events": events})
        env = os.environ | {
            "LINQ_API_V3_API_KEY": "any",
            "LINQ_API_V3_BASE_URL": f"{served.url}/api/partner",
            "LINQ_WEBHOOK_SECRET": made["signing_secret"],
            "LINQBOT_STORAGE": f"sqlite:///{tmp_path / 'bot.db'}",
            "LINQBOT_PORT": str(port),
        }
        command = [sys.executable, "-m", "linqbot", "serve", str(file)]
        process = running.enter_context(
            subprocess.Popen(command, cwd=file.parent, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        )
        running.callback(process.terminate)
        for _ in range(1200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return env
            time.sleep(0.05)
        raise AssertionError("The bot did not start")

    with running:
        yield start


def replies_on(page: Page) -> Locator:
    """The bot's messages, without its typing dots."""
    return page.locator(".msg.other[data-id]")


def copied(page: Page, within: Locator, label: str) -> str:
    """Press a copy button and return what it has put on the clipboard."""
    note = within.locator(".copy-note", has_text="Copied").first
    for timeout_ms in (5_000, 5_000, 15_000):
        within.get_by_role("button", name=label, exact=True).first.click()
        # Each retry of a delivery draws its exchange again, without the note of a copy that was just made.
        with contextlib.suppress(AssertionError):
            expect(note).to_be_visible(timeout=timeout_ms)
            return str(page.evaluate("navigator.clipboard.readText()"))
    raise AssertionError(f"{label} has copied nothing.")


def copied_test(page: Page, text: str, *, facts: str) -> str:
    """Copy the latest exchange with this text as a test, once it shows these facts: they come after the messages."""
    exchange = inspector_of(page).locator(".exchange", has_text=text).first
    expect(exchange.locator("> summary")).to_contain_text(facts)
    exchange.locator("> summary").click()
    test = copied(page, exchange, "Copy as pytest")
    exchange.locator("> summary").click()
    return test


@pytest.fixture
def copying(browsing: Browsing, bot: Bot) -> Page:
    """A page that may read the clipboard."""
    return browsing.open(permissions=["clipboard-read", "clipboard-write"])


def test_the_selection_is_copied_when_only_the_old_way_works(copying: Page, bot: Bot) -> None:
    subscribe(bot)
    bot.hear("old way")
    copying.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    exchange = inspector_of(copying).locator(".exchange", has_text="old way")
    open_rows(copying, exchange)
    assert '"value": "old way"' in copied(copying, exchange, "Copy as JSON")


def test_the_copied_commands_run(copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]]) -> None:
    env = serve(EXAMPLES / "echo.py")
    write = copying.get_by_label("Message", exact=True)
    write.fill("it's $me")
    copying.keyboard.press("Enter")
    expect(copying.locator(".msg.other .bubble")).to_have_text("You said: it's $me")
    exchange = inspector_of(copying).locator(".exchange", has_text="it's $me")
    open_rows(copying, exchange)
    webhook = exchange.locator(".trace.delivery").first
    trigger = copied(copying, webhook, "Copy as linqbot trigger")
    assert shlex.split(trigger.replace("\\\n", ""))[:5] == [
        "linqbot",
        "trigger",
        "message.received",
        "--text",
        "it's $me",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(["sh", "-c", trigger], env=env | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expect(copying.locator(".msg.other .bubble")).to_have_count(2)
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl), and the copied curl commands need it")
    curl = copied(copying, webhook, "Copy as curl")
    done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=False)
    assert "HTTP/1.1 200" in done.stdout, done.stdout + done.stderr
    call = exchange.locator(".trace.call", has_text="/messages").first
    call.locator("summary").click()
    curl = copied(copying, call, "Copy as curl")
    done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=False)
    assert '"message"' in done.stdout, done.stdout + done.stderr


def test_a_copied_test_passes_for_echo_and_fails_for_another_answer(
    copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    serve(EXAMPLES / "echo.py")
    ids = bot.hear('say "hi"\nand 🎂')
    copying.reload()
    expect(copying.locator(".msg.other .bubble")).to_have_count(1)
    report(bot, ids, handler="echo:echo", file="echo.py", line=9)
    test = copied_test(copying, "say", facts="echo:echo")
    assert "from echo import bot" in test
    outcomes = run_copied([test, test.replace("You said", "You sang")], EXAMPLES / "echo.py", tmp_path)
    assert outcomes == {"test_0": "PASSED", "test_1": "FAILED"}


@pytest.mark.slow
def test_a_copied_test_passes_for_effects_threads_and_several_replies(
    copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    serve(EXAMPLES / "effects.py")
    tests = []
    for text, replies in [("party", 2), ("something else", 4), ("bold", 5)]:
        ids = bot.hear(text)
        copying.reload()
        expect(replies_on(copying)).to_have_count(replies)
        report(bot, ids, handler="effects:any", file="effects.py")
        tests.append(copied_test(copying, text, facts="effects:any"))
    passes(tests, EXAMPLES / "effects.py", tmp_path)


@pytest.mark.slow
def test_a_copied_test_passes_for_a_group_with_a_mention_a_tapback_and_a_reply(
    copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    serve(EXAMPLES / "group.py")
    mentions = [{"handle": LINE, "range": [0, 9]}]
    said: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"type": "text", "value": "@Your bot who is in?", "mentions": mentions}, FRIEND, [ME, "cat@example.com"]),
        ({"type": "text", "value": "hey bot", "mention": LINE}, ME, [FRIEND, "cat@example.com"]),
        ({"type": "text", "value": "just us"}, ME, [FRIEND, "cat@example.com"]),
    ]
    tests = []
    for number, (part, person, others) in enumerate(said):
        body = {"from": person, "to": LINE, "parts": [part], "group": others}
        ids = dict(bot.call("POST", "/emulator/inbound", body))
        copying.reload()
        expect(replies_on(copying)).to_have_count([2, 3, 3][number])
        is_taken = number < 2
        handler = (
            {"handler": "group:any", "file": "group.py"}
            if is_taken
            else {"handler": None, "outcome": "not_handled", "why": "No handler took it."}
        )
        report(bot, ids, **handler)
        facts = "group:any" if is_taken else "No handler took it"
        tests.append(copied_test(copying, str(part["value"]), facts=facts))
    passes(tests, EXAMPLES / "group.py", tmp_path)


@pytest.mark.slow
def test_a_copied_test_of_a_tapback_begins_with_the_message_that_has_it(
    copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    serve(EXAMPLES / "reactions.py")
    ids = bot.hear("tell me a joke")
    copying.reload()
    expect(replies_on(copying)).to_have_count(1)
    report(bot, ids, handler="reactions:laugh", file="reactions.py")
    reaction = {"from": ME, "message_id": bot.last()["id"], "type": "love", "operation": "add"}
    bot.call("POST", "/emulator/react", reaction)
    expect(replies_on(copying)).to_have_count(2)
    passes([copied_test(copying, "reaction.added", facts="1 reply")], EXAMPLES / "reactions.py", tmp_path)


def test_a_copied_test_of_a_failing_bot_expects_its_exception(
    copying: Page, bot: Bot, serve: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "failing.py"
    file.write_text(FAILING)
    serve(file)
    ids = bot.hear("0")
    failed = {"outcome": "retried", "why": "It has failed once.", "error": ERROR, "replies": 0, "retry_in_s": 1.0}
    report(bot, ids, handler="failing:greet", file="failing.py", line=8, **failed)
    test = copied_test(copying, "It has failed once.", facts="failing:greet")
    assert '== "ZeroDivisionError"' in test
    passes([test], file, tmp_path)


def test_a_copied_test_has_what_came_after_the_exchange_was_opened(copying: Page, bot: Bot) -> None:
    subscribe(bot)
    ids = bot.hear("slow bot")
    exchange = inspector_of(copying).locator(".exchange", has_text="slow bot")
    exchange.locator("> summary").click()
    expect(exchange.get_by_role("button", name="Copy as pytest")).to_be_visible()
    bot.say(ids["chat_id"], "a late reply")
    expect(exchange.locator(".trace.call")).to_have_count(1)
    assert 'assert reply == "a late reply"' in copied(copying, exchange, "Copy as pytest")


class Person:
    """The person of a page of `linqbot dev` with one reply, whose further acts go through the control API."""

    def __init__(self, bot: Bot, page: Page) -> None:
        self._bot, self._page = bot, page
        self._seen = 1

    def does(self, act: str, *, answers: int = 1, **body: Any) -> dict[str, Any]:
        """Act, and wait until the page shows so many more messages of the bot. Return the bot's last message."""
        self._bot.call("POST", f"/emulator/{act}", body if act in {"pay", "decline"} else body | {"from": ME})
        self._seen += answers
        expect(replies_on(self._page)).to_have_count(self._seen)
        return self.heard

    @property
    def heard(self) -> dict[str, Any]:
        """The last message of the bot."""
        (chat,) = self._bot.chats
        return dict(next(one for one in reversed(chat["messages"]) if one["is_from_me"]))

    @property
    def wrote(self) -> dict[str, Any]:
        """The last message of the person."""
        (chat,) = self._bot.chats
        return dict(next(one for one in reversed(chat["messages"]) if not one["is_from_me"]))

    @property
    def payment(self) -> str:
        """The id of the last payment request."""
        return str(self._bot.call("GET", "/emulator/state")["payments"][-1]["id"])


class Copier:
    """Copies exchanges of `linqbot dev` on a page as tests."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.tests: list[str] = []

    def copy(self, text: str) -> None:
        """Copy the latest exchange with this text, once the report of its turn is there."""
        self.tests.append(copied_test(self._page, text, facts="bot:"))


@pytest.mark.slow
def test_a_copied_test_passes_for_polls_votes_stickers_payments_and_locations(
    profiles: Profiles, tmp_path: Path
) -> None:
    with Dev(tmp_path, POLLS_AND_MONEY) as dev:
        bot, pages = Bot(dev.url), Browsing(profiles, dev.url)
        page = pages.open(permissions=["clipboard-read", "clipboard-write"])
        page.get_by_label("Message", exact=True).fill("hi")
        page.keyboard.press("Enter")
        expect(replies_on(page)).to_have_count(1)
        person, copier = Person(bot, page), Copier(page)
        copy = copier.copy

        def write(text: str, answers: int = 1) -> dict[str, Any]:
            return person.does("inbound", to=LINE, parts=[{"type": "text", "value": text}], answers=answers)

        asked = write("lunch", answers=2)
        copy("lunch")
        chat = {"chat_id": asked["chat_id"]}
        vote = {"message_id": asked["id"], "option_id": asked["poll"]["options"][1]["option_id"]}
        person.does("vote", **vote)
        copy("poll.vote.added")
        person.does("vote", operation="remove", **vote)
        copy("poll.vote.removed")
        person.does("poll", options=["tea", "cake"], **chat)
        made = person.wrote
        copy("poll.received")
        person.does("poll/options", message_id=made["id"], options=["scones"])
        copy("poll.updated")
        person.does("react", message_id=made["id"], type="love")
        copy("poll.reaction.added")
        person.does("react", message_id=person.heard["id"], type="sticker", emoji="🎂")
        copy("reaction.added")
        person.does("location", latitude=48.86, longitude=2.35, for_s=3600, **chat)
        copy("location.sharing.started")
        person.does("location", state="stopped", **chat)
        copy("location.sharing.stopped")
        write("bill")
        copy("bill")
        person.does("decline", id=person.payment)
        copy("payment.declined")
        person.does("pay", id=person.payment)
        copy("payment.succeeded")
        pages.close()
        bot.http.close()
    assert pages.console_errors == []
    folder = tmp_path / "copies"
    folder.mkdir()
    passes(copier.tests, dev.file, folder)


@pytest.mark.slow
def test_a_copied_test_passes_for_charges_contact_cards_and_members_of_a_group(
    profiles: Profiles, tmp_path: Path
) -> None:
    with Dev(tmp_path, CHARGES_CARDS_AND_MEMBERS) as dev:
        bot, pages = Bot(dev.url), Browsing(profiles, dev.url)
        page = pages.open(permissions=["clipboard-read", "clipboard-write"])
        page.get_by_label("Message", exact=True).fill("hi")
        page.keyboard.press("Enter")
        expect(replies_on(page)).to_have_count(1)
        person, copier = Person(bot, page), Copier(page)
        person.does("card", to=LINE, first_name="Ann", last_name="Lee")
        copier.copy("contact_card.received")
        person.does("inbound", to=LINE, parts=[{"type": "text", "value": "charge me"}])
        copier.copy("charge me")
        person.does("connect")
        copier.copy("connection.created")
        person.does("pay", id=person.payment)
        copier.copy("payment.authorized")
        person.does("inbound", to=LINE, parts=[{"type": "text", "value": "charge me"}])
        person.does("decline", id=person.payment)
        copier.copy("payment.declined")
        group = bot.hear("all of us", group=[FRIEND])
        page.get_by_role("button", name="Back").click()
        page.locator(".chat-row", has_text="all of us").click()
        chat = {"chat_id": group["chat_id"]}
        expect(replies_on(page)).to_have_count(1)
        copier.copy("all of us")
        for number, (act, body) in enumerate(
            [
                ("join", {"from": ME, "handle": "cat@example.com"}),
                ("leave", {"from": "cat@example.com"}),
                ("leave", {"from": ME, "handle": FRIEND}),
            ]
        ):
            bot.call("POST", f"/emulator/{act}", chat | body)
            expect(replies_on(page)).to_have_count(number + 2)
            copier.copy("participant.added" if number == 0 else "participant.removed")
        pages.close()
        bot.http.close()
    assert pages.console_errors == []
    folder = tmp_path / "copies"
    folder.mkdir()
    passes(copier.tests, dev.file, folder)
