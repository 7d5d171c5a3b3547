"""Gaps: periods in which deliveries may have been refused, so that messages arrive in another order than they were sent.

After a gap, the first message of each chat, or the timeout of a question, waits while Linq is asked for the chat's messages
since the gap began, and for other answers to its open questions (`missed_answers.py`). The missing ones are stored, and
`Inbox.put_in_order` sorts the lane by the times at which its messages were sent. Linq's own retries of messages arrive
later, and are recognized as duplicates. Without a gap, nothing is asked and nothing waits.
"""

from __future__ import annotations

import asyncio

import structlog

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.events.lane import chat_of_lane
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Lease
from linqbot.worker.asking.deliveries import ORDER_TYPE
from linqbot.worker.failure import STORAGE_PAUSE_S
from linqbot.worker.missed.listing import LINQ_RETRIES_S, Finder
from linqbot.worker.missed.missed_answers import missed_answers

log = structlog.get_logger("linqbot.worker")


class Gaps:
    """The chats that may miss messages, and the means to complete them.

    Args:
        wait_s: The longest time, in seconds, for which a chat's first message waits. 0 turns completing off.
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
        # The time of the bot's first webhook, once it is known. Messages sent before it are not fetched.
        self._first_at = 0.0
        # Messages sent since this time may be missing; None while none can be.
        self._since: float | None = None
        self._ends_at = 0.0
        # The last time at which any chat, or one chat, may have missed a message.
        self._all_at = 0.0
        self._lane_at: dict[str, float] = {}
        self._completed_at: dict[str, float] = {}

    async def begin(self) -> None:
        """Note at start-up that no process may have run since the newest webhook, so messages may be missing.

        Messages that an earlier process missed may still be missing too, because Linq retries for half an hour.

        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        first_at, last_at = await self._storage.first_activity(), await self._storage.last_activity()
        if first_at is not None and last_at is not None:
            self._first_at = first_at
            self.note(since=last_at)

    def note(self, lane: str | None = None, since: float | None = None) -> None:
        """Note that deliveries of a lane may have been refused until now.

        Args:
            lane: None means any lane.
            since: The Unix time of the first of them; None means now.
        """
        at = self._note(self._clock.now() if since is None else since)
        if lane is None:
            self._all_at = at
        else:
            self._lane_at[lane] = at

    def note_completed(self, lane: str) -> None:
        """Note that this lane has all messages that were sent until now."""
        self._completed_at[lane] = self._clock.now()

    def may_miss(self, delivery: Delivery) -> bool:
        """Return True if messages that were sent before this one may be missing.

        The same is asked for the timeout of a question: an answer that was sent before it counts.
        """
        if self._since is None or delivery.type not in ("message.received", ORDER_TYPE) or self._wait_s <= 0:
            return False
        if chat_of_lane(delivery.lane) is None:
            return False  # Linq has sent a message without its chat, so no chat can be asked for others.
        if self._clock.now() > self._ends_at:
            self._since = None
            self._lane_at.clear()
            self._completed_at.clear()
            return False
        missed_at = max(self._all_at, self._lane_at.get(delivery.lane, 0.0))
        return missed_at > self._completed_at.get(delivery.lane, 0.0)

    async def complete(self, lease: Lease) -> bool:
        """Store the messages that are missing before a leased message, and put its lane in order.

        Returns:
            True if the lease was released, so that the lane is leased again in the right order. False if Linq did not
            answer in time; then the leased message is handled without the missing ones.
        Raises:
            LeaseLost: the lease is over.
            CancelledError: the worker stops. The lease was released.
        """
        lane = lease.delivery.lane
        try:
            while (missed := await self._stored_before(lease)) is None:
                await self._clock.wait_until(self._clock.now() + STORAGE_PAUSE_S)
        except (TimeoutError, LinqApiError) as error:
            log.warning("order.unknown", delivery=lease.delivery.id, error=type(error).__name__)
            return False
        except asyncio.CancelledError:
            # Not deferred: a deferred delivery keeps its place, before missed messages that are found later.
            await self._storage.put_in_order(lane, (), lease)
            raise
        if missed:
            log.info("order.completed", delivery=lease.delivery.id, messages=missed)
        return True

    async def _stored_before(self, lease: Lease) -> int | None:
        """Store the messages that are missing, and return their number; None if the storage failed."""
        lane = lease.delivery.lane
        chat_id = chat_of_lane(lane)
        assert chat_id is not None  # see `may_miss`
        since = self._since or 0.0
        # Noted before the attempt, so that the chat waits only once, even if the attempt fails.
        self.note_completed(lane)
        try:
            if not self._first_at:
                # This process was started before the first webhook.
                self._first_at = await self._storage.first_activity() or 0.0
            since = max(since, self._first_at)
            waiting = [each.id for each in self._storage.conversations_in(chat_id) if each.status == "waiting"]
            found = [await self._storage.conversation(each) for each in waiting]
            questions = [each[0] for each in found if each is not None]
            async with asyncio.timeout(self._wait_s):
                chat = await self._client.chats.retrieve(chat_id)
                listed = await self.finder.listed(chat, since)
                answers = await missed_answers(self._client, chat, questions, since, self._clock.now())
            missed = [*await self.finder.missed(chat, listed, self._clock.now()), *answers]
            await self._storage.put_in_order(lane, missed, lease)
        except StorageUnavailable as error:
            log.warning("order.waits", delivery=lease.delivery.id, error=str(error))
            return None
        return len(missed)

    def _note(self, since: float) -> float:
        now = self._clock.now()
        since = max(min(since, now - LINQ_RETRIES_S), self._first_at)
        self._since = since if self._since is None else min(self._since, since)
        self._ends_at = now + LINQ_RETRIES_S
        return now
