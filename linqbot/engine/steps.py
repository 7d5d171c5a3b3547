"""Steps: functions whose results are stored in the journal, so that no run of a turn calls them again.

`ctx.once` makes the steps of authors. linqbot records its own ones in the same way, such as uploads, mutes, and what the
`when=` of a handler has said.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from linqbot.characters import to_json
from linqbot.engine.slots import OUTSIDE, StepEffects, effects_of_step, is_outside_of_answer
from linqbot.engine.state import Recording
from linqbot.engine.state_values import misfits
from linqbot.engine.turn_journal import TurnJournal
from linqbot.errors import Ambiguous, BotError, ConversationTooLong, TurnDeferred
from linqbot.linq.events.lane import as_object
from linqbot.storage.journal import JournalEntry
from linqbot.storage.state import ChangedValue, StateWrite
from linqbot.turn_events import StepEnded

log = structlog.get_logger("linqbot.worker")

T = TypeVar("T")

MOST_ENTRIES: Final = 5000
"""Maximum number of journal entries of a conversation: its questions, steps and calls. They are read with each answer,
which takes about 15 ms for each thousand."""

LARGEST_RESULT_BYTES: Final = 256 << 10
"""Maximum size of a step's result as JSON. All results of a conversation are read with each answer."""


def check_length(entries: int, what: str) -> None:
    """Raise ConversationTooLong, with the name of what adds an entry, if a conversation may have no more."""
    if entries >= MOST_ENTRIES:
        raise ConversationTooLong(
            f"The conversation has {entries} journal entries (questions, steps and calls), and {what} would make another "
            f"one. {MOST_ENTRIES} is the most. Let the handler end, keep what it has learned in ctx.state, and go on with "
            "the person's next message."
        )


Recall: TypeAlias = Callable[[TurnJournal, Sequence[Any]], None]
"""Repeats the effects that a feature has noted in a step, for a run that has the step's result from the record."""
InStep: TypeAlias = Callable[[TurnJournal, str], None]
"""Notes the effects of a step that was made just now, given its name."""


class Steps:
    """The steps of one run of a turn. No journal refers to them, so they make no reference cycle.

    Args:
        known: The number of journal entries that the turn has already.
        recalls: By the word of an effect: see `StepEffects`.
        in_step: Called in each step that is made, at its end.

    Attributes:
        under_way: The names of the steps that are being made, those inside of another one last.
        holds_input: True if the run has come to a step that must not be made again with other input.
        recalled: The names of the steps on record whose results this run has.
    """

    def __init__(
        self,
        journal: TurnJournal,
        known: int,
        recalls: Mapping[str, Recall],
        in_step: Sequence[InStep],
    ) -> None:
        self._journal = journal
        self._storage = journal.storage
        self._entries = known
        self._recalls = recalls
        self._in_step = in_step
        self._used: set[str] = set()
        self.recalled: set[str] = set()
        self.under_way: list[str] = []
        self.holds_input = False

    def recall(self, name: str, *, kind: Any) -> Any:
        entry = self._journal.steps.get(self._journal.slots.of_step(name))
        if entry is None or entry.status != "accepted":
            return None
        return self._recorded(name, entry, kind)

    async def recorded(self, name: str, make: Callable[[], Awaitable[T]], *, kind: type[T]) -> T:
        """Return the recorded result of a step that may be made again, or make it; see `Context.recorded`."""
        result: T = await self.once(name, lambda _: make(), kind=kind, retry=True)
        return result

    async def once(
        self,
        name: str,
        call: Callable[[str], Any],
        *,
        kind: Any,
        retry: bool,
        restartable: bool = False,
        recording: Recording | None = None,
    ) -> Any:
        """Return the recorded result of a step, or make the step and record it. Raises what `Context.once` does."""
        self._journal.refuse_after_end("once")
        slot = self._journal.slots.of_step(name)
        if slot in self._used:
            raise BotError(f"ctx.once({name!r}) was called twice in one run. Give each step a name of its own.")
        self._used.add(slot)
        self._hold_input(restartable=restartable)
        entry = self._journal.steps.get(slot)
        if entry is not None:
            is_made = entry.status == "accepted"
            self._journal.come_to(slot, name if is_made else None)
            if is_made:
                self._notify(name, answer=entry.answer)
                return self._recorded(name, entry, kind)
        entry = await self._begun(name, slot, entry, retry=retry, restartable=restartable)
        began = time.perf_counter()
        self.under_way.append(name)
        try:
            with self._journal.slots.in_step(name) as effects:
                result = call(entry.key)
                if inspect.isawaitable(result):
                    result = await result
                for note in self._in_step:
                    note(self._journal, name)
        except (Exception, TurnDeferred) as error:
            # The call has ended, so the next run makes it again. Its error may hold texts of people.
            self._journal.keep(replace(entry, status="refused", answer=to_json({"error": type(error).__name__})))
            if isinstance(error, TurnDeferred):
                self._journal.note_failure(error)
            self._notify(name, began, error=error)
            raise
        finally:
            self.under_way.remove(name)
        # From here on the step was made. Without a result the entry stays as it is, so the next run knows that.
        data = _data(name, result)
        if effects.noted:
            entry = replace(entry, call=_call_of(name, effects, restartable=restartable))
        accepted = replace(entry, status="accepted", answer=data)
        if recording is None:
            await self._storage.settle(accepted)
        else:
            # Shielded: what was made counts, even if a newer message interrupts the handler just now.
            await asyncio.shield(recording(typed(name, data, kind), partial(self._settle_with, accepted)))
        self._notify(name, began, answer=data)
        return typed(name, data, kind)

    def _notify(
        self,
        name: str,
        began: float | None = None,
        *,
        error: BaseException | None = None,
        answer: bytes | None = None,
    ) -> None:
        """Note a step that has ended. `began` is None if it is on record."""
        took_s = 0.0 if began is None else time.perf_counter() - began
        self._journal.note_ended_step(StepEnded(name, answer, error, took_s, began is None, _usage_of(answer)))

    async def _begun(
        self, name: str, slot: str, entry: JournalEntry | None, *, retry: bool, restartable: bool
    ) -> JournalEntry:
        if entry is None:
            check_length(self._entries, f"the step {name!r}")
            self._entries += 1
            entry = self._journal.new_entry(slot, "step", _call_of(name, StepEffects(), restartable=restartable))
            await self._journal.begin(entry)
        elif entry.status != "refused" and not retry:
            if entry.status == "attempting":
                log.error("step.ambiguous", turn=entry.turn, step=name, key=entry.key)
                await self._storage.settle(replace(entry, status="ambiguous"))
            raise Ambiguous(name)
        else:
            entry = replace(entry, status="attempting", answer=None)
            await self._journal.store_state(slot)
            await self._storage.settle(entry)
        return entry

    def _recorded(self, name: str, entry: JournalEntry, kind: Any) -> Any:
        """Return the result of a step on record, and repeat its effects: they are not stored before the turn ends."""
        self.recalled.add(name)
        said = from_json(entry.call)
        for word, recall in self._recalls.items():
            if noted := said.get(word):
                recall(self._journal, noted)
        return typed(name, entry.answer or b"null", kind)

    async def _settle_with(
        self, accepted: JournalEntry, writes: Sequence[StateWrite], changes: Sequence[ChangedValue]
    ) -> None:
        """Store the result of a step together with writes of state, unless the line of the turn keeps nothing."""
        record = self._journal.record_of_state(accepted.slot, changes, is_tally=True) if changes else None
        await self._storage.settle(accepted, () if self._journal.off_the_record else writes, record)
        if record is not None:
            self._journal.note_step(record)

    def _hold_input(self, *, restartable: bool) -> None:
        """Keep the turn from being restarted from here on. If it is being restarted already, the step must not begin."""
        if not restartable:
            self._journal.cancel_if_interrupted()
            self.holds_input = True


