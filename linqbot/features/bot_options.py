"""The options of a bot for features, as its author has chosen them. They lie in `Bot.options`; the module imports no feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from linqbot.engine.bag import Bag

if TYPE_CHECKING:
    from linqbot.features.manners.options import Manners


@dataclass(frozen=True, slots=True)
class MuteByHand:
    """`Bot(mute_s=…)`: the seconds for which the bot is muted in a chat in which a person of yours writes; 0 for none."""

    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Conduct:
    """`Bot(allow_to=…)` and `Bot(manners=…)`: the people who may get something, in the form of `person_key`, and the manners.

    None for each is no limit.
    """

    allow_to: frozenset[str] | None = None
    manners: Manners | None = None


def manners_of(options: Bag) -> Manners | None:
    """Return the manners of a bot, given its options; None if the bot has none."""
    conduct = options.find(Conduct)
    return None if conduct is None else conduct.manners
