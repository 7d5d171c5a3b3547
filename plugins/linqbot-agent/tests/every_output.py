"""An answer of a model that has each output type, and what a person then has on the phone."""

from __future__ import annotations

from typing import Final

from linqbot.testing import Phone

PHOTO: Final = "https://photos.example.com/room.jpg"
EVERYTHING: Final = [
    {"name": "laugh"},
    {"text": "**Congratulations!** https://example.com/x", "effect": "confetti"},
    {"text": "When shall we meet?"},
    {"options": ["Friday", "Saturday"]},
    {"url": PHOTO},
]


def assert_is_said_once(phone: Phone) -> None:
    """Check that a person who has written one text got each output of `EVERYTHING` once, in their order."""
    said = phone.messages[1:]
    assert said[:2] == ["Congratulations! https://example.com/x", "When shall we meet?"], phone.killed
    assert (said[0].effect, [part.type for part in said[0].parts]) == ("confetti", ["text"])  # no preview card
    assert list(said[2].votes) == ["Friday", "Saturday"]
    assert [part.url for part in said[3].media] == [PHOTO]
    assert len(said) == 4
    assert phone.messages[0].tapbacks == ["laugh"], phone.killed
