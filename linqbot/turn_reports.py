"""Reports of turns: what plugins, `linqbot dev` and tests read about a turn, its calls and its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from linqbot.client.call import ApiResponse, Call
    from linqbot.linq.events.delivery import Delivery
    from linqbot.linq.events.event import Event

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
