"""The scheduled sends and the broadcasts of one turn.

A list of the sends, and each send that is cancelled, is recorded in the journal like a call: a second run of the turn
sees the same list, and cancels no other send. What a step of `ctx.once` schedules is recorded with the step's result. A
run that has the result from the record does not make the step, and schedules the same again.

Next step: the commit that ends the turn stores them, and `features/later.py` makes their calls when they are due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.engine.earlier_runs import JournalMatcher
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.slots import effects_of_step
from linqbot.errors import BotError, CallSkipped
from linqbot.features.later import KIND, moved, scheduled_by, sends_of
from linqbot.features.later import timer as due_timer
from linqbot.features.proactive import Rhythm
from linqbot.features.schedules import REPEAT
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.types.proactive import Broadcast, Recipient, RecipientOutcome, Scheduled
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.journal import JournalEntry, with_result
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal


CANCEL: Final = "cancel"
"""The verb of the entries of cancelled sends. Their path is the id of the send."""

_LISTED: Final = TypeAdapter(list[Scheduled])


def listed(entry: JournalEntry) -> list[Scheduled]:
    """Return a list of scheduled sends from its entry."""
    return _LISTED.validate_json(entry.answer or b"[]")


def note_timer(timer: Timer, *, replaces: bool = False) -> None:
    """Note a timer that belongs to the result of the running step, if there is one."""
    if (step := effects_of_step()) is not None:
        said = {name: getattr(timer, name) for name in ("id", "due", "lane", "kind", "grace_s")}
        step.scheduled.append({"timer": {**said, "payload": from_json(timer.payload)}, "replaces": replaces})


def _note(change: Any) -> None:
    if (step := effects_of_step()) is not None:
        step.scheduled.append(change)


class TurnScheduler:
    """The scheduled sends that one run of a turn begins, moves and cancels."""

    __slots__ = ("_cancels", "_journal", "_slots", "_stored", "_timers")

    def __init__(self, journal: TurnJournal, stored: Storage) -> None:
        self._journal = journal
        self._slots = journal.slots
        self._stored = stored
        self._timers: dict[str, Timer] = {}
        recorded = [entry for entry in journal.steps.values() if from_json(entry.call)["verb"] == CANCEL]
        self._cancels = JournalMatcher(recorded)

    @property
    def timers(self) -> list[Timer]:
        """The timers that the commit which ends the turn stores; none if the person opts out with it.

        Linq refuses a send only until the person writes again. What is due after that would still be sent.
        """
        return list(self._timers.values()) if self._journal.muted_chat is None else []

    def schedule(
        self,
        chat_id: str,
        calls: Sequence[Call],
        *,
        due: float,
        grace_s: float,
        key: str | None,
        every: Rhythm | None = None,
        tag: str | None = None,
    ) -> Scheduled:
        """Schedule calls for a chat. They are stored once, because their id is the same in every run of the turn.

        Args:
            due: The time to make the calls at, in Unix seconds.
            grace_s: The longest delay, in seconds, after which they are still made.
            key: Identifies the calls within the turn; None numbers them.
            every: The rhythm in which to make them again; None makes them once.
            tag: The author's name for the send.
        Returns:
            The scheduled send.
        Raises:
            BotError: the turn has ended, or `key` was used before in this turn.
        """
        self._journal.refuse_after_end("send_later")
        timer_id = self._next_id(key)
        if timer_id in self._timers:
            raise BotError(f"send_later(key={key!r}) was called twice in one turn. Give each send a key of its own.")
        timer = due_timer(
            timer_id,
            chat_id,
            calls,
            due,
            grace_s,
            origin=self._journal.origin,
            off_the_record=self._journal.off_the_record,
            every=every,
            tag=tag,
        )
        if not self._journal.is_past:
            self._put(timer)
        return scheduled_by(timer)

    async def reschedule(self, scheduled_id: str, *, due: float) -> Scheduled | None:
        """Move a scheduled send that waits, or make the calls of a recurring one once more at `due`.

        Return None if none of this id is stored any more, except in a part that is over, which has moved it.
        """
        self._journal.refuse_after_end("reschedule")
        # Also for what turns out to be no recurring send, so that the numbers are the same in every run.
        again_id = self._journal.key_of(self._slots.of_moved())
        timer = self._timers.get(scheduled_id) or await self._stored.timer(scheduled_id)
        if timer is not None and timer.kind not in (KIND, REPEAT):
            timer = None
        if self._journal.is_past:
            if timer is None:  # sent or cancelled since then
                return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC))
            return scheduled_by(moved(timer, again_id if timer.is_recurring else scheduled_id, due))
        if timer is None:
            return None
        is_new = timer.is_recurring
        later = moved(timer, again_id if is_new else scheduled_id, due)
        self._put(later, replaces=not is_new)
        return scheduled_by(later)

    async def cancel(self, scheduled_id: str) -> bool:
        """Cancel a scheduled send, at once. Return True if it was still waiting.

        A second run of the turn gets the result of the first, and cancels nothing: its list of sends may be another.
        """
        self._journal.refuse_after_end("cancel")
        return await self._cancel(self._slots.of_cancelled(), Call(f"ctx.{CANCEL}", "DELETE", scheduled_id, "natural"))

    async def _cancel(self, slot: str, call: Call) -> bool:
        match = self._cancels.match(slot, call, is_named=False)
        if match.displaced is not None:
            await self._cancel(self._slots.numbered("c~"), match.displaced)
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
        slot = self._slots.of_list()
        if (entry := self._journal.steps.get(slot)) is not None:
            return listed(entry)
        known = await sends_of(chat_id, self._stored)
        known |= {timer.id: timer for timer in self._timers.values() if timer.lane == lane_of_chat(chat_id)}
        found = [scheduled_by(timer) for timer in sorted(known.values(), key=lambda timer: timer.tick)]
        if not (self._journal.is_closed or self._journal.is_suspended or self._journal.is_past):
            entry = self._journal.new_entry(slot, "step", to_json({"noun": "ctx", "verb": "scheduled"}))
            await self._journal.store(with_result(entry, found))
        return found

    def discard(self) -> None:
        """Forget what this run has scheduled and moved. What it has cancelled stays cancelled.

        After a question everything stays: the handler does not come again to what it did before the question.
        """
        if self._journal.is_suspended:
            return
        # A send that was moved is stored as it was before.
        self._journal.cancelled = [each for each in self._journal.cancelled if each not in self._timers]
        self._timers.clear()

    def recall(self, changes: Iterable[Any]) -> None:
        """Repeat what a step on record has scheduled, moved and cancelled. What it has cancelled elsewhere is cancelled."""
        for change in changes:
            if "cancelled" in change:
                self._timers.pop(change["cancelled"], None)
                _note(change)
            else:
                said = change["timer"]
                self._put(Timer(**{**said, "payload": to_json(said["payload"])}), replaces=change["replaces"])

    def _put(self, timer: Timer, *, replaces: bool = False) -> None:
        """Let the commit that ends the turn store a timer; `replaces` deletes the stored one of its id first."""
        if replaces:
            self._journal.cancelled.append(timer.id)
        self._timers[timer.id] = timer
        note_timer(timer, replaces=replaces)

    def _next_id(self, key: str | None) -> str:
        return self._journal.key_of(self._slots.of_timer(key))


@dataclass(frozen=True, slots=True)
class TurnBroadcaster:
    """Stores broadcasts at once, not with the end of the turn: a name is begun once, whatever happens to the turn."""

    journal: TurnJournal
    stored: Storage
    outbound: Outbound

    async def start_broadcast(
        self, new: NewBroadcast, people: Sequence[str], *, check: Callable[[], Awaitable[None]]
    ) -> Broadcast:
        """Store a broadcast now, unless one of its name is stored, and return the stored one.

        Args:
            check: Called before the broadcast is stored.
        Raises:
            BotError: `check` refuses it.
            CallSkipped: this is a part of a conversation that is over, and it has begun no such broadcast.
            Refused: a plugin vetoes it.
            StorageUnavailable: nothing was stored.
        """
        self.journal.refuse_after_end("broadcast")
        if self.journal.is_past:
            raise CallSkipped("broadcast")
        await check()
        self.outbound.check_broadcast(new.name, people)
        begun = replace(new, off_the_record=self.journal.off_the_record, lane=self.journal.lane)
        await self.stored.start_broadcast(begun, people)
        stored = await self.stored.broadcast(new.name)
        assert stored is not None, "broadcasts are never deleted"
        return stored

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast; None if none of this name is stored."""
        return await self.stored.broadcast(name)

    async def recipients_of(
        self, name: str, *, outcome: RecipientOutcome | None, after: int, limit: int
    ) -> list[Recipient]:
        """Return people of a broadcast, in order; see `storage/broadcasts.py`."""
        return await self.stored.recipients(name, outcome=outcome, after=after, limit=limit)
