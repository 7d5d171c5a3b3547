"""The sentences in English, the language of a bot that names none."""

from __future__ import annotations

from typing import Final

from linqbot.language.wording import Sentences

SENTENCES: Final = Sentences(
    text="Please answer with text.",
    other_form="Please answer in another form.",
    photo_or_file="Please answer with a photo or a file.",
    location="Please answer with your location: share it here.",
    contact_card="Please answer with your contact card: share it with this number.",
    something_else="Please answer with something else.",
    one_of_these="Please answer with one of these: {choices}.",
    whole_number="Please answer with a whole number.",
    any_number="Please answer with a number.",
    more_than="Please answer with more than {gt}.",
    at_least="Please answer with {ge} or more.",
    less_than="Please answer with less than {lt}.",
    at_most="Please answer with {le} or less.",
    longer="Please answer with at least {min_length} characters.",
    shorter="Please answer with at most {max_length} characters.",
    web_address="Please answer with a web address, such as https://example.com.",
    iso_date="Please answer with a date, such as 2026-11-20.",
    iso_date_time="Please answer with a date and a time, such as 2026-11-20 18:30.",
    iso_time="Please answer with a time, such as 18:30.",
    too_long="Please write less, so that I understand it.",
    number="Please give one whole number, such as 2 or twelve.",
    yes_or_no="Please answer yes or no.",
    day="Please give a day, such as Friday, tomorrow or 24 Dec.",
    day_and_time="Please give a day and a time, such as Friday 19:30, tomorrow at 7pm or 24 Dec 18:00.",
    which_time="At which time? Please give the day and a time, such as Friday 19:30.",
    day_passed="That day has passed. Please give a later one.",
    time_passed="That time has passed. Please give a later one.",
    morning_or_evening="{hour} in the morning or in the evening? Please write it like 7am, 7pm or 19:00.",
    no_such_time="{hour}:{minute:02} is not a time of day. Please write it like 19:30.",
    no_such_date="There is no such date as {date}. Please check it.",
    two_dates="{given} could be two dates. Please write the month as a word, such as {day} {month}.",
    two_numbers="{given} could be {one} or {other}. Please write it like this.",
    duration="Please give a length of time, such as 20 min, 1h30 or 2 days.",
    rhythm="Please say how often, such as every day at 9:00, weekdays 8:30, mon and thu 19:30 or every 2 hours.",
    unclear_rhythm="It is not clear which times are on which days. Please give one rhythm for each group of days, such as "
    "weekdays 9:00, and on its own weekends 11:00.",
    rhythm_time="At which time of day? Such as every day at 9:00, or mon 9:00.",
    yes="Yes",
    no="No",
    may_skip="You can also say: {skip}.",
    is_it_right="Is this right? Say yes, or name what to change.",
    name_what_to_change="Please say yes if it is right, or name what to change: {choices}.",
    hours_example="Please write like: hours mon-fri 9-18, closed 24 dec, open saturday 9-12, or sold out today.",
    closed_then="We are closed then. Please choose another time, from {opening} on.",
    started="You get our messages again. STOP ends them.",
    help="You are writing to an automatic service. STOP ends its messages, START begins them again.",
    day_at_time="{day} at {time}",
    handoff="{name} would like to talk to a person. What you write here goes to {name}. A 👍 on one of these messages, or "
    "#done, gives the chat back to the bot.",
    which_person="This was not sent. Please reply to a message of the person it is for: {names}.",
    not_delivered="This could not be delivered to {name}.",
    handoff_over="This was not sent, because the bot answers {name} again.",
    handed_back="The bot answers {name} again.",
    bot_is_off="The bot is silent in all chats. To end that, write: {word}",
    bot_is_on="The bot answers again.",
    bot_is_back="You are talking to the bot again.",
    no_one_answers="Sorry, no one can answer you right now. You are talking to the bot again.",
    sorry="Sorry, I cannot answer right now. Please try again in a few minutes.",
    one_moment="One moment …",
    more="I have more to say. Shall I go on?",
    used_up_hour="That is all I can do for you for now. Please write again in an hour.",
    used_up_day="That is all I can do for you today. Please write again tomorrow.",
    used_up_week="That is all I can do for you this week. Please write again next week.",
    used_up_month="That is all I can do for you this month. Please write again next month.",
    may_i="May I {call}? 👍 or yes, 👎 or no",
)

CANCEL: Final = ("never mind", "forget it")
"""The texts, in any case, by which a person ends a question, unless `cancel=` says otherwise.

None of them is an opt-out in capitals (R69), as CANCEL is."""

BACK: Final = ("back", "go back", "previous")
"""The texts by which a person goes back in a form."""

SKIP: Final = ("skip", "pass", "none")
"""The texts by which a person leaves out a field of a form."""
