"""Scheduled sends, `ctx.send_later`: a timer in the storage, and a delivery in the lane of its chat when it is due.

The commit that ends a turn stores what the turn has scheduled. A list of the sends, and each send that is cancelled, is
recorded in the journal like a call: a second run of the turn sees the same list, and cancels no other send. What a step of
`ctx.once` schedules is recorded with the step's result. A run that has the result from the record does not make the step,
and schedules the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
from pydantic import ConfigDict, SkipValidation, TypeAdapter
from pydantic_core import from_json, to_json

from linqbot import clock
from linqbot.client.call import Call
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.engine.earlier_runs import JournalMatcher
from linqbot.engine.helpers import Helpers
from linqbot.engine.slots import effects_of_step
from linqbot.engine.turn import Turn
from linqbot.errors import BotError, LinqApiError, MessageGone, SendMissed
from linqbot.features.schedules import REPEAT, REPEAT_ID, every_of, next_due, timer_and_tick
from linqbot.features.turn_data import OptedOut, SentFor
from linqbot.linq.events.delivery import retention_mark
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.events.proactive import merged
from linqbot.linq.types.data import Data
from linqbot.linq.types.proactive import Purpose, Scheduled
from linqbot.options import check_number, check_timezone
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.journal import JournalEntry, with_result
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns
    from linqbot.parse.recurrences import Recurrence

log = structlog.get_logger("linqbot.worker")

KIND = "send"
STOPPED: Final = "stopped"
"""The kind of the timers of recurring sends to a person who has opted out. They never fire."""

_ALL: Final = 1_000_000
"""Reads all sends of a chat: one that is left out cannot be cancelled, and would go to a person who has opted out."""


LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times from here on are refused, in Unix seconds: Python's dates end soon after."""


def due_at(at: datetime | None, after_s: float | None, timezone: str | None, now: float) -> float:
    """Return the time to send at, in Unix seconds. Raises BotError unless one of `at` and `after_s` gives a possible time."""
    if (at is None) == (after_s is None):
        raise BotError("Give send_later one of at=, after_s= and every=.")
    if at is None:
        check_number("send_later", "after_s", after_s)
        assert after_s is not None
        if timezone is not None or not 0 <= after_s < LAST - now:
            raise BotError(
                f"after_s={after_s!r} is not a number of seconds from now that ends before the year 9999, or timezone= "
                "was given with it."
            )
        return now + after_s
    if not isinstance(at, datetime):
        raise BotError(f"send_later(at=…) takes a datetime, but got a value of type {type(at).__name__}.")
    if timezone is not None:
        if at.tzinfo is not None:
            raise BotError("at= has a time zone already. Leave timezone= out, or give a time without one.")
        check_timezone("send_later", timezone)
        at = at.replace(tzinfo=zone(timezone))
    if at.tzinfo is None:
        raise BotError(
            "at= has no time zone, so it could mean any of 24 hours. "
            'Give timezone="Europe/Paris", or a time with a zone: ctx.now() + timedelta(hours=1).'
        )
    due = at.timestamp()
    if not 0 <= due < LAST:
        raise BotError(f"at= is in the year {at.year}. Give a time from 1970 to 9998.")
    return due


def due_before(at: datetime, before: str, timezone: str | None, now: float) -> float:
    """Return the time of a reminder before an event, in Unix seconds. Raises BotError as `Context.remind` says."""
    from linqbot.parse.dates import IN_DAYS, duration, instant, time_of_day

    is_naive = isinstance(at, datetime) and at.tzinfo is None
    happens = due_at(at, None, timezone if is_naive else None, now)
    if timezone is not None:
        check_timezone("remind", timezone)
    where = zone(timezone) if timezone is not None else at.tzinfo
    if not isinstance(before, str):
        raise _no_reminder(before)
    length, at_clock, clock_text = before.partition(" at ")
    try:
        ahead = duration(length, language="en")
        clock, *around = time_of_day(clock_text.casefold())
    except ValueError as error:
        raise _no_reminder(before) from error
    if not at_clock and (ahead % timedelta(days=1) or not IN_DAYS.search(length.casefold())):  # "24 hours" are no day
        return happens - ahead.total_seconds()
    if ahead % timedelta(days=1) or (at_clock and (clock is None or "".join(around).strip())):
        raise _no_reminder(before)
    # Days are counted by the calendar, so that a day before seven in the evening is seven in the evening.
    wall = datetime.fromtimestamp(happens, where).replace(tzinfo=None) - ahead
    assert where is not None
    return instant(wall if clock is None else datetime.combine(wall, clock), where).timestamp()


