"""Answers and timeouts in the order of their times, whenever the bot comes to them.

An answer counts if it was sent, or was accepted, before the timeout. A timeout becomes a delivery of the chat's lane when
it is due, so an answer that was accepted before is in front of it, even if a busy or stopped worker handles it later.
Two cases are left. Messages that were sent before the timeout and not accepted, because no process ran: `missed/gaps.py`
asks Linq for them before the timeout is handled. And messages that were sent after the timeout and accepted before its
timer fired, because all turns of the worker were taken: the timeout goes first, as this module decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from linqbot.bot.asking.question import OpenQuestion
from linqbot.errors import StorageUnavailable
from linqbot.events.lane import chat_of_lane
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.inbox import Lease
from linqbot.worker.asking.deliveries import ORDER_PREFIX

log = structlog.get_logger("linqbot.worker")


def questions_before(lease: Lease, storage: Storage) -> list[ConversationSummary]:
    """Return the open questions that a leased delivery may come too late for. Nearly always there are none."""
    delivery = lease.delivery
    chat_id = chat_of_lane(delivery.lane)
    # Only a first run: the storage moves no delivery of which a run may have left something.
    if chat_id is None or not lease.is_first_run or delivery.id.startswith(ORDER_PREFIX):
        return []
    return [each for each in storage.conversations_in(chat_id) if each.status == "waiting"]


async def timeout_goes_first(
    lease: Lease, waiting: Sequence[ConversationSummary], storage: Storage, now: float
) -> bool:
    """Fire the timeout of a question to which a leased delivery comes too late, and put the timeout in front of it.

    Args:
        waiting: The result of `questions_before`.
    Returns:
        True if the lease was released, so that the lane is leased again in the right order. False if the delivery is in
        time, or if the storage did not answer; then it is handled as it comes.
    Raises:
        LeaseLost: the lease is over.
    """
    delivery = lease.delivery
    came_at = min(delivery.received_at, delivery.sent_at)
    overdue = [each.id for each in waiting if each.until < came_at]
    if not overdue:
        return False
    try:
        found = [await storage.conversation(each) for each in overdue]
        questions = [OpenQuestion.read(each[0].question) for each in found if each is not None]
        # The delivery itself abandons a question that cannot be read: `arrivals.py`.
        timers = [each.timer for each in questions if each is not None]
        await storage.fire(now)
        has_left = await storage.seen([f"{ORDER_PREFIX}{timer}" for timer in timers])
        if all(has_left.values()):
            return False
        await storage.put_in_order(delivery.lane, (), lease)
    except StorageUnavailable as error:
        log.warning("order.unknown", delivery=delivery.id, error=type(error).__name__)
        return False
    return True
