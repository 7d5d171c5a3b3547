"""The journal of one stream: the messages that earlier runs of its turn have sent, and those of this run.

After a crash, the journal entries of the sends still have their texts. After a failure they have none any more, so the run
that failed has stored the messages in an entry of the stream itself, with the safety class `step`. Messages that belong
together, such as a text and its cards, are stored in this entry before the first of them is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.engine.slots import labelled
from linqbot.linq.types.message import MessageContent, TextPart
from linqbot.storage.journal import JournalEntry

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal

_CALL = to_json({"noun": "ctx", "verb": "stream"})

_LOST = MessageContent(parts=(TextPart(value="…"),))
"""Stands for a message whose text is not known any more. It is never sent: the journal has its answer."""


class StreamJournal:
    """Implements `StreamRecord`. Without a key, the stream is numbered within the turn.

    Raises BotError if the turn has ended, or the key was used before in this run.
    """

    def __init__(self, journal: TurnJournal, key: str | None) -> None:
        journal.refuse_after_end("stream")
        self._journal = journal
        self.label = journal.slots.label_of_stream(key)
        part = journal.slots.part
        slot = f"{part}stream:{self.label}"
        self._entry = journal.steps.get(slot) or journal.new_entry(slot, "step", _CALL)
        known = {entry.slot: entry for entry in journal.calls_of_earlier_runs()}
        stored: dict[str, Any] = from_json(self._entry.answer) if self._entry.answer else {}
        kept = stored.get("messages", [])
        self.is_complete: bool = journal.is_past or bool(stored.get("is_complete"))
        self.said: list[MessageContent] = []
        while (sent := known.get(labelled(part, self.label, len(self.said)))) is not None:
            if sent.status not in ("accepted", "attempting"):
                break
            at = len(self.said)
            self.said.append(_content(sent, kept[at] if at < len(kept) else None))
        if sent is None:
            # Planned messages whose sends have not begun. After a refused send, none follow.
            self.said += map(_kept_content, kept[len(self.said) :])
        self._messages: list[MessageContent] = []

    async def plan(self, messages: Sequence[MessageContent]) -> None:
        self.said = [*self._messages, *messages]
        entry = self._recorded(is_complete=False)
        self._journal.steps[entry.slot] = entry
        await self._journal.store(entry)

    def note(self, messages: Sequence[MessageContent]) -> None:
        self._messages += messages
        self._recorded(is_complete=self.is_complete)

    def complete(self) -> None:
        self._recorded(is_complete=True)

    def _recorded(self, *, is_complete: bool) -> JournalEntry:
        """Keep the entry of the stream, and return it."""
        # With those of earlier runs that this run has not repeated yet: it may end before it does.
        later = self.said[len(self._messages) :]
        messages = [message.to_json_object() for message in (*self._messages, *later)]
        answer = to_json({"messages": messages, "is_complete": is_complete})
        entry = replace(self._entry, status="accepted", answer=answer)
        self._journal.streams[entry.slot] = entry
        return entry


def _content(sent: JournalEntry, kept: dict[str, Any] | None) -> MessageContent:
    message = (Call.from_json(sent.call).body or {}).get("message") or kept
    return _LOST if message is None else _kept_content(message)


def _kept_content(message: dict[str, Any]) -> MessageContent:
    return MessageContent.model_validate({**message, "idempotency_key": None})