def _no_reminder(before: object) -> BotError:
    return BotError(
        f'remind(before={before!r}): give the time before the event, such as "2 hours", or days and a time of day, such as '
        '"1 day at 18:00".'
    )


def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name. Raises BotError if there is none of this name."""
    try:
        return clock.zone(name)
    except ValueError as error:
        raise BotError(str(error)) from error


def check_grace(grace_s: float) -> None:
    """Raise BotError if `grace_s` is no number of seconds from 0 on. Infinity is allowed."""
    check_number("send_later", "grace_s", grace_s)
    if not grace_s >= 0:
        raise BotError(
            f"grace_s={grace_s!r} is not a number of seconds. Give the longest delay after which it may still be sent."
        )


def rhythm_of(every: str | Recurrence, timezone: str | None) -> Recurrence:
    """Return the rhythm that a recurring send was given. Raises BotError if it or the time zone cannot be used."""
    from linqbot.parse.recurrences import Recurrence, recurrence

    if isinstance(every, Recurrence):
        if timezone is not None:
            raise BotError("every= has a time zone already. Leave timezone= out.")
        return every
    if not isinstance(every, str):
        raise BotError(
            "send_later(every=…) takes a rhythm, such as 'weekdays 09:00', or a value of parse.recurrence, but got a value "
            f"of type {type(every).__name__}."
        )
    if timezone is None:
        raise BotError('every= needs the time zone of the person: timezone="Europe/Paris".')
    check_timezone("send_later", timezone)
    try:
        return recurrence(every, timezone=timezone, language="en")
    except ValueError as error:
        raise BotError(f"every={every!r}: {error}") from error


class StoredSend(Data):
    """The payload of a timer of a scheduled send, and the body of the delivery that the timer becomes.

    What another release has added stays in it when it is moved, and so does `retention_mark`.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it has texts

    calls: tuple[Any, ...]  # the calls to make, in order, in the form of `Call.to_json`
    due: float  # the time at which they are due, in Unix seconds; of a recurring send, the first time
    grace_s: float  # the longest time, in seconds, for which no server may have run since then
    origin: dict[str, Any] | None = None  # the people and the chat of the turn that scheduled them: see `origin_of`
    every: dict[str, Any] | None = None  # the rhythm of a recurring send: see `every_of`
    tag: str | None = None
    series: str | None = None  # the recurring send that was put off, whose calls it makes once: answers name that one
    purpose: Annotated[Purpose, SkipValidation] = "requested"  # why it is sent; another release may have further ones
    turn: str | None = None  # the turn whose call has waited, because of the bot's manners

    @classmethod
    def read(cls, payload: bytes) -> StoredSend:
        """Return the send of a timer or a delivery. Raises ValueError for a wrong payload."""
        return cls.model_validate_json(payload)

    def as_calls(self) -> list[Call]:
        return [Call.from_json(to_json(call)) for call in self.calls]

    def timer(self, timer_id: str, lane: str) -> Timer:
        kind = KIND if self.every is None else REPEAT
        return Timer(timer_id, self.due, lane, kind, to_json(self.model_dump(exclude_defaults=True)))

    def moved(self, timer_id: str, due: float) -> StoredSend:
        """Return the send of the timer `timer_id` for another time, to be made once."""
        series = self.series if self.every is None else timer_id
        return self.model_copy(update={"due": due, "every": None, "series": series})

    def scheduled(self, scheduled_id: str, due: float) -> Scheduled:
        return _scheduled(scheduled_id, due, self.tag, self.every)


