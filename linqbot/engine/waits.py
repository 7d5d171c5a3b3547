"""Waits: a handler is suspended until something arrives, or until a time is over. No process keeps it meanwhile.

A wait ends the turn, and stores a conversation. When something ends the wait, the handler runs again from its start: a wait that
is over returns its end from the record, and the next one suspends the handler. A wait is found by its key, else by its words, and
never by its place among others.

The calls before a wait that is over form a part of the conversation: they are answered from the journal, and a call that is not
on record is not made. From the newest wait that has ended on, the handler is live. What is waited for, and what ends it, is the
matter of features. Next step: `turns.py` ends the turn with one commit, to which `Waits.write` adds the records.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from linqbot.engine.handling import Handling
from linqbot.engine.opening import Opening
from linqbot.engine.prompts import BegunPrompt, Prompt, begun_prompts, belongs_to_wait, prompts_of
from linqbot.engine.slots import OUTSIDE
from linqbot.engine.state import Seen, Times, TurnState, joined
from linqbot.engine.turn_journal import TurnJournal
from linqbot.errors import Suspended
from linqbot.language.spoken import speak, spoken
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.journal import RECORDED, JournalEntry
from linqbot.storage.timers import Timer

_SAFETY: Final = "ask"
"""The safety class of the journal entry of a wait."""


class Identity(NamedTuple):
    """The identity of a wait: a later run finds its end by this, and never by its place among others.

    Attributes:
        verb: The method that waits, such as `ctx.ask`; None if it was stored by a release that did not store it.
        key: The `key=` of the wait.
        words: A digest of its words, without what may be chosen: this may be read from data that changes, such as free tables.
            None if it was stored by a release that did not store it.
        shown: A digest of its words and of what may be chosen.
    """

    verb: str | None
    key: str | None
    words: str | None
    shown: str

    def prompt(self, n: int, code: str) -> Prompt:
        """Return the prompt of this as the wait `n` of its conversation, made by the code with this digest."""
        return Prompt(n, code, self.words or "", "" if self.key is None else digest_of_words([self.verb, self.key]))

    def is_like(self, other: Identity) -> bool:
        """Return True for the same wait: the key is the same, or there is none and the words are the same.

        What ends the wait of one method is no end for that of another, although new code has kept the `key=`.
        """
        if self.key is not None or other.key is not None:
            return self.key == other.key and self._has_method_of(other)
        return self.has_words_of(other)

    def has_words_of(self, other: Identity) -> bool:
        is_same = self.shown == other.shown if None in (self.words, other.words) else self.words == other.words
        return is_same and self._has_method_of(other)

    def _has_method_of(self, other: Identity) -> bool:
        return None in (self.verb, other.verb) or self.verb == other.verb


def digest_of_words(words: object) -> str:
    return hashlib.blake2b(to_json(words), digest_size=8).hexdigest()


@dataclass(slots=True)
class WaitRecord:
    """A wait of a conversation, and how it ended."""

    n: int  # the number of the record in the conversation
    identity: Identity  # what the wait is
    # Its count among the waits that are like it, in the run that came to it: 1 for the first. None if it was recorded by a
    # release that did not store it, until `records_of` counts.
    nth: int | None
    code: str  # a digest of the code that came to it
    part: int = 0  # the number of the part that the wait ended
    seen: Seen = field(default_factory=Seen)  # what this part has seen
    # The number of the part into which new code has put the wait; None if it ended a part.
    splits: int | None = None
    opened: Any = None  # what its feature stores of its beginning, as JSON data; None until its prompt is sent
    # The times that the run which came to it has read in earlier parts that no wait ended, by their number.
    passed: Mapping[int, Sequence[float]] = field(default_factory=dict)
    language: str | None = None  # the code of the language of its prompt; None for English
    outcome: Any = None  # how it ended, as JSON data of its feature; None while it goes on
    entry: JournalEntry | None = None  # its journal entry; None if this run has come to it first
    is_void: bool = False  # True if the code of today has refused its end, so that it has begun again
    is_used: bool = False  # True once the wait was met in this run

    @property
    def slot(self) -> str:
        return f"ask:{self.n}"

    @property
    def call(self) -> bytes:
        verb, key, words, shown = self.identity
        said = {"n": self.n, "key": key, "words": words, "digest": shown, "nth": self.nth, "code": self.code}
        # Earlier releases need a number of the wait in its run, and would give it the end of the same number: none is 0.
        said["number"] = 0
        parts = {"part": self.part, "seen": self.seen.state, "times": self.seen.times, "left": self.seen.left}
        asked: dict[str, Any] = {"splits": self.splits, "opened": self.opened, "asked_with": verb}
        if self.language is not None:
            asked["language"] = self.language
        if self.passed:
            asked["passed"] = self.passed
        return to_json({"noun": "ctx", "verb": "ask", **said, **parts, **asked})

    @property
    def has_end_left(self) -> bool:
        """True if the wait has ended, and no wait of this run has met the record yet."""
        return self.outcome is not None and not self.is_used and not self.is_void

    def written_to(self, entry: JournalEntry, ended_by: Delivery) -> JournalEntry:
        """Return the journal entry with the end of the wait; the turn of `ended_by` stores it."""
        if self.is_void:
            return replace(entry, status="refused", answer=None)
        if self.outcome is None:
            return entry
        ended = {**self.outcome, "by": ended_by.id, "at": ended_by.received_at}
        return replace(entry, status="accepted", answer=to_json(ended))


def record_of(entry: JournalEntry) -> WaitRecord:
    said = from_json(entry.call)
    return WaitRecord(
        said["n"],
        Identity(said.get("asked_with"), said["key"], said.get("words"), said["digest"]),
        said.get("nth"),
        said["code"],
        said["part"],
        Seen(said["seen"], said.get("times", ()), said.get("left", {})),
        said["splits"],
        said.get("opened"),
        {int(part): times for part, times in said.get("passed", {}).items()},
        said.get("language"),
        from_json(entry.answer) if entry.answer else None,
        entry,
        is_void=entry.status == "refused",
    )


def records_of(entries: Iterable[JournalEntry]) -> list[WaitRecord]:
    """Return the waits among the journal entries of a conversation, in order."""
    records = [record_of(entry) for entry in entries if entry.safety == _SAFETY]
    for place, record in enumerate(records):
        if record.nth is None:
            before = (each for each in records[:place] if each.identity.is_like(record.identity))
            record.nth = 1 + sum(not each.is_void for each in before)
    return records


def record_with_end(records: Sequence[WaitRecord], identity: Identity, nth: int) -> WaitRecord | None:
    """Return the record that ends a wait, the n-th that is like it in this run; None if there is none.

    That is the record of the same key, or without a key of the same words: the first time of its words belongs to the first
    time. A wait that has got a key since then keeps the end of its words, if these were waited for once.
    """
    left = [each for each in records if each.has_end_left]
    like = (each for each in left if each.nth == nth and each.identity.is_like(identity))
    if (found := next(like, None)) is not None or identity.key is None:
        return found
    if any(each.identity.is_like(identity) for each in records):
        return None
    same = [each for each in left if each.identity.key is None and each.identity.has_words_of(identity)]
    return same[0] if len(same) == 1 else None


def part_name(n: int) -> str:
    """Return the name of the part that follows the wait `n`; 0 is the part before all waits."""
    return f"@{n}:" if n else ""


def by_part(entries: Iterable[JournalEntry]) -> dict[str, list[JournalEntry]]:
    """Return the entries of calls by the name of their part, without the calls that belong to waits."""
    found: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        if entry.safety in RECORDED or belongs_to_wait(entry) or entry.slot.startswith(OUTSIDE):
            continue
        part = entry.slot.partition(":")[0] + ":" if entry.slot.startswith("@") else ""
        found.setdefault(part, []).append(entry)
    return found


class Past:
    """The past of the conversation that a turn continues: its waits in order. Empty if the handler begins with this turn.

    Attributes:
        live: The wait that the event of this turn ends; None if there is none.
        seen: By the number of a part, what its last run has seen.
        times: By the number of a part, the times that its first run has read, and then when it ended.
        times_before: By the number of a wait, the times that were read in the part that led to it, and then when it began.
        first_after: By the number of a part, the number of the wait to which it has led first.
        languages: By the number of a part, the code of the language in which it was said.
    """

    def __init__(self, opening: Opening, n: int, outcome: Any) -> None:
        self.records: list[WaitRecord] = []
        self.live: WaitRecord | None = None
        self.seen: dict[int, Seen] = {}
        self.times: dict[int, Sequence[float]] = {}
        self.times_before: dict[int, Sequence[float]] = {}
        self.first_after: dict[int, int] = {}
        self.languages: dict[int, str | None] = {}
        self._known = opening.known
        self._parts: dict[str, list[JournalEntry]] = {}  # the entries of calls, by the name of their part
        self._met: Counter[tuple[str | None, ...]] = Counter()  # the waits that this run has come to
        self._begun: list[BegunPrompt] | None = None
        if opening.conversation is None:
            return
        self.records = records_of(opening.known)
        for record in self.records:
            if record.n == n:
                self.live = record
                record.outcome = outcome
        self._parts = by_part(opening.known)
        self.seen = {record.part: record.seen for record in self.records}
        # The first run of a part counts: a wait that new code has put into it cuts the times off.
        for record in self.records:
            self.languages.setdefault(record.part, record.language)
            if record.seen.times:
                self.first_after.setdefault(record.part, record.n)
            self.times_before[record.n] = record.seen.times
            for part, times in (*record.passed.items(), (record.part, record.seen.times)):
                self.times.setdefault(part, times)

    @property
    def begun(self) -> list[BegunPrompt]:
        """The prompts that interrupted runs have begun, and whose waits are not on record."""
        if self._begun is None:
            self._begun = begun_prompts(self._known)
        return self._begun

    @property
    def has_unused_end(self) -> bool:
        """True if there is the end of a wait that the handler has not come to in this run."""
        return any(each.has_end_left for each in self.records)

    def count(self, identity: Identity) -> int:
        """Note that this run has come to a wait. Return its count among those of the run that are like it."""
        name = (identity.verb, identity.key, identity.words if identity.key is None else None)
        self._met[name] += 1
        return self._met[name]

    def calls_of(self, part: int) -> Sequence[JournalEntry]:
        """Return the journal entries of the calls of a part, without those that belong to waits."""
        return self._parts.get(part_name(part), ())

    def calls_since(self, part: int, record: WaitRecord) -> list[JournalEntry]:
        """Return the entries of the calls of a part, and of those that belong to the wait after it."""
        return [*self.calls_of(part), *prompts_of(record.n, self._known)]

    def replaced_from(self, part: int) -> Seen | None:
        """Return what the runs saw and left whose place this run takes from a part on.

        It takes the place of the part's own run, and of those of later parts if their waits are gone as well. None if these
        parts do not lead to the wait that ends now.
        """
        if self.live is None:
            return None
        runs = [self.live]
        while runs[0].part != part:
            before = next((record for record in self.records if record.n == runs[0].part), None)
            if before is None:
                return None
            runs.insert(0, before)
        return joined([record.seen for record in runs])


class Waits:
    """The waits of one run of a handler.

    Args:
        root: The event with which the conversation began that the turn continues; None if the handler begins with this turn.
        n: The number of the wait that the event of this turn ends.
        following: The number of the conversation's next new wait.
        outcome: How that wait ends, as JSON data of its feature.
    Attributes:
        past: The waits of earlier runs, and what these have done between them.
        part: The number of the part that the handler runs through.
        is_live: True once the handler has passed the wait that the event of this turn ends.
        suspended: The wait at which the handler was suspended in this run.
        led_to: Set if the run must begin again: see `Opening.led_to`.
        following: The number of the conversation's next new wait.
        conversations, timers: What the commit of the turn stores. `cancelled` are the ids of timers that it deletes, and
            `ended` those of conversations.
    """

    def __init__(
        self,
        handling: Handling,
        journal: TurnJournal,
        lease: Lease,
        opening: Opening,
        *,
        root: Event | None = None,
        n: int = 0,
        following: int = 1,
        outcome: Any = None,
    ) -> None:
        self._handling = handling
        self._journal = journal
        self._lease = lease
        self._opening = opening
        self.root = root
        self.past = Past(opening, n, outcome)
        self.following = following
        self.part = 0
        # The language of the turn, which a part that is over may not have.
        self._language = spoken()
        # The times that this run has read in parts that it has passed, and that no wait had ended before: by their number.
        self._passed: dict[int, Sequence[float]] = {}
        # The wait with whose times the part began, and the number of its times that were read in earlier parts of this run.
        self._leads_to: int | None = None
        self._read: Counter[int] = Counter()
        self.led_to: Mapping[int, int] | None = None
        self.is_live = root is None
        # True once the handler of the conversation runs. Middleware may keep the event from it.
        self.has_begun = False
        self.suspended: WaitRecord | None = None
        self.conversations: list[Conversation] = []
        self.timers: list[Timer] = []
        self.cancelled: list[str] = []
        self.ended: list[str] = []

    @property
    def is_past(self) -> bool:
        """True while the handler runs through a part that an earlier run has ended."""
        return self._journal.is_past

    @property
    def missed_in(self) -> int | None:
        """The part in which the handler has ended without coming to the wait that ends now; None if it came to it."""
        if self.root is None or not self.has_begun or self._opening.live_from is not None:
            return None
        return None if self.is_live or self.suspended is not None else self.part

    def code_of(self, handler: str) -> str:
        """Return a digest of the code of a handler, given its name, and of its file."""
        route = self._handling.routes.named(handler)
        return code_digest(None if route is None else route.handler)

    async def begin(self, state: TurnState) -> None:
        """Note that the handler of the conversation runs. Without this the wait goes on, whatever happens."""
        self.has_begun = True
        is_past = self._opening.live_from != 0
        self._language = spoken()
        seen, times = self.past.seen.get(0, Seen()) if is_past else None, self._times_in(0, None)
        await state.enter(seen, in_place_of=self._replaced(0), times=times)
        self._journal.enter("", self.past.calls_of(0), is_past=is_past)
        self._speak_as_in(0)

    def met(self, identity: Identity, state: TurnState) -> tuple[WaitRecord | None, int]:
        """Return the record that ends the wait to which the handler has come, and its count among those like it.

        The record is None if the wait has not ended. Raises Suspended if the run must begin again.
        """
        nth = self.past.count(identity)
        record = record_with_end(self.past.records, identity, nth)
        if record is not None:
            record.is_used = True
            self._check_times(record, state)
        return record, nth

    async def enter(self, record: WaitRecord, state: TurnState) -> None:
        """Go on with the part behind a wait that has ended."""
        known = list(self.past.calls_of(record.n))
        if record.splits is not None and record.splits == self.part:
            # New code has put the wait into this part. The rest of the part's calls may follow now.
            known += self._journal.unmatched()
        earlier = self.past.calls_since(self.part, record)
        self.is_live = self.is_live or record is self.past.live
        is_past = not self.is_live and record.n != self._opening.live_from
        if not self.past.times.get(self.part):
            self._passed[self.part] = state.times
        if self._leads_to is not None:
            self._read[self._leads_to] += len(state.times) - 1
        split = self._leads_to if record.splits == self.part else None
        self.part = record.n
        self._journal.enter(part_name(record.n), known, is_past=is_past, earlier=earlier)
        seen = self.past.seen.get(record.n, Seen()) if is_past else None
        times = self._times_in(record.n, self.received_at(record) if is_past else None, split)
        await state.enter(seen, in_place_of=self._replaced(record.n), times=times)
        self._speak_as_in(record.n)

    def received_at(self, record: WaitRecord) -> float:
        """Return when the delivery was received that has ended a wait."""
        at: float = (record.outcome or {}).get("at", self._lease.delivery.received_at)
        return at

    def prompt(self, identity: Identity, code: str, *, is_missed: bool) -> Prompt:
        """Return the prompt of a new wait: one that an interrupted run has begun, or another one with a number of its own.

        That run may have begun the same wait, whatever its place in the code. Or the same code has begun it in other words,
        such as those of a model. What other code has begun in other words is another wait, and is left as it is.

        Args:
            code: The digest of the code that waits.
            is_missed: True if something may have come that ends what an interrupted run of another delivery has begun. No such
                wait was open then, so it begins again.
        """
        begun = self.past.begun
        new = identity.prompt(max([self.following, *(each.prompt.n + 1 for each in begun)]), code)
        same = (each for each in begun if each.prompt.is_like(new) and (each.is_new or not is_missed))
        reworded = (
            each for each in begun if each.is_new and each.prompt.n >= self.following and each.prompt.code in ("", code)
        )
        found = next(same, None) or next(reworded, None)
        if found is not None:
            self._journal.match_in_this_part(found.entries, found.part)
            new = found.prompt
        self.following = max(self.following, new.n + 1)
        return new

    async def new(self, prompt: Prompt, identity: Identity, nth: int, code: str, state: TurnState) -> WaitRecord:
        """Return the record of a new wait. Its calls are made, even in the middle of a part that is over: they are named."""
        record = WaitRecord(prompt.n, identity, nth, code, self.part, passed=self._passed, language=spoken().stored)
        record.seen = state.seen()
        if not self.is_live:
            # Noted before the present is shown: later runs begin the part with what it has seen, not with what it has left.
            record.seen = self.past.seen.get(self.part, Seen()).also(record.seen)
            await state.go_live()
        if self.past.has_unused_end:
            record.splits = self.part
        self._journal.is_past = False
        self.is_live = True
        return record

    def suspend(self, record: WaitRecord, conversation: Conversation, timer: Timer) -> None:
        """Suspend the handler at a wait, with the timer of the time that ends it."""
        self.suspended = record
        self.conversations.append(conversation)
        self.timers.append(timer)
        self._journal.is_suspended = True

    def write(self, commit: Commit) -> None:
        """Add the records that this run has changed to the commit that ends the turn, and what it stores and deletes."""
        for record in self.past.records:
            if record is self.past.live or record is self.suspended or record.is_void:
                entry = record.entry or self._journal.new_entry(record.slot, _SAFETY, record.call)
                commit.entries.append(record.written_to(entry, self._lease.delivery))
        commit.ended += self.ended
        commit.conversations += self.conversations
        commit.timers += self.timers
        commit.cancelled += self.cancelled

    def _times_in(self, part: int, at: float | None, split: int | None = None) -> Times:
        """Return the times of a part. Those of a part that is over are its own, in whatever run the handler comes to it.

        Args:
            at: When the part began, if it is over; None if it runs now.
            split: The wait to which the part led that new code has split, if this is the rest of it.
        """
        led_to = self._opening.led_to.get(part)
        self._leads_to = n = self.past.first_after.get(part) if led_to is None else led_to
        if n is None and (passed := self.past.times.get(part)):
            return Times(passed[:-1], passed[-1])
        if n is None:
            self._leads_to = split
            return Times(() if split is None else self._unread(split), at)
        return Times(self._unread(n), None if part == self._opening.live_from else self.past.times_before[n][-1])

    def _unread(self, n: int) -> Sequence[float]:
        """Return the times before the wait `n` that no part of this run has read."""
        return self.past.times_before.get(n, ())[self._read[n] : -1]

    def _check_times(self, record: WaitRecord, state: TurnState) -> None:
        """Begin the run again if this part has read other times than those with which the wait at its end began.

        New code has removed, renamed or moved a wait before it. Raises Suspended.
        """
        *read, _ = state.times
        then = self._unread(record.n)
        if record.n == self._leads_to or self.part in self._opening.led_to or not then or not read:
            return
        if read != list(then[: len(read)]):
            self.led_to = {**self._opening.led_to, self.part: record.n}
            self._journal.is_suspended = True
            raise Suspended("The run begins again with the times of its wait.")

    def _speak_as_in(self, part: int) -> None:
        """Speak in a part that is over as then, so that its waits have the words of then."""
        is_over = part in self.past.languages and part != self._opening.live_from
        speak(self._handling.language_named(self.past.languages[part]) if is_over else self._language)

    def _replaced(self, part: int) -> Seen | None:
        """Return what earlier runs saw and left from this part on, if this run replaces them: see `Opening.live_from`."""
        return self.past.replaced_from(part) if part == self._opening.live_from else None


@lru_cache
def code_digest(handler: Any) -> str:
    """Return a digest of a handler's code and of the file that holds it.

    The file is included for the functions that the handler calls. Both are equal in every process that runs the same
    release of the bot on the same Python.
    """
    digest = hashlib.blake2b(digest_size=8)
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if isinstance(code, CodeType):
        _add(code, digest)
        with contextlib.suppress(OSError):  # code without a file, such as that of a notebook
            digest.update(Path(code.co_filename).read_bytes())
    return digest.hexdigest()


def _add(code: CodeType, digest: Any) -> None:
    digest.update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(constant, digest)
        elif not isinstance(constant, frozenset):  # the order of its elements differs from process to process
            digest.update(repr(constant).encode())
