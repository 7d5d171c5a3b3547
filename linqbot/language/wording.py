"""The sentences that linqbot says to people, and the words that it understands from them, of any language.

The sentences here are English. Each other language has all of them in its file, too: a test finds one that is missing.

Words in braces are filled in when a sentence is said: `{hour}` in `morning_or_evening`. A sentence of another
language may leave some out, and has no other ones. Next step: `spoken.py` chooses the language of a turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from linqbot.language.reading import unaccented


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """The sentences of one language, by name; those that are not given are English."""

    # Answers to a question of `ctx.ask`
    text: str = "Please answer with text."
    other_form: str = "Please answer in another form."
    photo_or_file: str = "Please answer with a photo or a file."
    location: str = "Please answer with your location: share it here."
    contact_card: str = "Please answer with your contact card: share it with this number."
    something_else: str = "Please answer with something else."
    one_of_these: str = "Please answer with one of these: {choices}."
    any_number: str = "Please answer with a number."
    more_than: str = "Please answer with more than {gt}."
    at_least: str = "Please answer with {ge} or more."
    less_than: str = "Please answer with less than {lt}."
    at_most: str = "Please answer with {le} or less."
    longer: str = "Please answer with at least {min_length} characters."
    shorter: str = "Please answer with at most {max_length} characters."
    web_address: str = "Please answer with a web address, such as https://example.com."
    multiple_of: str = "Please answer with a multiple of {multiple_of}."
    decimal_places: str = "Please answer with at most {decimal_places} decimal places."
    later_than: str = (
        "Please give a time after this: {gt}."  # of a day, a time of day, or a day and a time, as the next three
    )
    from_then: str = "Please give {ge} or later."
    earlier_than: str = "Please give a time before this: {lt}."
    until_then: str = "Please give {le} or earlier."
    clock_time: str = "Please give a time of day, such as 19:30, 7pm or noon."
    past_day: str = "Please give a day that has passed, with its year, such as 1 February 1990."
    past_time: str = "Please give a day and a time that have passed, with the year, such as 1 February 1990 18:00."
    after_today: str = "That is today. Please give a later day."

    # A question that ended without an answer: by a word of the person, after `tries` invalid answers, or by time
    ask_cancelled: str = "OK, I have stopped here."
    ask_given_up: str = "Sorry, I do not understand, so I have stopped here. You can begin again at any time."
    ask_timed_out: str = (
        "I have not heard from you for a while, so I have stopped here. You can begin again at any time."
    )
    # To the person for whom another one was asked, who has not answered or cannot be reached
    ask_unanswered: str = "Sorry, I could not get an answer for you, so I have stopped here."

    # `linqbot.parse`
    too_long: str = "Please write less, so that I understand it."
    number: str = "Please give one whole number, such as 2 or twelve."
    yes_or_no: str = "Please answer yes or no."
    day: str = "Please give a day, such as Friday, tomorrow or 24 Dec."
    day_and_time: str = "Please give a day and a time, such as Friday 19:30, tomorrow at 7pm or 24 Dec 18:00."
    which_time: str = "At which time? Please give the day and a time, such as Friday 19:30."
    day_passed: str = "That day has passed. Please give a later one."
    time_passed: str = "That time has passed. Please give a later one."
    morning_or_evening: str = "{hour} in the morning or in the evening? Please write it like 7am, 7pm or 19:00."
    no_such_time: str = "{hour}:{minute:02} is not a time of day. Please write it like 19:30."
    no_such_date: str = "There is no such date as {date}. Please check it."
    two_dates: str = "{given} could be two dates. Please write the month as a word, such as {day} {month}."
    two_numbers: str = "{given} could be {one} or {other}. Please write it like this."
    duration: str = "Please give a length of time, such as 20 min, 1h30 or 2 days."
    rhythm: str = "Please say how often, such as every day at 9:00, weekdays 8:30, mon and thu 19:30 or every 2 hours."
    unclear_rhythm: str = (
        "It is not clear which times are on which days. Please give one rhythm for each group of days, such as "
        "weekdays 9:00, and on its own weekends 11:00."
    )
    rhythm_time: str = "At which time of day? Such as every day at 9:00, or mon 9:00."

    # Forms: `ctx.form`
    yes: str = "Yes"
    no: str = "No"
    # Questions to a person of another chat: `ctx.ask(…, who=…)`
    asked_for: str = "For {name}: {question}"
    has_decided: str = "{name} has decided: {answer}."
    too_late: str = "That question is over, so your answer came too late."

    may_skip: str = "You can also say: {skip}."
    is_it_right: str = "Is this right? Say yes, or name what to change."
    name_what_to_change: str = "Please say yes if it is right, or name what to change: {choices}."

    # Opening hours: `Hours`
    hours_example: str = "Please write like: hours mon-fri 9-18, closed 24 dec, open saturday 9-12, or sold out today."
    closed_then: str = "We are closed then. Please choose another time, from {opening} on."

    # START and HELP: `Bot(manners=…)`
    started: str = "You get our messages again. STOP ends them."
    help: str = "You are writing to an automatic service. STOP ends its messages, START begins them again."

    day_at_time: str = "{day} at {time}"  # of `written`

    # A person answers: `ctx.handoff`. All but the last two are for the owner.
    handoff: str = (
        "{name} would like to talk to a person. What you write here goes to {name}. A 👍 on one of these messages, or "
        "#done, gives the chat back to the bot."
    )
    which_person: str = (
        "This was not sent. Please reply to a message of the person it is for, or write “{name}: …”: {names}."
    )
    or_answer: str = (
        "To answer the question, reply to it, or write “#answer …”."  # behind `which_person` or `handoff_over`
    )
    which_done: str = "Whose chat do you give back to the bot? Please write “#done {name}”: {names}."
    not_delivered: str = "This could not be delivered to {name}."
    shared_location: str = "{name} shared a location."
    shared_card: str = "{name} shared a contact card."
    sent_poll: str = "{name} sent a poll: {options}."
    sent_app_card: str = "{name} sent a card of an app."
    put_sticker: str = "{name} put a sticker on a message."
    sent_unknown: str = "{name} sent something that cannot be shown here."
    handoff_over: str = "This was not sent, because the bot answers {name} again."
    handed_back: str = "The bot answers {name} again."
    bot_is_off: str = "The bot is silent in all chats. To end that, write: {word}"  # to `mute_word=` of a Bot
    bot_is_on: str = "The bot answers again."  # to `unmute_word=`
    bot_is_back: str = "You are talking to the bot again."
    no_one_answers: str = "Sorry, no one can answer you right now. You are talking to the bot again."

    # Agents: `linqbot_agent`
    sorry: str = "Sorry, I cannot answer right now. Please try again in a few minutes."
    done: str = "That is done."
    one_moment: str = "One moment …"
    more: str = "I have more to say. Shall I go on?"
    used_up_hour: str = "That is all I can do for you for now. Please write again in an hour."
    used_up_day: str = "That is all I can do for you today. Please write again tomorrow."
    used_up_week: str = "That is all I can do for you this week. Please write again next week."
    used_up_month: str = "That is all I can do for you this month. Please write again next month."
    asked_elsewhere: str = "I have asked for approval, and I will write again when there is an answer."
    may_i: str = "May I {call}? 👍 or yes, 👎 or no"


MEANINGS: Final = (
    *("today", "tomorrow", "the day after tomorrow", "tonight", "this morning", "this afternoon"),
    *("morning", "afternoon", "evening", "noon", "midnight"),
    *("next", "this", "every", "week", "month", "weekend", "weekdays"),
    *("second", "minute", "hour", "day", "in"),
    *("and", "at", "about", "the", "of", "please", "a", ""),
    *("half", "quarter", "minus", "dozen", "hundred", "thousand"),
    *("opening hours", "sold out", "closed", "open"),
)
"""The English words into which a text is translated, so that one grammar reads the texts of all languages.

