"""The feature of questions: what a delivery means for the open questions of its chat decides how its turn begins and ends.

`arrivals.py` finds out the meaning. Next step: `session.py` runs the handler of a conversation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import structlog

from linqbot.engine import reasons
from linqbot.engine.failure import OfOtherRelease
from linqbot.engine.opening import Opening
from linqbot.engine.turn import Turn
from linqbot.features.asking import shown
from linqbot.features.asking.admission import ENDING_ID, FOUND_ID
from linqbot.features.asking.arrivals import NOTHING, Arrival, Arriving, end_of_arrival, with_arrival
from linqbot.features.asking.records import ending, ending_of
from linqbot.features.asking.session import AskSession, session_of
from linqbot.features.mute import waits
from linqbot.features.turn_data import TurnMute
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage.inbox import Ack, Commit

log = structlog.get_logger("linqbot.worker")


class Asks(TurnFeature):
    """Decides what a delivery means for the open questions of its chat."""

    async def open(self, turn: Turn) -> Ack | None:
        turns, delivery = self._turns, turn.lease.delivery
        chat_id = chat_of_lane(delivery.lane)
        conversations = () if chat_id is None else turns.storage.conversations_in(chat_id)
        arriving = Arriving(delivery, conversations, turns.dispatcher, turns.storage, turn.lease.put_back)
        arrived = NOTHING
        if conversations or delivery.id.startswith(ENDING_ID):
            others_since = turns.shared_since if turns.may_be_of_other_release(delivery) else math.inf
            arrived = await arriving.arrival(others_since)
        elif chat_id is None and (answer := await arriving.in_chat()) is not None:
            await turns.storage.put(answer)
            return Ack() if turn.kind.run is None else None  # a handoff names it to the owner
        is_found = delivery.id.startswith(FOUND_ID)
        # No handler gets what was found at Linq, also none with `during_ask=True`: its webhook may still come.
        arrived = (arrived.answer or arrived) if is_found else arrived
        if arrived is NOTHING and not is_found:
            return None
        if not turn.lease.is_first_run and _has_begun(arrived, delivery):
            turn.data.of(TurnMute).is_muted = False  # the answer goes on as it began
        is_ending = delivery.is_internal and not is_found and delivery.type != "message.received"
        if turn.data.of(TurnMute).is_muted and not (is_ending or arrived.is_counted or arrived.changed):
            return self._wait_for_unmute(turn, arrived)
        turn.opening = opening_of(turn, arrived)
        if arrived.is_of_another_chat or (arrived.is_void and delivery.id.startswith(ENDING_ID)):
            self._of_elsewhere(turn, arrived)
        if arrived.is_counted and (voted := arrived.asked) is not None:
            voted.note_met("counted", self._turns.outbound.plugins.observers)
        is_done = arrived.is_void or arrived.is_counted or (is_found and arrived.outcome is None)
        return Ack() if is_done else None

    def _of_elsewhere(self, turn: Turn, arrived: Arrival) -> None:
        """Let a turn pass on an answer to another chat's handler, or let the person read that it came too late."""
        end = ending_of(turn.lease.delivery) if arrived.is_void else None
        if end is not None and "person" not in end.outcome:
            return
        if end is None:
            shown.take(self._turns, turn, arrived)
        else:
            shown.answer_late(turn, end.outcome, self._turns)

    def _wait_for_unmute(self, turn: Turn, arrived: Arrival) -> Ack | None:
        """Let what ends a question in a muted chat end it when the mute is over. A message answers no question there."""
        asked, delivery = arrived.asked, turn.lease.delivery
        outcome = arrived.outcome if arrived.answer is None else arrived.answer.outcome
        if delivery.type in ("message.received", "message.edited") or asked is None or outcome is None:
            return None
        clock, turn.why = self._turns.clock, reasons.MUTED
        waits(turn, ending(asked, outcome, name=delivery.id, now=clock.now()), clock)
        return Ack() if turn.kind.run is None else None

    async def begin(self, turn: Turn) -> None:
        """Make the session of a turn that concerns open questions."""
        if Arrival in turn.opening.data:
            session_of(turn.helpers)

    async def again(self, turn: Turn, error: BaseException | None) -> Turn | None:
        if error is not None:
            return None
        session = turn.helpers.find(AskSession)
        waits = None if session is None else session.waits
        if waits is not None and waits.led_to is not None:
            return await self._again_with(turn, led_to=waits.led_to)
        if waits is not None and waits.missed_in is not None:
            return await self._live(turn, waits.missed_in)
        return await self._answering(turn) if turn.ctx is not None and turn.ctx.is_answer else None

    def end(self, turn: Turn, commit: Commit) -> None:
        if not turn.is_running or (turn.kind.run is None and AskSession not in turn.helpers):
            end_of_arrival(turn, commit)  # no code of the bot has begun
        chat_id, storage = chat_of_lane(turn.lease.delivery.lane), self._turns.storage
        if chat_id is not None and any(each.status == "queued" for each in storage.conversations_in(chat_id)):
            shown.show_later(turn, commit, storage, self._turns.clock.now())

    async def _live(self, turn: Turn, live_from: int) -> Turn:
        """Return the turn in which a handler runs again that has ended without coming to the open question.

        It took another way than before: its code has changed, or what it looks at. Its calls on that way were not made, and
        count now; see `Opening.live_from`.

        Raises OfOtherRelease if a process with another release of the bot may come to the question.
        """
        opening = turn.opening
        self._leave_to_other_release(turn)
        log.warning("ask.not_reached", conversation=opening.turn_id, handler=turn.handler)
        return await self._again_with(turn, live_from=live_from)

    async def _again_with(self, turn: Turn, **changes: Any) -> Turn:
        """Return the turn in which the handler runs again, with changes of its opening."""
        opening = turn.opening
        await self._turns.store_run(turn.journal.outcomes(with_digests=True))
        known = await self._turns.storage.entries(opening.turn_id, opening.replay)
        return self._turns.next_run(turn, opening=replace(opening, known=known, **changes))

    def _leave_to_other_release(self, turn: Turn) -> None:
        """Raise OfOtherRelease if other code of the handler asked the question since this process shares the storage."""
        conversation, turns = turn.opening.conversation, self._turns
        session = turn.helpers.find(AskSession)
        if conversation is None or session is None or not turns.may_be_of_other_release(turn.lease.delivery):
            return
        if conversation.asked_at > turns.shared_since and session.was_asked_by_other_code:
            raise OfOtherRelease(f"The open question of {conversation.handler}")

    async def _answering(self, turn: Turn) -> Turn:
        """Return the turn in which an event answers the open question, because no handler with `during_ask=True` took it."""
        arrived = turn.opening.data.find(Arrival)
        assert arrived is not None
        assert arrived.answer is not None
        await self._turns.store_run(turn.journal.outcomes(with_digests=True))
        found = self._turns.next_run(turn, opening=opening_of(turn, arrived.answer))
        if arrived.answer.is_of_another_chat:
            self._of_elsewhere(found, arrived.answer)
        return found


def _has_begun(arrived: Arrival, delivery: Delivery) -> bool:
    """Return True if the handler has gone on with this answer in an earlier run, and has done something."""
    if arrived.outcome is None or arrived.asked is None:
        return False
    return any(entry.first_at > delivery.received_at for entry in arrived.asked.known)


def opening_of(turn: Turn, arrival: Arrival) -> Opening:
    """Return what a turn begins with whose delivery concerns open questions."""
    delivery = turn.lease.delivery
    if arrival.outcome is not None and (asked := arrival.asked) is not None and not arrival.is_of_another_chat:
        found = asked.conversation
        # What began the question may have no mark of its line, such as a tapback or a post.
        is_private = found.off_the_record or delivery.is_off_the_record
        opening = Opening(found.id, found.replay, asked.known, is_private, conversation=found)
    else:
        opening = turn.opening
    return with_arrival(opening, arrival)
