"""Events about deliveries and their turns, from the webhook to the end: what plugins, `linqbot dev` and tests observe.

A plugin names its observers in the hook `register_observers`:

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None: ...

An observer runs in the event loop, between two steps of a turn, so it must be quick and must not block. Only read an event:
it holds the objects in use, not copies. `took_s` is measured with a monotonic clock.

An event that quotes people, and that a plugin learns nowhere else, is a `QuotingEvent`. Only linqbot itself, such as
`linqbot dev`, and the bot's own code may observe it: an installed plugin that asks for one is disabled.

Messages that are joined have one turn. The messages of a burst, and those that a running handler takes in (`overlap=`), belong
to the turn of the first. There are `DeliveryReceived` and `DeliveryStored` for each of them, and the events of a turn once, with
the first as `delivery` of the report, whose `joined` has the others. Only `Routed` comes again, whenever the handler begins again
with a further message. So do not count the deliveries that wait as those stored minus the turns that ended.
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
    from linqbot.linq.types.proactive import ChatHandoff
    from linqbot.storage.outcomes import OutcomeRow


class TurnEvent:
    """The base class of all events about turns."""

    __slots__ = ()


class QuotingEvent(TurnEvent):
    """The base class of events that quote people. Installed plugins do not get them."""

    __slots__ = ()


Observers: TypeAlias = dict[type[TurnEvent], Callable[[Any], None]]
"""For each class of events that is observed, the function that takes an event of it.

This is what a plugin returns, and what linqbot has of all plugins. An event of a class that is missing is never made:
`if (notify := observers.get(QuestionAsked)) is not None: notify(QuestionAsked(…))`.
"""


# Deliveries


Reason: TypeAlias = Literal["forged", "out_of_time", "too_large", "incomplete", "closed", "busy", "unavailable"]
"""Reason why a POST to the webhook was refused.

- `forged`: it has no valid signature of Linq.
- `out_of_time`: its signature is genuine, but its timestamp is too far from the server's clock.
- `too_large`: its body is larger than `max_body_bytes`.
- `incomplete`: its body did not arrive completely in time.
- `closed`: the app is starting or stopping.
- `busy`: the backlog is full.
- `unavailable`: the storage could not store it.
"""


@dataclass(frozen=True, slots=True)
class WebhookRefused(TurnEvent):
    """A POST to the webhook was refused. Observed in the task of the request.

    Attributes:
        status: HTTP status of the response: 401 for a forgery; otherwise 503, after which Linq delivers again.
    """

    reason: Reason
    status: int


@dataclass(frozen=True, slots=True)
class DeliveryReceived(TurnEvent):
    """A delivery was verified and is not stored yet. Observed in the task of the request; `DeliveryStored` or `WebhookRefused` follows.

    Attributes:
        headers: Headers of the request; names are in lower case.
        carrier: An empty dict to put strings into. They are stored with the delivery and passed to this plugin's observer of
            `TurnTaken`, also after a restart. At most 4096 bytes as JSON. The carrier of a duplicate is discarded.
    """

    delivery: Delivery
    headers: Mapping[str, str]
    carrier: dict[str, str]


@dataclass(frozen=True, slots=True)
class DeliveryStored(TurnEvent):
    """A delivery is on disk. Observed in the task of the request, before Linq receives its 200.

    A receipt of a message of the bot that no handler and no middleware takes ends here: the journal has noted it, and
    there is no `TurnTaken` or `TurnEnded`.

    Attributes:
        is_new: False for a duplicate, which was on disk already.
        took_s: Seconds that the storage took, including the wait for a commit that deliveries share.
    """

    delivery: Delivery
    is_new: bool
    took_s: float


# Turns


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


@dataclass(frozen=True, slots=True)
class StepEnded(TurnEvent):
    """A step of `ctx.once` or `ctx.model_step` has ended. linqbot's own steps, such as uploads, count too.

    Observed in the task that made the step. There is no event for a step that was cut off, such as when the bot stops.

    Attributes:
        name: Name of the step, as the author gave it.
        answer: Result of the step as JSON; None if it failed. Do not log it: it may quote a person.
        error: Error with which the step failed; None if it has a result. Log only its class: its message may quote a person.
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
    """A turn that is observed, as far as it has come.

    Attributes:
        waited_s: Seconds from the acceptance of the delivery to the beginning of the turn.
        attempts: Number of earlier runs in which the handler failed.
        crashes: Number of times the process crashed while it handled this delivery.
        replay: Number of times the delivery was deliberately replayed.
        calls: The calls so far that changed something at Linq, or were to, in the order in which they ended. Hints, such as
            typing indicators, and reads are left out.
        steps: The steps so far, in the order in which they ended.
    """

    delivery: Delivery
    waited_s: float
    attempts: int
    crashes: int
    replay: int
    calls: list[TurnCall] = field(default_factory=list)
    steps: list[StepEnded] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TurnTaken(TurnEvent):
    """A turn begins. Observed in the task of the turn: its handler and its calls see context variables that are set here.

    One `TurnEnded` follows, whatever ends the turn.

    Attributes:
        carrier: Strings that this plugin's observer of `DeliveryReceived` put in. Empty for a delivery that did not come from a
            webhook.
    """

    report: TurnReport
    carrier: Mapping[str, str]


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


