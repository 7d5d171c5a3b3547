"""Catching up after a long downtime: fetch the messages that Linq may have given up delivering, in the order sent.

For open questions, answers that are no messages are fetched as well: see `missed_answers.py`.

Linq retries a delivery for half an hour and then gives up. After a shorter downtime its retries bring everything, and
`gaps.py` restores the order. After a longer one, the process that receives again stores an order, a delivery that linqbot
creates. A worker leases the order, so one process fetches the messages, and another one goes on if that process dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.clock import Clock
from linqbot.errors import LinqApiError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.events.lane import lane_of_chat
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Defer, Finish, Lease
from linqbot.types.chat import Chat
from linqbot.worker.failure import STORAGE_PAUSE_S
from linqbot.worker.lookups import given
from linqbot.worker.missed.gaps import Gaps
from linqbot.worker.missed.listing import PAGE_SIZE
from linqbot.worker.missed.missed_answers import missed_answers

log = structlog.get_logger("linqbot.worker")

CATCH_UP_TYPE: Final = "linqbot.catch_up"
"""The type of the delivery that orders a worker to fetch missed messages."""

_LANE: Final = "catch_up"

SHORT_GAP_S: Final = 20 * 60.0
"""Seconds without a webhook in which no message can be lost, because Linq is still retrying."""

_BEFORE_REFUSAL_S: Final = 60.0
"""Seconds by which a message may be older than the first attempt to deliver it."""

RETRY_S: Final = 60.0
"""Seconds before the messages are fetched again after a failure."""

_MOST_QUESTIONS: Final = 100_000
"""Most open questions whose missed answers are searched for."""


async def end_downtime(storage: Storage, clock: Clock, since: float | None = None) -> None:
    """Announce to all processes that deliveries may have been refused since a time, or since the newest webhook.

    If that was long ago, order the missed messages to be fetched. Call it before a webhook is accepted: then an order is
    stored before the time of the newest webhook changes.

    Args:
        since: Unix seconds; None means the newest webhook.
    Raises:
        StorageUnavailable: the storage cannot be read or written.
    """
    since, now = await storage.last_activity() if since is None else since, clock.now()
    if since is None:
        return
    if now - since >= SHORT_GAP_S:
        body = {"since": since, "created_at": datetime.fromtimestamp(now, UTC).isoformat()}
        order = Delivery(f"i.catch_up.{since}.{now}", _LANE, CATCH_UP_TYPE, to_json(body), now)
        await storage.put_in_order(_LANE, [order])
    await storage.announce_gap(since)


class Outages:
    """Times in which this process ran and could store nothing. A long one ends as a downtime does.

    After a short one, Linq still retries, and each refused chat is known.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._tasks = set[asyncio.Task[None]]()

    def end(self, since: float) -> None:
        """End the time that began with a delivery that was not stored, at this Unix time."""
        task = asyncio.get_running_loop().create_task(self._end(since - _BEFORE_REFUSAL_S))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Cancel what still waits for the storage."""
        for task in self._tasks:
            task.cancel()

    async def _end(self, since: float) -> None:
        while self._clock.now() - since >= SHORT_GAP_S:
            try:
                await end_downtime(self._storage, self._clock, since)
            except StorageUnavailable:
                await self._clock.wait_until(self._clock.now() + STORAGE_PAUSE_S)
            else:
                return


async def catch_up(lease: Lease, gaps: Gaps, storage: Storage, clock: Clock) -> None:
    """Carry out an order: store the messages that were missed. If Linq does not list them, defer the order.

    Raises:
        LeaseLost: the lease is over.
        StorageUnavailable: the storage cannot be read or written; the lease is still held.
        CancelledError: the worker stops. The order is deferred.
    """
    since = float(from_json(lease.delivery.body)["since"])
    try:
        count = await _store_missed(gaps, storage, clock, since)
    except LinqApiError as error:
        log.error("history.failed", error=str(error), again_in_s=RETRY_S)
        await storage.finish(lease, Finish(Defer(clock.now() + RETRY_S, str(error))))
    except asyncio.CancelledError:
        await storage.finish(lease, Finish(Defer(clock.now(), "stopped")))
        raise
    else:
        log.info("history.fetched", messages=count, since=round(since))
        # Off the record, so that it is not kept and replayed.
        await storage.finish(lease, Finish(Ack(), off_the_record=True))


async def _store_missed(gaps: Gaps, storage: Storage, clock: Clock, since: float) -> int:
    count, finder = 0, gaps.finder
    asked: dict[str, list[Conversation]] = {}
    for each in await storage.conversations(limit=_MOST_QUESTIONS):
        if each.status == "waiting":
            asked.setdefault(each.chat_id, []).append(each)
    async for chat in finder.client.chats.list_chats(limit=PAGE_SIZE):
        questions = asked.pop(chat.id, ())
        if questions or chat.updated_at is None or chat.updated_at.timestamp() >= since:
            count += await _complete(chat, questions, gaps, storage, clock, since)
    for chat_id, questions in asked.items():
        if (unlisted := await given(finder.client.chats.retrieve(chat_id))) is not None:
            count += await _complete(unlisted, questions, gaps, storage, clock, since)
    return count


async def _complete(  # noqa: PLR0917 - a step of `_store_missed`
    chat: Chat, questions: Sequence[Conversation], gaps: Gaps, storage: Storage, clock: Clock, since: float
) -> int:
    """Store what was missed in one chat, and return the number of deliveries."""
    finder, lane = gaps.finder, lane_of_chat(chat.id)
    missed = await finder.missed(chat, await finder.listed(chat, since), clock.now())
    answers = await missed_answers(finder.client, chat, questions, since, clock.now())
    count = await storage.put_in_order(lane, [*missed, *answers])
    if not questions:
        # The timeout of a question may be leased already, so that it was not sorted. Its own turn asks again.
        gaps.note_completed(lane)
    return count
