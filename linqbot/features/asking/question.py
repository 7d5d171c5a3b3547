"""Questions: the arguments of `ctx.ask`, checked, and the stored form of a question that waits for its answer.

The module also holds the ballot of `ctx.vote`, the digest that shows if a handler's code has changed while a question
was open, and the interfaces through which a Context asks. `worker/asking/` implements these interfaces. Classes of
events that only votes need are imported where they are used, because most bots start without them.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import ValidationError, to_json

from linqbot.content.drafts import numbered_list
from linqbot.content.message_split import Content, bubbles, fitted_to_messages
from linqbot.errors import BotError
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.rules.values import E164, EMAIL
from linqbot.linq.text.styled import StyledText
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import MediaPart, MessageContent, ReactionType, text_of
from linqbot.linq.types.proactive import Scheduled
from linqbot.options import CANCEL_WORDS, DAY_S, check_number, check_text

if TYPE_CHECKING:
    from linqbot.features.asking.results import VoteResult
    from linqbot.features.asking.wait_kinds import Wait


T = TypeVar("T")


def adapter_of(kind: Any) -> TypeAdapter[Any] | None:
    """Return the validator of a type; None for a function, which converts the text itself.

    Raises:
        PydanticUserError: pydantic cannot build this type.
    """
    try:
        return _adapter(kind)
    except TypeError:  # a kind that cannot be hashed
        return _adapter.__wrapped__(kind)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    if callable(kind) and not isinstance(kind, type) and not hasattr(kind, "__origin__"):
        return None
    try:
        return TypeAdapter(kind)
    except PydanticSchemaGenerationError:
        if callable(kind):
            return None
        raise


class Ballot(Data):
    """The votes of an open `ctx.vote`, as they are stored."""

    choices: tuple[str, ...]  # the choices, those included that people have added to the poll
    poll: str | None = None  # the id of the message with the poll; None if people vote by text
    options: tuple[tuple[str, str], ...] = ()  # the id of each option of the poll, and its text
    votes: tuple[tuple[str, str], ...] = ()  # the handle, in lower case, and the choice of each vote, the oldest first
    # The handles that all must vote; empty if a number of people must, or if all have left.
    members: tuple[str, ...] = ()
    until: int | None = None  # the number of people who must vote; None if all members must

    @property
    def is_complete(self) -> bool:
        """True if everyone has voted who must."""
        voters = {handle for handle, _ in self.votes}
        if self.until is not None:
            return len(voters) >= self.until
        return voters.issuperset(self.members)

    def result(self) -> dict[str, Any]:
        """Return the result as JSON data: see `vote_result`."""
        return {"choices": self.choices, "votes": self.votes, "is_complete": self.is_complete}


def vote_result(result: Any) -> VoteResult:
    """Return a stored result as `ctx.vote` returns it."""
    votes: dict[str, tuple[str, ...]] = {}
    counts = dict.fromkeys(result["choices"], 0)
    for handle, choice in result["votes"]:
        votes[handle] = (*votes.get(handle, ()), choice)
        counts[choice] += 1
    from linqbot.features.asking.results import VoteResult

    return VoteResult(votes, counts, result["is_complete"])


def counted(ballot: Ballot, event: Event) -> Ballot | None:
    """Return the ballot with what an event changes; None if the event has nothing to do with the vote."""
    person = (event.actor or "").casefold()
    if isinstance(event, MessageReceived):
        # Next to a poll, a text is only a text: people talk about the choices.
        choice = None if ballot.poll is not None else choice_of(event.text_to_me, ballot.choices)
        return None if choice is None else _with_vote(ballot, person, choice, instead=True)
    return None if ballot.poll is None or event.message_id != ballot.poll else _of_poll(ballot, event, person)


def _of_poll(ballot: Ballot, event: Event, person: str) -> Ballot | None:
    from linqbot.linq.events.poll import PollUpdated, PollVoteAdded, PollVoteRemoved

    if isinstance(event, PollUpdated):
        added = tuple((option.option_id, option.text) for option in event.added_options if option.text)
        new = tuple(text for _, text in added if text not in ballot.choices)
        return ballot.model_copy(update={"options": (*ballot.options, *added), "choices": (*ballot.choices, *new)})
    if isinstance(event, PollVoteAdded | PollVoteRemoved):
        choice = dict(ballot.options).get(event.option_id or "")
        if choice is None or not person:
            return None
        if isinstance(event, PollVoteAdded):
            return _with_vote(ballot, person, choice)
        return ballot.model_copy(update={"votes": tuple(vote for vote in ballot.votes if vote != (person, choice))})
    return None


def with_members(ballot: Ballot, event: Event) -> Ballot | None:
    """Return the ballot after a person came or left; None if this changes nothing."""
    from linqbot.linq.events.chat import ParticipantAdded, ParticipantRemoved

    if not isinstance(event, ParticipantAdded | ParticipantRemoved):
        return None
    handle = event.participant.handle.casefold()
    if ballot.until is not None or not handle or event.participant.is_me or handle == (event.line or "").casefold():
        return None
    others = tuple(member for member in ballot.members if member != handle)
    return ballot.model_copy(update={"members": (*others, handle) if isinstance(event, ParticipantAdded) else others})


def choice_of(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice that a text names, by its words or by its number from 1; None if it names none."""
    number = text.strip().casefold().rstrip(".)!")
    # The text of a choice comes first: among the choices "2" and "4", the answers 2 and 2. are the first one.
    for wanted in (text, number):
        if (choice := choice_of_words(wanted, choices)) is not None:
            return choice
    # Compared as text: Python refuses to convert more than 4,300 digits to a number.
    numbered = {str(n): choice for n, choice in enumerate(choices, start=1)}
    return numbered.get(number.lstrip("0"))


