"""A turn, from its lease to the commit that ends it.

Nothing here has an effect: `turns.py` stores what `Turn.commit` returns. If that cannot be stored, a commit is built for
another outcome. `feature.py` has what features add to a turn.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic_core import to_json

from linqbot.engine.bag import Bag
from linqbot.engine.opening import Opening
from linqbot.errors import TurnDeferred
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.types.chat import Chat, Handle
from linqbot.storage.inbox import Ack, Commit, Lease, Outcome

if TYPE_CHECKING:
    from linqbot.client.client import Client
    from linqbot.engine.deadline import Deadline
    from linqbot.engine.helpers import Helpers
    from linqbot.engine.outbox import Outbox
    from linqbot.engine.routing import HandlerRun
    from linqbot.engine.steps import Steps
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.turn_events import TurnReport


@dataclass(slots=True)
class Turn:
    """A turn.

    Attributes:
        kind: The kind of the delivery. A handoff changes it, and passes the message on.
        owner: The worker; None if the turn is run without one, as in tests.
        data: What features keep for the turn, by its class. The journal has it too, so nothing in it may refer to the journal.
        points: The points of the features that the lease may concern; not set if the turn cannot begin.
        began, handling: The times at which the turn and its dispatch began, by `time.perf_counter`.
        ends: Functions that add to the commit that ends the turn, each for its feature, by the outcome in the commit.
        is_opened: True if the turn goes on from an earlier run of it: its `opening` is complete, so no part opens it.
        is_running: True once the handler may run. Only then the turn has what follows.
        outbox: Makes the calls of `client`, and has `journal` record them.
        helpers: The objects that features make for the turn, which may refer to the journal.
        event: The event of the delivery, or another one that stands for it, such as the answer that a timer found. It is set
            when a handler begins: the turn of a kind with a `run` has none.
        ctx: The context of the handler; None until the event is parsed.
        given_up: True if the turn's code ignored its cancellation, and the outcome was decided without waiting for it.
        report: The report for observers; None if turns are not observed.
        error, handler_s: The error with which the bot's code ended the turn, and the seconds that the handler took, for observers.
        why: The reason for the record of the turn: why it has failed, or why it has ended without a handler.
    """

    lease: Lease
    opening: Opening
    kind: Kind
    owner: TurnOwner | None = None
    began: float = field(default_factory=time.perf_counter)
    ends: list[Callable[[Turn, Commit], None]] = field(default_factory=list)
    is_opened: bool = False
    is_running: bool = False
    data: Bag = field(default_factory=Bag)
    points: Points = field(init=False)
    journal: TurnJournal = field(init=False)
    outbox: Outbox = field(init=False)
    client: Client = field(init=False)
    deadline: Deadline = field(init=False)
    task: asyncio.Task[None] = field(init=False)
    helpers: Helpers = field(init=False)
    event: Event = field(init=False)
    handling: float = 0.0
    ctx: HandlerRun | None = None
    given_up: bool = False
    report: TurnReport | None = None
    error: BaseException | None = None
    handler_s: float | None = None
    why: str | None = None

    @property
    def handler(self) -> str | None:
        return self.ctx.handler if self.ctx is not None else None

    @property
    def steps(self) -> Steps:
        return self.helpers.steps

    @property
    def is_bare(self) -> bool:
        """True if no feature and no journal adds to the commit that ends the turn."""
        return not (self.ends or self.is_running)

    def commit(self, outcome: Outcome) -> Commit:
        # Earlier deliveries of a conversation have left entries. The journal adds what this run has left.
        has_all_entries = self.lease.is_first_run and self.opening.conversation is None
        commit = Commit(outcome, off_the_record=self.opening.off_the_record, has_all_entries=has_all_entries)
        if self.kind.end is not None:
            self.kind.end(self.lease.delivery, commit)
        for end in self.ends:
            end(self, commit)
        if self.is_running:
            # Last, because it looks at what the others have added.
            self.journal.end(commit)
        return commit


class TurnOwner(ABC):
    """The worker, as its turns know it.

    Attributes:
        has_cancelled_turns: True once the worker has cancelled the turns that still ran when it was to stop.
    """

    has_cancelled_turns = False

    @property
    @abstractmethod
    def was_cancelled(self) -> bool:
        """True if the worker was cancelled, and not asked to stop before: code of the bot has cancelled every task."""

    @abstractmethod
    def detach(self, task: asyncio.Task[None], instead: Coroutine[Any, Any, None]) -> None:
        """Count a turn's task as ended although it still runs, and start a task for `instead`."""


class Kind(NamedTuple):
    """A kind of deliveries. What Linq has posted, and each event that linqbot makes for handlers, has no functions.

    Attributes:
        open: Called before anything else; an outcome ends the turn without a handler.
        run: Handles the delivery; None if a handler of the bot gets its event.
        end: Adds to the commit that ends the turn, also if the turn could not begin.
        has_row: False for deliveries that no person has caused, and no code of the bot: operators need no row of their turns.
    """

    open: Callable[[Turn], Awaitable[Outcome | None]] | None = None
    run: Callable[[Turn], Awaitable[None]] | None = None
    end: Callable[[Delivery, Commit], None] | None = None
    has_row: bool = True


async def ack(_: Turn) -> Ack:
    """End a turn at once: `Kind(open=ack)` is a kind of deliveries that no handler takes."""
    return Ack()


HANDLED: Final = Kind()
"""The kind of deliveries whose event a handler of the bot gets."""


class Points(NamedTuple):
    """The points of the features that a lease may concern, in the order in which they are called."""

    open: Sequence[Callable[[Turn], Awaitable[Outcome | None]]]
    begin: Sequence[Callable[[Turn], Awaitable[None]]]
    stop: Sequence[Callable[[Turn], None]]
    defers: Sequence[Callable[[Turn], TurnDeferred | None]]
    again: Sequence[Callable[[Turn, BaseException | None], Awaitable[Turn | None]]]
    close: Sequence[Callable[[Turn, Outcome], Awaitable[None]]]
    end: Sequence[Callable[[Turn, Commit], None]]


ANSWERS_WITHOUT_CHAT: Final = frozenset({"contact_card.received", "location.sharing.started"})
"""The types of events that can answer a question, and that may not say in which chat they happened."""


def written_at(delivery: Delivery) -> float:
    """Return when a message was written, in Unix seconds; of a burst, the last one. It is Linq's time, unless Linq names none.

    A webhook that Linq delivers again comes late. So what people mean goes by this time, and not by the time of its arrival.
    """
    burst = (replace(delivery, decoded=each) for each in delivery.joined.burst)
    return max(each.sent_at for each in (delivery, *burst))


def origin_of(event: Event) -> bytes | None:
    """Return the people and the chat of an event as JSON; None if the event names no person.

    The people are the one who caused the event, the one it happened to, and in a direct chat the one the chat is with;
    never a line of ours. `is_group` is included, because only in a direct chat does everything belong to the person.
    """
    fields = vars(event)
    actor, chat, participant = fields["actor"], fields.get("chat"), fields.get("participant")
    handles: set[str | None] = {actor} if actor and not event.is_own else set()
    is_group = fields["is_group"]
    people = [] if participant is None else [participant]
    if is_group is False and isinstance(chat, Chat):
        people += chat.handles
    for person in people:
        if isinstance(person, Handle) and person.handle and not person.is_me:
            handles.add(person.handle)
    handles.discard(fields["line"])
    if not handles:
        return None
    return to_json({"handles": sorted(handles), "chat_id": fields["chat_id"], "is_group": is_group})
