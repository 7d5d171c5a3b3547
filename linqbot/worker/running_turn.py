"""A running turn: its lease, its journal, its context, and whether something interrupted it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from linqbot.bot.turn_context import TurnContext
from linqbot.errors import TurnDeferred
from linqbot.storage.inbox import Lease, Outcome
from linqbot.worker.asking.opening import Opening, Writes
from linqbot.worker.asking.turn_session import TurnSession
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.overlapping import TurnOverlap


class Owner(Protocol):
    """The worker that a turn belongs to."""

    @property
    def is_stopping(self) -> bool:
        """True if the worker has cancelled its turns, because it was asked to stop."""
        ...

    @property
    def was_cancelled(self) -> bool:
        """True if the worker was cancelled without being asked to stop, so that the process ends."""
        ...

    def detach(self, task: asyncio.Task[None], instead: Coroutine[Any, Any, None]) -> None:
        """Count a turn's task as ended although it still runs, and start a task for `instead`."""
        ...


@dataclass(slots=True)
class RunningTurn:
    """A running turn.

    Attributes:
        began: The time at which the turn began, by `time.perf_counter`.
        owner: The worker; None if the turn is run without one, as in tests.
        handling: The time at which dispatch began, by `time.perf_counter`.
        ctx: The context of the handler; None until the event is parsed.
        opting_out: What is stored, whatever the outcome, because a person opts out with this delivery.
        given_up: True if the turn's code ignored its cancellation, and the outcome was decided without waiting for it.
        asking: Makes the session of the handler's questions and steps.
        overlap: The later messages of the chat, if a handler of the bot takes them while it runs.
    """

    lease: Lease
    journal: TurnJournal
    began: float
    task: asyncio.Task[None] | None
    owner: Owner | None
    opening: Opening
    asking: TurnSession
    handling: float = 0.0
    ctx: TurnContext | None = None
    given_up: bool = False
    overlap: TurnOverlap | None = None
    opting_out: Writes | None = None

    @property
    def handler(self) -> str | None:
        """The name of the handler; None as long as none was found."""
        return self.ctx.handler if self.ctx is not None else None

    @property
    def deferred(self) -> TurnDeferred | None:
        """The error that defers the turn, even if its handler swallowed it; usually None."""
        if self.overlap is not None and self.overlap.may_miss_messages:
            return TurnDeferred("The storage did not answer when the handler took messages.", after_s=0.0)
        return self.journal.deferred

    @property
    def is_to_begin_again(self) -> bool:
        """True if the turn ended because a newer message of the person interrupted it."""
        return self.overlap is not None and bool(self.overlap.joining) and self.journal.deferred is None

    def writes(self, outcome: Outcome) -> Writes | None:
        """Return the changes of conversations that this outcome stores; usually nothing."""
        if self.opting_out is not None:
            return self.opting_out
        return None if self.asking.session is None else self.asking.session.writes(outcome)