The empty one is for words that say nothing, such as `on` before a day. Not every language has `night`, `from now`, `past`,
`to`, and `half to` for the next hour: *halb sieben* is 6:30. Words of numbers that are too large to read mean `hundred hundred`,
which is no number, and no part of one.
"""
_OPENING_MARKS: Final = str.maketrans("¿¡", "  ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one language, besides the names of days and months, which a library knows.

    Lists of words are texts with commas. Letters may have their accents: people often leave them out.

    Attributes:
        yes, no: Whole answers.
        cancel: The words that end a question.
        back: The words that go back in a form.
        skip, nothing: The words that leave out a field of a form, and those that do so if it is empty then.
        meanings: The words with each of `MEANINGS`; more meanings, such as `night` and `monday`, are possible.
        numbers: The words of the numbers from 0 to 100, in their order. Of several with `|` between them, the first is written.
        hundreds: The words of 200, 300 and so on to 900.
        numbers_in: The numbers that have other words in a country, by its code, such as `16 dezasseis`.
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
    nothing: str
    meanings: Mapping[str, str]
    numbers: str
    hundreds: str
    numbers_in: Mapping[str, str] = field(default_factory=dict)
    rewrites: Sequence[Sequence[str]] = ()
    finishes: Sequence[Sequence[str]] = ()
    is_day_first: bool = True
    has_decimal_comma: bool = True
    has_spaces: bool = True

    def __post_init__(self) -> None:
        if missing := set(MEANINGS) - self.meanings.keys():
            raise ValueError(f"The language has no words for: {', '.join(sorted(missing))}.")

    def plain(self, text: str) -> str:
        """Return a text in lower case, with letters without accents and characters of one width."""
        return unaccented(text).translate(_OPENING_MARKS)
