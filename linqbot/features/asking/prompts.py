"""Prompts: the calls that ask a question. Their label says which question they ask, and by which code.

A question is on record from the commit that ends its turn, and its prompt is sent before. If the run is interrupted in
between, the prompt may be on the phone, or may go out in the next run, and only its label tells what it asks. The next run may
be that of other code, which asks another question first: `begun_prompts` finds what was begun, `Prompt.asks_as` tells the
questions apart. Next step: `session.py` sends a question under the label of its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from linqbot.storage.journal import JournalEntry

_PROMPT: Final = "?"
"""The first letter of the label of a call that asks a question; the number of the question follows."""

AGAIN: Final = f"{_PROMPT}again"
"""The label of a call that asks the question of another chat's handler again, after a handler of this chat has answered."""

_SLOT: Final = re.compile(r"(@\d+:)?k\d*:\?")
"""The beginning of the slot of a call that belongs to a question: its part, and the first letter of its label."""
_DIGESTS: Final = re.compile(r"(\d+)(?:~([0-9a-f]{16})~([0-9a-f]{16})(?:~([0-9a-f]{16}))?)?")
"""What follows. An earlier release stored no digests."""


class Prompt(NamedTuple):
    """The prompt of a question.

    Attributes:
        n: The number of the question in its conversation.
        code: A digest of the code that asks it; empty if an earlier release has sent the prompt, as are the others.
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
        return _PROMPT + "~".join((str(self.n), *filter(None, self[1:])))

    def asks_as(self, other: Prompt) -> bool:
        """Return True if a later prompt asks the same question: with the same key, or the same words if this one has no key."""
        return self.key == other.key if self.key else self.words == other.words


@dataclass(slots=True)
class BegunPrompt:
    """A prompt that an interrupted run has begun, and whose question is not on record.

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
    """Return the prompts among the entries of a turn whose questions are not on record, in the order in which they were begun."""
    # The question of an earlier delivery is stored when its turn ends, so after the prompts that its runs have begun.
    asked = {int(entry.slot.partition(":")[2]): place for place, entry in enumerate(known) if entry.safety == "ask"}
    last = max(asked.values(), default=-1)
    found: dict[Prompt, BegunPrompt] = {}
    for place, entry in enumerate(known):
        prompt = Prompt.in_slot(entry.slot)
        if prompt is None or prompt.n in asked:
            continue
        part = _part_of(entry.slot)
        found.setdefault(prompt, BegunPrompt(prompt, part, is_new=place > last)).entries.append(entry)
    return list(found.values())


def _part_of(slot: str) -> str:
    found = _SLOT.match(slot)
    return "" if found is None else found[1] or ""


def belongs_to_question(entry: JournalEntry) -> bool:
    """Return True if a call asks a question, or says something about it: it belongs to no part of the conversation."""
    return _SLOT.match(entry.slot) is not None


def prompts_of(n: int, entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Return the entries of the calls that asked the question `n`, or said something about it."""
    found = ((entry, Prompt.in_slot(entry.slot)) for entry in entries)
    return [entry for entry, prompt in found if prompt is not None and prompt.n == n]


def refusal_label(n: int, tries: int) -> str:
    """Return the label of the call that says why an answer to the question `n` was not taken."""
    return f"{_PROMPT}{n}.{tries}"


def explains_refusal(entry: JournalEntry) -> bool:
    """Return True if a call says why an answer was not taken: its slot ends like `k:?2.1`.

    No refused answer is kept, so a dry deploy cannot make such a call again.
    """
    named, _, number = entry.slot.rpartition(f":{_PROMPT}")
    question, dot, tries = number.partition(".")
    return bool(dot) and named.rpartition(":")[2] == "k" and question.isdecimal() and tries.isdecimal()


def decision_label(n: int) -> str:
    """Return the label of the call that says in the chat of the handler who has decided the question `n`."""
    return f"{_PROMPT}{n}d"


def end_label(n: int) -> str:
    """Return the label of the call that cancels at Linq what the question `n` has waited for."""
    return f"{_PROMPT}{n}x"


def asks_again(entry: JournalEntry) -> bool:
    """Return True if a call asks the question of another chat's handler again. It belongs to no turn of this chat."""
    return entry.slot.endswith(f":{AGAIN}")
