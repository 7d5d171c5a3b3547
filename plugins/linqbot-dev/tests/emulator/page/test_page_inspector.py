"""The inspector in Chromium: what it says about a bot that misbehaves.

Reports of turns are posted, as `linqbot dev` posts them. What can be copied is in `test_page_copies.py`.
"""

from __future__ import annotations

import contextlib

import httpx
import pytest
from chromium_page import FRIEND, MOBILE, Bot, Browsing, Served, greet
from inspector_page import ERROR, inspector_of, open_rows, report, subscribe
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_a_vote_shows_the_choice_and_the_question_if_the_bot_asked_it(phone: Page, bot: Bot) -> None:
    subscribe(bot, "http://127.0.0.1:9/hook", "poll.vote.added", "poll.vote.removed")
    bot.call("POST", "/emulator/faults", {"on": "delivery", "status": 200, "times": None})  # there is no receiver
    chat_id = greet(phone, bot)
    bot.ask(chat_id, "Mia", "Sam")
    phone.locator(".poll-option", has_text="Mia").click()
    votes = inspector_of(phone).locator(".exchange-said", has_text="poll.vote")
    expect(votes.locator(".exchange-text")).to_have_text("You voted for “Mia” in “Poll: Mia, Sam”")
    (event,) = bot.call("GET", "/emulator/deliveries?event_type=poll.vote.added")["deliveries"]
    question = {"text": "Which barber?", "handler": "bot:greet", "result": "answered"}
    about = {name: event[name] for name in ("event_id", "event_type", "chat_id", "message_id")}
    turn = {"kind": "turn", "outcome": "acked", "started_at": event["created_at"], "question": question}
    bot.call("POST", "/emulator/observations", turn | about)
    expect(votes.locator(".exchange-text")).to_have_text("You voted for “Mia” in “Which barber?”")
    phone.locator(".poll-option", has_text="Mia").click()
    expect(votes.first.locator(".exchange-text")).to_have_text("You took back the vote for “Mia” in “Poll: Mia, Sam”")


def test_a_message_over_the_rate_limit_and_one_behind_it_count_down_in_both_views(browsing: Browsing, bot: Bot) -> None:
    subscribe(bot)
    bot.call("POST", "/emulator/faults", {"on": "delivery", "status": 200, "times": None})  # there is no receiver
    bot.call("POST", "/emulator/clock", {"freeze": True})
    try:
        first = bot.hear("first")
        bot.hear("second", chat_id=first["chat_id"])
        limit = "Linq allows 30 messages a minute from a line to a person"
        why = f"It is deferred: {limit}."
        report(bot, first, outcome="deferred", reason=limit, why=why, replies=0, duration_ms=0, retry_in_s=3600)
        phone = browsing.open()
        inspector, note = inspector_of(phone), phone.locator(".outcome-note")
        behind = f"It waits for an earlier message of this chat: {limit}. That one runs again in"
        for moved_s, left in ((0, "1 h"), (3000, "10 min")):
            bot.call("POST", "/emulator/clock", {"advance_s": moved_s})
            expect(inspector.get_by_text(f"{why} It runs again in {left}.")).to_be_visible()
            expect(inspector.get_by_text(f"{behind} {left}.")).to_be_visible()
            expect(note).to_have_text(f"{behind} {left}.")
    finally:
        bot.call("POST", "/emulator/clock", {"freeze": False})
    # The clock runs, and nothing else happens.
    expect(note).to_contain_text("9 min")


def test_a_message_that_no_handler_took_says_why_and_lists_the_handlers_tried(phone: Page, bot: Bot) -> None:
    subscribe(bot)
    ids = bot.hear("hi all", group=[FRIEND])
    tried = [{"handler": "bot:menu", "file": "bot.py", "line": 5, "filter": "text 'menu'", "fits": False}]
    not_handled = {"outcome": "not_handled", "handler": None, "file": None, "line": None, "replies": 0}
    why = "No handler took it: the message neither mentions the bot nor replies to it."
    report(bot, ids, tried=tried, why=why, **not_handled)
    exchange = inspector_of(phone).locator(".exchange.idle")
    expect(exchange.locator(".sentence")).to_have_text(why)
    exchange.locator("> summary").click()
    expect(exchange.locator(".tried li")).to_have_text("bot:menubot.py:5text 'menu'does not fit")


