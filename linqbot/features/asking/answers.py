"""Answers: decide if an event answers an open question, and convert it to the value that `ctx.ask` returns.

A conversion that fails raises ValueError with a sentence that is shown to the person.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Any, Final

from linqbot.features.asking.question import TAPBACKS, Ballot, OpenQuestion, Question
from linqbot.language.reading import chosen, plain, readings, says
from linqbot.language.spoken import ENGLISH, sentences
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived, PollReactionAdded, ReactionAdded
from linqbot.linq.handles import person_key
from linqbot.linq.types.message import MediaPart
from linqbot.parse.yes_or_no import yes_no

_VOTE: Final = "poll.vote.added"
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
_NAMED: Final = {
    "LocationSharingStarted": "location",
    "ContactCardReceived": "contact_card",
}
"""The sentence that asks for an event, by its class."""


class Verdict(Enum):
    ANSWER = "answer"
    CANCEL_WORD = "cancel word"
    SIDE_QUESTION = "side question"


def judge(question: OpenQuestion, event: Event) -> Verdict | None:
    """Return the meaning of an event of the asked person; None if it has nothing to do with the question."""
    if isinstance(event, MessageReceived):
        if says_cancel_word(question, event):
            return Verdict.CANCEL_WORD
        return (
            Verdict.SIDE_QUESTION
            if question.side_questions and not says_yes_or_no(event, question.language)
            else Verdict.ANSWER
        )
    if event.type == _VOTE:
        is_answer = event.message_id == question.poll  # also for an option that the person has added: no valid answer
    elif isinstance(event, ReactionAdded | PollReactionAdded):
        is_answer = event.message_id in question.messages and _tapback(event) in question.reactions
    else:
        is_answer = event.type in question.events
    return Verdict.ANSWER if is_answer else None


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


def voted_option(event: Event) -> str | None:
    """Return the id of the option that a vote in a poll chose; None for other events."""
    if event.type != _VOTE:
        return None
    from linqbot.linq.events.poll import PollVoteAdded  # most bots start without the events of polls

    return event.option_id if isinstance(event, PollVoteAdded) else None


def judge_wait(question: OpenQuestion, event: Event) -> Verdict | None:
    """Return the meaning of an event for an open wait; None if it has nothing to do with the wait.

    A message ends a wait only if it is a word such as `never mind`: the ballot counts the votes.
    """
    if isinstance(event, MessageReceived):
        is_asked = person_key(event.actor or "") == question.asked
        return Verdict.CANCEL_WORD if is_asked and says_cancel_word(question, event) else None
    # Imported here, because most bots start without the events of payments and locations.
    from linqbot.linq.events.chat import LocationSharingStarted
    from linqbot.linq.events.payment import PaymentAuthorized, PaymentEvent

    if question.waits_for == "location":
        # Only direct chats wait for a location, so it is that of the person, under whatever handle they share it.
        return Verdict.ANSWER if isinstance(event, LocationSharingStarted) else None
    if isinstance(event, PaymentEvent):
        # An authorized payment is on its way: its success or its failure follows.
        ends = question.payment is not None and event.id == question.payment
        return Verdict.ANSWER if ends and not isinstance(event, PaymentAuthorized) else None
    return None


def counted(ballot: Ballot, event: Event, at: float | None = None) -> Ballot | None:
    """Return the ballot with what an event changes; None if the event has nothing to do with the vote.

    `at` is the time of the event, by Linq's clock; None if it is not known. A vote that is older than the newest one of its
    person changes nothing: its webhook came late.
    """
    person = person_key(event.actor or "")
    if isinstance(event, MessageReceived | MessageEdited):
        # Next to a poll, a text is only a text: people talk about the choices.
        text = event.text_to_me if isinstance(event, MessageReceived) else event.text
        choice = None if ballot.poll is not None else choice_of(text, ballot.choices, numbered=True)
        if choice is None or (noted := _noted(ballot, person, at)) is None:
            return None if choice is None else ballot
        return _with_vote(noted, person, choice, instead=True)
    if ballot.poll is None or event.message_id != ballot.poll:
        return None
    return _of_poll(ballot, event, person, at)


def _noted(ballot: Ballot, what: str, at: float | None) -> Ballot | None:
    """Return the ballot with the time of a vote, which is the newest of its kind; None if it is not."""
    if at is None:
        return ballot
    if at < ballot.newest.get(what, 0.0):
        return None
    return ballot.model_copy(update={"newest": {**ballot.newest, what: at}})


def _of_poll(ballot: Ballot, event: Event, person: str, at: float | None) -> Ballot | None:
    from linqbot.linq.events.poll import PollUpdated, PollVoteAdded, PollVoteRemoved

    if isinstance(event, PollUpdated):
        added = tuple((option.option_id, option.text) for option in event.added_options if option.text)
        new = tuple(text for _, text in added if text not in ballot.choices)
        return ballot.model_copy(update={"options": (*ballot.options, *added), "choices": (*ballot.choices, *new)})
    if isinstance(event, PollVoteAdded | PollVoteRemoved):
        choice = dict(ballot.options).get(event.option_id or "")
        if choice is None or not person:
            return None
        if (noted := _noted(ballot, f"{person} {event.option_id}", at)) is None:
            return ballot
        ballot = noted
        if isinstance(event, PollVoteAdded):
            return _with_vote(ballot, person, choice)
        return ballot.model_copy(update={"votes": tuple(vote for vote in ballot.votes if vote != (person, choice))})
    return None


def with_members(ballot: Ballot, event: Event) -> Ballot | None:
    """Return the ballot after a person came or left; None if this changes nothing."""
    from linqbot.linq.events.chat import ParticipantAdded, ParticipantRemoved

    if not isinstance(event, ParticipantAdded | ParticipantRemoved):
        return None
    handle = person_key(event.participant.handle)
    if ballot.until is not None or not handle or event.participant.is_me or handle == person_key(event.line or ""):
        return None
    others = tuple(member for member in ballot.members if member != handle)
    return ballot.model_copy(update={"members": (*others, handle) if isinstance(event, ParticipantAdded) else others})


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


def _with_vote(ballot: Ballot, person: str, choice: str, *, instead: bool = False) -> Ballot:
    """Return the ballot with a vote; `instead` removes the person's other votes."""
    others = tuple(vote for vote in ballot.votes if not (vote[0] == person and (instead or vote[1] == choice)))
    return ballot.model_copy(update={"votes": (*others, (person, choice))})


