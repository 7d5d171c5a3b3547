"""Catching up after a long downtime: fetch the messages that Linq may have given up delivering, in the order sent.

Linq retries a delivery for half an hour and then gives up. After a shorter downtime its retries bring everything, and
`gaps.py` restores the order.
"""

from __future__ import annotations

from typing import Final

import structlog

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, StorageError
from linqbot.events.lane import lane_of_chat
from linqbot.storage.backend import Storage
from linqbot.worker.missed.gaps import Gaps
from linqbot.worker.missed.listing import LINQ_RETRIES_S, PAGE_SIZE

log = structlog.get_logger("linqbot.worker")

SHORT_GAP_S: Final = 20 * 60.0
"""Seconds without a webhook in which no message can be lost, because Linq is still retrying."""

RETRY_S: Final = 60.0
"""Seconds before the messages are fetched again after a failure."""


async def catch_up(client: Client, storage: Storage, clock: Clock, gaps: Gaps, since: float | None) -> None:
    """Store the messages that were missed since the newest webhook, if that was long ago.

    A failure is logged and tried again, and is never raised.

    Args:
        since: The time of the newest webhook, in Unix seconds; None if there never was one.
    """
    started = clock.now()
    if since is None or started - since < SHORT_GAP_S:
        return
    while clock.now() <= started + LINQ_RETRIES_S:
        try:
            await _store_missed(client, storage, clock, gaps, since)
        except (LinqApiError, StorageError) as error:
            log.error("history.failed", error=str(error), again_in_s=RETRY_S)
            await clock.wait_until(clock.now() + RETRY_S)
        else:
            return


async def _store_missed(client: Client, storage: Storage, clock: Clock, gaps: Gaps, since: float) -> None:
    count = 0
    async for chat in client.chats.list_chats(limit=PAGE_SIZE):
        if chat.updated_at is not None and chat.updated_at.timestamp() < since:
            continue
        missed = await gaps.finder.in_chat(chat, since, clock.now())
        lane = lane_of_chat(chat.id)
        count += await storage.put_in_order(lane, missed)
        gaps.note_completed(lane)
    log.info("history.fetched", messages=count, since=round(since))
