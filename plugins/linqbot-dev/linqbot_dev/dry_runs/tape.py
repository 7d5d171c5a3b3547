"""A tape that stands in for Linq while a bot runs: it answers as Linq answered then, or makes up an answer.

Reads are answered from what the storage keeps of a chat: people's messages are in the deliveries that history keeps, those
of the bot in its journal entries.
"""

from __future__ import annotations

from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from linqbot.client.call import ApiResponse, Call, Run, id_in_path
from linqbot.client.client import Client
from linqbot.engine.call_lookup import content_of, outcome_of
from linqbot.engine.earlier_runs import JournalMatcher
from linqbot.engine.slots import is_outside_of_answer
from linqbot.errors import LinqApiError
from linqbot.linq.events.lane import chat_of, chat_of_lane, lane_of_chat
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import understood
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.storage.upkeep import Selection
from linqbot_dev.dry_runs.dry_turn import DryTurn
from linqbot_dev.dry_runs.recorded_turns import RecordedTurn

_is_read_of_bot: ContextVar[bool] = ContextVar("linqbot_is_read_of_bot", default=False)
"""True while code of the bot reads from Linq, and not linqbot itself."""

UPLOAD: Final = "attachments.create"
"""The call that makes room for a file. Its safety class is that of a read, because repeating it is harmless."""

UPLOADED: Final = "00000000-0000-4000-8000-000000000000"
"""The id of every file. Nothing is uploaded."""
_ADDRESS: Final = f"https://uploads.invalid/{UPLOADED}"


class Tape:
    """Stands in for Linq: answers calls as they were answered then, and reads from what is kept.

    Args:
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
    """

    def __init__(self, run: DryTurn, kept: KeptChats, *, reads: bool) -> None:
        self._run = run
        self._kept = kept
        self._reads = reads
        self._matcher = JournalMatcher(run.turn.call_entries)
        self._made_up = 0  # the number of answers that were made up

    def around(self, client: Client) -> Client:
        return client.wrapped(self._answering, before_fetch=self._admit_fetch, put=_upload_nothing)

    def _answering(self, run: Run) -> Run:
        async def answer(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return ApiResponse(204)
            if call.name == UPLOAD:
                made_up = {"attachment_id": UPLOADED, "upload_url": _ADDRESS, "download_url": _ADDRESS}
                return ApiResponse(200, made_up)
            return await (self._read(call, run) if call.safety == "read" else self._change(call))

        return answer

    async def _change(self, call: Call) -> ApiResponse:
        self._run.refuse_after_end()
        slot = self._run.begun_slot
        entry = None
        if not is_outside_of_answer(slot):  # what middleware did for the answers is not compared
            entry = self._matcher.match(slot, call, is_named=call.label is not None).entry
        has_answer = entry is not None and (
            entry.status in ("refused", "ambiguous") or entry.answer or entry.message_id
        )
        if entry is None or not has_answer:
            self._made_up += 1
            return ApiResponse(202, made_up_response(call, self._made_up))
        if entry.message_id is not None:
            self._run.sent.add(entry.message_id)
        return outcome_of(entry, call)

    async def _read(self, call: Call, run: Run) -> ApiResponse:
        self._run.refuse_after_end()
        found = await self._kept.answer(call, self._run)
        is_of_bot = _is_read_of_bot.get()
        if found is None and not is_of_bot and call.name == "chats.retrieve":
            found = await self._kept.chat(id_in_path(call))
        if found is not None:
            return ApiResponse(200, found)
        if not self._reads and is_of_bot:
            self._run.cut(f"what {call.name} returned (with --reads, Linq is asked now)")
        if not self._reads and call.name == "phone_numbers.list":
            # Manners looks for a line in bad standing before a send. An error would be one of the send.
            return ApiResponse(200, {"phone_numbers": []})
        if not self._reads:
            raise LinqApiError("It is not on record.", status=404, call=call.name)
        self._run.doubt(f"{call.name} was read from Linq as it is now")
        return await run(call)

    def _admit_fetch(self) -> None:
        self._run.refuse_after_end()
        if not self._reads:
            self._run.cut("a file that was downloaded (with --reads, it is downloaded now)")


async def _upload_nothing(*_: object) -> None:
    pass


def made_up_response(call: Call, number: int) -> dict[str, Any]:
    """Return a body from which any typed response of Linq's can be read. No real id looks like the ids in it."""
    segments = call.path.split("/")
    made = {"id": f"dry-run-{number}", "delivery_status": "pending"}
    chat = segments[3] if len(segments) > 3 and segments[2] == "chats" else f"dry-run-chat-{number}"
    if call.safety == "natural":
        return {"id": segments[3] if len(segments) > 3 else made["id"], "chat_id": chat, "status": "accepted"}
    poll = {"message_id": made["id"], "poll": {"options": []}}
    return {"chat_id": chat, "message": made, "chat": {"id": chat, "message": made}, "voice_memo": made, **poll, **made}


def read_of_bot(run: Run) -> Run:
    async def noted(call: Call) -> ApiResponse:
        if call.safety != "read":
            return await run(call)
        token = _is_read_of_bot.set(True)
        try:
            return await run(call)
        finally:
            _is_read_of_bot.reset(token)

    return noted


MOST_CHATS: Final = 50
"""Chats whose messages are held in memory."""


@dataclass(slots=True)
class _Kept:
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
            return _own(entry, chat_of(lane))
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
                event = understood(delivery)
                if event is None:
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