async def sends_of(chat_id: str, stored: Storage) -> dict[str, Timer]:
    """Return all scheduled sends of a chat, by id. A recurring send that is due now is among them: it goes on later."""
    lane = lane_of_chat(chat_id)
    waiting = await stored.scheduled(lane=lane, limit=_ALL)
    repeated = await stored.recurring(REPEAT, lane=lane)
    return {timer.id: timer for timer in (*waiting, *repeated) if timer.kind in (KIND, REPEAT)}


def stopped(timer: Timer) -> Timer:
    """Return a timer that keeps a recurring send and never fires."""
    return replace(timer, due=LAST, kind=STOPPED)


async def started_again(chat_id: str, stored: Storage, now: float) -> list[Timer]:
    """Return the timers of the recurring sends of a chat that were stopped, with their next due times."""
    found = await stored.scheduled(lane=lane_of_chat(chat_id), limit=_ALL)
    due = [(timer, next_due(timer.payload, now)) for timer in found if timer.kind == STOPPED]
    return [replace(timer, due=at, kind=REPEAT) for timer, at in due if at is not None]


def _scheduled(scheduled_id: str, due: float, tag: str | None, every: dict[str, Any] | None) -> Scheduled:
    return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC), tag, every["spec"] if every else None)


async def send_due(turns: Turns, turn: Turn) -> None:
    """Make the calls of a scheduled send. Raises SendMissed if the send is too late, or cannot be read."""
    delivery, journal = turn.lease.delivery, turn.journal
    recurs = delivery.id.startswith(REPEAT_ID)
    send_id = timer_and_tick(delivery)[0] if recurs else delivery.id.split(".", 2)[2]
    try:
        send = StoredSend.read(delivery.body)
        calls = send.as_calls()
        due = merged(delivery, send.every or {})[0].timestamp() if recurs else send.due
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The message of the error is left out, because it may quote the text of the send.
        raise SendMissed(f"The stored send cannot be read ({type(error).__name__}).") from None
    # The timer of a recurring send is stored until it is cancelled.
    known = await turns.storage.timer(send_id) if recurs else None
    if recurs and (known is None or known.kind != REPEAT):
        log.info("send.cancelled", delivery=delivery.id)
        return
    # A send that has begun, and one that a server made a delivery in time, goes on however long Linq is away. If the server
    # has stopped since, it is unknown for how long none ran.
    late_s = max(delivery.received_at, turns.serving_since) - due
    if late_s > send.grace_s and not journal.unmatched():
        raise SendMissed(
            f"A message of send_later was due {late_s:.0f} s ago when a server could make it, and may be at most "
            f"{send.grace_s:.0f} s late (grace_s=). "
            "If it is still wanted, send it by hand: linqbot send. To allow longer downtimes and mutes, give send_later a "
            "longer grace_s=."
        )
    # So that an answer to the message finds the send: see `answered_schedule`.
    made_by = {"id": send.series or send_id, "due": due} | send.model_dump(
        include={"tag", "every"}, exclude_defaults=True
    )
    journal.origin = to_json({**(send.origin or {}), "scheduled": made_by})
    turn.data.put(SentFor(send.purpose, send.turn))
    with turn.deadline:
        for call in calls:
            with suppress(MessageGone):
                try:
                    await turn.client.run(call)
                except LinqApiError as error:
                    # The person opted out, or the chat is gone, or was left: a recurring send must not be made again.
                    if recurs and meaning_of(error) in (Refusal.OPTED_OUT, Refusal.LEFT, Refusal.GONE):
                        journal.cancelled.append(send_id)
                    raise


def answered_schedule(entry: JournalEntry | None) -> Scheduled | None:
    """Return the scheduled send that made a message, from the message's journal entry; None if none made it."""
    try:
        made_by = from_json(entry.origin)["scheduled"] if entry is not None and entry.origin else None
        if made_by is None:
            return None
        return _scheduled(made_by["id"], float(made_by["due"]), made_by.get("tag"), made_by.get("every"))
    except (ValueError, TypeError, KeyError):
        return None


CANCEL: Final = "cancel"
"""The verb of the entries of cancelled sends. Their path is the id of the send."""