def value_of(question: Question, event: Event | None, text: str, shown: str | None, now: datetime) -> Any:
    """Convert an answer to the value that `ctx.ask` returns. Raises ValueError with a message for the person.

    Raises BotError if the function of `kind` has called a parser in a wrong way, such as with an unknown time zone.

    Args:
        event: The event that answers; None if the operator answered.
        text: Of a message, without a mention of the bot; of the option that a vote chose; or of the operator.
        shown: The choice that the person meant, of those that were shown; the text, if it is none of them. None if no
            choices were shown.
        now: The time at which the answer came: that of `tomorrow`.
    """
    if isinstance(event, ReactionAdded | PollReactionAdded):
        text = "👎" if _tapback(event) == TAPBACKS[-1] else "👍"  # so a tapback means what a word does
    if question.yes is not None:
        return yes_no(text)
    kind = question.kind
    if question.choices and (choice := _choice(question, text, shown)) is not None:
        return choice
    if kind is MediaPart:
        if not isinstance(event, MessageReceived) or not event.media:
            raise ValueError(sentences().photo_or_file)
        return event.media[0]
    if isinstance(kind, type) and issubclass(kind, Event):
        if not isinstance(event, kind):
            raise ValueError(getattr(sentences(), _NAMED.get(kind.__name__, "something_else")))  # noqa: TRY004 - a person reads it
        return event
    if not (text := text.strip()):
        raise ValueError(sentences().text)
    return text if kind is str else question.reader.read(text, now)


def _tapback(event: ReactionAdded | PollReactionAdded) -> str:
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


def _choice(question: Question, text: str, shown: str | None) -> str | None:
    """Return the choice that an answer means; None if it means none, and `kind` may read it."""
    # A number counts in the list that the person saw. Today's code may give another list.
    choices = question.choices
    choice = choice_of(text, choices, numbered=False) if shown is None else chosen(shown, choices)
    if choice is None and question.kind is str:
        raise ValueError(sentences().one_of_these.format(choices=", ".join(choices)))
    return choice
