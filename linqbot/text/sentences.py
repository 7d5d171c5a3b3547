"""Ends of sentences in a text that may still grow.

An end is reported only once the next character that is no space is known. The ends of a text are therefore the same in
whatever pieces it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from linqbot.text.graphemes import is_border

_END: Final = re.compile(
    r"(?<![.!?…])([.!?…]++)[\"'”’»)\]*_~`]*+(?: ?[\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d]++)?+(?=\s)"
    r"|(?<![。！？])[。！？]++[\"'”’»)\]*_~`」』）]*+",
)
"""The marks at the end of a sentence, with closing brackets, quotation marks, marks of Markdown, and an emoji."""
_IS_EMOJI: Final = re.compile(r"[\u2600-\u27bf\U0001f300-\U0001faff]")
_OPENERS: Final = "\"'“‘«([*_~`"
_WINDOW: Final = 40
"""The characters before a dot that decide about it."""
_ABBREVIATIONS: Final = re.compile(
    r"approx|art|ca|cf|corp?|dept|dr|e\.g|esp|est|etc|fig|hon|i\.e|inc|jr|ltd|max|min|mrs?|ms|mt|no|nr|p\.s|prof|"
    r"rev|sr|str?|tel|vol|vs|bzw|bspw|usw|z\.b|d\.h|u\.a|ggf|evtl|inkl",
    re.IGNORECASE,
)
"""The words, without their last dot, behind which a sentence usually goes on."""


def sentence_ends(text: str, start: int = 0) -> Iterator[int]:
    """Yield the index behind each sentence that is followed by further text, after its closing marks.

    Args:
        start: The index at which to begin.
    """
    for found in _END.finditer(text, start):
        end = found.end()
        following = _next_character(text, end)
        if following == "" or not is_border(text, end):
            continue
        if found[1] is None or (not _IS_EMOJI.match(following) and not _goes_on(text, found, following)):
            yield end


def _next_character(text: str, at: int) -> str:
    while at < len(text) and text[at].isspace():
        at += 1
    return text[at : at + 1]


def _goes_on(text: str, found: re.Match[str], following: str) -> bool:
    """Return True if the dot that was found ends no sentence: it belongs to an abbreviation, an initial or a number."""
    if following.islower():
        return True
    if found[1] != ".":
        return False
    line = text[max(0, found.start() - _WINDOW) : found.start()].rpartition("\n")[2]
    word = line.rpartition(" ")[2].lstrip(_OPENERS)
    if word.isdigit():
        return len(word) < 4 and line.strip(f"{_OPENERS} ") == word
    return (len(word) == 1 and word.isalpha()) or _ABBREVIATIONS.fullmatch(word) is not None
