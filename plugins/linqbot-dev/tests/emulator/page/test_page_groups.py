"""Groups on the phone: who came and went, and what is left to a person who has left."""

from __future__ import annotations

import re

import pytest
from chromium_page import DESKTOP, FRIEND, LINE, ME, Bot, Browsing, bubble, write
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_person_who_has_left_can_only_copy_gets_no_more_and_reports_no_read(browsing: Browsing, bot: Bot) -> None:
    chat_id = bot.hear("hi all", group=[FRIEND])["chat_id"]
    phone = browsing.open()
    with phone.expect_response("**/emulator/read"):  # which would be refused after the person has left
        bot.say(chat_id, "Welcome")
    phone.get_by_role("button", name="Details of").click()
    phone.get_by_role("button", name="Leave this Conversation").click()
    expect(phone.get_by_text("You are no longer in this conversation.")).to_be_visible()
    expect(phone.get_by_label("Message", exact=True)).to_be_hidden()
    bubble(phone, "Welcome").dblclick()
    expect(phone.get_by_role("menuitem")).to_have_text(["Copy"])
    expect(phone.get_by_role("button", name="Love")).to_have_count(0)
    expect(phone.get_by_role("menuitem", name="Copy")).to_be_focused()

    reads: list[str] = []
    phone.on("request", lambda request: reads.append(request.url) if request.url.endswith("/read") else None)
    bot.say(chat_id, "Who has left?")
    bot.hear("You know", person=FRIEND, chat_id=chat_id)
    phone.reload()
    expect(bubble(phone, "Welcome")).to_be_visible()
    expect(phone.locator(".msg .bubble")).to_have_text(["hi all", "Welcome"])
    phone.get_by_role("button", name="Back").click()
    expect(phone.locator(".chat-row .chat-preview")).to_have_text("Your bot: Welcome")
    assert reads == []
    bot.call("POST", "/emulator/join", {"from": FRIEND, "chat_id": chat_id, "handle": ME})
    phone.locator(".chat-row").click()
    expect(phone.get_by_text("+1 415 555 0187 added you to the conversation.")).to_be_visible()
    bot.say(chat_id, "Welcome back")
    expect(phone.locator(".msg .bubble")).to_have_text(["hi all", "Welcome", "Welcome back"])


def test_the_transcript_says_who_came_and_went_and_what_was_renamed(browsing: Browsing, bot: Bot) -> None:
    chat_id = bot.hear("hi all", group=[FRIEND])["chat_id"]
    phone = browsing.open()
    bot.call("PUT", f"/v3/chats/{chat_id}", {"display_name": "Cake"})
    bot.say(chat_id, "Bring plates")
    bot.call("POST", "/emulator/leave", {"from": FRIEND, "chat_id": chat_id})
    bot.call("POST", "/emulator/join", {"from": ME, "chat_id": chat_id, "handle": FRIEND})
    named, plates = "Your bot named the conversation “Cake”.", re.compile("Bring plates")
    changes = ["+1 415 555 0187 left the conversation.", "You added +1 415 555 0187 to the conversation."]
    expect(phone.locator(".log > .msg, .log > .system")).to_have_text(["hi all", named, plates, *changes])


def test_a_person_who_has_left_sees_a_poll_and_cannot_vote(phone: Page, bot: Bot) -> None:
    chat_id = bot.hear("hi all", group=[FRIEND])["chat_id"]
    bot.ask(chat_id, "Cake", "Tea")
    with phone.expect_response("**/emulator/read"):  # which would be refused after the person has left
        phone.reload()
    option = phone.get_by_role("button", name="Cake")
    expect(option).to_be_enabled()
    bot.call("POST", "/emulator/leave", {"from": ME, "chat_id": chat_id})
    expect(option).to_be_disabled()
    expect(phone.get_by_label("Add an option")).to_have_count(0)


def test_a_person_cannot_write_to_a_bot_that_is_gone_until_it_is_back(browsing: Browsing, bot: Bot) -> None:
    chat_id = bot.hear("hi all", group=[FRIEND])["chat_id"]
    phone = browsing.open()
    bot.call("POST", "/emulator/leave", {"from": FRIEND, "chat_id": chat_id, "handle": LINE})
    expect(phone.get_by_text("Your bot is no longer in this conversation.")).to_be_visible()
    expect(phone.get_by_label("Message", exact=True)).to_be_hidden()
    phone.get_by_role("button", name="Details of").click()
    phone.get_by_label("Handle of the person to add").fill(LINE)
    phone.keyboard.press("Enter")
    expect(phone.get_by_text("You added Your bot to the conversation.")).to_be_attached()
    phone.get_by_role("button", name="Close", exact=True).click()
    write(phone, "Welcome back")
    expect(bubble(phone, "Welcome back")).to_be_visible()


def test_on_a_narrow_phone_the_bar_of_a_group_keeps_its_buttons(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi all", group=[FRIEND, "+14155550188"])
    phone = browsing.open(viewport={"width": 320, "height": 640})
    for button in phone.locator(".chat-bar").get_by_role("button").all():
        expect(button).to_be_in_viewport(ratio=1)


def test_a_long_address_of_a_person_leaves_the_buttons_of_the_list_on_the_phone(browsing: Browsing, bot: Bot) -> None:
    for width in (320, DESKTOP["width"]):
        phone = browsing.open(
            "/?as=maximilian.mustermann%40example-company.com", viewport={"width": width, "height": 900}
        )
        phone.get_by_role("button", name="Back").click()
        expect(phone.get_by_role("button", name="New message")).to_be_in_viewport(ratio=1)
