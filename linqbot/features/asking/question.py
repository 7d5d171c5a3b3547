"""Questions: the checked arguments of `ctx.ask`, `ctx.pay`, `ctx.location` and `ctx.vote`, their results, and their stored form.

Such a question waits for an answer in words, or for what a wait names: a payment, a location, or the votes of a ballot.
The module also holds the digest that shows if a handler's code has changed while a question was open. Next step:
`session.py` asks.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypedDict, get_args

from pydantic.errors import PydanticUserError
from pydantic_core import ValidationError, to_json

from linqbot.characters import repaired
from linqbot.clock import NoSuchZone, zone
from linqbot.content.drafts import numbered_list
from linqbot.content.message_split import Content, bubbles, fitted_to_messages
from linqbot.engine.prompts import Prompt
from linqbot.engine.waits import Identity, digest_of_words
from linqbot.errors import AskCancellation, BotError
from linqbot.features.asking.kinds import AnswerReader, Unreadable, reader_of
from linqbot.language.reading import exactly, plain, readings
from linqbot.language.spoken import spoken
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.handles import read_handle
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import MediaPart, MessageContent, ReactionType, texts_of
from linqbot.linq.types.names import misspelt
from linqbot.linq.types.proactive import Scheduled
from linqbot.options import DAY_S, check_number, check_timezone, check_whole

if TYPE_CHECKING:
    from linqbot.features.speaking import Speaker


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment that succeeded. It counts as true, `Declined` and `Expired` as false.

    Attributes:
        request_id: The id of the payment request at Linq, for refunds and questions.
        amount: The amount in the currency's minor unit, such as cents.
        currency: The currency, such as `usd`.
    """

    request_id: str
    amount: int
    currency: str

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True, slots=True)
class Declined:
    """A payment that the payer's bank has refused. The request is closed, so it cannot be paid later.

    Attributes:
        request_id: The id of the payment request at Linq.
    """

    request_id: str

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True, slots=True)
class Expired:
    """A payment that was not made in time. The request is closed, so it cannot be paid later.

    Attributes:
        request_id: The id of the payment request at Linq.
    """

    request_id: str

    def __bool__(self) -> Literal[False]:
        return False


PaymentResult: TypeAlias = Paid | Declined | Expired
"""A result of `ctx.pay`."""


@dataclass(frozen=True, slots=True)
class Location:
    """The place at which a person is.

    Attributes:
        latitude, longitude: In degrees.
        handle: The handle that shares it: a phone number, or the e-mail address of an Apple ID.
        address: The address, if Linq knows it.
        locality: The town, if Linq knows it.
        updated_at: The time at which the phone was located.
    """

    latitude: float
    longitude: float
    handle: str
    address: str | None = None
    locality: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VoteResult:
    """The result of a vote.

    Attributes:
        votes: The choices of each person who voted, by handle in lower case. A person may vote for several in a poll.
        counts: The number of votes for each choice, in the order of the choices.
        is_complete: True if everyone voted who had to; False if the time was over before.
    """

    votes: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    is_complete: bool

    @property
    def winners(self) -> tuple[str, ...]:
        """The choices with the most votes; empty if there are no votes."""
        most = max(self.counts.values(), default=0)
        return tuple(choice for choice, count in self.counts.items() if count == most and most > 0)

    @property
    def winner(self) -> str | None:
        """The choice with the most votes; None after a tie, and without votes."""
        winners = self.winners
        return winners[0] if len(winners) == 1 else None


