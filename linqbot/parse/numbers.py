"""Whole numbers as people write them: `2`, `1,000`, `two`, `minus 3`, `a dozen`, `twenty-one`, `table for four, please`.

In another language a text is translated first: see `translation.py`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from typing import Final

from linqbot.language.numbers import SMALL, TENS
from linqbot.language.spoken import sentences, speaking, spoken
from linqbot.parse.translation import english, lowered

MOST_DIGITS: Final = 15
"""Longer numbers are refused: they are phone or card numbers, never a count."""

_VALUES: Final = {
    **{word: value for value, word in enumerate(SMALL)},
    **{word: 20 + 10 * index for index, word in enumerate(TENS)},
    "a": 1,
    "an": 1,
    "none": 0,
    "couple": 2,
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 1_000_000,
}
_AROUND: Final = frozenset(
    (
        *("about", "all", "are", "around", "at", "be", "exactly", "for", "i", "just", "maybe", "need", "of"),
        *("only", "or", "people", "person", "persons", "pieces", "please", "so", "some", "table", "take"),
        *("thank", "thanks", "the", "there", "they", "times", "us", "want", "we", "will", "would", "like", "you"),
        *("it", "is", "its", "it's", "i'd", "i'll", "we'd", "we'll", "we're", "total", "in", "yes", "ok", "okay"),
    )
)
"""Words that may stand around a number word. Around digits any word may stand."""

_DIGITS = re.compile(r"(?<![\w.,])[-\u2212]?\d+(?:[,\u00a0\u202f' ]\d{3})*(?![\w]|[.,]\d)")
_DECIMAL = re.compile(r"(?<![\w.,])[-\u2212]?(?:\d+(?:[,\u00a0\u202f' ]\d{3})*(?:\.\d+)?|\.\d+)(?![\w]|[.,]\d)")
_DECIMAL_COMMA = re.compile(r"(?<![\w.,])(\d+),(\d\d?)(?![\w]|[.,]\d)")
_MONEY = re.compile(r"[$€£¥] ?")
_MINUS_DIGITS = re.compile(r"\b(?:minus|negative)\s+(?=\d)")
_MINUS_WORD = re.compile(r"\b(?:minus|negative)\s+(?=(?P<next>[^\W\d_]+))")
_POINTS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![\d.])")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
_FRACTION = re.compile(
    r"\band (?:a )?(?:half|medi[oa]|mezz[oa])\b|\beinhalb\b|半|\ba (?:point|ponto|virgule|virgula|virgola|komma|coma|punto)\s+\d"
)
"""A fraction in a translated text. The whole number next to it is not what the person has said.

"un virgule cinq" is translated as "a virgule 5". "El punto 3" is no fraction: it is the third of several choices.
"""
_AND_ONE = re.compile(r"\d\D*\band an?\b|\ban? (?:(?:[^\W\d_]+ ){1,3}and|or|ou|oder|of?|to) \d")
"""A second number in a text, said as an article: `2 adults and a child`, and "ein bis zwei", which is "a to 2"."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def number(text: str, *, language: str | None = None) -> int:
    """Return the one whole number in a text.

    Args:
        text: A number in digits or in words of the language, also after a word such as `minus`. Other words may stand around
            it: `we are 5`, `two, please`.
        language: The code of the text's language, such as `fr`; None for that of the turn, or else English.
    Raises:
        ValueError: there is no whole number in the text, or more than one.

    Example:
        `number("a dozen")` is 12; `number("1,000")` is 1000; `number("2 or 3")` raises.
    """
    with speaking(language):
        return _number(ungrouped(english(text)))


def decimal(text: str) -> Decimal:
    """Return the one number in a text, which may have a fraction: `1.5`, or `1,5` with a decimal comma.

    Texts are read as by `number`. A comma that can group no digits is a decimal one in English, too: `12,50`. Raises
    ValueError with a sentence for the person.
    """
    plain = _MONEY.sub("", _DECIMAL_COMMA.sub(r"\1.\2", ungrouped(english(text))))
    signed = _MINUS_DIGITS.sub("-", plain)
    found = _DECIMAL.findall(signed)
    rest = _DECIMAL.sub(" ", signed)
    is_one = len(found) == 1 and not (re.search(r"\d", rest) or _has_number_word(rest))
    if is_one and not (_FRACTION.search(plain) or _AND_ONE.search(plain)):
        digits = re.sub(r"[^\d.-]", "", found[0].replace("\u2212", "-"))
        if len(digits) <= MOST_DIGITS:
            return Decimal(digits)
    try:
        return Decimal(_number(plain))
    except ValueError:
        raise ValueError(sentences().any_number) from None


