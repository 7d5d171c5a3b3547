"""Look up what a webhook does not say, in the journal or at Linq, and note what a receipt says.

A reply does not say if it replies to the bot, nor which scheduled send it answers. An event that names only its chat, such
as a reaction, does not say if the chat is a group.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from linqbot.client.client import Client
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.engine.turn import Turn
from linqbot.errors import LinqApiError, RuleBroken
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEvent, MessageReceipt, MessageReceived, ReactionEvent
from linqbot.linq.types.chat import Chat
from linqbot.storage.backend import Storage
from linqbot.storage.journal import RECEIPTS, Receipt

if TYPE_CHECKING:
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")

T = TypeVar("T")

CHATS: Final = 2_500
"""The number of chats that `Lookups` keeps in memory."""


async def with_answered(event: Event, client: Client, storage: Storage) -> Event:
    """Return the event, with what it says about the message that it answers: `replies_to_me` and `answers`.

    A burst replies to the bot if one of its messages does, and answers the scheduled send that the first of them does.
    """
    if not isinstance(event, MessageReceived) or not event.burst:
        found = await _answered(event, client, storage)
        return event.model_copy(update=found) if found else event
    burst = [each.model_copy(update=await _answered(each, client, storage)) for each in event.burst]
    answers = (each.answers for each in burst if each.answers is not None)
    to_me = any(each.replies_to_me for each in burst)
    return event.model_copy(update={"burst": tuple(burst), "replies_to_me": to_me, "answers": next(answers, None)})


async def _answered(event: Event, client: Client, storage: Storage) -> dict[str, Any]:
    if isinstance(event, MessageReceived):
        message_id = event.reply_to.message_id if event.reply_to is not None else None
    else:
        message_id = event.message_id if isinstance(event, ReactionEvent) and not event.is_own else None
    found: dict[str, Any] = {}
    if message_id is None:
        return found
    # Only a group needs to know it, so nothing else is looked up: it may cost a call to Linq.
    if isinstance(event, MessageReceived) and event.is_group:
        found["replies_to_me"] = await _is_from_us(client, storage, message_id)
    if storage.has_made_scheduled_sends:
        from linqbot.features.later import answered_schedule

        found["answers"] = answered_schedule(await storage.entry_of(message_id))
    return found


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class KnownChat:
    is_group: bool | None = None  # None if it is not known
    line: str | None = None  # your number in the chat, E.164; None if it is not known


def with_chat(event: Event, known: KnownChat) -> Event:
    """Return the event, with what is known of its chat for the fields that it does not say."""
    is_group = known.is_group if event.is_group is None else event.is_group
    return event.model_copy(update={"is_group": is_group, "line": event.line or known.line})


def line_of(chat: Chat) -> str | None:
    """Return the line of the bot in a chat; None if Linq does not name it."""
    return next((handle.handle for handle in chat.handles if handle.is_me), None)


async def _is_from_us(client: Client, storage: Storage, message_id: str) -> bool:
    """Return True if we sent a message: the journal knows the recent ones, and Linq the others."""
    if await storage.has_sent(message_id):
        return True
    message = await given(client.messages.retrieve(message_id))
    return message is not None and message.is_from_me


async def given(answer: Awaitable[T]) -> T | None:
    """Return what Linq answers to a read; None if Linq refuses it. Raises if Linq is away."""
    try:
        return await answer
    except LinqApiError as error:
        if meaning_of(error) is Refusal.WAIT:
            raise
    except RuleBroken:
        pass
    return None  # the id may be none of Linq's


class Lookups(TurnFeature):
    """Completes events with what their webhooks do not say.

    The newest `CHATS` chats are kept in memory: if they are groups, and their lines. Messages say both. Reactions, typing,
    failures and changes of a group name only the chat.
    """

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._chats: dict[str, KnownChat] = {}

    async def begin(self, turn: Turn) -> None:
        turns, event = self._turns, turn.event
        is_given = turn.opening.event is not None  # such as an answer that a timer found
        if not is_given and (event.is_group or turns.storage.has_made_scheduled_sends):
            event = await with_answered(event, turns.client, turns.storage)
        # No code looks at the chat of a question that has timed out, and of a receipt for the journal alone.
        is_timeout = is_given and event.actor is None
        if not is_timeout and not (event.type in RECEIPTS and turns.dispatcher.has_no_handler(event.type)):
            event = await self._with_chat(event)
        turn.event = event

    async def _with_chat(self, event: Event) -> Event:
        """Return the event, with `is_group` and `line` filled in if it does not say them. What it says is remembered.

        A message is returned as it is, and so are the bot's own actions, which no handler sees. Linq is asked once
        about a chat of which no message came.
        """
        if (chat_id := event.chat_id) is None:
            return event
        known = self._chats.get(chat_id)
        is_group, line = event.is_group, event.line
        if is_group is not None and line is not None:
            if known is None or known.line is None:
                self._keep(chat_id, KnownChat(is_group, line))
            return event
        if isinstance(event, MessageEvent) or (event.is_own and event.echoes):
            return event
        if known is None:
            # Nothing is known of a chat that Linq does not give.
            chat = await given(self._turns.client.chats.retrieve(chat_id))
            known = KnownChat() if chat is None else KnownChat(chat.is_group, line_of(chat))
            self._keep(chat_id, known)
        return with_chat(event, known)

    def _keep(self, chat_id: str, known: KnownChat) -> None:
        if len(self._chats) >= CHATS and chat_id not in self._chats:
            del self._chats[next(iter(self._chats))]
        self._chats[chat_id] = known


class Receipts(TurnFeature):
    """Stores the delivery status of a message of ours. It also settles a send whose answer was lost."""

    async def begin(self, turn: Turn) -> None:
        event = turn.event
        if not isinstance(event, MessageReceipt):
            return
        key = event.idempotency_key if isinstance(event, MessageEvent) else None
        receipt = Receipt(key, event.message_id, RECEIPTS[event.type])
        await self._turns.storage.settle_receipt(receipt)
        if receipt.status == "failed":
            log.warning("send.failed", message_id=event.message_id, chat_id=event.chat_id, event_id=event.event_id)
