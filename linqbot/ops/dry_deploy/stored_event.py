"""A stored delivery, as a run without sending takes it: its event, or its calls, from what the storage knows alone."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from linqbot.client.client import Client
from linqbot.errors import LinqApiError, MessageGone
from linqbot.events.delivery import Delivery
from linqbot.events.event import Event
from linqbot.events.lane import lane_of_chat
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Selection
from linqbot.worker.due.broadcasting import broadcast_send
from linqbot.worker.due.scheduled_send import due_send, unreachable
from linqbot.worker.lookups import KnownChat, KnownChats, with_answers, with_replies_to_me


async def event_of(delivery: Delivery, storage: Storage, known_chats: KnownChats) -> Event:
    """Parse a delivery, and look up in the storage what its webhook does not say. Linq is not asked.

    Raises:
        EventNotUnderstood: a required field of the event is missing.
        StorageUnavailable: the storage cannot be read.
    """
    event = await with_replies_to_me(parse(delivery), storage.has_sent)
    event = await with_answers(event, storage.entry_of)
    return await known_chats.complete(event, partial(_known_in, storage))


async def send_again(delivery: Delivery, client: Client) -> bool:
    """Make the calls of a scheduled send or of a broadcast. Return False, without a call, for any other delivery."""
    if (due := due_send(delivery)) is not None:
        try:
            for call in due.calls:
                with suppress(MessageGone):
                    await client.run(call)
        except LinqApiError as error:
            if unreachable(error) is None:  # the worker ends such a send without an error too
                raise
    elif (to_person := broadcast_send(delivery)) is not None:
        await to_person.send(client)
    else:
        return False
    return True


async def _known_in(storage: Storage, chat_id: str) -> KnownChat:
    """Return what the messages of a chat that are in a storage say of the chat."""
    ids = await storage.replayable(Selection(lane=lane_of_chat(chat_id), type="message.received"))
    kept = [delivery async for page in storage.pages(ids[:1]) for delivery in page]
    try:
        messages = [parse(delivery) for delivery in kept]
    except EventNotUnderstood:
        return KnownChat()
    return KnownChat(messages[0].is_group, messages[0].line) if messages else KnownChat()