def is_bare(text: str) -> bool:
    """Return True if a text has no word besides those of numbers: `12` and `twenty-one`, but not `12 Main Street`."""
    words = _WORD.findall(lowered(english(text)))
    return all(word in _VALUES or word in ("and", "minus", "negative") for word in words) and words not in (
        [[each] for each in ("a", "an", "none")]
    )


def _number(text: str) -> int:
    if _FRACTION.search(text) or _AND_ONE.search(text):
        raise ValueError(sentences().number)
    text = _MINUS_DIGITS.sub("-", text)
    found = [match.group() for match in _DIGITS.finditer(text)]
    if len(found) == 1 and not _has_number_word(_DIGITS.sub(" ", text)) and not re.search(r"\d", _DIGITS.sub("", text)):
        digits = re.sub(r"[^\d-]", "", found[0].replace("\u2212", "-"))
        if len(digits) <= MOST_DIGITS:
            return int(digits)
    elif not re.search(r"\d", text) and (value := _signed(text)) is not None:
        return value
    raise ValueError(sentences().number)


def ungrouped(text: str) -> str:
    """Return a text with its numbers as in English, where a comma groups digits and a point is decimal."""
    words = spoken().words
    if words is None or not words.has_decimal_comma:
        return text
    return _COMMA.sub(".", _POINTS.sub(lambda match: match[0].replace(".", ""), text))


def _signed(text: str) -> int | None:
    """Return the number that a text without digits says, below zero if it follows a `minus`; see `in_words`."""
    minus = _MINUS_WORD.search(text)
    if minus is None or minus["next"] not in _VALUES:
        return in_words(text)
    # A word in its place, because "twenty minus one" is two numbers, and not twenty-one.
    value = in_words(f"{text[: minus.start()]} the {text[minus.end() :]}")
    return None if value is None else -value


def in_words(text: str) -> int | None:
    """Return the number that a text without digits says; None if it says none, or more than one, or other words."""
    runs: list[list[str]] = [[]]
    words = _WORD.findall(lowered(text))
    for word, following in pairwise([*words, ""]):
        if word in _VALUES or (word == "and" and runs[-1] and following in _VALUES):
            runs[-1].append(word)
        elif word == "of" and runs[-1][-1:] == ["couple"]:
            continue
        elif word in _AROUND:
            if runs[-1]:
                runs.append([])
        else:
            return None
    said = [run for run in runs if run and run not in (["a"], ["an"])]
    if not said:  # "a" alone counts only if it is all that was written
        said = [run for run in runs if run and len(words) == 1]
    return _value(said[0]) if len(said) == 1 else None


def _has_number_word(text: str) -> bool:
    return any(word in _VALUES and word not in ("a", "an", "none") for word in _WORD.findall(text))


def _value(words: list[str]) -> int | None:
    """Return the value of number words in a row, such as `two hundred and five`; None if they are not one number."""
    total, part, last = 0, 0, None
    for word in words:
        if word == "and":
            if last is None or last < 100:
                return None
            continue
        value = _VALUES[word]
        if value >= 1000:
            total, part = total + (part or 1) * value, 0
        elif value == 100 or word in ("dozen", "couple"):
            if last is not None and (part == 0 or last >= 100):
                return None
            # "a couple" is 2 and not 1 * 2 + …; "two dozen" is 24.
            part = (part or 1) * value
        elif last is not None and not _fits_behind(last, value):
            return None
        else:
            part += value
        last = value
    return total + part


def _fits_behind(last: int, value: int) -> bool:
    """Return True if a word of this value may follow the last one inside a number: `twenty one`, `hundred five`."""
    return last >= 100 or (20 <= last <= 90 and 1 <= value <= 9)
