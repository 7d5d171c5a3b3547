from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linqbot import BotError, contact_card, link, location_request, markdown, poll, voice_memo
from linqbot.content.message_split import MAX_SMS_UNITS, MAX_TEXT_UNITS, Content, bubbles, fitted
from linqbot.linq import rules
from linqbot.linq.types.message import (
    Effect,
    LinkPart,
    MediaPart,
    MessageContent,
    ReplyTo,
    SentMessage,
    TextPart,
    UnknownPart,
    utf16_slice,
)

PHOTO = MediaPart(url="https://x.test/a.png")
LINK = LinkPart(value="https://x.test")


def kinds(*content: Content) -> list[list[str]]:
    return [[part.type for part in message.parts or ()] for message in bubbles(content)]


def test_text_and_media_share_a_message_and_a_link_is_alone_in_its_own() -> None:
    assert kinds("look", PHOTO, "nice") == [["text", "media", "text"]]
    assert kinds("a", "b") == [["text"], ["text"]]
    assert kinds("see", LINK, "and", PHOTO) == [["text"], ["link"], ["text", "media"]]


def test_a_whole_message_is_kept() -> None:
    message = MessageContent(parts=(TextPart(value="x"),), effect=Effect.named("slam"))
    assert bubbles([message], effect=Effect.named("confetti")) == [message]


def test_the_first_message_answers_and_the_last_one_has_the_effect() -> None:
    first, second = bubbles(["a", "b"], effect=Effect.named("confetti"), reply_to=ReplyTo(message_id="m"))
    assert (first.effect, first.reply_to) == (None, ReplyTo(message_id="m"))
    assert second.effect is not None
    assert (second.effect.name, second.effect.type) == ("confetti", "screen")
    assert second.reply_to is None


def test_a_group_is_asked_for_no_location() -> None:
    for service in ("iMessage", None):
        for is_group in (False, None):
            assert fitted([location_request()], service=service, is_group=is_group) == ([location_request()], [])
        assert fitted(["Hi", location_request()], service=service, is_group=True) == (["Hi"], ["location_request"])


# Addresses


def sent(*content: Content, **options: Any) -> list[str]:
    """Return the texts of the messages, and the addresses of the links in brackets."""
    parts = [part for message in bubbles(content, **options) for part in message.parts or ()]
    return [
        f"[{part.value}]" if isinstance(part, LinkPart) else part.value
        for part in parts
        if isinstance(part, TextPart | LinkPart)
    ]


FOUR = "https://a.test https://b.test https://c.test https://d.test"
LONG = f"Long: https://x.test/{'a' * 2048}"


def test_the_card_of_an_address_follows_its_text(subtests: pytest.Subtests) -> None:
    with_card = [
        "See https://x.test.",
        "https://x.test is it",
        "https://x.test = https://x.test !",
        "2) https://x.test",
    ]
    rows: list[tuple[Content, list[str]]] = [
        *((text, [text, "[https://x.test]"]) for text in with_card),
        *((text, [text]) for text in ("www.x.test", "Write http:///path", LONG, FOUR)),  # more than three get no cards
        ("See https://x.test", ["See", "[https://x.test]"]),
        ("See:\nhttps://x.test ", ["See:", "[https://x.test]"]),
        ("https://x.test", ["[https://x.test]"]),
        ("https://x.test or https://y.test", ["https://x.test or", "[https://x.test]", "[https://y.test]"]),
        ("菜单：https://x.test/a。谢谢", ["菜单：https://x.test/a。谢谢", "[https://x.test/a]"]),
        (markdown("[bad](http:///path)"), ["bad (http:///path)"]),
        (markdown("Read [this](https://x.test)"), ["Read this", "[https://x.test]"]),
        (markdown("Read [this](https://x.test) now"), ["Read this (https://x.test) now", "[https://x.test]"]),
        (
            markdown("Look:\n- https://x.test\n- https://y.test"),
            ["Look:\n• https://x.test\n• https://y.test", "[https://x.test]", "[https://y.test]"],
        ),
        (markdown("- See https://x.test"), ["• See", "[https://x.test]"]),
        (markdown("`https://x.test`"), ["https://x.test"]),
        (TextPart(value="See https://x.test"), ["See https://x.test"]),
        (markdown("See https://x.test", cards=False), ["See https://x.test"]),
        (link("https://x.test"), ["[https://x.test]"]),
    ]
    for text, expected in rows:
        with subtests.test(text=text):
            assert sent(text) == expected


@pytest.mark.parametrize("options", [{"cards": False}, {"service": "SMS"}, {"service": "RCS"}])
def test_there_are_no_cards_if_they_are_unwanted_or_do_not_exist(options: Any) -> None:
    assert sent("See https://x.test", **options) == ["See https://x.test"]
    assert sent(markdown("See [us](https://x.test)"), **options) == ["See us (https://x.test)"]


@pytest.mark.parametrize("service", ["SMS", "RCS"])
def test_styles_are_left_out_where_they_cannot_be_shown(service: str) -> None:
    (message,) = bubbles([markdown("**a** b")], service=service)
    assert message.parts == (TextPart(value="a b"),)


