"""Gaps: times in which deliveries may have been refused, after which messages arrive in another order than written.

The first message of each chat after a gap waits, while Linq is asked for the chat's messages since then. What is
missing is put in front of it, and what waits in the lane is put in the order in which it was sent. Linq's own copies
come later and are known as duplicates. Without a gap nothing of this costs anything.
"""

from __future__ import annotations

import asyncio

import structlog

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Defer, Finish, Lease
from linqbot.worker.missed import LINQ_RETRIES_S, Finder

log = structlog.get_logger("linqbot.worker")


class Gaps:
    """Knows which chats may miss messages, and completes them.

    Args:
        wait_s: Longest wait of a chat's first message. 0 completes nothing.
        answer_for_s: See `Finder`.
    """

    def __init__(
        self, client: Client, storage: Storage, clock: Clock, *, wait_s: float = 10.0, answer_for_s: float = 3600.0
    ) -> None:
        self.finder = Finder(client, storage, answer_for_s)
        self._client = client
        self._storage = storage
        self._clock = clock
        self._wait_s = wait_s
        # What was sent before was not meant for this bot.
        self._first_at = 0.0
        # What was sent since then may be missing; None while nothing can be.
        self._since: float | None = None
        self._ends_at = 0.0
        # When every chat, and when one chat, may last have missed a message.
        self._all_at = 0.0
        self._lane_at: dict[str, float] = {}
        self._completed_at: dict[str, float] = {}

    async def begin(self) -> float | None:
        """Note that no process may have listened since the newest webhook, and return the time of that webhook.

        What an earlier process missed may be missing still: Linq delivers for half an hour.
        """
        first_at, last_at = await self._storage.first_activity(), await self._storage.last_activity()
        if first_at is not None and last_at is not None:
            self._first_at = first_at
            self._all_at = self._note(last_at)
        return last_at

    def note_refused(self, lane: str) -> None:
        """Note that a delivery of a lane was refused now."""
        self._lane_at[lane] = self._note(self._clock.now())

    def note_completed(self, lane: str) -> None:
        """Note that a lane misses nothing of what was sent until now."""
        self._completed_at[lane] = self._clock.now()

    def may_miss(self, delivery: Delivery) -> bool:
        """Return True if messages that were written before this one may be missing."""
        if self._since is None or delivery.type != "message.received" or self._wait_s <= 0:
            return False
        if self._clock.now() > self._ends_at:
            self._since = None
            self._lane_at.clear()
            self._completed_at.clear()
            return False
        missed_at = max(self._all_at, self._lane_at.get(delivery.lane, 0.0))
        return missed_at > self._completed_at.get(delivery.lane, 0.0)

    async def complete(self, lease: Lease) -> bool:
        """Put what is missing in front of a leased message.

        Returns:
            True if the lease was given back, for the lane to be leased again in the right order. False if Linq did not
            answer in time: the chat goes on.
        """
        lane = lease.delivery.lane
        since = self._since or 0.0
        # First of all: whatever happens, the chat is held up once.
        self.note_completed(lane)
        try:
            async with asyncio.timeout(self._wait_s):
                chat = await self._client.chats.retrieve(lane.removeprefix("c:"))
                missed = await self.finder.in_chat(chat, since, self._clock.now())
            await self._storage.put_in_order(lane, missed, lease)
        except (TimeoutError, LinqApiError, StorageUnavailable) as error:
            log.warning("order.unknown", delivery=lease.delivery.id, error=type(error).__name__)
            return False
        except asyncio.CancelledError:
            await self._storage.finish(lease, Finish(Defer(self._clock.now(), "stopped")))
            raise
        if missed:
            log.info("order.completed", delivery=lease.delivery.id, messages=len(missed))
        return True

    def _note(self, since: float) -> float:
        now = self._clock.now()
        since = max(min(since, now - LINQ_RETRIES_S), self._first_at)
        self._since = since if self._since is None else min(self._since, since)
        self._ends_at = now + LINQ_RETRIES_S
        return now
