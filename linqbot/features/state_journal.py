"""State that is stored with the calls of a turn, so that no call tells a person of a change that is lost.

Each change goes into the commit that stores the next call or step, with an entry in the journal. A later run of the turn
is shown a value as it was before until it comes to that call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

from linqbot.engine.slots import effects_of_step, is_in_step
from linqbot.engine.turn_journal import STATE_SLOT
from linqbot.errors import BotError, StateChanged, StateConflict, TurnDeferred
from linqbot.features.state_values import encoded
from linqbot.storage.journal import JournalEntry
from linqbot.storage.state import BOT, ChangedValue, StoredChange

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.features.state import TurnState


class _Record(NamedTuple):
    """The state that an earlier run has stored with a call, or with the result of a step.

    Attributes:
        slot: The slot of the call or of the step.
        inside: The path of the steps inside of which that was.
    """

    slot: str
    inside: str
    changes: list[StoredChange]


class StateJournal:
    """The changes of state that the runs of a turn for one delivery have stored with calls.

    It gets the journal with each call and does not refer to it, so it makes no reference cycle.
    """

    def __init__(self, journal: TurnJournal) -> None:
        self._state: TurnState | None = None
        # What earlier runs have stored, in this order.
        self._stored: list[_Record] = []
        for n, entry in enumerate(journal.steps.values()):
            if not entry.slot.startswith(STATE_SLOT):
                continue
            said = from_json(entry.call)
            if said["delivery"] == journal.delivery.id:
                is_tally = said.get("is_tally", False)
                changes = [
                    StoredChange(n, is_tally, scope, name, *map(encoded, pair)) for scope, name, *pair in said["values"]
                ]
                self._stored.append(_Record(said["slot"], said.get("inside", said["slot"]), changes))

    def use(self, state: TurnState) -> None:
        """Store what is changed of the state of the turn, from its first use on."""
        if self._state is None:
            self._state = state
            state.expect([change for record in self._stored for change in record.changes])

    def come_to(self, slot: str, made: str | None) -> None:
        """Show what was stored with a call or a step; see `TurnJournal.come_to`."""
        if not self._stored:
            return
        found, left = list[StoredChange](), list[_Record]()
        for record in self._stored:
            if record.slot == slot or (made is not None and is_in_step(record.inside, made)):
                found += record.changes
            else:
                left.append(record)
        self._stored = left
        if self._state is not None:
            self._state.come_to(found)

    def failure_of(self, conflict: StateConflict) -> StateConflict | StateChanged:
        return conflict if self._state is None else self._state.failure_of(conflict)

    async def store(self, journal: TurnJournal, slot: str, entry: JournalEntry | None) -> None:
        """Store the state that was changed, with the entry of a slot that begins, unless an earlier run has stored it.

        Raises StateChanged or TurnDeferred: see `TurnJournal.begin`.
        """
        if (state := self._state) is None:
            if entry is not None:
                await journal.begin_with_state(entry)
            return
        async with state.lock:
            try:
                changes = _to_store(state.changes(), off_the_record=journal.off_the_record)
                if not changes:
                    if entry is not None:
                        await journal.begin_with_state(entry)
                    return
                record = recorded(journal, slot, changes)
                writes = [change.write for change in changes]
                if entry is None:
                    await journal.begin_with_state(record, state=writes, instead=journal.conflict())
                else:
                    await journal.begin_with_state(entry, state=writes, changes=record, instead=journal.conflict())
            except (StateChanged, StateConflict) as error:
                failure = error if isinstance(error, StateChanged) else state.failure_of(error)
                if isinstance(failure, StateChanged):
                    await state.show_now(error.scope, error.name)
                    raise failure from None
                deferred = TurnDeferred(str(error), after_s=0.0)
                deferred.__cause__ = error
                journal.note_failure(deferred)
                raise deferred from error
            journal.note_step(record)
            state.note_stored(changes)


def _to_store(changes: list[ChangedValue], *, off_the_record: bool) -> list[ChangedValue]:
    """Return the changes that may be stored: none on a line that keeps nothing.

    Raises BotError if the bot's shared value was changed there, and the next call may tell a person so.
    """
    if not off_the_record:
        return changes
    for change in changes:
        if change.write.scope == BOT:
            raise BotError(
                f"The state {change.write.name} of the bot was changed, and this line has zero retention, so the change "
                "is not stored. Keep shared values for people of other lines only."
            )
    return []


def recorded(
    journal: TurnJournal, slot: str, changes: Sequence[ChangedValue], *, is_tally: bool = False
) -> JournalEntry:
    """Return the entry that records changes of state, which are stored with the call or the step of a slot."""
    values = [[change.write.scope, change.write.name, change.before, change.write.value] for change in changes]
    what = {"delivery": journal.delivery.id, "slot": slot, "is_tally": is_tally, "values": values}
    call: dict[str, Any] = {"noun": "ctx", "verb": "state", **what}
    if (step := effects_of_step()) is not None:
        call["inside"] = step.path
    count = sum(each.startswith(STATE_SLOT) for each in journal.steps)
    return replace(journal.new_entry(f"{STATE_SLOT}{count}:{slot}", "step", to_json(call)), status="accepted")
