"""Yes or no, in words or emoji."""

from __future__ import annotations

import re
from typing import Final

from linqbot.language.spoken import sentences
from linqbot.parse.numbers import check_length

_YES: Final = frozenset(
    [
        "y",
        "yes",
        "yea",
        "yeah",
        "yep",
        "yup",
        "ya",
        "yess",
        "sure",
        "sure thing",
        "ok",
        "okay",
        "k",
        "kk",
        "of course",
        "absolutely",
        "definitely",
        "certainly",
        "correct",
        "right",
        "true",
        "please",
        "please do",
        "yes please",
        "go ahead",
        "do it",
        "sounds good",
        "why not",
        "fine",
        "great",
        "perfect",
        "confirm",
        "confirmed",
        "agreed",
        "i agree",
        "i do",
        "i am",
        "deal",
        "yes i do",
        "yes do it",
        "👍",
        "✅",
        "✔",
        "👌",
        "🙏",
        "💯",
        "ja",
        "jawohl",
        "oui",
        "si",
        "sí",
        "sim",
    ]
)
_NO: Final = frozenset(
    [
        "n",
        "no",
        "nope",
        "nah",
        "no thanks",
        "no thank you",
        "not now",
        "not really",
        "never",
        "no way",
        "wrong",
        "incorrect",
        "false",
        "please don't",
        "don't",
        "do not",
        "rather not",
        "better not",
        "i don't",
        "i do not",
        "i'm not",
        "negative",
        "👎",
        "❌",
        "✖",
        "🚫",
        "🙅",
        "nein",
        "non",
        "não",
    ]
)
_DECORATION = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f\u200d♂♀]")


def yes_no(text: str) -> bool:
    """Return True if a text means yes, False if it means no.

    Only whole answers count: `yes but later` is neither.

    Raises:
        ValueError: the text means neither, or cannot be decided.

    Example:
        `yes_no("Sure!")` is True; `yes_no("no thanks")` is False.
    """
    check_length(text)
    plain = _DECORATION.sub("", text.replace("\u2019", "'")).casefold()
    words = re.sub(r"[\s.,!?;:]+", " ", plain).strip()
    for said in (words, _once(words)):
        if said in _YES:
            return True
        if said in _NO:
            return False
    raise ValueError(sentences().yes_or_no)


def _once(words: str) -> str:
    """Return a word or an emoji that is repeated, such as `no no no` or `👍👍`, once; other texts unchanged."""
    parts = words.split() or [""]
    if len(set(parts)) == 1:
        words = parts[0]
    return words[0] if words and len(set(words)) == 1 and not words[0].isalnum() else words
