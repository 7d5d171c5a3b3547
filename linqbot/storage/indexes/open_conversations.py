"""The summaries of all conversations in memory, by chat, so that a message looks into a dict instead of into the storage.

There may be very many, so each is kept as one short text: a tuple of its values would take twice the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from linqbot.storage.conversations import ConversationSummary


class OpenConversations:
    """The summaries of all conversations.

    Args:
        conversations: The conversations on record: none of them replaces another.
    """

    def __init__(self, conversations: Iterable[ConversationSummary] = ()) -> None:
        # Most chats have one conversation, and a tuple for each would cost as much as the conversation.
        self._by_chat: dict[str, str | tuple[str, ...]] = {}
        for each in conversations:
            self._put(each.chat_id, (*self._in(each.chat_id), _packed(each)))

    def add(self, conversation: ConversationSummary) -> None:
        """Add a conversation, in place of those that it replaces: see `replaced_by`."""
        gone = {conversation.id, *self.replaced_by(conversation)}
        chat_id = conversation.chat_id
        left = (packed for packed in self._in(chat_id) if _unpacked(chat_id, packed).id not in gone)
        self._put(chat_id, (*left, _packed(conversation)))

    def replaced_by(self, new: ConversationSummary) -> list[str]:
        """Return the ids of the conversations that a new one replaces: those with its person in its chat.

        A conversation that has failed replaces none and is not replaced, so that its dead letter can be retried.
        """
        if new.keeps_its_place:
            return []
        return [
            old.id
            for old in self.in_chat(new.chat_id)
            if old.person == new.person and old.id != new.id and not old.keeps_its_place
        ]

    def remove(self, chat_id: str, conversation_id: str) -> None:
        """Remove a conversation of a chat, if it is there."""
        self._put(
            chat_id,
            tuple(packed for packed in self._in(chat_id) if _unpacked(chat_id, packed).id != conversation_id),
        )

    def of_person(self, person: str) -> Sequence[ConversationSummary]:
        """Return the conversations in which this person must answer, in all chats. It looks at each."""
        end = f"\n{person}"
        return [
            each
            for chat_id, packed in self._by_chat.items()
            if isinstance(packed, tuple) or packed.endswith(end)
            for each in self.in_chat(chat_id)
            if each.person == person
        ]

    def in_chat(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the conversations of a chat, the oldest first."""
        # Asked twice for each message, and nearly all chats have none.
        if chat_id not in self._by_chat:
            return ()
        return tuple(_unpacked(chat_id, packed) for packed in self._in(chat_id))

    def _in(self, chat_id: str) -> tuple[str, ...]:
        packed = self._by_chat.get(chat_id, ())
        return (packed,) if isinstance(packed, str) else packed

    def _put(self, chat_id: str, packed: tuple[str, ...]) -> None:
        if packed:
            self._by_chat[chat_id] = packed[0] if len(packed) == 1 else packed
        else:
            self._by_chat.pop(chat_id, None)


def _packed(each: ConversationSummary) -> str:
    return f"{each.id}\n{each.status}\n{each.until!r}\n{each.person}"


def _unpacked(chat_id: str, packed: str) -> ConversationSummary:
    status: Any
    conversation_id, status, until, person = packed.split("\n", 3)
    return ConversationSummary(conversation_id, chat_id, person, status, float(until))
