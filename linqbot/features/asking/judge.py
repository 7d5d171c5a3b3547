"""The judge: what an event means for a question, and the value of an answer.

Each event that may answer a question comes here: texts, edits, tapbacks, votes, payments, locations, contact cards, and what was
found at Linq or came late. The judge takes a stored question and an answer, and returns a verdict. All three are frozen, and
the judge needs no storage, no client, no clock and no bot.

`judge` decides by what is stored, because the code that has asked may be another one by now. Then the handler runs, and `read`
converts the answer by the question that the code of today asks. Next step: `arrivals.py` acts on the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from linqbot.features.asking.admission import FOUND_ID, SHOWN_ID
from linqbot.features.asking.answers import choice_of, says_cancel_word, says_yes_or_no, tapback
from linqbot.features.asking.question import TAPBACKS, Ballot, OpenQuestion, Question, QuestionEnd
from linqbot.features.asking.records import Asked, is_for
from linqbot.language.reading import chosen, says
from linqbot.language.spoken import Language, sentences, speaking
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived, PollReactionAdded, ReactionAdded
from linqbot.linq.events.parse import understood
from linqbot.linq.handles import person_key
from linqbot.linq.types.message import MediaPart
from linqbot.parse.yes_or_no import yes_no

OF_MEMBERS: Final = frozenset({"participant.added", "participant.removed"})
"""The types of the events by which the members of a group change, and with them those who must vote."""
_VOTE: Final = "poll.vote.added"
_WRITTEN: Final = ("message.received", "contact_card.received")
"""The types of events that answer a question and do not name what they answer."""
_NAMED: Final = {
    "LocationSharingStarted": "location",
    "ContactCardReceived": "contact_card",
}
"""The sentence that asks for an event, by its class."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An event that may answer a question.

    Attributes:
        delivery: The delivery of the event. Its body is stored with the answer.
        is_put_back: True if an operator has put it back into the inbox. Then it answers only the question that it had
            answered when it failed.
        replied_to: The turn whose message the event replies to; None if it replies to none, or if that is not known.
    """

    event: Event
    delivery: Delivery
    is_put_back: bool = False
    replied_to: str | None = None

    @property
    def person(self) -> str:
        return person_key(self.event.actor or "")

    @property
    def at(self) -> float | None:
        """The time of the event in Unix seconds, by Linq's clock; None if it is not known."""
        at = self.event.written_at
        # What was found at Linq may have a time of our clock.
        return None if at is None or self.delivery.id.startswith(FOUND_ID) else at.timestamp()


@dataclass(frozen=True, slots=True)
class NotForMe:
    """The event has nothing to do with the question.

    Attributes:
        may_answer_begun: True for a text that was written before the question was shown, and may answer another one, which an
            interrupted run has begun.
    """

    may_answer_begun: bool = False


@dataclass(frozen=True, slots=True)
class Ends:
    """The event ends the question: it is an answer, or a word such as `never mind`.

    Attributes:
        event: The event that answers: for an edit, the message with its new words.
        is_side: True if the event says neither yes nor no, and each handler that fits goes first.
        is_exact: True if a text is, word for word, a choice of the question, or its yes or no.
        is_whole: True if a text is a choice, or yes or no, in whatever words: no further text belongs to it.
    """

    end: QuestionEnd
    event: Event
    is_side: bool = False
    is_exact: bool = False
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class CountedVote:
    """The event changes the ballot of a vote.

    Attributes:
        end: The end of the vote if it is complete now; None if it goes on.
    """

    ballot: Ballot
    end: QuestionEnd | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """The event answers a question that is over."""


Verdict: TypeAlias = NotForMe | Ends | CountedVote | Late
"""The meaning of an event for a stored question."""


