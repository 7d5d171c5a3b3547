"""Translation of what people write into the English that the parsers read: `demain à 18h` is `tomorrow at 18h`.

A language is a table of words, such as `language/fr.toml`: `language/wording.py` says which. Names of days and months come
from CLDR by `babel`, which is imported when the first text of a language is read. A word that is in no table stays as it
is, and is then understood by no parser. Long texts are refused, for all parsers, so that no text of a stranger keeps a
parser busy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from linqbot.language.numbers import SMALL, words_of
from linqbot.language.reading import folded, spelled, with_single_spaces, without_emoji
from linqbot.language.spoken import language_of, sentences, spoken
from linqbot.language.wording import Words

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NO_LETTER_BEFORE: Final = r"(?<![^\W\d_])"
_NO_LETTER_AFTER: Final = r"(?![^\W\d_])"
_DATE_BEFORE: Final = re.compile(r"\d{1,2}(?:th|\.)?\s+(?:\w{1,3}\s+)?\Z")
_LATE_NEXT: Final = re.compile(rf"\b({'|'.join(DAYS)}|week|month|weekend) next\b")
_DAY_OF_MONTH: Final = re.compile(rf"\b(?:{'|'.join(DAYS)}) (\d{{1,2}}) at\b")
_FROM_TO: Final = re.compile(rf"\b(?:of )?(?:the )?({'|'.join(DAYS)}) (?:at|the) ({'|'.join(DAYS)})\b")


LONGEST_TEXT: Final = 300
"""Characters. What the parsers understand is far shorter."""


def check_length(text: str) -> None:
    """Raise ValueError for a text with more than `LONGEST_TEXT` characters: it is too long to be an answer."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(sentences().too_long)


def english(text: str) -> str:
    """Return a text in the words that the parsers read, in lower case and without emoji. Raises as `check_length` does."""
    check_length(text)
    language, text = spoken(), without_emoji(text)
    return text if language.words is None else _translator(language.code).english(text)


def load(code: str) -> None:
    """Load all that a language needs.

    Raises ImportError if `babel` is not installed, and ValueError if linqbot does not speak the
    language.
    """
    if language_of(code).words is not None:
        _translator(language_of(code).code)


@dataclass(frozen=True, slots=True)
class _Translator:
    words: Words
    meanings: Mapping[str, str]
    months: Mapping[str, str]
    pattern: re.Pattern[str]

    def english(self, text: str) -> str:
        text = with_single_spaces(self.words.plain(text))
        for pattern, replacement in self.words.rewrites:
            text = re.sub(pattern, replacement, text)
        text = with_single_spaces(self.pattern.sub(self._meaning, text))
        for pattern, replacement in self.words.finishes:
            text = re.sub(pattern, replacement, text)
        text = re.sub(r"\bof (\d{4})\b", r"\1", _LATE_NEXT.sub(r"next \1", with_single_spaces(text)))
        text = _FROM_TO.sub(r"\1 to \2", text)
        text = re.sub(r"\b(at|(?:half|quarter) (?:past|to)) a\b", r"\1 1", text)  # une heure, la una, half één
        text = re.sub(r"\bhalf to\b(?! \d)", "half", text)
        return re.sub(r"\b(\d{1,4}) hour (\d{1,2})\b(?! ?[a-z])", r"\1h\2", text)

    def _meaning(self, match: re.Match[str]) -> str:
        said = match[0].removesuffix(".").replace("-", " ")
        if said in self.months and (said not in self.meanings or _DATE_BEFORE.search(match.string[: match.start()])):
            return f" {self.months[said]} "
        return f" {self.meanings[said]} "


@lru_cache
def _translator(code: str) -> _Translator:
    words = language_of(code).words
    assert words is not None
    days, months = _names(code, words)
    meanings = {**days, **_numbers(words)}
    for meaning, said in words.meanings.items():
        meanings |= dict.fromkeys(forms(said.split(","), words), meaning)
    meanings.pop("", None)
    keys = sorted({*meanings, *months}, key=len, reverse=True)
    pattern = re.compile("|".join(_pattern_of(key, words) for key in keys))
    return _Translator(words, meanings, months, pattern)


