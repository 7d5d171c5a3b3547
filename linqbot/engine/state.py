"""`ctx.state`: typed values that a bot keeps about a person, about a chat, or about everything.

A handler asks for a value by a pydantic model and changes its fields. `TurnState` notes what the turn has read and
changed. The changed values are stored in the commit that acks the turn (`engine/turns.py`), each only if the
stored value is still the one that the turn has read. Otherwise the turn runs again with the new value.

A change that is made before a call is stored in the commit that stores the call's key, so that a person never reads of
a state that is not stored. A later run of the turn sees the values that the first run saw up to that call. In the same
way a part of a conversation that is over sees what it saw then, and changes made while a question was open are dropped.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from pydantic import BaseModel

from linqbot.engine.state_values import (
    M,
    checked,
    checked_name,
    copy_into,
    digest_of,
    dump,
    encoded,
    full_name,
    read,
)
from linqbot.errors import BotError, StateChanged, StateConflict
from linqbot.linq.events.event import Event
from linqbot.linq.handles import person_key
from linqbot.linq.types.chat import Chat, Handle
from linqbot.nearest import no_attribute
from linqbot.storage.state import BOT, ChangedValue, StateWrite, StoredChange

if TYPE_CHECKING:
    from linqbot.clock import Clock
    from linqbot.storage.backend import Storage

PERSON: Final = "person:"
CHAT: Final = "chat:"


@dataclass(frozen=True, slots=True)
class Tally(Generic[M]):
    """A number about the person of an event that a step of `ctx.once` changes, such as what the step has cost.

    It is stored in the commit that records the step's result: once for each result, whatever becomes of the turn. A
    change of other state is lost with a failed turn, unless a call follows it. Example: `await ctx.once("price", ask, kind=int, tally=Tally(Spent, add))`

    Args:
        model: A pydantic model whose fields all have defaults.
        add: Gets the value, which it changes, and the result of the step as `once` returns it. It is called again if
            another turn has changed the value meanwhile.
        name: The name under which the value is stored; None is the model's qualified name.
    """

    model: type[M]
    add: Callable[[M, Any], object]
    name: str | None = None


class State(ABC):
    """The values that a handler may read and change. Each is one object per turn, so all code of a turn shares it.

    A model is a pydantic model whose fields all have defaults. A value is stored under the model's qualified name, such
    as `Guest`, or under `name`. Only values that were changed are stored: before the next call to Linq, question
    or step of `ctx.once`, even if the turn fails after that, and otherwise when the turn succeeds.
    """

    _event: Event
    _store: Storage

    async def person(self, model: type[M], *, name: str | None = None) -> M:
        """Return the value about the person who caused the event: in a group, the sender.

        Args:
            model: A pydantic model whose fields all have defaults.
            name: The name under which the value is stored; None is the model's qualified name.
        Raises:
            BotError: the event names no person, a field of the model has no default, or the turn has ended.
            StateUnreadable: the model cannot read what is stored.
            StorageUnavailable: the storage cannot be read; the turn runs again later.
        """
        return await self._get(person_scope(self._event), model, name)

    async def chat(self, model: type[M], *, name: str | None = None) -> M:
        """Return the value about the event's chat.

        Args:
            model, name: As for `person`.
        Raises:
            BotError: the event belongs to no chat; or as for `person`.
            StateUnreadable, StorageUnavailable: as for `person`.
        """
        if self._event.chat_id is None:
            raise BotError(f"{self._event.type} belongs to no chat, so it has no state of a chat. Use ctx.state.bot.")
        return await self._get(CHAT + self._event.chat_id, model, name)

    async def bot(self, model: type[M], *, name: str | None = None) -> M:
        """Return a value that all chats share.

        Turns that change it at the same time run again, one after the other. Read it shortly before you change it.

        Args:
            model, name: As for `person`.
        Raises:
            BotError, StateUnreadable, StorageUnavailable: as for `person`.
        """
        return await self._get(BOT, model, name)

    async def people(
        self, model: type[M], *, name: str | None = None, where: Callable[[M], bool] | None = None
    ) -> AsyncIterator[str]:
        """Yield the handles of the people about whom a value is stored, in the order of the handles.

        Changes of this turn are not stored yet, so they are not seen.

        Example: `async for handle in ctx.state.people(Guest, where=lambda guest: guest.visits > 3):`

        Args:
            model, name: As for `person`.
            where: Gets the value of each person, and returns True for the people to yield; None yields all.
        Raises:
            BotError: a field of the model has no default.
            StateUnreadable: the model cannot read what is stored about one of them.
            StorageUnavailable: the storage cannot be read.
        """
        name = checked_name(model, name)
        async for row in self._store.every_state_row(prefix=PERSON, name=name):
            if where is None or where(read(model, name, row.value)):
                yield row.scope.removeprefix(PERSON)

    @abstractmethod
    async def _get(self, scope: str, model: type[M], name: str | None) -> M: ...


def person_of(event: Event) -> str | None:
    """Return the handle of the person who caused an event, or else of the other side of a direct chat; None if unknown."""
    if event.actor and not event.is_own:
        return event.actor
    chat = getattr(event, "chat", None)
    if event.is_group is False and isinstance(chat, Chat):
        others: Iterable[Handle] = (handle for handle in chat.handles if not handle.is_me and handle.handle)
        return next((other.handle for other in others), None)
    return None


def person_scope(event: Event) -> str:
    """Return the scope of the values about the person of an event. Raises BotError if it names none."""
    handle = person_of(event)
    if handle is None:
        raise BotError(
            f"{event.type} names no person, so it has no state of a person. Use ctx.state.chat or ctx.state.bot."
        )
    # Addresses of one person may be written in several cases.
    return PERSON + person_key(handle)


@dataclass(frozen=True, slots=True)
class Seen:
    """The state and the times that a part of a conversation has read."""

    # The JSON of each value of state that it has read, by scope and name; None where nothing was stored.
    state: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    # The times that it has read, in order, and then the time at which it asked its question, in Unix seconds.
    times: Sequence[float] = ()
    # Digests of the state that it has changed; see `TurnState.left`.
    left: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def also(self, later: Seen) -> Seen:
        """Return what a part that is over has seen, with what a later run of the same part has seen besides."""
        scopes = {**later.state, **self.state}
        return Seen(
            {scope: {**later.state.get(scope, {}), **self.state.get(scope, {})} for scope in scopes},
            later.times,
            self.left,
        )


def joined(parts: Sequence[Seen]) -> Seen:
    """Return what parts that followed each other saw at first and left at last.

    State that something else changed between two of them is left out of what they left.
    """
    state: dict[str, dict[str, str | None]] = {}
    left: dict[str, dict[str, str]] = {}
    is_broken: set[tuple[str, str]] = set()
    for part in parts:
        for scope, values in part.state.items():
            for name, value in values.items():
                state.setdefault(scope, {}).setdefault(name, value)
                if left.get(scope, {}).get(name, digest_of(value)) != digest_of(value):
                    is_broken.add((scope, name))
        for scope, digests in part.left.items():
            left.setdefault(scope, {}).update(digests)
    for scope, name in is_broken:
        del left[scope][name]
    return Seen(state, (), left)


@dataclass(frozen=True, slots=True)
class Times:
    """The times that the handler reads in a part of a conversation, in Unix seconds.

    Attributes:
        read: The times that an earlier run has read there, in order.
        then: The time of each further reading; None for the present.
    """

    read: Sequence[float] = ()
    then: float | None = None


@dataclass(slots=True)
class _Held:
    """A value that this turn has read.

    Example: 1 is stored. The handler adds 1, makes a call, and adds 1 again; its first run crashes after the call.

                                 value  stored  before  seen  is_written   n
        run 1, has read it           1       1       1     1  False       -1
        behind the call              2       2       2     1  True        -1
        run 2, has read it           1       2       1     1  False       -1
        behind the call              2       2       2     1  True         0
        at the end                   3       2       2     1  True         0   3 is written if 2 is still stored
    """

    value: BaseModel
    stored: bytes | None = None  # the JSON that is stored as far as this turn knows; None if nothing is
    # The JSON of the value when it was last read or stored: it differs from `stored` if the model gained a field.
    before: bytes = b""
    seen: bytes | None = None  # the JSON with which this part of the conversation has begun; None if nothing was stored
    is_written: bool = False  # True if this part has stored a change of the value with a call
    n: int = -1  # the number of the `StoredChange` that was shown last; -1 if none was


MOST_TIMES: Final = 100
"""Maximum number of times that are kept of a part. They are stored with its question."""

Commit: TypeAlias = Callable[[Sequence[StateWrite], Sequence[ChangedValue]], Awaitable[None]]
"""Stores the result of a step and values in one commit, and records those of them that the turn has stored before."""
Recording: TypeAlias = Callable[[Any, Commit], Awaitable[None]]
"""Records the result of a step together with values."""


class TurnState(State):
    """The state of a turn: what `State` promises to authors, and what dispatch, journal and questions say of the run.

    It also has the times that the handler reads with `ctx.now()`: a part of a conversation that is over reads both as its
    first run has read them.

    The methods stand in the order in which they are called:

    - `enter_handler` when the handler begins, and `enter` at each part of a conversation.
    - `expect`, before the first value is read, with what earlier runs of the turn have stored with calls.
    - At each call, `changes` and `note_stored` if the call is new, `come_to` if an earlier run has made it. `recording`
      stores tallies with a step.
    - At a question, `seen`, `go_live`, `suspend` and `left`, and `undo` behind it. `check` behind the handler.
    - `discard` before an error handler runs, and `close` at the end of the turn.

    Args:
        event: The event of the turn; in a conversation, the one with which it began.
        store: The storage of the bot.
    """

    # The part of a conversation that the handler runs through: see `enter`.
    _seen: Seen | None = None
    _in_place_of: Seen | None = None
    _times = Times()
    _answered_at: float | None = None  # while an answer is read: when it came
    # The values at the question that ends the handler; None without one.
    _at_question: dict[tuple[str, str], bytes] | None = None
    _is_closed = False

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            return no_attribute(self, name, of=State)

    def __init__(self, event: Event, store: Storage, clock: Clock) -> None:
        self._event = event
        self._store = store
        self._clock = clock
        self._read_times: list[float] = []
        self._scopes: dict[str, dict[str, bytes]] = {}
        self._held: dict[tuple[str, str], _Held] = {}
        # The changes that earlier runs have stored with calls to which this run has not come yet, in their order.
        self._to_come: list[StoredChange] = []
        # The values that middleware had changed when the handler began, until its live part is entered.
        self._changed_before: dict[tuple[str, str], _Held] = {}

    def enter_handler(self) -> None:
        """Note what middleware has changed. The handler sees it, and a conversation's past must not take it back."""
        for place, held in self._held.items():
            now = dump(place[1], held.value)
            if now == held.before:
                held.seen = held.stored
            else:
                held.seen = now
                self._changed_before[place] = replace(held)

    async def enter(self, seen: Seen | None, *, in_place_of: Seen | None = None, times: Times = Times()) -> None:
        """Go on with the next part of a conversation. The values that were read before show what this part sees.

        Args:
            seen: For a part that an earlier run has ended: what it has seen. Its changes are stored already, so nothing
                is written. None for the part that runs now: it sees what is stored now, and what middleware has changed.
            in_place_of: For a part that runs now although it had ended: what its earlier run has seen and left. A value
                that is still as that run has left it is shown as it was before, so that a change counts once.
            times: The times that the handler reads in this part.
        """
        self._times, self._read_times = times, []
        await self._enter(seen, in_place_of)

    async def go_live(self) -> None:
        """Show the present in the middle of a part that is over, because new code asks another question there."""
        self._times = Times()
        await self._enter(None, None)

    async def _enter(self, seen: Seen | None, in_place_of: Seen | None) -> None:
        self._seen = seen
        self._in_place_of = in_place_of
        self._scopes.clear()
        for (scope, name), held in self._held.items():
            changed = self._changed_before.pop((scope, name), None) if seen is None else None
            if changed is None:
                await self._begin(scope, name, held)
            else:
                _show(name, held, changed.seen)
                held.stored, held.before, held.seen = changed.stored, changed.before, changed.seen
                held.is_written = changed.is_written

    async def _begin(self, scope: str, name: str, held: _Held) -> None:
        """Show a value as this part begins with it: as stored, or as it was before an earlier run of the part has changed it."""
        then = {} if self._seen is None else self._seen.state.get(scope, {})
        if name in then:
            stored = encoded(then[name])
        else:
            if scope not in self._scopes:
                self._scopes[scope] = await self._store.load(scope)
            stored = self._scopes[scope].get(name)
        _show(name, held, stored)
        held.stored, held.seen, held.is_written = stored, stored, False
        if self._seen is not None:
            return
        for change in self._to_come:
            if (change.scope, change.name) == (scope, name):
                _show(name, held, change.before)
                held.seen = change.before
                return
        earlier, before = self._in_place_of, held.before
        # If another turn has changed the value since that run, it is shown as it is.
        if earlier is not None and earlier.left.get(scope, {}).get(name) == digest_of(stored):
            _show(name, held, encoded(earlier.state.get(scope, {}).get(name)))
            held.seen, held.before = held.before, before

    def expect(self, to_come: Sequence[StoredChange]) -> None:
        """Begin with what earlier runs of the turn have stored with calls. Nothing was read before."""
        self._to_come = list(to_come)

    async def _get(self, scope: str, model: type[M], name: str | None) -> M:
        name = checked_name(model, name)
        # Tasks of one handler that ask at the same time get the same object.
        async with self.lock:
            if self._is_closed:
                raise BotError(
                    f"The state {name} was asked for after its turn had ended, so no change of it would be stored. "
                    "Await it, and the tasks that use it, before the handler returns."
                )
            held = self._held.get((scope, name))
            if held is None:
                held = _Held(model())
                await self._begin(scope, name, held)
                self._held[scope, name] = held
        if type(held.value) is not model:
            raise BotError(
                f"Two models are stored under the name {name}: {full_name(type(held.value))} and {full_name(model)}. "
                "Give one of them a name of its own: name=…"
            )
        return held.value

    def now(self) -> float:
        """Return the time for the handler, in Unix seconds: the present, or in a part that is over, a time of this part."""
        if self._answered_at is not None:
            return self._answered_at
        then, count = self._times, len(self._read_times)
        at = then.then if count >= len(then.read) else then.read[count]
        at = self._clock.now() if at is None else at
        if count < MOST_TIMES:
            self._read_times.append(at)
        return at

    @contextmanager
    def reading_answer(self, at: float) -> Iterator[None]:
        """Let `ctx.now()` be the time at which an answer came, in the block that reads the answer.

        A run of later code may read it in another part of the conversation, or days later.
        """
        self._answered_at = at
        try:
            yield
        finally:
            self._answered_at = None

    @property
    def times(self) -> Sequence[float]:
        """The times that were read in this part so far, and the present."""
        return (*self._read_times, self._clock.now())

    def changes(self) -> list[ChangedValue]:
        """Return the values that were changed and are not stored yet; nothing in a part of a conversation that is over.

        Raises:
            BotError: a value cannot be stored, because a field holds what the model does not allow.
            StateChanged: this run has not come to the call with which an earlier run has stored the value, and another
                turn has changed it since.
        """
        if self._seen is not None:
            return []
        found = []
        for (scope, name), held in self._held.items():
            if (write := self._write(scope, name, held)) is not None:
                to_come = [
                    each for each in self._to_come if (each.scope, each.name) == (scope, name) and each.n > held.n
                ]
                if to_come and to_come[-1].after != held.stored:
                    raise StateChanged(scope, name)
                found.append(ChangedValue(write, dump(name, held.value), to_come[0].before if to_come else held.stored))
        return found

    def note_stored(self, changes: Iterable[ChangedValue]) -> None:
        for change in changes:
            place = change.write.scope, change.write.name
            held = self._held[place]
            held.stored, held.before, held.is_written = change.write.value, change.now, True
            self._to_come = [each for each in self._to_come if (each.scope, each.name) != place]

    @cached_property
    def lock(self) -> asyncio.Lock:
        """Held while values are read, or changes are stored with a call, so that no other call stores them too."""
        return asyncio.Lock()

    def failure_of(self, conflict: StateConflict) -> StateConflict | StateChanged:
        """Return the error of a turn that has lost a value: StateChanged if it has stored the value with a call before."""
        held = self._held.get((conflict.scope, conflict.name))
        is_written = held is not None and held.is_written
        return StateChanged(conflict.scope, conflict.name) if is_written else conflict

    async def show_now(self, scope: str, name: str) -> None:
        """Show a value as it is stored now, because another turn has changed it."""
        held = self._held[scope, name]
        held.stored = (await self._store.load(scope)).get(name)
        _show(name, held, held.stored)
        self._to_come = [each for each in self._to_come if (each.scope, each.name) != (scope, name)]

    def come_to(self, stored: Sequence[StoredChange]) -> None:
        """Show the values that an earlier run has stored with a call, to which this run has come now.

        Calls and steps that are made side by side may come in another order than then: a value does not go back to what
        was stored before. What other turns have changed since is not shown: what the handler has read before, it does not
        look at again.
        """
        for change in stored:
            if change not in self._to_come:
                continue
            self._to_come.remove(change)
            held = self._held.get((change.scope, change.name))
            if held is not None:
                if change.n > held.n:
                    held.stored, held.is_written, held.n = change.after, True, change.n
                elif change.is_tally:
                    continue  # its value is shown already, and holds nothing of what the handler has changed since
                _show(change.name, held, held.stored)

    def recording(self, tallies: Sequence[Tally[Any]]) -> Recording:
        """Return a function that records the result of a step together with values about the person.

        It gets the result, and a function that stores all of them. Raises BotError for two tallies of one value.
        """
        named = dict[str, Tally[Any]]()
        for tally in tallies:
            name = checked_name(tally.model, tally.name)
            if name in named:
                raise BotError(
                    f"Two tallies of one step change the state {name}. Write one whose function makes both changes, or "
                    "give one of them a name of its own: name=…"
                )
            named[name] = tally
        return partial(self._record, named, person_scope(self._event))

    async def _record(self, named: Mapping[str, Tally[Any]], scope: str, result: object, commit: Commit) -> None:
        # One after the other: a handler may make several steps side by side.
        async with self.lock:
            for name, value, stored in await self._tallied(named, scope, result, commit):
                if scope in self._scopes:
                    self._scopes[scope][name] = stored
                held = self._held.get((scope, name))
                # A value that the handler has changed as well keeps what it was read from, so its turn runs again.
                if held is not None and dump(name, held.value) == held.before:
                    copy_into(value, held.value)
                    if held.seen == held.stored:
                        held.seen = stored
                    held.stored, held.before = stored, dump(name, value)
                    if self._at_question is not None:
                        self._at_question.pop((scope, name), None)

    async def _tallied(
        self, named: Mapping[str, Tally[Any]], scope: str, result: object, commit: Commit
    ) -> list[tuple[str, BaseModel, bytes]]:
        """Return the names, the new values and their JSON."""
        while True:
            all_stored = await self._store.load(scope)
            found, writes, changes = list[tuple[str, BaseModel, bytes]](), list[StateWrite](), list[ChangedValue]()
            for name, tally in named.items():
                stored = all_stored.get(name)
                value = tally.model() if stored is None else read(tally.model, name, stored)
                tally.add(value, result)
                new = checked(name, value, dump(name, value), stored)
                write = StateWrite(scope, name, new, expected=stored)
                found.append((name, value, new))
                writes.append(write)
                held = self._held.get((scope, name))
                if held is not None and held.is_written:
                    # Otherwise a later run would go on with the value as the handler has stored it before the step.
                    changes.append(ChangedValue(write, new, stored))
            try:
                await commit(writes, changes)
            except StateConflict:
                continue
            return found

    def seen(self) -> Seen:
        """Return what the handler has seen in this part of a conversation, which asks a question now."""
        state: dict[str, dict[str, str | None]] = {}
        for (scope, name), held in self._held.items():
            state.setdefault(scope, {})[name] = None if held.seen is None else held.seen.decode()
        return Seen(state, self.times)

    def suspend(self) -> None:
        """Note the values, because a question ends the handler now. What the handler changes from now on does not count."""
        self.check()
        self._at_question = {place: dump(place[1], held.value) for place, held in self._held.items()}

    def left(self) -> dict[str, dict[str, str]]:
        """Return a digest of each value that the handler has changed, as it is to be stored, by scope and name."""
        found: dict[str, dict[str, str]] = {}
        for (scope, name), held in self._held.items():
            write = self._write(scope, name, held)
            if write is not None or held.is_written:
                found.setdefault(scope, {})[name] = digest_of(held.stored if write is None else write.value)
        return found

    def undo(self) -> None:
        """Undo what the handler has changed after its question, such as in a `finally`. Called when it has ended."""
        if self._at_question is None:
            return
        for place, held in self._held.items():
            name = place[1]
            at_question = self._at_question.get(place, held.before)
            if not _is_now(name, held, at_question):
                copy_into(read(type(held.value), name, at_question), held.value)

    def check(self) -> None:
        """Raise BotError if a changed value cannot be stored. Called when the handler has returned."""
        for place, held in self._held.items():
            self._write(*place, held)

    def discard(self) -> None:
        """Forget the values that were read, with their changes. Called before an error handler runs.

        Changes before a question stay: the question is open, and the handler does not come to them again.
        """
        if self._at_question is not None:
            self.undo()  # what middleware has changed behind the question
            return
        self._scopes.clear()
        self._held.clear()
        self._changed_before.clear()

    def close(self) -> list[StateWrite]:
        """Return the writes of the values that were changed, and refuse further reads. Called when the turn ends."""
        self._is_closed = True
        return [change.write for change in self.changes()] if self._held else []

    def _write(self, scope: str, name: str, held: _Held) -> StateWrite | None:
        now = dump(name, held.value)
        if now == held.before:
            return None
        value = checked(name, held.value, now, held.stored)
        return StateWrite(scope, name, value, expected=held.stored, person=self._person_in(scope))

    def _person_in(self, scope: str) -> str | None:
        """Return the handle to store with the value of a direct chat, so that the value is erased with the person."""
        return person_of(self._event) if scope.startswith(CHAT) and self._event.is_group is False else None


def _show(name: str, held: _Held, stored: bytes | None) -> None:
    """Show other JSON in a value. The handler keeps its object, which gets the other fields."""
    model = type(held.value)
    value = model() if stored is None else read(model, name, stored)
    copy_into(value, held.value)
    held.before = dump(name, value)


def _is_now(name: str, held: _Held, value: bytes) -> bool:
    try:
        return dump(name, held.value) == value
    except BotError:
        return False
