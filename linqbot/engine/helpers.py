"""Helpers of one run of a turn: objects that features make when they are first used, such as the steps of its handler.

A helper may refer to the journal, which knows no helper. Helpers know neither the turn nor its context, and no helper refers to the
bag of all. So none makes a reference cycle, which only the garbage collector would free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from linqbot.engine.bag import Bag
from linqbot.engine.handling import Handling
from linqbot.engine.opening import Opening
from linqbot.engine.steps import Steps
from linqbot.engine.turn_journal import TurnJournal
from linqbot.storage.inbox import Commit, Lease

H = TypeVar("H")


class Helpers(Bag):
    """The helpers of a turn, by their class, and what they are made of.

    Attributes:
        ends: Functions that add to the commit that ends the turn: see `Turn`.
        make_steps: Makes the steps, given the journal and the number of entries that the turn has already.
    """

    __slots__ = ("ends", "handling", "journal", "lease", "make_steps", "opening")

    def __init__(
        self,
        handling: Handling,
        journal: TurnJournal,
        lease: Lease,
        opening: Opening,
        *,
        ends: list[Callable[[Any, Commit], None]],
        make_steps: Callable[[TurnJournal, int], Steps],
    ) -> None:
        self.handling = handling
        self.journal = journal
        self.lease = lease
        self.opening = opening
        self.ends = ends
        self.make_steps = make_steps

    def made(self, kind: type[H], make: Callable[[Helpers], H]) -> H:
        """Return the helper of a class. Without one, make it, and keep it."""
        found: H | None = self.get(kind)
        if found is None:
            found = self[kind] = make(self)
        return found

    @property
    def steps(self) -> Steps:
        return self.made(Steps, lambda of: of.make_steps(of.journal, len(of.opening.known)))
