"""Yes or no, in words or emoji."""

from __future__ import annotations

from typing import Final

from linqbot.language.reading import emoji_in, plain_words, readings
from linqbot.language.spoken import sentences, speaking, spoken
from linqbot.parse.translation import check_length

_BOTH: Final = frozenset("🙏💯")
"""Emoji that mean yes alone, and thanks or emphasis behind a word: `no 🙏` means no."""


def yes_no(text: str, *, language: str | None = None) -> bool:
    """Return True if a text means yes, False if it means no.

    Only whole answers count: `yes but later` is neither. Thanks and other emoji may stand around one.

    Args:
        text: The answer.
        language: As for `number`. Emoji and the English words count in every language.
    Raises:
        ValueError: the text means neither, or cannot be decided.

    Example:
        `yes_no("Sure!")` is True; `yes_no("no thanks 🎉")` is False.
    """
    with speaking(language):
        check_length(text)
        meanings = (_meaning(form) for each in readings(text) for form in (each, _once(each)))
        said = next((each for each in meanings if each is not None), None)
        has_words = any(letter.isalnum() for letter in text)
        # Emoji that say something else than the words next to them leave it open.
        shown = {_meaning(each) for each in emoji_in(text) if not (has_words and each in _BOTH)}
        found = {said, *shown} - {None}
        if len(found) == 1 and (said is not None or not has_words):
            return True in found
        raise ValueError(sentences().yes_or_no)


def _meaning(said: str) -> bool | None:
    if said in plain_words(spoken().yes):
        return True
    return False if said in plain_words(spoken().no) else None


def _once(words: str) -> str:
    """Return a word or an emoji that is repeated, such as `no no no` or `👍👍`, once; other texts unchanged."""
    parts = words.split() or [""]
    if len(set(parts)) == 1:
        words = parts[0]
    return words[0] if words and len(set(words)) == 1 and not words[0].isalnum() else words
