"""The calls of a turn's earlier runs, matched with the calls that it makes now.

A call is known by its slot, which is its number in its task, or the `key=` that its author gave. Content decides first:
a handler that makes the same calls in another order meets each of its records. Where the content is another one, the
slot decides, because an answer may be worded differently in each run: what was sent stays, and is not sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from linqbot.client.call import Call
from linqbot.storage.journal import JournalEntry

_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Match:
    """The place of a call in the record.

    Attributes:
        known: Its record from an earlier run; None if the call is new.
        diverged: The record holds another content than the call.
        owed: A call of this run that was taken for a new wording of `known`, and was another call after all. It has
            not been made.
    """

    slot: str
    known: JournalEntry | None = None
    diverged: bool = False
    owed: Call | None = None


class Recall:
    """The records of one turn, each of which is met once."""

    def __init__(self, known: Sequence[JournalEntry]) -> None:
        self._known = {entry.slot: entry for entry in known}
        self._digests = {entry.slot: _digest_of(entry) for entry in known}
        self._unmet = dict.fromkeys(self._known)
        # Slots whose record was taken for an earlier wording of a call, with that call.
        self._replaced: dict[str, Call] = {}

    def match(self, slot: str, call: Call, *, is_named: bool) -> Match:
        """Find the record of a call, or a free slot for it.

        Args:
            is_named: The author gave the slot its name, so that it alone decides.
        """
        if not self._known:
            return Match(slot)
        content = digest(call)
        is_same = self._digests.get(slot) == content
        if slot in self._unmet and (is_same or is_named):
            return self._meet(slot, diverged=not is_same)
        if is_named:
            return Match(slot, self._known.get(slot))
        return self._elsewhere(content) or self._other_wording(slot, call, content)

    def _elsewhere(self, content: str) -> Match | None:
        """Find an equal call that was made in another place."""
        for slot in self._unmet:
            if self._digests[slot] == content:
                return self._meet(slot)
        for slot in self._replaced:
            if self._digests[slot] == content:
                return Match(slot, self._known[slot], owed=self._replaced.pop(slot))
        return None

    def _other_wording(self, slot: str, call: Call, content: str) -> Match:
        """Take the record of this place for an earlier wording of the call, if there is one."""
        if slot not in self._unmet:
            return Match(self._free_slot(slot, content))
        if self._known[slot].status != "refused":
            self._replaced[slot] = call
        return self._meet(slot, diverged=True)

    def _meet(self, slot: str, *, diverged: bool = False) -> Match:
        del self._unmet[slot]
        return Match(slot, self._known[slot], diverged=diverged)

    def _free_slot(self, slot: str, content: str) -> str:
        """Return `slot`, or one made of its content where another run has used it: the same again in each run."""
        free, count = slot, 0
        while free in self._known:
            count += 1
            free = f"{slot}~{content[:6]}.{count}"
        return free


def digest(call: Call) -> str:
    """Return a digest of what a call says, without the key it is sent under."""
    said = to_json([call.method, call.path, _without_key(call.body), call.query])
    return hashlib.blake2b(said, digest_size=_DIGEST_BYTES).hexdigest()


def _digest_of(entry: JournalEntry) -> str:
    return entry.digest or digest(Call.from_json(entry.call))


def _without_key(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {
        name: {inner: each for inner, each in value.items() if inner != "idempotency_key"}
        if isinstance(value, dict)
        else value
        for name, value in body.items()
    }
