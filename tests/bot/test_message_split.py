from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linqbot import rules
from linqbot.bot.message_split import Content, bubbles
from linqbot.types.message import Effect, LinkPart, MediaPart, MessageContent, ReplyTo, TextPart

PHOTO = MediaPart(url="https://x.test/a.png")
LINK = LinkPart(value="https://x.test")


def kinds(*content: Content) -> list[list[str]]:
    return [[part.type for part in message.parts or ()] for message in bubbles(content)]


def test_text_and_media_share_a_message() -> None:
    assert kinds("look", PHOTO, "nice") == [["text", "media", "text"]]


def test_two_texts_are_two_messages() -> None:
    assert kinds("a", "b") == [["text"], ["text"]]


def test_a_link_is_alone_in_its_message() -> None:
    assert kinds("see", LINK, "and", PHOTO) == [["text"], ["link"], ["text", "media"]]


def test_a_whole_message_is_kept() -> None:
    message = MessageContent(parts=(TextPart(value="x"),), effect=Effect.named("slam"))
    assert bubbles([message], effect=Effect.named("confetti")) == [message]


def test_the_effect_goes_with_the_first_message_and_each_answers_the_same_one() -> None:
    first, second = bubbles(["a", "b"], effect=Effect.named("confetti"), reply_to=ReplyTo(message_id="m"))
    assert first.effect is not None
    assert (first.effect.name, first.effect.type) == ("confetti", "screen")
    assert second.effect is None
    assert first.reply_to == second.reply_to == ReplyTo(message_id="m")


@given(st.lists(st.sampled_from(["text", PHOTO, LINK, TextPart(value="t")]), min_size=1, max_size=12))
def test_any_content_keeps_linqs_rules_and_its_order(content: list[Content]) -> None:
    messages = bubbles(content)
    for message in messages:
        assert rules.check("chats.messages.send", {"message": message.to_json_object()}) is None
    said = [TextPart(value=c) if isinstance(c, str) else c for c in content]
    assert [part for message in messages for part in message.parts or ()] == said
