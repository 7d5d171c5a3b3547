"""The features of a bot, in the order in which they are called.

A feature whose module is not needed by every bot is named by its place, and imported when a turn needs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sized
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from linqbot.engine.feature import Feature
from linqbot.engine.steps import Recall
from linqbot.engine.turn import ANSWERS_WITHOUT_CHAT, Kind, ack
from linqbot.features import schedules
from linqbot.features.asking.admission import ENDING_ID, FOUND_ID, after_timeouts, log_unresumable
from linqbot.features.bot_options import MissedMessages
from linqbot.features.gaps import Gaps
from linqbot.features.handler_options import Gather, Overlap
from linqbot.features.manners.conduct import Conduct
from linqbot.features.mute import Mutes
from linqbot.features.muted_chats import mutes_of
from linqbot.features.new_chats import NewChats
from linqbot.features.optout import OptOuts, OptOutsAfterCrash
from linqbot.features.own_changes import are_awaited, timers
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.lane import chat_of_lane
from linqbot.options import Role
from linqbot.storage import edits
from linqbot.storage.inbox import Lease
from linqbot.storage.journal import RECEIPTS

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns


RELAYED: Final = (
    "message.received",
    "reaction.added",
    "poll.received",
    "location.sharing.started",
    "contact_card.received",
)
"""The types of the events that a handoff passes on or names to the owner."""


_NO_TYPES: Final = frozenset[str]()


def _named(place: str) -> Any:
    """Return the function or the class of a module of `features` that is named like `optout:OptOuts`."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"linqbot.features.{module}"), name)


def _late(place: str, *first: object) -> Callable[..., Any]:
    """Return a function that imports the named one when it is called, and gives it the `first` arguments before its own."""

    def call(*given: object) -> Any:
        return _named(place)(*first, *given)

    return call


class _Late(TurnFeature):
    """A feature whose module is imported when a turn first needs it."""

    def __init__(
        self,
        turns: Turns,
        place: str,
        *,
        types: frozenset[str] | None = None,
        types_always: frozenset[str] = _NO_TYPES,
        turns_while: Sized | bool = True,
        kinds: Mapping[str, Kind] | None = None,
        recalls: Mapping[str, Recall] | None = None,
    ) -> None:
        super().__init__(turns)
        self._place = place
        self.name = place.partition(":")[2]
        self._part: Feature | None = None
        self.types, self.types_always, self.turns_while = types, types_always, turns_while
        self.kinds, self.recalls = kinds or {}, recalls or {}

    def part(self) -> Feature:
        if self._part is None:
            self._part = _named(self._place)(self._turns)
        return self._part


class _LateEdits(_Late):
    def concerns(self, lease: Lease) -> bool:
        return lease.delivery.lane in self._turns.storage.edited or lease.delivery.type == edits.TYPE


class _LateHandoffs(_Late):
    def concerns(self, lease: Lease) -> bool:
        return any(mute.handoff for mute in mutes_of(self._turns.storage.holds))


class _LateAsks(_Late):
    @asynccontextmanager
    async def around(self, role: Role) -> AsyncIterator[None]:
        if role != "receive":
            await log_unresumable(self._turns.storage, self._turns.dispatcher.routes)
        yield

    async def admit(self, lease: Lease) -> Lease | None:
        return await after_timeouts(lease, self._turns.storage, self._turns.clock)

    def concerns(self, lease: Lease) -> bool:
        delivery = lease.delivery
        chat_id = chat_of_lane(delivery.lane)
        if chat_id is None:
            may_answer = delivery.type in ANSWERS_WITHOUT_CHAT
        else:
            may_answer = bool(self._turns.storage.conversations_in(chat_id))
        return may_answer or delivery.id.startswith((ENDING_ID, FOUND_ID))


class _LateOwnChanges(_Late):
    def in_step(self, journal: TurnJournal, name: str) -> None:
        """Note the timers of a step that has changed groups: a run that has its result must await their events too."""
        for timer in timers(journal.made_in_step(name), self._turns.clock):
            _named("later:note_timer")(timer)


class _LateOverlaps(_Late):
    """Takes part also in the turns of messages that were taken by another version of the bot."""

    def concerns(self, lease: Lease) -> bool:
        is_later = not lease.is_first_run or lease.put_back
        return bool(self.turns_while) or (is_later and any(lease.delivery.joined.incoming))


