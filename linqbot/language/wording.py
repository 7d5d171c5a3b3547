"""The sentences that linqbot says to people, and the words that it understands from them, of any language.

Each language has all of them, so a missing one is an error when its module is imported: when the bot is made.

Words in braces are filled in when a sentence is said: `{hour}` in the English `morning_or_evening`. A sentence of another
language may leave some out, and has no other ones. Next step: `spoken.py` chooses the language of a turn.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """The sentences of one language, by name. `english.py` shows when each is said."""

    # Answers to a question of `ctx.ask`
    text: str
    other_form: str
    photo_or_file: str
    location: str
    contact_card: str
    something_else: str
    one_of_these: str  # {choices}
    whole_number: str
    any_number: str
    more_than: str  # {gt}
    at_least: str  # {ge}
    less_than: str  # {lt}
    at_most: str  # {le}
    longer: str  # {min_length}
    shorter: str  # {max_length}
    web_address: str
    iso_date: str
    iso_date_time: str
    iso_time: str

    # `linqbot.parse`
    too_long: str
    number: str
    yes_or_no: str
    day: str
    day_and_time: str
    which_time: str
    day_passed: str
    time_passed: str
    morning_or_evening: str  # {hour}
    no_such_time: str  # {hour} {minute}
    no_such_date: str  # {date}
    two_dates: str  # {given} {day} {month}
    two_numbers: str  # {given} {one} {other}
    duration: str
    rhythm: str
    unclear_rhythm: str
    rhythm_time: str

    # Forms: `ctx.form`
    yes: str
    no: str
    may_skip: str  # {skip}
    is_it_right: str
    name_what_to_change: str  # {choices}

    # Opening hours: `Hours`
    hours_example: str
    closed_then: str  # {opening}

    # START and HELP: `Bot(manners=…)`
    started: str
    help: str

    day_at_time: str  # {day} {time}: of `written`

    # A person answers: `ctx.handoff`. The first seven are for the owner.
    handoff: str  # {name}
    which_person: str  # {names}
    not_delivered: str  # {name}
    handoff_over: str  # {name}
    handed_back: str  # {name}
    bot_is_off: str  # {word}: to `mute_word=` of a Bot
    bot_is_on: str  # to `unmute_word=`
    bot_is_back: str
    no_one_answers: str

    # Agents: `linqbot_agent`
    sorry: str
    one_moment: str
    more: str
    used_up_hour: str
    used_up_day: str
    used_up_week: str
    used_up_month: str
    may_i: str  # {call}


MEANINGS: Final = (
    *("today", "tomorrow", "the day after tomorrow", "tonight", "this morning", "this afternoon"),
    *("morning", "afternoon", "evening", "night", "noon", "midnight"),
    *("next", "this", "every", "week", "month", "weekend", "weekdays"),
    *("second", "minute", "hour", "day", "in", "from now"),
    *("and", "at", "about", "the", "of", "please", "a", ""),
    *("half", "quarter", "half to", "past", "to", "minus", "dozen", "hundred", "thousand"),
    *("opening hours", "sold out", "closed", "open"),
)
"""The English words into which a text is translated, so that one grammar reads the texts of all languages.

The empty one is for words that say nothing, such as `on` before a day. `half to` is for languages that name the next hour:
*halb sieben* is 6:30.
"""
UNREAD: Final = "hundred hundred"
"""Stands for words of numbers that are too large to read: it is no number, and no part of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one language, besides the names of days and months and the numbers that libraries know.

    Lists of words are texts with commas. Letters may have their accents: people often leave them out.

    Attributes:
        yes, no: Whole answers.
        cancel: The words that end a question.
        back, skip: The words that go back in a form, and that leave out a field.
        meanings: The words with each of `MEANINGS`; more meanings, such as `monday`, are possible.
        numbers: The names of the language in num2words.
        more_numbers: Further words of numbers, with their values.
        rewrites: Regular expressions and their replacements, before words are translated.
        finishes: The same for the translated text, in which numbers are digits.
        is_day_first: True if 3/4 is 3 April; False if it is 4 March.
        has_decimal_comma: True if 1.000 is a thousand; False if 1,000 is.
        has_spaces: True if spaces stand between words.
    Raises:
        ValueError: a meaning is missing.
    """

    yes: str
    no: str
    cancel: str
    back: str
    skip: str
    meanings: Mapping[str, str]
    numbers: tuple[str, ...]
    more_numbers: Mapping[str, int] = field(default_factory=dict)
    rewrites: tuple[tuple[str, str], ...] = ()
    finishes: tuple[tuple[str, str], ...] = ()
    is_day_first: bool = True
    has_decimal_comma: bool = True
    has_spaces: bool = True

    def __post_init__(self) -> None:
        if missing := set(MEANINGS) - self.meanings.keys():
            raise ValueError(f"The language has no words for: {', '.join(sorted(missing))}.")

    def plain(self, text: str) -> str:
        """Return a text in lower case, with letters without accents and characters of one width."""
        text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
        if self.has_spaces:  # in Japanese the marks of letters are no accents
            text = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
        return text