_LISTED: Final = TypeAdapter(list[Scheduled])


def note_timer(timer: Timer, *, replaces: bool = False) -> None:
    """Note a timer that belongs to the result of the running step, if there is one."""
    if (step := effects_of_step()) is not None:
        said = {name: getattr(timer, name) for name in ("id", "due", "lane", "kind")}
        step.note("scheduled", [{"timer": {**said, "payload": from_json(timer.payload)}, "replaces": replaces}])


def _note(change: Any) -> None:
    if (step := effects_of_step()) is not None:
        step.note("scheduled", [change])


def recall_scheduled(journal: TurnJournal, changes: Sequence[Any]) -> None:
    """Repeat what a step on record has scheduled, moved and cancelled, unless it was stored when a part that is over ended."""
    if not journal.is_past:
        TurnTimers.of(journal).recall(changes, journal)


class TurnTimers(dict[str, Timer]):
    """The timers of scheduled sends that the commit which ends the turn stores, by id. They lie in the data of the turn."""

    @classmethod
    def of(cls, journal: TurnJournal) -> TurnTimers:
        found = journal.data.find(cls)
        if found is None:
            found = journal.data[cls] = cls()
            journal.ends.append(found.end)
        return found

    def end(self, journal: TurnJournal, commit: Commit) -> None:
        """Store the timers, unless the turn has failed: its next run schedules them again. Nor if the person opts out with it.

        Linq refuses a send only until the person writes again. What is due after that would still be sent.
        """
        if isinstance(commit.outcome, Ack) and OptedOut not in journal.data:
            commit.timers += self.values()

    def store(self, timer: Timer, journal: TurnJournal, *, replaces: bool = False) -> None:
        """Let the commit store a timer; `replaces` deletes the stored one of its id first."""
        if replaces:
            journal.cancelled.append(timer.id)
        self[timer.id] = timer
        note_timer(timer, replaces=replaces)

    def recall(self, changes: Iterable[Any], journal: TurnJournal) -> None:
        """Repeat what a step on record has scheduled, moved and cancelled. What it has cancelled elsewhere is cancelled."""
        for change in changes:
            if "cancelled" in change:
                self.pop(change["cancelled"], None)
                _note(change)
            else:
                said = change["timer"]
                timer = Timer(**{**said, "payload": to_json(said["payload"])})
                self.store(timer, journal, replaces=change["replaces"])

    def discard(self, journal: TurnJournal) -> None:
        """Forget what this run has scheduled and moved. What it has cancelled stays cancelled.

        After a question everything stays: the handler does not come again to what it did before the question.
        """
        if journal.is_suspended:
            return
        # A send that was moved is stored as it was before.
        journal.cancelled = [each for each in journal.cancelled if each not in self]
        self.clear()


def scheduler_of(helpers: Helpers) -> TurnScheduler:
    """Return what carries out the scheduled sends of a turn."""
    return helpers.made(TurnScheduler, lambda of: TurnScheduler(of.journal))


