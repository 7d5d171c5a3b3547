"""Texts that other people chose, as a terminal may show them.

A terminal obeys control characters: they clear the screen, rename the window, or write over the lines before. Characters
that turn the direction of text hide what is really there. All of these are shown as escapes, such as `\\x1b`.
"""

from __future__ import annotations

import json
from typing import Any, Final

_JOINERS: Final = "\u200c\u200d"
"""The zero-width characters that change how their neighbours look. Python does not count them as printable."""


def printable(text: str) -> str:
    """Return a text on one line, with escapes for control characters and for line breaks."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or _joins(text, at) else repr(letter)[1:-1] for at, letter in enumerate(text)
    )


def printable_lines(text: str) -> str:
    """Return a text with its lines and its indentation, and with escapes for all other control characters."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def printable_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON in which characters that a terminal obeys are JSON's own escapes.

    Other characters beyond ASCII are not escaped, so that people can read them.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Only strings hold such characters. The line breaks are those between the values.
    return "\n".join(
        line if line.isprintable() else "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)
        for line in text.split("\n")
    )


def _joins(text: str, at: int) -> bool:
    """Return True for a joiner between two printable characters, as in family emoji and in Persian words."""
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    return text[at] in _JOINERS and len(around) == 2 and around.isprintable()