class _Kinds(Feature):
    """A feature whose deliveries run code of linqbot, and that takes part in no turn of another delivery."""

    types = _NO_TYPES

    def __init__(self, name: str, kinds: Mapping[str, Kind], recalls: Mapping[str, Recall] | None = None) -> None:
        self.name, self.kinds, self.recalls = name, kinds, recalls or {}


def catalogue(turns: Turns) -> list[Feature]:
    """Return the features of a bot, in the order in which they are called."""
    dispatcher, storage = turns.dispatcher, turns.storage
    found: list[Feature] = [
        # Its admission comes first: what was missed goes before the rest.
        Gaps(turns.client, storage, turns.clock, turns.options.of(MissedMessages)),
        OptOuts(turns),
        # Before those that look at what was written.
        _LateEdits(
            turns,
            "edits:Edits",
            types_always=frozenset({edits.TYPE}),
            turns_while=storage.edited,
            kinds={"edit": Kind(open=_late("edits:give_up", turns))},
        ),
        # Before questions: in a muted chat they wait.
        Mutes(turns),
        # Its types are looked at first, because receipts are frequent, and then the mutes, of which there may be many.
        _LateHandoffs(
            turns,
            "relay:Handoffs",
            types=frozenset(RELAYED),
            turns_while=storage.holds,
            kinds={"handoff": Kind(run=_late("handoff:hand_back", turns))},
        ),
        # An event may answer a question, which decides the handler.
        _LateAsks(
            turns,
            "asking.asks:Asks",
            kinds={
                "ask_to": Kind(run=_late("asking.shown:bring", turns)),
                "ask_in": Kind(run=_late("asking.shown:show", turns)),
            },
        ),
        OptOutsAfterCrash(turns),
        _Late(turns, "lookups:Receipts", types=frozenset(RECEIPTS)),
        # Before those that look at the event, because it completes the event.
        _Late(turns, "lookups:Lookups"),
    ]
    if (conduct := dispatcher.options.find(Conduct)) is not None:
        found.append(_named("manners.gate:Gate")(turns, conduct))
    found += [
        # Behind all other guards, because its guard notes calls that are made. What follows may be in any order.
        NewChats(turns),
        _LateOwnChanges(
            turns,
            "own_changes:OwnChanges",
            # The end of the wait for an event of a change: no handler takes it.
            kinds={"own_change": Kind(open=ack, has_row=False)},
            types=None if are_awaited(dispatcher.routes.handled) else _NO_TYPES,
        ),
        _LateOverlaps(
            turns,
            "overlap:Overlaps",
            turns_while=dispatcher.routes.of_option(Overlap),
            recalls={"incoming": _late("overlap:recall_incoming")},
        ),
        _Late(
            turns,
            "notices:Notices",
            types=None if dispatcher.has_notices else _NO_TYPES,
            kinds={
                "outage": Kind(run=_late("notices:say_outage", turns)),
                "dead_letter": Kind(run=_late("notices:notify_dead_letter", turns)),
            },
        ),
        schedules.Schedules(turns),
        _Kinds(
            "ScheduledSends",
            {
                "send": Kind(run=_late("later:send_due", turns)),
                "repeat": Kind(run=_late("later:send_due", turns), end=schedules.rearm),
            },
            recalls={"scheduled": _late("later:recall_scheduled")},
        ),
        _Kinds(
            "Broadcasts",
            {"broadcast": Kind(run=_late("broadcasts:send_to_person", turns), end=_late("broadcasts:give_up_person"))},
        ),
        _Kinds(
            "Posts",
            {
                "post": Kind(open=_late("posts:check_handled", turns)),
                "post_to": Kind(run=_late("posts:forward", turns)),
            },
        ),
        # The probe of `linqbot doctor` shows that a delivery arrives and is handled.
        _Kinds("Probe", {"doctor": Kind(open=ack, has_row=False)}),
    ]
    gathers = (dispatcher.options.find(Gather), *dispatcher.routes.of_option(Gather))
    if any(each is not None and each.window_s for each in gathers):
        # Its admission comes behind that of questions.
        found.append(_named("bursts:Bursts")(dispatcher, storage, turns.clock))
    return found
