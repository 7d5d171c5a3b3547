"""The page in Chromium, used as a person would use it, against a real emulator.

The modules of the page that need no browser are tested in `tests/page`.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack, closing

import pytest
from chromium_page import FRIEND, LINE, ME, MOBILE, PIXEL, Bot, Browsing, Profiles, Served, bubble, greet, write
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

# --- writing and reading ---


def test_first_visit_needs_only_enter_to_say_hello(phone: Page, bot: Bot) -> None:
    field = phone.get_by_label("Message", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("Hello!")
    phone.keyboard.press("Enter")
    expect(phone.locator(".msg.own.imessage .bubble")).to_have_text("Hello!")
    expect(field).to_have_value("")
    assert bot.last()["parts"][0]["value"] == "Hello!"


def test_messages_stand_on_two_sides_and_are_delivered_and_read(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    status = phone.locator(".status.own")
    expect(status).to_have_text("Delivered")
    bot.call("POST", f"/v3/chats/{chat_id}/read")
    expect(status).to_contain_text("Read")
    with phone.expect_response(lambda answer: answer.url.endswith("/emulator/read")) as answer:
        bot.say(chat_id, "Hi there")
    expect(phone.locator(".msg.other .bubble")).to_have_text("Hi there")
    assert answer.value.ok
    assert bot.last()["delivery_status"] == "read"
    phone.keyboard.type("one")
    phone.keyboard.press("Shift+Enter")
    phone.keyboard.type("two")
    phone.keyboard.press("Enter")
    expect(phone.locator(".msg.own .bubble").last).to_have_text("one\ntwo", use_inner_text=True)
    expect(status).to_have_text("Delivered")
    assert bot.last()["parts"][0]["value"] == "one\ntwo"


def test_markup_in_a_message_is_shown_as_text_and_never_runs(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    attack = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
    bot.say(chat_id, attack)
    bot.hear({"type": "link", "value": "javascript:window.ran=1"})
    bot.hear(attack, group=[FRIEND], person=FRIEND)
    expect(phone.locator(".msg.other .bubble")).to_have_text(attack)
    expect(bubble(phone, "javascript:")).to_be_visible()
    assert phone.locator(".msg .bubble img, .msg .bubble script").count() == 0
    assert phone.locator(".msg a").count() == 0
    assert phone.evaluate("window.ran") is None


ADDRESSES = ["javascript:window.ran=1", " jAvA\tscript:window.ran=1", "vbscript:x", "data:text/html,<script>window.ran=1</script>", "data:image/png;base64," + PIXEL, "blob:http://127.0.0.1/x", "file:///etc/passwd", "about:blank"]  # fmt: skip


def test_only_addresses_of_the_web_are_loaded_or_linked(browsing: Browsing, bot: Bot) -> None:
    kinds = ["image/png", "video/mp4", "audio/mpeg", "text/html"]
    for address in ADDRESSES:
        media = [{"type": "media", "filename": "a file", "mime_type": kind, "url": address} for kind in kinds]
        ids = bot.hear({"type": "link", "value": address}, *media, group=[FRIEND])
        sticker = {"from": FRIEND, "message_id": ids["message_id"], "type": "sticker", "url": address}
        bot.call("POST", "/emulator/react", sticker)
    phone = browsing.open()
    messages = phone.locator(".msg")
    expect(messages.locator(".placed-sticker")).to_have_count(len(ADDRESSES))
    for address, message in zip(ADDRESSES, messages.all(), strict=True):
        expect(message.locator(".file-card"), address).to_have_count(len(kinds))
        expect(message.locator(".plain-link"), address).to_have_count(1)
        assert message.locator(":is([href], [src]):not(use)").count() == 0, address
    assert phone.evaluate("window.ran") is None
    # And no element of the page takes one that could run.
    made = """async ([tag, name, address]) => {
        const { h } = await import("/elements/dom.js");
        return h(tag, { [name]: address }).getAttribute(name);
    }"""
    for address in ADDRESSES[:5]:
        for tag, name in (("a", "href"), ("img", "src"), ("audio", "src")):
            assert phone.evaluate(made, [tag, name, address]) is None, address
    assert phone.evaluate(made, ["a", "href", "https://example.com/a"]) == "https://example.com/a"


def test_a_link_is_a_card_that_opens_in_another_tab(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    write(phone, "https://example.com/menu")
    card = phone.locator(".msg.own a.card")
    expect(card).to_contain_text("example.com")
    assert (card.get_attribute("href"), card.get_attribute("target")) == ("https://example.com/menu", "_blank")
    assert bot.last()["parts"][0]["type"] == "link"
    write(phone, "https://example.com/100%")  # a lone percent sign
    expect(card.last.locator("strong")).to_have_text("100%")


def test_a_reply_quotes_what_it_answers(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.say(chat_id, "Tea or coffee?")
    bubble(phone, "Tea or coffee?").dblclick()
    phone.get_by_role("menuitem", name="Reply").click()
    expect(phone.locator(".composer .note")).to_contain_text("Reply to Your bot")
    write(phone, "Tea")
    expect(phone.locator(".msg.own .quote")).to_contain_text("Tea or coffee?")
    assert bot.last()["reply_to"]["message_id"] == bot.chats[0]["messages"][-2]["id"]


# --- tapbacks, effects, media ---


def test_a_tapback_is_added_shown_and_removed(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.say(chat_id, "Booked for seven")
    bubble(phone, "Booked for seven").dblclick()
    phone.get_by_role("button", name="Love").click()
    badge = phone.locator(".msg.other .tapback.love.mine")
    expect(badge).to_have_attribute("aria-label", "Love from You")
    assert [one["type"] for one in bot.last()["parts"][0]["reactions"]] == ["love"]
    phone.locator(".msg.other .react-button").focus()
    phone.keyboard.press("Enter")
    phone.get_by_role("button", name="Love").click()
    expect(badge).to_have_count(0)
    # A tapback of the bot shows on the own bubble.
    reaction = {"operation": "add", "type": "custom", "custom_emoji": "🎉"}
    bot.call("POST", f"/v3/messages/{bot.chats[0]['messages'][0]['id']}/reactions", reaction)
    expect(phone.locator(".msg.own .tapback")).to_have_text("🎉")


def test_every_screen_effect_plays_once_and_again_on_request(browsing: Browsing, bot: Bot) -> None:
    phone = browsing.open(reduced_motion="no-preference")
    chat_id = greet(phone, bot)
    for name in ("fireworks", "lasers", "sparkles", "celebration", "hearts", "love", "balloons", "happy_birthday", "echo", "spotlight", "confetti"):  # fmt: skip
        bot.say(chat_id, "Look", effect={"type": "screen", "name": name})
        scene = phone.locator(f"[data-effect={name}]")
        expect(scene).to_be_attached()
    expect(phone.locator(".msg.other .effect-caption").last).to_have_text("Replay")
    expect(scene).to_have_count(0)
    phone.get_by_role("button", name="Replay").last.click()
    expect(scene).to_be_attached()


def test_no_effect_plays_by_itself_for_a_person_who_asked_for_less_motion(browsing: Browsing, bot: Bot) -> None:
    phone = browsing.open()
    chat_id = greet(phone, bot)
    bot.say(chat_id, "Hooray", effect={"type": "screen", "name": "fireworks"})
    expect(phone.get_by_role("button", name="Replay")).to_be_visible()
    assert phone.locator("canvas").count() == 0


def test_invisible_ink_hides_the_text_until_the_bubble_has_the_focus(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    bot.say(chat_id, "secret", effect={"type": "bubble", "name": "invisible"})
    ink = phone.locator(".bubble.ink")
    expect(ink).to_have_css("color", "rgba(0, 0, 0, 0)")
    ink.focus()
    expect(ink).to_have_css("color", "rgb(0, 0, 0)")


def test_the_chosen_effect_goes_with_the_message(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.get_by_role("button", name="Send with effect").click()
    phone.get_by_role("button", name="Slam").click()
    expect(phone.locator(".composer .note")).to_contain_text("Slam")
    write(phone, "Boom")
    expect(phone.locator(".msg.own .effect-caption")).to_contain_text("Sent with Slam")
    assert bot.last()["effect"] == {"name": "slam", "type": "bubble"}


def test_pictures_files_and_voice_memos_are_each_shown_in_their_way(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    picture = bot.upload("dot.png", "image/png", base64.b64decode(PIXEL))
    paper = bot.upload("menu.pdf", "application/pdf", b"%PDF-1.4 " + b"x" * 2000)
    voice = bot.upload("memo.mp3", "audio/mpeg", b"\xff\xfb\x90\x00" * 100)
    bot.say(chat_id, picture, paper, voice)
    shown = phone.locator(".msg.other img.picture")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    expect(phone.locator(".msg.other .file-card")).to_contain_text("menu.pdf")
    expect(phone.get_by_role("button", name="Play audio message")).to_be_visible()


def test_a_picture_is_seen_under_another_name_of_the_emulator(profiles: Profiles) -> None:
    served = Served("mybox.test")
    served.start()
    phones, bot = Browsing(profiles, served.url), Bot(served.url)
    try:
        bot.hear({"type": "media", "filename": "dot.png", "mime_type": "image/png", "data_base64": PIXEL})
        assert bot.last()["parts"][0]["url"].startswith("http://mybox.test:")
        shown = phones.open().locator(".msg.own img.picture")
        expect(shown).to_be_visible()
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
        assert phones.console_errors == []
    finally:
        bot.http.close()
        phones.close()
        served.stop()


# --- typing, groups, people ---


def test_typing_is_reported_to_the_emulator(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    with phone.expect_response("**/emulator/typing"):
        phone.keyboard.type("Let me th")
    assert bot.chats[0]["typing"] == [ME]
    with phone.expect_response("**/emulator/typing"):
        phone.get_by_label("Message", exact=True).fill("")
    assert bot.chats[0]["typing"] == []


def test_a_group_shows_the_sender_once_per_run(browsing: Browsing, bot: Bot) -> None:
    chat_id = bot.hear("Who brings cake?", person=FRIEND, group=[ME])["chat_id"]
    bot.hear("I bring drinks", person=FRIEND, group=[ME], chat_id=chat_id)
    bot.say(chat_id, "Noted")
    bot.hear("Cake!", group=[FRIEND], chat_id=chat_id)
    phone = browsing.open()
    expect(phone.locator(".sender:visible")).to_have_text(["+1 415 555 0187", "Your bot"])
    expect(phone.locator(".msg.own")).to_have_count(1)


def test_a_new_person_is_added_with_a_name_and_each_person_sees_their_own_conversations(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.get_by_role("button", name="You are").first.click()
    phone.get_by_label("Phone number or e-mail address").first.fill("+44 7700 900123")
    phone.get_by_label("Name", exact=True).first.fill("Ada")
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("button", name="You are Ada").first).to_be_visible()
    phone.get_by_label("Message", exact=True).fill("Hi from London")
    phone.keyboard.press("Enter")
    expect(phone.locator(".msg.own .bubble")).to_have_text("Hi from London")
    assert [member["handle"] for member in bot.chats[-1]["handles"]] == [LINE, "+447700900123"]
    phone.get_by_role("button", name="You are Ada").first.click()
    phone.get_by_role("button", name="+1 415 555 0142", exact=True).click()
    expect(phone.locator(".msg.own .bubble")).to_have_text("Hello!")


def test_an_unread_conversation_has_a_dot_until_it_is_opened(phone: Page, bot: Bot) -> None:
    chat_id = greet(phone, bot)
    phone.get_by_role("button", name="Back").click()
    bot.say(chat_id, "Psst")
    dot = phone.get_by_role("img", name="1 unread")
    expect(dot).to_be_visible()
    phone.locator(".chat-row").click()
    phone.get_by_role("button", name="Back").click()
    expect(phone.locator(".chat-row")).to_be_visible()
    expect(dot).to_have_count(0)


# --- the page itself ---


def test_on_a_narrow_screen_the_page_is_the_phone_in_the_systems_colours(browsing: Browsing, bot: Bot) -> None:
    phone = browsing.open(viewport=MOBILE, color_scheme="dark")
    screen = phone.locator(".screen")
    assert screen.bounding_box() == {"x": 0, "y": 0, **MOBILE}
    expect(phone.get_by_role("complementary", name="Inspector")).to_be_hidden()
    assert phone.evaluate("document.documentElement.scrollWidth") == MOBILE["width"]
    expect(screen).to_have_css("background-color", "rgb(0, 0, 0)")
    phone.emulate_media(color_scheme="light")
    expect(screen).to_have_css("background-color", "rgb(255, 255, 255)")


def test_after_an_outage_the_page_shows_what_it_missed(profiles: Profiles) -> None:
    with ExitStack() as opened:
        served = Served()
        served.start()
        opened.callback(served.stop)
        # Its consoles may show errors: the server is down.
        phones = opened.enter_context(closing(Browsing(profiles, served.url)))
        phone = phones.open()
        expect(phone.get_by_label("Message", exact=True)).to_have_value("Hello!")
        note = phone.get_by_text("Reconnecting…")
        expect(note).to_be_hidden()
        served.stop()
        expect(note).to_be_visible()
        served.start()
        bot = Bot(served.url)
        opened.callback(bot.http.close)
        bot.hear("sent while you were away")
        expect(note).to_be_hidden()
        phone.get_by_role("button", name="Back").click()
        expect(phone.locator(".chat-row")).to_contain_text("sent while you were away")
