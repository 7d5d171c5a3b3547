"""Requests other than messages: one test per rule, named after it."""

from __future__ import annotations

from typing import Any

import pytest
from rules.asking import ANN, CDN, EXPERIENCE, ID, LINE, LINK, MAIL, TEXT, body, broke

from linqbot.linq.rules import Broken, check


def react(**fields: Any) -> Broken | None:
    return body("messages.add_reaction", **{"operation": "add", "type": "love", **fields})


def test_R16_lines_not_to_choose_are_E164() -> None:
    def create(exclude: Any) -> Broken | None:
        return body("messages.create", to=[ANN], message={"parts": [LINK]}, exclude_from=exclude)

    assert broke(create([LINE, MAIL]), "R16", 1002)
    assert broke(create(LINE), "R4")
    assert create([LINE]) is None


def test_R17_the_kind_of_line_is_named_in_any_case() -> None:
    assert check("available_number.retrieve", None, {"type": "imessage"}) is None
    assert broke(check("available_number.retrieve", None, {"type": "SMS"}), "R17")


def test_R18_a_forwarding_number_is_E164_or_cleared_and_never_left_out() -> None:
    for cleared in (None, "", LINE):
        assert check("phone_numbers.update", {"forwarding_number": cleared}) is None
    assert broke(check("phone_numbers.update", {"forwarding_number": "911"}), "R18", 1002)
    assert broke(check("phone_numbers.update", {}), "R3", 1001)


@pytest.mark.parametrize("endpoint", ["chats.create", "messages.create"])
def test_R49_a_single_recipient_cannot_be_mentioned(endpoint: str) -> None:
    message = {"parts": [{**TEXT, "mention": ANN}]}
    assert broke(body(endpoint, from_=LINE, to=[ANN], message=message), "R49", 2023, 409)
    assert body(endpoint, from_=LINE, to=[ANN, MAIL], message=message) is None


def test_R51_a_chat_has_1_to_31_recipients() -> None:
    people = [f"+1205253{n:04}" for n in range(32)]
    for endpoint in ("chats.create", "messages.create"):
        assert broke(body(endpoint, from_=LINE, to=[], message={"parts": [TEXT]}), "R51", 1001)
        assert broke(body(endpoint, from_=LINE, to=people, message={"parts": [TEXT]}), "R51")
        assert body(endpoint, from_=LINE, to=people[:31], message={"parts": [TEXT]}) is None


def test_R66_a_background_is_one_linq_can_paint() -> None:
    rows: list[Any] = [
        {"type": "plain"},
        {"type": "color"},
        {"type": "color", "variant": "red"},
        {"type": "color", "variant": "custom"},
        {"type": "color", "shades": ["#fff", "#000000"]},
        {"type": "color", "shades": ["#ffffff"]},
        {"type": "dynamic"},
        {"type": "dynamic", "style": "sky"},
        {"type": "dynamic", "style": "water", "variant": "dusk"},
        {"type": "photo"},
        {"type": "photo", "image_url": "http://x.y/z.png"},
    ]
    assert [background for background in rows if not broke(check("chats.background.set", background), "R66")] == []


def test_R66_lets_known_backgrounds_through() -> None:
    rows: list[Any] = [
        {"type": "color", "variant": "mango"},
        {"type": "color", "variant": "custom", "shades": ["#ffffff", "000000"]},
        {"type": "dynamic", "style": "aurora", "variant": "pink"},
        {"type": "photo", "image_url": "https://x.y/z.png"},
    ]
    assert [background for background in rows if check("chats.background.set", background) is not None] == []


@pytest.mark.parametrize(
    "memo", [{}, {"voice_memo_url": "https://x.y/z", "attachment_id": ID}, {"voice_memo_url": "http://x.y/z"}]
)
def test_R68_a_voice_memo_has_one_source(memo: Any) -> None:
    assert broke(check("chats.send_voicememo", memo), "R68")
    assert check("chats.send_voicememo", {"attachment_id": ID}) is None


def test_R76_what_can_be_blocked_has_a_known_form() -> None:
    rows: list[Any] = ["12", "123456789", "a-b", "", "Sender Name 12", 5]
    assert [handle for handle in rows if not broke(body("blocked_handles.block", handle=handle), "R76")] == []


@pytest.mark.parametrize("handle", [ANN, MAIL, "123", "12345678", "LINQ", "My Bank 1"])
def test_R76_lets_phones_mail_short_codes_and_sender_ids_through(handle: str) -> None:
    assert body("blocked_handles.block", handle=handle) is None
    assert body("blocked_handles.unblock", handle=handle) is None


def test_R80_reactions_are_known_and_custom_ones_have_their_emoji() -> None:
    rows: list[Any] = [
        {"operation": "toggle"},
        {"type": "heart"},
        {"type": "custom"},
        {"type": "custom", "custom_emoji": ""},
    ]
    assert [fields for fields in rows if not broke(react(**fields), "R80")] == []


def test_R80_an_emoji_alone_is_answered_with_what_to_write() -> None:
    broken = react(type="❤️")
    assert broken is not None
    assert 'react("custom", custom_emoji="❤️")' in broken.message