@dataclass(frozen=True, slots=True)
class Value:
    """The value of an answer, as `ctx.ask` returns it."""

    value: Any


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The answer is not valid. `why` is a sentence for the person."""

    why: str


NOT_FOR_ME: Final = NotForMe()
BY_WORD: Final[QuestionEnd] = {"outcome": "cancelled", "reason": "word"}


def judge(asked: Asked, answer: Answer) -> Verdict:
    """Return the meaning of an event for a question of its chat."""
    question, status = asked.question, asked.conversation.status
    if status == "timed_out":
        return NOT_FOR_ME if answer.is_put_back or not _is_late(asked, answer) else Late()
    if question.ballot is not None and answer.event.type in OF_MEMBERS:
        ballot = _with_members(question.ballot, answer.event) if status == "waiting" else None
        return NOT_FOR_ME if ballot is None else CountedVote(ballot)
    if answer.is_put_back:
        if status != "failed" or question.failed_by != answer.delivery.id:
            return NOT_FOR_ME
    elif status != "waiting":
        return NOT_FOR_ME
    elif not _is_in_time(question, answer.event):
        return NotForMe(may_answer_begun=question.follows_begun)
    return _of_words(asked, answer) if question.takes_words else _of_wait(question, answer)


def read(
    question: Question, end: QuestionEnd, event: Event | None, at: datetime, language: Language
) -> Value | AskAgain:
    """Return the value of the answer that has ended a question, as the question of today's code reads it.

    Raises BotError if the function of `kind` has called a parser in a wrong way, such as with an unknown time zone.

    Args:
        event: The event that answers; None if the operator answered.
        at: The time at which the answer came: that of `tomorrow`.
        language: The language in which the question was asked.
    """
    with speaking(language):
        try:
            return Value(_value(question, event, end.get("text", ""), end.get("choice"), at))
        except ValueError as error:
            return AskAgain(str(error) or sentences().other_form)


def with_choice(end: QuestionEnd, question: OpenQuestion) -> QuestionEnd:
    """Add the choice that an answer in words means, if the question showed choices."""
    if not question.choices or end["outcome"] != "answered":
        return end
    text = end.get("text", "")
    return {**end, "choice": choice_of(text, question.choices, numbered=question.is_numbered) or text}


# The time of an answer


def _is_in_time(question: OpenQuestion, event: Event) -> bool:
    """Return False for a message, or a contact card, that was sent before what led to the question.

    Any other event that answers names what it answers, such as a message of the question.
    """
    if question.since is None or event.type not in _WRITTEN or event.written_at is None:
        return True
    return event.written_at.timestamp() >= question.since


def _is_late(asked: Asked, answer: Answer) -> bool:
    """Return True if an event answers a question that is over: in the chat of its handler, any text may do so.

    In another chat, people have other things to say: only what clearly answers the question does.
    """
    question, event = asked.question, answer.event
    if not is_for(asked.conversation.person, answer.person) or not _is_in_time(question, event):
        return False
    if not asked.conversation.id.startswith(SHOWN_ID):
        return isinstance(event, MessageReceived)
    if not isinstance(event, MessageReceived):
        return _names(question, event)
    if event.reply_to is not None and event.reply_to.message_id in question.messages:
        return True
    if question.choices:
        return choice_of(event.text_to_me, question.choices, numbered=True) is not None
    return bool(question.reactions) and says_yes_or_no(event, question.language)


# Answers to a question


def _of_words(asked: Asked, answer: Answer) -> Verdict:
    question, event = asked.question, answer.event
    if not is_for(asked.conversation.person, answer.person):
        return _of_another(question, answer)
    if isinstance(event, MessageEdited):
        # An edit of an answer that was not valid: the message with its new words is a new answer.
        edited = question.edited_answer(answer.delivery)
        message = None if edited is None else understood(edited)
        if edited is None or not isinstance(message, MessageReceived):
            return NOT_FOR_ME
        return _of_message(question, message, edited)
    if isinstance(event, MessageReceived):
        return NOT_FOR_ME if _replies_to_another(asked, answer) else _of_message(question, event, answer.delivery)
    return Ends(_answered(question, event, answer.delivery), event) if _names(question, event) else NOT_FOR_ME


def _of_message(question: OpenQuestion, message: MessageReceived, delivery: Delivery) -> Ends:
    """Return the meaning of a message of the person who is asked: whatever it says, it answers the question or ends it."""
    is_decision = says_yes_or_no(message, question.language)
    is_answer = is_decision and bool(question.reactions)
    is_exact = is_answer or (bool(question.choices) and says(message.text_to_me, question.choices))
    if says_cancel_word(question, message):
        return Ends(BY_WORD, message, is_exact=is_exact)
    end = _answered(question, message, delivery)
    is_side = question.side_questions and not is_decision
    return Ends(end, message, is_side, is_exact, is_whole=is_answer or end.get("choice") in question.choices)


def _of_another(question: OpenQuestion, answer: Answer) -> Verdict:
    """Return the meaning of an event of a person who is not asked: those in `also` may say yes or no."""
    event = answer.event
    is_message = isinstance(event, MessageReceived)
    if answer.person not in question.also or not (is_message or isinstance(event, ReactionAdded | PollReactionAdded)):
        return NOT_FOR_ME
    is_answer = says_yes_or_no(event, question.language) if is_message else _names(question, event)
    return Ends(_answered(question, event, answer.delivery), event, is_whole=is_message) if is_answer else NOT_FOR_ME


def _names(question: OpenQuestion, event: Event) -> bool:
    """Return True if an event that is no message answers a question: a vote, a tapback, or an event of its `kind`."""
    if event.type == _VOTE:
        return event.message_id == question.poll  # also for an option that the person has added: no valid answer
    if isinstance(event, ReactionAdded | PollReactionAdded):
        return event.message_id in question.messages and tapback(event) in question.reactions
    return event.type in question.events


def _replies_to_another(asked: Asked, answer: Answer) -> bool:
    """Return True if a message replies to a message of the bot that the conversation of the question has not sent."""
    event, question = answer.event, asked.question
    if not isinstance(event, MessageReceived) or event.reply_to is None:
        return False
    if event.reply_to.message_id in question.messages or event.reply_to.message_id == question.poll:
        return False
    return answer.replied_to not in (None, asked.conversation.id)


def _answered(question: OpenQuestion, event: Event, delivery: Delivery) -> QuestionEnd:
    """Return the end of a question that an event answers, by the delivery of the event."""
    if isinstance(event, MessageReceived):
        text = event.text_to_me
    else:
        text = question.options.get(_voted_option(event) or "", "")
    end = with_choice({"outcome": "answered", "text": text}, question)
    return {**end, "type": delivery.type, "body": delivery.content}


def _voted_option(event: Event) -> str | None:
    """Return the id of the option that a vote in a poll chose; None for other events."""
    if event.type != _VOTE:
        return None
    from linqbot.linq.events.poll import PollVoteAdded  # most bots start without the events of polls

    return event.option_id if isinstance(event, PollVoteAdded) else None


# What a wait waits for


def _of_wait(question: OpenQuestion, answer: Answer) -> Verdict:
    """Return the meaning of an event for a payment, a location or a vote.

    A message ends such a wait only if it is a word such as `never mind`. The ballot counts the votes.
    """
    event = answer.event
    if isinstance(event, MessageReceived) and answer.person == question.asked and says_cancel_word(question, event):
        return Ends(BY_WORD, event)
    if question.ballot is not None:
        ballot = _counted(question.ballot, answer)
        if ballot is None:
            return NOT_FOR_ME
        if not ballot.is_complete:
            return CountedVote(ballot)
        return CountedVote(ballot, {**_answered(question, event, answer.delivery), "result": ballot.result()})
    # Imported here, because most bots start without the events of payments and locations.
    from linqbot.linq.events.chat import LocationSharingStarted
    from linqbot.linq.events.payment import PaymentAuthorized, PaymentEvent

    if question.waits_for == "location":
        # Only direct chats wait for a location, so it is that of the person, under whatever handle they share it.
        is_answer = isinstance(event, LocationSharingStarted)
    else:
        is_answer = isinstance(event, PaymentEvent) and question.payment is not None and event.id == question.payment
        # An authorized payment is on its way: its success or its failure follows.
        is_answer = is_answer and not isinstance(event, PaymentAuthorized)
    return Ends(_answered(question, event, answer.delivery), event) if is_answer else NOT_FOR_ME


def _counted(ballot: Ballot, answer: Answer) -> Ballot | None:
    """Return the ballot with what an event changes; None if the event has nothing to do with the vote.

    A vote that is older than the newest one of its person changes nothing: its webhook came late.
    """
    event, person = answer.event, answer.person
    if isinstance(event, MessageReceived | MessageEdited):
        # Next to a poll, a text is only a text: people talk about the choices.
        text = event.text_to_me if isinstance(event, MessageReceived) else event.text
        choice = None if ballot.poll is not None else choice_of(text, ballot.choices, numbered=True)
        if choice is None:
            return None
        noted = _noted(ballot, person, answer.at)
        return ballot if noted is None else _with_vote(noted, person, choice, instead=True)
    return _of_poll(ballot, answer) if ballot.poll is not None and event.message_id == ballot.poll else None


def _of_poll(ballot: Ballot, answer: Answer) -> Ballot | None:
    from linqbot.linq.events.poll import PollUpdated, PollVoteAdded, PollVoteRemoved

    event, person = answer.event, answer.person
    if isinstance(event, PollUpdated):
        added = tuple((option.option_id, option.text) for option in event.added_options if option.text)
        new = tuple(text for _, text in added if text not in ballot.choices)
        return ballot.model_copy(update={"options": (*ballot.options, *added), "choices": (*ballot.choices, *new)})
    if not isinstance(event, PollVoteAdded | PollVoteRemoved):
        return None
    choice = dict(ballot.options).get(event.option_id or "")
    if choice is None or not person:
        return None
    if (noted := _noted(ballot, f"{person} {event.option_id}", answer.at)) is None:
        return ballot
    if isinstance(event, PollVoteAdded):
        return _with_vote(noted, person, choice)
    return noted.model_copy(update={"votes": tuple(vote for vote in noted.votes if vote != (person, choice))})


def _noted(ballot: Ballot, what: str, at: float | None) -> Ballot | None:
    """Return the ballot with the time of a vote, which is the newest of its kind; None if it is not."""
    if at is None:
        return ballot
    if at < ballot.newest.get(what, 0.0):
        return None
    return ballot.model_copy(update={"newest": {**ballot.newest, what: at}})


def _with_vote(ballot: Ballot, person: str, choice: str, *, instead: bool = False) -> Ballot:
    """Return the ballot with a vote; `instead` removes the person's other votes."""
    others = tuple(vote for vote in ballot.votes if not (vote[0] == person and (instead or vote[1] == choice)))
    return ballot.model_copy(update={"votes": (*others, (person, choice))})