class Ballot(Data):
    """The votes of an open `ctx.vote`, as they are stored."""

    choices: tuple[str, ...]  # the choices, those included that people have added to the poll
    poll: str | None = None  # the id of the message with the poll; None if people vote by text
    options: tuple[tuple[str, str], ...] = ()  # the id of each option of the poll, and its text
    votes: tuple[tuple[str, str], ...] = ()  # the handle, in lower case, and the choice of each vote, the oldest first
    # The handles that all must vote; empty if a number of people must, or if all have left.
    members: tuple[str, ...] = ()
    until: int | None = None  # the number of people who must vote; None if all members must
    # When each person wrote their newest vote in words, and when they last changed each option of the poll, by Linq's clock.
    newest: Mapping[str, float] = {}

    @property
    def is_complete(self) -> bool:
        voters = {handle for handle, _ in self.votes}
        if self.until is not None:
            return len(voters) >= self.until
        return voters.issuperset(self.members)

    def result(self) -> dict[str, Any]:
        """Return the result as JSON data: see `VoteWait.result`."""
        return {"choices": self.choices, "votes": self.votes, "is_complete": self.is_complete}


ROLES: Final = ("asker", "anyone", "others")
"""The values of `who` that are no handle."""
LONGEST_TIMEOUT_S: Final = 366 * DAY_S
MOST_ASKS: Final = 1000
"""Maximum number of questions in one conversation."""
TAPBACKS: Final = ("like", "love", "dislike")
"""The tapbacks that answer a question to which yes and no are answers. The last one means no."""
_POLL_MOST: Final = 12
"""Maximum number of choices that are shown as a poll. More are shown as a numbered list."""


def texts(argument: str, given: Sequence[str], *, of: str = "ctx.ask") -> tuple[str, ...]:
    """Return the texts that an argument of a question lists.

    Raises BotError for one text, whose letters would be taken for them, and for a set of choices: its order is another one
    in each process, so the question would be asked again after a restart.
    """
    if isinstance(given, str):
        raise BotError(f"{of}({argument}={given!r}): give a list of texts, such as [{given!r}].")
    if not isinstance(given, Iterable) or (argument == "choices" and isinstance(given, set | frozenset)):
        raise BotError(f"{of}({argument}=…) takes a list of texts, not a value of type {type(given).__name__}.")
    listed = tuple(given)
    if any(not isinstance(each, str) for each in listed):
        raise BotError(f"{of}({argument}={list(listed)!r}): each of them is a text.")
    return listed


