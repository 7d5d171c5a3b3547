"""The base of linqbot's own features, which know the turns of their process."""

from __future__ import annotations

from linqbot.engine.feature import Feature
from linqbot.engine.turns import Turns


class TurnFeature(Feature):
    """A feature that uses what the turns of its process share, such as their storage and their clock."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
