"""Messages as a whole: one test per rule, named after it. Each tests allowed and refused messages."""

from __future__ import annotations

from typing import Any

import pytest
from rules.asking import ANN, CARD, CDN, CLIP, EXPERIENCE, ID, LINE, LINK, MAIL, MEDIA, TEXT, body, broke, send

from linqbot.linq.rules import first_message


@pytest.mark.parametrize("message", [{}, {"parts": [TEXT], "experience": EXPERIENCE}, {"parts": None}])
def test_R19_a_message_has_either_parts_or_an_experience(message: Any) -> None:
    assert broke(body("chats.messages.send", message=message), "R19", 1004)
    assert body("chats.messages.send", message={"experience": EXPERIENCE}) is None


def test_R20_a_message_has_1_to_100_parts() -> None:
    files = [{"type": "media", "attachment_id": ID}] * 101
    assert broke(send(), "R20", 1004)
    assert broke(send(*files), "R20", 1004)
    assert send(*files[:100]) is None


def test_R21_at_most_40_media_parts_come_by_url_uploads_not_counted() -> None:
    uploaded = [{"type": "media", "attachment_id": ID}] * 20
    hosted = [{"type": "media", "url": CDN}] * 20
    signed = [{"type": "media", "url": "https://s3.example.com/x?X-Amz-Signature=abc"}] * 20
    assert send(*[MEDIA] * 40, *uploaded, *hosted, *signed) is None
    assert broke(send(*[MEDIA] * 41, *uploaded), "R21", 1004)
    lookalike = {"type": "media", "url": "https://linqapp.com.example.com/x"}
    assert broke(send(*[lookalike] * 41), "R21", 1004)


def test_R22_two_text_parts_may_not_be_adjacent() -> None:
    assert broke(send(TEXT, TEXT), "R22", 1004)
    assert broke(send(TEXT, MEDIA, MEDIA, TEXT, TEXT), "R22", 1004)
    assert send(TEXT, MEDIA, TEXT, MEDIA) is None


@pytest.mark.parametrize(("card", "rule"), [(LINK, "R23"), (CARD, "R24"), (CLIP, "R25")])
@pytest.mark.parametrize("other", [TEXT, MEDIA, LINK])
def test_R23_R24_R25_links_app_cards_and_app_clips_stand_alone(card: Any, rule: str, other: Any) -> None:
    assert send(card) is None
    assert broke(send(card, other), rule, 1004)
    if other is not LINK:
        assert broke(send(other, card), rule, 1004)


def test_R32_the_preferred_service_is_one_of_three() -> None:
    for service in ("iMessage", "SMS", "RCS", None):
        assert send(TEXT, preferred_service=service) is None
    broken = send(TEXT, preferred_service="imessage")
    assert broke(broken, "R32")
    assert broken is not None
    assert "Did you mean iMessage?" in broken.message


def test_R33_effects_are_known_and_of_their_type() -> None:
    rows: list[Any] = [
        {"name": "confeti", "type": "screen"},
        {"name": "slam", "type": "screen"},
        {"name": "confetti", "type": "bubble"},
        {"name": "confetti", "type": "sound"},
        {"name": "unknown"},
        {"name": 5},
    ]
    assert [effect for effect in rows if not broke(send(TEXT, effect=effect), "R33")] == []


def test_R33_lets_known_effects_through() -> None:
    rows: list[Any] = [{"name": "confetti", "type": "screen"}, {"name": "slam"}, {"type": "bubble", "name": "loud"}]
    assert [effect for effect in rows if send(TEXT, effect=effect) is not None] == []


@pytest.mark.parametrize("service", ["SMS", "RCS"])
def test_R40_R41_R42_app_cards_clips_and_experiences_need_imessage(service: str) -> None:
    assert broke(send(CARD, preferred_service=service), "R40", 2018, 409)
    assert broke(send(CLIP, preferred_service=service), "R41", 2028)
    message = {"experience": EXPERIENCE, "preferred_service": service}
    assert broke(body("chats.messages.send", message=message), "R42", 2018, 409)
    assert send(CARD, preferred_service="iMessage") is None
    assert send(LINK, preferred_service=service) is None


def test_R42_an_experience_is_named_and_its_addresses_are_https() -> None:
    rows: list[Any] = [
        {"action": "open"},
        {"name": "link"},
        {"name": "", "action": "open"},
        {**EXPERIENCE, "params": []},
        {**EXPERIENCE, "params": {"checkout_url": "http://x.y"}},
    ]
    assert [
        experience
        for experience in rows
        if not broke(body("chats.messages.send", message={"experience": experience}), "R42")
    ] == []


@pytest.mark.parametrize("endpoint", ["chats.create", "messages.create"])
def test_R42_an_experience_goes_to_one_recipient(endpoint: str) -> None:
    assert broke(body(endpoint, from_=LINE, to=[ANN, MAIL], message={"experience": EXPERIENCE}), "R42")
    assert body(endpoint, from_=LINE, to=[ANN], message={"experience": EXPERIENCE}) is None


@pytest.mark.parametrize("value", ["see https://example.com", "HTTP://X.Y", "(www.example.com)"])
def test_R52_the_first_message_of_a_new_chat_has_no_link(value: str) -> None:
    message = {"parts": [MEDIA, {"type": "text", "value": value}]}
    assert broke(first_message(message), "R52")
    assert broke(first_message({"parts": [LINK]}), "R52")
    assert body("chats.create", from_=LINE, to=[ANN], message=message) is None, "the chat may exist already"


@pytest.mark.parametrize("value", ["hello", "www", "http", "a/b", "see https:// there"])
def test_R52_lets_other_texts_through(value: str) -> None:
    assert first_message({"parts": [{"type": "text", "value": value}]}) is None
    assert first_message({"experience": EXPERIENCE}) is None


@pytest.mark.parametrize("extra", [{"effect": {"name": "slam"}}, {"reply_to": {"message_id": ID}}])
def test_R53_the_first_message_of_a_new_chat_has_no_effect_and_answers_nothing(extra: Any) -> None:
    assert broke(first_message({"parts": [TEXT], **extra}), "R53")
