"""Quotes: one text inside another, found without keeping the text, by its first characters and a hash.

Case and white space are ignored. The rest of a message without its quotes is its gist: two bots that quote each other
write longer messages each time, but with the same gist. `breaker.py` compares the gists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CHARS: Final = 4
"""Minimum characters of a quote: "10" does not quote "1"."""
HEAD_CHARS: Final = 32
"""Characters kept of a text. The hash is compared at the places where they are found."""
PLACES: Final = 8
"""Maximum number of places to compare. The first characters may occur many times in a long text."""
CUT: Final = "\0"
"""Replaces a quote that was cut out."""


@dataclass(slots=True)  # not frozen: that would take seven times as long to create, twice in each turn
class Quotable:
    """A text that may be quoted.

    Attributes:
        head: The first characters of the normalized text.
        length: The length of the whole normalized text, in characters.
        hash: The hash of the whole normalized text.
    """

    head: str
    length: int
    hash: int

    @classmethod
    def of_words(cls, words: str) -> Quotable | None:
        """Return a Quotable for a normalized text; None if it is too short to be quoted."""
        return cls(words[:HEAD_CHARS], len(words), hash(words)) if len(words) >= CHARS else None

    def cut_from(self, words: str) -> str:
        """Return `words` with this text cut out; `words` itself if the text is not in it."""
        at = words.find(self.head)
        for _ in range(PLACES):
            if at < 0:
                break
            end = at + self.length
            if hash(words[at:end]) == self.hash:
                return words[:at] + CUT + words[end:]
            at = words.find(self.head, at + 1)
        return words


def gist_of_reply(words: str, message: Quotable | None) -> str:
    """Return a normalized reply of ours without a quote of the message that it answers."""
    return words if message is None else message.cut_from(words)


def gist_of_message(words: str, bubbles: Sequence[Quotable | None]) -> str | None:
    """Return a normalized message without the bubbles of ours that it quotes; None if it quotes none.

    Numbers and times around a quote are ignored.
    """
    gist = words
    for bubble in sorted(filter(None, bubbles), key=lambda bubble: -bubble.length):
        gist = bubble.cut_from(gist)
    if gist is words:
        return None
    added = gist.replace(CUT, "")
    # "wow!!" does not quote "wow!", and "hahaha" not "haha": characters attached to a word make it another word.
    return re.sub(r"\d+", "0", gist) if not added or re.search(r"\s", added) else None


def normal(text: str) -> str:
    """Return the text normalized: in lower case, with single spaces."""
    return " ".join(text.casefold().split())
