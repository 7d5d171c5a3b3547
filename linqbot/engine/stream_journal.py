"""The journal of one stream: the messages that earlier runs of its turn have sent, and those of this run.

After a crash, the journal entries of the sends still have their texts. After a failure they have none any more, so the run
that failed has stored the messages in an entry of the stream itself, with the safety class `step`. Messages that belong
together, such as a text and its cards, are stored in this entry before the first of them is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.storage.journal import JournalEntry
from linqbot.types.message import MessageContent, TextPart

_LOST = MessageContent(parts=(TextPart(value="…"),))
"""Stands for a message whose text is not known any more. It is never sent: the journal has its answer."""


class StreamJournal:
    """Implements `StreamRecord`.

    Args:
        label: The key of the sends.
        entry: The entry of the stream, from an earlier run or new.
        known: The entries of the turn's earlier runs, by slot.
        slots: Returns the slot of each send, by its number from 0.
        keep: Keeps an entry for the commit that ends the turn, if the turn will run again.
        store: Stores an entry now.
        is_past: True if the stream is in a part of a conversation that is over.
    """

    def __init__(
        self,
        label: str,
        entry: JournalEntry,
        known: Mapping[str, JournalEntry],
        slots: Callable[[int], str],
        *,
        keep: Callable[[JournalEntry], None],
        store: Callable[[JournalEntry], Awaitable[None]],
        is_past: bool,
    ) -> None:
        self.label = label
        self._entry = entry
        self._keep = keep
        self._store = store
        stored: dict[str, Any] = from_json(entry.answer) if entry.answer else {}
        kept = stored.get("messages", [])
        self.is_complete: bool = is_past or bool(stored.get("is_complete"))
        self.said: list[MessageContent] = []
        while (sent := known.get(slots(len(self.said)))) is not None:
            if sent.status not in ("accepted", "attempting"):
                break
            at = len(self.said)
            self.said.append(_content(sent, kept[at] if at < len(kept) else None))
        if sent is None:
            # Planned messages whose sends have not begun. After a refused send, none follow.
            self.said += map(_kept_content, kept[len(self.said) :])
        self._messages: list[MessageContent] = []

    async def plan(self, messages: Sequence[MessageContent]) -> None:
        """Record messages before the first of them is sent.

        Raises:
            StorageUnavailable: the record could not be stored.
        """
        self.said = [*self._messages, *messages]
        await self._store(self._recorded(is_complete=False))

    def note(self, messages: Sequence[MessageContent]) -> None:
        """Record messages that were sent in this run."""
        self._messages += messages
        self._recorded(is_complete=self.is_complete)

    def complete(self) -> None:
        """Record that everything was said."""
        self._recorded(is_complete=True)

    def _recorded(self, *, is_complete: bool) -> JournalEntry:
        """Keep the entry of the stream, and return it."""
        # With those of earlier runs that this run has not repeated yet: it may end before it does.
        later = self.said[len(self._messages) :]
        messages = [message.to_json_object() for message in (*self._messages, *later)]
        answer = to_json({"messages": messages, "is_complete": is_complete})
        entry = replace(self._entry, status="accepted", answer=answer)
        self._keep(entry)
        return entry


def _content(sent: JournalEntry, kept: dict[str, Any] | None) -> MessageContent:
    """Return the message of a send, as far as it is known."""
    message = (Call.from_json(sent.call).body or {}).get("message") or kept
    return _LOST if message is None else _kept_content(message)


def _kept_content(message: dict[str, Any]) -> MessageContent:
    return MessageContent.model_validate({**message, "idempotency_key": None})
