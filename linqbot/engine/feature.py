"""Features: what each adds to a process, to a turn, and before a call. The engine calls their drawers, and names no feature.

A feature is one object for each process. The objects are made at the start, from a list whose order is the order of all calls
(`features/catalog.py`). A drawer that a feature does not override is empty and costs nothing. A feature sleeps while a container that
the storage keeps in memory is empty, so an echo calls none that it does not need. Values of one turn lie in `Turn.data`, by their
class, and what authors choose lies in the `options` of their bot.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Sized
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from linqbot.client.call import Call, Run
from linqbot.engine.steps import Recall, Steps
from linqbot.engine.turn import HANDLED, Kind, Points, Turn
from linqbot.engine.turn_journal import TurnJournal
from linqbot.errors import TurnDeferred
from linqbot.linq.events.delivery import OWN_DELIVERY, Delivery
from linqbot.options import Role
from linqbot.storage.inbox import Commit, Lease, Outcome

Arrives: TypeAlias = Callable[[Delivery], Awaitable[None]]
"""A function that is called before a delivery is stored.

If it raises a StorageError, the delivery is refused, and Linq delivers it again. If it raises DeliveryRejected, the sender learns why.
"""


@dataclass(slots=True)
class GuardedCall:
    """A call that is about to be attempted, as a guard gets it.

    Attributes:
        run: Makes other calls, such as reads about the people whom the call reaches.
        key: The idempotency key of the call; empty for a hint.
    """

    call: Call
    journal: TurnJournal
    run: Run
    key: str


class Feature:
    """A feature, with its drawers.

    Attributes:
        name: The name of the feature's class.
        types: The types of events whose turns the feature takes part in; None for all.
        turns_while: The feature sleeps in the first runs of turns while this container is empty.
            It does not sleep in later runs, because an earlier one may have left something.
        types_always: The types of events in whose turns the feature never sleeps.
        guards_while: The guard is asked while this container is not empty. A guard with `guards_for` says False here.
        guards_for: The guard is asked also in turns whose data have a value of this class.
        guards_calls: The names of the calls for which the guard is asked; None for all.
        lost: The number of messages that the feature had to fetch in this process, because Linq had given up delivering them.
    """

    kinds: Mapping[str, Kind] = {}
    """Kinds of deliveries that linqbot makes itself, by the word behind `i.` in their ids."""

    arrives: Mapping[str, Arrives] = {}
    """By the type of an event."""

    name: str
    recalls: Mapping[str, Recall] = {}
    """By the word under which `StepEffects` has them: repeats effects that the feature has noted in a step."""

    types: frozenset[str] | None = None
    types_always: frozenset[str] = frozenset()
    turns_while: Sized | bool = True
    guards_while: Sized | bool = True
    guards_for: type | None = None
    guards_calls: frozenset[str] | None = None
    lost: int = 0

    _IS_OVERRIDDEN: ClassVar[Mapping[str, bool]] = {}

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__
        cls._IS_OVERRIDDEN = {name: getattr(cls, name) is not getattr(Feature, name) for name in _DRAWERS}

    def has(self, drawer: str) -> bool:
        """Return True if the feature has something in a drawer, given by the name of its method."""
        return self._IS_OVERRIDDEN[drawer]

    def part(self) -> Feature:
        """Return the feature that has the points of a turn: this one, or one whose module is imported when a turn needs it.

        Of the latter, only the points of a turn count; all else stands with this one.
        """
        return self

    def around(self, role: Role) -> AbstractAsyncContextManager[object]:
        """Return what runs around the process: it begins before the first webhook and the first turn, and ends after the last."""
        return nullcontext()

    def refused(self, lane: str | None) -> None:
        """Note that deliveries of a lane, or with None of any, were refused, so that Linq delivers them later than others."""

    def stored_again(self, since: float) -> None:
        """Note that the storage takes deliveries, of which it took none since a Unix time."""

    async def receives_no_more(self) -> None:
        """Note that the process accepts no further webhooks."""

    def concerns(self, lease: Lease) -> bool:
        """Return True if a lease may concern the feature. Every turn asks, so only what is in memory is looked at."""
        return True

    async def admit(self, lease: Lease) -> Lease | None:
        """Return the lease whose turn may begin; None if it was given back, because something else goes first."""
        return lease

    async def open(self, turn: Turn) -> Outcome | None:
        """Read what the turn begins with, besides the entries of its earlier runs. An outcome ends it without a handler."""

    async def begin(self, turn: Turn) -> None:
        """Prepare for the handler, which is about to run for `turn.event`."""

    def stop(self, turn: Turn) -> None:
        """End what runs next to the handler, whose code has ended or failed."""

    def defers(self, turn: Turn) -> TurnDeferred | None:
        """Return the error that defers a turn whose code has ended, because it is not known if all is stored; else None."""

    async def again(self, turn: Turn, error: BaseException | None) -> Turn | None:
        """Return the turn in which the handler runs again, if it must, now that it has ended, with an error or without."""

    async def close(self, turn: Turn, outcome: Outcome) -> None:
        """Do what must be stored before the commit that ends the turn. An error of the storage changes the outcome."""

    def end(self, turn: Turn, commit: Commit) -> None:
        """Add to the commit that ends the turn, by the outcome in the commit. A commit that cannot be stored is built again."""

    def in_step(self, journal: TurnJournal, name: str) -> None:
        """Note the effects of a step that was made just now, given its name."""

    async def guard(self, asked: GuardedCall) -> None:
        """Raise Stopped if a call must not be made now, TurnDeferred if that is not known, or the error with which Linq would refuse it."""


_DRAWERS: Final = ("concerns", "admit", "open", "begin", "stop", "defers", "again", "close", "end", "in_step", "guard")


_MOST_TYPES: Final = 200
"""Types of events that are remembered: the type of an unknown event may be anything."""


class Catalogue:
    """The features of a process, in the order of all calls.

    Attributes:
        kinds: The kinds of deliveries that linqbot makes itself, by their word.
        arrives: By the type of an event, what is called before a delivery is stored.
        admits: What looks at each lease before its turn.
        recalls: By the word of an effect, what repeats it for a run that has the result of its step from the record.
        in_step: What notes the effects of a step that was made just now.
        guards: The features that may stop a call.
    """

    def __init__(self, features: Sequence[Feature] = ()) -> None:
        self.features = tuple(features)
        self.kinds = {word: kind for each in features for word, kind in each.kinds.items()}
        self.arrives: dict[str, list[Arrives]] = {}
        for each in features:
            for name, arrives in each.arrives.items():
                self.arrives.setdefault(name, []).append(arrives)
        self.admits = [each.admit for each in features if each.has("admit")]
        self.recalls = {word: recall for each in features for word, recall in each.recalls.items()}
        self.in_step = tuple(each.in_step for each in features if each.has("in_step"))
        self.guards = tuple(each for each in features if each.has("guard"))
        # With each feature, the container while which it does not sleep, and True if it must be asked if a lease concerns it.
        self._of_type: dict[str, list[tuple[Feature, Sized | bool, bool]]] = {}
        self._points: dict[tuple[Feature, ...], Points] = {}

    @property
    def lost(self) -> int:
        """The number of messages that this process had to fetch, because Linq had given up delivering them."""
        return sum(each.lost for each in self.features)

    @asynccontextmanager
    async def around(self, role: Role) -> AsyncIterator[None]:
        """Run what features run around a process of this role."""
        async with AsyncExitStack() as stack:
            for each in self.features:
                await stack.enter_async_context(each.around(role))
            yield

    def refused(self, lane: str | None) -> None:
        for each in self.features:
            each.refused(lane)

    def stored_again(self, since: float) -> None:
        for each in self.features:
            each.stored_again(since)

    async def receives_no_more(self) -> None:
        for each in self.features:
            await each.receives_no_more()

    def kind_of(self, delivery: Delivery) -> Kind:
        # The id of a delivery decides, and not its type: a webhook can have any type, but no such id.
        if not delivery.id.startswith(OWN_DELIVERY):
            return HANDLED
        return self.kinds.get(delivery.id.split(".", 2)[1], HANDLED)

    def concerned(self, lease: Lease) -> tuple[Feature, ...]:
        """Return the features that take part in the turn of a lease."""
        is_first, found = lease.is_first_run and not lease.put_back, list[Feature]()
        for each, is_awake, must_ask in self._of_type.get(lease.delivery.type) or self._taking_part(
            lease.delivery.type
        ):
            if (is_awake or not is_first) and (not must_ask or each.concerns(lease)):
                found.append(each)
        return tuple(found)

    def _taking_part(self, event_type: str) -> list[tuple[Feature, Sized | bool, bool]]:
        found = [
            (each, event_type in each.types_always or each.turns_while, each.has("concerns"))
            for each in self.features
            if each.types is None or event_type in each.types
        ]
        if len(self._of_type) < _MOST_TYPES:
            self._of_type[event_type] = found
        return found

    def points(self, lease: Lease) -> Points:
        """Return the points of the features that take part in the turn of a lease."""
        which = self.concerned(lease)
        if (known := self._points.get(which)) is None:
            parts = [each.part() for each in which]
            known = self._points[which] = Points(
                *([getattr(each, point) for each in parts if each.has(point)] for point in Points._fields)
            )
        return known

    def steps_of(self, journal: TurnJournal, known: int) -> Steps:
        """Return the steps of a turn that has so many journal entries already."""
        return Steps(journal, known, self.recalls, self.in_step)

    def guard(self, call: Call, run: Run, journal: TurnJournal, key: str) -> Awaitable[None] | None:
        """Return the check of a call by all guards that are awake, before an attempt; None while none is awake.

        Awaited, it raises the error of the first guard that stops the call. The idempotency `key` of a hint is empty.
        """
        awake: list[Feature] = []
        for each in self.guards:
            is_awake = each.guards_while or each.guards_for in journal.data
            if is_awake and (each.guards_calls is None or call.name in each.guards_calls):
                awake.append(each)
        return _passed(awake, GuardedCall(call, journal, run, key)) if awake else None


async def _passed(guards: Sequence[Feature], asked: GuardedCall) -> None:
    for each in guards:
        await each.guard(asked)
