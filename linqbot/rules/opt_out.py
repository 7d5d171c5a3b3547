"""The words by which a person opts out of messages (R69)."""

from __future__ import annotations

from typing import Final

_EXACT: Final = frozenset({"STOP", "UNSUBSCRIBE", "OPTOUT", "CANCEL", "END", "QUIT"})
_ANY_CASE: Final = frozenset({"OPT OUT", "OPT-OUT", "OPTOUT"})

_LONGEST: Final = max(map(len, _EXACT | _ANY_CASE))


def is_opt_out(text: str) -> bool:
    """Return True if the whole text is one of Linq's opt-out words (R69)."""
    word = text.strip()
    if len(word) > _LONGEST:
        return False
    return word in _EXACT or word.upper() in _ANY_CASE
