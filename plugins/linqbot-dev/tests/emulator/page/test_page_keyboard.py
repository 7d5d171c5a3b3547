"""The phone with the keyboard only: the focus stays where the person is, whatever arrives, and comes back after each act."""

from __future__ import annotations

import pytest
from chromium_page import FRIEND, LINE, ME, MOBILE, Bot, Browsing, bubble, greet
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

THIRD = "+14155550199"
FOCUSED = "(node) => node.contains(document.activeElement) ? document.activeElement.outerHTML : null"


def back(phone: Page) -> None:
    button = phone.get_by_role("button", name="Back")
    button.focus()
    phone.keyboard.press("Enter")
    expect(phone.locator("#chat")).to_have_attribute("inert", "")


def press(button: Locator) -> None:
    button.focus()
    button.press("Enter")


def react_button(phone: Page, text: str) -> Locator:
    row = phone.locator(".row", has=phone.locator(".bubble", has_text=text))
    return row.get_by_role("button", name="React or reply")


def menu_of(phone: Page, text: str) -> Locator:
    """Open the menu of a message; return its button."""
    button = react_button(phone, text)
    press(button)
    expect(phone.get_by_role("dialog", name="Tapback")).to_be_visible()
    return button


# --- what arrives takes no focus away ---


def test_in_the_list_the_focus_stays_on_a_chat_and_on_a_search_hit(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.hear("hi all", group=[FRIEND])
    back(phone)
    expect(phone.locator(".chat-row", has_text="Hello!")).to_be_focused()  # the chat that was open
    bot.say(chat_id, "How are you?")
    fresh = phone.locator(".chat-row", has_text="How are you?")
    expect(fresh).to_be_focused()
    phone.keyboard.press("Enter")
    expect(phone.get_by_label("Message", exact=True)).to_be_focused()
    back(phone)
    phone.get_by_label("Search conversations and messages").fill("hello")
    hit = phone.locator(".hit", has_text="Hello!")
    hit.focus()
    bot.say(chat_id, "Hello to you")
    expect(phone.locator(".hit")).to_have_count(2)
    expect(hit).to_be_focused()


def test_the_focus_stays_in_a_message_when_it_changes(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    said = bot.say(chat_id, "How are you?")
    react = react_button(phone, "How are you")
    react.focus()
    bot.call("POST", f"/v3/messages/{said}/reactions", {"operation": "add", "type": "love"})
    expect(phone.locator(".tapback.love")).to_be_visible()
    expect(react).to_be_focused()
    bot.call("PATCH", f"/v3/messages/{said}", {"text": "How are you all?"})
    expect(bubble(phone, "How are you all?")).to_be_visible()
    expect(react).to_be_focused()


def test_the_focus_stays_in_the_bar_when_a_message_arrives(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bar = phone.locator(".chat-bar")
    for unread, (name, members) in enumerate({"Details of": [ME], "Back": [ME, THIRD]}.items(), start=1):
        button = bar.get_by_role("button", name=name)
        button.focus()
        bot.say(chat_id, f"How are you? {name}")
        bot.hear("Hello all", person=FRIEND, group=members)
        expect(bubble(phone, f"How are you? {name}")).to_be_visible()
        expect(bar.get_by_role("button", name=f"Back, {unread} unread conversations")).to_be_visible()
        expect(button).to_be_focused()


def test_what_is_typed_into_a_poll_stays_when_somebody_votes(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.ask(chat_id, "Pizza", "Sushi")
    field = phone.get_by_label("Add an option")
    field.focus()
    phone.keyboard.type("Salad")
    phone.keyboard.press("ArrowLeft")
    poll = bot.last()
    vote = {"from": ME, "message_id": poll["id"], "option_id": poll["poll"]["options"][0]["option_id"]}
    bot.call("POST", "/emulator/vote", vote | {"operation": "add"})
    expect(phone.locator(".poll-option").first).to_have_text("Pizza1")
    expect(field).to_be_focused()
    phone.keyboard.type("-")
    expect(field).to_have_value("Sala-d")
    phone.keyboard.press("Enter")
    expect(phone.locator(".poll-option")).to_have_text(["Pizza1", "Sushi0", "Sala-d0"])
    expect(field).to_have_value("")
    expect(field).to_be_focused()


# --- after an act, the focus is where the person goes on ---


def test_after_a_tapback_the_focus_is_on_the_message(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.say(chat_id, "How are you?")
    button = menu_of(phone, "How are you?")
    bot.say(chat_id, "Hello?")
    phone.keyboard.press("Enter")
    expect(phone.locator(".tapback.love.mine")).to_be_visible()
    expect(button).to_be_focused()
    menu_of(phone, "How are you?")
    phone.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_a_member_is_mentioned_with_the_keyboard_and_by_a_click(browsing: Browsing, bot: Bot) -> None:
    ids = bot.hear("hi all", group=[FRIEND, THIRD])
    phone = browsing.open()
    expect(bubble(phone, "hi all")).to_be_visible()
    field = phone.get_by_label("Message", exact=True)
    field.press_sequentially("@")
    choices = phone.get_by_role("group", name="People to mention").get_by_role("button")
    expect(choices).to_have_count(3)
    expect(phone.get_by_role("status").filter(has_text="Press the up arrow")).to_have_count(1)
    phone.keyboard.press("ArrowUp")
    phone.keyboard.press("ArrowRight")
    expect(choices.nth(1)).to_be_focused()
    bot.call("POST", "/emulator/typing", {"from": FRIEND, "chat_id": ids["chat_id"], "state": "started"})
    expect(phone.get_by_role("status", name="is typing")).to_be_visible()
    expect(choices.nth(1)).to_be_focused()
    chosen = choices.nth(1).inner_text()
    phone.keyboard.press("Enter")
    expect(field).to_be_focused()
    expect(field).to_have_value(f"@{chosen} ")
    phone.keyboard.type("@")
    phone.keyboard.press("ArrowUp")
    phone.keyboard.press("Escape")
    expect(field).to_be_focused()
    field.fill("🎂 ")
    field.press_sequentially("@you")
    phone.get_by_role("button", name="Your bot", exact=True).click()
    phone.keyboard.type("help")
    phone.keyboard.press("Enter")
    expect(phone.locator(".msg.own .mention")).to_have_text("@Your bot")
    (mention,) = bot.last()["parts"][0]["mentions"]
    assert (mention["handle"], mention["range"]) == (LINE, [3, 12])


def test_the_arrows_move_in_a_menu(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    press(phone.get_by_role("button", name="Attach", exact=True))
    entries = phone.get_by_role("menuitem")
    expect(entries.first).to_be_focused()
    phone.keyboard.press("ArrowUp")
    expect(entries.last).to_be_focused()
    phone.keyboard.press("ArrowDown")
    phone.keyboard.press("ArrowDown")
    expect(entries.nth(1)).to_be_focused()
    phone.keyboard.press("Escape")
    expect(phone.get_by_role("button", name="Attach", exact=True)).to_be_focused()


# --- the transcript has one tab stop ---


def test_the_transcript_is_one_tab_stop_with_arrows_among_its_messages_and_their_buttons(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    for number in range(3):
        bot.say(chat_id, f"Course {number}: https://menu.example/")
    bot.ask(chat_id, "Pizza", "Sushi")
    field, messages = phone.get_by_label("Message", exact=True), phone.locator(".log > .msg")
    expect(messages).to_have_count(5)
    tools = phone.locator(".chat-bar button:visible")
    tools.last.focus()
    for key, reached in (
        ("Tab", messages.last),
        ("Tab", phone.get_by_role("button", name="Attach", exact=True)),
        ("Shift+Tab", messages.last),
        ("ArrowUp", messages.nth(3)),
        ("ArrowRight", messages.nth(3).get_by_role("link")),
        ("ArrowRight", messages.nth(3).get_by_role("button", name="React or reply")),
        ("ArrowRight", messages.nth(3).get_by_role("button", name="Show in the inspector")),
        ("ArrowUp", messages.nth(2)),
        ("Home", messages.first),
        ("ArrowUp", messages.first),
        ("ArrowLeft", messages.first),
        ("End", messages.last),
        ("ArrowRight", phone.get_by_role("button", name="Pizza")),
        ("Tab", phone.get_by_role("button", name="Attach", exact=True)),
        ("Shift+Tab", messages.last),
        ("Escape", field),
    ):
        phone.keyboard.press(key)
        expect(reached).to_be_focused()
    messages.first.focus()
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("dialog", name="Tapback")).to_be_visible()
    phone.keyboard.press("Escape")
    expect(messages.first).to_be_focused()
    phone.keyboard.press("Shift+Tab")
    expect(tools.last).to_be_focused()


def test_what_arrives_leaves_a_person_the_focus_and_the_place_in_the_transcript(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    said = bot.say(chat_id, "Soup?")
    soup = phone.locator(".msg", has_text="Soup")
    soup.focus()
    bot.call("PATCH", f"/v3/messages/{said}", {"text": "Soup or salad?"})
    bot.say(chat_id, "Hurry: https://menu.example/")
    expect(phone.locator(".msg", has_text="Hurry")).to_be_visible()
    expect(soup).to_contain_text("salad")
    expect(soup).to_be_focused()
    phone.keyboard.press("Tab")
    expect(phone.get_by_role("button", name="Attach", exact=True)).to_be_focused()


def test_escape_closes_a_panel_but_first_clears_its_search(browsing: Browsing, bot: Bot) -> None:
    phone = browsing.open(viewport=MOBILE)
    greet(phone, bot)
    for panel, name in (("Inspector", "Show webhooks and calls"), ("Time and faults", "Time and faults")):
        opener = phone.locator(".chat-bar").get_by_role("button", name=name)
        press(opener)
        shown = phone.get_by_role("complementary", name=panel)
        expect(shown).to_be_visible()
        if panel == "Inspector":
            search = shown.get_by_role("searchbox")
            search.fill("soup")
            phone.keyboard.press("Escape")
            expect(search).to_have_value("")
            expect(shown).to_be_visible()
        phone.keyboard.press("Escape")
        expect(shown).to_be_hidden()
        expect(opener).to_be_focused()


def test_the_tab_key_stays_in_an_open_dialog(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    press(phone.get_by_role("button", name="Details"))
    dialog = phone.get_by_role("dialog", name="Details")
    expect(dialog).to_be_visible()
    for key in ("Tab", "Shift+Tab"):
        reached: list[str | None] = []
        # Until the focus is where it was after the first press: it has gone around.
        while len(reached) < 2 or reached[0] != reached[-1]:
            phone.keyboard.press(key)
            reached.append(dialog.evaluate(FOCUSED))
            assert None not in reached, key
            assert len(reached) < 60, key
        assert len(reached) > 2, key
