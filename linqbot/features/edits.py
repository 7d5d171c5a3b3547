"""Edits: what a person has changed before the turn of a message begins is what the turn gets.

Edits wait in the lane behind their message. Before the first run of its turn, they are joined to the message in one commit, so
every run of the turn has the same text; from then on, an edit is an event of its own. An edit that comes before its message is
kept for a day. `storage/edits.py` says how both survive a crash, and why a turn without edits looks for none.

A message that opts a person out or in at Linq stays what it was: Linq has acted on its first words.

Bursts and turns that take later messages (`bursts.py`, `overlap.py`) find these messages with `further_messages`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.clock import Clock
from linqbot.engine import reasons
from linqbot.engine.failure import STORAGE_PAUSE_S
from linqbot.engine.turn import Turn
from linqbot.errors import StorageUnavailable
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.message import MessageEdited, MessageReceived
from linqbot.linq.events.parse import understood
from linqbot.linq.rules.keywords import keyword_of
from linqbot.storage import edits
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, Lease

if TYPE_CHECKING:
    from linqbot.engine.turns import Turns


log = structlog.get_logger("linqbot.worker")

_KEYWORDS: Final = ("stop", "start")


def message_of(delivery: Delivery) -> MessageReceived | None:
    """Return the message that a person has sent with a delivery; None if it is something else."""
    event = understood(delivery) if delivery.type == "message.received" else None
    return event if isinstance(event, MessageReceived) else None


def edit_of(delivery: Delivery) -> MessageEdited | None:
    """Return the edit that a delivery reports; None if it is something else."""
    event = understood(delivery) if delivery.type == edits.TYPE else None
    return event if isinstance(event, MessageEdited) else None


async def waiting_edits(lane: str, storage: Storage, *, only_early: bool = False) -> Sequence[Delivery]:
    """Return the edits of a lane, as `Storage.edits` does. Nothing is read if there is none."""
    return await storage.edits(lane, only_early=only_early) if lane in storage.edited else ()


def edits_of(message: MessageReceived, waiting: Iterable[Delivery]) -> list[Delivery]:
    """Return those of the edits that change a message, or one of its burst."""
    if keyword_of(message) in _KEYWORDS:
        return []
    ids = {each.id for each in message.burst or (message,)}
    return [each for each in waiting if (edit := edit_of(each)) is not None and edit.id in ids]


def edited_message(
    delivery: Delivery, waiting: Iterable[Delivery]
) -> tuple[MessageReceived | None, Sequence[Delivery]]:
    """Return the message of a delivery with those of the edits that change it, and these edits; None if it is no message."""
    message = message_of(delivery)
    own = () if message is None else edits_of(message, waiting)
    return (message_of(delivery.with_further(*own)) if own else message), own


async def further_messages(
    first: MessageReceived,
    behind: Sequence[Delivery],
    waiting: Sequence[Delivery],
    fits: Callable[[MessageReceived, Delivery], Awaitable[bool]],
) -> list[Delivery]:
    """Return the deliveries that can join a message, up to the first other one: fitting messages of its person, and edits.

    Behind each message come those of the `waiting` edits that change it, wherever they wait. `fits` gets the message with them,
    and its delivery with them.
    """
    ids = {each.id for each in first.burst or (first,)}
    found = dict[str, Delivery]()
    for delivery in behind:
        if delivery.id in found:
            continue
        if (edit := edit_of(delivery)) is not None:
            if edit.id not in ids:
                break
            found[delivery.id] = delivery
            continue
        message, own = edited_message(delivery, waiting)
        if message is None or message.actor != first.actor or not await fits(message, delivery.with_further(*own)):
            break
        ids.add(message.id)
        found |= {each.id: each for each in (delivery, *own)}
    return list(found.values())


async def with_edits(lease: Lease, storage: Storage, clock: Clock) -> Lease:
    """Join the edits of a leased message to it that came before its turn, and return the lease. Raises LeaseLost."""
    delivery = lease.delivery
    # What an operator puts back has begun long ago.
    if lease.put_back or delivery.type != "message.received":
        return lease
    waiting = await waiting_edits(delivery.lane, storage, only_early=not lease.is_first_run)
    _, found = edited_message(delivery, waiting)
    return await joined(lease, found, storage, clock) if found else lease


async def joined(lease: Lease, others: Sequence[Delivery], storage: Storage, clock: Clock) -> Lease:
    """Join deliveries to a leased message, however long the storage is away, and return the lease. Raises LeaseLost.

    A storage that raised an error may have joined them all the same. If the message were then handled alone, its ack would
    drop the others.
    """
    delivery = lease.delivery.with_further(*others)
    is_logged = False
    while True:
        try:
            await storage.join(lease, delivery, [each.id for each in others])
        except StorageUnavailable as error:
            if not is_logged:
                log.error("burst.unfinished", delivery=delivery.id, error=str(error))
                is_logged = True
            await clock.wait_until(clock.now() + STORAGE_PAUSE_S)
        else:
            return replace(lease, delivery=delivery)


class Edits(TurnFeature):
    """Gives a message the edits that came before its turn, and keeps an edit whose message has not had its turn yet."""

    async def open(self, turn: Turn) -> Ack | None:
        if turn.lease.delivery.type == edits.TYPE:
            return await self._keep(turn)
        turn.lease = await with_edits(turn.lease, self._turns.storage, self._turns.clock)
        if turn.report is not None:
            turn.report.delivery = turn.lease.delivery
        return None

    async def _keep(self, turn: Turn) -> Ack | None:
        delivery, edit = turn.lease.delivery, edit_of(turn.lease.delivery)
        is_handled = bool(turn.lease.put_back or turn.opening.known)
        key = delivery.edited_key
        if is_handled or key is None or edit is None or edit.is_own or chat_of_lane(delivery.lane) is None:
            return None
        if await self._turns.storage.has_begun(key):
            return None
        timer = edits.kept(delivery, self._turns.clock.now())

        def end(_: Turn, commit: Commit) -> None:
            if isinstance(commit.outcome, Ack):
                commit.timers.append(timer)

        turn.ends.append(end)
        turn.why = reasons.KEPT
        log.info("edit.kept", delivery=delivery.id, message_id=edit.id, why="Its message has not come yet.")
        return Ack()


async def give_up(_: Turns, turn: Turn) -> Ack:
    """End the turn of an edit that was kept, and whose message did not come in time."""
    turn.why = reasons.MESSAGE_MISSING
    return Ack()
