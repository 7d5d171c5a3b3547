"""The opening of a turn: the turn that a delivery belongs to, and the journal entries of its earlier runs.

An answer belongs to the turn of its conversation. Every other delivery begins a turn of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from linqbot.events.lane import chat_of_lane
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.worker.asking.arrivals import NOTHING, Arrival, arrival, in_chat
from linqbot.worker.asking.question import OpenQuestion
from linqbot.worker.asking.records import FOUND_ID, ORDER_PREFIX, AskCancellation, cancellation, look
from linqbot.worker.parts import Part, Turn
from linqbot.worker.watcher import turn_watcher

log = structlog.get_logger("linqbot.worker")


@dataclass(slots=True)
class Opening:
    """The beginning of a turn.

    Attributes:
        turn, replay: The id of the turn and its replay number.
        known: The journal entries of the turn.
        arrival: The meaning of the delivery for the open questions of its chat.
        conversation: The conversation that the turn continues; None if it continues none.
        off_the_record: True if no text of the turn may be kept.
        live_from: The part that the handler did not leave in a first run, so that it never came to the open question:
            what it does there counts now. None as long as that has not happened.
    """

    turn: str
    replay: int
    known: Sequence[JournalEntry]
    arrival: Arrival = NOTHING
    conversation: Conversation | None = None
    off_the_record: bool = False
    live_from: int | None = None

    def progress_after(self, at: float) -> int:
        """Return the number of journal entries begun after a time, and of their outcomes: each addition raises it."""
        return sum(1 + (entry.status != "attempting") for entry in self.known if entry.first_at > at)


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
        turn.opening.arrival = arrived = (arrived.answer or arrived) if is_found else arrived
        if not arrived.is_void and arrived.counted is None and (not is_found or arrived.outcome is not None):
            return None
        turn.ends.append(end_of_arrival)
        watcher = turn_watcher.get()
        if arrived.counted is not None and watcher is not None and arrived.question is not None:
            watcher.met_question(arrived.question.text, arrived.counted.handler, "counted")
        return Ack()


def first_opening(lease: Lease) -> Opening:
    """Return what the first run of a turn begins with that concerns no open question: nothing has to be read."""
    return Opening(lease.delivery.id, lease.replay, (), NOTHING, None, lease.delivery.is_off_the_record)


async def open_turn(lease: Lease, arrival: Arrival, storage: Storage) -> Opening:
    """Return what the turn of a lease begins with. An answer was read with its conversation; another turn reads once.

    Raises:
        StorageUnavailable: the journal cannot be read. Without it the turn would repeat calls.
    """
    delivery = lease.delivery
    if arrival.outcome is not None and (found := arrival.conversation) is not None:
        return Opening(found.id, found.replay, arrival.known, arrival, found, found.off_the_record)
    known = [] if lease.is_first_run else await storage.entries(delivery.id, lease.replay)
    return Opening(delivery.id, lease.replay, known, arrival, off_the_record=delivery.is_off_the_record)


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
    opening, lease = turn.opening, turn.lease
    conversation, question = opening.conversation, opening.arrival.question
    if not isinstance(commit.outcome, Ack | DeadLetter):
        return
    if isinstance(commit.outcome, Ack) or conversation is None or question is None:
        # A vote counts although the handler of the same event has failed.
        write_arrival(opening.arrival, lease.delivery.received_at, commit)
    else:
        log.error(
            "ask.failed", conversation=conversation.id, chat_id=conversation.chat_id, handler=conversation.handler
        )
        commit.conversations.append(failed(conversation, question, by=lease.delivery.id))


def failed(conversation: Conversation, question: OpenQuestion, *, by: str) -> Conversation:
    """Return a conversation whose question has failed.

    Args:
        by: The id of the delivery that may continue it.
    """
    question = question.model_copy(update={"failed_by": by})
    return replace(conversation, status="failed", question=question.to_json())


def cancelled(
    conversation: Conversation, question: OpenQuestion, reason: AskCancellation, now: float
) -> tuple[Conversation, Timer]:
    """End the question of a conversation by a delivery of its own, so that its handler runs.

    Until then the conversation counts as failed by that delivery, so that no message in between is an answer.

    Returns:
        The conversation as it is stored now, and the timer that becomes the delivery.
    """
    timer = cancellation(conversation, question.n, reason, now)
    return failed(conversation, question, by=timer.fired(now).id), timer
