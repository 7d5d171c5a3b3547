"""After a long downtime: fetch what Linq may have given up on, and put it into its chats in the order it was sent.

Linq delivers again for half an hour and then forgets. A short silence is left to that: see `gaps.py`.
"""

from __future__ import annotations

from typing import Final

import structlog

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, StorageError
from linqbot.storage.backend import Storage
from linqbot.worker.gaps import Gaps
from linqbot.worker.missed import LINQ_RETRIES_S, PAGE

log = structlog.get_logger("linqbot.worker")

QUIET_S: Final = 20 * 60.0
"""Seconds of silence that cannot have cost a message: Linq is still retrying."""

AGAIN_S: Final = 60.0
"""Seconds until Linq is asked again that did not answer."""


async def catch_up(client: Client, storage: Storage, clock: Clock, gaps: Gaps, since: float | None) -> None:
    """Put in what was missed since the newest webhook (Unix seconds), if that is long ago.

    Failures are logged, never raised.
    """
    started = clock.now()
    if since is None or started - since < QUIET_S:
        return
    while clock.now() <= started + LINQ_RETRIES_S:
        try:
            await _put_missed(client, storage, clock, gaps, since)
        except (LinqApiError, StorageError) as error:
            log.error("history.failed", error=str(error), again_in_s=AGAIN_S)
            await clock.wait_until(clock.now() + AGAIN_S)
        else:
            return


async def _put_missed(client: Client, storage: Storage, clock: Clock, gaps: Gaps, since: float) -> None:
    count = 0
    async for chat in client.chats.list_chats(limit=PAGE):
        if chat.updated_at is not None and chat.updated_at.timestamp() < since:
            continue
        missed = await gaps.finder.in_chat(chat, since, clock.now())
        lane = f"c:{chat.id}"
        count += await storage.put_in_order(lane, missed)
        gaps.note_completed(lane)
    log.info("history.fetched", messages=count, since=round(since))
