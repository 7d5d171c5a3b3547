"""A turn from its lease to the commit that ends it: what it has begun with, what interrupted it, and what adds to the commit.

Nothing here has an effect: `turn.py` stores what `Turn.commit` returns. If the commit cannot be stored, another one is
built for another outcome. The origin of a turn, its people and its chat, is stored with its calls, so that
`linqbot forget` finds them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic_core import to_json

from linqbot.bot.deadline import Deadline
from linqbot.bot.turn_context import TurnContext
from linqbot.client.client import Client
from linqbot.errors import TurnDeferred
from linqbot.events.delivery import Delivery
from linqbot.events.event import Event
from linqbot.storage.inbox import Finish, Lease, Outcome
from linqbot.types.chat import Chat
from linqbot.types.handle import Handle
from linqbot.worker.asking.opening import Opening
from linqbot.worker.asking.turn_session import TurnSession
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.overlapping import TurnOverlap


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of deliveries that linqbot makes itself.

    Attributes:
        open: Called before anything else; an outcome ends the turn without a handler.
        run: Handles the delivery; None if a handler of the bot gets its event.
        end: Adds to the commit that ends the turn, also if the turn could not begin.
    """

    open: Callable[[Any, Turn], Awaitable[Outcome | None]] | None = None
    run: Callable[[Any, Turn], Awaitable[None]] | None = None
    end: Callable[[Delivery, Finish], None] | None = None


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
class Turn:
    """A turn.

    Attributes:
        opening: What the turn begins with.
        kind: The kind of the delivery; None if Linq has posted it.
        owner: The worker; None if the turn is run without one, as in tests.
        began: The time at which the turn began, by `time.perf_counter`.
        ends: Functions that add to the commit that ends the turn, each for its feature, by the outcome in the commit.
        is_running: True once the handler may run. Only then the turn has what follows.
        client: Its calls are recorded in `journal`.
        deadline: The time limit of the turn's code.
        asking: Makes the session of the handler's questions and steps.
        handling: The time at which dispatch began, by `time.perf_counter`.
        ctx: The context of the handler; None until the event is parsed.
        given_up: True if the turn's code ignored its cancellation, and the outcome was decided without waiting for it.
        overlap: The later messages of the chat, if a handler of the bot takes them while it runs.
    """

    lease: Lease
    opening: Opening
    kind: Kind | None = None
    owner: Owner | None = None
    began: float = field(default_factory=time.perf_counter)
    ends: list[Callable[[Turn, Finish], None]] = field(default_factory=list)
    is_running: bool = False
    journal: TurnJournal = field(init=False)
    client: Client = field(init=False)
    deadline: Deadline = field(init=False)
    task: asyncio.Task[None] | None = None
    asking: TurnSession = field(init=False)
    handling: float = 0.0
    ctx: TurnContext | None = None
    given_up: bool = False
    overlap: TurnOverlap | None = None

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

    def commit(self, outcome: Outcome) -> Finish:
        """Return what the commit that ends the turn with this outcome stores."""
        commit = Finish(outcome, off_the_record=self.opening.off_the_record, has_all_entries=self.lease.is_first_run)
        if self.kind is not None and self.kind.end is not None:
            self.kind.end(self.lease.delivery, commit)
        for end in self.ends:
            end(self, commit)
        if self.is_running:
            self.journal.end(commit)
        return commit


def origin_of(event: Event) -> bytes | None:
    """Return the people and the chat of an event as JSON; None if the event names no person.

    The people are the one who caused the event, the one it happened to, and in a direct chat the one the chat is with;
    never a line of ours. `is_group` is included, because only in a direct chat does everything belong to the person.
    """
    handles = _handles(event)
    handles.discard(event.line)
    if not handles:
        return None
    return to_json({"handles": sorted(handles), "chat_id": event.chat_id, "is_group": event.is_group})


def _handles(event: Event) -> set[str | None]:
    fields = vars(event)
    actor, chat, participant = fields["actor"], fields.get("chat"), fields.get("participant")
    handles: set[str | None] = {actor} if actor and not event.is_own else set()
    people = [] if participant is None else [participant]
    if event.is_group is False and isinstance(chat, Chat):
        people += chat.handles
    for person in people:
        if isinstance(person, Handle) and person.handle and not person.is_me:
            handles.add(person.handle)
    return handles
