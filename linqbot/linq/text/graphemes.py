"""Borders between graphemes: the characters as people see them, such as an emoji with a skin tone, or a letter with accents.

A border that this module finds is one by Unicode's rules too (UAX #29). In doubt, such as around a joiner, it finds none:
a text that is cut a little earlier does no harm, a flag that is cut in two does.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_JOINERS: Final = "\u200c\u200d"
_ZWJ: Final = "\u200d"
_VIRAMA: Final = 9
"""The combining class of marks that join two consonants of Indic scripts."""
_PREPENDED: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3"
    "\U0001193f\U00011941\U00011a3a\U00011a84\U00011a85\U00011a86\U00011a87\U00011a88\U00011a89\U00011d46\U00011f02"
    "\U000113d1"
)
_LIKE_MARKS: Final = frozenset("\u0e33\u0eb3\uff9e\uff9f")


def is_border(text: str, at: int) -> bool:
    """Return True if no grapheme goes across an index."""
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if after < "\u0300":
        return before not in _PREPENDED and before != _ZWJ and (before, after) != ("\r", "\n")
    if before == _ZWJ or _extends(after) or before in _PREPENDED or _joins_consonants(text, at):
        return False
    if _is_flag_letter(after) and _is_flag_letter(before):
        first = at
        while first and _is_flag_letter(text[first - 1]):
            first -= 1
        return (at - first) % 2 == 0
    if "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff":
        return False
    return not _is_one_syllable(before, after)


def border_before(text: str, at: int) -> int:
    while not is_border(text, at):
        at -= 1
    return at


def border_after(text: str, at: int) -> int:
    while not is_border(text, at):
        at += 1
    return at


@lru_cache(maxsize=1024)
def _extends(character: str) -> bool:
    if character in _JOINERS or character in _LIKE_MARKS:
        return True
    # Skin tones, and the tags that make the flags of Scotland and Wales.
    if "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f":
        return True
    return unicodedata.category(character) in ("Mn", "Me", "Mc")


def _joins_consonants(text: str, at: int) -> bool:
    """Return True if one of the marks before the index joins the letter before them with that behind them."""
    while at and _extends(text[at - 1]):
        at -= 1
        if unicodedata.combining(text[at]) == _VIRAMA:
            return True
    return False


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_one_syllable(before: str, after: str) -> bool:
    if _is_jamo(after):
        return _is_jamo(before) or "\uac00" <= before <= "\ud7a3"
    return "\uac00" <= after <= "\ud7a3" and _is_jamo(before)


def _is_jamo(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\ua960" <= character <= "\ua97c" or "\ud7b0" <= character <= "\ud7fb"
