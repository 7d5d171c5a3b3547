"""Waits: the checked arguments of `ctx.pay`, `ctx.location` and `ctx.vote`, and the events that end such a wait.

All other messages are handled as usual while a wait is open. A message ends a vote only if it is a word such as `never
mind`: the ballot in `question.py` counts the votes. Next step: `features/asking/waits.py` sends the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from linqbot.errors import BotError
from linqbot.features.asking.answers import Verdict, says_cancel_word
from linqbot.features.asking.question import OpenQuestion
from linqbot.linq.events.chat import LocationSharingStarted
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.payment import PaymentAuthorized, PaymentEvent


@dataclass(frozen=True, slots=True)
class PaymentWait:
    """The arguments of `ctx.pay`.

    Raises:
        BotError: an argument cannot be right.
    """

    verb: ClassVar = "ctx.pay"

    amount: int
    description: str
    currency: Literal["usd"] = "usd"

    def __post_init__(self) -> None:
        if not isinstance(self.amount, int) or isinstance(self.amount, bool):
            raise BotError(
                f"ctx.pay({self.amount!r}, …): give the amount in cents as a whole number. 12.50 dollars are 1250."
            )
        if not isinstance(self.description, str) or not self.description.strip():
            raise BotError("ctx.pay() needs a description for the person: ctx.pay(1250, '2 soups').")

    @property
    def words(self) -> Any:
        """The arguments that tell two waits apart, as JSON data."""
        return ["pay", self.amount, self.currency]

    @property
    def price(self) -> str:
        """The amount as a person reads it, such as `$12.50`."""
        return f"${self.amount // 100}.{self.amount % 100:02}"


@dataclass(frozen=True, slots=True)
class LocationWait:
    """`ctx.location`, whose arguments are those of the question."""

    verb: ClassVar = "ctx.location"
    words: ClassVar[Any] = ["location"]


@dataclass(frozen=True, slots=True)
class VoteWait:
    """The argument of `ctx.vote` that is none of a question.

    Raises:
        BotError: the argument cannot be right.
    """

    verb: ClassVar = "ctx.vote"

    until: Literal["all"] | int = "all"

    def __post_init__(self) -> None:
        if self.until != "all" and (not isinstance(self.until, int) or self.until < 1):
            raise BotError(f"ctx.vote(until={self.until!r}): give 'all', or the number of people who must vote.")

    @property
    def words(self) -> Any:
        """The arguments that tell two waits apart, as JSON data."""
        return ["vote", self.until]


Wait: TypeAlias = PaymentWait | LocationWait | VoteWait
"""What a question waits for instead of words."""


def judge_wait(question: OpenQuestion, event: Event) -> Verdict | None:
    """Return the meaning of an event for an open wait; None if it has nothing to do with the wait."""
    if isinstance(event, MessageReceived):
        return _judge_message(question, event)
    if question.waits_for == "location":
        # Only direct chats wait for a location, so it is that of the person, under whatever handle they share it.
        return Verdict.ANSWER if isinstance(event, LocationSharingStarted) else None
    if isinstance(event, PaymentEvent):
        # An authorized payment is on its way: its success or its failure follows.
        ends = question.payment is not None and event.id == question.payment
        return Verdict.ANSWER if ends and not isinstance(event, PaymentAuthorized) else None
    return None


def _judge_message(question: OpenQuestion, message: MessageReceived) -> Verdict | None:
    if (message.actor or "").casefold() != question.asked:
        return None
    return Verdict.CANCEL_WORD if says_cancel_word(question, message) else None
