"""The sentences that linqbot says to people. Each language has all of them, so a missing one is an error at its import.

Words in braces are filled in when a sentence is said: `{hour}` in the English `morning_or_evening`. A sentence of another
language may leave some out, and has no other ones. Next step: `spoken.py` chooses the language of a turn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """The sentences of one language, by name. `english.py` shows when each is said."""

    # Answers to a question of `ctx.ask`
    text: str
    other_form: str
    photo_or_file: str
    message: str
    location: str
    contact_card: str
    something_else: str
    one_of_these: str  # {choices}
    one_of: str  # {expected}
    either: str  # {first} {last}: the last two of several values
    whole_number: str
    any_number: str
    more_than: str  # {gt}
    at_least: str  # {ge}
    less_than: str  # {lt}
    at_most: str  # {le}
    longer: str  # {min_length}
    shorter: str  # {max_length}
    web_address: str
    hexadecimal_id: str
    iso_date: str
    iso_date_time: str
    iso_time: str

    # `linqbot.parse`
    too_long: str
    number: str
    yes_or_no: str
    day: str
    which_day: str
    day_and_time: str
    which_time: str
    day_passed: str
    time_passed: str
    morning_or_evening: str  # {hour}
    no_such_half: str  # {hour} {half}
    no_such_time: str  # {hour} {minute}
    no_such_date: str  # {date}
    two_dates: str  # {given} {day} {month}
    two_numbers: str  # {given} {one} {other}
    duration: str
    duration_limits: str
    rhythm: str
    unclear_rhythm: str
    rhythm_of_seconds: str
    rhythm_time: str

    # Agents: `linqbot_agent`
    sorry: str
    one_moment: str
    more: str
    used_up_hour: str
    used_up_day: str
    used_up_week: str
    used_up_month: str
    may_i: str  # {call}
