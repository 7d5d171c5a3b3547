"""The opening of a turn: the turn that a delivery belongs to, and the journal entries of its earlier runs.

An answer belongs to the turn of its conversation. Every other delivery begins a turn of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from linqbot.bot.asking.question import OpenQuestion
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, DeadLetter, Finish, Lease
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.worker.asking.arrivals import NOTHING, Arrival
from linqbot.worker.asking.records import AskCancellation, cancellation, look

if TYPE_CHECKING:
    from linqbot.worker.turn_end import Turn

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


def write_arrival(arrival: Arrival, now: float, commit: Finish) -> None:
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


def write_failure(opening: Opening, lease: Lease, commit: Finish) -> None:
    """Add what is stored with a dead letter: its conversation has failed, and a retry of it can go on."""
    conversation, question = opening.conversation, opening.arrival.question
    if conversation is None or question is None:
        # A vote counts although the handler of the same event has failed.
        write_arrival(opening.arrival, lease.delivery.received_at, commit)
        return
    log.error("ask.failed", conversation=conversation.id, chat_id=conversation.chat_id, handler=conversation.handler)
    commit.conversations.append(failed(conversation, question, by=lease.delivery.id))


def end_of_arrival(turn: Turn, commit: Finish) -> None:
    """Add what a delivery that concerns open questions changes, for the end of a turn without a handler."""
    if isinstance(commit.outcome, Ack):
        write_arrival(turn.opening.arrival, turn.lease.delivery.received_at, commit)
    elif isinstance(commit.outcome, DeadLetter):
        write_failure(turn.opening, turn.lease, commit)


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
