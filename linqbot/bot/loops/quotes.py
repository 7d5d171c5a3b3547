"""Quotes: one message inside of another. A text is found again by its first characters and a hash, without being kept.

Case and white space do not count. What is left of a message without its quotes is its gist: two bots that quote each
other write longer messages each time, with the same gist.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CHARS: Final = 4
"""A quote has at least so many characters: "10" does not quote "1"."""
HEAD_CHARS: Final = 32
"""Characters kept of a text, to find the places where its hash is compared."""
PLACES: Final = 8
"""Places compared at most. The head alone may stand in many places of a long text."""
CUT: Final = "\0"


@dataclass(frozen=True, slots=True)
class Quotable:
    """A text that may be quoted."""

    head: str
    length: int
    hash: int

    @classmethod
    def of(cls, text: str) -> Quotable | None:
        """Remember `text`; None when it is too short to be quoted."""
        return cls.of_words(normal(text))

    @classmethod
    def of_words(cls, words: str) -> Quotable | None:
        """Remember a text that is normal."""
        return cls(words[:HEAD_CHARS], len(words), hash(words)) if len(words) >= CHARS else None

    def cut_from(self, words: str) -> str:
        """Cut this text out of `words`; return `words` itself when the text is not in it."""
        at = words.find(self.head)
        for _ in range(PLACES):
            if at < 0:
                break
            end = at + self.length
            if hash(words[at:end]) == self.hash:
                return words[:at] + CUT + words[end:]
            at = words.find(self.head, at + 1)
        return words


def gist_of_reply(words: str, told: Quotable | None) -> str:
    """A normal reply of ours without the message it answers."""
    return words if told is None else told.cut_from(words)


def gist_of_message(words: str, bubbles: Sequence[Quotable | None]) -> str | None:
    """A normal message without the bubbles of ours that it quotes; None when it quotes none.

    Numbers and times around a quote do not count.
    """
    gist = words
    for bubble in sorted(filter(None, bubbles), key=lambda bubble: -bubble.length):
        gist = bubble.cut_from(gist)
    if gist is words:
        return None
    added = gist.replace(CUT, "")
    # "wow!!" says more than "wow!", and "hahaha" more than "haha": characters that hang on a word quote nothing.
    return re.sub(r"\d+", "0", gist) if not added or re.search(r"\s", added) else None


def normal(text: str) -> str:
    """A text without what does not count in it."""
    return " ".join(text.casefold().split())
