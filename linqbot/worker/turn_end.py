"""The end of a turn: the outcome, calls, state, timers and conversations that one commit stores.

Nothing here has an effect. `turn.py` stores what these functions return.
"""

from __future__ import annotations

from dataclasses import replace

from linqbot.bot.dispatch import Dispatcher
from linqbot.events.delivery import Delivery
from linqbot.events.parse import EVENT_TYPES, EventNotUnderstood, parse
from linqbot.storage.inbox import Ack, DeadLetter, Finish, Lease, Outcome
from linqbot.storage.timers import Rearm, Timer
from linqbot.worker.asking.opening import Writes
from linqbot.worker.calls import own_changes
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.due import broadcasting, recurring
from linqbot.worker.origin import origin_of
from linqbot.worker.running_turn import RunningTurn
from linqbot.worker.trouble import dead_letter, outage


def end_of(
    lease: Lease,
    outcome: Outcome,
    turn: RunningTurn | None,
    dispatcher: Dispatcher,
    now: float,
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
    rearmed = _rearms(lease.delivery) if is_done or isinstance(outcome, DeadLetter) else ()
    entries = journal.outcomes(with_digests=not is_done) if journal else ()
    state = journal.state if journal and is_done else ()
    timers = [
        *(journal.timers if journal and is_done else _notices(lease, outcome, turn, dispatcher, now)),
        *expected_changes(journal, dispatcher, now),
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
        recipients=journal.recipients if journal and is_done else broadcasting.given_up(lease.delivery, outcome),
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
        rearmed=_rearms(lease.delivery),
        recipients=broadcasting.given_up(lease.delivery, dead),
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
    return Finish(outcome, rearmed=_rearms(delivery), recipients=broadcasting.given_up(delivery, outcome))


def expected_changes(journal: TurnJournal | None, dispatcher: Dispatcher, now: float) -> list[Timer]:
    """Return the timers that wait for the events of the turn's own changes of groups, if a handler takes such events."""
    waiting = [] if journal is None else own_changes.timers(journal.made, now)
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
        return [dead_letter.timer(lease, outcome, now)]
    if dispatcher.on_trouble is None or not outage.leaves_waiting(lease, outcome, now):
        return []
    if turn is not None:
        return [outage.begun(delivery, turn.journal.origin, now)] if turn.handler is not None else []
    return _notice_after_crashes(delivery, dispatcher, now) if isinstance(outcome, DeadLetter) else []


def _notice_after_crashes(delivery: Delivery, dispatcher: Dispatcher, now: float) -> list[Timer]:
    """Return the timer of an outage for a message that has crashed the process, so that its handler is not known."""
    try:
        event = parse(delivery)
    except EventNotUnderstood:
        return []
    return [outage.begun(delivery, origin_of(event), now)] if dispatcher.may_reach_handler(event) else []


def _ended_outage(lease: Lease, outcome: Outcome, turn: RunningTurn | None, dispatcher: Dispatcher) -> list[str]:
    """Return the id of the timer of an outage that ends because a handler has succeeded."""
    if dispatcher.on_trouble is None or turn is None or dead_letter.is_notice(lease.delivery):
        return []
    return outage.ended_by(lease, outcome) if turn.handler is not None else []


def _rearms(delivery: Delivery) -> tuple[Rearm, ...]:
    """Return the next due time of the recurring timer that a delivery comes from; nothing for any other delivery."""
    again = recurring.rearmed(delivery)
    return () if again is None else (again,)


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