class TurnScheduler:
    """The scheduled sends that one run of a turn begins, moves and cancels."""

    __slots__ = ("_cancels", "_journal", "_slots", "_stored", "_timers")

    def __init__(self, journal: TurnJournal) -> None:
        self._journal = journal
        self._slots = journal.slots
        self._stored = journal.storage
        self._timers = TurnTimers.of(journal)
        recorded = [entry for entry in journal.steps.values() if from_json(entry.call)["verb"] == CANCEL]
        self._cancels = JournalMatcher(recorded)

    def schedule(
        self,
        chat_id: str,
        calls: Sequence[Call],
        *,
        due: float,
        grace_s: float,
        key: str | None,
        every: Recurrence | None = None,
        tag: str | None = None,
    ) -> Scheduled:
        """Schedule calls for a chat. They are stored once, because their id is the same in every run of the turn.

        Args:
            due: The time to make the calls at, in Unix seconds.
            grace_s: The longest delay, in seconds, after which they are still made.
            key: Identifies the calls within the turn; None numbers them. Raises BotError if it was used before.
            every: The rhythm in which to make them again; None makes them once.
            tag: The author's name for the send.
        """
        journal = self._journal
        journal.refuse_after_end("send_later")
        timer_id = journal.key_of(self._slots.of_timer(key))
        if timer_id in self._timers:
            raise BotError(f"send_later(key={key!r}) was called twice in one turn. Give each send a key of its own.")
        send = StoredSend(
            calls=tuple(from_json(call.to_json()) for call in calls),
            due=due,
            grace_s=grace_s,
            origin=None if journal.origin is None else from_json(journal.origin),
            every=None if every is None else every_of(every.spec, every.timezone),
            tag=tag,
            **retention_mark(off_the_record=journal.off_the_record),
        )
        if not journal.is_past:
            self._timers.store(send.timer(timer_id, lane_of_chat(chat_id)), journal)
        return send.scheduled(timer_id, due)

    async def reschedule(self, scheduled_id: str, *, due: float) -> Scheduled | None:
        """Move a scheduled send that waits, or make the calls of a recurring one once more at `due`.

        Return None if none of this id is stored any more, except in a part that is over, which has moved it.
        """
        self._journal.refuse_after_end("reschedule")
        # Also for what turns out to be no recurring send, so that the numbers are the same in every run.
        again_id = self._journal.key_of(self._slots.numbered("m"))
        timer = self._timers.get(scheduled_id) or await self._stored.timer(scheduled_id)
        if timer is None or timer.kind not in (KIND, REPEAT):
            # What a part that is over has moved was sent or cancelled since then.
            return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC)) if self._journal.is_past else None
        moved_id = again_id if timer.is_recurring else scheduled_id
        later = StoredSend.read(timer.payload).moved(scheduled_id, due)
        if not self._journal.is_past:
            self._timers.store(later.timer(moved_id, timer.lane), self._journal, replaces=not timer.is_recurring)
        return later.scheduled(moved_id, due)

    async def cancel(self, scheduled_id: str) -> bool:
        """Cancel a scheduled send, at once. Return True if it was still waiting.

        A second run of the turn gets the result of the first, and cancels nothing: its list of sends may be another.
        """
        self._journal.refuse_after_end("cancel")
        return await self._cancel(self._slots.numbered("c"), Call(f"ctx.{CANCEL}", "DELETE", scheduled_id, "natural"))

    async def _cancel(self, slot: str, call: Call) -> bool:
        match = self._cancels.match(slot, call, is_named=False)
        if match.still_to_make is not None:
            await self._cancel(self._slots.numbered("c~"), match.still_to_make)
        if match.entry is not None:
            call, was_waiting = Call.from_json(match.entry.call), bool(from_json(match.entry.answer or b"false"))
        elif self._journal.is_past:
            return False
        else:
            # In the storage in any case: an earlier run of this turn may have succeeded and stored the same send.
            entry = self._journal.new_entry(match.slot, "step", call.to_json())
            was_waiting = await self._journal.cancel_timer(call.path, entry)
        here = self._timers.pop(call.path, None) is not None
        _note({"cancelled": call.path})
        return was_waiting or here

    async def scheduled(self, chat_id: str) -> list[Scheduled]:
        """Return the scheduled sends of a chat, including this turn's; earliest first.

        The list is on record before the handler has it, and a second run of the turn gets the same.
        """
        slot = self._slots.numbered("l")
        if (entry := self._journal.steps.get(slot)) is not None:
            return _LISTED.validate_json(entry.answer or b"[]")
        known = await sends_of(chat_id, self._stored)
        known |= {timer.id: timer for timer in self._timers.values() if timer.lane == lane_of_chat(chat_id)}
        ordered = sorted(known.values(), key=lambda timer: timer.tick)
        found = [StoredSend.read(timer.payload).scheduled(timer.id, timer.tick) for timer in ordered]
        if not (self._journal.closed or self._journal.is_suspended or self._journal.is_past):
            entry = self._journal.new_entry(slot, "step", to_json({"noun": "ctx", "verb": "scheduled"}))
            await self._journal.store(with_result(entry, found))
        return found