def test_the_first_message_of_a_chat_has_no_address(subtests: pytest.Subtests) -> None:
    rows: list[tuple[list[Content], list[str]]] = [
        (["See https://x.test"], ["See", "[https://x.test]"]),
        (["Hello Ann. Read https://x.test today."], ["Hello Ann.", "Read https://x.test today.", "[https://x.test]"]),
        (["Look at this: https://x.test is new."], ["Look at this:", "https://x.test is new.", "[https://x.test]"]),
        (["Hello\nwww.x.test"], ["Hello", "www.x.test"]),
        (["はじめまして。メニューはhttps://x.test"], ["はじめまして。メニューは", "[https://x.test]"]),
        ([markdown("Read [this](https://x.test) now")], ["Read this now", "[https://x.test]"]),
        (["Hello", "https://x.test"], ["Hello", "[https://x.test]"]),
    ]
    for content, expected in rows:
        with subtests.test(content=content):
            assert sent(*content, opens_chat=True) == expected


# Long texts


def test_a_long_text_is_cut_at_sentences_and_keeps_its_styles() -> None:
    text = markdown("**Bold words.** Plain words. " * 1000)
    messages = bubbles([text, PHOTO], effect=Effect.named("slam"))
    assert len(messages) == 3
    assert [message.effect is None for message in messages] == [True, True, False]
    for message in messages:
        part = (message.parts or ())[0]
        assert isinstance(part, TextPart)
        assert 0 < len(part.value) <= MAX_TEXT_UNITS
        assert part.value.endswith(".")
        assert {utf16_slice(part.value, *each.range) for each in part.text_decorations or ()} == {"Bold words."}
    assert [part.type for part in messages[-1].parts or ()] == ["text", "media"]


def test_a_long_text_is_cut_shorter_on_sms() -> None:
    sizes = [len(value) for value in sent("Some words. " * 500, service="SMS")]
    assert len(sizes) == 4
    assert max(sizes) <= MAX_SMS_UNITS


def test_a_part_is_sent_as_it_is_however_long() -> None:
    part = TextPart(value="Some words. " * 1000)
    assert bubbles([part]) == [MessageContent(parts=(part,))]


def test_a_received_part_is_sent_on_without_what_only_linqs_answers_have() -> None:
    ann = {"handle": "+14155550142", "is_me": False}
    sticker = {"range": [0, 1], "url": "https://x.test/a.png"}
    card = {"app": {"team_id": "ABCDE12345", "bundle_id": "a.b", "name": "A"}, "layout": {"caption": "A"}}
    for received, passed_on in (
        ({"type": "text", "value": "@ann", "mentions": [{**ann, "range": [0, 4]}]}, {"type": "text", "value": "@ann"}),
        ({"type": "link", "value": "https://x.test", "title": "X"}, {"type": "link", "value": "https://x.test"}),
        ({"type": "imessage_app", **card, "url": ""}, {"type": "imessage_app", **card}),
        (
            {"type": "text", "value": "a", "inline_stickers": [{**sticker, "id": "1", "file_name": "a.png"}]},
            {"type": "text", "value": "a", "inline_stickers": [sticker]},
        ),
    ):
        answer = {"id": "m", "parts": [{**received, "reactions": [{"type": "love", "is_me": False, "handle": ann}]}]}
        parts = SentMessage.model_validate(answer).parts
        (message,) = bubbles([part for part in parts if not isinstance(part, UnknownPart)])
        assert message.to_json_object() == {"parts": [passed_on]}


def test_what_is_no_message_is_named_as_its_author_wrote_it(subtests: pytest.Subtests) -> None:
    acts = {
        "poll(…)": poll("Thai", "Pizza"),
        "voice_memo(…)": voice_memo(b"...", filename="hello.m4a"),
        "contact_card()": contact_card(),
        "location_request()": location_request(),
    }
    for written, act in acts.items():
        with subtests.test(written), pytest.raises(BotError, match=f"^{re.escape(written)} is no message"):
            bubbles([act])


@pytest.mark.parametrize("file", [b"GIF89a", Path("menu.jpg"), io.BytesIO(b"GIF89a")], ids=["bytes", "path", "opened"])
def test_a_file_that_is_given_as_it_is_is_refused_with_the_way_to_send_it(file: object) -> None:
    with pytest.raises(BotError, match=r"cannot be sent\. Write media\(…\) around a file"):
        bubbles([file])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("media", "most"), [(MediaPart(url="https://x.test/a.jpg"), 40), (MediaPart(attachment_id="a"), 100)]
)
def test_more_files_than_a_message_may_have_are_several_messages(media: MediaPart, most: int) -> None:
    sizes = [len(message.parts or ()) for message in bubbles(["Photos", *[media] * 2 * most])]
    assert sizes == ([most + 1, most] if most == 40 else [most, most, 1])


@given(st.lists(st.sampled_from(["text", PHOTO, LINK, TextPart(value="t")]), min_size=1, max_size=12))
def test_any_content_keeps_linqs_rules_and_its_order(content: list[Content]) -> None:
    messages = bubbles(content)
    for message in messages:
        assert rules.check("chats.messages.send", {"message": message.to_json_object()}) is None
    said = [TextPart(value=c) if isinstance(c, str) else c for c in content]
    assert [part for message in messages for part in message.parts or ()] == said
