"""The journal of a storage in memory; see `storage/journal.py` for the contract."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypeAlias

from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.events.delivery import OWN_DELIVERY
from linqbot.storage.journal import ENTRIES_KEPT_S, DeliveryStatus, JournalEntry, after_outcome, after_receipt
from linqbot.storage.redaction import is_repeatable, without_texts

_Place: TypeAlias = tuple[str, int, str]
"""The place of an entry: turn, replay, slot."""


class MemoryJournal:
    """The journal entries by turn, and the times at which turns ended.

    Args:
        keep_s: Seconds for which the texts stay in entries after the end of their turn.
    """

    def __init__(self, clock: Clock, keep_s: float) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._entries: dict[str, dict[tuple[int, str], JournalEntry]] = {}
        self._places: dict[str, _Place] = {}
        # The time at which a turn ended, oldest first. A turn that ends again moves to the end.
        self._ended: dict[str, float] = {}
        # The same for turns whose entries may still hold texts.
        self._with_texts: dict[str, float] = {}

    @property
    def has_own_turns(self) -> bool:
        """True if a delivery that linqbot has created for itself has made calls."""
        return any(turn.startswith(OWN_DELIVERY) for turn in self._entries)

    def has_entries(self, turn: str) -> bool:
        """Return True if a turn has made calls."""
        return bool(self._entries.get(turn))

    def entries(self, turn: str, replay: int) -> list[JournalEntry]:
        """Return the entries of a turn, in the order in which they were begun."""
        return [entry for entry in self._entries.get(turn, {}).values() if entry.replay == replay]

    def all(self) -> list[JournalEntry]:
        """Return the entries of all turns."""
        return [entry for turn in self._entries.values() for entry in turn.values()]

    def stored(self, entry: JournalEntry) -> JournalEntry | None:
        """Return what is stored in the place of an entry; None if nothing is."""
        return self._entries.get(entry.turn, {}).get((entry.replay, entry.slot))

    def with_message(self, message_id: str) -> JournalEntry | None:
        """Return the entry that made a message; None if none did."""
        return next((entry for entry in self.all() if entry.message_id == message_id), None)

    def check_keys(self, entries: Sequence[JournalEntry]) -> None:
        """Check that no other entry has the key of one of these.

        Raises:
            StorageError: one has.
        """
        if any(self._places.get(entry.key, _place(entry)) != _place(entry) for entry in entries):
            raise StorageError("The storage cannot hold this: another entry has its key. Nothing was stored.")

    def record(self, entry: JournalEntry) -> None:
        """Store an entry, or its outcome."""
        if old := self.stored(entry):
            entry = after_outcome(old, entry)
        kept = entry if self._keeps_texts(entry) else _redacted(entry)
        self._entries.setdefault(entry.turn, {})[entry.replay, entry.slot] = kept
        self._places[entry.key] = _place(entry)

    def record_receipt(self, key: str | None, message_id: str | None, status: DeliveryStatus) -> JournalEntry | None:
        """Store the state that a receipt reports, and return the entry; None if there is none for it."""
        turn, replay, slot = self._places.get(key or "", ("", 0, ""))
        found = self._entries.get(turn, {}).get((replay, slot))
        if found is None and message_id is not None:
            found = self.with_message(message_id)
        if found is None:
            return None
        updated = after_receipt(found, message_id, status)
        self._entries[updated.turn][updated.replay, updated.slot] = updated
        return updated

    def end(self, turn: str) -> None:
        """Note that a turn has ended. From now on its entries lose what only a further run of the turn needs."""
        rows = self._entries.get(turn, {})
        rows.update({place: self._ended_entry(entry) for place, entry in rows.items()})
        for times in (self._ended, self._with_texts):
            times.pop(turn, None)
            times[turn] = self._clock.now()

    def forget_texts(self, turn: str) -> None:
        """Delete the texts in the entries of a turn."""
        rows = self._entries.get(turn, {})
        rows.update({place: _redacted(entry) for place, entry in rows.items()})

    def delete(self, keys: Collection[str]) -> None:
        """Delete the entries with these keys."""
        for key in keys:
            turn, replay, slot = self._places.pop(key)
            del self._entries[turn][replay, slot]

    def purge(self, now: float) -> None:
        """Delete the texts, and later the entries, of turns that ended long enough ago."""
        for turn in older(self._with_texts, now - self._keep_s):
            self.forget_texts(turn)
        for turn in older(self._ended, now - max(ENTRIES_KEPT_S, self._keep_s)):
            for entry in self._entries.pop(turn, {}).values():
                self._places.pop(entry.key, None)

    def _keeps_texts(self, entry: JournalEntry) -> bool:
        return bool(self._keep_s and not entry.off_the_record) or is_repeatable(entry)

    def _ended_entry(self, entry: JournalEntry) -> JournalEntry:
        return replace(entry, digest=None, answer=entry.answer if self._keeps_texts(entry) else None)


def older(times: dict[str, float], than: float) -> list[str]:
    """Remove and return the keys with an earlier time. `times` has the earliest first."""
    old = list(itertools.takewhile(lambda key: times[key] < than, times))
    for key in old:
        del times[key]
    return old


def _redacted(entry: JournalEntry) -> JournalEntry:
    call, answer = without_texts(entry.call, entry.answer)
    return replace(entry, call=call, answer=answer)


def _place(entry: JournalEntry) -> _Place:
    return entry.turn, entry.replay, entry.slot
