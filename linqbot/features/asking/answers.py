"""Answers in words: the choice, the yes or no, the tapback, and the end of a question that a person means.

Next step: `judge.py` decides with these what an event means for a question.
"""

from __future__ import annotations

import re
from typing import Final

from linqbot.features.asking.question import OpenQuestion
from linqbot.language.reading import chosen, plain, readings, says
from linqbot.language.spoken import ENGLISH
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived, PollReactionAdded, ReactionAdded
from linqbot.parse.yes_or_no import yes_no

_NUMBER_OF_CHOICE: Final = re.compile(
    r"(?P<place>(?:number|num|no|nr|n|option|choice|nummer|numero|opcion|opzione|optie|opcao)[.:°]?\s*|(?=#))?"
    r"[#(\[]?(?P<number>\d{1,6})[)\].:]*(?:番目?)?"
)
_BEGINNING: Final = re.compile(r"[^\w-]*(\d{1,6})(?!\d|[.,]\d)")
"""The number with which a choice begins: that of `4 people` or `19:00`, none of `1.5 kg`."""
_ORDINALS: Final = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
_ORDINAL: Final = re.compile(rf"(?:the )?({'|'.join(_ORDINALS)}|\d{{1,6}}(?:st|nd|rd|th))(?: (?:one|option|choice))?")
_HEARTS: Final = ("\u2764", "\u2764\ufe0f")
"""The emoji that looks like the tapback `love`. The person does not see the difference."""


def says_cancel_word(question: OpenQuestion, message: MessageReceived) -> bool:
    """Return True if a message is a word that ends the question, such as `never mind` or `Never mind, thanks!`."""
    return says(message.text_to_me, question.cancel)


def says_yes_or_no(event: Event, language: str | None) -> bool:
    """Return True if an event is a message that says yes or no and nothing else, in the language of a question."""
    if not isinstance(event, MessageReceived):
        return False
    try:
        yes_no(event.text_to_me, language=language or ENGLISH.code)
    except ValueError:
        return False
    return True


def choice_of(text: str, choices: tuple[str, ...], *, numbered: bool) -> str | None:
    """Return the choice that a text names; None if it names none, or if it could be two.

    A text names a choice by its words; by the number in front of it, if they were shown `numbered`; or by the number with which
    it alone begins: `4` is `4 people`. A choice that is a number itself comes before the one that stands at this place.
    """
    if (choice := chosen(text, choices)) is not None:
        return choice
    number = next((found for said in readings(text) if (found := _NUMBER_OF_CHOICE.fullmatch(said))), None)
    if number is None:
        return _by_ordinal(text, choices) if numbered else None
    value = int(number["number"])
    if (choice := chosen(str(value), choices)) is not None:
        return choice
    if numbered and 1 <= value <= len(choices):
        return choices[value - 1]
    beginnings = [(_BEGINNING.match(plain(choice)), choice) for choice in choices]
    begun = [choice for begins, choice in beginnings if begins and int(begins[1]) == value]
    return begun[0] if len(begun) == 1 and number["place"] is None else None


def _by_ordinal(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice that an English text such as `the second one` names, unless choices are such numbers themselves."""
    said = next((found for each in readings(text) if (found := _ORDINAL.fullmatch(each))), None)
    if said is None or any(said[1] in plain(choice).split() for choice in choices):
        return None
    place = _ORDINALS.index(said[1]) if said[1] in _ORDINALS else int(said[1][:-2]) - 1
    return choices[place] if 0 <= place < len(choices) else None


def tapback(event: ReactionAdded | PollReactionAdded) -> str:
    """Return the type of a reaction; for an emoji that means yes or no, the tapback that means it."""
    if event.reaction_type != "custom":
        return event.reaction_type
    emoji = event.custom_emoji or ""
    if emoji in _HEARTS:
        return "love"
    try:
        return "like" if yes_no(emoji, language=ENGLISH.code) else "dislike"
    except ValueError:
        return event.reaction_type
