"""Events about turns: what observers in the process learn, such as plugins, `linqbot dev` and tests.

A plugin names its observers in `register_observers`. Each takes an event of one class, in the event loop, between two steps
of a turn: it must be quick and must not block. Only read the event: it holds the objects in use, not copies.

An event that quotes people, and that a plugin learns nowhere else, is a `QuotingEvent`. Only linqbot itself, such as
`linqbot dev`, and the bot's own code may observe it: an installed plugin that asks for one is disabled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from linqbot.branch import UnawaitedCoroutine
    from linqbot.client.call import ApiResponse, Call
    from linqbot.linq.events.delivery import Delivery
    from linqbot.linq.events.event import Event
    from linqbot.storage.outcomes import OutcomeRow


class TurnEvent:
    """The base class of all events about turns."""

    __slots__ = ()


class QuotingEvent(TurnEvent):
    """The base class of events that quote people. Installed plugins do not get them."""

    __slots__ = ()


Observers: TypeAlias = dict[type[TurnEvent], Callable[[Any], None]]
"""For each class of events that is observed, the function that notifies its observers.

An event of a class that is missing is never made: `if (notify := observers.get(QuestionAsked)) is not None: notify(…)`.
"""

End: TypeAlias = Literal["ack", "retry", "defer", "dead_letter", "lost"]
"""End of a turn.

- `ack`: done.
- `retry`: the handler failed and will run again.
- `defer`: the turn waits for Linq, for the storage or for a required plugin, and will run again.
- `dead_letter`: given up.
- `lost`: no end was written: the bot stops, or another process has leased the delivery. It is handled again.
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """The answer of one filter of a handler that was tried for an event.

    Attributes:
        handler: Name of the handler, as `module:name`.
        at: `file:line` of the handler's definition; None for a callable without Python code.
        filter: Name of the filter.
        fits: True if the filter accepted the event.
    """

    handler: str
    at: str | None
    filter: str
    fits: bool


@dataclass(slots=True)
class TurnCall:
    """A call to Linq in the report of a turn.

    Attributes:
        answer: Response of Linq, with its `status`; None if the call failed, was deferred or was refused.
        error: Error of a call without a response. Log only its class, `status` and `code`: its message may quote a person.
        from_journal: The call was made in an earlier run of the turn. Linq was not called again.
    """

    call: Call
    answer: ApiResponse | None = None
    error: BaseException | None = None
    from_journal: bool = False


@dataclass(slots=True)
class TurnStep:
    """A step of `ctx.once` or `ctx.model_step` in the report of a turn.

    Attributes:
        name: Name of the step, as the author gave it.
        answer: Result of the step as JSON; None if it failed. Do not log it: it may quote a person.
        error: Error with which the step failed. Log only its class.
        took_s: Seconds that the step took; 0 if `from_journal`.
        from_journal: The step was made in an earlier run of the turn. Its result is from the record.
        usage: `input_tokens` and `output_tokens` of a step that has asked a language model, and `cost` in US dollars, as far as
            the `usage` or `usage_metadata` in its result has them.
    """

    name: str
    answer: bytes | None
    error: BaseException | None
    took_s: float
    from_journal: bool
    usage: Mapping[str, float]


@dataclass(slots=True)
class TurnReport:
    """The report of a turn: `taken` gets it when the turn begins, and `turn_ended` when it is complete. Only read it.

    Attributes:
        waited_s: Seconds from the acceptance of the delivery to the beginning of the turn.
        attempts: Number of earlier runs in which the handler failed.
        crashes: Number of times the process crashed while it handled this delivery.
        replay: Number of times the delivery was deliberately replayed.
        calls: The calls that changed something at Linq, or were to, in the order in which they ended. While the turn
            runs, those so far. Hints, such as typing indicators, and reads are left out.
        steps: The steps of the turn, in the order in which they ended. While the turn runs, those so far.
        event: The parsed event. None if the delivery could not be parsed, was a scheduled send, or went to no handler:
            later events of a type that no handler takes are acknowledged without being parsed.
        handler: Name of the handler, as `module:name`; None if no handler fitted, or the turn ended before one was chosen.
        handler_s: Seconds that the handler and its middleware took; None if an error ended them, or they did not run.
        error: The error with which the bot's code ended the turn; None if it succeeded. Do not log its message: it may
            quote a person.
        outcome: None as long as the turn runs. The outcome is on disk unless it is `lost`.
        took_s: Seconds since `taken`, including the commit.
        again_in_s: Seconds until the delivery is handled again, for `retry` and `defer`; otherwise None.
        reason: Why the turn was retried, deferred or given up; otherwise None. It quotes no person: of an error of the bot's
            code it is the class and the place.
    """

    delivery: Delivery
    waited_s: float
    attempts: int
    crashes: int
    replay: int
    calls: list[TurnCall] = field(default_factory=list)
    steps: list[TurnStep] = field(default_factory=list)
    event: Event | None = None
    handler: str | None = None
    handler_s: float | None = None
    error: BaseException | None = None
    outcome: End | None = None
    took_s: float = 0.0
    again_in_s: float | None = None
    reason: str | None = None


AnswerResult: TypeAlias = Literal[
    "answered", "invalid", "given_up", "cancelled", "timed_out", "kept_open", "counted", "passed_on", "late"
]
"""What an event made of an open question.

- `answered`: the handler goes on with the answer.
- `invalid`: the person is asked for another answer.
- `given_up`: it was the last invalid answer, so the question has ended.
- `cancelled`: the question has ended without an answer, such as by a word.
- `timed_out`: no answer came in time.
- `kept_open`: a handler with `during_ask=True` took the event.
- `counted`: the vote was counted, and others may still vote.
- `passed_on`: a handler that waits in another chat gets the answer, in a turn of its own.
- `late`: the question of such a handler is over, and the person reads so.
"""


@dataclass(frozen=True, slots=True)
class TurnRecorded(TurnEvent):
    """The row of a run was made, which is stored with its end."""

    row: OutcomeRow


@dataclass(frozen=True, slots=True)
class MessagesTaken(QuotingEvent):
    """The running handler took messages with `ctx.incoming`. They get no turn of their own."""

    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class QuestionMet(QuotingEvent):
    """The event of the turn concerns an open question of a handler, given by its name."""

    text: str
    handler: str
    result: AnswerResult


@dataclass(frozen=True, slots=True)
class QuestionAsked(QuotingEvent):
    """The handler asks a question. The people `elsewhere`, given by their handles, are asked in their own chats."""

    text: str
    elsewhere: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ErrorHandled(QuotingEvent):
    """An `on_error` handler, given by its name, has handled an error of the turn, so that the turn did not fail."""

    error: Exception
    handler: str


@dataclass(frozen=True, slots=True)
class CallDelayed(QuotingEvent):
    """A call of the turn waits for some seconds, with the reason: Linq's rate limit, or the pause before a retry."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CalledTooLate(QuotingEvent):
    """A call came after the end of the turn and was not made, such as one of a task that nothing awaits."""

    error: Exception


@dataclass(frozen=True, slots=True)
class AwaitForgotten(QuotingEvent):
    """The code of the turn never awaited some coroutines."""

    coroutines: Sequence[UnawaitedCoroutine]
