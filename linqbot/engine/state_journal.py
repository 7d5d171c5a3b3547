"""State that is stored with the calls of a turn, so that no call tells a person of a change that is lost.

Each change goes into the commit that stores the next call or step, with an entry in the journal. A later run of the turn
is shown a value as it was before until it comes to that call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from linqbot.engine.slots import effects_of_step, is_in_step
from linqbot.engine.state import TurnState
from linqbot.engine.state_values import encoded
from linqbot.errors import BotError, StateChanged, StateConflict, TurnDeferred
from linqbot.storage.journal import JournalEntry
from linqbot.storage.state import BOT, ChangedValue, StoredChange

STATE_SLOT: Final = "state:"
"""The beginning of the slots of entries that record changes of state."""


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

    Args:
        entries: The entries of the turn that are no calls, in order.
        delivery_id: The id of the delivery.
    """

    def __init__(self, entries: Iterable[JournalEntry], delivery_id: str) -> None:
        self._state: TurnState | None = None
        # What earlier runs have stored, in this order.
        self._stored: list[_Record] = []
        for n, entry in enumerate(entries):
            if not entry.slot.startswith(STATE_SLOT):
                continue
            said = from_json(entry.call)
            if said["delivery"] == delivery_id:
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

    async def store(self, begin: Callable[[Sequence[ChangedValue]], Awaitable[None]], *, off_the_record: bool) -> None:
        """Store the state that was changed, unless an earlier run has stored it: `begin` gets the changes, which may be none.

        Raises:
            StateChanged: another turn has changed a value that this one has stored with an earlier call.
            TurnDeferred: another turn has changed a value that this one has read. The turn runs again at once.
        """
        if (state := self._state) is None:
            await begin(())
            return
        async with state.lock:
            try:
                changes = _to_store(state.changes(), off_the_record=off_the_record)
                await begin(changes)
            except (StateChanged, StateConflict) as error:
                failure = error if isinstance(error, StateChanged) else state.failure_of(error)
                if isinstance(failure, StateChanged):
                    await state.show_now(error.scope, error.name)
                    raise failure from None
                raise TurnDeferred(str(error), after_s=0.0) from error
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


def call_of_changes(changes: Sequence[ChangedValue], *, delivery_id: str, slot: str, is_tally: bool = False) -> bytes:
    """Return what an entry records of changes of state, which are stored with the call or the step of a slot."""
    values = [[change.write.scope, change.write.name, change.before, change.write.value] for change in changes]
    what = {"delivery": delivery_id, "slot": slot, "is_tally": is_tally, "values": values}
    call: dict[str, Any] = {"noun": "ctx", "verb": "state", **what}
    if (step := effects_of_step()) is not None:
        call["inside"] = step.path
    return to_json(call)
