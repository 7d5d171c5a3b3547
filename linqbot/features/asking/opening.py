"""The opening of a turn that concerns open questions, and the end of one that no handler has seen.

An answer belongs to the turn of its conversation. Every other delivery begins a turn of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import structlog

from linqbot.engine.parts import Again, Opening, Part, Turn
from linqbot.engine.watcher import turn_watcher
from linqbot.features.asking.admission import FOUND_ID, ORDER_PREFIX
from linqbot.features.asking.arrivals import NOTHING, Arrival, arrival, in_chat
from linqbot.features.asking.question import OpenQuestion
from linqbot.features.asking.records import AskCancellation, cancellation, look
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease
from linqbot.storage.timers import Timer

log = structlog.get_logger("linqbot.worker")


class Asks(Part):
    """Decides what a delivery means for the open questions of its chat."""

    async def open(self, turn: Turn) -> Ack | None:
        turns, delivery = self._turns, turn.lease.delivery
        chat_id = chat_of_lane(delivery.lane)
        asked = () if chat_id is None else turns.storage.conversations_in(chat_id)
        arrived = NOTHING
        if asked or delivery.id.startswith(ORDER_PREFIX):
            others_since = turns.shared_since if turns.may_be_of_other_release(delivery) else math.inf
            put_back = turn.lease.put_back
            arrived = await arrival(
                delivery, asked, turns.dispatcher, turns.storage, put_back=put_back, others_since=others_since
            )
        elif chat_id is None and (answer := await in_chat(delivery, turns.storage)) is not None:
            await turns.storage.put(answer)
            return Ack()
        is_found = delivery.id.startswith(FOUND_ID)
        # No handler gets what was found at Linq, also none with `during_ask=True`: its webhook may still come.
        arrived = (arrived.answer or arrived) if is_found else arrived
        if arrived is NOTHING and not is_found:
            return None
        turn.opening = await opened(turn.lease, arrived, turns.storage)
        if not arrived.is_void and arrived.counted is None and (not is_found or arrived.outcome is not None):
            return None
        watcher = turn_watcher.get()
        if arrived.counted is not None and watcher is not None and arrived.question is not None:
            watcher.met_question(arrived.question.text, arrived.counted.handler, "counted")
        return Ack()

    def again(self, turn: Turn, error: BaseException | None) -> Again | None:
        if error is not None:
            return None
        session = None if turn.asking is None else turn.asking.session
        if session is not None and session.missed_in is not None:
            return partial(self._go_live, live_from=session.missed_in)
        return self._answer if turn.ctx is not None and turn.ctx.is_answer else None

    def end(self, turn: Turn, commit: Commit) -> None:
        if not turn.is_running:
            end_of_arrival(turn, commit)

    async def _go_live(self, turn: Turn, *, live_from: int) -> Turn:
        """Return the turn in which a handler runs again that has ended without coming to the open question.

        It took another way than before: its code has changed, or what it looks at. Its calls on that way were not made, and
        count now; see `Opening.live_from`.
        """
        opening = turn.opening
        log.warning("ask.not_reached", conversation=opening.turn, handler=turn.handler)
        await self._turns.settle(turn.journal.outcomes(with_digests=True))
        known = await self._turns.storage.entries(opening.turn, opening.replay)
        return self._turns.again(turn, replace(opening, known=known, live_from=live_from))

    async def _answer(self, turn: Turn) -> Turn:
        """Return the turn in which an event answers the open question, because no handler with `during_ask=True` took it."""
        arrived = turn.opening.arrival
        assert arrived is not None
        assert arrived.answer is not None
        await self._turns.settle(turn.journal.outcomes(with_digests=True))
        return self._turns.again(turn, await opened(turn.lease, arrived.answer, self._turns.storage))


async def opened(lease: Lease, arrival: Arrival, storage: Storage) -> Opening:
    """Return what the turn of a delivery begins with that concerns open questions. An answer was read with its conversation.

    Raises:
        StorageUnavailable: the journal cannot be read. Without it the turn would repeat calls.
    """
    delivery = lease.delivery
    if arrival.outcome is not None and (found := arrival.conversation) is not None:
        return Opening(found.id, found.replay, arrival.known, found.off_the_record, arrival, found, event=arrival.event)
    known = () if lease.is_first_run else await storage.entries(delivery.id, lease.replay)
    return Opening(delivery.id, lease.replay, known, delivery.is_off_the_record, arrival, event=arrival.event)


def write_arrival(arrival: Arrival, now: float, commit: Commit) -> None:
    """Add what a delivery changes besides its handling: the questions that it ends, and the ballots that it changes.

    A vote that is complete now ends with a timer that is due at once.
    """
    commit.ended += arrival.ended
    if arrival.counted is not None:
        commit.conversations.append(arrival.counted)
    commit.conversations += arrival.recounted
    for each in arrival.recounted:
        question = OpenQuestion.model_validate_json(each.question)
        if question.ballot is not None and question.ballot.is_complete:
            commit.timers.append(look(each, question, {"outcome": "answered", "text": ""}, now))


def end_of_arrival(turn: Turn, commit: Commit) -> None:
    """Add what a delivery that concerns open questions changes, if no handler has seen it, or if it has failed.

    The conversation that it belongs to has failed with it, and a retry of the dead letter can go on.
    """
    arrived, conversation, lease = turn.opening.arrival, turn.opening.conversation, turn.lease
    if arrived is None or not isinstance(commit.outcome, Ack | DeadLetter):
        return
    question = arrived.question
    if isinstance(commit.outcome, Ack) or conversation is None or question is None:
        # A vote counts although the handler of the same event has failed.
        write_arrival(arrived, lease.delivery.received_at, commit)
    else:
        log.error(
            "ask.failed", conversation=conversation.id, chat_id=conversation.chat_id, handler=conversation.handler
        )
        commit.conversations.append(failed(conversation, question, by=lease.delivery.id))


def failed(conversation: Conversation, question: OpenQuestion, *, by: str) -> Conversation:
    """Return a conversation whose question has failed; the delivery `by` may continue it."""
    question = question.model_copy(update={"failed_by": by})
    return replace(conversation, status="failed", question=question.to_json())


def cancelled(
    conversation: Conversation, question: OpenQuestion, reason: AskCancellation, now: float
) -> tuple[Conversation, Timer]:
    """End the question of a conversation by a delivery of its own, so that its handler runs. Return both.

    Until then the conversation counts as failed by that delivery, so that no message in between is an answer.
    """
    timer = cancellation(conversation, question.n, reason, now)
    return failed(conversation, question, by=timer.fired(now).id), timer