def _with_members(ballot: Ballot, event: Event) -> Ballot | None:
    """Return the ballot after a person came or left; None if this changes nothing."""
    from linqbot.linq.events.chat import ParticipantAdded, ParticipantRemoved

    if not isinstance(event, ParticipantAdded | ParticipantRemoved):
        return None
    handle = person_key(event.participant.handle)
    if ballot.until is not None or not handle or event.participant.is_me or handle == person_key(event.line or ""):
        return None
    others = tuple(member for member in ballot.members if member != handle)
    return ballot.model_copy(update={"members": (*others, handle) if isinstance(event, ParticipantAdded) else others})


# The value of an answer


def _value(question: Question, event: Event | None, text: str, shown: str | None, at: datetime) -> Any:
    """Convert an answer to its value. Raises ValueError with a sentence for the person.

    Args:
        text: Of a message, without a mention of the bot; of the option that a vote chose; or of the operator.
        shown: The choice that the person meant, of those that were shown; the text, if it is none of them. None if no
            choices were shown.
    """
    if isinstance(event, ReactionAdded | PollReactionAdded):
        text = "👎" if tapback(event) == TAPBACKS[-1] else "👍"  # so a tapback means what a word does
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
    return text if kind is str else question.reader.read(text, at)


def _choice(question: Question, text: str, shown: str | None) -> str | None:
    """Return the choice that an answer means; None if it means none, and `kind` may read it."""
    # A number counts in the list that the person saw. Today's code may give another list.
    choices = question.choices
    choice = choice_of(text, choices, numbered=False) if shown is None else chosen(shown, choices)
    if choice is None and question.kind is str:
        raise ValueError(sentences().one_of_these.format(choices=", ".join(choices)))
    return choice
