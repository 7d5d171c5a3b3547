"""The features of turns: their parts in the order in which they are called, and the kinds of deliveries that they make.

A feature is named by its module and imported when a turn needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.engine.call_lookup import OPENS_CHAT
from linqbot.engine.turn import ANSWERS_WITHOUT_CHAT, Kind, Points
from linqbot.errors import LinqApiError, Refused, TurnDeferred
from linqbot.features import schedules
from linqbot.features.asking.admission import ENDING_ID, FOUND_ID
from linqbot.features.optout import refuse_after_opt_out
from linqbot.features.own_changes import are_awaited
from linqbot.features.state_journal import StateJournal
from linqbot.linq.events.delivery import OWN_DELIVERY, Delivery
from linqbot.linq.events.lane import EVERY_CHAT, OUTSIDE_CHATS, chat_of_lane, is_lane_of_post
from linqbot.storage.inbox import Ack, Lease
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


def _named(place: str) -> Any:
    """Return the function or the class of a module of `features` that is named like `optout:OptOuts`."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"linqbot.features.{module}"), name)


def _late(place: str) -> Callable[..., Any]:
    """Return a function that imports the named one when it is called."""

    def call(*given: object) -> Any:
        return _named(place)(*given)

    return call


async def _ack(*_: object) -> Ack:
    return Ack()


_KINDS: Final = {
    # The doctor's probe, and the end of the wait for an event of a change: no handler takes these.
    "doctor": Kind(open=_ack),
    "edit": Kind(open=_late("edits:give_up")),
    "own_change": Kind(open=_ack),
    "schedule": Kind(open=schedules.check_known, end=schedules.rearm),
    "send": Kind(run=_late("later:send_due")),
    "repeat": Kind(run=_late("later:send_due"), end=schedules.rearm),
    "broadcast": Kind(run=_late("broadcasts:send_to_person"), end=_late("broadcasts:give_up_person")),
    "post": Kind(open=_late("posts:check_handled")),
    "post_to": Kind(run=_late("posts:forward")),
    "ask_to": Kind(run=_late("asking.shown:bring")),
    "ask_in": Kind(run=_late("asking.shown:show")),
    # It ends the wait of a chat: `new_chats.py`.
    "new_chat": Kind(open=_ack),
    "handoff": Kind(run=_late("handoff:hand_back")),
    "outage": Kind(run=_late("notices:say_outage")),
    "dead_letter": Kind(run=_late("notices:notify_dead_letter")),
}
"""The kinds of deliveries that linqbot makes itself, by the word behind `i.` in their ids.

The id of a delivery decides, and not its type: a webhook can have any type, but no such id.
"""


_HANDLED: Final = Kind()
"""The kind of all other deliveries: a handler of the bot gets the event."""


def kind_of(delivery: Delivery) -> Kind:
    if not delivery.id.startswith(OWN_DELIVERY):
        return _HANDLED
    return _KINDS.get(delivery.id.split(".", 2)[1], _HANDLED)


class Features:
    """The parts and kinds of the turns of a bot. A part is imported when a turn first needs it.

    Attributes:
        session, scheduler, broadcaster, state_journal: Make the session of the questions and steps of one turn, what
            carries out its scheduled sends and its broadcasts, and what stores its state with its calls.
        stream_journal: Makes the journal of one stream.
    """

    kind_of = staticmethod(kind_of)
    session = staticmethod(_late("asking.session:AskSession"))
    scheduler = staticmethod(_late("later:TurnScheduler"))
    broadcaster = staticmethod(_late("broadcasts:TurnBroadcaster"))
    state_journal = StateJournal
    stream_journal = staticmethod(_late("streams:StreamJournal"))

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._awaits_own_changes = are_awaited(turns.dispatcher.routes.handled)
        self._part = cache(lambda place: _named(place)(turns))
        self._points: dict[tuple[bool, ...], Points] = {}

    def guarded(self, journal: TurnJournal, run: Run, key: str = "") -> Run:
        """Return `run`, before which an opt-out, a mute and the bot's manners may stop a call, each by raising its error.

        Without the idempotency `key` of a call, which is a hint then, it is left out without a word. A call that is made and
        that opens a chat is noted before.
        """
        turns = self._turns

        async def ask(call: Call) -> ApiResponse:
            try:
                if key:
                    await refuse_after_opt_out(call, journal)
                if turns.storage.mutes:
                    await _named("mute:refuse_if_muted")(call, journal, turns)
                if turns.gate is not None:
                    await turns.gate.check(call, journal, run, key)
                if call.name == OPENS_CHAT and key:
                    await _named("new_chats:note_opening")(call, journal, turns)
            except (LinqApiError, Refused, TurnDeferred):
                if key:
                    raise
                return ApiResponse(204)
            return await run(call)

        return ask

    def concerned(self, lease: Lease) -> dict[str, bool]:
        """Return the parts in the order in which they are called, each with True if a lease may concern it.

        Every turn asks this, so only what is in memory is looked at.
        """
        delivery, storage, dispatcher = lease.delivery, self._turns.storage, self._turns.dispatcher
        chat_id, mutes = chat_of_lane(delivery.lane), storage.mutes
        if chat_id is None:
            may_be_muted = bool(mutes) and delivery.lane.startswith(OUTSIDE_CHATS)
            may_answer = delivery.type in ANSWERS_WITHOUT_CHAT
        else:
            may_be_muted = chat_id in mutes or EVERY_CHAT in mutes
            may_answer = bool(storage.conversations_in(chat_id))
        is_later_run = not lease.is_first_run
        return {
            # First, because the others look at what was written.
            "edits:Edits": delivery.lane in storage.edited or delivery.type == "message.edited",
            # Before questions: in a muted chat they wait.
            "mute:Mutes": may_be_muted or is_later_run,
            # In this order: receipts are frequent, and there may be many mutes.
            "relay:Handoffs": bool(mutes) and delivery.type in RELAYED and any(mute.handoff for mute in mutes.values()),
            "new_chats:NewChats": chat_id is None and is_lane_of_post(delivery.lane),
            # Its meaning for a question decides if a handler runs at all.
            "asking.arrivals:Asks": may_answer or delivery.id.startswith((ENDING_ID, FOUND_ID)),
            "manners.life:SignsOfLife": self._turns.gate is not None and self._turns.gate.wants_sign_of_life(delivery),
            "optout:OptOutsAfterCrash": lease.crashes > 0,
            "lookups:Receipts": delivery.type in RECEIPTS,
            # Before those that look at the event, because it completes the event. The others may be in any order.
            "lookups:Lookups": True,
            "own_changes:OwnChanges": self._awaits_own_changes,
            "optout:OptOuts": True,
            # Also for messages that were taken by another version of the bot.
            "overlap:Overlaps": dispatcher.routes.overlaps
            or ((is_later_run or lease.put_back) and any(delivery.joined.incoming)),
            "notices:Notices": dispatcher.has_notices,
        }

    def points(self, lease: Lease) -> Points:
        """Return the points that the parts which a lease may concern override."""
        concerned = self.concerned(lease)
        which = tuple(concerned.values())
        if which not in self._points:
            parts = [self._part(place) for place, is_concerned in concerned.items() if is_concerned]
            found = [[getattr(each, point) for each in parts if point in vars(type(each))] for point in Points._fields]
            self._points[which] = Points(*found)
        return self._points[which]