def step_in(entry: JournalEntry) -> dict[str, Any] | None:
    """Return what an entry records of a step of `ctx.once`; None for an entry of something else."""
    said: dict[str, Any] = from_json(entry.call) if entry.safety == "step" else {}
    return said if said.get("verb") == "once" else None


def steps_on_record(entries: Iterable[JournalEntry]) -> dict[str, JournalEntry]:
    """Return the steps of `ctx.once` that have a result, by name. What middleware did for the answers is not among them."""
    kept = (each for each in entries if each.status == "accepted" and not is_outside_of_answer(each.slot))
    return {step["name"]: entry for entry in kept if (step := step_in(entry)) is not None}


def last_step(entries: Iterable[JournalEntry]) -> str | None:
    """Return the name of the step on record that a handler has begun last, behind its last question; None if there is none.

    Of a step inside of another one, that is the other one: a run that has the other one's result does not come to it.
    """
    found = None
    for entry in entries:
        if entry.safety == "ask":
            found = None
        elif entry.status == "accepted" and not entry.slot.startswith(OUTSIDE):
            step = step_in(entry)
            if step is not None and not step.get("inside"):
                found = step["name"]
    return found


def _call_of(name: str, effects: StepEffects, *, restartable: bool) -> bytes:
    what: dict[str, Any] = {"noun": "ctx", "verb": "once", "name": name}
    if restartable:
        what["restartable"] = True
    if effects_of_step() is not None:
        what["inside"] = True
    return to_json(what | effects.noted)


def _data(name: str, result: object) -> bytes:
    """Return the result of a step as JSON. Raises BotError, or ConversationTooLong if it is too large to be recorded."""
    try:
        data = to_json(result)
    except PydanticSerializationError:
        raise BotError(
            f"The step {name!r} was made, but its result of type {type(result).__name__} cannot be recorded as "
            "JSON. Return what the handler needs of it from ctx.once, such as an id."
        ) from None
    if len(data) > LARGEST_RESULT_BYTES:
        raise ConversationTooLong(
            f"The step {name!r} was made, but its result has {len(data)} bytes as JSON and cannot be recorded. "
            f"{LARGEST_RESULT_BYTES} bytes are the most. Keep files and other large results elsewhere, and return "
            "their path or id from ctx.once."
        )
    return data


def _usage_of(answer: bytes | None) -> dict[str, float]:
    """Return the tokens and the cost of a recorded response, as far as it names them like the SDKs of providers do."""
    # Most steps ask no model, and their results may be long.
    response = as_object(from_json(answer) if answer and b'"usage' in answer else None)
    usage = as_object(response.get("usage") or response.get("usage_metadata"))
    found = {name: usage[name] for name in ("input_tokens", "output_tokens") if isinstance(usage.get(name), int)}
    with suppress(TypeError, ValueError, KeyError):  # few responses have one, and pydantic writes a Decimal as text
        found["cost"] = float(usage["cost"])
    return found


def typed(name: str, data: bytes, kind: Any) -> Any:
    """Return the result of a step from its stored JSON as `kind`. Raises BotError if it does not fit."""
    if kind is None:
        return from_json(data)
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        # Without the error as its cause: that quotes the result, which may be about a person.
        wanted = kind.__qualname__ if isinstance(kind, type) else kind
        raise BotError(
            f"The result of the step {name!r} does not fit kind={wanted}: {misfits(kind, error)}. "
            "A step that was made is not made again. Let the type read this result too, or give the step another name."
        ) from None
