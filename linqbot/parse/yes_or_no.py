"""Yes or no, in words or emoji."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from linqbot.language.spoken import language_of, sentences, speaking, spoken
from linqbot.parse.translation import check_length, forms, lowered

_YES: Final = frozenset(
    (
        *("y", "yes", "yea", "yeah", "yep", "yup", "ya", "yess", "sure", "sure thing", "ok", "okay", "k", "kk"),
        *("of course", "absolutely", "definitely", "certainly", "correct", "right", "true", "please"),
        *("please do", "yes please", "go ahead", "do it", "sounds good", "why not", "fine", "great", "perfect"),
        *("confirm", "confirmed", "agreed", "i agree", "i do", "i am", "deal", "yes i do", "yes do it", "👍"),
        *("✅", "✔", "👌", "🙏", "💯", "ja", "jawohl", "oui", "si", "sí", "sim"),
    )
)
_NO: Final = frozenset(
    (
        *("n", "no", "nope", "nah", "no thanks", "no thank you", "not now", "not really", "never", "no way"),
        *("wrong", "incorrect", "false", "please don't", "don't", "do not", "rather not", "better not"),
        *("i don't", "i do not", "i'm not", "negative", "👎", "❌", "✖", "🚫", "🙅", "nein", "non", "não"),
    )
)
_DECORATION = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f\u200d♂♀]")


def yes_no(text: str, *, language: str | None = None) -> bool:
    """Return True if a text means yes, False if it means no.

    Only whole answers count: `yes but later` is neither.

    Args:
        text: The answer.
        language: As for `number`. Emoji and the English words count in every language.
    Raises:
        ValueError: the text means neither, or cannot be decided.

    Example:
        `yes_no("Sure!")` is True; `yes_no("no thanks")` is False.
    """
    with speaking(language):
        check_length(text)
        words = _words(_DECORATION.sub("", text))
        yes, no = _YES, _NO
        if spoken().words is not None:
            own_yes, own_no = _own(spoken().code)
            yes, no = own_yes | (yes - own_no), own_no | (no - own_yes)
        for said in (words, _once(words)):
            if said in yes:
                return True
            if said in no:
                return False
        raise ValueError(sentences().yes_or_no)


def _words(text: str) -> str:
    words = spoken().words
    text = lowered(text) if words is None else words.plain(text).replace("-", " ")
    return re.sub(r"[\s.,!?…;:。、]+", " ", text).strip()


@lru_cache
def _own(code: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words for yes, and those for no, of another language than English."""
    words = language_of(code).words
    assert words is not None
    with speaking(code):
        yes, no = (frozenset(map(_words, forms(said.split(","), words))) for said in (words.yes, words.no))
    return yes, no


def _once(words: str) -> str:
    """Return a word or an emoji that is repeated, such as `no no no` or `👍👍`, once; other texts unchanged."""
    parts = words.split() or [""]
    if len(set(parts)) == 1:
        words = parts[0]
    return words[0] if words and len(set(words)) == 1 and not words[0].isalnum() else words
