"""The conversations in memory, by chat and by id, so that a message looks into a dict instead of into the storage.

There may be very many, so each is packed into a few bytes. A question as JSON has mostly the same words, so it is
compressed with a dictionary of them.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic_core import from_json, to_json

from linqbot.storage.conversations import Conversation

_WORDS: Final = (
    b'{"cancel":["cancel","never mind"],"failed_by":null,"message.received","poll","options":{"":""},"reactions":["like",'
    b'"dislike"],"location.sharing.started","contact_card.received","replies_to_me":true,"repeat":false,"waiting",'
    b'"failed","timed_out",false,true,0,"+1]\n{"n":1,"key":null,"text":"?","messages":["0123456789abcdef-"],"poll":null,'
    b'"options":{},"reactions":[],"events":[],"cancel":["cancel","never mind"],"repeat":true,"prompt":[{"parts":[{"type":'
    b'"text","value":"?"}]}],"tries":0,"timer":"'
)
_WINDOW: Final = -10
"""The bytes that zlib looks back, as a power of two; negative for no header and no checksum."""
_AFTER_ID: Final = b'.0.1","next":2,"replies_to_me":false,"failed_by":null}'


class OpenConversations:
    """The rows of all conversations in memory, without the events that began them. They are packed."""

    def __init__(self, conversations: Iterable[Conversation] = ()) -> None:
        self._by_id: dict[str, bytes] = {}
        # Most chats have one conversation, and a tuple for each would cost as much as the conversation.
        self._by_chat: dict[str, str | tuple[str, ...]] = {}
        for conversation in conversations:
            self.add(conversation)

    def add(self, conversation: Conversation) -> None:
        """Add a conversation, in place of those that it replaces: see `replaced_by`."""
        self.remove(conversation.id)
        for replaced in self.replaced_by(conversation):
            self.remove(replaced)
        self._put(conversation.chat_id, (*self._ids(conversation.chat_id), conversation.id))
        self._by_id[conversation.id] = _packed(conversation)

    def replaced_by(self, new: Conversation) -> list[str]:
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

    def remove(self, conversation_id: str) -> None:
        """Remove a conversation, if it is there."""
        data = self._by_id.pop(conversation_id, None)
        if data is not None:
            chat_id = _chat_of(data)
            self._put(chat_id, tuple(each for each in self._ids(chat_id) if each != conversation_id))

    def of_person(self, person: str) -> Sequence[Conversation]:
        """Return the conversations in which this person must answer, in all chats. It looks at each."""
        return [_unpacked(each, data) for each, data in self._by_id.items() if _is_with(data, person)]

    def in_chat(self, chat_id: str) -> Sequence[Conversation]:
        """Return the conversations of a chat."""
        return tuple(_unpacked(each, self._by_id[each]) for each in self._ids(chat_id))

    def _ids(self, chat_id: str) -> tuple[str, ...]:
        ids = self._by_chat.get(chat_id, ())
        return (ids,) if isinstance(ids, str) else ids

    def _put(self, chat_id: str, ids: tuple[str, ...]) -> None:
        if ids:
            self._by_chat[chat_id] = ids[0] if len(ids) == 1 else ids
        else:
            self._by_chat.pop(chat_id, None)


def _packed(conversation: Conversation) -> bytes:
    """Return a conversation as bytes, without its id and without `root`."""
    each = conversation
    facts = [each.replay, each.handler, each.status, each.asked_at, each.until, each.off_the_record]
    # A small window and little memory: five times faster than zlib's defaults for so few bytes, and as short.
    compress = zlib.compressobj(level=1, wbits=_WINDOW, memLevel=1, zdict=_dictionary(each.id))
    said = compress.compress(to_json(facts) + b"\n" + each.question) + compress.flush()
    return b"\n".join((each.chat_id.encode(), each.person.encode(), said))


def _chat_of(data: bytes) -> str:
    """Return the chat of a conversation."""
    return data.partition(b"\n")[0].decode()


def _is_with(data: bytes, person: str) -> bool:
    """Return True if this person must answer the conversation."""
    return data.partition(b"\n")[2].startswith(person.encode() + b"\n")


def _unpacked(conversation_id: str, data: bytes) -> Conversation:
    """Return a conversation, without `root`."""
    chat_id, person, said = data.split(b"\n", 2)
    decompress = zlib.decompressobj(wbits=_WINDOW, zdict=_dictionary(conversation_id))
    facts, _, question = decompress.decompress(said).partition(b"\n")
    replay, handler, status, asked_at, until, off_the_record = from_json(facts)
    return Conversation(
        conversation_id,
        replay,
        chat_id.decode(),
        person.decode(),
        sys.intern(handler),
        status,
        asked_at,
        until,
        question,
        off_the_record,
    )


def _dictionary(conversation_id: str) -> bytes:
    # The timer of the question begins with the id of the conversation.
    return _WORDS + conversation_id.encode() + _AFTER_ID
