"""The phone beyond writing: services, polls, stickers, voice memos, payments, groups, people, long chats."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from chromium_page import FRIEND, LINE, ME, MOBILE, PIXEL, Bot, Browsing, bubble, greet, unlimited_press, write
from playwright.sync_api import FilePayload, Locator, Page, expect

pytestmark = pytest.mark.browser

THIRD = "+14155550199"
WIDE = {"width": 1500, "height": 900}
PICTURE = FilePayload(name="cat.png", mimeType="image/png", buffer=base64.b64decode(PIXEL))


def attach(phone: Page, what: str) -> None:
    phone.get_by_role("button", name="Attach", exact=True).click()
    phone.get_by_role("menuitem", name=what).click()


def details(phone: Page) -> None:
    phone.get_by_role("button", name="Details of").click()


def menu(phone: Page, text: str, entry: str) -> None:
    bubble(phone, text).dblclick()
    phone.get_by_role("menuitem", name=entry).click()


# --- services and handles ---


def start(phone: Page, service: str) -> None:
    """Begin a new message over a service."""
    phone.get_by_role("button", name="Back", exact=True).click()
    phone.get_by_role("button", name="New message").click()
    phone.locator(".choices.service").get_by_text(service, exact=True).click()


def test_sms_to_a_known_line_says_what_happens_and_then_is_sms(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    start(phone, "iMessage")
    expect(phone.locator(".new-chat .hint")).to_be_hidden()  # the same service needs no explanation
    phone.locator(".choices.service").get_by_text("SMS", exact=True).click()
    expect(phone.locator(".new-chat .hint")).to_contain_text("Linq has one chat for each person and line")
    phone.get_by_role("button", name="Start").click()
    expect(phone.locator(".log .system")).to_contain_text("changes it from iMessage to SMS")
    expect(phone.get_by_role("button", name="Send with effect")).to_be_hidden()
    write(phone, "Green")
    expect(phone.locator(".msg.own.sms .bubble")).to_have_text("Green")
    expect(phone.locator(".msg.own.sms .bubble")).to_have_css("--fill-colour", "#2fc252")
    expect(phone.locator(".msg.own.imessage .bubble")).to_have_text("Hello!")
    expect(phone.locator(".log .system")).to_have_count(0)
    (chat,) = bot.chats
    assert (chat["id"], chat["service"]) == (chat_id, "SMS")
    phone.get_by_role("button", name="Attach", exact=True).click()
    expect(phone.get_by_role("menuitem")).to_have_text(["Photos and Videos", "Files", "Voice Memo", "Contact Card"])
    phone.keyboard.press("Escape")
    phone.get_by_role("button", name="Back", exact=True).click()
    expect(phone.locator(".chat-row .service-tag")).to_have_text("SMS")


def test_an_e_mail_address_is_a_handle_and_what_cannot_be_one_is_refused_with_the_reason(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.get_by_role("button", name="You are").first.click()
    field = phone.get_by_label("Phone number or e-mail address").first
    for handle, reason in (("cat@", "or an e-mail address"), (LINE, "a phone belongs to a person")):
        field.fill(handle)
        field.press("Enter")
        expect(phone.get_by_role("alert")).to_contain_text(reason)
    phone.get_by_label("Name", exact=True).first.click()
    expect(phone.get_by_role("alert")).to_be_hidden()
    field.fill("Cat@Example.com")
    field.press("Enter")
    expect(phone.get_by_role("button", name="You are cat@example.com").first).to_be_visible()
    write(phone, "Meow")
    expect(phone.locator(".msg.own .bubble")).to_have_text("Meow")
    assert bot.chats[-1]["handles"][1]["handle"] == "cat@example.com"
    phone.get_by_role("button", name="Back", exact=True).click()
    phone.get_by_role("button", name="New message").click()
    for handle, reason in (("cat@example.com", "You are in the group already"), (LINE, "number of the bot")):
        phone.get_by_label("Add a person to the group").fill(handle)
        phone.keyboard.press("Enter")
        expect(phone.get_by_role("alert")).to_contain_text(reason)


# --- what can be attached ---


def test_a_poll_is_made_extended_voted_and_gets_a_tapback(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    attach(phone, "Poll")
    phone.get_by_label("Option 1").fill("Pizza")
    phone.get_by_role("button", name="Send", exact=True).last.click()
    expect(phone.get_by_role("alert")).to_contain_text("at least two options")
    phone.get_by_label("Option 2").fill("Sushi")
    phone.get_by_role("button", name="Send", exact=True).last.click()
    options = phone.locator(".poll-option")
    expect(options).to_have_text(["Pizza0", "Sushi0"])
    phone.get_by_label("Add an option").fill("Salad")
    phone.keyboard.press("Enter")
    expect(options).to_have_text(["Pizza0", "Sushi0", "Salad0"])
    options.last.click()
    expect(options).to_have_text(["Pizza0", "Sushi0", "Salad1"])
    expect(options.last).to_have_attribute("aria-pressed", "true")
    options.last.click()
    expect(options).to_have_text(["Pizza0", "Sushi0", "Salad0"])
    phone.locator(".poll > small").first.dblclick()
    phone.get_by_role("button", name="Love").click()
    expect(phone.locator(".msg .tapback.love.mine")).to_be_visible()
    assert bot.last()["poll"]["reactions"][0]["type"] == "love"
    assert [one["text"] for one in bot.last()["poll"]["options"]] == ["Pizza", "Sushi", "Salad"]


def test_a_sticker_is_dropped_onto_a_bubble_where_the_pointer_is(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.say(chat_id, "A message that is wide enough to have a middle")
    attach(phone, "Stickers")
    phone.get_by_role("button", name="Sticker love").hover()  # waits until the tray has risen
    phone.mouse.down()
    for _ in range(2):  # the receipt of the message above may move the bubble in between
        target = bubble(phone, "wide enough").bounding_box()
        assert target is not None
        phone.mouse.move(target["x"] + target["width"] / 2, target["y"] + target["height"] / 2, steps=5)
        expect(phone.locator(".sticker-ghost")).to_be_visible()
    phone.mouse.up()
    expect(phone.locator(".msg.other .placed-sticker img")).to_be_visible()
    expect(phone.locator(".sticker-ghost")).to_have_count(0)
    (reaction,) = bot.last()["parts"][0]["reactions"]
    assert (reaction["type"], reaction["sticker"]["mime_type"]) == ("sticker", "image/png")
    assert abs(reaction["placement"]["x"]) < 0.1
    assert abs(reaction["placement"]["y"]) < 0.2
    sticker = phone.locator(".msg.other .placed-sticker")
    place = sticker.get_attribute("style")
    phone.reload()
    expect(sticker).to_have_attribute("style", place or "")


def test_an_own_picture_becomes_a_sticker_by_keyboard(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    menu(phone, "Hello!", "Add Sticker")
    phone.get_by_label("Picture for a sticker").set_input_files(PICTURE)
    own = phone.get_by_role("button", name="Sticker cat.png")
    own.focus()
    phone.keyboard.press("Enter")
    expect(phone.locator(".msg.own .placed-sticker img")).to_be_attached()
    assert bot.last()["parts"][0]["reactions"][0]["sticker"]["file_name"] == "cat.png"


def test_a_voice_memo_is_recorded_and_sent_and_a_cancelled_one_leaves_nothing(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    attach(phone, "Voice Memo")
    phone.get_by_role("dialog", name="Recording").get_by_role("button", name="Cancel").click()
    expect(phone.locator(".recorder")).to_have_count(0)
    expect(phone.locator(".attachment")).to_have_count(0)
    attach(phone, "Voice Memo")
    expect(phone.get_by_role("timer")).to_have_text(re.compile(r"^0:(0[1-9]|[1-5]\d)$"))
    phone.get_by_role("button", name="Stop recording").click()
    expect(phone.locator(".attachment audio")).to_be_visible()
    phone.get_by_role("button", name="Send", exact=True).click()
    expect(phone.get_by_role("button", name="Play audio message")).to_be_visible()
    part = bot.last()["parts"][0]
    assert part["mime_type"].startswith("audio/")
    assert part["size_bytes"] > 100


def test_a_contact_card_is_shared_or_attached(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    attach(phone, "Contact Card")
    phone.get_by_label("First name").fill("Ada")
    phone.get_by_label("Last name").fill("Lovelace")
    phone.get_by_role("button", name="Share Name with the Bot").click()
    expect(phone.get_by_role("dialog")).to_have_count(0)  # it stays if the card is refused
    attach(phone, "Contact Card")
    phone.get_by_label("First name").fill("Ada")
    phone.get_by_role("button", name="Attach as a File").click()
    phone.get_by_role("button", name="Send", exact=True).click()
    card = phone.locator(".msg.own .contact-card")
    expect(card).to_contain_text("+1 415 555 0142")
    card.click()
    expect(phone.get_by_role("dialog", name="Ada")).to_contain_text("+1 415 555 0142")


def test_a_location_that_the_bot_asks_for_is_refused_then_shared_moved_and_stopped(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    strip = phone.locator(".strip")
    bot.call("POST", f"/v3/chats/{chat_id}/location/request")
    strip.get_by_role("button", name="Not Now").click()
    expect(strip).to_be_empty()
    bot.call("POST", "/emulator/clock", {"advance_s": 61})  # Linq takes one request a minute
    bot.call("POST", f"/v3/chats/{chat_id}/location/request")
    expect(strip).to_contain_text("asks for your location")
    strip.get_by_role("button", name="Share").click()
    phone.get_by_role("button", name="Berlin").click()
    phone.get_by_role("dialog").get_by_role("button", name="Share").click()
    expect(strip).to_contain_text("52.520, 13.405")
    strip.get_by_role("button", name="Move").click()
    phone.get_by_label("Latitude").fill("-1.5")
    phone.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(strip).to_contain_text("-1.500")
    (feature,) = bot.call("GET", f"/v3/chats/{chat_id}/location")["data"]["features"]
    assert feature["geometry"]["coordinates"] == [13.405, -1.5]
    strip.get_by_role("button", name="Stop").click()
    expect(strip).to_be_empty()


# --- cards ---


def test_a_payment_request_is_declined_then_paid(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    asked = bot.call("POST", "/v3/payment_requests", {"amount": 4250, "currency": "usd", "description": "Dinner"})
    bot.say(chat_id, f"Please pay at {asked['checkout_url']} today")
    expect(bubble(phone, "Please pay at")).to_be_visible()
    card = phone.locator(".msg.other .payment")  # under the text
    expect(card).to_contain_text("$42.50")
    card.get_by_role("button", name="Decline").click()
    expect(card.locator(".payment-status")).to_have_text("Declined")
    card.get_by_role("button", name="Pay").click()
    expect(card.locator(".payment-status")).to_have_text("Paid")
    expect(card.get_by_role("button")).to_have_count(0)
    assert bot.call("GET", f"/v3/payment_requests/{asked['id']}")["status"] == "succeeded"


def test_a_payment_request_in_the_card_of_an_app_is_paid(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    asked = bot.call("POST", "/v3/payment_requests", {"amount": 950, "currency": "usd", "description": "Cake"})
    params = {"checkout_url": asked["checkout_url"], "title": "Cake", "note": "$9.50"}
    # As ctx.pay sends it over iMessage.
    experience = {"name": "agentpay", "action": "request_payment", "params": params}
    bot.call("POST", f"/v3/chats/{chat_id}/messages", {"message": {"experience": experience}})
    card = phone.locator(".msg.other .payment")
    expect(card).to_contain_text("Cake")
    card.get_by_role("button", name="Pay").click()
    expect(card.locator(".payment-status")).to_have_text("Paid")
    assert bot.call("GET", f"/v3/payment_requests/{asked['id']}")["status"] == "succeeded"


def test_a_charge_is_connected_and_approved_in_the_details(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    charge = {"handle": ME, "amount_cents": 700, "currency": "usd", "merchant": {"name": "Bistro"}}
    made = bot.call("POST", "/v3/payments", charge, headers={"idempotency-key": "k1"})
    details(phone)
    card = phone.locator(".details .payment")
    expect(card).to_contain_text("Bistro")
    with phone.expect_response("**/emulator/connect"):
        card.get_by_role("button", name="Connect").click()
    bot.call("POST", "/v3/payments", charge, headers={"idempotency-key": "k1"})  # advances the payment
    card.get_by_role("button", name="Pay").click()
    expect(card.locator(".payment-status")).to_have_text("Authorized")
    assert bot.call("GET", f"/v3/payments/{made['id']}")["status"] == "authorized"


def test_an_app_card_shows_the_captions_of_both_sides(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    layout = {"caption": "Chess", "trailing_caption": "Your move", "subcaption": "Round 2"}
    app = {"team_id": "ABCDE12345", "bundle_id": "com.example.chess", "name": "Chess Club"}
    bot.say(chat_id, {"type": "imessage_app", "app": app, "layout": layout, "url": "https://example.com/game"})
    card = phone.locator(".msg.other a.card")
    for text in ("Chess", "Your move", "Round 2", "Chess Club"):
        expect(card.get_by_text(text, exact=True)).to_be_visible()


# --- editing, undoing, threads ---


def test_the_texts_before_each_edit_can_be_read(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    for text in ("Hello all", "Hello everybody"):
        menu(phone, "Hello", "Edit")
        write(phone, text)
        expect(bubble(phone, text)).to_be_visible()
    expect(phone.get_by_role("list", name="Earlier texts")).to_be_hidden()
    phone.get_by_role("button", name="Edited").click()
    texts = phone.get_by_role("list", name="Earlier texts").locator("li > span")
    expect(texts).to_have_text(["Hello!", "Hello all"])


def test_an_edit_sets_the_draft_aside_and_gives_it_back(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    field = phone.get_by_label("Message", exact=True)
    field.fill("Half a thought")
    menu(phone, "Hello", "Edit")
    expect(field).to_have_value("Hello!")
    phone.get_by_role("button", name="Cancel edit").click()
    expect(field).to_have_value("Half a thought")
    menu(phone, "Hello", "Edit")
    field.fill("Hello all")
    menu(phone, "Hello", "Reply")
    expect(field).to_have_value("Half a thought")
    field.press("Escape")
    menu(phone, "Hello", "Edit")
    write(phone, "Hello all")
    expect(bubble(phone, "Hello all")).to_be_visible()
    expect(field).to_have_value("Half a thought")


def test_undo_send_hides_the_message_and_says_that_the_bot_keeps_it(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    menu(phone, "Hello!", "Undo Send")
    note = "You unsent a message. The bot still has it: Linq has no event for this."
    expect(phone.locator(".unsent")).to_have_text(note)
    expect(phone.locator(".msg.own")).to_have_count(0)
    phone.reload()
    expect(phone.locator(".unsent")).to_be_visible()
    assert bot.last()["parts"][0]["value"] == "Hello!"


def test_a_thread_opens_by_itself_and_takes_a_reply(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    root = bot.say(chat_id, "Tea or coffee?")
    bot.say(chat_id, "Something else")
    bot.hear("Tea", chat_id=chat_id, reply_to=root)
    phone.get_by_role("button", name="1 Reply").click()
    thread = phone.get_by_role("dialog", name="Thread")
    expect(thread.locator(".bubble")).to_have_text(["Tea or coffee?", "Tea"])
    thread.get_by_label("Reply in this thread").fill("With milk")
    phone.keyboard.press("Enter")
    expect(thread.locator(".bubble")).to_have_text(["Tea or coffee?", "Tea", "With milk"])
    expect(thread.get_by_label("Reply in this thread")).to_be_focused()
    assert bot.last()["reply_to"]["message_id"] == root
    phone.keyboard.press("Escape")
    expect(thread).to_have_count(0)
    expect(phone.get_by_role("button", name="2 Replies")).to_be_focused()


def test_the_selected_text_gets_a_style_and_an_animation(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    field = phone.get_by_label("Message", exact=True)
    field.fill("big cake now")
    phone.get_by_role("button", name="Format text").click()
    field.evaluate("field => field.setSelectionRange(4, 8)")
    phone.get_by_role("button", name="Bold").click()
    expect(phone.get_by_label("Preview").locator(".style-bold")).to_have_text("cake")
    field.evaluate("field => field.setSelectionRange(0, 3)")
    phone.get_by_role("button", name="Shake").click()
    field.press("Enter")
    expect(phone.locator(".msg.own .style-bold")).to_have_text("cake")
    expect(phone.locator(".msg.own .animated.shake")).to_have_text("big")
    assert bot.last()["parts"][0]["text_decorations"] == [
        {"range": [0, 3], "animation": "shake"},
        {"range": [4, 8], "style": "bold"},
    ]


# --- details ---


def test_a_group_is_named_gets_an_icon_and_loses_a_member(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi all", group=[FRIEND, THIRD])
    phone = browsing.open()
    expect(phone.locator(".who-name")).to_have_text("+1 415 555 0187 & +1 415 555 0199")
    details(phone)
    phone.get_by_label("Group name").fill("Cake")
    phone.get_by_role("button", name="Rename").click()
    expect(phone.get_by_role("heading", name="Cake").first).to_be_visible()
    phone.get_by_label("Group Icon: file").set_input_files(PICTURE)
    expect(phone.locator(".details .greeting .avatar img")).to_be_visible()
    phone.get_by_role("button", name="Remove +1 415 555 0199").click()
    expect(phone.locator(".members .gone")).to_contain_text("Removed")
    (chat,) = bot.chats
    assert (chat["display_name"], chat["handles"][-1]["status"]) == ("Cake", "removed")


def test_a_background_is_chosen_shown_and_taken_away(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    details(phone)
    phone.get_by_role("button", name="sky sunset").click()
    expect(phone.locator("#chat")).to_have_attribute("data-background", "dynamic-sky-sunset")
    expect(phone.get_by_role("button", name="sky sunset")).to_be_focused()
    assert bot.chats[0]["background"]["style"] == "sky"
    phone.get_by_label("Photo: file").set_input_files(PICTURE)
    expect(phone.locator("#chat")).to_have_css("background-image", re.compile(r'url\(".*/attachments/.*cat\.png"\)'))
    phone.get_by_role("button", name="No Background").click()
    expect(phone.locator("#chat")).not_to_have_attribute("data-background", re.compile(".*"))
    phone.keyboard.press("Escape")
    expect(phone.get_by_role("dialog", name="Details")).to_have_count(0)


# --- people, drafts, search ---


def test_two_phones_side_by_side_write_to_each_other(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi", group=[FRIEND])
    phone = browsing.open(viewport=WIDE)
    phone.get_by_role("button", name="Second phone").click()
    second = phone.frame_locator("iframe.second")
    expect(second.locator(".island")).to_have_text("+1 415 555 0187")
    field = second.get_by_label("Message", exact=True)
    field.fill("From the second phone")
    field.press("Enter")
    expect(phone.locator(".msg.other .bubble")).to_have_text("From the second phone")
    expect(second.locator(".msg.own .bubble")).to_have_text("From the second phone")
    assert bot.last()["from_handle"]["handle"] == FRIEND
    phone.reload()
    expect(phone.get_by_role("button", name="You are +1 415 555 0142").first).to_be_visible()


def test_a_press_is_a_click_whatever_arrives_meanwhile_and_the_draft_outlives_a_reload(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    phone.get_by_label("Message", exact=True).fill("Half a thought")
    phone.get_by_role("button", name="Back", exact=True).hover()
    with unlimited_press(phone):
        phone.mouse.down()
        bot.say(chat_id, "news")
        phone.wait_for_timeout(300)  # the news have arrived
        expect(phone.locator(".msg", has_text="news")).to_have_count(0)
    phone.mouse.up()
    expect(phone.locator(".chat-row")).to_contain_text("Draft: Half a thought")
    phone.reload()
    phone.locator(".chat-row").click()
    expect(phone.get_by_label("Message", exact=True)).to_have_value("Half a thought")


# --- the end of a chat ---


def test_the_end_stays_in_view_when_a_picture_grows_until_the_person_scrolls_up(browsing: Browsing, bot: Bot) -> None:
    chat_id = bot.hear("message 0")["chat_id"]
    for number in range(1, 30):
        bot.hear(f"message {number}", chat_id=chat_id)
    phone = browsing.open()
    scroller, grown = phone.locator(".transcript"), bubble(phone, "message 29")
    expect(grown).to_be_in_viewport()
    # The picture has its size after the page has scrolled to its message, and before the page hears of this scroll.
    scroller.evaluate(
        "(node, bubble) => node.addEventListener('scroll', () => { bubble.style.height = '400px' }, "
        "{ capture: true, once: true })",
        grown.element_handle(),
    )
    bot.say(chat_id, "the last")
    at_end = "() => { const { scrollHeight, scrollTop, clientHeight } = document.querySelector('.transcript');"
    at_end += "return document.querySelector('.log > :last-child').innerText.includes('the last') && "
    at_end += "scrollHeight > 400 + clientHeight && scrollHeight - scrollTop - clientHeight < 2; }"
    phone.wait_for_function(at_end)
    expect(grown).to_have_css("height", "400px")
    scroller.evaluate(
        "node => new Promise((heard) => { node.addEventListener('scroll', heard, { once: true }); "
        "node.scrollTop -= 150; }).then(() => undefined)"
    )
    place = scroller.evaluate("node => node.scrollTop")
    bot.say(chat_id, "later")
    expect(bubble(phone, "later")).to_be_attached()
    assert scroller.evaluate("node => node.scrollTop") == place


# --- a long chat ---


def long_chat(count: int) -> dict[str, Any]:
    """Return a saved state with one direct chat of `count` messages."""
    chat_id = "11111111-1111-4111-8111-111111111111"
    handles = [{"handle": LINE, "is_me": True}, {"handle": ME}]
    senders: list[dict[str, Any]] = [
        {"from": LINE, "is_from_me": True, "delivery_status": "read"},
        *[{"from": ME, "is_from_me": False, "delivery_status": "received"}] * 2,
    ]
    messages = [
        {
            "chat_id": chat_id,
            "parts": [{"type": "text", "value": f"message {i}"}],
            "created_at": f"2026-01-{1 + i // 480:02}T{i // 20 % 24:02}:{i % 20 * 3:02}:00Z",
            **senders[i % 3],
        }
        for i in range(count)
    ]
    lines = [{"phone_number": LINE}]
    return {"phone_numbers": lines, "chats": [{"id": chat_id, "handles": handles}], "messages": messages}


def test_a_long_chat_has_few_elements_wherever_it_is_scrolled_or_searched(browsing: Browsing, bot: Bot) -> None:
    bot.call("POST", "/emulator/reset", {"seed": long_chat(2000)})
    phone = browsing.open()
    expect(bubble(phone, "message 1999")).to_be_in_viewport()
    shown, scroller = phone.locator(".log > *"), phone.locator(".transcript")
    assert shown.count() < 200
    for _ in range(12):
        scroller.evaluate("node => { node.scrollTop = 0; }")
        phone.wait_for_function("() => document.querySelector('.transcript').scrollTop > 0")
    assert shown.count() < 600
    assert phone.locator("*").count() < 6000
    expect(bubble(phone, "message 1999")).to_have_count(0)
    write(phone, "back at the end")
    expect(bubble(phone, "back at the end")).to_be_in_viewport()
    assert shown.count() < 200
    phone.get_by_role("button", name="Back", exact=True).click()
    phone.get_by_label("Search conversations and messages").fill("message 1234")
    phone.locator(".hit").click()
    expect(bubble(phone, "message 1234")).to_be_in_viewport()
    assert shown.count() < 300


def test_the_message_in_view_stays_where_it_is_while_earlier_ones_are_added(browsing: Browsing, bot: Bot) -> None:
    bot.call("POST", "/emulator/reset", {"seed": long_chat(1000)})
    phone = browsing.open()
    expect(bubble(phone, "message 999")).to_be_in_viewport()
    place = """() => {
        const top = document.querySelector('.transcript').getBoundingClientRect().top;
        const seen = [...document.querySelectorAll('.log > article')].find(
            (node) => node.getBoundingClientRect().top >= top);
        return [seen.dataset.id, seen.getBoundingClientRect().top - top];
    }"""
    phone.locator(".transcript").evaluate(
        "node => new Promise((noticed) => { node.addEventListener('scroll', noticed, { once: true }); node.scrollTop = 700; })"
        ".then(() => undefined)"
    )
    seen, before = phone.evaluate(place)
    phone.get_by_role("button", name="Earlier messages").evaluate("button => button.click()")
    after = phone.evaluate(
        'id => { const node = document.querySelector(`.log [data-id="${id}"]`);'
        "return node.getBoundingClientRect().top - document.querySelector('.transcript').getBoundingClientRect().top; }",
        seen,
    )
    assert abs(after - before) <= 2


# --- access ---


def test_with_large_text_nothing_runs_out_of_the_screen(browsing: Browsing, bot: Bot) -> None:
    bot.hear("A message of some length, with a_word_that_is_longer_than_the_others_in_it")
    phone = browsing.open(viewport=MOBILE)
    before = bubble(phone, "A message").evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
    phone.evaluate("document.documentElement.style.fontSize = '32px'")
    after = bubble(phone, "A message").evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
    assert after == 2 * before
    wide = "[...document.querySelectorAll('.pane-chat :not(.react-button *)')].filter((node) => node.getBoundingClientRect().right > innerWidth + 1)"
    assert phone.evaluate(f"{wide}.map((node) => node.outerHTML.slice(0, 80))") == []


def test_a_person_who_wants_more_contrast_gets_bubbles_of_one_dark_colour(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi")
    phone = browsing.open(contrast="more")
    expect(phone.locator(".msg.own .bubble")).to_have_css("--fill-colour", "#004fa8")
    expect(phone.locator(".msg.own .bubble")).to_have_css("--blue-top", "#004fa8")


# --- texts from right to left ---

_ENDS = """(node) => {
    const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) found.push(texts.currentNode);
    const left = (text, at) => {
        const range = document.createRange();
        range.setStart(text, at);
        range.setEnd(text, at + 1);
        return range.getBoundingClientRect().left;
    };
    return left(found[0], 0) - left(found.at(-1), found.at(-1).length - 1);
}"""
"""Pixels from the last character of an element to the right, up to the first. Positive: it runs from right to left."""


def test_a_text_runs_in_the_direction_of_its_language(browsing: Browsing, bot: Bot) -> None:
    text = "مرحبا، كيف حالك؟ (abc) 123!"
    phone = browsing.open("/?inspector", viewport=WIDE)
    chat_id = greet(phone, bot)
    with phone.expect_response("**/emulator/inbound"):  # so that the bot answers this text
        write(phone, text)
    bot.say(chat_id, "Hello, (abc)!")
    bot.say(chat_id, text, reply_to={"message_id": bot.chats[0]["messages"][1]["id"]})
    shaken = [{"range": [0, len(text)], "animation": "shake"}]
    bot.say(chat_id, {"type": "text", "value": text, "text_decorations": shaken})
    own, other = phone.locator(".msg.own .bubble"), phone.locator(".msg.other .bubble")
    expect(other).to_have_count(3)
    said = phone.locator(".exchange-text", has_text=text)
    for node in (own.nth(1), other.nth(1), other.nth(2), phone.locator(".quote-text"), said.first):
        assert node.evaluate(_ENDS) > 0
    for node in (own.nth(0), other.nth(0), phone.locator(".exchange-text", has_text="Hello").first):
        assert node.evaluate(_ENDS) < 0
    assert _edges(own.nth(0))[1] == _edges(own.nth(1))[1]
    assert _edges(other.nth(0))[0] == _edges(other.nth(1))[0]

    field = phone.get_by_label("Message", exact=True)
    for typed, direction in ((text, "rtl"), ("Hello", "ltr"), ("", "ltr")):
        field.fill(typed)
        assert field.evaluate("(node) => getComputedStyle(node).direction") == direction
    phone.get_by_role("button", name="Back", exact=True).click()
    bot.say(chat_id, text)
    expect(phone.locator(".chat-preview", has_text=text)).to_be_visible()
    # The row is built again when its count of unread messages arrives, so a single look may find one that is gone.
    phone.wait_for_function(f"() => ({_ENDS})(document.querySelector('.chat-preview')) > 0")


def _edges(node: Locator) -> tuple[float, float]:
    """Return the left and the right edge of an element, in pixels."""
    box = node.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]