def choice_of_words(words: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice with these words, in any case; None if there is none."""
    said = words.strip().casefold()
    return next((choice for choice in choices if choice.strip().casefold() == said), None)


def _with_vote(ballot: Ballot, person: str, choice: str, *, instead: bool = False) -> Ballot:
    """Return the ballot with a vote; `instead` removes the person's other votes."""
    others = tuple(vote for vote in ballot.votes if not (vote[0] == person and (instead or vote[1] == choice)))
    return ballot.model_copy(update={"votes": (*others, (person, choice))})


LONGEST_TIMEOUT_S: Final = 366 * DAY_S
MOST_ASKS: Final = 1000
"""Maximum number of questions in one conversation."""
_POLL_MOST: Final = 12
"""Maximum number of choices that are shown as a poll. More are shown as a numbered list."""


def texts(verb: str, argument: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return the texts that an argument lists.

    Raises:
        BotError: it is one text, whose letters would be taken for the texts.
    """
    if isinstance(given, str):
        raise BotError(f"{verb}({argument}={given!r}): give a list of texts, such as [{given!r}].")
    return tuple(given)


def cancel_words(words: Sequence[str], choices: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the texts that end a question, in lower case.

    The words of choices that a person may type end nothing: they choose, as a vote does.
    """
    offered = {choice.strip().casefold().rstrip(".!") for choice in choices}
    return tuple(word for word in (each.strip().casefold() for each in words) if word.rstrip(".!") not in offered)


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of one `ctx.ask`; see there. Or of `ctx.pay` and the like: then `wait` is set.

    Raises:
        BotError: the arguments do not fit together.
    """

    content: tuple[Content, ...]
    kind: Any = str
    choices: tuple[str, ...] = ()
    yes: ReactionType | None = None
    who: str = "asker"
    tries: int = 3
    timeout_s: float = DAY_S
    cancel: tuple[str, ...] = CANCEL_WORDS
    repeat: bool = True
    key: str | None = None
    also: tuple[str, ...] = ()
    side_questions: bool = False
    wait: Wait | None = None

    def __post_init__(self) -> None:
        if not self.content and self.wait is None:
            raise BotError("ctx.ask() was called without a question. Give it the text to send: ctx.ask('Your name?').")
        if self.yes is not None and (self.kind is not str or self.choices):
            raise BotError("ctx.ask() takes yes= without kind= and choices=.")
        if self.choices and (self.events or self.kind is MediaPart):
            raise BotError("ctx.ask() takes choices= with a kind= that is read from text only, such as int.")
        if any(not isinstance(choice, str) or not choice.strip() for choice in self.choices):
            raise BotError(f"{self.verb}(choices={list(self.choices)!r}): each choice is a text.")
        if len({choice.strip().casefold() for choice in self.choices}) < len(self.choices):
            raise BotError(f"{self.verb}(choices={list(self.choices)!r}): two choices are equal.")
        if self.yes is not None and self.yes not in get_args(ReactionType):
            raise BotError(f"ctx.ask(yes={self.yes!r}): there is no such reaction. Give a name such as 'like'.")
        if self.yes == "dislike":
            raise BotError("ctx.ask(yes='dislike'): this tapback means no. Give another one, such as 'like'.")
        check_number(self.verb, "timeout_s", self.timeout_s)
        if not 0 < self.timeout_s <= LONGEST_TIMEOUT_S:
            raise BotError(f"{self.verb}(timeout_s={self.timeout_s!r}): give seconds, more than 0 and at most a year.")
        check_number(self.verb, "tries", self.tries, "a number of answers")
        if self.tries < 1:
            raise BotError(f"ctx.ask(tries={self.tries!r}): give the number of answers to accept before giving up.")
        self._check_texts()
        self._check_people()
        self._check_kind()

    def _check_texts(self) -> None:
        for given in (*self.content, *self.choices, *self.cancel, self.key):
            check_text(self.verb, given.text if isinstance(given, StyledText) else given)

    def _check_people(self) -> None:
        if self.who not in ("asker", "anyone") and not (E164.fullmatch(self.who) or EMAIL.fullmatch(self.who)):
            raise BotError(
                f"ctx.ask(who={self.who!r}): give 'asker', 'anyone', or a handle, such as '+14155550142'. Otherwise no "
                "answer could ever come."
            )
        if (self.also or self.side_questions) and self.yes is None:
            raise BotError(
                "ctx.ask() takes also= and side_questions= with yes= only: other messages may be any answer."
            )
        for handle in self.also:
            if not (E164.fullmatch(handle) or EMAIL.fullmatch(handle)):
                raise BotError(f"ctx.ask(also={list(self.also)!r}): {handle!r} is no handle, such as '+14155550142'.")

    def _check_kind(self) -> None:
        if inspect.iscoroutinefunction(self.kind):
            raise BotError("ctx.ask(kind=…) takes a plain function, because it runs again for each later answer.")
        if self.kind is str or self.events:
            return
        try:
            adapter_of(self.kind)
        except PydanticUserError as error:
            raise BotError(
                f"ctx.ask(kind={self.kind!r}): no text can be read as this. Give a type that pydantic knows, such as int, "
                "or a function."
            ) from error

    @property
    def verb(self) -> str:
        """The method of the context that asks the question, for error messages."""
        return "ctx.ask" if self.wait is None else self.wait.verb

    @property
    def digest(self) -> str:
        """A digest of the words of the question, by which today's code finds its answer."""
        parts = [each.model_dump(mode="json") for each in bubbles(self.content)]
        words = [parts, self.choices] if self.wait is None else [parts, self.choices, self.wait.words]
        return hashlib.blake2b(to_json(words), digest_size=8).hexdigest()

    @property
    def fits_poll(self) -> bool:
        """True if the choices can be shown as a poll (R86)."""
        return 2 <= len(self.choices) <= _POLL_MOST

    @property
    def events(self) -> tuple[str, ...]:
        """The types of the events that answer the question besides messages."""
        if isinstance(self.kind, type) and issubclass(self.kind, Event):
            return self.kind.types
        return ()

    def messages(self, *, numbered: bool, service: str | None = None) -> list[MessageContent]:
        """Return the messages that ask the question, with the choices as a numbered list if `numbered`."""
        content = fitted_to_messages(self.content, service)
        if numbered:
            lines = numbered_list(self.choices)
            last = content[-1] if content else None
            if isinstance(last, str):
                content[-1] = f"{last}\n{lines}"
            else:
                content.append(lines)
        return bubbles(content, service=service)


@dataclass(frozen=True, slots=True)
class AskedBefore:
    """A question that timed out before the message that is being handled: `ctx.after_ask`.

    Attributes:
        question: The text of the question; empty on a line that keeps nothing (zero retention).
        key: The `key=` of the question.
        handler: The name of the handler that asked.
        asked_at: The time at which it asked.
    """

    question: str
    key: str | None
    handler: str
    asked_at: datetime


class LookedUp(Data):
    """The facts about a message that were looked up, because its webhook does not say them; see `MessageEvent`."""

    replies_to_me: bool = False
    answers: Scheduled | None = None


class OpenQuestion(Data):
    """A question that waits for its answer, as it is stored."""

    n: int  # The number of the question in its conversation. A number is never used twice.
    key: str | None = None  # the `key=` of the question
    text: str = ""  # the text of the question, for operators
    messages: tuple[str, ...] = ()  # the ids of the messages that asked it
    choices: tuple[str, ...] = ()  # The choices, as they were shown. Today's code may give others.
    # The id of the message with the poll, if there is one; and its `options`, the choices by their ids.
    poll: str | None = None
    options: Mapping[str, str] = {}
    reactions: tuple[str, ...] = ()  # the reactions that answer it
    events: tuple[str, ...] = ()  # the types of the events that answer it, besides messages
    cancel: tuple[str, ...] = ()  # the texts that end it, in lower case
    repeat: bool = True  # True asks again after a side answer
    also: tuple[str, ...] = ()  # handles, in lower case, of further people who may say yes or no
    side_questions: bool = False  # True if only a yes or no answers it, and other messages are handled as usual
    prompt: tuple[dict[str, Any], ...] = ()  # the messages that ask it again, as JSON
    tries: int = 0  # the number of invalid answers so far
    timer: str = ""  # the id of the timer that ends it
    next: int = 1  # the number of the next question of the conversation
    # `replies_to_me`, `answers`, `is_group` and `line` are those of the event that began the conversation, which its
    # webhook may not say.
    replies_to_me: bool = False
    answers: Scheduled | None = None
    burst: tuple[LookedUp, ...] = ()  # the same of its single messages, if it is a burst
    after_ask: AskedBefore | None = None  # the `ctx.after_ask` with which the conversation began
    is_group: bool | None = None
    line: str | None = None
    failed_by: str | None = None  # the id of the delivery that became a dead letter, if the conversation has failed
    # What ends it: an answer in words, or something else.
    waits_for: Literal["answer", "payment", "location", "votes"] = "answer"
    asked: str = ""  # for a wait: the handle of the person whose event began it, in lower case; empty if there is none
    payment: str | None = None  # the id of the payment request, if it waits for a payment
    looks: int = 0  # the number of times that a shared location was looked up and not known yet
    is_known: bool = False  # True if the person shared the location before they were asked, so that no event follows
    ballot: Ballot | None = None  # the votes so far, if it waits for votes

    @classmethod
    def read(cls, stored: bytes) -> OpenQuestion | None:
        """Return a question as a conversation stores it; None if it cannot be read: another release may have stored it."""
        try:
            return cls.model_validate_json(stored)
        except ValidationError:
            return None

    @property
    def takes_words(self) -> bool:
        """True if each message of the asked person is an answer."""
        return self.waits_for == "answer"

    def to_json(self) -> bytes:
        """Return the question as `Conversation.question` holds it."""
        return self.model_dump_json().encode()


def asked_before(question: OpenQuestion, handler: str, asked_at: float) -> AskedBefore:
    """Return the `ctx.after_ask` of a question that timed out."""
    return AskedBefore(question.text, question.key, handler, datetime.fromtimestamp(asked_at, UTC))


def text_to_show(messages: Sequence[MessageContent]) -> str:
    """Return the text of the messages of a question."""
    return "\n".join(filter(None, (text_of(message.parts or ()) for message in messages)))


def as_prompt(messages: Sequence[MessageContent]) -> tuple[dict[str, Any], ...]:
    """Return messages as JSON, to be sent again after a side answer."""
    plain = (message.model_copy(update={"effect": None, "reply_to": None}) for message in messages)
    return tuple(message.model_dump(mode="json", exclude_none=True) for message in plain)


@lru_cache
def code_digest(handler: Any) -> str:
    """Return a digest of a handler's code and of the file that holds it.

    The file is included for the functions that the handler calls. Both are equal in every process that runs the same
    release of the bot on the same Python.
    """
    digest = hashlib.blake2b(digest_size=8)
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if isinstance(code, CodeType):
        _add(code, digest)
        with contextlib.suppress(OSError):  # code without a file, such as that of a notebook
            digest.update(Path(code.co_filename).read_bytes())
    return digest.hexdigest()


def _add(code: CodeType, digest: Any) -> None:
    digest.update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(constant, digest)
        elif not isinstance(constant, frozenset):  # the order of its elements differs from process to process
            digest.update(repr(constant).encode())
