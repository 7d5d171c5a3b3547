"""Which of the things on record are about a person. Pure: records in, keys out; deleting is the backends'.

A record is theirs when it names their handle as a value in its JSON. This also tells which direct chats are theirs.
What belongs to such a chat, to a turn of theirs or to a message that answers them is theirs, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from linqbot.events.delivery import decode

Place: TypeAlias = Literal["delivery", "done", "dead", "timer", "entry"]

_MANY = 50
"""So many ids are looked for faster in a decoded document than in its bytes."""


class Record(NamedTuple):
    """Something on record, in the form in which a person is looked for.

    Attributes:
        place: Deliveries are in the inbox (`delivery`), kept after their ack (`done`), or given up (`dead`).
        key: The id, or the key of an entry.
        lane: Of an entry the lane of the chat it wrote into; empty when there is none.
        documents: What may name somebody, as JSON.
        turn, message_id: Of an entry only.
        leased: Of a delivery: whether it is being handled.
    """

    place: Place
    key: str
    lane: str
    documents: tuple[bytes | None, ...]
    turn: str | None = None
    message_id: str | None = None
    leased: bool = False


@dataclass(slots=True)
class Found:
    """What is theirs.

    Attributes:
        keys: By place.
        turns: The turn of each entry in `keys`.
        leased: All deliveries that are being handled, theirs or not.
    """

    keys: defaultdict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    turns: dict[str, str | None] = field(default_factory=dict)
    leased: set[str] = field(default_factory=set)

    @property
    def left(self) -> set[str]:
        """Deliveries that are being handled and so keep something of theirs."""
        return self.leased & {*self.keys["delivery"], *self.turns.values()}

    @property
    def erasable(self) -> dict[Place, set[str]]:
        """What can be erased now, by place: nothing of a turn that runs, whose entries keep it from sending twice."""
        return {
            "delivery": self.keys["delivery"] - self.leased,
            "done": self.keys["done"],
            "dead": self.keys["dead"],
            "timer": self.keys["timer"],
            "entry": {key for key, turn in self.turns.items() if turn not in self.leased},
        }


class Person:
    """Somebody to be forgotten, and what was learned about them so far.

    Args:
        handle: E.164, or an e-mail address in any case.
        chats: Ids of direct chats known to be theirs.
    """

    def __init__(self, handle: str, chats: Collection[str]) -> None:
        self.chats = set(chats)
        self._handle = handle.casefold()
        self._turns: set[str] = set()
        self._messages: set[str] = set()

    @property
    def scopes(self) -> set[str]:
        """The scopes of state that are theirs, in lower case."""
        return {f"person:{self._handle}", *(f"chat:{chat}".lower() for chat in self.chats)}

    def find(self, records: Callable[[], Iterable[Record]]) -> Found:
        """Look for what is theirs.

        Args:
            records: Called several times, since what is found tells what else is theirs: each time all records, those
                of deliveries before those of entries.
        """
        found = Found()
        for record in records():
            if record.leased:
                found.leased.add(record.key)
            if self.is_named_in(*record.documents):
                self._add(record, found)
        known = -1
        while known != (known := len(self.chats) + len(self._turns) + len(self._messages)):
            for record in records() if known else ():
                if record.key not in found.keys[record.place] and self._is_linked_to(record):
                    self._add(record, found)
        return found

    def is_named_in(self, *documents: bytes | None) -> bool:
        """Return True if a JSON document names them: a string in it is the handle, whole. Learns their chats from it."""
        found = False
        for document in documents:
            data = decode(document) if document and self._may_be_in(document) else None
            if any(value.casefold() == self._handle for value in _strings(data)):
                found = True
                self.chats.update(_direct_chats(data))
        return found

    def _may_be_in(self, document: bytes) -> bool:
        # Decoding is a hundred times slower. JSON may write any letter as \uXXXX.
        return not self._handle.isascii() or self._handle.encode() in document.lower() or b"\\u" in document

    def _is_linked_to(self, record: Record) -> bool:
        kind, _, chat = record.lane.partition(":")
        return (
            (kind in {"c", "r"} and chat in self.chats)
            or record.turn in self._turns
            or any(_mentions(document, self.chats) for document in record.documents)
            # Receipts quote the message that they are about, also in groups.
            or (kind == "r" and any(_mentions(document, self._messages) for document in record.documents))
        )

    def _add(self, record: Record, found: Found) -> None:
        found.keys[record.place].add(record.key)
        if record.place == "entry":
            found.turns[record.key] = record.turn
        elif record.place != "timer":
            self._turns.add(record.key)
        if record.message_id is not None:
            self._messages.add(record.message_id)


def _mentions(document: bytes | None, ids: set[str]) -> bool:
    """Return True if a string in a JSON document is one of the ids, or a path through one."""
    if not document or not ids:
        return False
    if len(ids) < _MANY and not any(one.encode() in document for one in ids):
        return False
    return any(not ids.isdisjoint(value.split("/")) for value in _strings(decode(document)))


def _strings(data: Any) -> Iterator[str]:
    """Every string value, but not who we are: else forgetting a line of ours would be forgetting everybody."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list) or (isinstance(data, dict) and data.get("is_me") is not True):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _strings(value)


def _direct_chats(data: Any) -> Iterator[str]:
    """Ids of chats that are said to be no groups, wherever it is said."""
    if isinstance(data, dict):
        chat = data.get("chat_id") or data.get("id")
        if data.get("is_group") is False and isinstance(chat, str):
            yield chat
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _direct_chats(value)
