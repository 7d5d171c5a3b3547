"""Prompts: the calls with which a wait begins. Their label says for which wait they are, and by which code they were made.

A wait is on record from the commit that ends its turn, and its prompt is sent before. If the run is interrupted in between,
the prompt may be on the phone, or may go out in the next run, and only its label tells for which wait it is. The next run may be
that of other code, which comes to another wait first: `begun_prompts` finds what was begun, `Prompt.is_like` tells the waits
apart. Next step: `waits.py` finds the prompt of a wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from linqbot.storage.journal import JournalEntry

PROMPT: Final = "?"
"""The first letter of the label of a call that belongs to a wait; the number of the wait follows."""

_SLOT: Final = re.compile(r"(@\d+:)?k\d*:\?")
"""The beginning of the slot of a call that belongs to a wait: its part, and the first letter of its label."""
_DIGESTS: Final = re.compile(r"(\d+)(?:~([0-9a-f]{16})~([0-9a-f]{16})(?:~([0-9a-f]{16}))?)?")
"""What follows. An earlier release stored no digests."""


class Prompt(NamedTuple):
    """The prompt of a wait.

    Attributes:
        n: The number of the wait in its conversation.
        code: A digest of the code that makes it; empty if an earlier release has sent the prompt, as are the others.
        words: A digest of its words.
        key: A digest of its `key=`; empty without one.
    """

    n: int
    code: str = ""
    words: str = ""
    key: str = ""

    @classmethod
    def in_slot(cls, slot: str) -> Self | None:
        """Return the prompt that the slot of a call names; None if it names none."""
        found = _SLOT.match(slot)
        digests = None if found is None else _DIGESTS.match(slot, found.end())
        return None if digests is None else cls(int(digests[1]), *(each or "" for each in digests.groups()[1:]))

    @property
    def label(self) -> str:
        return PROMPT + "~".join((str(self.n), *filter(None, self[1:])))

    def is_like(self, other: Prompt) -> bool:
        """Return True if a later prompt is that of the same wait: with the same key, or the same words if this one has no key."""
        return self.key == other.key if self.key else self.words == other.words


@dataclass(slots=True)
class BegunPrompt:
    """A prompt that an interrupted run has begun, and whose wait is not on record.

    Attributes:
        part: The name of the part in which it was sent.
        is_new: True if a run for the delivery that is handled now has begun it; False for an earlier one of the conversation.
        entries: The entries of its calls.
    """

    prompt: Prompt
    part: str
    is_new: bool
    entries: list[JournalEntry] = field(default_factory=list)

    @property
    def may_be_shown(self) -> bool:
        return any(entry.status != "refused" for entry in self.entries)


def begun_prompts(known: Sequence[JournalEntry]) -> list[BegunPrompt]:
    """Return the prompts among the entries of a turn whose waits are not on record, in the order in which they were begun."""
    # The wait of an earlier delivery is stored when its turn ends, so after the prompts that its runs have begun.
    stored = {int(entry.slot.partition(":")[2]): place for place, entry in enumerate(known) if entry.safety == "ask"}
    last = max(stored.values(), default=-1)
    found: dict[Prompt, BegunPrompt] = {}
    for place, entry in enumerate(known):
        prompt = Prompt.in_slot(entry.slot)
        if prompt is None or prompt.n in stored:
            continue
        part = _part_of(entry.slot)
        found.setdefault(prompt, BegunPrompt(prompt, part, is_new=place > last)).entries.append(entry)
    return list(found.values())


def _part_of(slot: str) -> str:
    found = _SLOT.match(slot)
    return "" if found is None else found[1] or ""


def belongs_to_wait(entry: JournalEntry) -> bool:
    """Return True if a wait begins with a call, or if the call says something about it: it belongs to no part of the conversation."""
    return _SLOT.match(entry.slot) is not None


def prompts_of(n: int, entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Return the entries of the calls with which the wait `n` began, or that said something about it."""
    found = ((entry, Prompt.in_slot(entry.slot)) for entry in entries)
    return [entry for entry, prompt in found if prompt is not None and prompt.n == n]
