"""Helpers of one run of a turn: objects that features make when they are first used, such as the steps of its handler.

A helper may refer to the journal, which knows no helper. Helpers know neither the turn nor its context, and no helper refers to the
bag of all. So none makes a reference cycle, which only the garbage collector would free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from linqbot.engine.bag import Bag
from linqbot.engine.steps import Steps
from linqbot.storage.inbox import Commit, Lease

if TYPE_CHECKING:
    from linqbot.engine.turn import Opening, Turn
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns

H = TypeVar("H")


class Helpers(Bag):
    """The helpers of a turn, by their class, and what they are made of.

    Attributes:
        ends: Functions that add to the commit that ends the turn: see `Turn`.
    """

    __slots__ = ("ends", "journal", "lease", "opening", "turns")

    def __init__(
        self,
        turns: Turns,
        journal: TurnJournal,
        lease: Lease,
        opening: Opening,
        ends: list[Callable[[Turn, Commit], None]],
    ) -> None:
        self.turns = turns
        self.journal = journal
        self.lease = lease
        self.opening = opening
        self.ends = ends

    def made(self, kind: type[H], make: Callable[[Helpers], H]) -> H:
        """Return the helper of a class. Without one, make it, and keep it."""
        found: H | None = self.get(kind)
        if found is None:
            found = self[kind] = make(self)
        return found

    @property
    def steps(self) -> Steps:
        return self.made(Steps, _steps)


def _steps(of: Helpers) -> Steps:
    features = of.turns.features
    return Steps(of.journal, of.turns.storage, len(of.opening.known), features.recalls, features.in_step)
