"""The page examined by axe-core in each of its states: on a phone in light, on a wide screen in dark, there at the end also in light.

A session of `SESSIONS` leads one page through several states, and yields the name of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chromium_page import DESKTOP, FRIEND, ME, MOBILE, Bot, Browsing, bubble, greet, violations, write
from inspector_page import ERROR, report, subscribe
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Session = Callable[[Page, Bot], Iterator[str]]


def full_chat(phone: Page, bot: Bot) -> None:
    """Fill the open chat with one of each kind of message."""
    chat_id = greet(phone, bot)
    decorations = [{"range": [0, 4], "style": "bold"}, {"range": [5, 9], "animation": "shake"}]
    styled = {"type": "text", "value": "bold link https://example.com", "text_decorations": decorations}
    bot.say(chat_id, styled, effect={"type": "screen", "name": "confetti"})
    bot.ask(chat_id, "Pizza", "Sushi")
    asked = bot.call("POST", "/v3/payment_requests", {"amount": 4250, "currency": "usd", "description": "Dinner"})
    bot.say(chat_id, {"type": "link", "value": asked["checkout_url"]})
    root = bot.say(chat_id, {"type": "link", "value": "https://example.com/menu"})
    bot.call("POST", f"/v3/messages/{root}/reactions", {"operation": "add", "type": "love"})
    bot.call("POST", f"/v3/chats/{chat_id}/location/request")
    bot.hear("a reply", chat_id=chat_id, reply_to=root)
    names = ("ada.vcf", "memo.mp3", "menu.pdf")
    files = [{"type": "media", "filename": name, "data_base64": "QkVHSU46VkNBUkQKRk46QWRh"} for name in names]
    bot.hear(*files, chat_id=chat_id)
    phone.locator(".file-card").wait_for()


def attaching(phone: Page, bot: Bot) -> Iterator[str]:
    chat_id = greet(phone, bot)

    def attach(what: str) -> str:
        phone.get_by_role("button", name="Attach", exact=True).click()
        phone.get_by_role("menuitem", name=what).click()
        return what

    phone.get_by_role("button", name="Attach", exact=True).click()
    phone.get_by_role("menuitem", name="Poll").wait_for()
    yield "menu"
    phone.keyboard.press("Escape")
    attach("Poll")
    phone.get_by_role("button", name="Send", exact=True).last.click()
    phone.get_by_role("alert").wait_for()
    yield "a poll and a toast"
    phone.keyboard.press("Escape")
    for what in ("Location", "Contact Card", "Stickers"):
        yield attach(what)
        phone.keyboard.press("Escape")
    yield attach("Voice Memo")
    expect(phone.get_by_role("timer")).not_to_have_text("0:00")
    phone.get_by_role("button", name="Stop recording").click()
    phone.locator(".attachment audio").wait_for()
    yield "a recorded memo"
    bot.call("POST", f"/v3/chats/{chat_id}/location/request")
    strip = phone.locator(".strip")
    strip.get_by_role("button", name="Share").wait_for()
    yield "a request for a location"
    strip.get_by_role("button", name="Share").click()
    phone.get_by_role("button", name="Berlin").click()
    phone.get_by_role("dialog").get_by_role("button", name="Share").click()
    strip.get_by_role("button", name="Stop").wait_for()
    yield "a shared location"


def composing(phone: Page, bot: Bot) -> Iterator[str]:
    phone.get_by_label("Message", exact=True).wait_for()
    yield "the first visit"
    greet(phone, bot)
    phone.get_by_role("button", name="Send with effect").click()
    phone.get_by_role("dialog").wait_for()
    yield "effects"
    phone.get_by_role("dialog").get_by_role("button", name="Confetti").click()
    field = phone.get_by_label("Message", exact=True)
    field.fill("big cake")
    phone.get_by_role("button", name="Format text").click()
    field.evaluate("field => field.setSelectionRange(0, 3)")
    phone.get_by_role("button", name="Bold").click()
    phone.get_by_label("Preview").wait_for()
    yield "formats, their preview and an effect"
    phone.get_by_role("button", name="Format text").click()
    for entry in ("Reply", "Edit"):
        bubble(phone, "Hello!").dblclick()
        phone.get_by_role("menuitem", name=entry).click()
        phone.locator(".composer-notes > *").first.wait_for()
        yield entry
        phone.keyboard.press("Escape")
    field.fill("half a thought")
    phone.get_by_role("button", name="Back", exact=True).click()
    phone.locator(".chat-row", has_text="Draft: half").wait_for()
    yield "a draft in the list"


def group(phone: Page, bot: Bot) -> Iterator[str]:
    ids = bot.hear("hi all", group=[FRIEND, "cat@example.com"])
    bot.say(ids["chat_id"], "Welcome")
    phone.reload()
    bubble(phone, "Welcome").wait_for()
    phone.get_by_label("Message", exact=True).press_sequentially("@you")
    phone.locator(".mention-choices button").first.wait_for()
    yield "a mention"
    phone.get_by_role("button", name="Details of").click()
    phone.get_by_role("button", name="Remove +1 415 555 0187").click()
    phone.locator(".members .gone").wait_for()
    yield "details of a group"
    phone.get_by_role("button", name="Leave this Conversation").click()
    phone.get_by_text("You are no longer in this conversation.").wait_for()
    yield "a group without you"


def changed_messages(phone: Page, bot: Bot) -> Iterator[str]:
    chat_id = greet(phone, bot)
    bubble(phone, "Hello!").dblclick()
    phone.get_by_role("dialog", name="Tapback").wait_for()
    yield "tapbacks and the menu"
    phone.get_by_role("menuitem", name="Edit").click()
    write(phone, "Hello all")
    phone.get_by_role("button", name="Edited").click()
    yield "earlier texts"
    bot.hear("a slip", chat_id=chat_id)
    bubble(phone, "a slip").dblclick()
    phone.get_by_role("menuitem", name="Undo Send").click()
    phone.locator(".unsent").wait_for()
    bot.say(chat_id, "a secret", effect={"type": "bubble", "name": "invisible"})
    bot.call("POST", "/emulator/faults", {"on": "message", "code": 4001})
    bot.say(chat_id, "failed")
    bot.call("POST", f"/v3/chats/{chat_id}/typing")
    phone.get_by_role("status", name="Your bot is typing").wait_for()
    yield "an undone, a hidden and a failed message, and typing"
    bubble(phone, "Hello all").dblclick()
    phone.get_by_role("button", name="More emoji").click()
    yield "a menu with more emoji"


def chat(phone: Page, bot: Bot) -> Iterator[str]:
    full_chat(phone, bot)
    yield "a chat"
    phone.locator(".quote").click()
    phone.get_by_role("dialog", name="Thread").wait_for()
    yield "a thread"
    phone.keyboard.press("Escape")
    charge = {"handle": ME, "amount_cents": 700, "currency": "usd", "merchant": {"name": "Bistro"}}
    bot.call("POST", "/v3/payments", charge, headers={"idempotency-key": "k1"})
    phone.locator(".contact-card").click()
    phone.get_by_role("dialog").wait_for()
    yield "a contact"
    phone.keyboard.press("Escape")
    phone.get_by_role("button", name="Details of").click()
    phone.locator(".details .payment").wait_for()
    yield "details with a charge"
    phone.get_by_role("button", name="Send STOP").click()
    phone.get_by_role("button", name="Send START").wait_for()
    yield "opted out"
    phone.get_by_role("button", name="Send START").click()
    phone.get_by_role("button", name="Send STOP").wait_for()
    phone.get_by_role("button", name="plum").click()
    phone.keyboard.press("Escape")
    phone.locator("#chat[data-background$=plum]").wait_for()
    yield "a background"


def chats(phone: Page, bot: Bot) -> Iterator[str]:
    greet(phone, bot)
    bot.hear("Group", group=[FRIEND])
    bot.hear("From a friend", person=FRIEND, group=[ME, "cat@example.com"], service="SMS")
    phone.locator(".back").click()
    phone.locator(".chat-row").nth(2).wait_for()
    yield "chats"
    search = phone.get_by_label("Search conversations and messages")
    search.fill("fr")
    phone.locator(".hit").first.wait_for()
    yield "hits"
    search.fill("no such thing")
    phone.locator(".hit").first.wait_for(state="hidden")
    yield "no hit"
    search.fill("")
    phone.get_by_role("button", name="You are").locator("visible=true").first.click()
    yield "people"
    phone.keyboard.press("Escape")
    phone.get_by_role("button", name="New message").click()
    phone.locator(".choices.service").get_by_text("SMS", exact=True).click()
    yield "a new message"
    phone.get_by_role("button", name="Start").click()
    phone.locator(".log .system").wait_for()
    write(phone, "Green")
    phone.locator(".msg.own.sms").wait_for()
    yield "SMS"


def controls(phone: Page, bot: Bot) -> Iterator[str]:
    greet(phone, bot)
    bot.call("POST", "/emulator/faults", {"on": "api", "status": 500, "times": None, "match": "chats.messages.send"})
    bot.call("POST", "/emulator/clock", {"advance_s": 86_400})
    phone.get_by_role("button", name="Time and faults").locator("visible=true").first.click()
    panel = phone.get_by_role("complementary", name="Time and faults")
    panel.get_by_role("checkbox", name="You have opted out").check()
    panel.get_by_role("checkbox", name="flagged +1 202 555 0100").check()
    phone.get_by_role("status", name="Now in effect").get_by_role("listitem").nth(3).wait_for()
    yield "faults and chips"
    panel.get_by_label("What goes wrong").select_option(label="The answer is slow")
    panel.get_by_label("Which").select_option(label="Other …")
    panel.get_by_label("How often").select_option(label="Several times")
    panel.get_by_role("button", name="Empty everything").click()
    yield "all fields of a fault, and the question before a reset"
    phone.locator("#reconnecting").evaluate("note => { note.hidden = false; }")
    panel.get_by_role("button", name="Cancel").click()
    panel.get_by_role("button", name="Close").click()
    yield "no connection"


def inspector(phone: Page, bot: Bot) -> Iterator[str]:
    """Open a failed exchange in the inspector, its webhook and a call, below the banner of a file with an error."""
    phone.locator(".chat-bar").get_by_role("button", name="Show webhooks and calls").click()
    phone.get_by_role("button", name="Close the inspector").wait_for()
    yield "nothing yet"
    phone.keyboard.press("Escape")
    phone.get_by_label("Message", exact=True).focus()
    greet(phone, bot)
    subscribe(bot)
    ids = bot.hear("What is wrong?")
    tried = [{"handler": "bot:menu", "filter": "text 'menu'", "fits": False}]
    steps = [
        {"name": "model", "said": "remembered", "remembered": True, "result": {"text": "…"}},
        {"name": "book", "said": "failed after 3 ms: KeyError", "failed": True, "arguments": {"people": 2}},
    ]
    event_id = report(bot, ids, outcome="dead_lettered", error=ERROR, tried=tried, steps=steps)
    bot.say(ids["chat_id"], "Sorry")
    bot.call("POST", "/emulator/observations", {"kind": "bot", "status": "failed", "file": "bot.py", "line": 3})
    phone.locator(".went-wrong .inspect-button").click()
    phone.locator(".exchange[open] .run-steps summary").last.click()
    phone.locator(".exchange[open] .trace.delivery > summary").click()
    phone.locator(".exchange[open] .trace.call > summary").click()
    phone.locator(".exchange[open] .headers").wait_for()
    bot.call("POST", "/emulator/observations", {"kind": "bot", "status": "failed", "file": "bot.py", "traceback": "…"})
    yield "a failed exchange"
    shown = phone.get_by_role("complementary", name="Inspector")
    shown.locator("details.fold").evaluate_all("folds => { for (const fold of folds) fold.open = true; }")
    notes = [{"title": "Blocked the event loop", "message": "Await slow calls.", "file": "bot.py", "line": 3}]
    not_handled = {"outcome": "not_handled", "handler": None, "reason": "no filter fits"}
    report(bot, ids, tried=tried, steps=steps, notes=notes, **not_handled)
    shown.locator(".turn-note").wait_for()
    yield "a message without a handler, a note, and the folds"
    bot.call("POST", "/emulator/clock", {"advance_s": 1})
    report(bot, ids, outcome="running", attempt=2)
    report(bot, bot.hear("and bread", chat_id=ids["chat_id"]), outcome="taken", taken_by=event_id)
    question = {"text": "How many?", "handler": "bot:table", "result": "given_up"}
    report(bot, bot.hear("many", chat_id=ids["chat_id"]), question=question, asks="When?")
    bot.call("POST", "/emulator/observations", {"kind": "bot", "status": "stopped", "message": "It ended."})
    shown.get_by_text("That handler still runs.").wait_for()
    shown.get_by_text("the question has ended. The question is “When?”.").wait_for()
    phone.get_by_text("The bot has stopped.").wait_for()
    yield "a message taken by a running handler, an answered question, and a bot that has stopped"
    for kind in ("Webhooks", "Calls"):
        shown.get_by_role("button", name=kind).click()
        shown.locator(".traces.flat .trace").first.wait_for()
        shown.locator(".traces.flat .trace > summary").first.click()
        yield kind
    shown.get_by_label("Search the inspector").fill("no such thing")
    shown.get_by_text("Nothing fits these filters.").wait_for()
    yield "nothing found"


SESSIONS: list[Session] = [inspector, controls, chat, attaching, composing, group, changed_messages, chats]


@pytest.mark.parametrize("session", SESSIONS)
def test_axe_finds_nothing(browsing: Browsing, bot: Bot, axe: str, session: Session) -> None:
    # axe is a script of another origin to the page, so the page's policy is off here.
    phone = browsing.open(bypass_csp=True, viewport=MOBILE)
    for state in session(phone, bot):
        # The width changes what is shown and what lies behind a text, the scheme its colours.
        assert violations(phone, axe, schemes=("light",)) == [], state
        phone.set_viewport_size(DESKTOP)
        assert violations(phone, axe, schemes=("dark",)) == [], state
        phone.set_viewport_size(MOBILE)
    phone.set_viewport_size(DESKTOP)
    assert violations(phone, axe, schemes=("light",)) == []


def test_axe_finds_nothing_next_to_a_second_phone(browsing: Browsing, bot: Bot, axe: str) -> None:
    bot.hear("hi", group=[FRIEND])
    phone = browsing.open(bypass_csp=True, viewport={"width": 1500, "height": 900})
    phone.get_by_role("button", name="Second phone").click()
    phone.frame_locator("iframe.second").get_by_label("Message", exact=True).wait_for()
    assert violations(phone, axe) == []
