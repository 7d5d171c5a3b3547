"""The words of numbers, which linqbot reads and writes: those of English here, those of another language in its file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from linqbot.language.wording import Words

SMALL: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
"""The English words from 0 to 19."""
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def words_of(words: Words) -> Iterator[tuple[int, str]]:
    """Yield the numbers below 100 with each of their words, and the hundreds and those of all countries, too.

    The words of 100 and 1000 are among the meanings of a language, because other words may stand behind them.
    """
    for number, said in enumerate(words.numbers.split(",")[:100]):
        yield from ((number, each) for each in said.split("|"))
    for hundred, said in enumerate(words.hundreds.split(","), start=2):
        yield from ((hundred * 100, each) for each in said.split("|"))
    for country in words.numbers_in.values():
        yield from _with_values(country)


def number_in_words(value: int, words: Words | None, country: str | None) -> str:
    """Return a number from 0 to 100 as it is written; None is English. Others are written in digits."""
    if not 0 <= value <= 100:
        return str(value)
    if words is None:
        ten, one = divmod(value, 10)
        if value < len(SMALL):
            return SMALL[value]
        return "one hundred" if value == 100 else TENS[ten - 2] + (f"-{SMALL[one]}" if one else "")
    there = dict(_with_values(words.numbers_in.get(country or "", "")))
    return there.get(value) or words.numbers.split(",")[value].partition("|")[0]


def _with_values(listed: str) -> Iterator[tuple[int, str]]:
    for each in filter(None, listed.split(",")):
        number, _, said = each.partition(" ")
        yield int(number), said
