"""Bursts: the messages that a person writes one after the other become one message, before a handler is chosen.

The first message of a burst waits at the head of its lane, without a running turn, until its window is over: `gather_s`
after the newest message or edit, or longer while the person types. An edit of one of these messages joins them: the
handler gets the new text only. Only a first run gathers, so that after a crash the burst is the same, and a message that
comes later is a turn of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.clock import Clock
from linqbot.engine.failure import STORAGE_PAUSE_S
from linqbot.errors import LeaseLost, StorageError, StorageUnavailable
from linqbot.features.asking.records import is_payment
from linqbot.linq.events.delivery import Delivery, Joined
from linqbot.linq.events.lane import chat_of_lane, chat_of_receipts
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import understood
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Lease

if TYPE_CHECKING:
    from linqbot.bot.dispatch import Dispatcher


log = structlog.get_logger("linqbot.worker")

MAX_MESSAGES: Final = 20
"""Most messages of a burst."""

MAX_WINDOWS: Final = 5
"""The longest wait for a burst, in windows of `gather_s`; or `MAX_WAIT_S`, if that is longer."""
MAX_WAIT_S: Final = 15.0
"""Seconds for which a burst may wait in any case."""

TYPING_S: Final = 15.0
"""Seconds for which a person counts as typing, unless an event says that they stopped."""

_TYPING_STARTED: Final = "chat.typing_indicator.started"
_TYPING_STOPPED: Final = "chat.typing_indicator.stopped"


class Bursts:
    def __init__(self, dispatcher: Dispatcher, storage: Storage, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._storage = storage
        self._clock = clock
        # The end of typing, by chat, in Unix seconds.
        self._typing: dict[str, float] = {}

    def _note_typing(self, delivery: Delivery) -> None:
        chat = chat_of_receipts(delivery.lane)
        if chat is None:
            return
        if delivery.type == _TYPING_STARTED:
            now = self._clock.now()
            self._typing = {each: until for each, until in self._typing.items() if until > now}
            self._typing[chat] = now + TYPING_S
        elif delivery.type == _TYPING_STOPPED:
            self._typing.pop(chat, None)

    async def admit(self, lease: Lease) -> Lease | None:
        """Join the burst that begins with a leased message. None if the lease was given back to wait for more."""
        self._note_typing(lease.delivery)
        if not lease.is_first_run or lease.put_back:
            return lease
        try:
            return await self._gather(lease)
        except LeaseLost:
            return None
        except StorageError as error:
            log.warning("burst.unknown", delivery=lease.delivery.id, error=type(error).__name__)
            return lease

    async def _gather(self, lease: Lease) -> Lease | None:
        message = message_of(lease.delivery)
        window = 0.0 if message is None else self._dispatcher.gather_s(message)
        if message is None or not window or self._answers(message):
            return lease
        behind = await self._storage.following(lease.delivery.lane, MAX_MESSAGES)
        others = further_messages(message, behind, lambda other: self._dispatcher.gather_s(other) > 0)
        is_closed = len(others) < len(behind) or len(others) + 1 >= MAX_MESSAGES
        if not is_closed and (until := self._waits_until(lease.delivery, others, window)) > self._clock.now():
            await self._storage.hold(lease, until, known=len(behind))
            return None
        if not others:
            return lease
        others = others[: MAX_MESSAGES - 1]
        joined = lease.delivery.with_joined(Joined(burst=tuple(each.content for each in others)))
        await self._join(lease, joined, [each.id for each in others])
        return replace(lease, delivery=joined)

    async def _join(self, lease: Lease, joined: Delivery, ids: Sequence[str]) -> None:
        """Store the burst, however long the storage is away.

        A storage that raised an error may have stored the burst all the same. If the first message were then handled
        alone, its ack would drop the others.
        """
        is_logged = False
        while True:
            try:
                await self._storage.join(lease, joined, ids)
            except StorageUnavailable as error:
                if not is_logged:
                    log.error("burst.unfinished", delivery=lease.delivery.id, error=str(error))
                    is_logged = True
                await self._clock.wait_until(self._clock.now() + STORAGE_PAUSE_S)
            else:
                return

    def _answers(self, message: MessageReceived) -> bool:
        """Return True if the chat has an open question, which the message may answer. An answer does not wait."""
        found = self._storage.conversations_in(message.chat_id)
        return any(each.status == "waiting" and not is_payment(each.person) for each in found)

    def _waits_until(self, first: Delivery, others: Sequence[Delivery], window: float) -> float:
        end = max(each.received_at for each in (first, *others)) + window
        if self._typing.get(chat_of_lane(first.lane) or "", 0.0) > (now := self._clock.now()):
            end = max(end, now + window)
        return min(end, first.received_at + max(MAX_WAIT_S, MAX_WINDOWS * window))


def message_of(delivery: Delivery) -> MessageReceived | None:
    """Return the message that a person has sent with a delivery; None if it is something else."""
    event = understood(delivery) if delivery.type == "message.received" else None
    return event if isinstance(event, MessageReceived) else None


def further_messages(
    first: MessageReceived,
    behind: Sequence[Delivery],
    fits: Callable[[MessageReceived], bool],
) -> list[Delivery]:
    """Return the deliveries that can join a message, up to the first other one: fitting messages of its person, and edits."""
    ids = {each.id for each in first.burst or (first,)}

    def joins(delivery: Delivery) -> bool:
        if delivery.type == "message.edited":
            edit = understood(delivery)
            return edit is not None and edit.message_id in ids
        message = message_of(delivery)
        if message is None or message.actor != first.actor or not fits(message):
            return False
        ids.add(message.id)
        return True

    return list(takewhile(joins, behind))
