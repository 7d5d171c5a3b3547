"""Messages: both payload versions result in equal events, and the properties of a message."""

from __future__ import annotations

from typing import Any

import pytest
from linq_events import example, received, understood

from linqbot.linq.events.message import MessageDelivered, MessageEdited, MessageEvent
from linqbot.linq.types.message import LinkPart, MediaPart, TextPart, texts_of, utf16_length, utf16_slice

LINE = "+12052535597"
OTHER = "+14155550187"
MENU = "https://example.com/menu"


@pytest.mark.parametrize("event_type", ["message.sent", "message.received", "message.delivered", "message.read"])
def test_both_versions_mean_the_same(event_type: str) -> None:
    payload = example(f"{event_type}.v2025-01-01")
    payload["trace_id"] = example(event_type)["trace_id"]
    old, new = understood(payload), understood(example(event_type))
    assert isinstance(new, MessageEvent)
    # The payload version 2025-01-01 has no effect, decorations or health status.
    others = {"event_id", "webhook_version", "chat", "parts", "effect"}
    assert {name for name, value in vars(new).items() if vars(old)[name] != value} <= others
    assert (old.text, old.media, old.links, old.mentions) == (new.text, new.media, new.links, new.mentions)
    assert old.chat.model_copy(update={"health_status": new.chat.health_status}) == new.chat


@pytest.mark.parametrize("label", ["2025-01-01", "2026-02-03", "2099-01-01", None, 7])
@pytest.mark.parametrize("name", ["message.received", "message.received.v2025-01-01"])
def test_the_shape_decides_and_not_the_label(name: str, label: Any) -> None:
    payload = {**example(name), "webhook_version": label}
    event = received(payload)
    assert event.text == "Thanks! Here is the receipt"
    assert (event.line, event.chat.owner_handle.handle if event.chat.owner_handle else None) == (LINE, LINE)


def test_an_old_receipt_may_name_its_message_only_outside() -> None:
    payload = example("message.delivered.v2025-01-01")
    del payload["data"]["message"]
    event = understood(payload)
    assert isinstance(event, MessageDelivered)
    assert event.id == event.message_id == "ec030248-f588-5721-961a-ba349197f3f5"
    assert event.delivered_at is not None


def test_an_old_message_of_a_group_may_name_only_numbers() -> None:
    payload = example("message.received.v2025-01-01")
    payload["data"] |= {"from_handle": None, "recipient_handle": None, "is_group": True}
    event = received(payload)
    assert (event.sender.handle, event.actor, event.line) == ("+14155550142", "+14155550142", LINE)
    assert (event.is_group, event.chat.is_group) == (True, True)


def test_a_message_offers_its_text_files_and_links() -> None:
    event = understood(example("message.received"))
    assert [type(part) for part in event.parts] == [TextPart, MediaPart]
    assert ([file.filename for file in event.media], event.links) == (["receipt.jpg"], ())
    assert (event.text, event.reply_to.part_index) == ("Thanks! Here is the receipt", 0)
    link = understood(example("message.received.link"))
    assert (link.text, link.links) == (MENU, (LinkPart(value=MENU),))


def test_the_text_has_the_addresses_of_links_and_app_clips_in_the_order_of_parts() -> None:
    card = {
        "type": "imessage_app",
        "app": {"team_id": "t", "bundle_id": "b", "name": "n"},
        "layout": {"caption": "Look"},
    }
    parts: list[dict[str, Any]] = [
        {"type": "text", "value": "look at this"},
        {"type": "link", "value": MENU},
        {"type": "media", "url": "https://cdn.example/a.jpg"},
        {**card, "url": "https://example.com/card"},
        {"type": "app_clip", "value": "https://appclip.example.com/order", "title": "Order"},
        {"type": "hologram", "value": "?"},
        {"type": "text", "value": "and this"},
    ]
    event = received(in_group(example("message.received"), *parts))
    assert event.text == f"look at this\n{MENU}\nhttps://appclip.example.com/order\nand this"
    assert (event.links, len(event.parts)) == ((LinkPart(value=MENU),), 7)


def test_a_mention_behind_a_link_counts_in_the_whole_text() -> None:
    said = {"type": "text", "value": "@Linq 🎂?", "mentions": [{"handle": LINE, "is_me": True, "range": [0, 5]}]}
    event = received(in_group(example("message.received.group"), {"type": "link", "value": f"{MENU}/🎂"}, said))
    assert [utf16_slice(event.text, *mention.range) for mention in event.mentions if mention.range] == ["@Linq"]
    assert event.text_to_me == f"{MENU}/🎂 🎂?"


