"""Bursts: the messages that a person writes one after the other become one message, before a handler is chosen.

The first message of a burst waits at the head of its lane, without a running turn, until its window is over: `gather_s`
after the newest message or edit, or longer while the person types. An edit of one of these messages joins them: the
handler gets the new text only. The messages that answer one question are one answer. Only a first run gathers, so that
after a crash the burst is the same, and a message that comes later is a turn of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.clock import Clock
from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.feature import Feature
from linqbot.errors import LeaseLost, StorageError
from linqbot.features.asking.records import Asked, is_payment
from linqbot.features.edits import edited_message, further_messages, joined, waiting_edits
from linqbot.features.handler_options import TYPING, Gather
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane, chat_of_receipts
from linqbot.linq.events.message import MessageReceived
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.inbox import Lease

if TYPE_CHECKING:
    from linqbot.engine.handling import Handling


log = structlog.get_logger("linqbot.worker")

MAX_MESSAGES: Final = 20
"""Most messages of a burst."""

MAX_WINDOWS: Final = 5
"""The longest wait for a burst, in windows of `gather_s`; or `MAX_WAIT_S`, if that is longer."""
MAX_WAIT_S: Final = 15.0
"""Seconds for which a burst may wait in any case."""

TYPING_S: Final = 15.0
"""Seconds for which a person counts as typing, unless an event says that they stopped."""

_STARTED, _STOPPED = TYPING


class Bursts(Feature):
    """Joins the messages of a burst before the turn of the first one."""

    types = frozenset()

    def __init__(self, dispatcher: Handling, storage: Storage, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._storage = storage
        self._clock = clock
        # The end of typing, by chat, in Unix seconds.
        self._typing: dict[str, float] = {}

    def _note_typing(self, delivery: Delivery) -> None:
        chat = chat_of_receipts(delivery.lane)
        if chat is None:
            return
        if delivery.type == _STARTED:
            now = self._clock.now()
            self._typing = {each: until for each, until in self._typing.items() if until > now}
            self._typing[chat] = now + TYPING_S
        elif delivery.type == _STOPPED:
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
        lane = lease.delivery.lane
        waiting = await waiting_edits(lane, self._storage)
        message, edits = edited_message(lease.delivery, waiting)
        if message is None:
            return lease
        window_of = partial(self._window, questions=self._questions(message), known={})
        window, answered = await window_of(message, lease.delivery.with_further(*edits))
        if not window:
            return lease

        async def fits(other: MessageReceived, delivery: Delivery) -> bool:
            found = await window_of(other, delivery)
            return found[0] > 0 and found[1] == answered

        behind = await self._storage.following(lane, MAX_MESSAGES - 1)
        others = await further_messages(message, behind, waiting, fits)
        others = [*edits, *(each for each in others if each not in edits)]
        is_closed = len(behind) + 1 >= MAX_MESSAGES or any(each not in others for each in behind)
        if not is_closed and (until := self._waits_until(lease.delivery, others, window)) > self._clock.now():
            await self._storage.gather(lease, until, known=len(behind))
            return None
        return await joined(lease, others, self._storage, self._clock) if others else lease

    def _questions(self, message: MessageReceived) -> Sequence[ConversationSummary]:
        """Return the open questions of the chat of a message, which it may answer."""
        found = self._storage.conversations_in(message.chat_id)
        return [each for each in found if each.status == "waiting" and not is_payment(each.person)]

    async def _window(
        self,
        message: MessageReceived,
        delivery: Delivery,
        *,
        questions: Sequence[ConversationSummary],
        known: dict[str, Asked | None],
    ) -> tuple[float, str | None]:
        """Return how long a message waits for further ones, and the id of the question's conversation that it answers.

        An answer in words waits as the handler says that asked. One that needs no more words does not wait, such as a choice,
        nor does a message that a handler takes while the question is open. `known` keeps the conversations that were read.
        """
        if not questions:
            return self.wait_s(message), None
        from linqbot.features.asking.arrivals import Arriving  # a question is open: it is imported already

        try:
            found = await Arriving(delivery, questions, self._dispatcher, self._storage, known=known).meaning()
        except ChoiceFailed:
            return 0.0, None  # the turn of the message reports it
        if found.asked is None:
            return self.wait_s(message), None
        if found.outcome is None or found.outcome["outcome"] != "answered" or found.is_whole:
            return 0.0, None
        asked = found.asked.conversation
        return self.wait_s(message, asked.handler), asked.id

    def wait_s(self, message: MessageReceived, handler: str | None = None) -> float:
        """Return the seconds that a message waits for further ones of the same person; 0 if it is handled at once.

        The `handler` decides whose question the message answers. For any other message, the first handler that fits it alone
        does; if none fits, the bot.
        """
        handling = self._dispatcher
        if not handling.may_join(message):
            return 0.0
        route = handling.route_of(message) if handler is None else handling.routes.named(handler)
        found = (handling.options if route is None else route.options).find(Gather)
        return 0.0 if found is None else found.window_s

    def _waits_until(self, first: Delivery, others: Sequence[Delivery], window: float) -> float:
        end = max(each.received_at for each in (first, *others)) + window
        if self._typing.get(chat_of_lane(first.lane) or "", 0.0) > (now := self._clock.now()):
            end = max(end, now + window)
        return min(end, first.received_at + max(MAX_WAIT_S, MAX_WINDOWS * window))
