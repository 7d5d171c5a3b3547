"""The words by which a person opts out of messages (R69)."""

from __future__ import annotations

from typing import Final

_EXACT: Final = frozenset({"STOP", "UNSUBSCRIBE", "OPTOUT", "CANCEL", "END", "QUIT"})
_ANY_CASE: Final = frozenset({"OPT OUT", "OPT-OUT", "OPTOUT"})

OPT_OUT_WORDS: Final = frozenset(word.casefold() for word in _EXACT | _ANY_CASE)
"""All of these words in lower case. Some of them opt out only in capitals."""
OFFER_OTHERS: Final = (
    'Let people write other words, such as "cancel my table" or "never mind". To record an opt-out, write an @bot.on_opt_out'
    " handler."
)
"""Advice for a bot that offers one of these words."""
_LONGEST: Final = max(map(len, OPT_OUT_WORDS))


def is_opt_out(text: str) -> bool:
    """Return True if the whole text is one of Linq's opt-out words (R69)."""
    word = text.strip()
    if len(word) > _LONGEST:
        return False
    return word in _EXACT or word.upper() in _ANY_CASE
