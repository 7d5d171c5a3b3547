"""Ends of sentences in a text that may still grow.

An end is reported only once the next character that is no space is known. The ends of a text are therefore the same in
whatever pieces it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from linqbot.characters import joins_before

_END: Final = re.compile(
    r"(?<![.!?…])([.!?…]++)[\"'”’»)\]*_~`]*+(?: ?[\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d]++)?+(?=\s|\Z)"
    r"|(?<![。！？])[。！？]++[\"'”’»)\]*_~`」』）]*+"
)
"""The marks at the end of a sentence, with closing brackets, quotation marks, marks of Markdown, and an emoji."""
_NO_SPACE: Final = re.compile(r"\S")
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


def sentence_ends(text: str) -> Iterator[int]:
    """Yield the index behind each sentence that is followed by further text, after its closing marks."""
    for _, end in ends_so_far(text):
        if end is not None:
            yield end


def ends_so_far(text: str, start: int = 0) -> Iterator[tuple[int, int | None]]:
    """Yield where each mark begins that ends a sentence, from `start` on, and the index behind the sentence.

    The index is None for a last mark behind which no text has come yet. `start` is 0, or the beginning of a mark.
    """
    for found in _END.finditer(text, start):
        end = found.end()
        following = _NO_SPACE.search(text, end)
        if following is None:
            yield found.start(), None
        elif joins_before(following[0]):
            continue  # an accent, which stands on the mark or on the space behind it
        elif found[1] is None or (not _IS_EMOJI.match(following[0]) and not _goes_on(text, found, following[0])):
            yield found.start(), end


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
