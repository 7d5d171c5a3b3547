"""Counts what happens in a simulation, and finds the faults that a schedule has aimed at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from linqbot_dev.simulation.schedule import AimedFault


class AimedFaults:
    """The faults of a schedule.

    Attributes:
        happened: The faults that were reached, in order.
    """

    def __init__(self, faults: Iterable[AimedFault]) -> None:
        self._aimed = {(each.on, each.nth): each for each in faults if each.on != "time"}
        self._counts: Counter[str] = Counter()
        self.happened: list[AimedFault] = []
        self._has_begun = False
        self._names = {on for on, _ in self._aimed}

    def begin(self) -> None:
        """Count from now on."""
        self._has_begun = True

    def reach(self, on: str) -> AimedFault | None:
        """Count an event with this name, and return the fault that is aimed at it; None if none is."""
        if on not in self._names or not self._has_begun:
            return None
        self._counts[on] += 1
        found = self._aimed.get((on, self._counts[on]))
        if found is not None:
            self.happened.append(found)
        return found
