"""Matching: the calls that a turn makes now, with the journal entries of its earlier runs.

A call's slot is its number in its task, or the `key=` that the author gave it. Calls are matched by content first, so a
handler that makes the same calls in another order gets the right entry for each. A call whose content equals that of no
entry is matched by its slot, because a handler may word its answer differently in each run: the entry's call was sent,
so the new wording is not sent too. A call inside of a step of `ctx.once` is matched only with entries of the same step:
the entries of another step, which this run has from the record, are no earlier runs of this call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from linqbot.client.call import Call
from linqbot.storage.journal import JournalEntry
from linqbot.worker.calls.slots import step_around

_DIGEST_BYTES: Final = 8


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Match:
    """The journal slot of a call, and the entry that an earlier run wrote there.

    Attributes:
        slot: The slot of the entry; for a new call, a free slot.
        entry: The entry from an earlier run; None if the call is new.
        diverged: True if the content of the entry differs from that of the call.
        displaced: An earlier call of this run that was taken for a new wording of `entry` and was therefore not made.
            The call matched now has exactly the entry's content, so the earlier one was a different call and still has
            to be made. None if there is none.
    """

    slot: str
    entry: JournalEntry | None = None
    diverged: bool = False
    displaced: Call | None = None


class JournalMatcher:
    """The journal entries of one turn's earlier runs. Each entry is matched once.

    Args:
        by_content: True takes no call for another wording of an entry. The state has changed since the earlier run, so the
            handler may have another thing to say: a "Sorry" is no wording of "Let me check".
    """

    def __init__(self, known: Sequence[JournalEntry], *, by_content: bool = False) -> None:
        self._by_content = by_content
        self._known = {entry.slot: entry for entry in known}
        self._digests = {entry.slot: _digest_of(entry) for entry in known}
        self._unmatched = dict.fromkeys(self._known)
        # Slots whose entry was matched with a call of other content, and that call.
        self._reworded: dict[str, Call] = {}

    def unmatched(self) -> list[JournalEntry]:
        """Return the entries that no call has matched."""
        return [self._known[slot] for slot in self._unmatched]

    def match(self, slot: str, call: Call, *, is_named: bool) -> Match:
        """Find the entry of a call, or a free slot for a new call.

        Args:
            slot: The slot of the call in this run.
            is_named: True if the author named the slot with `key=`. Then the slot alone decides.
        """
        if not self._known:
            return Match(slot)
        content = digest(call)
        is_same = self._digests.get(slot) == content
        if slot in self._unmatched and (is_same or is_named):
            return self._take(slot, diverged=not is_same)
        if is_named:
            return Match(slot, self._known.get(slot))
        return self._match_content(content, step_around(slot)) or self._match_slot(slot, call, content)

    def _match_content(self, content: str, step: str) -> Match | None:
        """Find an entry of the same content in another slot of the same step."""
        for slot in self._unmatched:
            if self._digests[slot] == content and step_around(slot) == step:
                return self._take(slot)
        for slot in self._reworded:
            if self._digests[slot] == content and step_around(slot) == step:
                return Match(slot, self._known[slot], displaced=self._reworded.pop(slot))
        return None

    def _match_slot(self, slot: str, call: Call, content: str) -> Match:
        """Take the unmatched entry of this slot for an earlier wording of the call; without one, find a free slot.

        An entry of another endpoint is no wording of the call: a handler that reacted at this place before now replies.
        """
        if self._by_content or slot not in self._unmatched or Call.from_json(self._known[slot].call).name != call.name:
            return Match(self._free_slot(slot, content))
        if self._known[slot].status != "refused":
            self._reworded[slot] = call
        return self._take(slot, diverged=True)

    def _take(self, slot: str, *, diverged: bool = False) -> Match:
        del self._unmatched[slot]
        return Match(slot, self._known[slot], diverged=diverged)

    def _free_slot(self, slot: str, content: str) -> str:
        """Return `slot`; if an earlier run used it, a slot derived from the content, which is the same in each run."""
        free, count = slot, 0
        while free in self._known:
            count += 1
            free = f"{slot}~{content[:6]}.{count}"
        return free


NO_ENTRIES: Final = JournalMatcher(())
"""For a turn without earlier runs. It matches nothing and so never changes, and turns can share it."""


def digest(call: Call) -> str:
    """Return a digest of the content of a call, without its idempotency key."""
    content = to_json([call.method, call.path, _without_key(call.body), call.query])
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


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
