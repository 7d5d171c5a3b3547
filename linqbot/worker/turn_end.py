"""The end of a turn: the outcome, calls, state, timers and conversations that one commit stores.

Nothing here has an effect: `turn.py` stores what these functions return. `RunningTurn` is a turn until then, with its
lease, its journal, its context and what interrupted it. The origin of a turn, its people and its chat, is stored with
its calls, so that `linqbot forget` finds them. If a person opts out, the commit also cancels scheduled sends, whatever
the outcome, and each open question ends by a delivery of its own, so that its handler runs as after a timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog
from pydantic_core import to_json

from linqbot.bot.asking.question import OpenQuestion
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.turn_context import TurnContext
from linqbot.clock import Clock
from linqbot.errors import TurnDeferred
from linqbot.events.delivery import Delivery
from linqbot.events.event import Event
from linqbot.events.parse import EVENT_TYPES, EventNotUnderstood, parse
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, DeadLetter, Finish, Lease, Outcome
from linqbot.storage.timers import Timer
from linqbot.types.chat import Chat
from linqbot.types.handle import Handle
from linqbot.worker import due, trouble
from linqbot.worker.asking.opening import Opening, Writes, cancelled
from linqbot.worker.asking.turn_session import TurnSession
from linqbot.worker.calls import own_changes
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.due import sends_of
from linqbot.worker.overlapping import TurnOverlap


def end_of(
    lease: Lease,
    outcome: Outcome,
    turn: RunningTurn | None,
    dispatcher: Dispatcher,
    clock: Clock,
    *,
    writes: Writes | None = None,
) -> Finish:
    """Return what the commit that ends a turn with this outcome stores.

    Args:
        turn: The turn; None if the delivery needed none.
        writes: The changes of conversations, without a turn. With one, they follow from the outcome.
    """
    journal = None if turn is None else turn.journal
    writes = writes if turn is None else turn.writes(outcome)
    # The scheduled sends of a failed run are not stored: its next run schedules them again.
    is_done = isinstance(outcome, Ack)
    rearmed = due.rearmed(lease.delivery) if is_done or isinstance(outcome, DeadLetter) else ()
    entries = journal.outcomes(with_digests=not is_done) if journal else ()
    state = journal.state if journal and is_done else ()
    timers = [
        *(journal.timers if journal and is_done else _notices(lease, outcome, turn, dispatcher, clock.now())),
        *expected_changes(journal, dispatcher, clock),
    ]
    cancelled = [
        *(journal.cancelled if journal and (is_done or rearmed) else ()),
        *_ended_outage(lease, outcome, turn, dispatcher),
    ]
    off_the_record = journal.off_the_record if journal else lease.delivery.is_off_the_record
    # Without keywords where the names say it, because each of them takes time.
    finish = Finish(
        outcome,
        entries,
        state,
        timers,
        cancelled,
        rearmed,
        off_the_record,
        has_all_entries=writes is None and lease.is_first_run and (journal is None or journal.has_all_entries),
        recipients=journal.recipients if journal and is_done else due.recipients_given_up(lease.delivery, outcome),
    )
    return finish if writes is None else _with(finish, writes, journal)


def end_without_calls(
    lease: Lease,
    dead: DeadLetter,
    turn: RunningTurn | None,
    dispatcher: Dispatcher,
    now: float,
    *,
    writes: Writes | None = None,
) -> Finish:
    """Return the end of a turn whose calls or state cannot be stored: a dead letter without them; see `end_of`."""
    finish = Finish(
        dead,
        timers=_notices(lease, dead, turn, dispatcher, now),
        rearmed=due.rearmed(lease.delivery),
        recipients=due.recipients_given_up(lease.delivery, dead),
    )
    writes = writes if turn is None else turn.writes(dead)
    return finish if writes is None else _with(finish, writes, None)


def end_without_turn(lease: Lease, outcome: Outcome) -> Finish:
    """Return the end of a lease whose turn could not begin, or in which linqbot itself has failed.

    A dead letter must neither stop its schedule nor keep its broadcast from ending.
    """
    if not isinstance(outcome, DeadLetter):
        return Finish(outcome)
    delivery = lease.delivery
    return Finish(outcome, rearmed=due.rearmed(delivery), recipients=due.recipients_given_up(delivery, outcome))


def expected_changes(journal: TurnJournal | None, dispatcher: Dispatcher, clock: Clock) -> list[Timer]:
    """Return the timers that wait for the events of the turn's own changes of groups, if a handler takes such events."""
    waiting = [] if journal is None else own_changes.timers(journal.made, clock)
    takes_them = waiting and any(
        issubclass(EVENT_TYPES[name], each) for name in own_changes.EVENT_TYPES for each in dispatcher.handled
    )
    return waiting if takes_them else []