def test_calls_and_receipts_are_folded_under_the_message_that_caused_them(phone: Page, bot: Bot) -> None:
    subscribe(bot, "http://127.0.0.1:9/hook", "message.received", "message.sent", "message.read", "chat.created")
    ids = bot.hear("hello")
    bot.call("POST", f"/v3/chats/{ids['chat_id']}/read")
    bot.say(ids["chat_id"], "Hi!")
    report(bot, ids)
    exchanges = inspector_of(phone).locator(".exchange")
    exchange = exchanges.filter(has_text="hello")
    expect(exchange.locator(".exchange-said b")).to_have_text("You")
    expect(exchange.locator(".exchange-facts")).to_have_text("bot:greetbot.py:1212 ms1 reply")
    exchange.locator("> summary").click()
    expect(exchange.locator(".exchange-body > .traces > li")).to_have_count(2)
    call = exchange.locator(".exchange-body > .traces .trace.call", has_text="/messages")
    call.locator("summary").click()
    expect(call.get_by_label("Request")).to_contain_text('"value": "Hi!"')
    receipts = exchange.locator(".receipts")
    expect(receipts.locator(".traces")).to_be_hidden()
    receipts.locator("> summary").click()
    for name in ("chat.created", "message.sent", "/read"):
        expect(receipts.locator(".trace", has_text=name).first).to_be_visible()


def test_a_refused_delivery_says_why_and_shows_how_the_answer_begins(phone: Page, bot: Bot, served: Served) -> None:
    subscribe(bot, f"{served.url}/nowhere")
    bot.hear("hello?")
    exchange = inspector_of(phone).locator(".exchange.bad")
    why = "The receiver answered 405 Method Not Allowed."
    expect(exchange.locator(".sentence")).to_contain_text(f"Did not reach the bot. {why}")
    exchange.locator("> summary").click()
    exchange.locator(".trace.delivery summary").click()
    expect(exchange.locator(".attempts .reason").first).to_contain_text(why)
    expect(exchange.locator(".attempts pre")).to_contain_text("Method Not Allowed")


def test_a_call_whose_connection_broke_says_what_was_lost(phone: Page, bot: Bot) -> None:
    said = {
        "answer lost": ("answer", "Linq did what was asked. The answer below was lost on the way"),
        "request lost": ("request", "The request was lost on the way: Linq did nothing."),
        "closed, no answer": ("connection", "Linq did nothing, and closed the connection without an answer."),
    }
    ids = bot.hear("are you there?")
    for drop, _ in said.values():
        bot.call("POST", "/emulator/faults", {"on": "api", "drop": drop, "match": "chats.messages.send"})
        with contextlib.suppress(httpx.TransportError):
            bot.say(ids["chat_id"], "I am")
    inspector = inspector_of(phone)
    inspector.get_by_role("button", name="Calls").click()
    inspector.get_by_label("Failed only").check()
    calls = inspector.locator(".trace.call", has_text="/messages")
    expect(calls).to_have_count(len(said))
    for status, (_, words) in said.items():
        call = calls.filter(has_text=status)
        expect(call.locator(".code.bad")).to_have_text(status)
        call.locator("summary").click()
        expect(call.locator(".reason")).to_contain_text(words)
    phone.reload()
    inspector.get_by_role("button", name="Calls").click()
    expect(calls).to_have_count(len(said))
    for status in said:
        expect(calls.filter(has_text=status).locator(".code.bad")).to_have_text(status)


def test_a_webhook_unfolds_to_payload_headers_and_signature(phone: Page, bot: Bot) -> None:
    made = subscribe(bot)
    bot.hear("what do you look like?")
    exchange = inspector_of(phone).locator(".exchange", has_text="what do you look like?")
    open_rows(phone, exchange)
    expect(exchange.get_by_label("Payload")).to_contain_text('"value": "what do you look like?"')
    headers = exchange.locator(".headers")
    expect(headers).to_contain_text("webhook-signature")
    expect(headers).to_contain_text("v1,")
    assert made["signing_secret"] not in phone.content()


