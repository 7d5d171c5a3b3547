"""The messages of a chat, as far as the storage keeps them: they answer `ctx.history` and the look-up of a message.

People's messages are in the deliveries that history keeps, those of the bot in its journal entries.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from linqbot.client.call import Call
from linqbot.engine.call_lookup import content_of
from linqbot.linq.events.lane import chat_of_lane, chat_of_receipts, lane_of_chat
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import EventNotUnderstood, parse
from linqbot.ops.dry_runs.dry_turn import DryTurn
from linqbot.ops.dry_runs.recorded_turn import RecordedTurn
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.storage.upkeep import Selection

MOST_CHATS: Final = 50
"""Chats whose messages are held in memory."""


@dataclass(slots=True)
class _Kept:
    """The messages of a chat."""

    # Each with the id of its turn and its time, in Unix seconds. The oldest first.
    messages: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    is_complete: bool = False  # True if the event of the chat's creation is among its deliveries
    chat: dict[str, Any] | None = None


class KeptChats:
    """Answers reads of messages from the storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._chats: OrderedDict[str, _Kept] = OrderedDict()

    async def answer(self, call: Call, run: DryTurn) -> dict[str, Any] | None:
        """Return the answer of a read, as Linq gives it; None if the storage does not have it.

        Args:
            run: The run that reads. Its `past` gets a sentence if the answer may differ from that of then.
        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        segments = call.path.split("/")
        if call.name == "chats.messages.list":
            if run.without_past:
                return {"messages": [], "next_cursor": None}
            return await self._list(segments[3], int(dict(call.query).get("limit", "100")), run)
        if call.name == "messages.retrieve":
            return await self._message(segments[3], run.turn)
        return None

    async def _list(self, chat_id: str, limit: int, run: DryTurn) -> dict[str, Any]:
        turn = run.turn
        kept = await self._chat(chat_id)
        begins = min([entry.first_at for entry in turn.call_entries], default=turn.delivery.received_at)
        before = [
            (at, message)
            for at, turn_id, message in kept.messages
            # What the bot sent in later turns was not there yet, nor what this turn has still to send.
            if not message["is_from_me"] or (message["id"] in run.sent if turn_id == turn.delivery.id else at <= begins)
        ]
        upto = [message for at, message in before if at <= turn.delivery.received_at and message["id"] not in run.sent]
        if len(upto) < limit and not kept.is_complete:
            run.past.append(f"ctx.history({limit}), of which the storage has only {len(upto)}")
        return {"messages": [message for _, message in reversed(before)][:1000], "next_cursor": None}

    async def _message(self, message_id: str, turn: RecordedTurn) -> dict[str, Any] | None:
        lane = turn.delivery.lane
        entry = await self._storage.entry_of(message_id)
        if entry is not None:
            return _own(entry, chat_of_lane(lane) or chat_of_receipts(lane))
        if (chat_id := chat_of_lane(lane)) is None:
            return None
        kept = await self._chat(chat_id)
        return next((message for _, _, message in kept.messages if message["id"] == message_id), None)

    async def chat(self, chat_id: str) -> dict[str, Any] | None:
        """Return what the messages of a chat say of it, in Linq's form; None if none is kept."""
        return (await self._chat(chat_id)).chat

    async def _chat(self, chat_id: str) -> _Kept:
        if chat_id in self._chats:
            self._chats.move_to_end(chat_id)
            return self._chats[chat_id]
        kept = self._chats[chat_id] = await self._read(chat_id)
        if len(self._chats) > MOST_CHATS:
            self._chats.popitem(last=False)
        return kept

    async def _read(self, chat_id: str) -> _Kept:
        kept = _Kept()
        ids = await self._storage.replayable(Selection(lane=lane_of_chat(chat_id)))
        async for page in self._storage.pages(ids):
            for delivery in page:
                kept.is_complete = kept.is_complete or delivery.type == "chat.created"
                try:
                    event = parse(delivery)
                except EventNotUnderstood:
                    continue
                if isinstance(event, MessageReceived):
                    line = {"id": "", "handle": event.line, "is_me": True}
                    kept.chat = kept.chat or {"id": chat_id, "is_group": event.is_group, "handles": [line]}
                    said = (each for each in event.burst or (event,) if isinstance(each, MessageReceived))
                    kept.messages += [(delivery.received_at, delivery.id, _received(each)) for each in said]
                for entry in await self._storage.entries(delivery.id):
                    if entry.status == "accepted" and entry.message_id and (own := _own(entry, chat_id)) is not None:
                        kept.messages.append((entry.first_at, entry.turn, own))
        kept.messages.sort(key=lambda each: each[0])
        return kept


def _received(message: MessageReceived) -> dict[str, Any]:
    as_in_webhook = {"id", "parts", "reply_to", "service", "sent_at", "created_at"}
    return {
        "chat_id": message.chat_id,
        "is_from_me": False,
        "from_handle": message.sender.model_dump(mode="json", by_alias=True),
        **message.model_dump(mode="json", by_alias=True, include=as_in_webhook),
    }


def _own(entry: JournalEntry, chat_id: str | None) -> dict[str, Any] | None:
    """Return the message that a journal entry made; None if it is no message, or its content is not kept."""
    parts = content_of(Call.from_json(entry.call))
    if parts is None:
        return None
    at = datetime.fromtimestamp(entry.first_at, UTC).isoformat()
    return {
        "id": entry.message_id,
        "chat_id": entry.chat_id or chat_id,
        "is_from_me": True,
        "parts": [part.model_dump(mode="json", by_alias=True) for part in parts],
        "delivery_status": entry.delivery or "sent",
        "sent_at": at,
        "created_at": at,
    }
