"""The conduct of a bot, as its author has chosen it: an option of the bot, which loads no code of its gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linqbot.engine.bag import Bag, Option

if TYPE_CHECKING:
    from linqbot.features.manners.options import Manners


@dataclass(frozen=True, slots=True)
class Conduct(Option):
    """`Bot(allow_to=…)` and `Bot(manners=…)`: the people who may get something, in the form of `person_key`, and the manners.

    None for each is no limit.
    """

    allow_to: frozenset[str] | None = None
    manners: Manners | None = None

    @property
    def needs(self) -> Sequence[str]:
        return () if self.manners is None else ("message.received",)  # a bot with manners answers START and HELP


def manners_of(options: Bag) -> Manners | None:
    """Return the manners of a bot, given its options; None if the bot has none."""
    conduct = options.find(Conduct)
    return None if conduct is None else conduct.manners