def test_R80_lets_tapbacks_through() -> None:
    rows: list[Any] = [{}, {"operation": "remove"}, {"type": "custom", "custom_emoji": "🎂", "part_index": 1}]
    assert [fields for fields in rows if react(**fields) is not None] == []


def test_R81_a_sticker_has_one_image_and_other_reactions_have_none() -> None:
    rows: list[Any] = [
        {"type": "sticker"},
        {"type": "sticker", "emoji": "🎂", "attachment_id": ID},
        {"type": "sticker", "emoji": "cake"},
        {"type": "sticker", "emoji": "🎂 🎂"},
        {"type": "sticker", "emoji": "🎂🎂"},
        {"type": "sticker", "emoji": "cake 🎂"},
        {"type": "sticker", "emoji": "é"},
        {"type": "sticker", "emoji": ""},
        {"type": "sticker", "url": "http://x.y"},
        {"type": "love", "emoji": "🎂"},
        {"type": "love", "placement": {"x": 0}},
    ]
    assert [fields for fields in rows if not broke(react(**fields), "R81")] == []


def test_R81_lets_stickers_through() -> None:
    rows: list[Any] = [
        {"emoji": "1️⃣"},
        {"emoji": "👩‍👩‍👧‍👦"},
        {"emoji": "🏴󠁧󠁢󠁳󠁣󠁴󠁿"},
        {"emoji": "🇫🇷"},
        {"emoji": "👍🏽"},
        {"emoji": "❤️"},
        {"url": CDN},
        {"attachment_id": ID, "placement": {"scale": 99}},
    ]
    assert [fields for fields in rows if react(type="sticker", **fields) is not None] == []


def test_R82_stickers_cannot_be_removed() -> None:
    assert broke(react(operation="remove", type="sticker", emoji="🎂"), "R82")


@pytest.mark.parametrize(
    "placement", [{"x": 1.1}, {"y": -2}, {"x": "0"}, {"scale": "big"}, {"scale": float("nan")}, {"rotation": True}]
)
def test_R83_a_sticker_is_placed_on_its_message(placement: Any) -> None:
    assert broke(react(type="sticker", emoji="🎂", placement=placement), "R83")
    assert broke(body("messages.update_sticker_placement", placement=placement), "R83")


def test_R85_an_app_card_is_updated_with_an_address_or_an_experience() -> None:
    layout = {"caption": "x"}
    assert body("messages.update_app_card", layout=layout, url="https://x.y") is None
    assert broke(body("messages.update_app_card", layout=layout, url="https://x.y", experience=EXPERIENCE), "R85")


def test_R86_a_poll_has_two_options_with_text() -> None:
    def poll(*options: Any) -> Broken | None:
        return body("chats.polls.create", poll={"options": list(options)})

    assert poll({"text": "a"}, {"text": "b"}) is None
    assert broke(poll({"text": "a"}), "R86")
    assert broke(poll({"text": "a"}, {}), "R3", 1001)
    assert broke(poll({"text": "a"}, {"text": ""}), "R4")
    assert broke(body("messages.poll.add_options", options=[]), "R86")


def test_R88_a_vote_adds_or_removes_one_option() -> None:
    assert body("messages.poll.vote", operation="add", option_id="o1") is None
    assert broke(body("messages.poll.vote", operation="set", option_id="o1"), "R88")


def test_R90_stopping_a_location_share_names_whose() -> None:
    assert broke(body("chats.location.stop"), "R3", 1001)
    assert body("chats.location.stop", handle=ANN) is None


def test_R94_a_contact_card_has_a_first_name_and_a_line() -> None:
    assert broke(body("contact_card.create", phone_number=LINE), "R3", 1001)
    assert broke(body("contact_card.create", phone_number="x", first_name="Ann"), "R7", 1002)
    assert body("contact_card.create", phone_number=LINE, first_name="Ann") is None
    assert broke(check("contact_card.update", {"first_name": "Ann"}), "R3", 1001)
    assert check("contact_card.update", {"first_name": "Ann"}, {"phone_number": LINE}) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"target_url": "http://example.com/hook"},
        {"target_url": "example.com"},
        {"subscribed_events": []},
        {"subscribed_events": ["message received"]},
        {"subscribed_events": ["message.received", "message"]},
    ],
)
def test_R95_a_webhook_has_an_https_target_and_events(fields: Any) -> None:
    good = {"target_url": "https://example.com/hook?version=2026-02-03", "subscribed_events": ["message.received"]}
    assert body("webhook_subscriptions.create", **good) is None
    assert broke(body("webhook_subscriptions.create", **{**good, **fields}), "R95")
    assert broke(body("webhook_subscriptions.update", **fields), "R95")


def test_R96_rcs_is_asked_for_phones_only() -> None:
    assert broke(body("capability.check_RCS", address=MAIL), "R96")
    assert body("capability.check_i_message", address=MAIL) is None


def test_R79_a_thread_is_read_upwards_or_downwards() -> None:
    assert check("messages.list_messages_thread", None, {"order": "desc"}) is None
    assert broke(check("messages.list_messages_thread", None, {"order": "down"}), "R79")