def _pattern_of(key: str, words: Words) -> str:
    said = "[ -]".join(map(re.escape, key.split(" ")))
    if not words.has_spaces:
        return said
    # An article such as `l'` ends before a letter.
    return _NO_LETTER_BEFORE + said + (rf"\.?{_NO_LETTER_AFTER}" if key[-1].isalpha() else "")


def forms(said: Iterable[str], words: Words) -> Iterable[str]:
    """Yield words as people write them: without accents, and with `ue` for `ü`."""
    for each in spelled(said):
        yield words.plain(each.removesuffix(".")).replace("-", " ")


def _names(code: str, words: Words) -> tuple[dict[str, str], dict[str, str]]:
    """Return the English names of the days and the months of a language, by their names and short forms in CLDR."""
    from babel import Locale

    locale = Locale.parse(code)
    days, months = dict[str, str](), dict[str, str]()
    for context in ("format", "stand-alone"):
        # Short forms of one character mean other things too, and months in Japanese are numbers.
        for width in ("wide", "abbreviated") if words.has_spaces else ("wide",):
            for number, name in locale.days[context][width].items():
                days |= dict.fromkeys(forms([name, f"{name}s"], words), DAYS[number])
            if words.has_spaces:
                for number, name in locale.months[context][width].items():
                    months |= dict.fromkeys(forms([name], words), MONTHS[number - 1])
    return days, months


def _numbers(words: Words) -> dict[str, str]:
    found = dict[str, str]()
    for number, said in words_of(words):
        # Hundreds in English words, so that one that goes on behind them, such as "doscientos uno", is refused and not 1.
        meaning = str(number) if number < 100 else f"{SMALL[number // 100]} hundred"
        found |= dict.fromkeys(forms([said], words), meaning)
    return found


def lowered(text: str) -> str:
    """Return an English text in lower case, with straight apostrophes and single spaces."""
    return with_single_spaces(folded(text))


def clocks(text: str) -> str:
    """Return a translated text with its times of day as the English parser reads them: `7 hours and half` is `half past 7`.

    An hour with a mark, such as `9h`, `9 Uhr` or `9時`, is one of 24.
    """
    if spoken().words is None:
        return text
    text = re.sub(r"\b(\d{1,2})(?: hour|h)? and (?:a )?(half|quarter)\b", r"\2 past \1", text)
    text = re.sub(r"\b(\d{1,2})(?: hour|h)? minus (?:the |a )?quarter\b", r"quarter to \1", text)
    text = re.sub(r"\b((?:half|quarter) (?:past|to) \d{1,2}) hour\b", r"\1", text)
    text = re.sub(r"\bhalf to (\d{1,2})\b", lambda match: f"half past {(int(match[1]) - 2) % 12 + 1}", text)
    text = re.sub(r"\b(\d{1,2})[.:](\d{2}) ?(?:hour|h)\b", r"\1:\2", text)
    text = re.sub(r"\b(\d{1,2})(?: hour| ?h)\b(?: ?(\d{2})\b(?: minute)?)?", _clock, text)
    text = re.sub(r"\bnoon (?=at \d)", "afternoon ", _DAY_OF_MONTH.sub(r"the \1 at", text))
    # A night has an evening and a morning.
    return re.sub(r"\b([1-5](?::\d\d)?) night\b|\bnight (?=at [1-5]\b)", r"\1 morning ", text)


def lengths(text: str) -> str:
    """Return a translated text with `2日` as a length of time, which may be the second day of a month elsewhere."""
    return text if spoken().words is None else re.sub(r"\bthe (\d{1,3})\b", r"\1 day", text)


def _clock(match: re.Match[str]) -> str:
    return f"{match[1]}:{match[2] or '00'}"
