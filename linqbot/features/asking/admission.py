"""Questions before one is asked: what runs before each turn, and when the bot starts, even if no question is open.

The other modules of questions are imported when a question is asked or open. Next step: `arrivals.py` decides what a
delivery means for an open question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from linqbot.clock import Clock
from linqbot.errors import StorageUnavailable
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Lease

if TYPE_CHECKING:
    from linqbot.engine.routing import RouteTable


log = structlog.get_logger("linqbot.worker")

KIND: Final = "ask"
ENDING_ID: Final = f"i.{KIND}."
"""The beginning of the ids of deliveries that end a question. A webhook can have no such id."""
SHOWN_ID: Final = "i.ask_in."
"""The beginning of the ids of conversations that show the question of another chat's handler: see `shown.py`."""
ENDING_TYPE: Final = f"linqbot.{KIND}"
"""The type of these deliveries."""
FOUND_ID: Final = "i.found."
"""The beginning of the ids of deliveries with what Linq was asked for: a vote, tapback, location or removal that was missed."""


async def after_timeouts(lease: Lease, storage: Storage, clock: Clock) -> Lease | None:
    """Fire the timeout of a question to which a leased delivery comes too late, and put the timeout in front of it.

    Returns the lease to handle: the delivery is in time, or the storage did not answer. None if the lease was released,
    so that the lane is leased again in the right order. Raises LeaseLost.
    """
    delivery = lease.delivery
    chat_id = chat_of_lane(delivery.lane)
    if chat_id is None or not (conversations := storage.conversations_in(chat_id)):
        return lease  # nearly always; the time of sending is in the body, which is then not read
    # Only a first run: the storage moves no delivery of which a run may have left something.
    if not lease.is_first_run or delivery.id.startswith(ENDING_ID):
        return lease
    came_at = min(delivery.received_at, delivery.sent_at)
    overdue = [each.id for each in conversations if each.status == "waiting" and each.until < came_at]
    if not overdue:
        return lease
    from linqbot.features.asking.question import OpenQuestion

    try:
        found = [await storage.conversation(each) for each in overdue]
        questions = [OpenQuestion.read(each[0].question) for each in found if each is not None]
        # The delivery itself abandons a question that cannot be read: `_abandoned`.
        timers = [each.timer for each in questions if each is not None]
        await storage.fire(clock.now())
        has_left = await storage.seen([f"{ENDING_ID}{timer}" for timer in timers])
        if all(has_left.values()):
            return lease
        await storage.put_in_order(delivery.lane, (), lease)
    except StorageUnavailable as error:
        log.warning("order.unknown", delivery=delivery.id, error=type(error).__name__)
        return lease
    return None


async def waiting_in(chat_id: str, storage: Storage) -> list[Conversation]:
    """Return the conversations of a chat that wait for an answer, with the events that began them."""
    waiting = [each.id for each in storage.conversations_in(chat_id) if each.status == "waiting"]
    found = [await storage.conversation(each) for each in waiting]
    return [each[0] for each in found if each is not None]


async def log_unresumable(storage: Storage, routes: RouteTable) -> None:
    """Log the open questions whose handler the bot does not have, by handler. Called when the bot starts."""
    for handler, count in (await storage.waiting_by_handler()).items():
        if routes.named(handler) is None:
            log.error(
                "ask.no_handler",
                handler=handler,
                questions=count,
                to_do="Serve a bot that has a handler of this name, or end the questions: linqbot waiting list --questions, "
                "linqbot waiting cancel. Otherwise the next message of each person is handled as if no question were open.",
            )