def cancel_words(words: Sequence[str], choices: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the texts that end a question, in the form in which they are compared.

    The words of choices that a person may type end nothing: they choose, as a vote does.
    """
    offered = {form for choice in choices for form in readings(choice)}
    return tuple(dict.fromkeys(word for word in map(plain, words) if word and offered.isdisjoint(readings(word)[:2])))


def _types_in(kind: Any) -> Iterator[Any]:
    """Yield the types that a union, an Annotated and the like are made of."""
    for each in get_args(kind):
        yield each
        yield from _types_in(each)


class QuestionEnd(TypedDict, total=False):
    """The end of a question, as it is stored."""

    # Only for the record: the id of the delivery that ended it, and the time at which that was received, in Unix seconds.
    by: str
    at: float
    outcome: Literal["answered", "timed_out", "cancelled"]
    text: str  # the text of the answer: of a message, of the chosen option, or of the operator
    # The choice that the person meant, of those that were shown; the text, if it is none of them. Missing if none were shown.
    choice: str
    # The reason of `cancelled`: see `AskCancelled`. With `unreachable`, the text says why the person could not be asked.
    reason: AskCancellation | Literal["unreachable"]
    # Of an answer that came in another chat: the person in lower case, the chat, and the language of the question there.
    person: str
    chat: str
    language: str | None
    type: str  # of the event that answered, as is its body; both are missing if the operator answered
    body: Any
    result: Any  # the result of a wait such as `ctx.pay`, as JSON data, once it is known


class Wait(ABC):
    """A payment, a location or votes, which a question waits for instead of words."""

    verb: ClassVar[str]

    @property
    @abstractmethod
    def words(self) -> Any:
        """The arguments that tell two waits apart, as JSON data."""

    @abstractmethod
    def person(self, root: Event, turn_id: str) -> str:
        """Return the `person` of a conversation that waits. It holds a space, which no handle does."""

    @abstractmethod
    async def begin(self, question: Question, prompt: Prompt, root: Event, ctx: Speaker) -> dict[str, Any]:
        """Send what begins the wait, and return the fields of the `OpenQuestion`. Raises as `begin_wait` does."""

    async def find(self, question: OpenQuestion, end: QuestionEnd, ctx: Speaker) -> Any:
        """Return what Linq says about a wait that has ended so."""
        return None

    @abstractmethod
    def judge(self, question: OpenQuestion, end: QuestionEnd, found: Any) -> QuestionEnd | None:
        """Return the end of a wait with its result, given what `find` has found; None if it goes on.

        Args:
            end: The event that ended it, the timeout, or the end by the person or the operator.
        """

    @abstractmethod
    def result(self, end: QuestionEnd) -> Any:
        """Return the result of the wait, as the method of the context returns it."""


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of one `ctx.ask`, or with `wait` of `ctx.pay` and the like. Raises BotError if they do not fit."""

    content: tuple[Content, ...]
    kind: Any = str
    choices: tuple[str, ...] = ()
    yes: ReactionType | str | None = None
    who: str = "asker"
    tries: int = 3
    timeout_s: float = DAY_S
    cancel: tuple[str, ...] = field(default_factory=lambda: spoken().cancel)
    repeat: bool = True
    key: str | None = None
    also: tuple[str, ...] = ()
    side_questions: bool = False
    wait: Wait | None = None
    timezone: str = "UTC"
    meanwhile: Content | None = None

    def __post_init__(self) -> None:
        self._repair()
        if not self.content and self.wait is None:
            raise BotError("ctx.ask() was called without a question. Give it the text to send: ctx.ask('Your name?').")
        if self.yes is not None and (self.kind is not str or self.choices):
            raise BotError("ctx.ask() takes yes= without kind= and choices=.")
        if self.choices and (self.events or self.kind is MediaPart):
            raise BotError("ctx.ask() takes choices= with a kind= that is read from text only, such as int.")
        if any(not isinstance(choice, str) or not choice.strip() for choice in self.choices):
            raise BotError(f"{self.verb}(choices={list(self.choices)!r}): each choice is a text.")
        if len({exactly(choice) for choice in self.choices}) < len(self.choices):
            raise BotError(f"{self.verb}(choices={list(self.choices)!r}): two choices are equal.")
        if self.yes is not None:
            self._check_tapback(self.yes)
        if self.yes == "dislike":
            raise BotError("ctx.ask(yes='dislike'): this tapback means no. Give another one, such as 'like'.")
        check_number(self.verb, "timeout_s", self.timeout_s)
        if not 0 < self.timeout_s <= LONGEST_TIMEOUT_S:
            raise BotError(f"{self.verb}(timeout_s={self.timeout_s!r}): give seconds, more than 0 and at most a year.")
        check_number(self.verb, "tries", self.tries, "a number of answers")
        if self.tries < 1 or not isinstance(self.tries, int):
            raise BotError(f"ctx.ask(tries={self.tries!r}): give the number of answers to accept before giving up.")
        self._check_key()
        self._check_people()
        self._check_kind()

    def _repair(self) -> None:
        """Repair the texts before they are checked: what is stored must be what the person reads."""
        for name in ("content", "choices", "cancel"):
            object.__setattr__(self, name, repaired(getattr(self, name)))

    def _check_tapback(self, yes: str) -> None:
        if not isinstance(yes, str) or not yes or not yes.isascii():
            raise BotError(f"ctx.ask(yes={yes!r}): there is no such reaction. Give a name such as 'like'.")
        if near := misspelt("reaction.type", yes, get_args(ReactionType)):
            raise BotError(f"ctx.ask(yes={yes!r}): there is no such reaction. Did you mean {near!r}?")

    def _check_key(self) -> None:
        if self.key is not None and not isinstance(self.key, str):
            raise BotError(f"{self.verb}(key=…) takes a text, not a value of type {type(self.key).__name__}.")
        check_whole(f"{self.verb}(key=…)", self.key)

    def _check_people(self) -> None:
        if self.who not in ROLES and read_handle(self.who) is None:
            raise BotError(
                f"ctx.ask(who={self.who!r}): give 'asker', 'anyone', 'others', or a handle, such as '+14155550142'. Otherwise "
                "no answer could ever come."
            )
        if self.who == "others" and not self.also:
            raise BotError("ctx.ask(who='others') asks the people in also=, and there are none: also=['+14155550142'].")
        if (self.also or self.side_questions) and self.yes is None:
            raise BotError(
                "ctx.ask() takes also= and side_questions= with yes= only: other messages may be any answer."
            )
        for handle in self.also:
            if read_handle(handle) is None:
                raise BotError(f"ctx.ask(also={list(self.also)!r}): {handle!r} is no handle, such as '+14155550142'.")

    def _check_kind(self) -> None:
        if inspect.iscoroutinefunction(self.kind):
            raise BotError("ctx.ask(kind=…) takes a plain function, because it runs again for each later answer.")
        if not self.reads_words:
            return
        check_timezone("ctx.ask", self.timezone)
        try:
            zone(self.timezone)
        except NoSuchZone as error:
            raise BotError(f"ctx.ask(timezone=…): {error}") from error
        if any(isinstance(each, type) and issubclass(each, MediaPart | Event) for each in _types_in(self.kind)):
            raise BotError(
                f"ctx.ask(kind={self.kind!r}): no answer could ever be a file or an event here. MediaPart and the events stand "
                "alone, as in kind=MediaPart. Check what has come after the question."
            )
        try:
            self.reader  # noqa: B018 - it raises
        except (Unreadable, PydanticUserError) as error:
            raise BotError(
                f"ctx.ask(kind={self.kind!r}): no text can be read as this. Give a type that pydantic knows, such as int, or a "
                "function."
            ) from error

    @property
    def named(self) -> tuple[str, ...]:
        """The handles of the people who are named: in `who` and in `also`."""
        return self.also if self.who in ROLES else (self.who, *self.also)

    @property
    def verb(self) -> str:
        """The method of the context that asks the question, for error messages."""
        return "ctx.ask" if self.wait is None else self.wait.verb

    @property
    def reader(self) -> AnswerReader:
        """The reader of an answer in words, by `kind`."""
        return reader_of(self.kind, self.timezone)

    @property
    def reads_words(self) -> bool:
        """True if `kind` says how an answer in words is read."""
        return self.kind is not str and self.kind is not MediaPart and not self.events

    @property
    def reactions(self) -> tuple[str, ...]:
        """The tapbacks that answer the question: those for yes and no, where these words are answers."""
        if self.yes is not None:
            return tuple(dict.fromkeys((self.yes, *TAPBACKS)))
        return TAPBACKS if self.reads_words and self.reader.takes_yes_or_no else ()

    @property
    def identity(self) -> Identity:
        """The identity of the question, the same in later runs."""
        parts = [each.model_dump(mode="json") for each in bubbles(self.content)]
        wait = [] if self.wait is None else [self.wait.words]
        return Identity(
            self.verb,
            self.key,
            digest_of_words([parts or self.choices, *wait]),
            digest_of_words([parts, self.choices, *wait]),
        )

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


_MOST_REFUSED: Final = 5
"""Most invalid answers that are kept until the question ends."""


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
    cancel: tuple[str, ...] = ()  # the texts that end it
    repeat: bool = True  # True asks again after a side answer
    also: tuple[str, ...] = ()  # handles, in lower case, of further people who may say yes or no
    side_questions: bool = False  # True if only a yes or no answers it, and other messages are handled as usual
    prompt: tuple[dict[str, Any], ...] = ()  # the messages that ask it again, as JSON
    tries: int = 0  # the number of invalid answers so far
    refused: tuple[Any, ...] = ()  # the bodies of the newest of these: an edit of one is a new answer
    timer: str = ""  # the id of the timer that ends it
    next: int = 1  # the number of the next question of the conversation
    # When, by Linq's clock, that was written which led to the question, in Unix seconds; None if it is not known. What was written
    # before is no answer: its webhook came late. If the question `follows_begun`, it is when Linq took the question.
    since: float | None = None
    # True if an interrupted run has begun another question, which may be on the phone above this one; and True once a text came that
    # may be its answer: no question was open then, so what such runs have begun is asked again when its turn comes.
    follows_begun: bool = False
    is_begun_missed: bool = False
    # `replies_to_me`, `answers`, `is_group` and `line` are those of the event that began the conversation, which its
    # webhook may not say.
    replies_to_me: bool = False
    answers: Scheduled | None = None
    burst: tuple[LookedUp, ...] = ()  # the same of its single messages, if it is a burst
    after_ask: AskedBefore | None = None  # the `ctx.after_ask` with which the conversation began
    is_group: bool | None = None
    line: str | None = None
    # What brought it to the people who are asked in their own chats, and what it shows there for another chat: see `elsewhere.py`.
    elsewhere: tuple[dict[str, Any], ...] = ()
    shown_for: dict[str, Any] | None = None
    failed_by: str | None = None  # the id of the delivery that became a dead letter, if the conversation has failed
    # What ends it: an answer in words, or something else.
    waits_for: Literal["answer", "payment", "location", "votes"] = "answer"
    asked: str = ""  # for a wait: the handle of the person whose event began it, in lower case; empty if there is none
    payment: str | None = None  # the id of the payment request, if it waits for a payment
    looks: int = 0  # the number of times that a shared location was looked up and not known yet
    is_known: bool = False  # True if the person shared the location before they were asked, so that no event follows
    ballot: Ballot | None = None  # the votes so far, if it waits for votes
    language: str | None = None  # the code of the language in which it was asked; None for English

    @classmethod
    def read(cls, stored: bytes) -> OpenQuestion | None:
        """Return a question as a conversation stores it; None if it cannot be read: another release may have stored it."""
        try:
            return cls.model_validate_json(stored)
        except ValidationError:
            return None

    def with_refused(self, answer: Delivery) -> OpenQuestion:
        """Return the question with one more answer that was invalid, which replaces what the message said before."""
        others = [each for each in self.refused if webhook_of(each).message_key != answer.message_key]
        refused = (*others, answer.content)[-_MOST_REFUSED:] if answer.message_key is not None else self.refused
        return self.model_copy(update={"tries": self.tries + 1, "refused": refused})

    def edited_answer(self, edit: Delivery) -> Delivery | None:
        """Return the invalid answer that an edit changes, with its new words; None if it changes none."""
        for each in self.refused:
            answer = webhook_of(each)
            bodies = (each, *answer.joined.burst)
            if edit.edited_key in (webhook_of(body).message_key for body in bodies):
                return answer.with_further(edit)
        return None

    @property
    def is_numbered(self) -> bool:
        """True if the person saw a number in front of each choice; a poll has none, also when it is asked again."""
        return bool(self.choices) and self.poll is None

    @property
    def takes_words(self) -> bool:
        """True if each message of the asked person is an answer."""
        return self.waits_for == "answer"

    def to_json(self) -> bytes:
        return self.model_dump_json().encode()


def webhook_of(body: Any) -> Delivery:
    """Return the delivery of a webhook, given its decoded body."""
    return Delivery.from_webhook(to_json(body), webhook_id="", received_at=0.0)


def text_to_show(messages: Sequence[MessageContent]) -> str:
    return "\n".join(texts_of(message.parts or () for message in messages))


def as_prompt(messages: Sequence[MessageContent]) -> tuple[dict[str, Any], ...]:
    """Return messages as JSON, to be sent again after a side answer."""
    plain = (message.model_copy(update={"effect": None, "reply_to": None}) for message in messages)
    return tuple(message.model_dump(mode="json", exclude_none=True) for message in plain)
