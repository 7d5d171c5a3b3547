"""Lengths of time: `20 min`, `1h30`, `in two hours`, `half an hour`, `2 days`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from linqbot.parse.limits import check_length
from linqbot.parse.numbers import in_words

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 604_800),
}
LONGEST_S: Final = 100 * 366 * 86_400
"""About a hundred years. Longer durations are refused, before a date computed from them is out of range."""

_PAIR = re.compile(r"(?P<digits>\d{1,9}(?:[.,]\d{1,3})?)\s*(?P<unit>[a-z]+)\.?(?![a-z])")
_TWO_NUMBERS = re.compile(r"(?<![\d.,])(?P<whole>[1-9]\d{0,2})[.,](?P<rest>\d{3})(?![\d.,])")
_HOURS_MINUTES = re.compile(r"(\d{1,4})\s*h\s*(\d{1,2})(?:\s*m(?:in)?)?")
_WORDS = re.compile(r"(?P<words>[a-z][a-z -]*?)\s+(?P<unit>[a-z]+)\.?")


def duration(text: str) -> timedelta:
    """Return the length of time that a text gives.

    Args:
        text: Numbers in digits or words, each with a unit from seconds to weeks; `in` and `for` before it are allowed.
            Months and years are refused, because their lengths differ.
    Raises:
        ValueError: the text is no length of time, is longer than a hundred years, or has two meanings, such as `1,500 s`.

    Example:
        `duration("in 20 min")`, `duration("1h30")`, `duration("an hour and a half")`
    """
    check_length(text)
    plain = re.sub(r"\s+", " ", text.casefold().replace("\u2019", "'")).strip(" .!,")
    plain = re.sub(r"^(in|for|after|within)\s+", "", plain)
    plain = re.sub(r"\s+(from now|later|please)$", "", plain)
    if match := _TWO_NUMBERS.search(plain):
        whole, rest = match["whole"], match["rest"]
        raise ValueError(
            f"{match.group()} could be {whole}{rest} or {float(f'{whole}.{rest}'):g}. Please write it like this."
        )
    seconds = _seconds(plain)
    if seconds is None:
        raise ValueError("Please give a length of time, such as 20 min, 1h30 or 2 days.")
    if not 0 < seconds <= LONGEST_S:
        raise ValueError("Please give a length of time between a second and a hundred years.")
    return timedelta(seconds=seconds)


def _seconds(text: str) -> float | None:
    if match := _HOURS_MINUTES.fullmatch(text):
        hours, minutes = map(int, match.groups())
        return hours * 3600 + minutes * 60 if minutes < 60 else None
    total, pieces = 0.0, [piece for piece in re.split(r"\s*(?:(?<!\d),|,(?!\d)|\band\b|&|\+)\s*", text) if piece]
    last_unit = 0
    for piece in pieces:
        if piece in ("a half", "half") and last_unit:  # an hour and a half
            total += last_unit / 2
            continue
        parsed = _piece(piece)
        if parsed is None:
            return None
        seconds, last_unit = parsed
        total += seconds
    return total if pieces else None


def _piece(piece: str) -> tuple[float, int] | None:
    """Return the seconds of a piece without `and`, and those of its last unit; None if it is not a length of time."""
    if match := re.fullmatch(
        r"(?:(?:a )?half|(?P<quarter>a quarter(?: of)?|quarter))(?: an| a)? (?P<unit>[a-z]+)", piece
    ):
        unit = _UNITS.get(match["unit"])
        return None if unit is None else (unit / (4 if match["quarter"] else 2), unit)
    if match := _WORDS.fullmatch(piece):
        unit, count = _UNITS.get(match["unit"]), in_words(match["words"].replace("couple of", "couple"))
        if match["words"] in ("a", "an"):
            count = 1
        return None if unit is None or count is None else (float(count * unit), unit)
    total, end, unit = 0.0, 0, None
    for match in _PAIR.finditer(piece):
        unit = _UNITS.get(match["unit"])
        if unit is None or piece[end : match.start()].strip():
            return None
        total += float(match["digits"].replace(",", ".")) * unit
        end = match.end()
    return None if unit is None or piece[end:].strip() else (total, unit)