@dataclass(frozen=True, slots=True)
class Routed(TurnEvent):
    """A handler was chosen for an event, or no handler takes it. Observed in the task of the turn, before the handler runs.

    There is none if middleware ended the event before, or for the events of a type that no handler takes, except the first.

    Attributes:
        handler: Name of the chosen handler, as `module:name`; None if no handler takes the event.
        at: `file:line` of the chosen handler's definition.
        tried: The filters of each handler before the chosen one, up to the first filter that did not fit.
        reason: Why no handler takes the event, such as `no filter fits`; None if a handler was chosen.
    """

    event: Event
    handler: str | None
    at: str | None
    tried: Sequence[Tried]
    reason: str | None


@dataclass(frozen=True, slots=True)
class CallMade(TurnEvent):
    """A call to Linq was answered or failed. Hints and reads count too.

    Observed in the task that made the call: the task of the turn, a task that the handler started, or a task of linqbot.
    linqbot sends read receipts and typing indicators in tasks of the turn, which may end after `TurnEnded`; and after a
    start it reads from Linq what it has missed, outside of any turn. There is one event for each attempt that the
    turn makes; retries of the client belong to one attempt. There is none for a call that outbound middleware refused, or
    that was cut off, such as when the bot stops.

    Attributes:
        answer: Response of Linq; None if the call failed.
        error: Error of a call that failed. Log only its class, `status` and `code`: its message may quote a person.
        took_s: Seconds that the call took, including retries of the client; 0 if `from_journal`.
        from_journal: The call was made in an earlier run of the turn. Linq was not called again.
    """

    call: Call
    answer: ApiResponse | None
    error: Exception | None
    took_s: float
    from_journal: bool


@dataclass(frozen=True, slots=True)
class HandoffEnded(TurnEvent):
    """A handoff has ended, and both people were notified. `handoff.ended` says how.

    Observed in the task of the turn, and again if the process dies just then. Also if the owner could not be written to, so that
    `ctx.handoff` has returned False: `handoff.ended` is `unreachable`.
    """

    handoff: ChatHandoff


End: TypeAlias = Literal["ack", "retry", "defer", "dead_letter", "lost"]
"""End of a turn.

- `ack`: done.
- `retry`: the handler failed and will run again.
- `defer`: the turn waits for Linq, for the storage or for a required plugin, and will run again.
- `dead_letter`: given up.
- `lost`: no end was written: the bot stops, or another process has leased the delivery. It is handled again.
"""


@dataclass(slots=True)  # not frozen: it is completed after the commit, and a turn that nothing observes makes one too
class TurnEnded(TurnEvent):
    """A turn has ended. The row for operators and the line of the log come from the same object.

    Observed last in the task of the turn. If its handler ignores its cancellation, observed in another task.

    Attributes:
        attempts, crashes, replay, waited_s, calls, steps: See `TurnReport`.
        outcome: It is on disk unless it is `lost`.
        reason: Why the turn was retried, deferred or given up; otherwise None. It quotes no person: of an error of the bot's
            code it is the class and the place.
        event: The parsed event. None if the delivery could not be parsed, was a scheduled send, or went to no handler:
            later events of a type that no handler takes are acknowledged without being parsed.
        handler: Name of the handler, as `module:name`; None if no handler fitted, or the turn ended before one was chosen.
        handler_s: Seconds that the handler and its middleware took; None if an error ended them, or they did not run.
        error: The error with which the bot's code ended the turn; None if it succeeded. Do not log its message: it may
            quote a person.
        took_s: Seconds since the turn began, including the commit.
        again_in_s: Seconds until the delivery is handled again, for `retry` and `defer`; otherwise None.
        row: The row that `linqbot why` shows of the turn; None if none is kept.
    """

    delivery: Delivery
    attempts: int
    crashes: int
    replay: int
    outcome: End
    reason: str | None
    event: Event | None
    handler: str | None
    handler_s: float | None
    error: BaseException | None
    took_s: float
    again_in_s: float | None = None
    row: OutcomeRow | None = None
    waited_s: float = 0.0
    calls: Sequence[TurnCall] = ()
    steps: Sequence[StepEnded] = ()


# Events that quote people


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
