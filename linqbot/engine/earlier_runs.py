"""The calls of a turn's earlier runs, and the calls of this run that are matched with them.

An accepted call is answered from its entry and not made. A call whose answer may have been lost is repeated under the same
idempotency key. A call that must not be repeated is looked up at Linq, or reported as ambiguous.

A call's slot is its number in its task, or the `key=` that the author gave it. Calls are matched by content first, so a
handler that makes the same calls in another order gets the right entry for each. A call whose content equals that of no
entry is matched by its slot, because a handler may word its answer differently in each run: the entry's call was sent,
so the new wording is not sent too. A call inside of a step of `ctx.once` is matched only with entries of the same step:
the entries of another step, which this run has from the record, are no earlier runs of this call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from linqbot.client.call import ApiResponse, Call
from linqbot.engine.call_lookup import (
    outcome_of,
)
from linqbot.engine.slots import digest, step_around
from linqbot.errors import CallSkipped
from linqbot.storage.journal import JournalEntry

log = structlog.get_logger("linqbot.worker")


class EarlierRuns:
    """The calls that earlier runs of a turn have made. A turn that never ran before has none.

    The outbox makes the calls that were not made, and repeats those of which it is not known.

    Args:
        by_content: See `JournalMatcher`.
    Attributes:
        calls: The entries that calls may be matched with now: those of earlier runs, and in a conversation those of one
            part.
        sent: The ids of the messages of all these runs.
        sent_in_parts: The ids of the messages of earlier parts of the conversation, their questions included.
    """

    def __init__(self, calls: Sequence[JournalEntry], *, by_content: bool) -> None:
        self._all = calls
        self._by_content = by_content
        self._outside: JournalMatcher | None = None
        self.sent = frozenset(entry.message_id for entry in calls if entry.message_id)
        self.sent_in_parts: frozenset[str] = frozenset()
        self.enter(calls)

    def enter(self, calls: Sequence[JournalEntry], earlier: Iterable[JournalEntry] = ()) -> None:
        """Match the next calls with these entries; see `TurnJournal.enter`."""
        self.sent_in_parts |= {entry.message_id for entry in earlier if entry.message_id}
        self.calls = calls
        self._matcher = JournalMatcher(calls, by_content=self._by_content)

    def add(self, calls: Mapping[str, JournalEntry]) -> None:
        """Match the next calls also with these entries, by the slots of these calls in this part; see `JournalMatcher.add`."""
        self._matcher.add(calls)

    def leave_handler(self, outside: str) -> None:
        """Match the next calls with those made outside of the handler, for an answer. Their slots begin with `outside`."""
        if self._outside is None:
            made = [entry for entry in self._all if entry.slot.startswith(outside)]
            self._outside = JournalMatcher(made, by_content=self._by_content)
        self._matcher = self._outside

    def unmatched(self) -> list[JournalEntry]:
        """Return the entries of this part that no call of this run has matched."""
        return self._matcher.unmatched()

    def unsettled(self) -> list[Call]:
        """Return the calls of this part that may have been made, without a known answer."""
        return [Call.from_json(e.call) for e in self.calls if e.status == "attempting" and e.message_id is None]

    def answer_from_past(self, call: Call, slot: str, turn: str) -> ApiResponse:
        """Answer a call of a conversation's past as then. Raises as `outcome_of`, or CallSkipped if it was not made."""
        known = self._matcher.match(slot, call, is_named=call.label is not None).entry
        if known is None or known.status == "attempting":
            log.info("send.skipped", turn=turn, slot=slot, call=call.name)
            raise CallSkipped(call.name)
        return outcome_of(known, call)

    def match(self, call: Call, slot: str) -> Match:
        """Find the entry of a call, or a free slot for a new call."""
        return self._matcher.match(slot, call, is_named=call.label is not None)


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Match:
    """The journal slot of a call, and the entry that an earlier run wrote there.

    Attributes:
        slot: The slot of the entry; for a new call, a free slot.
        entry: The entry from an earlier run; None if the call is new.
        diverged: True if the content of the entry differs from that of the call.
        still_to_make: A call of this run that was taken for a new wording of `entry` by mistake, and has still to be made;
            None if there is none. An example: the earlier run has sent "One", and now new code sends "Zero", then "One".
            "Zero" has the slot of "One", so it is taken for a new wording and not sent. Then "One" comes, whose content is
            exactly the entry's: it is answered from the entry, and "Zero" is sent late rather than never.
    """

    slot: str
    entry: JournalEntry | None = None
    diverged: bool = False
    still_to_make: Call | None = None


class JournalMatcher:
    """The journal entries of one turn's earlier runs. Each entry is matched once.

    With `by_content`, no call is taken for another wording of an entry: the state has changed since the earlier run, so
    the handler may have another thing to say. A "Sorry" is no wording of "Let me check".
    """

    def __init__(self, known: Sequence[JournalEntry], *, by_content: bool = False) -> None:
        self._by_content = by_content
        self._known: dict[str, JournalEntry] = {}
        self._digests: dict[str, str] = {}
        self._unmatched: dict[str, None] = {}
        self.add({entry.slot: entry for entry in known})
        # Slots whose entry was matched with a call of other content, and that call.
        self._reworded: dict[str, Call] = {}

    def add(self, known: Mapping[str, JournalEntry]) -> None:
        """Add entries by the slots of their calls in this run: those of an entry that was made in another part differ from its own."""
        for slot, entry in known.items():
            if slot not in self._known:
                self._known[slot] = entry
                self._digests[slot] = entry.digest or digest(Call.from_json(entry.call))
                self._unmatched[slot] = None

    def unmatched(self) -> list[JournalEntry]:
        return [self._known[slot] for slot in self._unmatched]

    def match(self, slot: str, call: Call, *, is_named: bool) -> Match:
        """Find the entry of a call, or a free slot for a new call. A slot that the author named with `key=` decides alone."""
        if not self._known:
            return Match(slot)
        content = digest(call)
        is_same = self._digests.get(slot) == content
        if slot in self._unmatched and (is_same or is_named):
            return self._take(slot, diverged=not is_same)
        if is_named:
            known = self._known.get(slot)
            return Match(slot if known is None else known.slot, known)
        return self._match_content(content, step_around(slot)) or self._match_slot(slot, call, content)

    def _match_content(self, content: str, step: str) -> Match | None:
        """Find an entry of the same content in another slot of the same step."""
        for slot in self._unmatched:
            if self._digests[slot] == content and step_around(slot) == step:
                return self._take(slot)
        for slot in self._reworded:
            if self._digests[slot] == content and step_around(slot) == step:
                return Match(slot, self._known[slot], still_to_make=self._reworded.pop(slot))
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
        known = self._known[slot]
        return Match(known.slot, known, diverged=diverged)

    def _free_slot(self, slot: str, content: str) -> str:
        """Return `slot`; if an earlier run used it, a slot derived from the content, which is the same in each run."""
        free, count = slot, 0
        while free in self._known:
            count += 1
            free = f"{slot}~{content[:6]}.{count}"
        return free
