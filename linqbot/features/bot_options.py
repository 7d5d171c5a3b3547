"""Options of a bot for features, as its author has chosen them. They lie in `Bot.options`; the module imports no feature."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MuteByHand:
    """`Bot(mute_s=…)`: the seconds for which the bot is muted in a chat in which a person of yours writes; 0 for none."""

    for_s: float = 0.0
