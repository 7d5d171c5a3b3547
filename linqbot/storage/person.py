"""Which of the things on record are about a person. Pure: bytes in, yes or no out; deleting is the backends'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from linqbot.events.delivery import decode


class Person:
    """Somebody to be forgotten, and the direct chats with them that were found so far.

    Args:
        handle: E.164, or an e-mail address in any case.
    """

    def __init__(self, handle: str, chats: set[str]) -> None:
        self.chats = chats
        self._handle = handle.casefold()

    @property
    def scopes(self) -> set[str]:
        """The scopes of state that are theirs, in lower case."""
        return {f"person:{self._handle}", *(f"chat:{chat}".lower() for chat in self.chats)}

    def is_in(self, *documents: bytes | None) -> bool:
        """Whether a JSON document names them: a string in it is the handle, whole. Learns their chats from it."""
        found = False
        for document in documents:
            data = decode(document) if document else None
            if any(value.casefold() == self._handle for value in _strings(data)):
                found = True
                self.chats.update(_direct_chats(data))
        return found

    def owns_lane(self, lane: str) -> bool:
        """Whether a lane belongs to a direct chat with them."""
        kind, _, chat = lane.partition(":")
        return kind in {"c", "r"} and chat in self.chats


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