def _notices(
    lease: Lease, outcome: Outcome, turn: RunningTurn | None, dispatcher: Dispatcher, now: float
) -> list[Timer]:
    """Return the timer of what the bot says when it gives up a message, or cannot answer it now; usually nothing.

    An `on_dead_letter` handler says it. Without one that takes the event, it is the text of `Bot(on_trouble=…)`.
    """
    delivery = lease.delivery
    if isinstance(outcome, DeadLetter) and dispatcher.takes_dead_letter(delivery):
        return [trouble.dead_letter_timer(lease, outcome, now)]
    if dispatcher.on_trouble is None or not trouble.leaves_waiting(lease, outcome, now):
        return []
    if turn is not None:
        return [trouble.outage_begun(delivery, turn.journal.origin, now)] if turn.handler is not None else []
    return _notice_after_crashes(delivery, dispatcher, now) if isinstance(outcome, DeadLetter) else []


def _notice_after_crashes(delivery: Delivery, dispatcher: Dispatcher, now: float) -> list[Timer]:
    """Return the timer of an outage for a message that has crashed the process, so that its handler is not known."""
    try:
        event = parse(delivery)
    except EventNotUnderstood:
        return []
    return [trouble.outage_begun(delivery, origin_of(event), now)] if dispatcher.may_reach_handler(event) else []


def _ended_outage(lease: Lease, outcome: Outcome, turn: RunningTurn | None, dispatcher: Dispatcher) -> list[str]:
    """Return the id of the timer of an outage that ends because a handler has succeeded."""
    if dispatcher.on_trouble is None or turn is None or trouble.is_dead_letter_notice(lease.delivery):
        return []
    return trouble.outages_ended_by(lease, outcome) if turn.handler is not None else []


def _with(finish: Finish, writes: Writes, journal: TurnJournal | None) -> Finish:
    """Return the end of a turn with changes of conversations."""
    # A conversation goes on with later deliveries, so its entries need digests even after an ack.
    with_digests = bool(writes.conversations) or not isinstance(finish.outcome, Ack)
    return replace(
        finish,
        entries=[*(journal.outcomes(with_digests=with_digests) if journal else ()), *writes.entries],
        timers=[*finish.timers, *writes.timers],
        cancelled=[*finish.cancelled, *writes.cancelled],
        conversations=writes.conversations,
        ended=writes.ended,
    )


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


log = structlog.get_logger("linqbot.worker")


async def effects(chat_id: str, storage: Storage, now: float) -> Writes:
    """Return what is stored when the person of a direct chat opts out.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    sends = await sends_of(chat_id, storage)
    waiting = [each.id for each in storage.conversations_in(chat_id) if each.status == "waiting"]
    found = [await storage.conversation(each) for each in waiting]  # with the events that began them
    open_questions = [(each[0], OpenQuestion.read(each[0].question)) for each in found if each is not None]
    known = [(conversation, question) for conversation, question in open_questions if question is not None]
    ended = [cancelled(conversation, question, "opted_out", now) for conversation, question in known]
    unreadable = [conversation.id for conversation, question in open_questions if question is None]
    log.info("chat.opted_out", chat_id=chat_id, cancelled_sends=len(sends), ended_questions=len(ended))
    return Writes(
        timers=[timer for _, timer in ended],
        cancelled=[*sends, *(question.timer for _, question in known)],
        conversations=[conversation for conversation, _ in ended],
        ended=unreadable,
    )
