"""The conversations of a storage in memory; see `conversations.py` for the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from linqbot.storage.conversations import Conversation, ConversationSummary
from linqbot.storage.inbox import Finish
from linqbot.storage.indexes.open_conversations import OpenConversations
from linqbot.storage.memory.journal import MemoryJournal


class MemoryConversations:
    """Conversations, by id. When one ends, the journal's turn of this id ends too."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._conversations: dict[str, Conversation] = {}
        self._open = OpenConversations()
        self._journal = journal

    def in_chat(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the summaries of the conversations of a chat."""
        return self._open.in_chat(chat_id)

    def of_person(self, person: str) -> Sequence[ConversationSummary]:
        """Return the summaries of the conversations in which this person must answer."""
        return self._open.of_person(person)

    def find(self, conversation_id: str) -> Conversation | None:
        """Return a conversation; None if it is not on record."""
        return self._conversations.get(conversation_id)

    def waiting_by_handler(self) -> dict[str, int]:
        """Return the number of open questions by handler."""
        return dict(Counter(each.handler for each in self._conversations.values() if each.status == "waiting"))

    def oldest_first(self, chat_id: str | None, limit: int) -> list[Conversation]:
        """Return the conversations on record, of one chat or of all, without `root`, the oldest question first."""
        known = (each for each in self._conversations.values() if chat_id in (None, each.chat_id))
        found = sorted(known, key=lambda each: each.asked_at)
        return [replace(each, root=b"") for each in found[:limit]]

    def write(self, finish: Finish) -> None:
        """Store what the end of a turn changes."""
        for conversation_id in finish.ended:
            self._drop(conversation_id)
        for new in finish.conversations:
            for replaced in self._open.replaced_by(new.summary):
                self._drop(replaced)
            self._conversations[new.id] = new
            self._open.add(new.summary)

    def purge(self, now: float) -> None:
        """Delete the conversations that are of no more use."""
        for conversation in [one for one in self._conversations.values() if one.is_due_for_deletion(now)]:
            self._drop(conversation.id)

    def forget(self, ids: Collection[str]) -> int:
        """Delete conversations, and return their number. The caller erases their journal entries."""
        for conversation_id in ids:
            self._open.remove(self._conversations.pop(conversation_id).chat_id, conversation_id)
        return len(ids)

    def all(self) -> Iterable[Conversation]:
        """Return all conversations on record."""
        return self._conversations.values()

    def _drop(self, conversation_id: str) -> None:
        if (dropped := self._conversations.pop(conversation_id, None)) is not None:
            self._open.remove(dropped.chat_id, conversation_id)
            self._journal.end(conversation_id)