def test_search_and_filters_narrow_the_list(browsing: Browsing, bot: Bot) -> None:
    made = subscribe(bot)
    bot.hear("refused")
    phone = browsing.open()
    inspector = inspector_of(phone)
    expect(inspector.locator(".exchange.bad")).to_have_count(1)
    bot.call("DELETE", f"/v3/webhook-subscriptions/{made['id']}")
    ids = bot.hear("elsewhere", person=FRIEND)
    bot.say(ids["chat_id"], "a reply")
    search = inspector.get_by_label("Search the inspector")
    search.fill("REFUSED")
    expect(inspector.locator(".exchange")).to_have_count(1)
    search.fill("no such thing")
    expect(inspector.get_by_text("Nothing fits these filters.")).to_be_visible()
    search.fill("")
    inspector.get_by_label("Failed only").check()
    expect(inspector.locator(".exchange")).to_have_count(1)
    inspector.get_by_role("button", name="Webhooks").click()
    expect(inspector.locator(".traces.flat .trace.delivery")).to_have_count(1)
    expect(inspector.locator(".traces.flat .trace.call")).to_have_count(0)
    inspector.get_by_label("Failed only").uncheck()
    inspector.get_by_role("button", name="Calls").click()
    expect(inspector.locator(".traces.flat .trace.call", has_text="/messages")).to_have_count(1)
    phone.get_by_label("Message", exact=True).focus()
    inspector.get_by_label("This chat only").check()
    expect(inspector.locator(".traces.flat .trace.call", has_text="/messages")).to_have_count(0)


def test_a_bubble_leads_to_its_exchange_and_back_with_the_keyboard(browsing: Browsing, bot: Bot) -> None:
    subscribe(bot)
    ids = bot.hear("find me")
    for number in range(30):
        bot.hear(f"noise {number}")
    phone = browsing.open()
    bubble = phone.locator(f".msg[data-id='{ids['message_id']}']")
    bubble.locator(".inspect-button").focus()
    phone.keyboard.press("Enter")
    exchange = inspector_of(phone).locator(".exchange", has_text="find me")
    summary = exchange.locator("> summary")
    expect(summary).to_be_focused()
    expect(summary).to_be_in_viewport()
    expect(exchange).to_have_attribute("open", "")
    phone.keyboard.press("Tab")
    expect(exchange.get_by_role("button", name="Show on the phone")).to_be_focused()
    phone.keyboard.press("Enter")
    expect(bubble).to_be_focused()
    expect(bubble).to_be_in_viewport()


def test_what_is_open_stays_open_while_an_exchange_grows(phone: Page, bot: Bot) -> None:
    subscribe(bot)
    ids = bot.hear("grow")
    exchange = inspector_of(phone).locator(".exchange", has_text="grow")
    open_rows(phone, exchange)
    bot.say(ids["chat_id"], "a reply")
    expect(exchange.locator(".trace.call")).to_have_count(1)
    expect(exchange.locator(".trace.delivery .block").first).to_be_visible()


def test_many_records_are_shown_in_pages(browsing: Browsing, bot: Bot) -> None:
    for number in range(100):
        bot.http.get(f"/v3/nothing-{number}")
    page = browsing.open()
    for number in range(100, 130):
        bot.http.get(f"/v3/nothing-{number}")
    exchanges = inspector_of(page).locator(".exchange")
    expect(exchanges.first).to_contain_text("/v3/nothing-129")
    expect(exchanges).to_have_count(60)
    for count in (120, 130):
        inspector_of(page).get_by_role("button", name="Show").last.click()
        expect(exchanges).to_have_count(count)


def test_on_a_narrow_screen_the_inspector_fits_and_can_be_closed_below_the_banner(browsing: Browsing, bot: Bot) -> None:
    subscribe(bot)
    report(bot, bot.hear("x" * 300), outcome="dead_lettered", error=ERROR | {"code": "y" * 300})
    bot.call("POST", "/emulator/observations", {"kind": "bot", "status": "failed", "file": "bot.py", "line": 3})
    page = browsing.open(viewport=MOBILE)
    # The chat list has the same button, until the newest chat opens over it.
    expect(page.locator(".composer")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Show webhooks and calls").click()
    exchange = inspector_of(page).locator(".exchange", has_text="xxx")
    open_rows(page, exchange)
    assert page.evaluate("document.documentElement.scrollWidth") == MOBILE["width"]
    fits = "node => [...node.querySelectorAll('*')].every(one => one.getBoundingClientRect().right <= 391)"
    assert inspector_of(page).evaluate(fits)
    page.get_by_role("button", name="Close the inspector").click()
    expect(inspector_of(page)).to_be_hidden()