def test_a_sent_card_is_not_said_again_behind_the_text_that_has_its_address() -> None:
    text, other, card = TextPart(value=f"See {MENU}."), TextPart(value="bye"), LinkPart(value=MENU)
    assert texts_of([(text,), (card,), (other,)]) == [text.value, "bye"]
    assert texts_of([(other,), (), (card,), (text,)]) == ["bye", MENU, text.value]


def in_group(payload: dict[str, Any], *parts: dict[str, Any]) -> dict[str, Any]:
    payload["data"]["parts"] = list(parts)
    return payload


def test_mentions_of_all_parts_count_in_the_whole_text() -> None:
    first = {"type": "text", "value": "🎂 for @Sam", "mentions": [{"handle": OTHER, "is_me": False, "range": [7, 11]}]}
    second = {
        "type": "text",
        "value": "🎉🎉 @Linq come",
        "mentions": [{"handle": LINE, "is_me": True, "range": [5, 10]}],
    }
    event = received(in_group(example("message.received.group"), first, {"type": "media", "url": "u"}, second))
    named = [utf16_slice(event.text, *mention.range) for mention in event.mentions if mention.range]
    assert named == ["@Sam", "@Linq"]
    assert [mention.is_me for mention in event.mentions] == [False, True]
    assert event.mentions_me
    assert event.text_to_me == "🎂 for @Sam\n🎉🎉 come"


@pytest.mark.parametrize(("handle", "is_me"), [(LINE, True), (OTHER, False)])
def test_a_mention_in_the_old_form_counts(handle: str, is_me: bool) -> None:
    part = {"type": "text", "value": "😀 @Linq hi", "mention": handle, "mention_range": [3, 8]}
    event = received(in_group(example("message.received.group"), part))
    assert [(m.handle, m.is_me, m.range) for m in event.mentions] == [(handle, is_me, (3, 8))]
    assert event.text_to_me == ("😀 hi" if is_me else "😀 @Linq hi")


def test_a_mention_in_both_forms_counts_once() -> None:
    event = received(example("message.received.group"))
    assert len(event.mentions) == 1
    assert event.text_to_me == "can you help?"


def test_the_text_to_me_lacks_only_my_name(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, list[Any], str]] = [
        *(("@Linq, hi", [[0, 5]], "hi"), ("hi @Linq", [[3, 8]], "hi"), ("@Linq hi", [[-3, 5]], "hi")),
        ("hey @Linq   are you there, @Linq", [[4, 9], [27, 32]], "hey are you there,"),
        *(("@Linq", [span], "") for span in ([0, 5], [0, 500])),
        *(("@Linq hi", [None], "@Linq hi"), ("no name", [], "no name")),
    ]
    for text, ranges, left in rows:
        with subtests.test(text=text, ranges=ranges):
            mentions = [{"handle": LINE, "is_me": True, "range": span} for span in ranges]
            part = {"type": "text", "value": text, "mentions": mentions}
            assert received(in_group(example("message.received.group"), part)).text_to_me == left


def test_in_a_group_only_a_mention_or_a_reply_addresses_me() -> None:
    plain = in_group(example("message.received.group"), {"type": "text", "value": "hi all"})
    event = received(plain)
    assert not event.is_addressed
    assert event.model_copy(update={"replies_to_me": True}).is_addressed
    assert understood(example("message.received.group")).is_addressed
    assert understood(example("message.received")).is_addressed


def test_an_edit_may_come_from_them() -> None:
    payload = example("message.edited")
    payload["data"] |= {"direction": "inbound", "sender_handle": {"handle": OTHER}}
    payload["data"]["part"] = {"index": 2, "text": "new", "language": "en"}
    event = understood(payload)
    assert isinstance(event, MessageEdited)
    assert (event.index, event.text, event.sender.handle, event.is_own) == (2, "new", OTHER, False)
    assert event.part.model_extra == {"language": "en"}


@pytest.mark.parametrize(
    ("start", "end", "slice_"),
    [(0, 2, "🎂"), (2, 3, "a"), (0, 1, ""), (1, 3, "a"), (2, 99, "ab"), (-5, 2, "🎂"), (3, 2, "")],
)
def test_slices_count_utf16_units_and_halve_no_character(start: int, end: int, slice_: str) -> None:
    text = "🎂ab"
    assert utf16_length(text) == 4
    assert utf16_slice(text, start, end) == slice_
